use crate::{assert_close, device::device, matrix, numbers};
use burn::{
    module::{Param, ParamId},
    tensor::Tensor,
};
use rand::SeedableRng;
use rand::rngs::SmallRng;
use uphill_core::{
    dist::{Bounds, DistKind},
    heads::{Masked, StateLogStd},
    network::{Network, WithLogStd},
    nn::{Activate, Activation, Init, Linear, MlpConfig, layer_norm},
    policy::{Actor, Critic},
};

#[test]
fn orthogonal_weights_are_orthogonal() {
    for io in [[4, 64], [64, 64], [64, 2], [3, 1]] {
        let mut rng = SmallRng::seed_from_u64(1);
        let gain = 2f64.sqrt();
        let weight = Linear::new(io, Init::Orthogonal, gain, &mut rng, &device())
            .weight
            .val();
        // The shorter side is an orthonormal set times the gain: W Wᵀ or Wᵀ W = gain² I.
        let gram = if io[0] <= io[1] {
            weight.clone().matmul(weight.transpose())
        } else {
            weight.clone().transpose().matmul(weight)
        };
        let short = io[0].min(io[1]);
        let identity: Vec<f64> = (0..short * short)
            .map(|k| if k % (short + 1) == 0 { 2.0 } else { 0.0 })
            .collect();
        assert_close(gram, &identity, 1e-5);
    }
}

#[test]
fn uniform_weights_stay_within_their_bound() {
    let mut rng = SmallRng::seed_from_u64(1);
    let layer = Linear::new([16, 32], Init::Uniform, 1.0, &mut rng, &device());
    let weights = numbers(layer.weight.val());
    assert!(weights.iter().all(|w| w.abs() <= 0.25));
    assert!(weights.iter().any(|w| w.abs() > 0.2));
}

#[test]
fn the_same_seed_gives_the_same_network() {
    let build = |seed| {
        let mut rng = SmallRng::seed_from_u64(seed);
        let mlp = MlpConfig::default().build(4, 2, 0.01, &mut rng, &device());
        numbers(mlp.forward(matrix([[0.1, 0.2, 0.3, 0.4]])))
    };
    assert_eq!(build(1), build(1));
    assert_ne!(build(1), build(2));
}

#[test]
fn mlp_is_affine_maps_with_nonlinearities_between() {
    for (activation, f) in [
        (Activation::Tanh, f64::tanh as fn(f64) -> f64),
        (Activation::Relu, |x| x.max(0.0)),
    ] {
        let config = MlpConfig {
            hidden: vec![3],
            activation,
            init: Init::Uniform,
        };
        let mlp = config.build(2, 1, 1.0, &mut SmallRng::seed_from_u64(3), &device());
        let x = [0.7, -1.3];
        let layer = |l: &Linear| (numbers(l.weight.val()), numbers(l.bias.val()));
        let ((w0, b0), (w1, b1)) = (layer(&mlp.layers[0]), layer(&mlp.layers[1]));
        let hidden: Vec<f64> = (0..3)
            .map(|j| f(x[0] * w0[j] + x[1] * w0[3 + j] + b0[j]))
            .collect();
        let out = hidden.iter().zip(&w1).map(|(h, w)| h * w).sum::<f64>() + b1[0];
        assert_close(
            mlp.forward(matrix([[x[0] as f32, x[1] as f32]])),
            &[out],
            1e-5,
        );
    }
}

#[test]
fn a_fresh_policy_is_nearly_uniform_and_log_std_is_as_asked() {
    let mlp = |outputs| {
        MlpConfig::default().build(4, outputs, 0.01, &mut SmallRng::seed_from_u64(5), &device())
    };
    let obs = matrix([[1.0, -1.0, 0.5, 2.0]]);
    let actor = Actor::new(mlp(2), DistKind::Categorical { choices: 2 });
    assert_close(actor.dist(obs.clone()).entropy(), &[2f64.ln()], 1e-3);

    let mean = WithLogStd::new(mlp(3), 3, -0.5, &device());
    let actor = Actor::new(mean, DistKind::Gaussian { dim: 3 });
    let entropy = 3.0 * (-0.5 + 0.5 * (std::f64::consts::TAU * std::f64::consts::E).ln());
    assert_close(actor.dist(obs).entropy(), &[entropy], 1e-5);
}

#[test]
#[should_panic(expected = "assert_shape")]
fn a_critic_with_two_outputs_is_refused() {
    let mlp = MlpConfig::default().build(2, 2, 1.0, &mut SmallRng::seed_from_u64(1), &device());
    Critic::new(mlp).values(Tensor::zeros([3, 2], &device()));
}

