//! Load a trained run and act with its policy, step by step.
//!
//! ```text
//! cargo run --release -- train configs/ppo-cartpole.toml --out runs/mine
//! cargo run --release --example act runs/mine
//! ```
//!
//! All that a program around a policy needs: observations in, actions out. Prints the return of each episode, which is
//! 500 after this training.

use burn::tensor::{Device, Tensor};
use std::{error::Error, fs, path::Path};
use uphill_algos::{Checkpoint, RunConfig, build_actor, train::load_actor};
use uphill_envs::BatchOptions;

const SEED: u64 = 1;

pub fn run(run: &Path, episodes: u32) -> Result<(), Box<dyn Error>> {
    let device = Device::flex();
    let config: RunConfig = toml::from_str(&fs::read_to_string(run.join("config.toml"))?)?;
    let checkpoint = Checkpoint::read(&run.join("checkpoints/latest/run.safetensors"))?;
    let spec = uphill_envs::spec_with(&config.env, config.frames)?;
    let mut actor = build_actor(&config, &spec, &device)?;
    load_actor(&mut actor, &checkpoint)?;

    // One copy; your own environment can take its place.
    let options = BatchOptions {
        frames: config.frames,
        ..BatchOptions::default()
    };
    let mut env = uphill_envs::make_with(&config.env, 1, &device, options)?;
    let mut obs = env.reset(SEED);
    for episode in 1..=episodes {
        let mut memory = actor.net.start(1);
        let (mut episode_return, mut steps, mut over) = (0.0, 0, false);
        while !over {
            let (dist, after) = actor.step(obs, memory);
            let action: Tensor<2> = actor.kind.env_actions(dist.greedy());
            let step = env.step(action);
            episode_return += step.rewards.into_scalar::<f32>();
            steps += 1;
            over = step.terminated.bool_or(step.truncated).into_scalar();
            // If this episode is over, this is already the first observation of the next.
            obs = step.obs;
            memory = after;
        }
        println!("episode {episode}: return {episode_return:.1} in {steps} steps");
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1);
    let path = path.ok_or("give the directory of a run, for example runs/ppo-cartpole-1")?;
    run(Path::new(&path), 5)
}
