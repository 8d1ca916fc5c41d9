//! Environments stepped on the device: one kernel steps all copies, and nothing is read back.
//!
//! The dynamics are the same functions as on the CPU, compiled as kernels ([`DeviceEnv`]); clocks, autoreset, clipping
//! and statistics are added by [`advance()`], once for all environments and for all kernels that step one. Random
//! numbers come from the same counter-based generator, so a batch on the device behaves like a batch on the host, up to
//! rounding.

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

/// State of a batch, which changes from step to step.
#[derive(Clone, Debug)]
pub struct DeviceState {
    /// States of the copies, `[N, S]`.
    pub states: Tensor<2>,
    /// Steps since the episode began, the number of them that were skipped (a random age), and the number of this
    /// copy's finished episodes: `[N, 3]`.
    pub clocks: Tensor<2, Int>,
    /// Rewards of the running episodes so far, `[N]`.
    pub returns: Tensor<1>,
}

impl DeviceState {
    /// Primitive tensors, for a backend operation.
    #[must_use]
    pub fn into_tensors(self) -> BatchTensors<Dispatch> {
        BatchTensors {
            states: self.states.into_dispatch(),
            clocks: self.clocks.into_dispatch(),
            returns: self.returns.into_dispatch(),
        }
    }

    /// State from the primitive tensors of a backend operation.
    #[must_use]
    pub fn from_tensors(batch: BatchTensors<Dispatch>) -> Self {
        Self {
            states: Tensor::from_dispatch(batch.states),
            clocks: Tensor::from_dispatch(batch.clocks),
            returns: Tensor::from_dispatch(batch.returns),
        }
    }
}

/// Constants of a batch that a kernel needs besides the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceRules {
    /// The environment.
    pub env: DeviceEnv,
    /// Seed of the last reset.
    pub seed: u64,
    /// Number of steps since the last reset.
    pub step: u64,
    /// Number of steps after which an episode is truncated; 0: never.
    pub time_limit: u32,
}

/// Whether kernels can step tensors on this device.
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
