//! Distributions against their definitions, in f64: densities integrate to 1, entropy, KL and Fisher
//! information are the sums or integrals they are defined as.

use super::{check, check_against, device, kinds, matrix, numbers, random, vector};
use burn::tensor::{Tensor, TensorData};
use rand::{SeedableRng, rngs::SmallRng};
use uphill_core::{
    dist::{Dist, DistKind, mask_logits, special},
    heads::{Masked, StateLogStd},
    network::Net,
    nn::{Init, MlpConfig},
};

#[track_caller]
fn close(found: f64, expected: f64, tolerance: f64) {
    let error = (found - expected).abs() / expected.abs().max(1.0);
    assert!(error <= tolerance, "found {found}, expected {expected}");
}

fn row(values: &[f64]) -> Tensor<2> {
    vector(values).unsqueeze()
}

/// Values by mpmath with 25 digits: z, ln Γ, ψ, ψ′.
const GAMMAS: [[f64; 4]; 7] = [
    [1.0, 0.0, -0.577_215_664_901_532_9, 1.644_934_066_848_226_4],
    [
        1.5,
        -0.120_782_237_635_245_22,
        0.036_489_973_978_576_52,
        0.934_802_200_544_679_3,
    ],
    [
        2.25,
        0.124_871_714_892_396_6,
        0.572_546_466_623_734_5,
        0.557_329_154_507_110_7,
    ],
    [
        7.75,
        8.025_458_396_315_983,
        1.981_791_562_694_345_6,
        0.137_713_791_447_655_66,
    ],
    [
        30.0,
        71.257_038_967_168_01,
        3.384_438_132_685_525,
        0.033_895_060_357_739_946,
    ],
    [
        1_000.0,
        5_905.220_423_209_181,
        6.907_255_195_648_812,
        0.001_000_500_166_666_633_3,
    ],
    [
        123_456.0,
        1_323_892.768_843_701_3,
        11.723_636_046_234_013,
        8.100_084_645_840_26e-06,
    ],
];

#[test]
fn gamma_functions_have_their_known_values() {
    for [z, ln_gamma, digamma, trigamma] in GAMMAS {
        let one = |f: fn(Tensor<2>) -> Tensor<2>| numbers(f(row(&[z])).squeeze_dim(0))[0];
        close(one(special::ln_gamma), ln_gamma, 2e-13);
        close(one(special::digamma), digamma, 2e-13);
        close(one(special::trigamma) / trigamma, 1.0, 1e-12);
    }
    for (a, b, expected) in [
        (1.0, 1.0, 0.0),
        (1.0, 1.5, -0.405_465_108_108_164_4),
        (2.5, 7.25, -4.905_336_618_839_304),
        (100.0, 3.0, -13.152_116_335_553_677),
        (5000.0, 7000.0, -8_153.389_330_083_462),
    ] {
        let found = numbers(special::ln_beta(row(&[a]), row(&[b])).squeeze_dim(0))[0];
        close(found, expected, 2e-13);
    }
}

#[test]
fn slopes_of_special_functions() {
    let at: Vec<f64> = GAMMAS[..5].iter().map(|g| g[0] + 0.1).collect();
    check(&at, |z| special::ln_gamma(z.unsqueeze()).sum());
    check(&at, |z| special::digamma(z.unsqueeze()).sum());
    check(&at, |z| {
        special::ln_beta(z.clone().unsqueeze(), z.flip([0]).unsqueeze()).sum()
    });
    let at = [-3.0, -0.2, 0.0, 1.0, 4.0];
    check(&at, |x| special::softplus(x).sum());
    check(&at, |x| special::ln_sech2(x).sum());
}

#[test]
fn softplus_and_ln_sech2_hold_at_the_ends_and_in_the_middle() {
    let at = [-800.0, -30.0, 0.0, 1.0, 800.0];
    let x = vector(&at).autodiff().require_grad();
    let y = special::softplus(x.clone());
    let slopes = numbers(x.grad(&y.clone().sum().backward()).unwrap());
    let expected = [0.0, (-30f64).exp(), 2f64.ln(), 1f64.exp().ln_1p(), 800.0];
    for ((found, e), (slope, x)) in numbers(y).iter().zip(expected).zip(slopes.iter().zip(at)) {
        close(*found, e, 1e-15);
        close(*slope, 1.0 / (1.0 + (-x).exp()), 1e-15);
    }
    // Far below zero it is eˣ, to the last bits.
    for x in [-12.3, -21.0, -34.5] {
        let found = numbers(special::softplus(vector(&[x])))[0];
        assert!(
            (found / x.exp().ln_1p() - 1.0).abs() < 1e-14,
            "{x}: {found:e}"
        );
    }
    let found = numbers(special::ln_sech2(vector(&at)));
    let one = (1.0 - 1f64.tanh().powi(2)).ln();
    let far = |u: f64| 2.0 * (2f64.ln() - u);
    for (f, e) in found
        .iter()
        .zip([far(800.0), far(30.0), 0.0, one, far(800.0)])
    {
        close(*f, e, 1e-14);
    }
}

