//! Integration tests of `uphill-envs`.
#![allow(clippy::unwrap_used, missing_docs)]

mod contract;
mod copies;
#[path = "../../../core/tests/it/device.rs"]
mod device;
mod frame_stack;
mod golden;
mod host;
mod images;
mod make;
#[cfg(feature = "gpu")]
mod on_device;
mod own_kernel;
mod probes;
mod saved;
mod starts;
mod tools;
