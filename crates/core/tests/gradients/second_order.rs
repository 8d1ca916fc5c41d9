//! Forward mode, Fisher products, conjugate gradient and natural steps against definitions, direct
//! solves and finite differences, in f64.

use crate::{
    BATCH, actions, check, dense,
    dense::{dot, relative_error, solve, times},
    device, kinds, matrix, numbers, random, vector,
};
use burn::{
    module::{Module, Param},
    tensor::Tensor,
};
use rand::{SeedableRng, rngs::SmallRng};
use uphill_core::{
    cg::conjugate_gradient,
    dist::{Bounds, DistKind},
    fisher::Fisher,
    heads::{Masked, StateLogStd},
    loss::{policy_gradient_surrogate, surrogate_improvement},
    network::{Net, Network, WithLogStd},
    nn::{Activation, Init, Linear, Mlp, MlpConfig},
    normalize::ObsNorm,
    policy::Actor,
    trust_region::{NaturalGradient, euclidean_step, natural_step},
};

const INPUTS: usize = 2;

fn mlp(outputs: usize, activation: Activation) -> Mlp {
    let config = MlpConfig {
        hidden: vec![4, 3],
        activation,
        init: Init::Uniform,
    };
    config.build(
        INPUTS,
        outputs,
        1.0,
        &mut SmallRng::seed_from_u64(1),
        &device(),
    )
}

/// A policy whose observations are normalised, so that no test forgets to.
fn actor(kind: &DistKind, activation: Activation) -> Actor {
    let mut actor = match kind {
        DistKind::Gaussian { .. } | DistKind::SquashedGaussian { .. } => {
            let dim = kind.action_width();
            let mean = mlp(dim, activation);
            Actor::new(WithLogStd::new(mean, dim, -0.3, &device()), kind.clone())
        }
        _ => Actor::new(mlp(kind.param_width(), activation), kind.clone()),
    };
    let mut norm = ObsNorm::new(INPUTS, 0.0, &device());
    norm.moments = norm.moments.merge(matrix(BATCH, INPUTS, 2.0, 20) + 0.5);
    actor.obs_norm = Some(norm);
    actor
}

fn obs() -> Tensor<2> {
    matrix(BATCH, INPUTS, 1.5, 21)
}

fn direction(net: &Net, seed: u64) -> Tensor<1> {
    vector(&random(net.num_params(), 1.0, seed))
}

/// A policy gradient at `actor`, of one batch.
fn gradient(actor: &Actor, obs: &Tensor<2>) -> Tensor<1> {
    let advantages = vector(&random(BATCH, 1.0, 22));
    let net = actor.net.tracked();
    let log_probs = actor
        .with_net(net.clone())
        .dist(obs.clone())
        .log_prob(actions(&actor.kind));
    net.flat_grad(&policy_gradient_surrogate(log_probs, advantages).backward())
}

/// A user's module without a derivative of its own.
#[derive(Module, Debug)]
struct Residual {
    into: Linear,
    out: Linear,
}

impl Residual {
    fn new(outputs: usize) -> Self {
        let rng = &mut SmallRng::seed_from_u64(2);
        let mut linear = |io| Linear::new(io, Init::Uniform, 1.0, rng, &device());
        Self {
            into: linear([INPUTS, INPUTS]),
            out: linear([INPUTS, outputs]),
        }
    }
}

impl Network for Residual {
    fn forward(&self, obs: Tensor<2>) -> Tensor<2> {
        let x = obs.clone() + self.into.forward(obs).sin();
        self.out.forward(x)
    }
}

#[test]
fn forward_mode_is_the_directional_derivative() {
    const STEP: f64 = 1e-5;
    for activation in [Activation::Tanh, Activation::Relu] {
        for net in [
            Net::new(mlp(3, activation)),
            Net::new(WithLogStd::new(mlp(2, activation), 2, 0.2, &device())),
            Net::new(StateLogStd::new(mlp(4, activation), -0.5)),
            Net::new(Masked::new(mlp(2, activation))),
        ] {
            let v = direction(&net, 23);
            let at = |e: f64| net.with_flat(net.flat() + v.clone() * e).forward(obs());
            let expected = (at(STEP) - at(-STEP)) * (0.5 / STEP);
            let found = net.jvp(obs(), v.clone());
            assert_eq!(found.dims(), expected.dims());
            let error = relative_error(
                &numbers(found.flatten(0, 1)),
                &numbers(expected.flatten(0, 1)),
            );
            assert!(error < 1e-8, "{activation:?}: {error:e}");
        }
    }
}

