//! Single updates against arithmetic written out here, with every factor in sight: advantages as plain loops in f64,
//! objectives spelt out on Burn's autodiff, update rules in f64. Adam has an ε of the size of gradients, so that a
//! step has the size of its gradient: with a small one it hides every factor.

mod a2c;
mod actor_only;
mod memory;
mod natural;
mod ppo;
mod rewards;
mod value_fit;

use crate::device::device;
use burn::tensor::{Bool, Tensor, TensorData};
use rand::{Rng, SeedableRng, rngs::SmallRng};
use uphill_algos::{
    AlgoConfig, Learner, Metrics, RunConfig, UpdateContext, build_actor, build_critic,
};
use uphill_core::{
    dist::Dist,
    network::Net,
    nn::Init,
    policy::{Actor, Critic},
    rollout::{Memory, Rollout},
};

const STEPS: usize = 6;
const COPIES: usize = 4;
const GAMMA: f64 = 0.9;
/// Of Adam and RMSProp: as large as gradients are.
const EPSILON: f64 = 0.1;
/// What a choice and what a real action are tried on.
const ENVS: [&str; 2] = ["CartPole-v1", "Pendulum-v1"];
/// Between the formulas' f64 and the f32 of the library.
const TOLERANCE: f64 = 2e-4;

/// A policy, a value function, and an experience `[6, 4]` that no environment made: everything in it is random,
/// values and log-probabilities are not those of the networks, and episodes end for both reasons.
struct Case {
    config: RunConfig,
    actor: Actor,
    critic: Critic,
    rollout: Rollout,
    numbers: Numbers,
}

/// The experience as numbers, `[T · N]` each, time-major.
#[derive(Clone)]
struct Numbers {
    steps: usize,
    copies: usize,
    rewards: Vec<f64>,
    values: Vec<f64>,
    next_values: Vec<f64>,
    terminated: Vec<bool>,
    truncated: Vec<bool>,
}

fn tensor(values: &[f64]) -> Tensor<1> {
    Tensor::from_data(TensorData::new(values.to_vec(), [values.len()]), &device())
}

fn numbers<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
    tensor.into_data().iter().collect()
}

impl Case {
    /// `fused`: the networks' passes are those of the library, else Burn's.
    fn new(env: &str, fused: bool, algo: impl Into<AlgoConfig>) -> Self {
        let mut config = RunConfig::new(env, COPIES, 1000, algo.into());
        config.network.hidden = vec![5];
        config.network.init = Init::Uniform;
        config.network.fused = fused;
        config.network.log_std = -0.3;
        config.seed = 3;
        Self::of(config)
    }

    fn of(config: RunConfig) -> Self {
        let spec = uphill_envs::spec(&config.env).unwrap();
        let actor = build_actor(&config, &spec, &device()).unwrap();
        let critic = build_critic(&config, &spec, &device());
        let mut rng = SmallRng::seed_from_u64(5);
        let mut uniform = |len: usize, scale: f64| -> Vec<f64> {
            let unit =
                |rng: &mut SmallRng| 2.0 * (f64::from(rng.next_u32()) / f64::from(u32::MAX)) - 1.0;
            // As an f32 can hold them.
            let number = |rng: &mut SmallRng| f64::from((scale * unit(rng)) as f32);
            (0..len).map(|_| number(&mut rng)).collect()
        };
        let (size, width) = (STEPS * COPIES, spec.obs.dim());
        let obs = tensor(&uniform(size * width, 1.5)).reshape([STEPS, COPIES, width]);
        let (noise_width, _) = actor.kind.noise();
        let noise = tensor(&uniform(size * noise_width, 1.5)).reshape([size, noise_width]);
        let dist = actor.dist(obs.clone().reshape([size, width]));
        let actions = dist.sample(noise);
        let away = tensor(&uniform(size, 0.5));
        let ends = uniform(size, 1.0);
        let data = Numbers {
            steps: STEPS,
            copies: COPIES,
            rewards: uniform(size, 1.0),
            values: uniform(size, 1.0),
            next_values: uniform(size, 1.0),
            terminated: ends.iter().map(|x| *x < -0.7).collect(),
            truncated: ends.iter().map(|x| *x > 0.7).collect(),
        };
        assert!(data.terminated.contains(&true) && data.truncated.contains(&true));
        let rollout = Rollout {
            obs: obs.into(),
            log_probs: (dist.log_prob(actions.clone()) + away).reshape([STEPS, COPIES]),
            actions: actions.reshape([STEPS, COPIES, actor.kind.action_width()]),
            values: data.table(&data.values),
            next_values: data.table(&data.next_values),
            rewards: data.table(&data.rewards),
            terminated: data.flags(&data.terminated),
            truncated: data.flags(&data.truncated),
            lengths: None,
            memory: Memory::default(),
            agents: 1,
        };
        Self {
            config,
            actor,
            critic,
            rollout,
            numbers: data,
        }
    }

