//! PPO on CartPole-v1 with rl4burn: takes a workload as JSON on the command line, prints its time as JSON.

use burn::{
    backend::{Autodiff, NdArray, ndarray::NdArrayDevice},
    module::{AutodiffModule, Module},
    nn::Linear,
    optim::AdamConfig,
    prelude::*,
};
use rand::{SeedableRng, rngs::SmallRng};
use rl4burn::{
    DiscreteAcOutput, DiscreteActorCritic, PpoConfig, SyncVecEnv, envs::CartPole,
    orthogonal_linear, ppo_collect, ppo_update,
};
use serde_json::{Value, json};
use std::{collections::VecDeque, time::Instant};

type Training = Autodiff<NdArray>;

const OBS: usize = 4;
const CHOICES: usize = 2;
/// Number of episodes in the mean return.
const LATEST: usize = 100;

/// Two perceptrons with tanh units.
#[derive(Module, Debug)]
struct Agent<B: Backend> {
    policy: Vec<Linear<B>>,
    value: Vec<Linear<B>>,
}

impl<B: Backend> Agent<B> {
    fn new(hidden: &[usize], device: &B::Device, rng: &mut SmallRng) -> Self {
        let mut perceptron = |outputs: usize, last_gain: f32| {
            let mut inputs = OBS;
            let mut layers = Vec::new();
            for &width in hidden {
                layers.push(orthogonal_linear(
                    inputs,
                    width,
                    2.0_f32.sqrt(),
                    device,
                    rng,
                ));
                inputs = width;
            }
            layers.push(orthogonal_linear(inputs, outputs, last_gain, device, rng));
            layers
        };
        Self {
            policy: perceptron(CHOICES, 0.01),
            value: perceptron(1, 1.0),
        }
    }
}

fn forward<B: Backend>(layers: &[Linear<B>], x: Tensor<B, 2>) -> Tensor<B, 2> {
    let (last, hidden) = layers.split_last().expect("a perceptron has layers");
    let x = hidden.iter().fold(x, |x, layer| layer.forward(x).tanh());
    last.forward(x)
}

impl<B: Backend> DiscreteActorCritic<B> for Agent<B> {
    fn forward(&self, obs: Tensor<B, 2>) -> DiscreteAcOutput<B> {
        DiscreteAcOutput {
            logits: forward(&self.policy, obs.clone()),
            values: forward(&self.value, obs).squeeze_dim::<1>(1),
        }
    }
}

/// Settings passed on by scripts/bench_peers.
struct Work(Value);

impl Work {
    fn real(&self, key: &str) -> f64 {
        let value = self.0[key].as_f64();
        value.unwrap_or_else(|| panic!("{key} is missing"))
    }

    fn count(&self, key: &str) -> usize {
        self.real(key) as usize
    }

    fn hidden(&self) -> Vec<usize> {
        let widths = self.0["hidden"].as_array().expect("hidden is missing");
        widths
            .iter()
            .filter_map(|w| Some(w.as_u64()? as usize))
            .collect()
    }
}

/// Number of environment steps and the mean return of the last episodes.
fn train(work: &Work) -> (usize, Option<f32>) {
    let device = NdArrayDevice::Cpu;
    let seed = work.count("seed") as u64;
    let mut rng = SmallRng::seed_from_u64(seed);
    let num_envs = work.count("num_envs");
    let copy = |i| CartPole::new(SmallRng::seed_from_u64(1000 * seed + i as u64));
    let mut envs = SyncVecEnv::new((0..num_envs).map(copy).collect());
    let batch = work.count("steps") * num_envs;
    let config = PpoConfig {
        lr: work.real("learning_rate"),
        gamma: work.real("gamma") as f32,
        gae_lambda: work.real("gae_lambda") as f32,
        clip_eps: work.real("clip") as f32,
        vf_coef: work.real("value_coef") as f32,
        ent_coef: work.real("entropy_coef") as f32,
        update_epochs: work.count("epochs"),
        minibatch_size: batch / work.count("minibatches"),
        n_steps: work.count("steps"),
        clip_vloss: true,
        max_grad_norm: work.real("max_grad_norm") as f32,
        target_kl: None,
        dual_clip_coef: None,
    };
    let mut agent = Agent::<Training>::new(&work.hidden(), &device, &mut rng);
    let epsilon = work.real("adam_epsilon") as f32;
    let mut optimizer = AdamConfig::new().with_epsilon(epsilon).init();
    let mut obs = envs.reset();
    let mut returns = vec![0.0; num_envs];
    let mut finished = VecDeque::with_capacity(LATEST);

    let iterations = work.count("total_steps").div_ceil(batch);
    for iteration in 0..iterations {
        let rate = config.lr * (1.0 - iteration as f64 / iterations as f64);
        let acting = agent.valid();
        let rollout = ppo_collect::<NdArray, _, _>(
            &acting,
            &mut envs,
            &config,
            &device,
            &mut rng,
            &mut obs,
            &mut returns,
        );
        for &episode_return in &rollout.episode_returns {
            if finished.len() == LATEST {
                finished.pop_front();
            }
            finished.push_back(episode_return);
        }
        (agent, _) = ppo_update(
            agent,
            &mut optimizer,
            &rollout,
            &config,
            rate,
            &device,
            &mut rng,
        );
    }
    let mean = finished.iter().sum::<f32>() / finished.len().max(1) as f32;
    (iterations * batch, (!finished.is_empty()).then_some(mean))
}

fn main() {
    let text = std::env::args().nth(1).expect("the workload as JSON");
    let work = Work(serde_json::from_str(&text).expect("the workload as JSON"));
    let start = Instant::now();
    let (env_steps, mean_return) = train(&work);
    let run_s = start.elapsed().as_secs_f64();
    let report = json!({"run_s": run_s, "env_steps": env_steps, "mean_return": mean_return});
    println!("{report}");
}
