//! Interface between a batch and the code that steps its copies.

use crate::host::Clock;
use crate::{EnvError, EnvSpec, EnvState, ObsMut, Philox, Stream};

/// `N` copies of an environment stepped by any means: threads, worker processes, a native library.
///
/// Copies keep no clocks, do not restart by themselves, clip no actions, stack no observations and sum no rewards: a
/// [`Batch`](crate::Batch) does that.
pub trait Copies: Send {
    /// Spaces, name and limits, the same for every copy.
    fn spec(&self) -> &EnvSpec;

    /// Number of copies `N`, at least 1.
    fn count(&self) -> usize;

    /// Starts a new episode in each copy selected by `which` `[N]`, with randomness from `seeds`, and writes the
    /// observations of these copies to their rows of `obs` `[N, O]`. Other rows remain unchanged.
    ///
    /// # Errors
    ///
    /// [`EnvError::Failed`]. The copies must not be used afterwards.
    fn reset(&mut self, which: &[bool], seeds: Seeds<'_>, obs: ObsMut<'_>) -> Result<(), EnvError>;

    /// Advances every copy by one step with `actions` `[N, A]`, which are within bounds. Writes every element of
    /// `into`; `into.next_obs` is the observation before any reset. Copies may truncate episodes too, besides the
    /// batch's clock.
    ///
    /// # Errors
    ///
    /// [`EnvError::Failed`]. The copies must not be used afterwards.
    fn step(
        &mut self,
        actions: &[f32],
        seeds: Seeds<'_>,
        into: CopyRows<'_>,
    ) -> Result<(), EnvError>;

    /// The states of all copies, under names that differ from those of [a batch](crate::BatchEnv::save); `None` if they
    /// cannot be saved. A run then resumes from the start of episodes, and announces this when it starts.
    fn save(&self) -> Option<EnvState>;

    /// Restores the states from [`save`](Self::save), and writes the observations of all copies to `obs` `[N, O]`.
    ///
    /// # Errors
    ///
    /// [`EnvError::BadState`] if the state does not fit; the copies then remain unchanged.
    fn restore(&mut self, state: &EnvState, obs: ObsMut<'_>) -> Result<(), EnvError>;
}

/// Destination of the results of a step of [`Copies`].
#[derive(Debug)]
pub struct CopyRows<'a> {
    /// Observations before any reset, `[N, O]`.
    pub next_obs: ObsMut<'a>,
    /// Rewards `[N]`.
    pub rewards: &'a mut [f32],
    /// Whether the task ended, `[N]`.
    pub terminated: &'a mut [bool],
    /// Whether the copy cut off its episode, `[N]`. Ignored where `terminated`.
    pub truncated: &'a mut [bool],
}

/// Sources of randomness, as functions of the batch's seed and counters.
#[derive(Clone, Copy, Debug)]
pub struct Seeds<'a> {
    pub(crate) seed: u64,
    pub(crate) steps: u64,
    pub(crate) clocks: &'a [Clock],
}

impl Seeds<'_> {
    /// Random numbers for the start of copy `i`'s current episode.
    #[must_use]
    pub fn of_reset(&self, i: usize) -> Philox {
        Philox::new(self.seed, Stream::Reset, self.clocks[i].episode, i as u32)
    }

    /// Random numbers for copy `i` in this step; they repeat after 2³² steps.
    #[must_use]
    pub fn of_step(&self, i: usize) -> Philox {
        Philox::new(self.seed, Stream::Step, self.steps as u32, i as u32)
    }

    /// Seed for the episode of copy `i`, for external random-number generators.
    #[must_use]
    pub fn seed_of_reset(&self, i: usize) -> u64 {
        let mut rng = self.of_reset(i);
        let mut word = || u64::from(rand::Rng::next_u32(&mut rng));
        word() << 32 | word()
    }
}
