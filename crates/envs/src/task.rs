//! Tasks: environments with their options, from which batches are made.

use burn::tensor::Device;

use crate::{BatchEnv, Env, EnvError, EnvSpec, HostBatch};

/// Options of a batch beyond its environment, size and device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchOptions {
    /// Whether copies start at random ages, so that truncations do not coincide; see
    /// [`Batch::with_random_ages`](crate::Batch::with_random_ages).
    pub random_ages: bool,
    /// Number of stacked frames, at least 1; see [`Batch::with_frames`](crate::Batch::with_frames).
    pub frames: usize,
    /// Whether to step on the host even if a kernel could step on the device.
    pub host_steps: bool,
}

impl Default for BatchOptions {
    fn default() -> Self {
        Self {
            random_ages: false,
            frames: 1,
            host_steps: false,
        }
    }
}

/// An environment from which batches can be made.
pub trait Task: Send + Sync {
    /// Specification of one copy, without stacked frames.
    fn spec(&self) -> EnvSpec;

    /// Whether copies are stepped on the GPU if their tensors are on one.
    fn has_kernel(&self) -> bool {
        false
    }

    /// A batch of `num_envs` copies, with tensors on `device`.
    ///
    /// # Errors
    ///
    /// [`EnvError::NoEnvs`], or any error of starting the copies.
    fn batch(
        &self,
        num_envs: usize,
        device: &Device,
        options: BatchOptions,
    ) -> Result<Box<dyn BatchEnv>, EnvError>;
}

/// An environment that is always stepped on the host.
#[must_use]
pub fn on_host<E: Env + Clone + 'static>(env: E) -> Box<dyn Task> {
    Box::new(OnHost(env))
}

/// Conversion of an environment into a task, with a kernel if kernels are compiled; implemented by
/// [`in_kernels!`](crate::in_kernels).
pub trait IntoTask {
    /// Converts into a task.
    fn into_task(self) -> Box<dyn Task>;
}

struct OnHost<E>(E);

impl<E: Env + Clone + 'static> Task for OnHost<E> {
    fn spec(&self) -> EnvSpec {
        self.0.spec()
    }

    fn batch(
        &self,
        num_envs: usize,
        device: &Device,
        options: BatchOptions,
    ) -> Result<Box<dyn BatchEnv>, EnvError> {
        let env = self.0.clone();
        Ok(Box::new(host_batch(env, num_envs, device, options)?))
    }
}

/// A batch of copies stepped on the host.
pub(crate) fn host_batch<E: Env>(
    env: E,
    num_envs: usize,
    device: &Device,
    options: BatchOptions,
) -> Result<HostBatch<E>, EnvError> {
    let mut batch = HostBatch::new(env, num_envs, device)?;
    if options.frames > 1 {
        batch = batch.with_frames(options.frames);
    }
    if options.random_ages {
        batch = batch.with_random_ages();
    }
    Ok(batch)
}
