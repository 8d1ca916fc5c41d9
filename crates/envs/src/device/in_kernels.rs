//! Conversion of an environment with `#[cube]` to a constant of kernels.

use uphill_cpu::kernel::CubeType;
use uphill_gpu::{
    envs::{DeviceEnv, Rows, Sizes},
    kernels::KernelRngExpand,
};

use crate::{ActionSpace, Element, Env, Philox, Task, device};

pub use uphill_gpu::kernels::{EnvExpand, InKernels};

impl CubeType for Philox {
    type ExpandType = KernelRngExpand;
}

/// Task of an environment that is stepped by a kernel on devices with kernels.
#[must_use]
pub fn with_kernel<E: Env + InKernels>(env: E) -> Box<dyn Task> {
    let spec = env.spec();
    let rows = Rows {
        sizes: Sizes {
            state: env.state_size(),
            action: spec.action.width(),
            obs: spec.obs.dim(),
        },
        bounds: match spec.action {
            ActionSpace::Box { low, high } => Some(low.into_iter().zip(high).collect()),
            _ => None,
        },
        unit: match spec.obs.element {
            Element::Float => None,
            Element::Byte { unit } => Some(unit),
        },
    };
    let kernel = DeviceEnv::of(&env, rows);
    device::task(env, kernel)
}
