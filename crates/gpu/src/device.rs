//! Device limits, and whether a device has kernels.

use crate::kernels;
use burn::tensor::{DType, Device, Tensor};

/// Maximum number of buffers that CubeCL adds to those of a kernel.
const ADDED: u32 = 2;

/// Limits of a device.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hardware {
    /// Number of buffers of a kernel.
    pub(crate) buffers: u32,
    /// Number of threads of a cube.
    pub(crate) units: usize,
    /// Bytes of shared memory of a cube.
    pub(crate) shared_memory: usize,
}

/// Whether this build has kernels for the device. Which of them run depends on the device's limits.
pub fn has_kernels(device: &Device) -> bool {
    kernels::is_cube(device)
}

/// Whether kernels accept the tensor: on a device that [has some](has_kernels), of 32-bit floats without recorded
/// gradients, and with no more elements than kernels can count.
pub fn on_device<const D: usize>(tensor: &Tensor<D>) -> bool {
    let device = tensor.device();
    tensor.dtype() == DType::F32
        && u32::try_from(tensor.shape().num_elements()).is_ok()
        && !device.is_autodiff()
        && has_kernels(&device)
}

/// Bytes of shared memory available to a cube of `units` threads in a kernel with `buffers` buffers. `None` if the
/// device cannot run such a kernel: a WebGPU adapter may offer as little as 8 buffers and 16 KiB.
pub(crate) fn shared_memory(device: &Device, buffers: u32, units: usize) -> Option<usize> {
    let hardware = kernels::hardware(device)?;
    let fits = hardware.buffers >= buffers + ADDED && hardware.units >= units;
    fits.then_some(hardware.shared_memory)
}
