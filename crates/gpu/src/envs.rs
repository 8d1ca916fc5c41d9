//! Environments as kernels see them, and steps of all their copies.
//!
//! The dynamics are the functions that the CPU calls, compiled as kernels ([`DeviceEnv`]). What a batch adds to them
//! (clocks, autoreset, clipping, statistics) is one function for every environment and for every kernel that steps one.
//! Random numbers come from the same counter-based generator, so a batch on the device does what a batch on the host
//! does, up to rounding.

use crate::kernels::{self, Functions};
use crate::ops::{CopyTensors, EnvOps, StepTensors};
use burn::backend::Dispatch;
use burn::tensor::{Bool, DType, Device, Int, Tensor};
use std::{
    any::TypeId,
    fmt,
    hash::{Hash, Hasher},
    sync::{Mutex, PoisonError},
};

/// Base of the digits in which a number of episodes is written: both are exact as 32-bit floats.
pub const COUNT_BASE: u64 = 1 << 16;
/// Threads that look for the last episodes.
pub(crate) const SEARCHERS: u32 = 256;
/// Buffers of a step, and what CubeCL adds.
const BINDINGS: u32 = 14;

/// Widths of the rows of one copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Sizes {
    /// `S`
    pub state: usize,
    /// `A`
    pub action: usize,
    /// `O`
    pub obs: usize,
}

/// What kernels take for constants of an environment.
#[derive(Clone, Debug)]
pub struct Rows {
    /// Widths.
    pub sizes: Sizes,
    /// Bounds of real actions; `None` for choices.
    pub bounds: Option<Vec<(f32, f32)>>,
    /// What a byte of an observation is worth; `None` if observations are floats.
    pub unit: Option<f32>,
}

/// The functions of one environment with its options, and the shape of its rows.
///
/// The functions of an environment with `#[cube]` write themselves into a kernel that is being compiled. This is a
/// pointer to those of one environment, so a kernel is written once and takes any environment as a constant: neither the
/// kernel nor its crate knows the environment's type.
#[derive(Clone, Copy)]
pub struct DeviceEnv(&'static Entry);

struct Entry {
    env: TypeId,
    /// Type and options in words.
    name: String,
    rows: Rows,
    functions: Box<Functions>,
}

/// Each of a kind once, so that they are compared by their addresses.
static ALL: Mutex<Vec<&'static Entry>> = Mutex::new(Vec::new());

impl DeviceEnv {
    /// The environment of type `E` whose options read `name`; its `functions` are asked for once.
    pub(crate) fn kept<E: 'static>(
        name: String,
        rows: Rows,
        functions: impl FnOnce() -> Box<Functions>,
    ) -> Self {
        let mut all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
        let env = TypeId::of::<E>();
        let is_known = |known: &&&Entry| known.env == env && known.name == name;
        if let Some(known) = all.iter().find(is_known) {
            return Self(known);
        }
        let functions = functions();
        // Programs make few different environments, and kernels keep theirs for good.
        let entry = Box::leak(Box::new(Entry {
            env,
            name,
            rows,
            functions,
        }));
        all.push(entry);
        Self(entry)
    }

    /// Widths of its rows.
    #[must_use]
    pub fn sizes(self) -> Sizes {
        self.0.rows.sizes
    }

    /// What a byte of its observations is worth; `None` if they are floats.
    #[must_use]
    pub fn unit(self) -> Option<f32> {
        self.0.rows.unit
    }

    /// Bounds of component `i` of a real action; `None` for choices.
    #[must_use]
    pub fn bounds(self, i: usize) -> Option<(f32, f32)> {
        self.0.rows.bounds.as_ref().map(|bounds| bounds[i])
    }

    pub(crate) fn functions(self) -> &'static Functions {
        self.0.functions.as_ref()
    }
}

impl PartialEq for DeviceEnv {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.0, other.0)
    }
}

impl Eq for DeviceEnv {}

impl Hash for DeviceEnv {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.name.hash(state);
    }
}

impl fmt::Debug for DeviceEnv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.name)
    }
}

