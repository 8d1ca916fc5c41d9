//! What kernels may ask of a device.

use super::on_cube;
use burn::tensor::Device;

/// Buffers that CubeCL adds to those of a kernel, at most.
const ADDED: u32 = 2;

/// Bytes of shared memory that a cube of `units` threads may have in a kernel that reads and writes so many
/// `buffers`. `None` where the device cannot run such a kernel: a WebGPU adapter may offer as little as 8 buffers
/// and 16 KiB.
pub fn shared_memory(device: &Device, buffers: u32, units: usize) -> Option<usize> {
    let client = on_cube(device)?.client();
    let hardware = &client.properties().hardware;
    let fits =
        hardware.max_bindings >= buffers + ADDED && hardware.max_units_per_cube as usize >= units;
    fits.then_some(hardware.max_shared_memory_size)
}
