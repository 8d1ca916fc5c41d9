//! Functions of an environment inside kernels.

use super::random::{KernelRng, KernelRngExpand};
use crate::envs::{DeviceEnv, Rows};
use cubecl::prelude::*;
use std::fmt;
use uphill_cpu::kernel::{Outcome, OutcomeExpand};

/// Functions that `#[cube]` generates from those of an environment.
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

/// An environment whose functions are compiled for GPUs.
///
/// Two values with equal `Debug` output count as the same environment with the same options.
pub trait InKernels:
    fmt::Debug + Clone + Send + Sync + CubeType<ExpandType: EnvExpand> + 'static
{
    /// The environment inside a kernel, with its options as constants.
    fn constants(&self) -> Self::ExpandType;
}

impl DeviceEnv {
    /// The functions of `env`; `rows` is called once.
    pub fn of<E: InKernels>(env: &E, rows: Rows) -> Self {
        let name = format!("{} {env:?}", std::any::type_name::<E>());
        Self::kept::<E>(name, rows, || Box::new(env.clone()))
    }
}

/// Functions for kernels that take `#[comptime] env: DeviceEnv`. On the host, use the `Env`.
#[allow(missing_docs, unused_variables)]
impl DeviceEnv {
    /// `Env::reset`.
    pub fn reset(self, state: &mut [f32], rng: &mut KernelRng) {
        unreachable!("on the host there is an `Env`")
    }

    /// `Env::step`; real actions must be clipped beforehand.
    #[must_use]
    pub fn step(self, state: &mut [f32], action: &[f32], rng: &mut KernelRng) -> Outcome {
        unreachable!("on the host there is an `Env`")
    }

    /// `Env::observe`.
    pub fn observe(self, state: &[f32], obs: &mut [f32]) {
        unreachable!("on the host there is an `Env`")
    }

    pub fn __expand_reset_method(
        self,
        scope: &Scope,
        state: &mut SliceExpand<f32>,
        rng: &mut KernelRngExpand,
    ) {
        self.functions().reset(scope, state, rng);
    }

    pub fn __expand_step_method(
        self,
        scope: &Scope,
        state: &mut SliceExpand<f32>,
        action: &SliceExpand<f32>,
        rng: &mut KernelRngExpand,
    ) -> OutcomeExpand {
        self.functions().step(scope, state, action, rng)
    }

    pub fn __expand_observe_method(
        self,
        scope: &Scope,
        state: &SliceExpand<f32>,
        obs: &mut SliceExpand<f32>,
    ) {
        self.functions().observe(scope, state, obs);
    }
}

/// Writers of an environment's functions into a kernel.
pub(crate) type Functions = dyn Write;

/// [`EnvExpand`] with the environment's type erased.
pub(crate) trait Write: Send + Sync {
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

impl<E: InKernels> Write for E {
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
