//! Second order in the float type that training uses; exactness is in `gradients/second_order.rs`.

use crate::{
    assert_close,
    dense::{self, dot, relative_error, solve, times},
    device::device,
    matrix, numbers, vector,
};
use burn::{module::Module, tensor::Tensor};
use rand::{Rng, SeedableRng, rngs::SmallRng};
use uphill_core::{
    dist::DistKind,
    fisher::Fisher,
    network::{Net, Network, WithLogStd},
    nn::{Activation, Init, Mlp, MlpConfig},
    policy::Actor,
    trust_region::{NaturalGradient, natural_step, natural_step_by},
};

const KINDS: [DistKind; 2] = [
    DistKind::Categorical { choices: 3 },
    DistKind::Gaussian { dim: 2 },
];

/// A user's module that leaves forward mode to the central difference.
#[derive(Module, Debug)]
struct WithoutJvp {
    mlp: Mlp,
}

impl Network for WithoutJvp {
    fn forward(&self, obs: Tensor<2>) -> Tensor<2> {
        self.mlp.forward(obs)
    }
}

fn mlp(outputs: usize) -> Mlp {
    let config = MlpConfig {
        hidden: vec![8, 8],
        ..Default::default()
    };
    config.build(2, outputs, 1.0, &mut SmallRng::seed_from_u64(1), &device())
}

/// A policy of this kind whose network, from a number of outputs, is `network`.
fn policy<M: Network>(kind: &DistKind, network: impl Fn(usize) -> M) -> Actor {
    match kind {
        DistKind::Gaussian { dim } => {
            let network = WithLogStd::new(network(*dim), *dim, -0.5, &device());
            Actor::new(network, kind.clone())
        }
        _ => Actor::new(network(kind.param_width()), kind.clone()),
    }
}

fn exact(kind: &DistKind) -> Actor {
    policy(kind, mlp)
}

fn by_differences(kind: &DistKind) -> Actor {
    policy(kind, |outputs| WithoutJvp { mlp: mlp(outputs) })
}

fn obs() -> Tensor<2> {
    matrix([[0.3, -1.2], [1.0, 0.4], [-0.6, 0.1], [2.0, -0.7]])
}

fn random(len: usize, seed: u64) -> Vec<f32> {
    let mut rng = SmallRng::seed_from_u64(seed);
    let mut unit = || rng.next_u32() as f32 / u32::MAX as f32;
    (0..len).map(|_| 2.0 * unit() - 1.0).collect()
}

#[test]
fn products_are_those_of_the_matrix_by_definition() {
    for kind in KINDS {
        for (actor, tolerance) in [(exact(&kind), 1e-4), (by_differences(&kind), 1e-3)] {
            let v = random(actor.net.num_params(), 2);
            let wide: Vec<f64> = v.iter().map(|v| f64::from(*v)).collect();
            let expected = times(&dense::fisher(&actor, &obs()), &wide);
            let found = numbers(Fisher::new(&actor, obs()).product(vector(&v)));
            let error = relative_error(&found, &expected);
            assert!(error < tolerance, "{kind:?}: {error:e} of {tolerance:e}");
        }
    }
}

/// Many rows, so that fused passes run over several blocks and threads.
#[test]
fn fused_forward_mode_is_that_of_burn_s_operations() {
    let obs = vector(&random(2 * 700, 4)).reshape([700, 2]) * 2.0;
    for activation in [Activation::Tanh, Activation::Relu] {
        let mlp = |hidden: &[usize]| {
            let config = MlpConfig {
                hidden: hidden.to_vec(),
                activation,
                init: Init::Uniform,
            };
            config.build(2, 3, 1.0, &mut SmallRng::seed_from_u64(5), &device())
        };
        let with_log_std = || WithLogStd::new(mlp(&[20, 9]), 3, 0.1, &device());
        for [fused, stock] in [
            [Net::new(mlp(&[33])), Net::stock(mlp(&[33]))],
            [Net::new(mlp(&[])), Net::stock(mlp(&[]))],
            [Net::new(with_log_std()), Net::stock(with_log_std())],
        ] {
            let v = vector(&random(fused.num_params(), 6));
            let found = numbers(fused.jvp(obs.clone(), v.clone()));
            let expected = numbers(stock.jvp(obs.clone(), v));
            let error = relative_error(&found, &expected);
            assert!(error < 1e-5, "{activation:?}: {error:e}");
        }
    }
}

#[test]
fn natural_steps_solve_the_damped_system() {
    for kind in KINDS {
        let actor = exact(&kind);
        let g = random(actor.net.num_params(), 3);
        let size = NaturalGradient {
            max_kl: 0.01,
            cg_steps: 40,
            damping: 0.1,
        };
        let found = natural_step(&Fisher::new(&actor, obs()), vector(&g), size);

        let mut damped = dense::fisher(&actor, &obs());
        (0..g.len()).for_each(|i| damped[i][i] += 0.1);
        let g: Vec<f64> = g.into_iter().map(f64::from).collect();
        let x = solve(&damped, &g);
        let scale = (2.0 * 0.01 / dot(&g, &x)).sqrt();
        let d: Vec<f64> = x.iter().map(|x| x * scale).collect();
        let error = relative_error(&numbers(found.step), &d);
        assert!(error < 1e-4, "{kind:?}: {error:e}");
        assert!(numbers(found.cg_residual)[0] < 1e-4);
    }
}

#[test]
fn one_iteration_of_a_natural_step_by_hand() {
    // F = diag(1, 3), λ = 1, g = (3, 4): A g = (6, 16), α = g·g / g·A g = 25 / 82, x = α g, and the residual is g − A x.
    let size = NaturalGradient {
        max_kl: 0.02,
        cg_steps: 1,
        damping: 1.0,
    };
    let product = |v: Tensor<1>| v * vector(&[1.0, 3.0]);
    let found = natural_step_by(product, vector(&[3.0, 4.0]), size);
    let alpha: f64 = 25.0 / 82.0;
    let x = [3.0 * alpha, 4.0 * alpha];
    let residual = (3.0 - 2.0 * x[0]).hypot(4.0 - 4.0 * x[1]) / 5.0;
    let (curvature, damping) = (x[0] * x[0] + 3.0 * x[1] * x[1], x[0] * x[0] + x[1] * x[1]);
    let scale = (2.0 * 0.02 / (curvature + damping)).sqrt();
    assert_close(found.step, &x.map(|x| scale * x), 1e-6);
    let improvement = scale * (3.0 * x[0] + 4.0 * x[1]);
    assert_close(found.predicted_improvement, &[improvement], 1e-6);
    assert_close(found.predicted_kl, &[0.5 * scale * scale * curvature], 1e-6);
    assert_close(found.cg_residual, &[residual], 1e-6);
}
