//! Launches of the rollout kernel.

use super::launch::{arg, beside, cubes};
use super::rollout::{NoiseLaunch, TakenLaunch, rollout_kernel};
use crate::ops::{CopyTensors, RolloutOps, RolloutTensors, StepTensors};
use crate::rollout::{Job, Size};
use burn_cubecl::{CubeBackend, kernel::into_contiguous, tensor::CubeTensor};
use cubecl::prelude::CubeDim;

impl RolloutOps for CubeBackend {
    fn rollout(
        params: CubeTensor,
        norm: CubeTensor,
        copies: CopyTensors<Self>,
        job: Job,
    ) -> RolloutTensors<Self> {
        let [params, norm] = [params, norm].map(into_contiguous);
        let old = copies.contiguous();
        let Job {
            plan,
            rules,
            size,
            noise,
            clip,
        } = job;
        let Size { agents, envs, .. } = size;
        let (rows, sizes) = (agents * size.steps, plan.sizes);
        let out = RolloutTensors::<Self> {
            steps: StepTensors::empty(&old, sizes, [rows, envs]),
            obs: beside(&params, [rows, envs, sizes.obs]),
            actions: beside(&params, [rows, envs, sizes.action]),
            log_probs: beside(&params, [rows, envs]),
        };
        rollout_kernel::launch(
            &params.client.clone(),
            cubes([envs.div_ceil(plan.copies), agents, 1]),
            CubeDim::new_1d(plan.units as u32),
            params.into_buffer_arg(),
            norm.into_buffer_arg(),
            old.arg(),
            out.steps.copies.arg(),
            out.steps.arg(),
            TakenLaunch::new(arg(&out.obs), arg(&out.actions), arg(&out.log_probs)),
            NoiseLaunch::new(
                noise.first_step as u32, // as the noise of every other loop
                noise.stream as u32,
                noise.seed as u32,
                (noise.seed >> 32) as u32,
            ),
            rules.arg(),
            envs,
            size.steps,
            clip,
            rules.env,
            plan,
        );
        out
    }
}
