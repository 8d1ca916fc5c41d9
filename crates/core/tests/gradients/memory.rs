//! Networks with memory: backward and forward mode through time, and Fisher products of policies that
//! remember, in f64.

use crate::{
    check_against, dense,
    dense::{relative_error, times},
    device, kinds, matrix, numbers, random, vector,
};
use burn::{
    module::Module,
    tensor::{Int, Tensor},
};
use rand::{SeedableRng, rngs::SmallRng};
use uphill_core::{
    dist::DistKind,
    fisher::Fisher,
    heads::{Masked, StateLogStd},
    network::{Net, WithLogStd},
    nn::{Activation, Init, Linear, MlpConfig},
    normalize::ObsNorm,
    policy::Actor,
    recurrent::{GruNet, RecurrentNetwork},
    rollout::{Batch, Memory, Sequences},
};

const STEPS: usize = 4;
const COPIES: usize = 2;
const INPUTS: usize = 3;
const WIDTH: usize = 3;

fn gru(outputs: usize, activation: Activation) -> GruNet {
    let mlp = MlpConfig {
        hidden: vec![4],
        activation,
        init: Init::Uniform,
    };
    let mut rng = SmallRng::seed_from_u64(4);
    let shape = [INPUTS, outputs];
    GruNet::new(shape, &mlp, WIDTH, 1.0, &mut rng, &device())
}

/// A user's module with memory and without a derivative of its own: h′ = tanh((x, h) W + b).
#[derive(Module, Debug)]
struct Elman {
    cell: Linear,
    head: Linear,
}

impl Elman {
    fn new(outputs: usize) -> Self {
        let rng = &mut SmallRng::seed_from_u64(5);
        let mut linear = |io| Linear::new(io, Init::Uniform, 1.0, rng, &device());
        Self {
            cell: linear([INPUTS + WIDTH, WIDTH]),
            head: linear([WIDTH, outputs]),
        }
    }
}

impl RecurrentNetwork for Elman {
    fn state_width(&self) -> usize {
        WIDTH
    }

    fn step(&self, obs: Tensor<2>, state: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
        let state = self.cell.forward(Tensor::cat(vec![obs, state], 1)).tanh();
        (self.head.forward(state.clone()), state)
    }
}

fn obs() -> Tensor<3> {
    matrix(STEPS * COPIES, INPUTS, 1.0, 31).reshape([STEPS, COPIES, INPUTS])
}

/// In the middle of an episode.
fn state() -> Tensor<2> {
    matrix(COPIES, WIDTH, 0.5, 32)
}

/// The first copy's episode ends with the second step, so nothing may pass there.
fn keep() -> Tensor<2> {
    vector(&[1.0, 1.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0]).reshape([STEPS, COPIES])
}

/// All steps, or those that `rows` names, as an update sees them.
fn batch(rows: Option<&[i32]>) -> Batch {
    let rows = rows.map(|rows| Tensor::<1, Int>::from_ints(rows, &device()));
    let flat = obs().reshape([STEPS * COPIES, INPUTS]);
    let flat = match &rows {
        Some(rows) => flat.select(0, rows.clone()),
        None => flat,
    };
    // No Fisher matrix depends on what was done and what came of it.
    let [len, _] = flat.dims();
    let unused = || vector(&vec![f64::NAN; len]);
    Batch {
        obs: flat.into(),
        actions: unused().unsqueeze_dim(1),
        log_probs: unused(),
        values: unused(),
        advantages: unused(),
        returns: unused(),
        sequences: Some(Sequences {
            obs: obs().into(),
            keep: keep(),
            memory: Memory {
                actor: Some(state()),
                critic: None,
            },
            rows,
        }),
        agents: 1,
    }
}

fn unroll(net: &Net) -> Tensor<2> {
    net.unroll(obs(), Some(state()), keep()).0
}

fn direction(net: &Net, seed: u64) -> Tensor<1> {
    vector(&random(net.num_params(), 1.0, seed))
}

/// Observations whose last two columns are masks: every other step forbids the second action.
fn masks() -> Batch {
    let mut batch = batch(None);
    let mask = (0..STEPS * COPIES).flat_map(|i| [0.3 * i as f64, 1.0, (i / COPIES % 2) as f64]);
    let rows = vector(&mask.collect::<Vec<_>>());
    let sequences = batch.sequences.as_mut().unwrap();
    sequences.obs = rows.clone().reshape([STEPS, COPIES, INPUTS]).into();
    batch.obs = rows.reshape([STEPS * COPIES, INPUTS]).into();
    batch
}

#[test]
fn a_gated_unit_through_time() {
    let net = Net::recurrent(WithLogStd::new(
        gru(2, Activation::Tanh),
        2,
        -0.5,
        &device(),
    ));
    let weights = matrix(STEPS * COPIES, 4, 1.0, 33);
    let loss = |net: &Net| (unroll(net) * weights.clone()).sum();
    let tracked = net.tracked();
    let found = numbers(tracked.flat_grad(&loss(&tracked).backward()));
    let at = numbers(net.flat());
    check_against(&at, &found, |flat| loss(&net.with_flat(flat)));
}

