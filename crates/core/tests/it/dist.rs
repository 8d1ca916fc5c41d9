use crate::{assert_close, device::device, matrix, numbers};
use burn::tensor::{Tensor, TensorData};
use proptest::prelude::*;
use rand::{Rng, SeedableRng};
use uphill_core::dist::{Bounds, Dist, DistKind, NoiseKind, mask_logits};

const CHOICE: DistKind = DistKind::Categorical { choices: 3 };
const NORMAL: DistKind = DistKind::Gaussian { dim: 2 };

#[test]
fn categorical_log_prob_and_entropy_by_hand() {
    // Logits ln 1, ln 2, ln 5: probabilities 1/8, 2/8, 5/8.
    let logits = matrix([[0.0, 2f32.ln(), 5f32.ln()]; 3]);
    let dist = CHOICE.with_params(logits);
    let p = [0.125f64, 0.25, 0.625];
    let actions = matrix([[0.0], [1.0], [2.0]]);
    assert_close(dist.log_prob(actions), &p.map(f64::ln), 1e-5);
    let entropy = -p.iter().map(|p| p * p.ln()).sum::<f64>();
    assert_close(dist.entropy(), &[entropy; 3], 1e-5);
    assert_close(dist.mode(), &[2.0; 3], 0.0);
}

#[test]
fn noise_grows_with_the_number_of_components() {
    let width = |dim: usize| {
        let bounds = Bounds::new(&vec![-1.0; dim], &vec![1.0; dim]).unwrap();
        let kinds = [
            DistKind::Beta {
                bounds: bounds.clone(),
            },
            DistKind::SquashedGaussian { bounds },
            DistKind::Gaussian { dim },
        ];
        kinds.map(|kind| kind.noise().0)
    };
    let of_one = width(1);
    assert_eq!(width(3), of_one.map(|width| 3 * width));
}

#[test]
fn categorical_kl_by_hand() {
    let p = CHOICE.with_params(matrix([[0.0, 2f32.ln(), 5f32.ln()]]));
    let q = CHOICE.with_params(matrix([[0.0, 0.0, 0.0]]));
    // Against a uniform distribution: ln 3 − H(p).
    let h: f64 = -[0.125f64, 0.25, 0.625]
        .iter()
        .map(|p| p * p.ln())
        .sum::<f64>();
    assert_close(p.kl(&q), &[3f64.ln() - h], 1e-5);
    assert_close(p.kl(&p), &[0.0], 1e-6);
}

#[test]
fn gaussian_by_hand() {
    // Means 1 and −2, standard deviations 1 and e.
    let dist = NORMAL.with_params(matrix([[1.0, -2.0, 0.0, 1.0]]));
    let half_log_tau = 0.5 * std::f64::consts::TAU.ln();
    // z = (2, 1): −½(4 + 1) − 0 − 1 − log 2π.
    let actions = matrix([[3.0, -2.0 + std::f32::consts::E]]);
    assert_close(
        dist.log_prob(actions),
        &[-2.5 - 1.0 - 2.0 * half_log_tau],
        1e-5,
    );
    assert_close(dist.entropy(), &[1.0 + 2.0 * (half_log_tau + 0.5)], 1e-5);
    assert_close(dist.mode(), &[1.0, -2.0], 0.0);
    assert_close(
        dist.sample(matrix([[1.0, 1.0]])),
        &[2.0, -2.0 + 1f64.exp()],
        1e-5,
    );
}

#[test]
fn gaussian_kl_by_hand() {
    // Textbook: log(σ₂/σ₁) + (σ₁² + (μ₁−μ₂)²)/2σ₂² − ½ with σ₁ = 1, σ₂ = 2, μ₁ − μ₂ = 1, once per component.
    let p = NORMAL.with_params(matrix([[1.0, 1.0, 0.0, 0.0]]));
    let q = NORMAL.with_params(matrix([[0.0, 0.0, 2f32.ln(), 2f32.ln()]]));
    let one = 2f64.ln() + (1.0 + 1.0) / 8.0 - 0.5;
    assert_close(p.kl(&q), &[2.0 * one], 1e-5);
    assert_close(q.kl(&q), &[0.0], 1e-6);
}

