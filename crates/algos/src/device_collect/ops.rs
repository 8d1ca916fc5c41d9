//! A rollout as an operation of Burn's backends.

// The macros below make types and functions that nobody calls by name.
#![allow(missing_docs)]

use burn::backend::{
    Backend, ExtensionType, backend_extension,
    fusion::custom::TensorSpec,
    tensor::{FloatTensor, IntTensor},
};
use burn::tensor::{DType, Shape};
use burn_cubecl::{
    CubeBackend, kernel::into_contiguous, ops::numeric::empty_device_contiguous_dtype,
    tensor::CubeTensor,
};
use cubecl::prelude::{CubeCount, CubeDim};
use uphill_envs::{
    CartPole, Pendulum,
    device::{BatchTensors, BatchTensorsMetadata, DeviceEnv, DeviceRules},
};

use super::{kernel::rollout_kernel, plan::Plan};

/// What `T` steps of `N` copies bring.
#[derive(ExtensionType)]
#[extension_type(fusion)]
pub(super) struct RolloutTensors<B: Backend> {
    /// After the last step.
    #[extension_type]
    pub batch: BatchTensors<B>,
    /// `[N, O]`, what the policy sees next.
    pub seen: FloatTensor<B>,
    /// `[T, N, O]`
    pub obs: FloatTensor<B>,
    /// `[T, N, A]`
    pub actions: FloatTensor<B>,
    /// `[T, N]`
    pub log_probs: FloatTensor<B>,
    /// `[T, N]`
    pub rewards: FloatTensor<B>,
    /// `[T, N, O]`, before autoreset.
    pub next_obs: FloatTensor<B>,
    /// `[T, N]`, see [`advance`](uphill_envs::device::advance).
    pub ended_returns: FloatTensor<B>,
    /// `[T, N]`, likewise.
    pub ends: IntTensor<B>,
}

/// What is to be done.
#[derive(Clone, Copy, Debug)]
pub(super) struct Job {
    pub(super) plan: Plan,
    pub(super) rules: DeviceRules,
    pub(super) steps: usize,
    /// Of the actions, like the next two.
    pub(super) seed: u64,
    pub(super) stream: u32,
    pub(super) first_step: u32,
    /// Of normalised observations.
    pub(super) clip: f32,
}

/// Operations of a policy on environments.
#[backend_extension(Cube, Fusion)]
pub(super) trait RolloutOps: Backend {
    /// `params` `[P]` of the policy, `norm` `[2 O]` means and standard deviations of observations.
    #[fusion(meta = specs)]
    fn rollout(
        params: FloatTensor<Self>,
        norm: FloatTensor<Self>,
        #[extension_type] batch: BatchTensors<Self>,
        job: Job,
    ) -> RolloutTensors<Self>;
}

fn specs(
    _params: &TensorSpec,
    _norm: &TensorSpec,
    batch: &BatchTensorsMetadata,
    job: &Job,
) -> RolloutTensorsMetadata {
    let (steps, copies, sizes) = (job.steps, batch.returns.shape[0], job.plan.sizes);
    let floats = |shape: Shape| TensorSpec::new(shape, DType::F32);
    let numbers = floats([steps, copies].into());
    let obs = floats([steps, copies, sizes.obs].into());
    RolloutTensorsMetadata {
        batch: batch.clone(),
        seen: floats([copies, sizes.obs].into()),
        obs: obs.clone(),
        actions: floats([steps, copies, sizes.action].into()),
        log_probs: numbers.clone(),
        rewards: numbers.clone(),
        next_obs: obs,
        ended_returns: numbers,
        ends: TensorSpec::new([steps, copies].into(), DType::I32),
    }
}

impl RolloutOps for CubeBackend {
    fn rollout(
        params: CubeTensor,
        norm: CubeTensor,
        batch: BatchTensors<Self>,
        job: Job,
    ) -> RolloutTensors<Self> {
        let [params, norm, states, clocks, returns] =
            [params, norm, batch.states, batch.clocks, batch.returns].map(into_contiguous);
        let (steps, copies) = (job.steps, returns.meta.shape()[0]);
        let Job { plan, rules, .. } = job;
        let sizes = plan.sizes;
        let empty = |shape: Shape, dtype| {
            let (client, device) = (params.client.clone(), params.device.clone());
            empty_device_contiguous_dtype(client, device, shape, dtype)
        };
        let floats = |shape: Shape| empty(shape, DType::F32);
        let out = RolloutTensors::<Self> {
            batch: BatchTensors {
                states: floats([copies, sizes.state].into()),
                clocks: empty([copies, 3].into(), DType::I32),
                returns: floats([copies].into()),
            },
            seen: floats([copies, sizes.obs].into()),
            obs: floats([steps, copies, sizes.obs].into()),
            actions: floats([steps, copies, sizes.action].into()),
            log_probs: floats([steps, copies].into()),
            rewards: floats([steps, copies].into()),
            next_obs: floats([steps, copies, sizes.obs].into()),
            ended_returns: floats([steps, copies].into()),
            ends: empty([steps, copies].into(), DType::I32),
        };
        let launch = match rules.env {
            DeviceEnv::CartPole => rollout_kernel::launch::<CartPole>,
            DeviceEnv::Pendulum => rollout_kernel::launch::<Pendulum>,
        };
        launch(
            &params.client.clone(),
            CubeCount::Static(copies.div_ceil(plan.copies) as u32, 1, 1),
            CubeDim::new_1d(plan.units as u32),
            params.into_buffer_arg(),
            norm.into_buffer_arg(),
            states.into_buffer_arg(),
            clocks.into_buffer_arg(),
            returns.into_buffer_arg(),
            out.batch.states.clone().into_buffer_arg(),
            out.batch.clocks.clone().into_buffer_arg(),
            out.batch.returns.clone().into_buffer_arg(),
            out.seen.clone().into_buffer_arg(),
            out.obs.clone().into_buffer_arg(),
            out.actions.clone().into_buffer_arg(),
            out.log_probs.clone().into_buffer_arg(),
            out.rewards.clone().into_buffer_arg(),
            out.next_obs.clone().into_buffer_arg(),
            out.ended_returns.clone().into_buffer_arg(),
            out.ends.clone().into_buffer_arg(),
            steps,
            job.first_step,
            job.stream,
            job.seed as u32,
            (job.seed >> 32) as u32,
            rules.seed as u32,
            (rules.seed >> 32) as u32,
            rules.time_limit as i32,
            job.clip,
            plan,
        );
        out
    }
}
