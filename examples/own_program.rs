//! Your own program: an environment, an algorithm, a network, and the command line around them.
//!
//! ```text
//! cargo run --release --example own_program -- list
//! cargo run --release --example own_program -- train FILE
//! ```
//!
//! FILE contains, for example: `env = "Coin-v0"`, `total_steps = 20_000`, `network.module = "own"`, `algo.name =
//! "spo"`.

#[cfg(not(test))]
#[path = "custom_algorithm.rs"]
#[allow(dead_code)] // its `main`
mod custom_algorithm;
#[cfg(test)]
use super::custom_algorithm;

use std::process::ExitCode;
use uphill::{
    algos::{register_algorithm, register_network},
    core::network::Net,
    envs::{ActionSpace, Described, Env, EnvSpec, ObsSpace, Outcome, Philox, on_host, register},
};

/// Name the side that is shown. State: that side.
#[derive(Clone)]
struct Coin;

impl Described for Coin {
    fn spec(&self) -> EnvSpec {
        EnvSpec {
            name: "Coin-v0".to_owned(),
            obs: ObsSpace::symmetric(&[1.0]),
            action: ActionSpace::Discrete { n: 2 },
            time_limit: Some(1),
            reward_threshold: Some(0.95),
        }
    }

    fn state_size(&self) -> usize {
        1
    }
}

impl Env for Coin {
    fn reset(&self, state: &mut [f32], rng: &mut Philox) {
        state[0] = rng.below(2) as f32;
    }

    fn step(&self, state: &mut [f32], action: &[f32], _: &mut Philox) -> Outcome {
        Outcome {
            reward: f32::from(action[0] == state[0]),
            terminated: true,
        }
    }

    fn observe(&self, state: &[f32], obs: &mut [f32]) {
        obs[0] = 2.0 * state[0] - 1.0;
    }
}

/// Registers everything that the command line should know by name.
pub fn registered() {
    let taken = "a name is free until it is registered";
    register_algorithm::<custom_algorithm::SpoConfig>();
    register("Coin-v0", |config| {
        config.no_options().map(|()| on_host(Coin))
    })
    .expect(taken);
    register_network("own", |r, rng| {
        let mlp = r.config.mlp();
        Net::new(mlp.build(r.spec.obs.dim(), r.outputs, r.gain, rng, r.device))
    })
    .expect(taken);
}

fn main() -> ExitCode {
    registered();
    uphill::main()
}