#[test]
fn the_own_tanh_and_its_gradient_are_those_of_burn() {
    let values = [[-9.5, -2.0, -1e-3], [0.0, 0.4, 20.0]];
    let both = |tanh: fn(Tensor<2>) -> Tensor<2>| {
        let x = matrix(values).autodiff().require_grad();
        // Transposed: rows are not one after the other.
        let y = tanh(x.clone().transpose());
        let weights = matrix([[1.0, 2.0], [-3.0, 4.0], [5.0, -6.0]]).autodiff();
        // Used twice, so that gradients add up.
        let loss = (y.clone() * weights).sum() + y.clone().square().sum();
        let grad = x.grad(&loss.backward()).unwrap();
        (y.without_autodiff(), grad)
    };
    let (y, grad) = both(uphill_core::nn::tanh);
    let (expected_y, expected_grad) = both(Tensor::tanh);
    assert_close(y, &numbers(expected_y), 1e-6);
    assert_close(grad, &numbers(expected_grad), 1e-6);
    // Without gradients, and where the last vector is not full.
    let plain = Activation::Tanh.apply(matrix([[0.5; 7]]));
    assert_close(plain, &[0.5f64.tanh(); 7], 1e-6);
}

/// Each operation with its gradients against Burn's own operations, with and without a gradient for the inputs.
#[test]
fn own_layers_and_their_gradients_are_those_of_burn() {
    type Layer = fn(Tensor<2>, [Tensor<2>; 2]) -> Tensor<2>;
    let layers: [(Layer, Layer, [usize; 2]); 2] = [
        (
            |x, [weight, bias]| affine(x, weight, bias),
            |x, [weight, bias]| x.matmul(weight) + bias,
            [5, 3],
        ),
        (
            |x, [gamma, beta]| normalised(x, gamma, beta),
            |x, [gamma, beta]| {
                let centred = x.clone() - x.mean_dim(1);
                let variance = centred.clone().square().mean_dim(1);
                centred / (variance + 1e-5).sqrt() * gamma + beta
            },
            [1, 5],
        ),
    ];
    let device = device();
    let mut rng = SmallRng::seed_from_u64(3);
    for (own, burns, [rows, columns]) in layers {
        let mut random = |shape: [usize; 2]| {
            let layer = Linear::new(shape, Init::Uniform, 1.0, &mut rng, &device);
            layer.weight.val() * 3.0
        };
        let operands = [
            random([4, 5]),
            random([rows, columns]),
            random([1, columns]),
        ];
        for tracked in [true, false] {
            let [found, expected] = [own, burns].map(|layer| {
                let [x, a, b] = operands.clone().map(Tensor::autodiff);
                let x = if tracked { x.require_grad() } else { x };
                let (a, b) = (a.require_grad(), b.require_grad());
                let y = layer(x.clone(), [a.clone(), b.clone()]);
                let grads = (y.clone() * y.clone().exp()).sum().backward();
                let mut all = vec![numbers(y.without_autodiff())];
                let of_x = x.grad(&grads);
                assert_eq!(of_x.is_some(), tracked);
                let others = [a, b].map(|tensor| tensor.grad(&grads));
                all.extend(others.into_iter().chain([of_x]).flatten().map(numbers));
                all.concat()
            });
            assert!(expected.iter().any(|x| x.abs() > 0.1));
            for (found, expected) in found.iter().zip(&expected) {
                assert!(
                    (found - expected).abs() < 1e-4 * expected.abs().max(1.0),
                    "{found} instead of {expected}"
                );
            }
        }
    }
}

/// A layer's operation through its module, whose bias is a vector.
fn affine(x: Tensor<2>, weight: Tensor<2>, bias: Tensor<2>) -> Tensor<2> {
    let layer = Linear {
        weight: Param::initialized(ParamId::new(), weight),
        bias: Param::initialized(ParamId::new(), bias.squeeze_dim(0)),
    };
    layer.forward(x)
}

fn normalised(x: Tensor<2>, gamma: Tensor<2>, beta: Tensor<2>) -> Tensor<2> {
    layer_norm(x, gamma.squeeze_dim(0), beta.squeeze_dim(0), 1e-5)
}

#[test]
fn hidden_layers_have_a_gain_of_root_two_and_the_last_its_own() {
    for hidden in [vec![], vec![9], vec![9, 8], vec![9, 8, 7]] {
        let config = MlpConfig {
            hidden: hidden.clone(),
            init: Init::Orthogonal,
            ..Default::default()
        };
        let mlp = config.build(10, 3, 0.25, &mut SmallRng::seed_from_u64(1), &device());
        for (i, layer) in mlp.layers.iter().enumerate() {
            // At least as many inputs as outputs: columns of a length that is the gain.
            let lengths = layer.weight.val().square().sum_dim(0).sqrt();
            let gain = if i == hidden.len() { 0.25 } else { 2f64.sqrt() };
            let [_, outputs] = lengths.dims();
            assert_close(lengths, &vec![gain; outputs], 1e-5);
        }
    }
}

