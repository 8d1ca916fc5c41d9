//! Reinforcement-learning environments, stepped in batches.
//!
//! ```text
//! Env       one environment: dynamics on a slice of f32            (one file each)
//!    │      HostBatch adds time limits, autoreset, clipping, statistics, threads, seeds;
//!    │      DeviceBatch does so in one kernel, for tensors on a GPU
//!    ▼
//! BatchEnv  N copies behind one object, tensors in and tensors out (the interface for algorithms)
//! ```
//!
//! ```
//! use burn::tensor::{Device, Tensor};
//! use uphill_envs::make;
//!
//! # fn main() -> Result<(), uphill_envs::EnvError> {
//! let device = Device::flex();
//! let mut env = make("CartPole-v1", 8, &device)?;
//! let obs = env.reset(1);                                  // [N, O]
//! assert_eq!(obs.dims(), [8, 4]);
//! let step = env.step(Tensor::<2>::ones([8, 1], &device)); // push right, everywhere
//! assert_eq!(step.rewards.dims(), [8]);
//! # Ok(())
//! # }
//! ```
//!
//! Three rules hold for every environment, because the batch enforces them:
//!
//! * *terminated* (the task ended) and *truncated* (the time limit was reached) are separate and never both true;
//! * a finished copy is reset within the same step, and [`Step::next_obs`] is its observation before the reset;
//! * every random number is a function of (seed, purpose, counter, copy), see [`rng`], so a run continues exactly from
//!   a saved [`EnvState`], whatever the number of threads.
//!
//! This crate is independent of networks, algorithms and files. It uses Burn only for tensors; the caller chooses the
//! device.

// The attribute `cube` generates an undocumented module beside each function.
#![cfg_attr(feature = "gpu", allow(missing_docs))]

mod batch;
mod config;
mod copies;
pub mod device;
mod env;
mod error;
mod finished;
mod frame_stack;
mod host;
pub mod kernel;
mod obs;
mod registry;
mod spec;
mod task;

pub mod probe;
pub mod rng;

// Every built-in environment but for the probes, which have a list of their own. A new one is its file and its line here:
// `kernel` if `#[cube]` compiles it for GPUs, `host` if not, `with_options` if a configuration has more to say than its name.
registry::environments! {
    pub mod cartpole: CartPole = kernel("CartPole-v1");
    mod cartpole_positions: CartPolePositions = host("CartPolePositions-v1");
    pub mod pendulum: Pendulum = kernel("Pendulum-v1");
}

pub use batch::{BatchEnv, EnvState, Episode, HostSteps, Step, StepRows};
pub use config::EnvConfig;
pub use copies::{Copies, CopyRows, Seeds};
pub use env::{Described, Env};
pub use error::EnvError;
pub use finished::{Finished, FinishedEpisodes};
pub use frame_stack::FrameStack;
pub use host::{Batch, HostBatch, Threads};
pub use obs::{ObsBuf, ObsMut, ObsRef};
pub use registry::{
    NAMES, make, make_with, names, register, register_scheme, spec, spec_with, steps_on_gpu, task,
};
pub use rng::{NoiseAt, Philox, Stream};
pub use spec::{ActionSpace, Element, EnvSpec, ObsSpace};
pub use task::{BatchOptions, IntoTask, Task, on_host};
pub use uphill_cpu::kernel::Outcome;