    /// One update by the configured algorithm, `progress` of the way through a run.
    fn update(&self, progress: f64) -> Moved {
        self.update_in(0, progress)
    }

    /// [`update`](Self::update) in a given iteration.
    fn update_in(&self, iteration: u64, progress: f64) -> Moved {
        let context = UpdateContext {
            iteration,
            progress,
            seed: self.config.seed,
            peers: &uphill_core::peers::Alone,
            stop: &std::sync::atomic::AtomicBool::new(false),
        };
        let (mut actor, mut critic) = (self.actor.clone(), self.critic.clone());
        let learner = self.config.algo.settings().build(&actor, &critic);
        let Learner::Synchronous(mut algorithm) = learner else {
            panic!("no single update")
        };
        let measured = algorithm.update(&mut actor, &mut critic, self.rollout.clone(), context);
        let moved = |new: &Net, old: &Net| numbers(new.flat() - old.flat());
        Moved {
            actor_step: moved(&actor.net, &self.actor.net),
            critic_step: moved(&critic.net, &self.critic.net),
            metrics: measured.read(None).0,
            actor,
        }
    }

    /// The same networks on Burn's operations, which record gradients.
    fn stock(&self) -> (Actor, Critic) {
        let mut config = self.config.clone();
        config.network.fused = false;
        let spec = uphill_envs::spec(&config.env).unwrap();
        let actor = build_actor(&config, &spec, &device()).unwrap();
        (actor, build_critic(&config, &spec, &device()))
    }

    /// Gradient `[P]` by the policy's parameters `[P]` of something made of its distribution at the samples of `rows`.
    fn policy_slope(
        &self,
        params: &[f64],
        rows: &[usize],
        objective: impl FnOnce(Dist, Tensor<2>) -> Tensor<1>,
    ) -> Vec<f64> {
        let (actor, _) = self.stock();
        let net = actor.net.with_flat(tensor(params)).tracked();
        let dist = actor.with_net(net.clone()).dist(self.obs(rows));
        let objective = objective(dist, self.actions(rows));
        numbers(net.flat_grad(&objective.backward()))
    }

    /// Gradient `[P]` by the value function's parameters `[P]` of something made of its values at the samples of
    /// `rows`.
    fn value_slope(
        &self,
        params: &[f64],
        rows: &[usize],
        loss: impl FnOnce(Tensor<1>) -> Tensor<1>,
    ) -> Vec<f64> {
        let (_, critic) = self.stock();
        let net = critic.net.with_flat(tensor(params)).tracked();
        let values = critic.with_net(net.clone()).values(self.obs(rows));
        numbers(net.flat_grad(&loss(values).backward()))
    }

    fn obs(&self, rows: &[usize]) -> Tensor<2> {
        pick(self.rollout.obs.clone().floats(), rows)
    }

    fn actions(&self, rows: &[usize]) -> Tensor<2> {
        pick(self.rollout.actions.clone(), rows)
    }

    fn actor_params(&self) -> Vec<f64> {
        numbers(self.actor.net.flat())
    }

    fn critic_params(&self) -> Vec<f64> {
        numbers(self.critic.net.flat())
    }

    /// Every sample.
    fn all(&self) -> Vec<usize> {
        (0..STEPS * COPIES).collect()
    }
}

/// Rows `[B, W]` of `[T, N, W]`.
fn pick(table: Tensor<3>, rows: &[usize]) -> Tensor<2> {
    let [steps, copies, width] = table.dims();
    let rows: Vec<i32> = rows.iter().map(|row| *row as i32).collect();
    let len = rows.len();
    let rows = Tensor::from_data(TensorData::new(rows, [len]), &device());
    table.reshape([steps * copies, width]).select(0, rows)
}

impl Numbers {
    fn table(&self, values: &[f64]) -> Tensor<2> {
        tensor(values).reshape([self.steps, self.copies])
    }