/// Zeros without end: the smallest number that a source can draw.
struct Zeros;

impl rand::TryRng for Zeros {
    type Error = std::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        Ok(0)
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        Ok(0)
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Self::Error> {
        bytes.fill(0);
        Ok(())
    }
}

#[test]
fn the_smallest_random_number_makes_weights_too() {
    let layer = Linear::new([3, 1], Init::Orthogonal, 1.0, &mut Zeros, &device());
    assert_close(layer.weight.val(), &[1.0 / 3f64.sqrt(); 3], 1e-6);
}

#[test]
fn orthogonal_weights_have_the_fourth_moments_of_a_sphere() {
    // Uniform on the sphere in n dimensions, E x⁴ = 3 / (n (n + 2)): here 1/96, with a standard deviation of about
    // 0.03 of each x⁴, of which there are 64,000.
    let mut rng = SmallRng::seed_from_u64(1);
    let mut fourth = 0.0;
    for _ in 0..4000 {
        let layer = Linear::new([16, 1], Init::Orthogonal, 1.0, &mut rng, &device());
        fourth += numbers(layer.weight.val())
            .iter()
            .map(|x| x.powi(4))
            .sum::<f64>()
            / 64_000.0;
    }
    assert!((fourth * 96.0 - 1.0).abs() < 0.06, "{fourth}");
}

#[test]
fn masks_need_bare_logits() {
    let mut rng = SmallRng::seed_from_u64(1);
    let mlp = MlpConfig::default().build(5, 2, 1.0, &mut rng, &device());
    let shape = Masked::new(mlp.clone()).mlp_shape().unwrap();
    assert!(shape.masked && shape.log_stds == 0);
    let with_log_stds = WithLogStd::new(mlp.clone(), 2, 0.0, &device());
    assert!(Masked::new(with_log_stds).mlp_shape().is_none());
    assert!(Masked::new(Masked::new(mlp)).mlp_shape().is_none());
}

#[test]
fn heads_have_forward_mode_where_their_network_has() {
    let mut rng = SmallRng::seed_from_u64(1);
    let head = StateLogStd::new(
        MlpConfig::default().build(5, 2, 1.0, &mut rng, &device()),
        0.0,
    );
    assert!(head.jvp(&head, Tensor::ones([1, 5], &device())).is_some());
}

/// Loops and kernels know only some policies: log σ of one's own beside logits is none.
#[test]
fn fused_policies_are_those_with_the_parameters_of_their_distribution() {
    let mut rng = SmallRng::seed_from_u64(1);
    let mut mlp = |outputs| MlpConfig::default().build(3, outputs, 1.0, &mut rng, &device());
    let bounds = Bounds::new(&[-1.0; 2], &[1.0; 2]).unwrap();
    let kinds = [
        (DistKind::Categorical { choices: 2 }, 0),
        (
            DistKind::MultiDiscrete {
                choices: vec![1, 1],
            },
            0,
        ),
        (DistKind::Gaussian { dim: 2 }, 2),
        (DistKind::SquashedGaussian { bounds }, 2),
    ];
    for (kind, own) in kinds {
        for log_stds in [0, 1, 2] {
            let actor = if log_stds == 0 {
                Actor::new(mlp(2), kind.clone())
            } else {
                Actor::new(
                    WithLogStd::new(mlp(2), log_stds, 0.0, &device()),
                    kind.clone(),
                )
            };
            assert_eq!(actor.fused(), log_stds == own, "{kind:?} with {log_stds}");
        }
    }
}

#[test]
fn orthogonal_weights_point_anywhere() {
    // Of two inputs to one output: a direction, uniform on the circle. E x = E xy = 0 and E x² = ½, with standard
    // errors of √(1/2n), √(1/8n) and √(1/8n).
    let n = 2000;
    let mut rng = SmallRng::seed_from_u64(1);
    let directions: Vec<Vec<f64>> = (0..n)
        .map(|_| {
            let layer = Linear::new([2, 1], Init::Orthogonal, 1.0, &mut rng, &device());
            numbers(layer.weight.val())
        })
        .collect();
    let mean =
        |of: &dyn Fn(&[f64]) -> f64| directions.iter().map(|d| of(d)).sum::<f64>() / f64::from(n);
    let [wide, narrow] = [2.0, 8.0].map(|by| 5.0 / (by * f64::from(n)).sqrt());
    assert!(mean(&|d| d[0]).abs() < wide && mean(&|d| d[1]).abs() < wide);
    assert!(mean(&|d| d[0] * d[1]).abs() < narrow);
    assert!((mean(&|d| d[0] * d[0]) - 0.5).abs() < narrow);
}
