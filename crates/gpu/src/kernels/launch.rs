//! Helpers of launches: arguments, numbers of cubes and threads, output tensors.

use crate::layers::UNITS;
use burn::tensor::Shape;
use burn_cubecl::{
    kernel::into_contiguous, ops::numeric::empty_device_contiguous_dtype, tensor::CubeTensor,
};
use cubecl::{calculate_cube_count_elemwise, prelude::*};

/// Maximum number of cubes of a forward pass or a copy.
pub(super) const MOST_CUBES: usize = 1024;

pub(super) fn arg(tensor: &CubeTensor) -> BufferArg {
    tensor.clone().into_buffer_arg()
}

pub(super) fn cubes(count: [usize; 3]) -> CubeCount {
    let [x, y, z] = count.map(|n| n as u32);
    CubeCount::Static(x, y, z)
}

/// Number of cubes with at least `count` threads, over as many dimensions as the device requires.
pub(super) fn threads(on: &CubeTensor, count: usize) -> CubeCount {
    calculate_cube_count_elemwise(&on.client, count, units())
}

/// As many threads as there are work items, but no more than a device runs at a time.
pub(super) fn some_threads(on: &CubeTensor, count: usize) -> CubeCount {
    threads(on, count.min(MOST_CUBES * UNITS))
}

pub(super) fn units() -> CubeDim {
    CubeDim::new_1d(UNITS as u32)
}

/// An uninitialised tensor of the same type on the same device.
pub(super) fn beside<const D: usize>(other: &CubeTensor, shape: [usize; D]) -> CubeTensor {
    room(other, shape.into())
}

/// A tensor that may be overwritten.
pub(super) fn own(tensor: CubeTensor) -> CubeTensor {
    let tensor = into_contiguous(tensor);
    if tensor.can_mut() {
        tensor
    } else {
        tensor.copy()
    }
}

/// An uninitialised tensor with the type and device of `tensor`, without gaps between rows, which kernels assume.
pub(super) fn room(tensor: &CubeTensor, shape: Shape) -> CubeTensor {
    let (client, device) = (tensor.client.clone(), tensor.device.clone());
    empty_device_contiguous_dtype(client, device, shape, tensor.dtype)
}
