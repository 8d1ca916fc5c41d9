//! Subset of Rust for dynamics that also compile into GPU kernels.
//!
//! ```
//! use uphill_envs::{ActionSpace, Described, EnvSpec, ObsSpace, Outcome, Philox, in_kernels, kernel::*};
//!
//! /// A walk to the right end of a corridor.
//! #[derive(Clone, Debug, Default)]
//! #[cfg_attr(feature = "gpu", derive(CubeType))]
//! struct Corridor;
//!
//! impl Described for Corridor {
//!     fn spec(&self) -> EnvSpec {
//!         EnvSpec {
//!             name: "Corridor-v0".to_owned(),
//!             obs: ObsSpace::between(0.0, 10.0, 1),
//!             action: ActionSpace::Discrete { n: 2 },
//!             time_limit: Some(100),
//!             reward_threshold: None,
//!         }
//!     }
//!
//!     fn state_size(&self) -> usize {
//!         1
//!     }
//! }
//!
//! #[cfg_attr(feature = "gpu", cube)]
//! impl Env for Corridor {
//!     fn reset(&self, state: &mut [f32], rng: &mut Philox) {
//!         state[0] = rng.below(5u32) as f32;
//!     }
//!
//!     fn step(&self, state: &mut [f32], action: &[f32], _rng: &mut Philox) -> Outcome {
//!         let position = state[0] + select(action[0] == 1.0f32, 1.0f32, -1.0f32);
//!         state[0] = position.max(0.0f32);
//!         Outcome { reward: -1.0f32, terminated: position >= 10.0f32 }
//!     }
//!
//!     fn observe(&self, state: &[f32], obs: &mut [f32]) {
//!         obs[0] = state[0];
//!     }
//! }
//!
//! in_kernels!(Corridor => CorridorExpand {});
//! ```
//!
//! Such functions use `f32`, `i32`, `u32`, `usize` and `bool`, `if`, `for` over ranges and `while`, and `select` where
//! both branches are cheap. Literals state their type (`1.0f32`) where it is ambiguous. There are no early `return`,
//! `continue`, iterators or closures. A `for` over a constant range with `#[unroll]` in front needs the feature `gpu`.
//!
//! An environment with options keeps them in fields, which become constants of the kernel:
//!
//! ```text
//! #[cfg_attr(feature = "gpu", derive(CubeType))]
//! struct Maze { #[cfg_attr(feature = "gpu", cube(comptime))] side: u32 }
//!
//! in_kernels!(Maze => MazeExpand { side });
//! ```
//!
//! A crate that defines environments has a feature `gpu` that enables `uphill-envs/gpu`. The code that `#[cube]`
//! generates needs `cubecl` in scope, which this module re-exports.

pub use crate::env::Env;
pub use uphill_cpu::kernel::*;

#[cfg(feature = "gpu")]
#[path = "device/in_kernels.rs"]
mod in_kernels;
#[cfg(feature = "gpu")]
pub use in_kernels::*;

/// Declares that the functions of an environment are compiled for GPUs too: `in_kernels!(Corridor => CorridorExpand
/// {})`.
///
/// The right-hand side is the struct that `derive(CubeType)` generates, with its fields, which are constants of the
/// kernel. The macro implements [`IntoTask`](crate::IntoTask): a task with a kernel if the calling crate's feature
/// `gpu` is enabled, and a task on the host otherwise.
#[macro_export]
macro_rules! in_kernels {
    ($env:ident => $expand:ident { $($field:ident),* $(,)? }) => {
        #[cfg(feature = "gpu")]
        impl $crate::kernel::InKernels for $env {
            fn constants(&self) -> $expand {
                $expand { $($field: self.$field.clone()),* }
            }
        }

        #[cfg(feature = "gpu")]
        impl $crate::IntoTask for $env {
            fn into_task(self) -> Box<dyn $crate::Task> {
                $crate::kernel::with_kernel(self)
            }
        }

        #[cfg(not(feature = "gpu"))]
        impl $crate::IntoTask for $env {
            fn into_task(self) -> Box<dyn $crate::Task> {
                $crate::on_host(self)
            }
        }
    };
}
