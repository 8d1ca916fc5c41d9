//! Integration tests of `uphill-envs`.
#![allow(clippy::unwrap_used, missing_docs)]

mod contract;
mod frame_stack;
mod golden;
mod host;
mod make;
mod probes;
mod saved;
mod tools;
