//! Batch whose copies live on the device.

use burn::tensor::{DType, Device, Tensor, TensorData, Transaction};
use uphill_gpu::envs::{DeviceEnv, DeviceRules, DeviceState, Steps, step};

use super::EpisodeLog;
use crate::host::{Clock, Saved, state};
use crate::{BatchEnv, Env, EnvError, EnvSpec, EnvState, Episode, Finished, HostBatch, Step};

/// `N` copies of an environment, stepped by a kernel on the device of their tensors.
///
/// It behaves like a [`HostBatch`] up to the rounding of the device, and the two can exchange saved states. Returns of
/// running episodes are kept in 32 bits. Real actions are clipped; indices are not checked beforehand: the environment
/// decides how to treat one beyond the last.
///
/// A new batch is in the state after `reset(0)`.
pub struct DeviceBatch<E> {
    /// Creates start states and checks saved ones. Its own copies are not stepped.
    host: HostBatch<E>,
    env: DeviceEnv,
    seed: u64,
    steps: u64,
    state: DeviceState,
    /// Current observations `[N, O]`.
    obs: Tensor<2>,
    /// Episodes that finished before the first step in `log`.
    earlier: Vec<Episode>,
    log: EpisodeLog,
}

/// A batch that other kernels may step.
pub trait DeviceSteps {
    /// Constants that such a kernel needs.
    fn rules(&self) -> DeviceRules;

    /// Current states of the copies.
    fn state(&self) -> DeviceState;

    /// Number of steps since the last reset.
    fn steps(&self) -> u64;

    /// Accepts the results of steps.
    fn advanced(&mut self, steps: &Steps);
}

impl<E: Env> DeviceBatch<E> {
    /// The copies of `host`, starting from its `reset(0)`; `env` is their environment in kernels.
    pub(crate) fn new(mut host: HostBatch<E>, env: DeviceEnv) -> Self {
        let obs = host.reset(0);
        let saved = host.saved();
        Self {
            env,
            seed: saved.seed,
            steps: saved.steps,
            state: upload(&saved, host.copies().states(), &obs.device()),
            obs,
            earlier: vec![],
            log: EpisodeLog::default(),
            host,
        }
    }

    /// Copies the state of `host`.
    fn follow_host(&mut self) {
        let saved = self.host.saved();
        self.obs = BatchEnv::obs(&self.host);
        self.state = upload(&saved, self.host.copies().states(), &self.obs.device());
        (self.seed, self.steps) = (saved.seed, saved.steps);
        self.earlier = saved.episodes;
        self.log = EpisodeLog::default();
    }

    fn read(&self) -> EnvState {
        let DeviceState {
            states,
            clocks,
            returns,
        } = self.state.clone();
        let read = Transaction::default()
            .register(states)
            .register(clocks)
            .register(returns);
        let [states, clocks, returns]: [TensorData; 3] = read
            .execute()
            .try_into()
            .unwrap_or_else(|_| unreachable!("three tensors were registered"));
        let numbers = |data: TensorData| data.iter().collect();
        let copies = CopiesRead {
            states: numbers(states),
            clocks: clocks.iter::<i32>().collect(),
            returns: numbers(returns),
        };
        let mut episodes = self.earlier.clone();
        episodes.extend(self.log.clone().read());
        copies.saved(self.seed, self.steps, episodes)
    }
}

/// [`DeviceState`] in host memory, row-major.
#[derive(Clone, Debug)]
pub struct CopiesRead {
    /// States `[N, S]`.
    pub states: Vec<f32>,
    /// Clocks `[N, 3]`.
    pub clocks: Vec<i32>,
    /// Returns so far, `[N]`.
    pub returns: Vec<f32>,
}

impl CopiesRead {
    /// Result of [`BatchEnv::save`] in this state, `steps` steps after the reset with `seed`, if all episodes have been
    /// taken.
    #[must_use]
    pub fn to_state(self, seed: u64, steps: u64) -> EnvState {
        self.saved(seed, steps, vec![])
    }

