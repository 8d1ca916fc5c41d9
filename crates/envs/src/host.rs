//! Environments that run on the host, and the batch that runs many copies of one.

mod rows;
mod state;

use burn::tensor::{Bool, Device, Tensor, TensorData};

use crate::{
    ActionSpace, BatchEnv, EnvError, EnvSpec, EnvState, Episode, HostSteps, Philox, Step, StepRows,
    Stream,
};
pub(crate) use rows::Clock;
use rows::{Rows, Stepper, lists};
pub(crate) use state::Saved;

/// The dynamics of one environment.
///
/// Its whole state is a slice of `f32` that somebody else keeps, so batching, saving and restoring need nothing
/// from the author. Nor do time limits, autoreset, clipping and statistics: [`HostBatch`] adds them.
pub trait HostEnv: Send + Sync {
    /// Name, spaces and limits.
    fn spec(&self) -> EnvSpec;

    /// Length `S` of the state.
    fn state_size(&self) -> usize;

    /// Writes a start state, `[S]`. The old contents mean nothing.
    fn reset(&self, state: &mut [f32], rng: &mut Philox);

    /// Advances the state `[S]` by one step.
    ///
    /// `action` is `[A]`: real numbers clipped to their bounds (or NaN), or one exact index. All chance comes
    /// from `rng`.
    fn step(&self, state: &mut [f32], action: &[f32], rng: &mut Philox) -> Outcome;

    /// Writes what the agent sees in the state `[S]` to `obs`, `[O]`.
    fn observe(&self, state: &[f32], obs: &mut [f32]);
}

/// What a step of one environment brought.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outcome {
    /// The reward.
    pub reward: f32,
    /// Whether the task ended.
    pub terminated: bool,
}

/// `N` copies of a host environment, stepped on the threads of the current rayon pool if there are many.
///
/// A new batch stands where `reset(0)` would put it.
pub struct HostBatch<E> {
    env: E,
    spec: EnvSpec,
    device: Device,
    state_size: usize,
    random_ages: bool,
    seed: u64,
    /// Steps since the reset.
    steps: u64,
    /// Where each copy is in its episode, `[N]`.
    clocks: Vec<Clock>,
    /// States of the copies, `[N, S]`.
    states: Vec<f32>,
    /// What the policy sees next, `[N, O]`.
    obs: Vec<f32>,
    /// Finished and not yet taken.
    episodes: Vec<Episode>,
    /// Finished in one step. Empty between steps, and kept, so that a step allocates nothing.
    finished: Vec<Vec<Episode>>,
}

impl<E: HostEnv> HostBatch<E> {
    /// `num_envs` copies of `env`, their tensors on `device`.
    ///
    /// # Errors
    ///
    /// [`EnvError::NoEnvs`] if `num_envs` is zero.
    pub fn new(env: E, num_envs: usize, device: &Device) -> Result<Self, EnvError> {
        if num_envs == 0 {
            return Err(EnvError::NoEnvs);
        }
        let spec = env.spec();
        let state_size = env.state_size();
        let mut batch = Self {
            obs: vec![0.0; num_envs * spec.obs.dim()],
            env,
            spec,
            device: device.clone(),
            state_size,
            random_ages: false,
            seed: 0,
            steps: 0,
            clocks: vec![Clock::default(); num_envs],
            states: vec![0.0; num_envs * state_size],
            episodes: Vec::new(),
            finished: lists(num_envs),
        };
        batch.reset(0);
        Ok(batch)
    }

    /// Starts the copies at uniformly random ages below the time limit, so that truncations do not arrive in
    /// lockstep. Their first episodes are shorter for it and are not reported as [`Episode`]s.
    ///
    /// Resets the batch. Without a time limit nothing changes.
    #[must_use]
    pub fn with_random_ages(mut self) -> Self {
        self.random_ages = true;
        self.reset(0);
        self
    }

    /// Replaces the time limit of the environment; `None` lets episodes run until they terminate.
    ///
    /// Resets the batch.
    #[must_use]
    pub fn with_time_limit(mut self, time_limit: Option<u32>) -> Self {
        self.spec.time_limit = time_limit;
        self.reset(0);
        self
    }

    /// Everything that changes from step to step.
    pub(crate) fn saved(&self) -> Saved {
        Saved {
            seed: self.seed,
            steps: self.steps,
            clocks: self.clocks.clone(),
            episodes: self.episodes.clone(),
            states: self.states.clone(),
        }
    }

    /// Checks actions `[N · A]` and clips them to their bounds.
    fn check_actions(&self, actions: &mut [f32]) {
        let width = self.spec.action.width();
        assert_eq!(
            actions.len(),
            self.num_envs() * width,
            "number of actions, N · A"
        );
        let is_index = |a: f32, n: usize| a >= 0.0 && a < n as f32 && a.fract() == 0.0;
        match &self.spec.action {
            ActionSpace::Discrete { n } => assert!(
                actions.iter().all(|&a| is_index(a, *n)),
                "a discrete action is an index below {n}: {actions:?}",
            ),
            ActionSpace::MaskedDiscrete { n } => {
                for (copy, &a) in actions.iter().enumerate() {
                    assert!(
                        is_index(a, *n),
                        "a discrete action is an index below {n}: {a}"
                    );
                    let mask = self.mask(copy, *n);
                    assert!(
                        mask[a as usize] == 1.0,
                        "action {a} is not allowed, the observation's mask is {mask:?}",
                    );
                }
            }
            ActionSpace::MultiDiscrete { choices } => assert!(
                actions
                    .chunks_exact(width)
                    .all(|row| row.iter().zip(choices).all(|(&a, &n)| is_index(a, n))),
                "discrete actions are indices below {choices:?}: {actions:?}",
            ),
            ActionSpace::Box { low, high } => {
                for row in actions.chunks_exact_mut(width) {
                    for ((a, low), high) in row.iter_mut().zip(low).zip(high) {
                        *a = a.clamp(*low, *high);
                    }
                }
            }
        }
    }