/// ⟨u, J v⟩ = ⟨Jᵀu, v⟩: forward mode and backward mode know the same Jacobian, to rounding.
#[test]
fn forward_mode_is_the_transpose_of_backward_mode() {
    for activation in [Activation::Tanh, Activation::Relu] {
        let net = Net::new(WithLogStd::new(mlp(2, activation), 2, 0.2, &device()));
        let (u, v) = (matrix(BATCH, 4, 1.0, 24), direction(&net, 25));
        let forward = numbers((net.jvp(obs(), v.clone()) * u.clone()).sum())[0];
        let tracked = net.tracked();
        let grads = (tracked.forward(obs()) * u).sum().backward();
        let backward = numbers(tracked.flat_grad(&grads).dot(v))[0];
        assert!((forward - backward).abs() < 1e-12 * forward.abs().max(1.0));
    }
}

#[test]
fn a_module_without_forward_mode_gets_a_central_difference() {
    let net = Net::new(Residual::new(3));
    let v = direction(&net, 26);
    let tangent = numbers(v.clone());
    // d/dt of (x + sin(x (W + tẆ) + b + tḃ)) (V + tV̇) + c + tċ, by hand.
    let cut = |from: usize, rows: usize, columns: usize, flat: &[f64]| {
        vector(&flat[from..from + rows * columns]).reshape([rows, columns])
    };
    let flat = numbers(net.flat());
    let x = obs();
    let (w, b) = (cut(0, 2, 2, &flat), cut(4, 1, 2, &flat));
    let (dw, db) = (cut(0, 2, 2, &tangent), cut(4, 1, 2, &tangent));
    let (out, dout) = (cut(6, 2, 3, &flat), cut(6, 2, 3, &tangent));
    let dc = cut(12, 1, 3, &tangent);
    let z = x.clone().matmul(w) + b;
    let dz = x.clone().matmul(dw) + db;
    let expected = (dz * z.clone().cos()).matmul(out) + (x.clone() + z.sin()).matmul(dout) + dc;
    let found = numbers(net.jvp(x, v.clone()).flatten(0, 1));
    let error = relative_error(&found, &numbers(expected.flatten(0, 1)));
    assert!(error < 1e-8, "{error:e}");

    // The step keeps its length at parameters of any size, zero and one among them.
    let shift = net.flat() / net.flat().square().sum().sqrt();
    for params in [net.flat().zeros_like(), shift] {
        let tangent = net.with_flat(params.clone()).jvp(obs(), v.clone());
        let forward = |at: f64| {
            net.with_flat(params.clone() + v.clone() * at)
                .forward(obs())
        };
        let slope = (forward(1e-5) - forward(-1e-5)) / 2e-5;
        let [found, expected] = [tangent, slope].map(|x| numbers(x.flatten(0, 1)));
        let error = relative_error(&found, &expected);
        assert!(error < 1e-6, "{error:e}");
    }

    // A direction of length zero is no division by zero.
    let still = net.jvp(obs(), net.flat().zeros_like());
    assert!(numbers(still.flatten(0, 1)).iter().all(|x| *x == 0.0));
}

