//! Fused CPU loops for policy gradients, on slices: no tensors and no autodiff graph.
//!
//! | module | contents |
//! |---|---|
//! | [`shape`] | shape of a perceptron and layout of its weights |
//! | [`mlp`] | passes through a perceptron: forward, backward, along a direction |
//! | [`layers`] | single layers, for networks that compute on tensors |
//! | [`gemm`] | fused matrix products, gradients of layers |
//! | [`dist`] | action distributions on rows of network outputs |
//! | [`sample`] | formulas of single samples, which GPU kernels call too; [`kernel`] is their vocabulary |
//! | [`rng`] | counter-based random words |
//! | [`loss`] | settings of the actor-critic loss |
//! | [`acting`] | a policy on slices |
//! | [`minibatch`] | samples, and the gradient of a loss over some of them |
//! | [`outputs`] | gradient of a loss with respect to the outputs of networks that compute elsewhere |
//! | [`descent`] | gradient steps by a team of threads |
//! | [`tanh`] | tanh of many numbers |
//! | [`adam`] | Adam, norms |
//! | [`orthogonal`] | random orthonormal sets |
//! | [`rows`] | observations, as floats or as the bytes of images |
//! | [`quadrature`] | nodes of the Gauss–Hermite rule |
//!
//! Everything is plain Rust without `unsafe`; vector instructions are chosen at run time. Results do not depend on the
//! number of threads.

pub mod acting;
pub mod adam;
mod block_loss;
pub mod descent;
pub mod dist;
mod exp;
pub mod gemm;
pub mod kernel;
pub mod layers;
pub mod loss;
pub mod minibatch;
pub mod mlp;
mod narrow;
pub mod orthogonal;
pub mod outputs;
pub mod quadrature;
pub mod rng;
pub mod rows;
pub mod sample;
pub mod shape;
mod simd;
pub mod tanh;
mod team;
