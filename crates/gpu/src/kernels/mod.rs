//! CubeCL kernels, and the traits of environments that run inside them.

// The macros generate undocumented modules and types.
#![allow(missing_docs)]

mod activation;
mod copies;
mod env;
mod env_step;
mod envs;
mod episodes;
mod experience;
mod gradient;
mod launch;
mod learning;
mod losses;
mod moments;
mod perceptron;
mod random;
mod rollout;
mod rollouts;
mod shuffle;
mod slices;
mod step;
mod summary;
mod sums;
mod tile;
mod trace;

pub use cubecl;
pub use env::{EnvExpand, InKernels};
pub use random::{KernelRng, KernelRngExpand};

pub(crate) use env::Functions;

use crate::device::Hardware;
use burn::{backend::DispatchDevice, tensor::Device};
use burn_cubecl::CubeDevice;

/// The underlying device, if it is one of CubeCL's.
fn cube(device: &Device) -> Option<&CubeDevice> {
    match device.as_dispatch() {
        DispatchDevice::Cube(device) => Some(device),
        _ => None,
    }
}

pub(crate) fn is_cube(device: &Device) -> bool {
    cube(device).is_some()
}

pub(crate) fn hardware(device: &Device) -> Option<Hardware> {
    let client = cube(device)?.client();
    let hardware = &client.properties().hardware;
    Some(Hardware {
        buffers: hardware.max_bindings,
        units: hardware.max_units_per_cube as usize,
        shared_memory: hardware.max_shared_memory_size,
    })
}
