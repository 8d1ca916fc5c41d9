//! A rollout as an operation of Burn's backends.

// The macros below make types and functions that nobody calls by name.
#![allow(missing_docs)]

use burn::backend::{Backend, ExtensionType, backend_extension, tensor::FloatTensor};
use burn::tensor::{DType, Shape};
use burn_cubecl::{CubeBackend, kernel::into_contiguous, tensor::CubeTensor};
use cubecl::prelude::{CubeCount, CubeDim};
use uphill_envs::device::{BatchTensors, DeviceRules, ResultTensors, empty_beside};

use super::{
    kernel::{NoiseLaunch, TakenLaunch, rollout_kernel},
    plan::Plan,
};

/// Where the `N` copies of each of `S` agents stand after `T` steps, and what these bring.
#[derive(ExtensionType)]
pub(super) struct RolloutTensors<B: Backend> {
    #[extension_type]
    pub batch: BatchTensors<B>,
    #[extension_type]
    pub results: ResultTensors<B>,
    /// `[S·T, N, O]`
    pub obs: FloatTensor<B>,
    /// `[S·T, N, A]`
    pub actions: FloatTensor<B>,
    /// `[S·T, N]`
    pub log_probs: FloatTensor<B>,
}

/// What is to be done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Job {
    pub(super) plan: Plan,
    pub(super) rules: DeviceRules,
    /// Agents `S`, whose batches follow one another and whose seeds are those of the first, plus 1, plus 2 and so on.
    pub(super) agents: usize,
    pub(super) steps: usize,
    /// Of the first agent's actions, like the next two.
    pub(super) seed: u64,
    pub(super) stream: u32,
    pub(super) first_step: u32,
    /// Of normalised observations.
    pub(super) clip: f32,
}

/// Operations of a policy on environments.
#[backend_extension(Cube)]
pub(super) trait RolloutOps: Backend {
    /// `params` `[S·P]` of the policies, `norm` `[S·2 O]` means and variances of observations.
    fn rollout(
        params: FloatTensor<Self>,
        norm: FloatTensor<Self>,
        #[extension_type] batch: BatchTensors<Self>,
        job: Job,
    ) -> RolloutTensors<Self>;
}

impl RolloutOps for CubeBackend {
    fn rollout(
        params: CubeTensor,
        norm: CubeTensor,
        batch: BatchTensors<Self>,
        job: Job,
    ) -> RolloutTensors<Self> {
        let [params, norm] = [params, norm].map(into_contiguous);
        let old = batch.contiguous();
        let Job {
            plan,
            rules,
            agents,
            ..
        } = job;
        let copies = old.copies() / agents;
        let steps = agents * job.steps;
        let sizes = plan.sizes;
        let floats = |shape: Shape| empty_beside(&params, shape, DType::F32);
        let out = RolloutTensors::<Self> {
            batch: old.empty_like(),
            results: ResultTensors {
                obs: floats([agents * copies, sizes.obs].into()),
                ..ResultTensors::empty(&params, sizes, [steps, copies])
            },
            obs: floats([steps, copies, sizes.obs].into()),
            actions: floats([steps, copies, sizes.action].into()),
            log_probs: floats([steps, copies].into()),
        };
        rollout_kernel::launch(
            &params.client.clone(),
            CubeCount::Static(copies.div_ceil(plan.copies) as u32, agents as u32, 1),
            CubeDim::new_1d(plan.units as u32),
            params.into_buffer_arg(),
            norm.into_buffer_arg(),
            old.arg(),
            out.batch.arg(),
            out.results.arg(),
            TakenLaunch::new(
                out.obs.clone().into_buffer_arg(),
                out.actions.clone().into_buffer_arg(),
                out.log_probs.clone().into_buffer_arg(),
            ),
            NoiseLaunch::new(
                job.first_step,
                job.stream,
                job.seed as u32,
                (job.seed >> 32) as u32,
            ),
            rules.arg(),
            copies,
            job.steps,
            job.clip,
            rules.env,
            plan,
        );
        out
    }
}