#[test]
fn fisher_products_by_hand() {
    // p = (1/8, 2/8, 5/8), u = (1, 2, 3): pᵀu = 20/8, p ∘ (u − pᵀu) = (−3/16, −1/8, 5/16).
    let choice = CHOICE.with_params(matrix([[0.0, 2f32.ln(), 5f32.ln()]]));
    assert_close(
        choice.fisher_mul(matrix([[1.0, 2.0, 3.0]])),
        &[-0.1875, -0.125, 0.3125],
        1e-6,
    );
    // σ = (1, 2): (u₁, u₂/4, 2u₃, 2u₄).
    let normal = NORMAL.with_params(matrix([[1.0, -2.0, 0.0, 2f32.ln()]]));
    assert_close(
        normal.fisher_mul(matrix([[1.0, 2.0, 3.0, 4.0]])),
        &[1.0, 0.5, 6.0, 8.0],
        1e-6,
    );
}

/// One of each kind with four parameters.
fn kinds() -> [DistKind; 5] {
    let bounds = bounds([-1.0, 0.0], [1.0, 4.0]);
    [
        DistKind::Categorical { choices: 4 },
        DistKind::MultiDiscrete {
            choices: vec![3, 1],
        },
        NORMAL,
        DistKind::SquashedGaussian {
            bounds: bounds.clone(),
        },
        DistKind::Beta { bounds },
    ]
}

fn bounds<const A: usize>(low: [f32; A], high: [f32; A]) -> Bounds {
    Bounds::new(&low, &high).unwrap()
}

#[test]
fn multi_discrete_by_hand() {
    // Probabilities (1/4, 3/4) and (1/8, 2/8, 5/8).
    let kind = DistKind::MultiDiscrete {
        choices: vec![2, 3],
    };
    let (l2, l3, l5) = (2f32.ln(), 3f32.ln(), 5f32.ln());
    let dist = kind.with_params(matrix([[0.0, l3, 0.0, l2, l5]; 2]));
    let log_probs = [(0.25f64 * 0.25).ln(), (0.75f64 * 0.625).ln()];
    assert_close(
        dist.log_prob(matrix([[0.0, 1.0], [1.0, 2.0]])),
        &log_probs,
        1e-6,
    );
    let h = |p: &[f64]| -p.iter().map(|p| p * p.ln()).sum::<f64>();
    let entropy = h(&[0.25, 0.75]) + h(&[0.125, 0.25, 0.625]);
    assert_close(dist.entropy(), &[entropy; 2], 1e-5);
    assert_close(dist.mode(), &[1.0, 2.0, 1.0, 2.0], 0.0);
    // Against uniform components: ln 6 − H.
    let uniform = kind.with_params(matrix([[0.0; 5]; 2]));
    assert_close(dist.kl(&uniform), &[6f64.ln() - entropy; 2], 1e-5);
    // Noise that wins over every preference, in the first component for 0 and in the second for 1.
    let noise = matrix([[9.0, 0.0, 0.0, 9.0, 0.0]; 2]);
    assert_close(dist.sample(noise), &[0.0, 1.0, 0.0, 1.0], 0.0);
}

#[test]
fn squashed_gaussian_by_hand() {
    let kind = DistKind::SquashedGaussian {
        bounds: bounds([-1.0, 0.0], [1.0, 4.0]),
    };
    let dist = kind.with_params(matrix([[0.5, -1.0, 0.0, 0.0]]));
    // u = 0 in the first component, atanh ½ in the second: a = 0 and 0 + 4 · 0.75.
    let u = [0.0, 0.5f64.atanh()];
    let actions = matrix([u.map(|u| u as f32)]);
    assert_close(kind.env_actions(actions.clone()), &[0.0, 3.0], 1e-6);
    // da/du = 1 · (1 − 0) and 2 · (1 − ¼).
    let normal = -0.5 * (0.25 + (u[1] + 1.0).powi(2)) - std::f64::consts::TAU.ln();
    assert_close(dist.log_prob(actions), &[normal - 1.5f64.ln()], 1e-5);
    assert_close(dist.mode(), &[0.5, -1.0], 0.0);
    assert_close(dist.sample(matrix([[1.0, 2.0]])), &[1.5, 1.0], 1e-6);
}

