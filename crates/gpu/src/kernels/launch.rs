//! What launches have in common: arguments, numbers of cubes and threads, room for results.

use crate::layers::UNITS;
use burn::tensor::Shape;
use burn_cubecl::{
    kernel::into_contiguous, ops::numeric::empty_device_contiguous_dtype, tensor::CubeTensor,
};
use cubecl::{calculate_cube_count_elemwise, prelude::*};

/// Most cubes of a forward pass or a copy.
pub(super) const MOST_CUBES: usize = 1024;

pub(super) fn arg(tensor: &CubeTensor) -> BufferArg {
    tensor.clone().into_buffer_arg()
}

pub(super) fn cubes(count: [usize; 3]) -> CubeCount {
    let [x, y, z] = count.map(|n| n as u32);
    CubeCount::Static(x, y, z)
}

/// As many cubes as hold `count` threads or more, along as many dimensions as the device wants.
pub(super) fn threads(on: &CubeTensor, count: usize) -> CubeCount {
    calculate_cube_count_elemwise(&on.client, count, units())
}

/// As many threads as there is something to do for, but no more than a device has at a time.
pub(super) fn some_threads(on: &CubeTensor, count: usize) -> CubeCount {
    threads(on, count.min(MOST_CUBES * UNITS))
}

pub(super) fn units() -> CubeDim {
    CubeDim::new_1d(UNITS as u32)
}

/// Room for a tensor of the same type on the same device.
pub(super) fn beside<const D: usize>(other: &CubeTensor, shape: [usize; D]) -> CubeTensor {
    room(other, shape.into())
}

/// A tensor that may be written to.
pub(super) fn own(tensor: CubeTensor) -> CubeTensor {
    let tensor = into_contiguous(tensor);
    if tensor.can_mut() {
        tensor
    } else {
        tensor.copy()
    }
}

/// Uninitialised, of the type and where `tensor` is, and without gaps between rows, which kernels do not know of.
pub(super) fn room(tensor: &CubeTensor, shape: Shape) -> CubeTensor {
    let (client, device) = (tensor.client.clone(), tensor.device.clone());
    empty_device_contiguous_dtype(client, device, shape, tensor.dtype)
}
