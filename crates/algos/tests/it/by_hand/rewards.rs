//! Rewards on their way from the environment to the update.

use crate::{device::device, run};
use uphill_algos::{
    RunConfig, Trainer,
    a2c::{A2cConfig, AdvantageEstimator},
    build_actor, build_critic,
};
use uphill_envs::{ActionSpace, EnvSpec, HostBatch, HostEnv, ObsSpace, Outcome, Philox};

/// Pays 10 and 0 in turn, for as long as anyone likes.
struct Ten;

impl HostEnv for Ten {
    fn spec(&self) -> EnvSpec {
        EnvSpec {
            name: "Ten".to_owned(),
            obs: ObsSpace::symmetric(&[1.0]),
            action: ActionSpace::Discrete { n: 2 },
            time_limit: None,
            reward_threshold: None,
        }
    }

    fn state_size(&self) -> usize {
        1
    }

    fn reset(&self, state: &mut [f32], _rng: &mut Philox) {
        state[0] = 1.0;
    }

    fn step(&self, state: &mut [f32], _action: &[f32], _rng: &mut Philox) -> Outcome {
        let reward = 10.0 * state[0];
        state[0] = 1.0 - state[0];
        Outcome {
            reward,
            terminated: false,
        }
    }

    fn observe(&self, state: &[f32], obs: &mut [f32]) {
        obs.copy_from_slice(state);
    }
}

/// ½ mean r² of the rewards that an update is given: with γ = 0 and a value function that is zero everywhere, it is
/// the loss of the values.
fn mean_square(change: fn(&mut RunConfig)) -> f64 {
    let algo = A2cConfig {
        steps: 6,
        gamma: 0.0,
        estimator: AdvantageEstimator::Td,
        ..Default::default()
    };
    let mut config = run("Ten", 2, 100, algo);
    config.network.hidden = vec![3];
    change(&mut config);
    let env = HostBatch::new(Ten, 2, &device()).unwrap();
    let actor = build_actor(&config, &Ten.spec(), &device()).unwrap();
    let critic = build_critic(&config, &Ten.spec(), &device());
    let nothing = critic.net.flat().zeros_like();
    let critic = critic.with_net(critic.net.with_flat(nothing));
    let mut trainer = Trainer::from_parts(config, Box::new(env), actor, critic).unwrap();
    let report = trainer.step().unwrap();
    report.metrics.get("value_loss").unwrap()
}

#[track_caller]
fn rewards_are(values: [f64; 2], change: fn(&mut RunConfig)) {
    let expected = 0.25 * values.iter().map(|r| r * r).sum::<f64>();
    let found = mean_square(change);
    let error = (found / expected - 1.0).abs();
    assert!(error < 1e-4, "{found}, not {expected}");
}

/// Their standard deviation is 5, so that they are 2 and 0 when they are scaled, and 1.5 and 0 after that. Clipped
/// first they would be 1.5 and 0, and 2 and 0 when they are scaled.
#[test]
fn rewards_are_scaled_and_then_clipped() {
    rewards_are([10.0, 0.0], |_| {});
    rewards_are([1.5, 0.0], |c| c.normalize.reward_clip = 1.5);
    rewards_are([2.0, 0.0], |c| c.normalize.reward = true);
    rewards_are([1.5, 0.0], |c| {
        c.normalize.reward = true;
        c.normalize.reward_clip = 1.5;
    });
}
