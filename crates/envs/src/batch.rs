//! Batches of environments as algorithms see them: `BatchEnv`, steps, episodes, saved states.

use std::collections::BTreeMap;

use burn::tensor::{Bool, Tensor};
use serde::{Deserialize, Serialize};

use crate::{EnvError, EnvSpec, Finished, ObsMut, ObsRef};

/// `N` copies of an environment on one device.
///
/// A copy whose episode ends is reset within the same step. The behaviour of a batch is a function of its seed and of
/// the actions alone.
pub trait BatchEnv: Send {
    /// Spaces, name and limits, the same for every copy.
    fn spec(&self) -> &EnvSpec;

    /// Number of copies `N`.
    fn num_envs(&self) -> usize;

    /// Restarts every copy, with all counters at zero, and returns the first observations `[N, O]`.
    fn reset(&mut self, seed: u64) -> Tensor<2>;

    /// Current observations `[N, O]`: the last [`Step::obs`], or the result of `reset`.
    fn obs(&self) -> Tensor<2>;

    /// Advances every copy by one step. `actions` is `[N, A]`; a discrete action is its index in column 0, several
    /// discrete actions are one index per column.
    ///
    /// Real actions are clipped to the bounds of the action space. NaN is not clipped: it propagates through the
    /// dynamics to observations and rewards, where the caller can detect that training diverged.
    ///
    /// # Panics
    ///
    /// If `actions` has another shape, or a discrete action is not an index or not allowed. A batch that is stepped on
    /// a device never inspects the actions and cannot check the latter.
    fn step(&mut self, actions: Tensor<2>) -> Step;

    /// The same batch stepped on slices, if its states are in host memory.
    ///
    /// Steps of both kinds may alternate: they advance the same states.
    fn on_host(&mut self) -> Option<&mut dyn HostSteps> {
        None
    }

    /// The same batch for kernels that step it themselves, if it lives on a device.
    fn on_device(&mut self) -> Option<&mut dyn crate::device::DeviceSteps> {
        None
    }

    /// Reason why the copies stopped, for copies that can fail.
    ///
    /// From then on every copy is truncated in every step, and observations and rewards are meaningless. Callers of
    /// `step` check this before using its results.
    fn failure(&self) -> Option<&EnvError> {
        None
    }

    /// Whether [`save`](Self::save) includes the states of the copies. Otherwise [`restore`](Self::restore) starts a
    /// new episode in every copy.
    fn saves_copies(&self) -> bool {
        true
    }

    /// Episodes finished since the last call, ordered by step, then by copy.
    ///
    /// They accumulate until this is called.
    fn take_episodes(&mut self) -> Vec<Episode>;

    /// Like [`take_episodes`](Self::take_episodes), but only the number of episodes and the last `most` of them. If the
    /// batch lives on a device, nothing is read back.
    fn take_finished(&mut self, most: usize) -> Finished {
        Finished::of(self.take_episodes(), most)
    }

    /// State from which to continue, exactly if [`saves_copies`](Self::saves_copies).
    fn save(&self) -> EnvState;

    /// Continues from a saved state of the same environment and batch size. No `reset` is needed.
    ///
    /// # Errors
    ///
    /// [`EnvError::BadState`] if the state does not fit this batch, which then remains unchanged.
    fn restore(&mut self, state: &EnvState) -> Result<(), EnvError>;
}

/// A batch stepped on slices instead of tensors, for loops that stay in host memory.
pub trait HostSteps {
    /// Current observations `[N, O]`, row-major.
    fn obs(&self) -> ObsRef<'_>;

    /// Like [`BatchEnv::step`]; `actions` `[N, A]` are clipped in place.
    ///
    /// # Panics
    ///
    /// If a slice has another length, or a discrete action is not an index or not allowed.
    fn step(&mut self, actions: &mut [f32], into: StepRows<'_>);
}

/// Destination of the results of [`HostSteps::step`], which are described at [`Step`].
#[derive(Debug)]
pub struct StepRows<'a> {
    /// Observations before autoreset, `[N, O]`.
    pub next_obs: ObsMut<'a>,
    /// Rewards `[N]`.
    pub rewards: &'a mut [f32],
    /// Whether the task ended, `[N]`.
    pub terminated: &'a mut [bool],
    /// Whether the episode was cut off, `[N]`.
    pub truncated: &'a mut [bool],
}

/// Results of one step of all copies.
#[derive(Clone, Debug)]
pub struct Step {
    /// Observations `[N, O]` after autoreset, for the next actions.
    pub obs: Tensor<2>,
    /// Observations `[N, O]` before autoreset, for bootstrapping. Equal to `obs` where no episode ended.
    pub next_obs: Tensor<2>,
    /// Rewards of this step, `[N]`.
    pub rewards: Tensor<1>,
    /// Whether the task ended, so that the value of `next_obs` is zero, `[N]`.
    pub terminated: Tensor<1, Bool>,
    /// Whether the time limit was reached, although the task could continue from `next_obs`, `[N]`. Never true together
    /// with `terminated`.
    pub truncated: Tensor<1, Bool>,
}

/// A finished episode of one copy.
#[derive(Clone, Debug, PartialEq)]
pub struct Episode {
    /// Index of the copy, below `N`.
    pub env: usize,
    /// Undiscounted sum of rewards.
    pub episode_return: f64,
    /// Number of steps.
    pub length: u32,
    /// Whether it terminated; otherwise it was truncated.
    pub terminated: bool,
}

/// A saved batch: named lists of numbers, for any file format that preserves them bit for bit.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EnvState {
    /// Seeds, counters and flags; an `f64` is stored as its bits.
    pub ints: BTreeMap<String, Vec<u64>>,
    /// States of the copies.
    pub floats: BTreeMap<String, Vec<f32>>,
}
