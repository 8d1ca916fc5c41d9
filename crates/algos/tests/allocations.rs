//! What a steady loop on the CPU asks of the allocator.

#![cfg(feature = "flex")]
#![allow(clippy::unwrap_used)]

use allocation_counter::measure;
use burn::tensor::Device;
use rand::{SeedableRng, rngs::SmallRng};
use uphill_algos::collect::{collect, start};
use uphill_core::{
    dist::DistKind,
    nn::MlpConfig,
    ops::{ActorCriticLoss, HostLearner, HostStep, Surrogate},
    optim::Adam,
    policy::{Actor, Critic},
};

fn agent() -> (Actor, Critic) {
    let mut rng = SmallRng::seed_from_u64(1);
    let mut net = |outputs| MlpConfig::default().build(4, outputs, 1.0, &mut rng, &Device::flex());
    let kind = DistKind::Categorical { choices: 2 };
    (Actor::new(net(2), kind), Critic::new(net(1)))
}

/// A rollout has its buffers, whose number does not depend on its length; lists of what ended grow now
/// and then.
#[test]
fn a_step_of_the_environments_allocates_nothing() {
    let (actor, critic) = agent();
    let mut env = uphill_envs::make("CartPole-v1", 8, &Device::flex()).unwrap();
    let mut memory = start(&actor, &critic, 8);
    let mut count = |steps| {
        let rollout = || {
            drop(collect(
                (&actor, &critic),
                &mut *env,
                &mut memory,
                steps,
                (1, 0),
            ))
        };
        let allocated = measure(rollout).count_total;
        env.take_episodes();
        allocated
    };
    count(16);
    let (few, many) = (count(16), count(1024));
    // Two lists double ten times at most; the values of a long rollout are worked out in up to 16 parts.
    assert!(
        many < few + 120,
        "16 steps: {few} allocations, 1024 steps: {many}"
    );
}

/// Minibatches after the first take what that one left.
#[test]
fn a_minibatch_allocates_next_to_nothing() {
    let (actor, critic) = agent();
    let mut env = uphill_envs::make("CartPole-v1", 8, &Device::flex()).unwrap();
    let mut memory = start(&actor, &critic, 8);
    let rollout = collect((&actor, &critic), &mut *env, &mut memory, 16, (1, 0));
    let batch = rollout.flatten(rollout.rewards.clone(), rollout.rewards.clone());
    let adams =
        [&actor.net, &critic.net].map(|net| Adam::new(net.num_params(), 1e-5, &Device::flex()));
    let loss = ActorCriticLoss {
        surrogate: Surrogate::Clipped { clip: 0.2 },
        value_clip: 0.2,
        value_coef: 0.5,
        entropy_coef: 0.01,
        standardize: true,
    };
    let mut learner = HostLearner::new(&actor, &critic, &batch, 64, adams, &loss).unwrap();
    let step = HostStep {
        learning_rates: [1e-3; 2],
        max_grad_norm: 0.5,
        joint_norm: true,
    };
    let parts: Vec<Vec<i32>> = (0..64).map(|i| (i..i + 64).collect()).collect();
    learner.epoch(&parts, step);
    let allocated = measure(|| drop(learner.epoch(&parts, step))).count_total;
    assert!(
        allocated <= 64 * 4 + 4,
        "{allocated} allocations in 64 minibatches"
    );
}