#[test]
fn fisher_products_are_those_of_the_matrix_by_definition() {
    for kind in kinds() {
        // Its scores are digamma functions, its information trigamma functions: series that stop.
        let beta = matches!(kind, DistKind::Beta { .. });
        let tolerance = if beta { 1e-9 } else { 1e-10 };
        for activation in [Activation::Tanh, Activation::Relu] {
            let actor = actor(&kind, activation);
            let v = direction(&actor.net, 27);
            let expected = times(&dense::fisher(&actor, &obs()), &numbers(v.clone()));
            let found = numbers(Fisher::new(&actor, obs()).product(v));
            let error = relative_error(&found, &expected);
            assert!(error < tolerance, "{kind:?} {activation:?}: {error:e}");
        }
        // By central differences.
        let actor = Actor::new(Residual::new(kind.param_width()), kind.clone());
        let v = direction(&actor.net, 28);
        let expected = times(&dense::fisher(&actor, &obs()), &numbers(v.clone()));
        let found = numbers(Fisher::new(&actor, obs()).product(v));
        let error = relative_error(&found, &expected);
        assert!(error < 1e-8, "{kind:?}: {error:e}");
    }
}

#[test]
fn fisher_products_reach_through_heads() {
    // Observations that are masks: every other row forbids the second action.
    let mask: Vec<f64> = (0..BATCH).map(|i| (i % 2) as f64).collect();
    let allowed = vector(&[1.0; BATCH]);
    let masks = Tensor::stack::<2>(vec![allowed, vector(&mask)], 1);
    for (actor, obs) in [
        (
            Actor::new(
                StateLogStd::new(mlp(4, Activation::Tanh), -0.5),
                DistKind::Gaussian { dim: 2 },
            ),
            obs(),
        ),
        (
            Actor::new(
                StateLogStd::new(mlp(4, Activation::Tanh), -0.5),
                DistKind::SquashedGaussian {
                    bounds: Bounds::new(&[-1.0, 0.5], &[2.0, 0.75]).unwrap(),
                },
            ),
            obs(),
        ),
        (
            Actor::new(
                Masked::new(mlp(2, Activation::Tanh)),
                DistKind::Categorical { choices: 2 },
            ),
            masks,
        ),
    ] {
        let v = direction(&actor.net, 35);
        let expected = times(&dense::fisher(&actor, &obs), &numbers(v.clone()));
        let found = numbers(Fisher::new(&actor, obs).product(v));
        let error = relative_error(&found, &expected);
        assert!(error < 1e-10, "{:?}: {error:e}", actor.kind);
    }
}

/// KL(θ ‖ θ + td) = ½ t² dᵀFd + O(t³): halving t halves the relative error.
#[test]
fn the_mean_kl_is_half_the_fisher_norm_to_second_order() {
    for kind in kinds() {
        let actor = actor(&kind, Activation::Tanh);
        let old = actor.dist(obs());
        let d = direction(&actor.net, 29);
        let product = Fisher::new(&actor, obs()).product(d.clone());
        let half_norm = 0.5 * numbers(d.clone().dot(product))[0];
        let error = |t: f64| {
            let flat = actor.net.flat() + d.clone() * t;
            let new = actor.with_net(actor.net.with_flat(flat)).dist(obs());
            numbers(old.kl(&new).mean())[0] / (half_norm * t * t) - 1.0
        };
        let (coarse, fine) = (error(2e-3), error(1e-3));
        assert!(fine.abs() < 1e-2, "{kind:?}: {fine}");
        let rate = coarse / fine;
        assert!((1.9..2.1).contains(&rate), "{kind:?}: rate {rate}");
    }
}

/// A symmetric positive definite matrix with eigenvalues of about 0.1 to 10.
fn spd(size: usize) -> Vec<Vec<f64>> {
    let rows: Vec<f64> = random(size * size, 1.0, 30);
    let row = |i: usize| &rows[i * size..(i + 1) * size];
    let entry = |i: usize, j: usize| dot(row(i), row(j)) + if i == j { 0.1 } else { 0.0 };
    (0..size)
        .map(|i| (0..size).map(|j| entry(i, j)).collect())
        .collect()
}

