//! Environments that stay on the device: one kernel steps all copies, and nothing is read back.
//!
//! The dynamics are the functions that the CPU calls, compiled as kernels ([`DeviceEnv`]); what a batch adds to
//! them (clocks, autoreset, clipping, statistics) is [`advance()`], once for every environment and for every kernel that
//! steps one. Random numbers come from the same counter-based generator, so a batch on the device does what a
//! batch on the host does, up to rounding.

mod batch;
mod env;
mod episodes;
mod kernel;
mod ops;
mod random;
mod slices;
mod task;

pub use batch::{CopiesRead, DeviceBatch, DeviceSteps, how_ended};
pub use env::{DeviceEnv, EnvExpand, InKernels, Sizes};
pub use episodes::{EpisodeLog, last_episodes};
pub use kernel::{advance, carry_over, see};
pub use ops::{BatchTensors, ResultTensors, empty_beside};
pub use random::{KernelRng, KernelRngExpand, minus_ln, normal, open_uniform, philox, rng_at};
pub use slices::{Copies, CopiesLaunch, Results, ResultsLaunch, Rules, RulesLaunch};
pub use task::with_kernel;

use burn::{
    backend::{Dispatch, DispatchDevice},
    tensor::{DType, Device, Int, Tensor},
};

/// What changes from step to step.
#[derive(Clone, Debug)]
pub struct DeviceState {
    /// States of the copies, `[N, S]`.
    pub states: Tensor<2>,
    /// Steps since the episode began, those of them that were not taken (a random age), and episodes of this
    /// copy that have ended: `[N, 3]`.
    pub clocks: Tensor<2, Int>,
    /// Rewards of the running episodes so far, `[N]`.
    pub returns: Tensor<1>,
}

impl DeviceState {
    /// Below the tensors, for an operation.
    #[must_use]
    pub fn into_tensors(self) -> BatchTensors<Dispatch> {
        BatchTensors {
            states: self.states.into_dispatch(),
            clocks: self.clocks.into_dispatch(),
            returns: self.returns.into_dispatch(),
        }
    }

    /// Back from an operation.
    #[must_use]
    pub fn from_tensors(batch: BatchTensors<Dispatch>) -> Self {
        Self {
            states: Tensor::from_dispatch(batch.states),
            clocks: Tensor::from_dispatch(batch.clocks),
            returns: Tensor::from_dispatch(batch.returns),
        }
    }
}

/// What a kernel has to know beside the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceRules {
    /// Whose dynamics.
    pub env: DeviceEnv,
    /// Of the last reset.
    pub seed: u64,
    /// Steps since then.
    pub step: u64,
    /// Steps after which an episode is truncated; 0: never.
    pub time_limit: u32,
}

/// Whether tensors of this device can be stepped by a kernel.
pub(crate) fn has_kernels(device: &Device) -> bool {
    let DispatchDevice::Cube(cube) = device.as_dispatch() else {
        return false;
    };
    let client = cube.client();
    let hardware = &client.properties().hardware;
    DType::from(device.settings().float_dtype) == DType::F32
        && hardware.max_bindings >= ops::BINDINGS
        && hardware.max_units_per_cube >= ops::SEARCHERS
}
