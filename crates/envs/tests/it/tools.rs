//! What the tests share.

use burn::tensor::{Bool, Device, Tensor, TensorData};
use uphill_envs::{
    ActionSpace, BatchEnv, BatchOptions, Described, Env, EnvSpec, NAMES, ObsSpace, Outcome, Philox,
    Step, Stream, steps_on_gpu,
};

pub(crate) fn device() -> Device {
    Device::flex()
}

pub(crate) fn floats<const D: usize>(tensor: &Tensor<D>) -> Vec<f32> {
    tensor.clone().try_into_vec_as().unwrap()
}

pub(crate) fn bools(tensor: &Tensor<1, Bool>) -> Vec<bool> {
    tensor.clone().try_into_vec_as().unwrap()
}

/// `[N, A]` from the numbers of all copies.
pub(crate) fn actions(values: &[f32], width: usize) -> Tensor<2> {
    actions_on(&device(), values, width)
}

fn actions_on(device: &Device, values: &[f32], width: usize) -> Tensor<2> {
    let data = TensorData::new(values.to_vec(), [values.len() / width, width]);
    Tensor::from_data(data, device)
}

/// The actions of step `t` for every copy: any (allowed) index, or real numbers up to one and a half times the bounds.
pub(crate) fn random_actions(env: &dyn BatchEnv, t: u32) -> Tensor<2> {
    let width = env.spec().action.width();
    let device = env.obs().device();
    let obs = floats(&env.obs());
    let values: Vec<f32> = (0..env.num_envs() as u32)
        .flat_map(|i| {
            let mut rng = Philox::new(99, Stream::User, t, i);
            match &env.spec().action {
                ActionSpace::Discrete { n } => vec![rng.below(*n as u32) as f32],
                ActionSpace::MaskedDiscrete { n } => {
                    let row = (i as usize + 1) * env.spec().obs.dim();
                    let allowed: Vec<usize> = (0..*n).filter(|k| obs[row - n + k] == 1.0).collect();
                    vec![allowed[rng.below(allowed.len() as u32) as usize] as f32]
                }
                ActionSpace::MultiDiscrete { choices } => {
                    let draw = |n: &usize| rng.below(*n as u32) as f32;
                    choices.iter().map(draw).collect()
                }
                ActionSpace::Box { low, high } => low
                    .iter()
                    .zip(high)
                    .map(|(l, h)| 1.5 * rng.range(*l, *h))
                    .collect(),
            }
        })
        .collect();
    actions_on(&device, &values, width)
}

/// A step on the host, its numbers as bits so that equal means identical.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct HostStep {
    pub(crate) obs: Vec<u32>,
    pub(crate) next_obs: Vec<u32>,
    pub(crate) rewards: Vec<u32>,
    pub(crate) terminated: Vec<bool>,
    pub(crate) truncated: Vec<bool>,
}

impl From<&Step> for HostStep {
    fn from(step: &Step) -> Self {
        let bits = |values: Vec<f32>| values.into_iter().map(f32::to_bits).collect();
        Self {
            obs: bits(floats(&step.obs)),
            next_obs: bits(floats(&step.next_obs)),
            rewards: bits(floats(&step.rewards)),
            terminated: bools(&step.terminated),
            truncated: bools(&step.truncated),
        }
    }
}

/// Steps `from..to` under random actions.
pub(crate) fn run(env: &mut dyn BatchEnv, from: u32, to: u32) -> Vec<HostStep> {
    (from..to)
        .map(|t| HostStep::from(&env.step(random_actions(env, t))))
        .collect()
}

/// A noisy walk that shows what it is given: obs (position, last action), reward the action.
/// It terminates beyond ±`end`.
#[derive(Clone)]
pub(crate) struct Walk {
    pub(crate) end: f32,
    pub(crate) time_limit: Option<u32>,
}

impl Described for Walk {
    fn spec(&self) -> EnvSpec {
        EnvSpec {
            name: "Walk-v0".to_owned(),
            obs: ObsSpace::symmetric(&[f32::INFINITY, 1.0]),
            action: ActionSpace::Box {
                low: vec![-1.0],
                high: vec![0.5],
            },
            time_limit: self.time_limit,
            reward_threshold: None,
        }
    }

    fn state_size(&self) -> usize {
        2
    }
}

impl Env for Walk {
    fn reset(&self, state: &mut [f32], rng: &mut Philox) {
        state[0] = rng.range(-0.5, 0.5);
        state[1] = 0.0;
    }

    fn step(&self, state: &mut [f32], action: &[f32], rng: &mut Philox) -> Outcome {
        state[0] += action[0] + rng.normal();
        state[1] = action[0];
        Outcome {
            reward: action[0],
            terminated: state[0].abs() > self.end,
        }
    }

    fn observe(&self, state: &[f32], obs: &mut [f32]) {
        obs.copy_from_slice(state);
    }
}

/// The built-in environments that have a kernel.
pub(crate) fn with_kernel() -> Vec<&'static str> {
    let has_kernel = |name: &&str| steps_on_gpu(*name, BatchOptions::default()).unwrap();
    let names: Vec<_> = NAMES.iter().copied().filter(has_kernel).collect();
    assert!(names.contains(&"CartPole-v1") == cfg!(feature = "gpu"));
    names
}
