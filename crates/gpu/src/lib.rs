//! What GPUs do for policy gradients: CubeCL kernels behind functions of Burn's tensors.
//!
//! ```text
//! functions of tensors ── ops, the face to Burn ── kernels ── formulas of uphill_cpu
//! ```
//!
//! | room | what is in it |
//! |---|---|
//! | [`envs`] | environments as kernels see them, steps of all their copies |
//! | [`rollout`] | policy and environments for many steps in one launch |
//! | [`experience`] | recurrences along time, moments, and what is scaled by them |
//! | [`network`] | a perceptron's outputs in one launch |
//! | [`learner`] | gradients and gradient steps of actor and critic |
//! | [`device`] | whether and which kernels a device runs |
//!
//! A step of actor and critic is three launches: partial gradients of tiles of samples, their sum, and Adam. Nothing is
//! read back: orders of samples are computed where they are needed, rates and the count of steps live on the device.
//!
//! Every function asks for tensors on a device that [has kernels](device::has_kernels), or answers `None`. In a build
//! without the feature `gpu` no device has any.

// What kernels alone ask for.
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
