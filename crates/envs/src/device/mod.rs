//! Environments stepped on the device: one kernel steps all copies, and nothing is read back.
//!
//! The dynamics are the same functions as on the CPU, compiled as kernels ([`DeviceEnv`]); clocks, autoreset, clipping
//! and statistics are added by [`advance()`], once for all environments and for all kernels that step one. Random
//! numbers come from the same counter-based generator, so a batch on the device behaves like a batch on the host, up to
//! rounding.

mod batch;
mod episodes;
mod task;

pub use batch::{CopiesRead, DeviceBatch, DeviceSteps};
pub use episodes::EpisodeLog;
pub use task::task;
