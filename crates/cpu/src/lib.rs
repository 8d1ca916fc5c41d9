//! Loops of policy gradients on the CPU, on slices: no tensors, no graph.
//!
//! | room | what is in it |
//! |---|---|
//! | [`shape`] | the shape of a perceptron and where its weights lie |
//! | [`mlp`] | passes through a perceptron: forward, backward, along a direction |
//! | [`gemm`] | matrix products with what surrounds them, gradients of layers |
//! | [`dist`] | distributions of single samples |
//! | [`sample`] | formulas of single samples, which kernels on GPUs call too; [`kernel`] is their vocabulary |
//! | [`loss`] | the loss of actor and critic as settings |
//! | [`acting`] | a policy on slices |
//! | [`minibatch`] | samples, and the gradient of a loss over some of them |
//! | [`descent`] | gradient steps by a team of threads |
//! | [`tanh`] | tanh of many numbers |
//! | [`adam`] | Adam, norms |
//! | [`orthogonal`] | random orthonormal sets |
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
pub mod loss;
pub mod minibatch;
pub mod mlp;
mod narrow;
pub mod orthogonal;
pub mod quadrature;
pub mod sample;
pub mod shape;
mod simd;
pub mod tanh;
mod team;