/// Every action of a kind with at most one real component, its probability weight under `params`
/// (probability, or density times width), and the distribution of each, `[M, ..]`.
struct Enumerated {
    kind: DistKind,
    /// `[M, A]`.
    actions: Tensor<2>,
    /// `[M]`.
    weights: Tensor<1>,
    /// The parameters once per action, `[M, W]`.
    params: Tensor<2>,
}

/// Half the interval that actions are enumerated on; what lies outside has a weight below 1e-12.
const REACH: f64 = 40.0;
const POINTS: usize = 8001;

fn enumerate(kind: DistKind, params: &[f64]) -> Enumerated {
    let (actions, widths): (Vec<f64>, Vec<f64>) = match &kind {
        DistKind::Categorical { choices } => (0..*choices).map(|k| (k as f64, 1.0)).unzip(),
        DistKind::MultiDiscrete { choices } => {
            let [first, second] = choices[..] else {
                panic!("two components")
            };
            let pairs =
                (0..first * second).flat_map(|k| [(k / second) as f64, (k % second) as f64]);
            (pairs.collect(), vec![1.0; first * second])
        }
        _ => {
            let step = 2.0 * REACH / (POINTS - 1) as f64;
            let at = (0..POINTS).map(|i| -REACH + i as f64 * step);
            let interval = BOUNDS[1] - BOUNDS[0];
            // The slope of what the environment sees in what is kept.
            let slope = |y: f64| match &kind {
                DistKind::SquashedGaussian { .. } => 0.5 * interval * y.cosh().powi(-2),
                DistKind::Beta { .. } => 0.25 * interval * (0.5 * y).cosh().powi(-2),
                _ => 1.0,
            };
            at.map(|y| (y, slope(y) * step)).unzip()
        }
    };
    let count = widths.len();
    let actions = vector(&actions).reshape([count, kind.action_width()]);
    let params = row(params).repeat(&[count, 1]);
    let log_probs = kind.with_params(params.clone()).log_prob(actions.clone());
    Enumerated {
        weights: log_probs.exp() * vector(&widths),
        kind,
        actions,
        params,
    }
}

const BOUNDS: [f64; 2] = [-0.5, 2.0];

/// Kinds that can be enumerated, with parameters.
fn enumerable() -> Vec<(DistKind, Vec<f64>)> {
    let bounds = uphill_core::dist::Bounds::new(&[-0.5], &[2.0]).unwrap();
    vec![
        (DistKind::Categorical { choices: 3 }, vec![0.3, -0.7, 1.1]),
        (
            DistKind::MultiDiscrete {
                choices: vec![2, 3],
            },
            vec![0.2, -0.4, 1.0, 0.1, -0.6],
        ),
        (DistKind::Gaussian { dim: 1 }, vec![0.4, -0.3]),
        (
            DistKind::SquashedGaussian {
                bounds: bounds.clone(),
            },
            vec![0.4, -0.6],
        ),
        (
            DistKind::Beta {
                bounds: bounds.clone(),
            },
            vec![0.7, -0.4],
        ),
        (DistKind::Beta { bounds }, vec![3.0, 5.0]),
    ]
}

impl Enumerated {
    fn dist(&self) -> Dist {
        self.kind.with_params(self.params.clone())
    }

    /// ∇log p of every action, `[M, W]`.
    fn scores(&self) -> Tensor<2> {
        let params = self.params.clone().autodiff().require_grad();
        let log_probs = self
            .kind
            .with_params(params.clone())
            .log_prob(self.actions.clone());
        params.grad(&log_probs.sum().backward()).unwrap()
    }

    fn mean(&self, values: Tensor<1>) -> f64 {
        numbers((self.weights.clone() * values).sum())[0]
    }
}