#[test]
fn beta_by_hand() {
    // softplus(ln(e − 1)) = 1 and softplus(ln(e² − 1)) = 2: Beta(2, 3) on [0, 4], B = 1/12.
    let one = (1f32.exp() - 1.0).ln();
    let two = (2f32.exp() - 1.0).ln();
    let kind = DistKind::Beta {
        bounds: bounds([0.0], [4.0]),
    };
    let dist = kind.with_params(matrix([[one, two]]));
    // x = ¼, a = 1: 12 · ¼ · (¾)² / 4.
    let actions = matrix([[(1f32 / 3.0).ln()]]);
    assert_close(kind.env_actions(actions.clone()), &[1.0], 1e-6);
    let density = 12.0f64 * 0.25 * 0.5625 / 4.0;
    assert_close(dist.log_prob(actions), &[density.ln()], 1e-5);
    // ψ(2) = 1 − γ, ψ(3) = 3/2 − γ, ψ(5) = 25/12 − γ: −ln 12 − 1 − 3 + 3 · 25/12 + ln 4, γ cancels.
    assert_close(
        dist.entropy(),
        &[-(12f64.ln()) - 4.0 + 6.25 + 4f64.ln()],
        1e-5,
    );
    // Mode x = 1/3, mean x = 2/5.
    assert_close(kind.env_actions(dist.mode()), &[4.0 / 3.0], 1e-5);
    assert_close(kind.env_actions(dist.greedy()), &[1.6], 1e-5);
}

#[test]
fn bounded_kinds_reach_their_bounds_and_no_further() {
    for kind in &kinds()[3..] {
        let actions = matrix([[-100.0, -100.0], [0.0, 0.0], [100.0, 100.0]]);
        let expected = [-1.0, 0.0, 0.0, 2.0, 1.0, 4.0];
        let found = kind.env_actions(actions);
        assert_close(found.clone(), &expected, 1e-30);
        for row in numbers(found).chunks(2) {
            let inside = (-1.0..=1.0).contains(&row[0]) && (0.0..=4.0).contains(&row[1]);
            assert!(inside, "{kind:?}: {row:?}");
        }
    }
}

#[test]
fn infinite_or_empty_intervals_are_no_bounds() {
    for (low, high) in [(0.0, f32::INFINITY), (f32::NAN, 1.0), (1.0, 1.0)] {
        assert_eq!(Bounds::new(&[low], &[high]), None);
    }
    assert_eq!(Bounds::new(&[0.0], &[1.0, 2.0]), None);
}

/// Parameters and actions far out leave numbers, not infinities.
#[test]
fn extremes_stay_finite() {
    for kind in &kinds()[2..] {
        for raw in [-40.0, -10.0, 0.0, 10.0, 40.0] {
            let params = match kind {
                DistKind::Beta { .. } => matrix([[raw, -raw, 0.0, raw]]),
                _ => matrix([[raw, 0.0, -5.0, 2.0]]),
            };
            let dist = kind.with_params(params.clone());
            let (mode, entropy) = (numbers(dist.mode()), numbers(dist.entropy()));
            let fisher = numbers(dist.fisher_mul(params));
            let far = numbers(dist.log_prob(matrix([[-50.0, 60.0]])));
            let greedy = numbers(dist.greedy());
            for x in [mode, greedy, entropy, fisher, far].concat() {
                assert!(x.is_finite(), "{kind:?} {raw}");
            }
        }
    }
}

