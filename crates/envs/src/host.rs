//! Batches on the host: clocks, autoreset, clipping, statistics and saving around any copies.

mod seen;
pub(crate) mod state;
mod threads;

use burn::tensor::{Bool, Device, Tensor, TensorData};

use crate::{
    ActionSpace, BatchEnv, Copies, CopyRows, Env, EnvError, EnvSpec, EnvState, Episode, HostSteps,
    ObsBuf, ObsRef, Philox, Seeds, Step, StepRows, Stream, frame_stack::stacked_spec,
};
use seen::Seen;
pub(crate) use state::{Clock, Saved};
pub use threads::Threads;

/// `N` copies together with everything that all environments share: clocks and time limits, autoreset, clipping of
/// actions, random ages, stacked frames, statistics, saving.
///
/// A new batch is in the state after `reset(0)`.
pub struct Batch<C> {
    copies: C,
    /// Specification as the policy sees it, with stacked frames.
    spec: EnvSpec,
    device: Device,
    random_ages: bool,
    seed: u64,
    /// Number of steps since the reset.
    steps: u64,
    /// Position of each copy in its episode, `[N]`.
    clocks: Vec<Clock>,
    /// Current observations.
    seen: Seen,
    /// Whether each copy's episode ended in this step, `[N]`.
    ended: Vec<bool>,
    /// Finished episodes that have not been taken.
    episodes: Vec<Episode>,
    /// Error that stopped the copies.
    failure: Option<EnvError>,
}

/// Copies of an [`Env`], stepped on the threads of the current rayon pool if there are many.
pub type HostBatch<E> = Batch<Threads<E>>;

impl<E: Env> HostBatch<E> {
    /// A batch of `num_envs` copies of `env`, with tensors on `device`.
    ///
    /// # Errors
    ///
    /// [`EnvError::NoEnvs`] if `num_envs` is zero.
    pub fn new(env: E, num_envs: usize, device: &Device) -> Result<Self, EnvError> {
        Self::of(Threads::new(env, num_envs)?, device)
    }
}

impl<C: Copies> Batch<C> {
    /// A batch around `copies`, with tensors on `device`.
    ///
    /// # Errors
    ///
    /// Any error of the copies' first reset.
    pub fn of(copies: C, device: &Device) -> Result<Self, EnvError> {
        let (spec, count) = (copies.spec().clone(), copies.count());
        let mut batch = Self {
            seen: Seen::new(&spec.obs, 1, count),
            copies,
            spec,
            device: device.clone(),
            random_ages: false,
            seed: 0,
            steps: 0,
            clocks: vec![Clock::default(); count],
            ended: vec![false; count],
            // As many as can finish in one step, so that a step allocates nothing while episodes are taken.
            episodes: Vec::with_capacity(count),
            failure: None,
        };
        batch.start(0)?;
        Ok(batch)
    }

    /// Starts the copies at uniformly random ages below the time limit, so that their truncations do not coincide.
    /// Their first episodes are therefore shorter, and are not reported as [`Episode`]s.
    ///
    /// Resets the batch. Without a time limit this changes nothing else.
    #[must_use]
    pub fn with_random_ages(mut self) -> Self {
        self.random_ages = true;
        self.restart(0);
        self
    }

    /// Replaces the time limit of the environment; `None` lets episodes run until they terminate.
    ///
    /// Resets the batch.
    #[must_use]
    pub fn with_time_limit(mut self, time_limit: Option<u32>) -> Self {
        self.spec.time_limit = time_limit;
        self.restart(0);
        self
    }

    /// Stacks the last `frames` observations into one, oldest first. An episode begins with `frames` copies of its
    /// first observation.
    ///
    /// Resets the batch.
    ///
    /// # Panics
    ///
    /// If `frames` is zero.
    #[must_use]
    pub fn with_frames(mut self, frames: usize) -> Self {
        self.spec = EnvSpec {
            time_limit: self.spec.time_limit,
            ..stacked_spec(self.copies.spec(), frames)
        };
        self.seen = Seen::new(&self.copies.spec().obs, frames, self.clocks.len());
        self.restart(0);
        self
    }

    /// The copies.
    pub fn copies(&self) -> &C {
        &self.copies
    }

    /// Everything that changes from step to step, except the states of the copies.
    pub(crate) fn saved(&self) -> Saved {
        Saved {
            seed: self.seed,
            steps: self.steps,
            clocks: self.clocks.clone(),
            episodes: self.episodes.clone(),
        }
    }