#[test]
fn probabilities_entropy_and_kl_are_what_they_are_defined_as() {
    for (kind, params) in enumerable() {
        let all = enumerate(kind.clone(), &params);
        let log_probs = all.dist().log_prob(all.actions.clone());
        close(all.mean(log_probs.ones_like()), 1.0, 1e-10);
        let first = |x: Tensor<1>| numbers(x)[0];
        // The entropy of a squashed Gaussian is itself a quadrature, good to 1e-6 at this σ.
        let squashed = matches!(kind, DistKind::SquashedGaussian { .. });
        let tolerance = if squashed { 1e-7 } else { 1e-9 };
        let entropy = first(all.dist().entropy());
        close(entropy, -all.mean(log_probs.clone()), tolerance);

        let moved: Vec<f64> = params
            .iter()
            .zip(random(9, 0.7, 31))
            .map(|(p, d)| p + d)
            .collect();
        let other = kind.with_params(row(&moved).repeat(&[all.weights.dims()[0], 1]));
        let kl = all.mean(log_probs - other.log_prob(all.actions.clone()));
        close(first(all.dist().kl(&other)), kl, 1e-9);
    }
}

/// The densest Fisher matrix there is: E[∇log p ∇log pᵀ] over all actions.
#[test]
fn fisher_products_are_those_of_the_expected_outer_product_of_scores() {
    for (kind, params) in enumerable() {
        let all = enumerate(kind.clone(), &params);
        let scores = all.scores();
        for mean in numbers(
            (scores.clone() * all.weights.clone().unsqueeze_dim(1))
                .sum_dim(0)
                .squeeze_dim(0),
        ) {
            close(mean, 0.0, 1e-10);
        }
        for seed in 0..3 {
            let tangent = row(&random(params.len(), 1.0, seed));
            let along = scores.clone().matmul(tangent.clone().transpose());
            let expected =
                (scores.clone() * along * all.weights.clone().unsqueeze_dim(1)).sum_dim(0);
            let found = kind.with_params(row(&params)).fisher_mul(tangent);
            let (found, expected) = (
                numbers(found.squeeze_dim(0)),
                numbers(expected.squeeze_dim(0)),
            );
            for (f, e) in found.iter().zip(&expected) {
                close(*f, *e, 1e-9);
            }
        }
    }
}

/// F as a matrix per sample, by products with unit vectors: `[W][W]`.
fn fisher_matrix(kind: &DistKind, params: &[f64]) -> Vec<Vec<f64>> {
    let width = params.len();
    let column = |j: usize| {
        let unit: Vec<f64> = (0..width).map(|i| f64::from(u8::from(i == j))).collect();
        let product = kind.with_params(row(params)).fisher_mul(row(&unit));
        numbers(product.squeeze_dim(0))
    };
    (0..width).map(column).collect()
}

#[test]
fn fisher_products_are_those_of_the_hessian_of_the_kl() {
    const STEP: f64 = 1e-4;
    for kind in kinds() {
        let width = kind.param_width();
        let params = random(width, 0.8, 21);
        let at = kind.with_params(row(&params));
        let kl = |steps: [(usize, f64); 2]| {
            let mut moved = params.clone();
            for (i, step) in steps {
                moved[i] += step;
            }
            numbers(at.kl(&kind.with_params(row(&moved))))[0]
        };
        let fisher = fisher_matrix(&kind, &params);
        for (i, row) in fisher.iter().enumerate() {
            for (j, &found) in row.iter().enumerate() {
                let both = |a: f64, b: f64| kl([(i, a * STEP), (j, b * STEP)]);
                let mixed = both(1.0, 1.0) - both(1.0, -1.0) - both(-1.0, 1.0) + both(-1.0, -1.0);
                close(found, mixed / (4.0 * STEP * STEP), 2e-6);
                close(found, fisher[j][i], 1e-14);
            }
        }
    }
}

#[test]
fn small_divergences_are_half_the_squared_fisher_length() {
    for kind in kinds() {
        let width = kind.param_width();
        let (params, direction) = (random(width, 0.8, 22), random(width, 1.0, 23));
        let at = kind.with_params(row(&params));
        let product = numbers(at.fisher_mul(row(&direction)).squeeze_dim(0));
        let half_square: f64 = 0.5
            * product
                .iter()
                .zip(&direction)
                .map(|(f, d)| f * d)
                .sum::<f64>();
        let error = |scale: f64| {
            let moved: Vec<f64> = params
                .iter()
                .zip(&direction)
                .map(|(p, d)| p + scale * d)
                .collect();
            let kl = numbers(at.kl(&kind.with_params(row(&moved))))[0];
            (kl / (scale * scale * half_square) - 1.0).abs()
        };
        // The relative error is of the order of the length itself.
        assert!(
            error(1e-2) < 0.05 && error(1e-3) < 0.005,
            "{kind:?}: {} {}",
            error(1e-2),
            error(1e-3)
        );
    }
}