#[test]
fn forbidden_actions_are_never_sampled_whatever_the_logits() {
    let batch = 5000;
    let logits = matrix([[0.0, 80.0, -90.0, 80.0]]).repeat(&[batch, 1]);
    let mask = matrix([[1.0, 0.0, 1.0, 0.0]]).repeat(&[batch, 1]);
    let kind = DistKind::Categorical { choices: 4 };
    let dist = kind.with_params(mask_logits(logits, mask));
    let samples = numbers(dist.sample(noise(&kind, batch, 5)));
    assert!(samples.iter().all(|a| *a == 0.0 || *a == 2.0));
    let Dist::Categorical(categorical) = &dist else {
        panic!("categorical")
    };
    let p = numbers(categorical.log_probs().exp().narrow(0, 0, 1));
    assert_eq!([p[1], p[3]], [0.0; 2]);
    assert!(numbers(dist.entropy())[0].is_finite());
    assert!(numbers(dist.kl(&dist))[0].abs() < 1e-6);
}

/// Moments of samples against those of the distribution, for shapes from nearly uniform to sharp.
#[test]
fn beta_samples_have_its_moments() {
    let batch = 40_000;
    let kind = DistKind::Beta {
        bounds: bounds([0.0], [1.0]),
    };
    for raw in [[-30.0, -30.0], [0.0, 0.0], [-2.0, 3.0], [20.0, 60.0]] {
        let params = matrix([raw]).repeat(&[batch, 1]);
        let dist = kind.with_params(params);
        let x = numbers(kind.env_actions(dist.sample(noise(&kind, batch, 3))));
        let [a, b] = raw.map(|r| 1.0 + f64::from(r).exp().ln_1p());
        let (mean, variance) = (a / (a + b), a * b / ((a + b).powi(2) * (a + b + 1.0)));
        let found = x.iter().sum::<f64>() / batch as f64;
        let spread = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / batch as f64;
        let error = (variance / batch as f64).sqrt();
        assert!(
            (found - mean).abs() < 4.0 * error,
            "{raw:?}: {found} {mean}"
        );
        // The fourth moment of a Beta distribution is at most three times the squared variance.
        assert!(
            (spread / variance - 1.0).abs() < 0.03,
            "{raw:?}: {spread} {variance}"
        );
        let log_probs = numbers(dist.log_prob(dist.sample(noise(&kind, batch, 4))));
        let entropy = numbers(dist.entropy())[0];
        let estimate = -log_probs.iter().sum::<f64>() / batch as f64;
        assert!(
            (estimate - entropy).abs() < 0.02,
            "{raw:?}: {estimate} {entropy}"
        );
    }
}

/// A candidate that is refused is followed by the next; six that are leave the variate d.
#[test]
fn beta_sampling_takes_the_first_accepted_candidate() {
    let kind = DistKind::Beta {
        bounds: bounds([0.0], [1.0]),
    };
    // α = β = 1: d = 2/3. A normal of −3 makes v negative: refused. 0 is accepted whatever u < 1.
    let dist = kind.with_params(matrix([[-90.0, -90.0]]));
    let (refused, accepted) = (-3.0, 1.0);
    let [mut noise, mut none] = [[refused; 24]; 2];
    noise[2] = accepted; // the third candidate for α
    noise[3] = 0.0; // comes too late
    noise[6] = 0.0; // the first candidate for β: v = 1
    noise[12..].fill(0.5);
    none[12..].fill(0.5);
    // v = (1 + 1/√6)³ against 1.
    let expected = 3.0 * (1.0 + 1.0 / 6f64.sqrt()).ln();
    let samples = dist.sample(matrix([noise]));
    assert_close(samples, &[expected], 1e-5);
    assert_close(dist.sample(matrix([none])), &[0.0], 1e-6);
}