#[test]
fn forward_mode_through_time_is_the_directional_derivative() {
    const STEP: f64 = 1e-5;
    for activation in [Activation::Tanh, Activation::Relu] {
        let gru = |outputs| gru(outputs, activation);
        for (net, tolerance) in [
            (Net::recurrent(gru(3)), 1e-9),
            (
                Net::recurrent(WithLogStd::new(gru(2), 2, 0.2, &device())),
                1e-9,
            ),
            (Net::recurrent(StateLogStd::new(gru(4), -0.5)), 1e-9),
            (Net::recurrent(Elman::new(3)), 1e-7),
        ] {
            let v = direction(&net, 34);
            let compare = |found: Tensor<2>, outputs: &dyn Fn(&Net) -> Tensor<2>| {
                let at = |e: f64| outputs(&net.with_flat(net.flat() + v.clone() * e));
                let expected = (at(STEP) - at(-STEP)) * (0.5 / STEP);
                assert_eq!(found.dims(), expected.dims());
                let [found, expected] = [found, expected].map(|x| numbers(x.flatten(0, 1)));
                let error = relative_error(&found, &expected);
                assert!(error < tolerance, "{activation:?}: {error:e}");
            };
            let found = net.unroll_jvp(obs(), Some(state()), keep(), v.clone());
            compare(found, &unroll);
            // At the first step of an episode.
            let first = obs().narrow(0, 0, 1).squeeze_dim::<2>(0);
            compare(net.jvp(first.clone(), v.clone()), &|net| {
                net.forward(first.clone())
            });
        }
    }
}

/// ⟨u, J v⟩ = ⟨Jᵀu, v⟩, to rounding.
#[test]
fn forward_mode_through_time_is_the_transpose_of_backward_mode() {
    let net = Net::recurrent(StateLogStd::new(gru(4, Activation::Tanh), -0.5));
    let (u, v) = (matrix(STEPS * COPIES, 4, 1.0, 35), direction(&net, 36));
    let tangent = net.unroll_jvp(obs(), Some(state()), keep(), v.clone());
    let forward = numbers((tangent * u.clone()).sum())[0];
    let tracked = net.tracked();
    let grads = (unroll(&tracked) * u).sum().backward();
    let backward = numbers(tracked.flat_grad(&grads).dot(v))[0];
    assert!((forward - backward).abs() < 1e-12 * forward.abs().max(1.0));
}

#[track_caller]
fn check_product(actor: &Actor, batch: &Batch, tolerance: f64) {
    let v = direction(&actor.net, 37);
    let dense = dense::fisher_of(actor, &|actor| actor.dist_params_on(batch));
    let expected = times(&dense, &numbers(v.clone()));
    let found = numbers(Fisher::on(actor, batch).product(v));
    let error = relative_error(&found, &expected);
    assert!(error < tolerance, "{:?}: {error:e}", actor.kind);
}

#[test]
fn fisher_products_are_those_of_the_matrix_by_definition() {
    for kind in kinds() {
        // Its scores are digamma functions, its information trigamma functions: series that stop.
        let beta = matches!(kind, DistKind::Beta { .. });
        let tolerance = if beta { 1e-9 } else { 1e-10 };
        let width = kind.param_width();
        let mut actor = match kind {
            DistKind::Gaussian { .. } | DistKind::SquashedGaussian { .. } => {
                let mean = gru(width / 2, Activation::Tanh);
                let net = WithLogStd::new(mean, width / 2, -0.3, &device());
                Actor::recurrent(net, kind.clone())
            }
            _ => Actor::recurrent(gru(width, Activation::Tanh), kind.clone()),
        };
        let mut norm = ObsNorm::new(INPUTS, 0.0, &device());
        norm.moments = norm.moments.merge(matrix(9, INPUTS, 2.0, 20) + 0.5);
        actor.obs_norm = Some(norm);
        check_product(&actor, &batch(None), tolerance);
        // Whole episodes of different lengths: some steps are padding.
        check_product(&actor, &batch(Some(&[0, 1, 3, 5])), tolerance);
        // By central differences.
        let actor = Actor::recurrent(Elman::new(width), kind.clone());
        check_product(&actor, &batch(None), 1e-8);
    }
}

#[test]
fn fisher_products_reach_through_heads_and_time() {
    let gaussian = DistKind::Gaussian { dim: 2 };
    let net = StateLogStd::new(gru(4, Activation::Relu), -0.5);
    check_product(&Actor::recurrent(net, gaussian), &batch(None), 1e-10);

    let categorical = DistKind::Categorical { choices: 2 };
    let net = Masked::new(gru(2, Activation::Tanh));
    check_product(&Actor::recurrent(net, categorical), &masks(), 1e-10);
}

/// KL(θ ‖ θ + td) = ½ t² dᵀFd + O(t³): halving t halves the relative error.
#[test]
fn the_mean_kl_along_sequences_is_half_the_fisher_norm_to_second_order() {
    let kind = DistKind::Categorical { choices: 3 };
    let actor = Actor::recurrent(gru(3, Activation::Tanh), kind);
    let batch = batch(None);
    let (old, d) = (actor.dist_on(&batch), direction(&actor.net, 38));
    let product = Fisher::on(&actor, &batch).product(d.clone());
    let half_norm = 0.5 * numbers(d.clone().dot(product))[0];
    let error = |t: f64| {
        let flat = actor.net.flat() + d.clone() * t;
        let new = actor.with_net(actor.net.with_flat(flat)).dist_on(&batch);
        numbers(old.kl(&new).mean())[0] / (half_norm * t * t) - 1.0
    };
    let (coarse, fine) = (error(2e-3), error(1e-3));
    assert!(fine.abs() < 1e-2, "{fine}");
    let rate = coarse / fine;
    assert!((1.9..2.1).contains(&rate), "rate {rate}");
}
