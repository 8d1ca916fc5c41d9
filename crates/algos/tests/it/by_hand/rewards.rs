//! Rewards on their way from the environment to the update.

use crate::{device::device, run};
use uphill_algos::{
    Metrics, RunConfig, Trainer,
    a2c::{A2cConfig, AdvantageEstimator},
    build_actor, build_critic,
};
use uphill_envs::{ActionSpace, Described, Env, EnvSpec, HostBatch, ObsSpace, Outcome, Philox};

/// Pays two sums in turn, for as long as anyone likes.
struct Pays([f32; 2]);

impl Described for Pays {
    fn spec(&self) -> EnvSpec {
        EnvSpec {
            name: "Pays".to_owned(),
            obs: ObsSpace::symmetric(&[1.0]),
            action: ActionSpace::Discrete { n: 2 },
            time_limit: None,
            reward_threshold: None,
        }
    }

    fn state_size(&self) -> usize {
        1
    }
}

impl Env for Pays {
    fn reset(&self, state: &mut [f32], _rng: &mut Philox) {
        state[0] = 0.0;
    }

    fn step(&self, state: &mut [f32], _action: &[f32], _rng: &mut Philox) -> Outcome {
        let reward = self.0[state[0] as usize];
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

/// What a first update measures of an environment that pays `sums` in turn. With γ = 0 and a value function that is zero
/// everywhere, the loss of the values is ½ mean r² of the rewards that the update is given.
fn measured(sums: [f32; 2], change: fn(&mut RunConfig)) -> Metrics {
    let algo = A2cConfig {
        steps: 6,
        gamma: 0.0,
        estimator: AdvantageEstimator::Td,
        ..Default::default()
    };
    let mut config = run("Pays", 2, 100, algo);
    config.network.hidden = vec![3];
    change(&mut config);
    let env = HostBatch::new(Pays(sums), 2, &device()).unwrap();
    let spec = Pays(sums).spec();
    let actor = build_actor(&config, &spec, &device()).unwrap();
    let critic = build_critic(&config, &spec, &device());
    let nothing = critic.net.flat().zeros_like();
    let critic = critic.with_net(critic.net.with_flat(nothing));
    let mut trainer = Trainer::from_parts(config, Box::new(env), actor, critic).unwrap();
    trainer.step().unwrap().metrics
}

/// Panics unless `sums` become `expected` on their way.
#[track_caller]
fn rewards_are(sums: [f32; 2], expected: [f64; 2], change: fn(&mut RunConfig)) {
    let expected = 0.25 * expected.iter().map(|r| r * r).sum::<f64>();
    let found = measured(sums, change).get("value_loss").unwrap();
    let error = (found / expected - 1.0).abs();
    assert!(error < 1e-4, "{found}, not {expected}");
}

/// The standard deviation of 10 and 0 is 5, so that they are 2 and 0 when they are scaled, and 1.5 and 0 after that.
/// Clipped first they would be 1.5 and 0, and 2 and 0 when they are scaled.
#[test]
fn rewards_are_scaled_and_then_clipped() {
    let sums = [10.0, 0.0];
    rewards_are(sums, [10.0, 0.0], |_| {});
    rewards_are(sums, [1.5, 0.0], |c| c.normalize.reward_clip = 1.5);
    rewards_are(sums, [2.0, 0.0], |c| c.normalize.reward = true);
    rewards_are(sums, [1.5, 0.0], |c| {
        c.normalize.reward = true;
        c.normalize.reward_clip = 1.5;
    });
}

/// Not multiplied by 10,000, the root of what stands in the place of a variance.
#[test]
fn rewards_that_do_not_vary_are_not_scaled() {
    rewards_are([3.3, 3.3], [3.3, 3.3], |c| c.normalize.reward = true);
}

#[test]
fn there_is_no_variance_to_explain_where_returns_do_not_vary() {
    assert_eq!(measured([3.3, 3.3], |_| {}).get("explained_variance"), None);
    // Nothing, by a value function that is zero everywhere.
    let found = measured([3.3, 3.4], |_| {}).get("explained_variance");
    assert!(found.unwrap().abs() < 1e-4, "{found:?}");
}
