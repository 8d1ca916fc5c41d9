//! What kernels may ask of a device.

use crate::kernels;
use burn::tensor::{DType, Device, Tensor};

/// Buffers that CubeCL adds to those of a kernel, at most.
const ADDED: u32 = 2;

/// What a device offers a kernel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hardware {
    /// Buffers that it reads and writes.
    pub(crate) buffers: u32,
    /// Threads of a cube.
    pub(crate) units: usize,
    /// Bytes of memory that the threads of a cube share.
    pub(crate) shared_memory: usize,
}

/// Whether this build has kernels for the device. Which ones it runs depends on what it offers.
pub fn has_kernels(device: &Device) -> bool {
    kernels::is_cube(device)
}

/// Whether kernels take the tensor: on a device that [has some](has_kernels), of 32-bit floats that record no gradients,
/// and no more of them than kernels can count.
pub fn on_device<const D: usize>(tensor: &Tensor<D>) -> bool {
    let device = tensor.device();
    tensor.dtype() == DType::F32
        && u32::try_from(tensor.shape().num_elements()).is_ok()
        && !device.is_autodiff()
        && has_kernels(&device)
}

/// Bytes of shared memory that a cube of `units` threads may have in a kernel that reads and writes so many
/// `buffers`. `None` where the device cannot run such a kernel: a WebGPU adapter may offer as little as 8 buffers
/// and 16 KiB.
pub(crate) fn shared_memory(device: &Device, buffers: u32, units: usize) -> Option<usize> {
    let hardware = kernels::hardware(device)?;
    let fits = hardware.buffers >= buffers + ADDED && hardware.units >= units;
    fits.then_some(hardware.shared_memory)
}
