//! Tasks of environments that have a kernel.

use burn::tensor::Device;
use uphill_gpu::envs::{DeviceEnv, has_kernels};

use super::DeviceBatch;
use crate::task::host_batch;
use crate::{BatchEnv, BatchOptions, Env, EnvError, EnvSpec, FrameStack, Task};

/// Task of an environment, which is stepped by `kernel` on devices with kernels and by `env` elsewhere.
#[must_use]
pub fn task<E: Env + Clone + 'static>(env: E, kernel: DeviceEnv) -> Box<dyn Task> {
    Box::new(WithKernel { env, kernel })
}

struct WithKernel<E> {
    env: E,
    kernel: DeviceEnv,
}

impl<E: Env + Clone + 'static> Task for WithKernel<E> {
    fn spec(&self) -> EnvSpec {
        self.env.spec()
    }

    fn has_kernel(&self) -> bool {
        true
    }

    fn batch(
        &self,
        num_envs: usize,
        device: &Device,
        options: BatchOptions,
    ) -> Result<Box<dyn BatchEnv>, EnvError> {
        let env = self.env.clone();
        if has_kernels(device) && !options.host_steps {
            let single = BatchOptions {
                frames: 1,
                ..options
            };
            let batch = DeviceBatch::new(host_batch(env, num_envs, device, single)?, self.kernel);
            return Ok(match options.frames {
                1 => Box::new(batch),
                frames => Box::new(FrameStack::new(Box::new(batch), frames)),
            });
        }
        Ok(Box::new(host_batch(env, num_envs, device, options)?))
    }
}
