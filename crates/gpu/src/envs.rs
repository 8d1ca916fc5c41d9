//! Environments in kernels: their functions, their states, and steps of all copies.
//!
//! The dynamics are the same functions as on the CPU, compiled as kernels ([`DeviceEnv`]). Clocks, autoreset, clipping
//! and statistics of a batch are one function for all environments and for all kernels that step one. Random numbers
//! come from the same counter-based generator, so a batch on the device behaves like a batch on the host, up to
//! rounding.

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

/// Base of the digits in which the number of episodes is written: each digit is exact as a 32-bit float.
pub const COUNT_BASE: u64 = 1 << 16;
/// Number of threads that search for the last episodes.
pub(crate) const SEARCHERS: u32 = 256;
/// Number of buffers of a step, and of those that CubeCL adds.
const BINDINGS: u32 = 14;

/// Row widths of one copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Sizes {
    /// Width of the state `S`.
    pub state: usize,
    /// Width of the action `A`.
    pub action: usize,
    /// Width of the observation `O`.
    pub obs: usize,
}

/// Constants of an environment in kernels.
#[derive(Clone, Debug)]
pub struct Rows {
    /// Row widths.
    pub sizes: Sizes,
    /// Bounds of real actions; `None` for discrete actions.
    pub bounds: Option<Vec<(f32, f32)>>,
    /// Factor from bytes of an observation to numbers; `None` if observations are floats.
    pub unit: Option<f32>,
}

/// The functions of one environment with its options, and its row widths.
///
/// The functions of an environment with `#[cube]` insert themselves into the kernel being compiled. This is a pointer
/// to those of one environment, so a kernel is written once and takes any environment as a constant: neither the kernel
/// nor its crate depends on the environment's type.
#[derive(Clone, Copy)]
pub struct DeviceEnv(&'static Entry);

struct Entry {
    env: TypeId,
    /// Type and options as text.
    name: String,
    rows: Rows,
    functions: Box<Functions>,
}

/// One entry per environment, so that they can be compared by address.
static ALL: Mutex<Vec<&'static Entry>> = Mutex::new(Vec::new());

impl DeviceEnv {
    /// The entry of the environment of type `E` with options `name`; its `functions` are requested once.
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
        // Programs create few different environments, and kernels keep them for the life of the program.
        let entry = Box::leak(Box::new(Entry {
            env,
            name,
            rows,
            functions,
        }));
        all.push(entry);
        Self(entry)
    }

    /// Row widths.
    #[must_use]
    pub fn sizes(self) -> Sizes {
        self.0.rows.sizes
    }

    /// Factor from bytes of an observation to numbers; `None` if observations are floats.
    #[must_use]
    pub fn unit(self) -> Option<f32> {
        self.0.rows.unit
    }

    /// Bounds of component `i` of a real action; `None` for discrete actions.
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

/// State of `N` copies of an environment, which changes from step to step.
#[derive(Clone, Debug)]
pub struct DeviceState {
    /// States of the copies, `[N, S]`.
    pub states: Tensor<2>,
    /// Steps since the episode began, the number of them that were skipped (a random age), and the number of this
    /// copy's finished episodes: `[N, 3]`.
    pub clocks: Tensor<2, Int>,
    /// Rewards of the running episodes so far, `[N]`.
    pub returns: Tensor<1>,
}

impl DeviceState {
    /// Primitive tensors, for a backend operation.
    pub(crate) fn into_tensors(self) -> CopyTensors<Dispatch> {
        CopyTensors {
            states: self.states.into_dispatch(),
            clocks: self.clocks.into_dispatch(),
            returns: self.returns.into_dispatch(),
        }
    }
}

/// Constants of a batch that a kernel needs besides the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceRules {
    /// The environment.
    pub env: DeviceEnv,
    /// Seed of the last reset.
    pub seed: u64,
    /// Number of steps since the last reset.
    pub step: u64,
    /// Number of steps after which an episode is truncated; 0: never.
    pub time_limit: u32,
}

/// Results of `T` steps of all `N` copies.
#[derive(Clone, Debug)]
pub struct Steps {
    /// State of the copies after the steps.
    pub state: DeviceState,
    /// Observations after autoreset, `[N, O]`.
    pub obs: Tensor<2>,
    /// Observations before autoreset, `[T, N, O]`.
    pub next_obs: Tensor<3>,
    /// Rewards `[T, N]`.
    pub rewards: Tensor<2>,
    /// Returns of the episodes that ended, `[T, N]`.
    pub ended_returns: Tensor<2>,
    /// Ends of episodes, `[T, N]`: 0 while an episode goes on, otherwise 1 + length, negative if it was truncated.
    /// Length 0 marks an episode that is not reported because it began at a random age.
    pub ends: Tensor<2, Int>,
}

impl Steps {
    /// Results from the primitive tensors of a backend operation.
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

    /// Masks of the terminated and of the truncated episodes, `[T, N]` each.
    #[must_use]
    pub fn how_ended(&self) -> [Tensor<2, Bool>; 2] {
        [
            self.ends.clone().greater_elem(0),
            self.ends.clone().lower_elem(0),
        ]
    }
}

/// Whether copies with tensors on this device can be stepped by a kernel.
pub fn has_kernels(device: &Device) -> bool {
    let fits = |hardware: crate::device::Hardware| {
        DType::from(device.settings().float_dtype) == DType::F32
            && hardware.buffers >= BINDINGS
            && hardware.units >= SEARCHERS as usize
    };
    kernels::hardware(device).is_some_and(fits)
}

/// Advances all copies by one step with `actions` `[N, A]`.
#[must_use]
pub fn step(state: DeviceState, actions: Tensor<2>, rules: DeviceRules) -> Steps {
    let (copies, actions) = (state.into_tensors(), actions.into_dispatch());
    Steps::from_tensors(Dispatch::step_envs(copies, actions, rules))
}

/// The number of episodes and the last `M` = `most` of them for each of `batches` `S` concatenated batches, `[S·(2 + 4
/// M)]`, from `ended_returns` and `ends` `[S·T, N]` as described at [`Steps`].
///
/// The number is two digits to the base [`COUNT_BASE`], the higher one first. It is followed by (copy, return, length,
/// whether terminated) of each of the last episodes, oldest first; unused rows come last and are meaningless.
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
