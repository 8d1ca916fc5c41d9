//! REINFORCE with a policy that depends on the whole history: the probability of every trajectory comes
//! from following it, and the exact gradient is that of central differences.

use super::{BASELINES, CREDITS, device, distance, numbers, settings, vector, wrong_values};
use burn::tensor::Tensor;
use rand::{SeedableRng, rngs::SmallRng};
use uphill_algos::{
    lab::mdp::{TinyMdp, Trajectory},
    policy_gradient::estimate,
    reinforce::{Baseline, ReinforceConfig, weights},
};
use uphill_core::{
    dist::DistKind,
    nn::{Init, MlpConfig},
    policy::Actor,
    recurrent::GruNet,
    rollout::{Memory, Rollout},
};

/// A gated unit that prefers some actions.
fn actor(mdp: &TinyMdp) -> Actor {
    let mlp = MlpConfig {
        hidden: vec![3],
        init: Init::Uniform,
        ..Default::default()
    };
    let (states, choices) = (mdp.states(), mdp.actions());
    let mut rng = SmallRng::seed_from_u64(5);
    let net = GruNet::new([states, choices], &mlp, 3, 2.0, &mut rng, &device());
    Actor::recurrent(net, DistKind::Categorical { choices })
}

/// The trajectories as columns, each from its first step on.
fn rollout(mdp: &TinyMdp, actor: &Actor, columns: &[&Trajectory]) -> Rollout {
    Rollout {
        memory: Memory {
            actor: actor.net.start(columns.len()),
            critic: None,
        },
        ..mdp.rollout(columns, actor, wrong_values(mdp))
    }
}

/// P(τ) = P(chance) Π_t π(a_t|s_0, a_0, …, s_t) of every trajectory.
fn probabilities(mdp: &TinyMdp, actor: &Actor, trajectories: &[Trajectory]) -> Vec<f64> {
    let columns: Vec<_> = trajectories.iter().collect();
    let rollout = rollout(mdp, actor, &columns);
    let [steps, count] = rollout.dims();
    let keep = Tensor::ones([steps, count], &device());
    let dist = actor.follow(rollout.obs.clone(), keep, actor.net.start(count));
    let log_probs = dist.log_prob(rollout.actions.clone().reshape([steps * count, 1]));
    let taken = log_probs.reshape([steps, count]) * rollout.mask();
    let taken = numbers(taken.sum_dim(0));
    (trajectories.iter().zip(taken))
        .map(|(path, log_prob)| path.chance * log_prob.exp())
        .collect()
}

/// ∇ of E[Σ_t γᵗ r_t].
fn exact_gradient(mdp: &TinyMdp, actor: &Actor, gamma: f64) -> Tensor<1> {
    const STEP: f64 = 1e-5;
    let trajectories = mdp.trajectories();
    let objective = |flat: &[f64]| {
        let actor = actor.with_net(actor.net.with_flat(vector(flat)));
        let chances = probabilities(mdp, &actor, &trajectories);
        let returns = trajectories.iter().map(|t| mdp.discounted_return(t, gamma));
        returns.zip(chances).map(|(r, p)| r * p).sum::<f64>()
    };
    let flat = numbers(actor.net.flat());
    let slope = |i: usize| {
        let at = |e: f64| {
            let mut moved = flat.clone();
            moved[i] += e;
            objective(&moved)
        };
        (at(STEP) - at(-STEP)) / (2.0 * STEP)
    };
    vector(&(0..flat.len()).map(slope).collect::<Vec<_>>())
}

/// E[ĝ] over all pairs of trajectories.
fn expectation(mdp: &TinyMdp, actor: &Actor, config: &ReinforceConfig) -> Tensor<1> {
    let trajectories = mdp.trajectories();
    let chances = probabilities(mdp, actor, &trajectories);
    let mut sum = actor.net.flat().zeros_like();
    for (first, p) in trajectories.iter().zip(&chances) {
        for (second, q) in trajectories.iter().zip(&chances) {
            let pair = rollout(mdp, actor, &[first, second]);
            let weights = weights(config, actor, &pair);
            sum = sum + estimate(actor, &pair, weights) * (p * q);
        }
    }
    sum
}

#[test]
fn history_dependent_reinforce_is_unbiased_with_every_credit_and_every_baseline() {
    let mdp = TinyMdp::example();
    let actor = actor(&mdp);
    let total: f64 = probabilities(&mdp, &actor, &mdp.trajectories())
        .iter()
        .sum();
    assert!((total - 1.0).abs() < 1e-12, "{total}");

    let exact = exact_gradient(&mdp, &actor, super::GAMMA);
    for credit in CREDITS {
        for baseline in BASELINES {
            let mean = expectation(&mdp, &actor, &settings(credit, baseline));
            let error = distance(mean, exact.clone());
            assert!(error < 1e-7, "{credit:?} {baseline:?}: {error:e}");
        }
    }
}

/// What the policy does depends on what came before, so that the test above is one of histories: forgetting
/// them gives another gradient.
#[test]
fn a_policy_cut_off_from_its_history_has_another_gradient() {
    let mdp = TinyMdp::example();
    let actor = actor(&mdp);
    let exact = exact_gradient(&mdp, &actor, super::GAMMA);
    let config = settings(CREDITS[0], Baseline::None);
    let trajectories = mdp.trajectories();
    let chances = probabilities(&mdp, &actor, &trajectories);
    let mut sum = actor.net.flat().zeros_like();
    for (path, p) in trajectories.iter().zip(&chances) {
        let memoryless = mdp.rollout(&[path], &actor, wrong_values(&mdp));
        let weights = weights(&config, &actor, &memoryless);
        sum = sum + estimate(&actor, &memoryless, weights) * *p;
    }
    let difference = distance(sum, exact);
    assert!(difference > 1e-2, "{difference:e}");
}