#[test]
fn conjugate_gradient_solves_as_a_direct_method_does() {
    const SIZE: usize = 12;
    let a = spd(SIZE);
    let flat = vector(&a.concat()).reshape([SIZE, SIZE]);
    let product = |v: Tensor<1>| flat.clone().matmul(v.unsqueeze_dim(1)).squeeze_dim::<1>(1);
    // Small right-hand sides too: a guard of 1e-10 in the denominators would stop there.
    for scale in [1.0, 1e-6] {
        let b = random(SIZE, scale, 31);
        let solution = conjugate_gradient(product, vector(&b), 3 * SIZE);
        let x = numbers(solution.x);
        let error = dot(&x, &x).sqrt().recip()
            * x.iter()
                .zip(&solve(&a, &b))
                .map(|(f, e)| (f - e).powi(2))
                .sum::<f64>()
                .sqrt();
        assert!(error < 1e-7, "scale {scale}: {error:e}");

        // Stopped early, the residual it carries is the true one.
        let early = conjugate_gradient(product, vector(&b), 4);
        let ax = times(&a, &numbers(early.x));
        let left: Vec<f64> = b.iter().zip(&ax).map(|(b, ax)| b - ax).collect();
        let residual = numbers(early.residual)[0];
        let expected = dot(&left, &left).sqrt();
        assert!(expected > 1e-4 * scale, "four steps are not meant to do");
        assert!(
            (residual - expected).abs() < 1e-9 * expected,
            "{residual} {expected}"
        );
    }
    let none = conjugate_gradient(product, vector(&[0.0; SIZE]), 5);
    assert!(numbers(none.x).iter().all(|x| *x == 0.0));
    assert_eq!(numbers(none.residual), [0.0]);
}

#[test]
fn natural_steps_are_those_of_the_dense_matrix() {
    const DAMPING: f64 = 0.05;
    const MAX_KL: f64 = 0.01;
    for kind in kinds() {
        let actor = actor(&kind, Activation::Tanh);
        let g = gradient(&actor, &obs());
        let size = NaturalGradient {
            max_kl: MAX_KL,
            cg_steps: 60,
            damping: DAMPING,
        };
        let fisher = Fisher::new(&actor, obs());
        let found = natural_step(&fisher, g.clone(), size);

        let f = dense::fisher(&actor, &obs());
        let mut damped = f.clone();
        (0..f.len()).for_each(|i| damped[i][i] += DAMPING);
        let g = numbers(g);
        let x = solve(&damped, &g);
        let scale = (2.0 * MAX_KL / dot(&g, &x)).sqrt();
        let d: Vec<f64> = x.iter().map(|x| x * scale).collect();
        let error = relative_error(&numbers(found.step), &d);
        assert!(error < 1e-8, "{kind:?}: {error:e}");
        let close = |found: Tensor<1>, expected: f64| {
            let found = numbers(found)[0];
            assert!(
                (found - expected).abs() < 1e-8 * expected,
                "{found} {expected}"
            );
        };
        close(found.predicted_improvement, dot(&g, &d));
        close(found.predicted_kl, 0.5 * dot(&d, &times(&f, &d)));
        assert!(numbers(found.cg_residual)[0] < 1e-10);

        // However early conjugate gradient stops, the step has the size asked for.
        let early = natural_step(
            &fisher,
            vector(&g),
            NaturalGradient {
                cg_steps: 2,
                ..size
            },
        );
        assert!(numbers(early.cg_residual)[0] > 1e-3);
        let d = numbers(early.step);
        let kl = 0.5 * dot(&d, &times(&damped, &d));
        assert!((kl - MAX_KL).abs() < 1e-12, "{kl}");

        // No gradient, no step.
        let none = natural_step(&fisher, vector(&g).zeros_like(), size);
        assert!(numbers(none.step).iter().all(|x| *x == 0.0));
        assert_eq!(numbers(none.predicted_kl), [0.0]);
    }
}

#[test]
fn euclidean_steps_have_the_length_asked_for() {
    let g = vector(&random(7, 3.0, 32));
    let d = numbers(euclidean_step(g.clone(), 0.04));
    assert!((dot(&d, &d) - 0.04).abs() < 1e-15);
    let g = numbers(g);
    let cosine = dot(&g, &d) / (dot(&g, &g) * dot(&d, &d)).sqrt();
    assert!((cosine - 1.0).abs() < 1e-14);
    let none = numbers(euclidean_step(vector(&[0.0; 3]), 0.04));
    assert_eq!(none, [0.0; 3]);
}