    fn saved(self, seed: u64, steps: u64, episodes: Vec<Episode>) -> EnvState {
        let clock = |(counters, episode_return): (&[i32], &f32)| Clock {
            age: counters[0] as u32,
            start_age: counters[1] as u32,
            episode: counters[2] as u32,
            episode_return: (*episode_return).into(),
        };
        let clocks = self.clocks.chunks_exact(3).zip(&self.returns);
        let saved = Saved {
            seed,
            steps,
            clocks: clocks.map(clock).collect(),
            episodes,
        };
        let mut state = state::of_states(self.states);
        saved.add_to(&mut state);
        state
    }
}

impl<E: Env> BatchEnv for DeviceBatch<E> {
    fn spec(&self) -> &EnvSpec {
        self.host.spec()
    }

    fn num_envs(&self) -> usize {
        self.host.num_envs()
    }

    fn reset(&mut self, seed: u64) -> Tensor<2> {
        self.host.reset(seed);
        self.follow_host();
        self.obs.clone()
    }

    fn obs(&self) -> Tensor<2> {
        self.obs.clone()
    }

    fn step(&mut self, actions: Tensor<2>) -> Step {
        let wanted = [self.num_envs(), self.spec().action.width()];
        assert_eq!(actions.dims(), wanted, "shape of the actions, [N, A]");
        let steps = step(self.state.clone(), actions, self.rules());
        self.advanced(&steps);
        let [terminated, truncated] = steps.how_ended().map(|flags| flags.squeeze_dim(0));
        Step {
            obs: steps.obs,
            next_obs: steps.next_obs.squeeze_dim(0),
            rewards: steps.rewards.squeeze_dim(0),
            terminated,
            truncated,
        }
    }

    fn on_device(&mut self) -> Option<&mut dyn DeviceSteps> {
        Some(self)
    }

    fn take_episodes(&mut self) -> Vec<Episode> {
        let mut episodes = std::mem::take(&mut self.earlier);
        episodes.extend(std::mem::take(&mut self.log).read());
        episodes
    }

    fn take_finished(&mut self, most: usize) -> Finished {
        if self.earlier.is_empty()
            && let Some(last) = std::mem::take(&mut self.log).last(most)
        {
            return Finished::Device(last);
        }
        Finished::of(self.take_episodes(), most)
    }

    fn save(&self) -> EnvState {
        self.read()
    }

    fn restore(&mut self, state: &EnvState) -> Result<(), EnvError> {
        self.host.restore(state)?;
        self.follow_host();
        Ok(())
    }
}

impl<E: Env> DeviceSteps for DeviceBatch<E> {
    fn rules(&self) -> DeviceRules {
        DeviceRules {
            env: self.env,
            seed: self.seed,
            step: self.steps,
            time_limit: self.spec().time_limit.unwrap_or(0),
        }
    }

    fn state(&self) -> DeviceState {
        self.state.clone()
    }

    fn steps(&self) -> u64 {
        self.steps
    }

    fn advanced(&mut self, steps: &Steps) {
        self.steps += steps.ends.dims()[0] as u64;
        self.state = steps.state.clone();
        self.obs = steps.obs.clone();
        self.log
            .push(steps.ended_returns.clone(), steps.ends.clone());
        // If episodes are never taken, their log is all that can grow.
        if self.log.is_long() {
            self.earlier.extend(std::mem::take(&mut self.log).read());
        }
    }
}

fn upload(saved: &Saved, states: &[f32], device: &Device) -> DeviceState {
    let copies = saved.clocks.len();
    let counters = |clock: &Clock| [clock.age, clock.start_age, clock.episode].map(|x| x as i32);
    let clocks: Vec<i32> = saved.clocks.iter().flat_map(counters).collect();
    let returns = saved.clocks.iter().map(|clock| clock.episode_return as f32);
    let size = states.len() / copies;
    DeviceState {
        states: Tensor::from_data(TensorData::new(states.to_vec(), [copies, size]), device),
        clocks: Tensor::from_data(TensorData::new(clocks, [copies, 3]), (device, DType::I32)),
        returns: Tensor::from_data(TensorData::new(returns.collect(), [copies]), device),
    }
}