/// Noise `[B, W]` as `kind` wants it.
fn noise(kind: &DistKind, batch: usize, seed: u64) -> Tensor<2> {
    let mut rng = rand::rngs::SmallRng::seed_from_u64(seed);
    let mut unit = || ((rng.next_u32() >> 9) as f32 + 0.5) / (1u32 << 23) as f32;
    let (width, noise) = kind.noise();
    let mut draw = |column: usize| match noise {
        NoiseKind::Gumbel => -(-unit().ln()).ln(),
        NoiseKind::Uniform => unit(),
        NoiseKind::NormalThenUniform if column >= width / 2 => unit(),
        NoiseKind::Normal | NoiseKind::NormalThenUniform => {
            (-2.0 * unit().ln()).sqrt() * (std::f32::consts::TAU * unit()).cos()
        }
    };
    let values: Vec<f32> = (0..batch * width).map(|i| draw(i % width)).collect();
    Tensor::from_data(TensorData::new(values, [batch, width]), &device())
}

#[test]
fn categorical_samples_have_the_probabilities() {
    let batch = 20_000;
    let dist = CHOICE.with_params(matrix([[0.0, 2f32.ln(), 5f32.ln()]]).repeat(&[batch, 1]));
    let samples = numbers(dist.sample(noise(&CHOICE, batch, 1)));
    for (k, p) in [0.125, 0.25, 0.625].into_iter().enumerate() {
        let share = samples.iter().filter(|a| **a == k as f64).count() as f64 / batch as f64;
        // Four standard deviations.
        assert!(
            (share - p).abs() < 4.0 * (p * (1.0 - p) / batch as f64).sqrt(),
            "{k}: {share}"
        );
    }
}

#[test]
fn entropy_is_the_mean_of_minus_log_prob() {
    let batch = 20_000;
    for kind in kinds() {
        let dist = kind.with_params(matrix([[1.0, -2.0, 0.3, -0.7]]).repeat(&[batch, 1]));
        let log_probs = numbers(dist.log_prob(dist.sample(noise(&kind, batch, 2))));
        let mean = -log_probs.iter().sum::<f64>() / batch as f64;
        let entropy = numbers(dist.entropy())[0];
        assert!(
            (mean - entropy).abs() < 0.03,
            "{kind:?}: {mean} against {entropy}"
        );
    }
}

#[test]
#[should_panic(expected = "assert_shape")]
fn parameters_of_the_wrong_width_are_refused() {
    NORMAL.with_params(matrix([[0.0; 3]]));
}

proptest! {
    // One device round trip per case: few cases keep this quick on a GPU too.
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn kl_is_never_negative(p in prop::array::uniform4(-3f32..3.0), q in prop::array::uniform4(-3f32..3.0)) {
        for kind in kinds() {
            let (p, q) = (kind.with_params(matrix([p])), kind.with_params(matrix([q])));
            let kl = numbers(p.kl(&q))[0];
            prop_assert!(kl >= -1e-5, "{kind:?}: {kl}");
            prop_assert!(numbers(p.kl(&p))[0].abs() < 1e-5);
        }
    }

    #[test]
    fn probabilities_sum_to_one(logits in prop::array::uniform4(-30f32..30.0)) {
        let kind = DistKind::Categorical { choices: 4 };
        let dist = kind.with_params(matrix([logits; 4]));
        let log_probs = numbers(dist.log_prob(matrix([[0.0], [1.0], [2.0], [3.0]])));
        let sum: f64 = log_probs.iter().map(|l| l.exp()).sum();
        prop_assert!((sum - 1.0).abs() < 1e-5, "{sum}");
    }
}

#[test]
fn the_mode_of_a_beta_distribution_far_in_the_tail_by_hand() {
    // x = (α − 1)/(α + β − 2) with α − 1 = ln(1 + e⁻⁴⁰) = e⁻⁴⁰ and β − 1 = ln(1 + e²): y = −40 − ln(β − 1).
    let kind = DistKind::Beta {
        bounds: Bounds::new(&[-1.0], &[1.0]).unwrap(),
    };
    let softplus = 2f64.exp().ln_1p();
    let found = kind
        .with_params(matrix([[-40.0, 2.0], [2.0, -40.0]]))
        .mode();
    assert_close(found, &[-40.0 - softplus.ln(), 40.0 + softplus.ln()], 1e-6);
}
