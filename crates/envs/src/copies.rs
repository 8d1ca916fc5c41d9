//! The interface between a batch and whoever steps its copies.

use crate::host::Clock;
use crate::{EnvError, EnvSpec, EnvState, Philox, Stream};

/// `N` copies of an environment that somebody steps by himself: threads, worker processes, a library.
///
/// No copy keeps a clock, starts anew of its own accord, clips an action, stacks observations or counts what it earned: a
/// [`Batch`](crate::Batch) does that.
pub trait Copies: Send {
    /// Spaces, name and limits, the same for every copy.
    fn spec(&self) -> &EnvSpec;

    /// Number of copies `N`, at least 1.
    fn count(&self) -> usize;

    /// Begins a new episode in each copy that `which` `[N]` names, with chance from `seeds`, and writes what these copies
    /// see to their rows of `obs` `[N, O]`. Other rows stay as they are.
    ///
    /// # Errors
    ///
    /// [`EnvError::Failed`]. The copies are not used any more after that.
    fn reset(&mut self, which: &[bool], seeds: Seeds<'_>, obs: ObsMut<'_>) -> Result<(), EnvError>;

    /// Advances every copy by one step under `actions` `[N, A]`, which are in bounds. Every element of `into` is written;
    /// `into.next_obs` is what was seen before any reset. A copy may be truncated here, besides by the batch's clock.
    ///
    /// # Errors
    ///
    /// [`EnvError::Failed`]. The copies are not used any more after that.
    fn step(
        &mut self,
        actions: &[f32],
        seeds: Seeds<'_>,
        into: CopyRows<'_>,
    ) -> Result<(), EnvError>;

    /// The states of all copies, under names that are not among those of [a batch](crate::BatchEnv::save); `None` if they
    /// cannot be saved. A run then resumes from the start of episodes, and says so when it starts.
    fn save(&self) -> Option<EnvState>;

    /// Goes where [`save`](Self::save) was called and writes what every copy sees there to `obs` `[N, O]`.
    ///
    /// # Errors
    ///
    /// [`EnvError::BadState`] if the state does not fit; the copies are then unchanged.
    fn restore(&mut self, state: &EnvState, obs: ObsMut<'_>) -> Result<(), EnvError>;
}

/// Where copies write what a step brought.
#[derive(Debug)]
pub struct CopyRows<'a> {
    /// `[N, O]`.
    pub next_obs: ObsMut<'a>,
    /// `[N]`.
    pub rewards: &'a mut [f32],
    /// The task ended. `[N]`.
    pub terminated: &'a mut [bool],
    /// The copy was cut off. Means nothing where `terminated`. `[N]`.
    pub truncated: &'a mut [bool],
}

/// Room for observations `[N, O]`, of the type that the [`EnvSpec`] says.
#[derive(Debug)]
pub enum ObsMut<'a> {
    /// Numbers.
    Floats(&'a mut [f32]),
    /// Bytes.
    Bytes(&'a mut [u8]),
}

/// Where chance comes from: functions of the batch's seed and of what it has counted.
#[derive(Clone, Copy, Debug)]
pub struct Seeds<'a> {
    pub(crate) seed: u64,
    pub(crate) steps: u64,
    pub(crate) clocks: &'a [Clock],
}

impl Seeds<'_> {
    /// What the episode that copy `i` is in, or begins, starts from.
    #[must_use]
    pub fn of_reset(&self, i: usize) -> Philox {
        Philox::new(self.seed, Stream::Reset, self.clocks[i].episode, i as u32)
    }

    /// The noise of copy `i` in this step; it repeats after 2³² steps.
    #[must_use]
    pub fn of_step(&self, i: usize) -> Philox {
        Philox::new(self.seed, Stream::Step, self.steps as u32, i as u32)
    }

    /// A seed for the episode of copy `i`, for generators of others.
    #[must_use]
    pub fn seed_of_reset(&self, i: usize) -> u64 {
        let mut rng = self.of_reset(i);
        let mut word = || u64::from(rand::Rng::next_u32(&mut rng));
        word() << 32 | word()
    }
}
