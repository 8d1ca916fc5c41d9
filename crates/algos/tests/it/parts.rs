//! The caller's own environment, actor and critic.

use crate::{device::device, small};
use rand::SeedableRng;
use rand::rngs::SmallRng;
use uphill_algos::Trainer;
use uphill_core::{
    dist::DistKind,
    nn::MlpConfig,
    policy::{Actor, Critic},
};

fn mlp(inputs: usize, outputs: usize) -> uphill_core::nn::Mlp {
    MlpConfig::default().build(
        inputs,
        outputs,
        0.01,
        &mut SmallRng::seed_from_u64(1),
        &device(),
    )
}

#[test]
fn they_train_like_the_built_in_ones() {
    let env = uphill_envs::make("CartPole-v1", 4, &device()).unwrap();
    let actor = Actor::new(mlp(4, 2), DistKind::Categorical { choices: 2 });
    let mut trainer = Trainer::from_parts(small(), env, actor, Critic::new(mlp(4, 1))).unwrap();
    assert_eq!(trainer.step().unwrap().env_steps, 64);
}

#[test]
fn the_number_of_copies_has_to_agree() {
    let env = uphill_envs::make("CartPole-v1", 3, &device()).unwrap();
    let actor = Actor::new(mlp(4, 2), DistKind::Categorical { choices: 2 });
    let error = Trainer::from_parts(small(), env, actor, Critic::new(mlp(4, 1)))
        .err()
        .unwrap();
    assert_eq!(
        error.to_string(),
        "num_envs: is 4, but the environment has 3 copies"
    );
}

#[test]
fn an_actor_for_other_actions_is_refused() {
    let env = uphill_envs::make("CartPole-v1", 4, &device()).unwrap();
    let actor = Actor::new(mlp(4, 4), DistKind::Gaussian { dim: 2 });
    let error = Trainer::from_parts(small(), env, actor, Critic::new(mlp(4, 1)))
        .err()
        .unwrap();
    assert_eq!(
        error.to_string(),
        "env: its actions need the distribution Categorical { choices: 2 }, \
         the actor has Gaussian { dim: 2 }"
    );
}

#[test]
fn normalisation_reaches_networks_of_one_s_own() {
    let mut config = small();
    config.normalize.obs = true;
    let env = uphill_envs::make("CartPole-v1", 4, &device()).unwrap();
    let actor = Actor::new(mlp(4, 2), DistKind::Categorical { choices: 2 });
    let mut trainer = Trainer::from_parts(config, env, actor, Critic::new(mlp(4, 1))).unwrap();
    trainer.step().unwrap();
    for norm in [&trainer.actor().obs_norm, &trainer.critic().obs_norm] {
        assert_eq!(norm.as_ref().unwrap().moments.count, 64.0);
    }
}
