//! Environments stepped on the device: one kernel steps all copies, and nothing is read back.
//!
//! The kernels are those of [`uphill_gpu::envs`].

mod batch;
mod episodes;
mod task;

pub use batch::{CopiesRead, DeviceBatch, DeviceSteps};
pub use episodes::EpisodeLog;
pub use task::task;