    /// The last `n` components of what a copy sees, which say what is allowed.
    fn mask(&self, copy: usize, n: usize) -> &[f32] {
        let end = (copy + 1) * self.spec.obs.dim();
        &self.obs[end - n..end]
    }

    /// `[N, O]` numbers as a tensor.
    fn obs_tensor(&self, values: Vec<f32>) -> Tensor<2> {
        Tensor::from_data(
            TensorData::new(values, [self.num_envs(), self.spec.obs.dim()]),
            &self.device,
        )
    }

    /// Makes the observation follow from the states.
    fn observe(&mut self) {
        let (s, o) = (self.state_size, self.spec.obs.dim());
        for (i, obs) in self.obs.chunks_exact_mut(o).enumerate() {
            self.env.observe(&self.states[i * s..][..s], obs);
        }
    }

    fn flags(&self, flags: Vec<bool>) -> Tensor<1, Bool> {
        Tensor::from_data(TensorData::new(flags, [self.num_envs()]), &self.device)
    }
}

impl<E: HostEnv> HostSteps for HostBatch<E> {
    fn obs(&self) -> &[f32] {
        &self.obs
    }

    fn step(&mut self, actions: &mut [f32], into: StepRows<'_>) {
        self.check_actions(actions);
        let stepper = Stepper {
            env: &self.env,
            seed: self.seed,
            step: self.steps as u32, // the noise repeats after 2³² steps
            time_limit: self.spec.time_limit,
            state_size: self.state_size,
            action_width: self.spec.action.width(),
            obs_dim: self.spec.obs.dim(),
        };
        let rows = Rows {
            first: 0,
            clocks: &mut self.clocks,
            states: &mut self.states,
            actions,
            obs: &mut self.obs,
            next_obs: into.next_obs,
            rewards: into.rewards,
            terminated: into.terminated,
            truncated: into.truncated,
        };
        stepper.run(rows, &mut self.finished);
        for finished in &mut self.finished {
            self.episodes.append(finished);
        }
        self.steps += 1;
    }
}

impl<E: HostEnv> BatchEnv for HostBatch<E> {
    fn spec(&self) -> &EnvSpec {
        &self.spec
    }

    fn num_envs(&self) -> usize {
        self.clocks.len()
    }

    fn reset(&mut self, seed: u64) -> Tensor<2> {
        self.seed = seed;
        self.steps = 0;
        self.episodes.clear();
        for (i, clock) in self.clocks.iter_mut().enumerate() {
            *clock = match self.spec.time_limit {
                Some(limit) if self.random_ages => {
                    Clock::at_age(Philox::new(seed, Stream::Age, 0, i as u32).below(limit))
                }
                _ => Clock::default(),
            };
            let state = &mut self.states[i * self.state_size..][..self.state_size];
            self.env
                .reset(state, &mut Philox::new(seed, Stream::Reset, 0, i as u32));
        }
        self.observe();
        BatchEnv::obs(self)
    }

    fn obs(&self) -> Tensor<2> {
        self.obs_tensor(self.obs.clone())
    }

    fn step(&mut self, actions: Tensor<2>) -> Step {
        let (n, o) = (self.num_envs(), self.spec.obs.dim());
        assert_eq!(
            actions.dims(),
            [n, self.spec.action.width()],
            "shape of the actions, [N, A]"
        );
        let mut actions = actions
            .try_into_vec_as::<f32>()
            .expect("actions can be read back as numbers");
        let (mut next_obs, mut rewards) = (vec![0.0; n * o], vec![0.0; n]);
        let (mut terminated, mut truncated) = (vec![false; n], vec![false; n]);
        let rows = StepRows {
            next_obs: &mut next_obs,
            rewards: &mut rewards,
            terminated: &mut terminated,
            truncated: &mut truncated,
        };
        HostSteps::step(self, &mut actions, rows);
        Step {
            obs: BatchEnv::obs(self),
            next_obs: self.obs_tensor(next_obs),
            rewards: Tensor::from_data(TensorData::new(rewards, [n]), &self.device),
            terminated: self.flags(terminated),
            truncated: self.flags(truncated),
        }
    }

    fn on_host(&mut self) -> Option<&mut dyn HostSteps> {
        Some(self)
    }

    fn take_episodes(&mut self) -> Vec<Episode> {
        // Keeps the room that the list has grown to.
        self.episodes.split_off(0)
    }

    fn save(&self) -> EnvState {
        self.saved().to_state()
    }

    fn restore(&mut self, state: &EnvState) -> Result<(), EnvError> {
        let saved = Saved::read(state, self.num_envs(), self.state_size)?;
        (self.seed, self.steps) = (saved.seed, saved.steps);
        (self.clocks, self.episodes, self.states) = (saved.clocks, saved.episodes, saved.states);
        self.observe();
        Ok(())
    }
}