    /// Starts a first episode in every copy.
    fn start(&mut self, seed: u64) -> Result<(), EnvError> {
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
        }
        self.ended.fill(true);
        self.begin_ended()
    }

    fn restart(&mut self, seed: u64) {
        if let Err(error) = self.start(seed) {
            self.failure = Some(error);
        }
    }

    /// Starts new episodes in copies whose episodes have ended.
    fn begin_ended(&mut self) -> Result<(), EnvError> {
        let seeds = Seeds {
            seed: self.seed,
            steps: self.steps,
            clocks: &self.clocks,
        };
        (self.copies).reset(&self.ended, seeds, self.seen.newest())?;
        self.seen.begin(&self.ended);
        Ok(())
    }

    fn try_step(&mut self, actions: &mut [f32], into: &mut StepRows<'_>) -> Result<(), EnvError> {
        self.check_actions(actions);
        let seeds = Seeds {
            seed: self.seed,
            steps: self.steps,
            clocks: &self.clocks,
        };
        let rows = CopyRows {
            next_obs: self.seen.after_step(&mut into.next_obs),
            rewards: into.rewards,
            terminated: into.terminated,
            truncated: into.truncated,
        };
        self.copies.step(actions, seeds, rows)?;
        self.steps += 1;
        self.seen.push(&mut into.next_obs);

        let flags = into.terminated.iter().zip(into.truncated.iter_mut());
        let mut any = false;
        for (env, (clock, (&terminated, truncated))) in
            self.clocks.iter_mut().zip(flags).enumerate()
        {
            let cut_off = terminated || *truncated;
            let ended = clock.tick(into.rewards[env], cut_off, self.spec.time_limit);
            *truncated = ended.is_some() && !terminated;
            self.ended[env] = ended.is_some();
            any |= ended.is_some();
            (self.episodes).extend(ended.and_then(|ended| ended.episode(env, terminated)));
        }
        if any {
            self.begin_ended()?;
        }
        Ok(())
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
                    assert!(
                        self.seen.allows(copy, *n, a as usize),
                        "action {a} is not allowed, the observation's mask is {:?}",
                        self.seen.mask(copy, *n),
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

    /// Observations `[N, O]` as the policy sees them.
    fn obs_tensor(&self, obs: ObsRef<'_>) -> Tensor<2> {
        let values = obs.to_floats(self.spec.obs.element);
        let shape = [self.num_envs(), self.spec.obs.dim()];
        Tensor::from_data(TensorData::new(values, shape), &self.device)
    }

    fn flags(&self, flags: Vec<bool>) -> Tensor<1, Bool> {
        Tensor::from_data(TensorData::new(flags, [self.num_envs()]), &self.device)
    }
}

impl<C: Copies> HostSteps for Batch<C> {
    fn obs(&self) -> ObsRef<'_> {
        self.seen.obs()
    }

    fn step(&mut self, actions: &mut [f32], mut into: StepRows<'_>) {
        let step = self.steps + 1;
        if self.failure.is_none()
            && let Err(error) = self.try_step(actions, &mut into)
        {
            self.failure = Some(error.in_step(step));
        }
        if self.failure.is_some() {
            // A caller that waits for episodes to end must not wait for ever.
            into.next_obs.copy_from(self.seen.obs());
            into.rewards.fill(0.0);
            into.terminated.fill(false);
            into.truncated.fill(true);
        }
    }
}

impl<C: Copies> BatchEnv for Batch<C> {
    fn spec(&self) -> &EnvSpec {
        &self.spec
    }

    fn num_envs(&self) -> usize {
        self.clocks.len()
    }

    fn reset(&mut self, seed: u64) -> Tensor<2> {
        if self.failure.is_none() {
            self.restart(seed);
        }
        BatchEnv::obs(self)
    }

    fn obs(&self) -> Tensor<2> {
        self.obs_tensor(self.seen.obs())
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
        let mut next_obs = ObsBuf::zeros(self.spec.obs.element, n * o);
        let mut rewards = vec![0.0; n];
        let (mut terminated, mut truncated) = (vec![false; n], vec![false; n]);
        let rows = StepRows {
            next_obs: next_obs.as_mut(),
            rewards: &mut rewards,
            terminated: &mut terminated,
            truncated: &mut truncated,
        };
        HostSteps::step(self, &mut actions, rows);
        Step {
            obs: BatchEnv::obs(self),
            next_obs: self.obs_tensor(next_obs.as_ref()),
            rewards: Tensor::from_data(TensorData::new(rewards, [n]), &self.device),
            terminated: self.flags(terminated),
            truncated: self.flags(truncated),
        }
    }

    fn failure(&self) -> Option<&EnvError> {
        self.failure.as_ref()
    }

    fn on_host(&mut self) -> Option<&mut dyn HostSteps> {
        Some(self)
    }

    fn take_episodes(&mut self) -> Vec<Episode> {
        // Keeps the capacity that the list has grown to.
        self.episodes.split_off(0)
    }

    fn saves_copies(&self) -> bool {
        self.copies.save().is_some()
    }

    fn save(&self) -> EnvState {
        let mut state = self.copies.save().unwrap_or_else(state::not_saved);
        self.saved().add_to(&mut state);
        self.seen.add_to(&mut state);
        state
    }

    fn restore(&mut self, state: &EnvState) -> Result<(), EnvError> {
        let saved = Saved::read(state, self.num_envs())?;
        if state::is_not_saved(state) {
            (self.seed, self.steps, self.clocks) = (saved.seed, saved.steps, saved.clocks);
            self.episodes = saved.episodes;
            self.clocks.iter_mut().for_each(Clock::next_episode);
            self.ended.fill(true);
            return self.begin_ended();
        }
        let stack = self.seen.stack_in(state)?;
        self.copies.restore(state, self.seen.newest())?;
        self.seen.restore(stack);
        (self.seed, self.steps, self.clocks) = (saved.seed, saved.steps, saved.clocks);
        self.episodes = saved.episodes;
        Ok(())
    }
}
