//! PPO written out with core's functions: no trainer, no configuration.
//!
//! ```text
//! cargo run --release --example by_hand
//! ```
//!
//! A starting point for your own algorithm: change the loss, keep the rest. Prints the mean return of each iteration's
//! finished episodes, which reaches 500, the maximum.

use burn::tensor::{Device, Tensor};
use rand::{SeedableRng, rngs::SmallRng};
use std::error::Error;
use uphill_algos::{
    collect::collect,
    random::{Order, index_tensor},
};
use uphill_core::{
    advantage::{gae, standardize},
    dist::DistKind,
    loss::{clipped_surrogate, value_loss},
    nn::MlpConfig,
    optim::{Adam, clip_grad_norm},
    policy::{Actor, Critic},
    rollout::Memory,
};
use uphill_envs::NoiseAt;

const SEED: u64 = 1;
const STEPS: usize = 64; // T
const ENVS: usize = 8; // N
const EPOCHS: usize = 6;
const MINIBATCHES: usize = 4;
const LEARNING_RATE: f64 = 1e-3;

pub fn run(iterations: u64) -> Result<(), Box<dyn Error>> {
    let device = Device::flex();
    let mut env = uphill_envs::make("CartPole-v1", ENVS, &device)?;
    env.reset(SEED);

    let mut rng = SmallRng::seed_from_u64(SEED);
    let mlp = MlpConfig::default();
    let kind = DistKind::Categorical { choices: 2 };
    let mut actor = Actor::new(mlp.build(4, 2, 0.01, &mut rng, &device), kind);
    let mut critic = Critic::new(mlp.build(4, 1, 1.0, &mut rng, &device));
    let split = actor.net.num_params();
    let mut adam = Adam::new(split + critic.net.num_params(), 1e-5, &device);

    for iteration in 0..iterations {
        // Experience [T, N, ..] with advantages and returns.
        let first_step = iteration * STEPS as u64;
        let memory = &mut Memory::default(); // these networks have none
        let noise = NoiseAt::actions(SEED, first_step);
        let rollout = collect((&actor, &critic), env.as_mut(), memory, STEPS, noise);
        let advantages = gae(&rollout.trace(), 0.98, 0.9);
        let returns = advantages.clone() + rollout.values.clone();
        let batch = rollout.flatten(advantages, returns);

        for epoch in 0..EPOCHS {
            let order = Order {
                seed: SEED,
                iteration,
                epoch,
            };
            for indices in order.minibatches(batch.len(), MINIBATCHES) {
                let b = batch.select(index_tensor(indices, &device));

                // The loss; gradients are recorded from here on.
                let (actor_net, critic_net) = (actor.net.tracked(), critic.net.tracked());
                let dist = actor.with_net(actor_net.clone()).dist(b.obs.clone());
                let values = critic.with_net(critic_net.clone()).values(b.obs);
                let log_ratios = dist.log_prob(b.actions) - b.log_probs;
                let surrogate = clipped_surrogate(log_ratios, standardize(b.advantages), 0.2);
                let loss = value_loss(values, b.returns) * 0.5 - surrogate;

                // One flat gradient, one flat step.
                let grads = loss.backward();
                let grad = vec![actor_net.flat_grad(&grads), critic_net.flat_grad(&grads)];
                let (grad, _) = clip_grad_norm(Tensor::cat(grad, 0), 0.5);
                let params = Tensor::cat(vec![actor.net.flat(), critic.net.flat()], 0);
                let params = adam.step(params, grad, LEARNING_RATE);
                let rest = params.dims()[0] - split;
                actor.net = actor.net.with_flat(params.clone().narrow(0, 0, split));
                critic.net = critic.net.with_flat(params.narrow(0, split, rest));
            }
        }

        let finished = env.take_episodes();
        if !finished.is_empty() {
            let sum: f64 = finished.iter().map(|e| e.episode_return).sum();
            let mean = sum / finished.len() as f64;
            println!("iteration {iteration:3}  return {mean:5.1}");
        }
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    run(80)
}
