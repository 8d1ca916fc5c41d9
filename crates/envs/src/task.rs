//! An environment with its options, before there are copies of it.

use burn::tensor::Device;

use crate::{BatchEnv, Env, EnvError, EnvSpec, HostBatch};

/// How a batch is made, beyond its environment, size and device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchOptions {
    /// Start copies at random ages, so that truncations do not arrive in lockstep; see
    /// [`Batch::with_random_ages`](crate::Batch::with_random_ages).
    pub random_ages: bool,
    /// Observations that the policy sees as one, at least 1; see [`Batch::with_frames`](crate::Batch::with_frames).
    pub frames: usize,
    /// Step on the host also where a kernel could step on the device.
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

/// An environment that batches can be made of.
pub trait Task: Send + Sync {
    /// Of one copy, without stacked frames.
    fn spec(&self) -> EnvSpec;

    /// Whether copies are stepped on a GPU if their tensors are on one.
    fn has_kernel(&self) -> bool {
        false
    }

    /// `num_envs` copies, their tensors on `device`.
    ///
    /// # Errors
    ///
    /// [`EnvError::NoEnvs`], and what else may keep these copies from starting.
    fn batch(
        &self,
        num_envs: usize,
        device: &Device,
        options: BatchOptions,
    ) -> Result<Box<dyn BatchEnv>, EnvError>;
}

/// An environment that is stepped on the host everywhere.
#[must_use]
pub fn on_host<E: Env + Clone + 'static>(env: E) -> Box<dyn Task> {
    Box::new(OnHost(env))
}

/// An environment that becomes a task, with a kernel where that is compiled; [`in_kernels!`](crate::in_kernels) implements it.
pub trait IntoTask {
    /// The task.
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

/// Copies on the host.
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