/// Where `N` copies of an environment stand: what changes from step to step.
#[derive(Clone, Debug)]
pub struct DeviceState {
    /// States of the copies, `[N, S]`.
    pub states: Tensor<2>,
    /// Steps since the episode began, those of them that were not taken (a random age), and episodes of this
    /// copy that have ended: `[N, 3]`.
    pub clocks: Tensor<2, Int>,
    /// Rewards of the running episodes so far, `[N]`.
    pub returns: Tensor<1>,
}

impl DeviceState {
    /// Below the tensors, for an operation.
    pub(crate) fn into_tensors(self) -> CopyTensors<Dispatch> {
        CopyTensors {
            states: self.states.into_dispatch(),
            clocks: self.clocks.into_dispatch(),
            returns: self.returns.into_dispatch(),
        }
    }
}

/// What a kernel has to know beside the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceRules {
    /// Whose dynamics.
    pub env: DeviceEnv,
    /// Of the last reset.
    pub seed: u64,
    /// Steps since then.
    pub step: u64,
    /// Steps after which an episode is truncated; 0: never.
    pub time_limit: u32,
}

/// What `T` steps of all `N` copies bring.
#[derive(Clone, Debug)]
pub struct Steps {
    /// Where the copies stand after them.
    pub state: DeviceState,
    /// What policies see next, `[N, O]`.
    pub obs: Tensor<2>,
    /// What they saw before autoreset, `[T, N, O]`.
    pub next_obs: Tensor<3>,
    /// `[T, N]`
    pub rewards: Tensor<2>,
    /// Returns of the episodes that ended, `[T, N]`.
    pub ended_returns: Tensor<2>,
    /// 0 while an episode goes on, otherwise 1 + length, negative if it was truncated, with length 0 if the episode is
    /// not to be reported, because it began at a random age; `[T, N]`.
    pub ends: Tensor<2, Int>,
}

impl Steps {
    /// Back from an operation.
    pub(crate) fn from_tensors(steps: StepTensors<Dispatch>) -> Self {
        Self {
            state: DeviceState {
                states: Tensor::from_dispatch(steps.copies.states),
                clocks: Tensor::from_dispatch(steps.copies.clocks),
                returns: Tensor::from_dispatch(steps.copies.returns),
            },
            obs: Tensor::from_dispatch(steps.obs),
            next_obs: Tensor::from_dispatch(steps.next_obs),
            rewards: Tensor::from_dispatch(steps.rewards),
            ended_returns: Tensor::from_dispatch(steps.ended_returns),
            ends: Tensor::from_dispatch(steps.ends),
        }
    }

    /// Where an episode was terminated and where truncated, `[T, N]` each.
    #[must_use]
    pub fn how_ended(&self) -> [Tensor<2, Bool>; 2] {
        [
            self.ends.clone().greater_elem(0),
            self.ends.clone().lower_elem(0),
        ]
    }
}

/// Whether copies whose tensors are on this device can be stepped by a kernel.
pub fn has_kernels(device: &Device) -> bool {
    let fits = |hardware: crate::device::Hardware| {
        DType::from(device.settings().float_dtype) == DType::F32
            && hardware.buffers >= BINDINGS
            && hardware.units >= SEARCHERS as usize
    };
    kernels::hardware(device).is_some_and(fits)
}

/// One step of all copies under `actions` `[N, A]`.
#[must_use]
pub fn step(state: DeviceState, actions: Tensor<2>, rules: DeviceRules) -> Steps {
    let (copies, actions) = (state.into_tensors(), actions.into_dispatch());
    Steps::from_tensors(Dispatch::step_envs(copies, actions, rules))
}

/// The number of episodes and the last `M` = `most` of them for each of `batches` `S` that follow one another,
/// `[S·(2 + 4 M)]`, from `ended_returns` and `ends` `[S·T, N]` as described at [`Steps`].
///
/// The number is two digits to the base [`COUNT_BASE`], the higher one first. Then come (copy, return, length, whether
/// terminated) of each of the last, oldest first; rows without an episode are last and mean nothing.
#[must_use]
pub fn last_episodes(
    ended_returns: Tensor<2>,
    ends: Tensor<2, Int>,
    most: usize,
    batches: usize,
) -> Tensor<1> {
    let (ended_returns, ends) = (ended_returns.into_dispatch(), ends.into_dispatch());
    Tensor::from_dispatch(Dispatch::last_episodes(ended_returns, ends, most, batches))
}