/// An affine policy whose parameters are measured in other units: W = scale ∘ weight.
#[derive(Module, Debug)]
struct Rescaled {
    weight: Param<Tensor<2>>,
    #[module(skip)]
    scale: Vec<f64>,
}

impl Rescaled {
    /// The policy with matrix `weights`, whatever the units.
    fn new(weights: &Tensor<2>, scale: Vec<f64>) -> Self {
        let units = vector(&scale).reshape(weights.shape());
        let weight = Param::from_tensor(weights.clone() / units);
        Self { weight, scale }
    }

    fn affine(&self, obs: Tensor<2>, weight: Tensor<2>) -> Tensor<2> {
        let units = vector(&self.scale).reshape(weight.shape());
        let one = obs.clone().narrow(1, 0, 1).ones_like();
        Tensor::cat(vec![obs, one], 1).matmul(weight * units)
    }
}

impl Network for Rescaled {
    fn forward(&self, obs: Tensor<2>) -> Tensor<2> {
        self.affine(obs, self.weight.val())
    }

    fn jvp(&self, tangent: &Self, obs: Tensor<2>) -> Option<Tensor<2>> {
        Some(self.affine(obs, tangent.weight.val()))
    }
}

/// The policy after a natural-gradient step does not depend on the units of its parameters; after a
/// step along the plain gradient it does.
#[test]
fn natural_steps_are_invariant_under_reparametrisation() {
    for kind in kinds() {
        let width = kind.param_width();
        let weights = matrix(INPUTS + 1, width, 0.7, 33);
        let units = random((INPUTS + 1) * width, 1.2, 34);
        let policy = |scale: Vec<f64>| Actor::new(Rescaled::new(&weights, scale), kind.clone());
        let policies = [
            policy(vec![1.0; units.len()]),
            policy(units.iter().map(|u| u.exp()).collect()),
        ];
        let log_probs = |actor: &Actor, step: Tensor<1>| {
            let net = actor.net.with_flat(actor.net.flat() + step);
            numbers(actor.with_net(net).dist(obs()).log_prob(actions(&kind)))
        };
        let start = policies
            .each_ref()
            .map(|p| log_probs(p, p.net.flat().zeros_like()));
        assert!(relative_error(&start[0], &start[1]) < 1e-12, "one policy");

        let natural = policies.each_ref().map(|p| {
            let size = NaturalGradient {
                max_kl: 0.05,
                cg_steps: 60,
                damping: 0.0,
            };
            let fisher = Fisher::new(p, obs());
            log_probs(p, natural_step(&fisher, gradient(p, &obs()), size).step)
        });
        let moved = relative_error(&natural[0], &start[0]);
        assert!(moved > 0.05, "{kind:?}: the step does something, {moved}");
        let error = relative_error(&natural[0], &natural[1]);
        assert!(error < 1e-6, "{kind:?}: {error:e}");

        let plain = policies
            .each_ref()
            .map(|p| log_probs(p, euclidean_step(gradient(p, &obs()), 0.1)));
        let difference = relative_error(&plain[0], &plain[1]);
        assert!(difference > 0.05, "{kind:?}: {difference}");
    }
}

#[test]
fn the_surrogate_s_gradient_is_the_policy_gradient_where_nothing_has_changed() {
    let advantages = vector(&random(BATCH, 1.0, 22));
    check(&[0.5, -0.5, 0.1, -0.1, 0.05], |x| {
        surrogate_improvement(x, advantages.clone())
    });
    for kind in kinds() {
        let actor = actor(&kind, Activation::Tanh);
        let old = actor.dist(obs()).log_prob(actions(&kind));
        let net = actor.net.tracked();
        let log_probs = actor
            .with_net(net.clone())
            .dist(obs())
            .log_prob(actions(&kind));
        let surrogate = surrogate_improvement(log_probs - old, advantages.clone());
        assert_eq!(numbers(surrogate.clone().without_autodiff()), [0.0]);
        let found = numbers(net.flat_grad(&surrogate.backward()));
        let expected = numbers(gradient(&actor, &obs()));
        assert!(relative_error(&found, &expected) < 1e-12);
    }
}
