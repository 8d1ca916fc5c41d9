//! Tasks of environments that have a kernel.

use burn::tensor::Device;

use super::{DeviceBatch, InKernels, has_kernels};
use crate::task::host_batch;
use crate::{BatchEnv, BatchOptions, EnvError, EnvSpec, FrameStack, Task};

/// An environment that is stepped by a kernel on devices that support it.
#[must_use]
pub fn with_kernel<E: InKernels>(env: E) -> Box<dyn Task> {
    Box::new(WithKernel(env))
}

struct WithKernel<E>(E);

impl<E: InKernels> Task for WithKernel<E> {
    fn spec(&self) -> EnvSpec {
        self.0.spec()
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
        let env = self.0.clone();
        if has_kernels(device) && !options.host_steps {
            let single = BatchOptions {
                frames: 1,
                ..options
            };
            let batch = DeviceBatch::new(host_batch(env, num_envs, device, single)?);
            return Ok(match options.frames {
                1 => Box::new(batch),
                frames => Box::new(FrameStack::new(Box::new(batch), frames)),
            });
        }
        Ok(Box::new(host_batch(env, num_envs, device, options)?))
    }
}