/// Masked logits are the distribution over the allowed actions and nothing else.
#[test]
fn forbidden_actions_take_part_in_nothing() {
    let kind = DistKind::Categorical { choices: 4 };
    let mask = row(&[1.0, 0.0, 1.0, 0.0]);
    let (logits, moved) = ([0.3, 9.0, -0.5, -2.0], [0.1, -3.0, 0.4, 7.0]);
    let masked = |logits: Tensor<2>| kind.with_params(mask_logits(logits, mask.clone()));
    let allowed = DistKind::Categorical { choices: 2 };
    let (p, q) = (masked(row(&logits)), masked(row(&moved)));
    let (small_p, small_q) = (
        allowed.with_params(row(&[0.3, -0.5])),
        allowed.with_params(row(&[0.1, 0.4])),
    );
    let Dist::Categorical(categorical) = &p else {
        panic!("categorical")
    };
    let probabilities = numbers(categorical.log_probs().exp().squeeze_dim(0));
    assert_eq!([probabilities[1], probabilities[3]], [0.0; 2]);
    let same = |a: Tensor<1>, b: Tensor<1>| close(numbers(a)[0], numbers(b)[0], 1e-14);
    same(p.entropy(), small_p.entropy());
    same(p.kl(&q), small_p.kl(&small_q));
    same(p.log_prob(row(&[2.0])), small_p.log_prob(row(&[1.0])));
    let found = numbers(p.fisher_mul(row(&[1.0, 5.0, 2.0, -3.0])).squeeze_dim(0));
    let expected = numbers(small_p.fisher_mul(row(&[1.0, 2.0])).squeeze_dim(0));
    for (f, e) in found.iter().zip([expected[0], 0.0, expected[1], 0.0]) {
        close(*f, e, 1e-14);
    }

    type Quantity = fn(&Dist, &Dist) -> Tensor<1>;
    let quantities: [Quantity; 4] = [
        |p, _| p.log_prob(Tensor::from_data(TensorData::from([[2.0f64]]), &device())),
        |p, _| p.entropy(),
        |p, q| p.kl(q),
        |p, q| q.kl(p),
    ];
    for quantity in quantities {
        let x = row(&logits).autodiff().require_grad();
        let grads = quantity(&masked(x.clone()), &q).backward();
        let grad = numbers(x.grad(&grads).unwrap().squeeze_dim(0));
        assert_eq!([grad[1], grad[3]], [0.0; 2], "{grad:?}");
        assert!(grad[0].is_finite() && grad[0].abs() > 1e-3, "{grad:?}");
    }
}

#[test]
fn heads_by_all_their_parameters() {
    let config = MlpConfig {
        hidden: vec![4],
        init: Init::Uniform,
        ..Default::default()
    };
    let mlp = || config.build(3, 2, 1.0, &mut SmallRng::seed_from_u64(1), &device());
    let rows: [&[f64]; 3] = [&[0.3, 1.0, 1.0], &[-0.6, 0.0, 1.0], &[0.9, 1.0, 0.0]];
    let obs = vector(&rows.concat()).reshape([3, 3]);
    let weights = matrix(3, 2, 1.0, 13);
    for net in [
        Net::new(StateLogStd::new(mlp(), -0.7)),
        Net::new(Masked::new(mlp())),
    ] {
        let f = |net: &Net| {
            let outputs = net.forward(obs.clone());
            // Forbidden logits are constants of no interest.
            (outputs.clamp_min(-1e3) * weights.clone()).sum()
        };
        let tracked = net.tracked();
        let grad = numbers(tracked.flat_grad(&f(&tracked).backward()));
        check_against(&numbers(net.flat()), &grad, |x| f(&net.with_flat(x)));
    }
}

#[test]
fn state_dependent_standard_deviations_start_where_they_are_told_to_and_stay_in_range() {
    let config = MlpConfig::default();
    let mlp = config.build(3, 4, 0.0, &mut SmallRng::seed_from_u64(1), &device());
    let net = Net::new(StateLogStd::new(mlp, -0.7));
    let outputs = numbers(net.forward(matrix(1, 3, 1.0, 2)).squeeze_dim(0));
    for (found, expected) in outputs.iter().zip([0.0, 0.0, -0.7, -0.7]) {
        close(*found, expected, 1e-14);
    }
    for (shift, expected) in [(1e3, 2.0), (-1e3, -5.0)] {
        let far = net.with_flat(net.flat() + shift);
        let outputs = numbers(far.forward(matrix(1, 3, 0.0, 2)).squeeze_dim(0));
        close(outputs[3], expected, 1e-9);
    }
}
