//! The interface between environments and algorithms.

use std::collections::BTreeMap;

use burn::tensor::{Bool, Tensor};
use serde::{Deserialize, Serialize};

use crate::{EnvError, EnvSpec, Finished};

/// `N` copies of an environment on one device.
///
/// A copy that ends is reset within the same step. Whatever such a batch does is a function of its seed and of
/// the actions alone.
pub trait BatchEnv: Send {
    /// Spaces, name and limits, the same for every copy.
    fn spec(&self) -> &EnvSpec;

    /// Number of copies `N`.
    fn num_envs(&self) -> usize;

    /// Starts every copy afresh, with all counters at zero, and returns what they see: `[N, O]`.
    fn reset(&mut self, seed: u64) -> Tensor<2>;

    /// What the policy sees next: `[N, O]`, the same as the last [`Step::obs`] or the result of `reset`.
    fn obs(&self) -> Tensor<2>;

    /// Advances every copy by one step; `actions` is `[N, A]`, a discrete action is its index in column 0, several
    /// are one index per column.
    ///
    /// Real actions are clipped to the bounds of the action space. A NaN is not: it reaches the dynamics and
    /// shows up in observations and rewards, where the caller can tell that training diverged.
    ///
    /// # Panics
    ///
    /// If `actions` has another shape, or a discrete action is no index or not allowed. A batch that is stepped
    /// on a device never sees the actions and cannot check the latter.
    fn step(&mut self, actions: Tensor<2>) -> Step;

    /// The same batch stepped on slices, where its states are in host memory.
    ///
    /// Steps of both kinds may alternate: they advance the same states.
    fn on_host(&mut self) -> Option<&mut dyn HostSteps> {
        None
    }

    /// The same batch for kernels that step it themselves, where it lives on a device.
    #[cfg(feature = "gpu")]
    fn on_device(&mut self) -> Option<&mut dyn crate::device::DeviceSteps> {
        None
    }

    /// Why the copies stopped, if they are of a kind that can fail.
    ///
    /// From then on every copy is truncated in every step, and observations and rewards mean nothing. Whoever steps a batch
    /// looks here before using what it brought.
    fn failure(&self) -> Option<&EnvError> {
        None
    }

    /// Whether [`save`](Self::save) keeps the states of the copies. Otherwise [`restore`](Self::restore) begins an episode in
    /// every copy.
    fn saves_copies(&self) -> bool {
        true
    }

    /// Episodes finished since the last call, ordered by step, then by copy.
    ///
    /// They gather until someone takes them.
    fn take_episodes(&mut self) -> Vec<Episode>;

    /// Like [`take_episodes`](Self::take_episodes), for callers who need the number of episodes and the last
    /// `most` of them. Where the batch lives on a device nothing is read back.
    fn take_finished(&mut self, most: usize) -> Finished {
        Finished::of(self.take_episodes(), most)
    }

    /// Everything needed to continue from here, exactly if [`saves_copies`](Self::saves_copies).
    fn save(&self) -> EnvState;

    /// Continues from a saved state, on a batch of the same environment and size. No `reset` is needed.
    ///
    /// # Errors
    ///
    /// [`EnvError::BadState`] if the state does not fit this batch, which is then unchanged.
    fn restore(&mut self, state: &EnvState) -> Result<(), EnvError>;
}

/// A batch that is stepped without a tensor, for loops that stay in host memory.
pub trait HostSteps {
    /// What the policy sees next: `[N, O]`, row-major.
    fn obs(&self) -> &[f32];

    /// Like [`BatchEnv::step`]; `actions` `[N, A]` are clipped in place.
    ///
    /// # Panics
    ///
    /// If a slice has another length, or a discrete action is no index or not allowed.
    fn step(&mut self, actions: &mut [f32], into: StepRows<'_>);
}

/// Where [`HostSteps::step`] writes what a step brought; [`Step`] tells what it means.
#[derive(Debug)]
pub struct StepRows<'a> {
    /// `[N, O]`.
    pub next_obs: &'a mut [f32],
    /// `[N]`.
    pub rewards: &'a mut [f32],
    /// `[N]`.
    pub terminated: &'a mut [bool],
    /// `[N]`.
    pub truncated: &'a mut [bool],
}

/// What one step of all copies brought.
#[derive(Clone, Debug)]
pub struct Step {
    /// What the policy sees next, after autoreset: `[N, O]`.
    pub obs: Tensor<2>,
    /// What the critic bootstraps from, before autoreset: `[N, O]`. Equal to `obs` where no episode ended.
    pub next_obs: Tensor<2>,
    /// Reward of this step: `[N]`.
    pub rewards: Tensor<1>,
    /// The task ended: nothing follows, the value of `next_obs` is zero. `[N]`.
    pub terminated: Tensor<1, Bool>,
    /// The clock ran out: the task would have gone on from `next_obs`. Never true with `terminated`. `[N]`.
    pub truncated: Tensor<1, Bool>,
}

/// A finished episode of one copy.
#[derive(Clone, Debug, PartialEq)]
pub struct Episode {
    /// Index of the copy, below `N`.
    pub env: usize,
    /// Sum of its rewards, undiscounted.
    pub episode_return: f64,
    /// Number of steps.
    pub length: u32,
    /// Whether it terminated; otherwise it was truncated.
    pub terminated: bool,
}

/// A saved batch: named lists of numbers, ready for any file format that keeps them bit for bit.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EnvState {
    /// Seeds, counters and flags; an `f64` is kept here by its bits.
    pub ints: BTreeMap<String, Vec<u64>>,
    /// States of the copies.
    pub floats: BTreeMap<String, Vec<f32>>,
}
