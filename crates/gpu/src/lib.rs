//! GPU kernels for policy gradients: CubeCL kernels behind functions on Burn's tensors.
//!
//! ```text
//! functions on tensors ── ops: operations of Burn's backend ── kernels ── formulas of uphill_cpu
//! ```
//!
//! | module | contents |
//! |---|---|
//! | [`envs`] | environments in kernels, steps of all their copies |
//! | [`rollout`] | policy and environments for many steps in one launch |
//! | [`experience`] | recurrences along time, moments, and scaling by them |
//! | [`network`] | a perceptron's outputs in one launch |
//! | [`learner`] | gradients and gradient steps of actor and critic |
//! | [`device`] | whether and which kernels a device runs |
//!
//! A step of actor and critic is three launches: partial gradients of tiles of samples, their sum, and Adam. Nothing is
//! read back: orders of samples are computed when needed, and rates and the number of steps are kept on the device.
//!
//! Every function requires tensors on a device that [has kernels](device::has_kernels), or returns `None`. In a build
//! without the feature `gpu` no device has any.

// Items that only kernels use.
#![cfg_attr(not(feature = "gpu"), allow(dead_code, unused_variables))]

mod buffers;
pub mod device;
pub mod envs;
pub mod experience;
mod graph;
mod layers;
pub mod learner;
pub mod network;
mod ops;
mod plan;
pub mod rollout;
mod setup;

#[cfg(feature = "gpu")]
pub mod kernels;
#[cfg(not(feature = "gpu"))]
#[path = "no_kernels.rs"]
mod kernels;