    fn flags(&self, flags: &[bool]) -> Tensor<2, Bool> {
        let flags: Vec<f64> = flags.iter().map(|flag| f64::from(*flag)).collect();
        self.table(&flags).greater_elem(0.5)
    }

    fn ended(&self, at: usize) -> bool {
        self.terminated[at] || self.truncated[at]
    }

    /// V of what followed, nothing where the MDP ended.
    fn bootstrap(&self, at: usize) -> f64 {
        if self.terminated[at] {
            0.0
        } else {
            self.next_values[at]
        }
    }

    /// Up to `n` rewards, then V; none after the episode or the rollout.
    fn n_step_returns(&self, gamma: f64, n: usize) -> Vec<f64> {
        let from = |start: usize| {
            let (mut sum, mut at, mut weight) = (0.0, start, 1.0);
            for rewards in 1.. {
                sum += weight * self.rewards[at];
                weight *= gamma;
                let next = at + self.copies;
                if self.ended(at) || rewards == n || next >= self.rewards.len() {
                    return sum + weight * self.bootstrap(at);
                }
                at = next;
            }
            unreachable!()
        };
        (0..self.rewards.len()).map(from).collect()
    }

    /// All rewards of the episode that the rollout holds, then V.
    fn returns(&self, gamma: f64) -> Vec<f64> {
        self.n_step_returns(gamma, usize::MAX)
    }

    /// Σ (γλ)ˡ δ, summed forwards within the episode.
    fn gae(&self, gamma: f64, lambda: f64) -> Vec<f64> {
        let from = |start: usize| {
            let (mut sum, mut at, mut weight) = (0.0, start, 1.0);
            loop {
                let delta = self.rewards[at] + gamma * self.bootstrap(at) - self.values[at];
                sum += weight * delta;
                weight *= gamma * lambda;
                let next = at + self.copies;
                if self.ended(at) || next >= self.rewards.len() {
                    return sum;
                }
                at = next;
            }
        };
        (0..self.rewards.len()).map(from).collect()
    }
}

/// What an update did.
struct Moved {
    actor: Actor,
    actor_step: Vec<f64>,
    critic_step: Vec<f64>,
    metrics: Metrics,
}

fn sum(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a + b).collect()
}

fn difference(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a - b).collect()
}

fn scaled(a: &[f64], by: f64) -> Vec<f64> {
    a.iter().map(|x| x * by).collect()
}

fn norm(a: &[f64]) -> f64 {
    a.iter().map(|x| x * x).sum::<f64>().sqrt()
}

/// Mean 0 and (unbiased) standard deviation 1.
fn standard(a: &[f64]) -> Vec<f64> {
    let count = a.len() as f64;
    let mean = a.iter().sum::<f64>() / count;
    let variance = a.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (count - 1.0);
    a.iter().map(|x| (x - mean) / variance.sqrt()).collect()
}

/// Adam in f64 (arXiv:1412.6980, algorithm 1).
struct AdamF64 {
    first: Vec<f64>,
    second: Vec<f64>,
    steps: i32,
}

impl AdamF64 {
    fn new(len: usize) -> Self {
        Self {
            first: vec![0.0; len],
            second: vec![0.0; len],
            steps: 0,
        }
    }

    /// By how much parameters change.
    fn step(&mut self, grad: &[f64], rate: f64) -> Vec<f64> {
        self.steps += 1;
        let unbiased = |x: f64, beta: f64| x / (1.0 - beta.powi(self.steps));
        let mut change = |i: usize, g: f64| {
            self.first[i] = 0.9 * self.first[i] + 0.1 * g;
            self.second[i] = 0.999 * self.second[i] + 0.001 * g * g;
            let root = unbiased(self.second[i], 0.999).sqrt();
            -rate * unbiased(self.first[i], 0.9) / (root + EPSILON)
        };
        grad.iter()
            .enumerate()
            .map(|(i, g)| change(i, *g))
            .collect()
    }
}

/// Panics unless two vectors agree to f32, measured by the longest component expected.
#[track_caller]
fn agree(found: &[f64], expected: &[f64], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}: number of parameters");
    let size = expected.iter().fold(0.0f64, |size, x| size.max(x.abs()));
    assert!(size > 1e-5, "{what}: this test sees no step: {size}");
    for (i, (f, e)) in found.iter().zip(expected).enumerate() {
        let error = (f - e).abs() / size;
        assert!(
            error < TOLERANCE,
            "{what}, parameter {i}: moved by {f}, expected {e}"
        );
    }
}
