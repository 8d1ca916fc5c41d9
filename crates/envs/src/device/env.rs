//! Environments as compile-time constants of kernels: `DeviceEnv`.
//!
//! The functions of an [`Env`] with `#[cube]` insert themselves into the kernel being compiled. A [`DeviceEnv`] is a
//! pointer to those of one environment, so a kernel is written once and takes any environment as a constant: neither
//! the kernel nor its crate depends on the environment's type.

use std::{
    any::TypeId,
    fmt,
    hash::{Hash, Hasher},
    sync::Mutex,
};

#[allow(clippy::wildcard_imports)] // the vocabulary of kernels
use crate::kernel::*;
use crate::{
    ActionSpace, Element, Outcome, OutcomeExpand,
    device::random::{KernelRng, KernelRngExpand},
};

/// Functions that `#[cube]` generates from those of an [`Env`].
#[allow(missing_docs)]
pub trait EnvExpand {
    fn __expand_reset_method(
        &self,
        scope: &Scope,
        state: &mut SliceExpand<f32>,
        rng: &mut KernelRngExpand,
    );

    fn __expand_step_method(
        &self,
        scope: &Scope,
        state: &mut SliceExpand<f32>,
        action: &SliceExpand<f32>,
        rng: &mut KernelRngExpand,
    ) -> OutcomeExpand;

    fn __expand_observe_method(
        &self,
        scope: &Scope,
        state: &SliceExpand<f32>,
        obs: &mut SliceExpand<f32>,
    );
}

/// An environment whose functions are compiled for GPUs; implemented by [`in_kernels!`](crate::in_kernels).
///
/// Two values with equal `Debug` output count as the same environment with the same options.
pub trait InKernels: Env + fmt::Debug + Clone + CubeType<ExpandType: EnvExpand> + 'static {
    /// The environment inside a kernel, with its options as constants.
    fn constants(&self) -> Self::ExpandType;
}

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

/// The functions of one environment with its options, and its row widths.
#[derive(Clone, Copy)]
pub struct DeviceEnv(&'static Entry);

struct Entry {
    env: TypeId,
    /// Type and options as text.
    name: String,
    sizes: Sizes,
    /// Bounds of real actions.
    bounds: Option<Vec<(f32, f32)>>,
    /// Factor from bytes of an observation to numbers.
    unit: Option<f32>,
    functions: Box<dyn Functions>,
}

/// One entry per environment, so that they can be compared by address.
static ALL: Mutex<Vec<&'static Entry>> = Mutex::new(Vec::new());

impl DeviceEnv {
    /// The functions of `env`.
    pub fn of<E: InKernels>(env: &E) -> Self {
        let name = format!("{} {env:?}", std::any::type_name::<E>());
        let mut all = ALL
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let is_known = |known: &&&Entry| known.env == TypeId::of::<E>() && known.name == name;
        if let Some(known) = all.iter().find(is_known) {
            return Self(known);
        }
        let spec = env.spec();
        let entry = Entry {
            env: TypeId::of::<E>(),
            name,
            sizes: Sizes {
                state: env.state_size(),
                action: spec.action.width(),
                obs: spec.obs.dim(),
            },
            bounds: match spec.action {
                ActionSpace::Box { low, high } => Some(low.into_iter().zip(high).collect()),
                _ => None,
            },
            unit: match spec.obs.element {
                Element::Float => None,
                Element::Byte { unit } => Some(unit),
            },
            functions: Box::new(env.clone()),
        };
        // Programs create few different environments, and kernels keep them for the life of the program.
        let entry = Box::leak(Box::new(entry));
        all.push(entry);
        Self(entry)
    }

    /// Row widths.
    #[must_use]
    pub fn sizes(self) -> Sizes {
        self.0.sizes
    }

    /// Factor from bytes of an observation to numbers; `None` if observations are floats.
    #[must_use]
    pub fn unit(self) -> Option<f32> {
        self.0.unit
    }

    /// Bounds of component `i` of a real action; `None` for discrete actions.
    #[must_use]
    pub fn bounds(self, i: usize) -> Option<(f32, f32)> {
        self.0.bounds.as_ref().map(|bounds| bounds[i])
    }
}

/// Functions for kernels that take `#[comptime] env: DeviceEnv`. On the host, use the [`Env`].
#[allow(missing_docs, unused_variables)]
impl DeviceEnv {
    /// [`Env::reset`].
    pub fn reset(self, state: &mut [f32], rng: &mut KernelRng) {
        unreachable!("on the host there is an `Env`")
    }

    /// [`Env::step`]; real actions must be clipped beforehand.
    #[must_use]
    pub fn step(self, state: &mut [f32], action: &[f32], rng: &mut KernelRng) -> Outcome {
        unreachable!("on the host there is an `Env`")
    }

    /// [`Env::observe`].
    pub fn observe(self, state: &[f32], obs: &mut [f32]) {
        unreachable!("on the host there is an `Env`")
    }

    pub fn __expand_reset_method(
        self,
        scope: &Scope,
        state: &mut SliceExpand<f32>,
        rng: &mut KernelRngExpand,
    ) {
        self.0.functions.reset(scope, state, rng);
    }

    pub fn __expand_step_method(
        self,
        scope: &Scope,
        state: &mut SliceExpand<f32>,
        action: &SliceExpand<f32>,
        rng: &mut KernelRngExpand,
    ) -> OutcomeExpand {
        self.0.functions.step(scope, state, action, rng)
    }

    pub fn __expand_observe_method(
        self,
        scope: &Scope,
        state: &SliceExpand<f32>,
        obs: &mut SliceExpand<f32>,
    ) {
        self.0.functions.observe(scope, state, obs);
    }
}

/// [`EnvExpand`] with the environment's type erased.
trait Functions: Send + Sync {
    fn reset(&self, scope: &Scope, state: &mut SliceExpand<f32>, rng: &mut KernelRngExpand);

    fn step(
        &self,
        scope: &Scope,
        state: &mut SliceExpand<f32>,
        action: &SliceExpand<f32>,
        rng: &mut KernelRngExpand,
    ) -> OutcomeExpand;

    fn observe(&self, scope: &Scope, state: &SliceExpand<f32>, obs: &mut SliceExpand<f32>);
}

impl<E: InKernels> Functions for E {
    fn reset(&self, scope: &Scope, state: &mut SliceExpand<f32>, rng: &mut KernelRngExpand) {
        self.constants().__expand_reset_method(scope, state, rng);
    }

    fn step(
        &self,
        scope: &Scope,
        state: &mut SliceExpand<f32>,
        action: &SliceExpand<f32>,
        rng: &mut KernelRngExpand,
    ) -> OutcomeExpand {
        (self.constants()).__expand_step_method(scope, state, action, rng)
    }

    fn observe(&self, scope: &Scope, state: &SliceExpand<f32>, obs: &mut SliceExpand<f32>) {
        self.constants().__expand_observe_method(scope, state, obs);
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
