//! Launches of the kernels that step environments.

use super::env_step::step_kernel;
use super::episodes::last_episodes_kernel;
use super::launch::{arg, beside, cubes, room};
use super::slices::{CopiesLaunch, ResultsLaunch, RulesLaunch};
use crate::envs::{DeviceRules, SEARCHERS, Sizes};
use crate::ops::{CopyTensors, EnvOps, StepTensors};
use burn::tensor::Shape;
use burn_cubecl::{CubeBackend, kernel::into_contiguous, tensor::CubeTensor};
use cubecl::{calculate_cube_count_elemwise, prelude::CubeDim};

impl CopyTensors<CubeBackend> {
    /// Number of copies.
    pub(super) fn count(&self) -> usize {
        self.returns.meta.shape()[0]
    }

    /// The same state without gaps between rows.
    pub(super) fn contiguous(self) -> Self {
        Self {
            states: into_contiguous(self.states),
            clocks: into_contiguous(self.clocks),
            returns: into_contiguous(self.returns),
        }
    }

    /// Launch argument.
    pub(super) fn arg(&self) -> CopiesLaunch {
        CopiesLaunch::new(arg(&self.states), arg(&self.clocks), arg(&self.returns))
    }
}

impl StepTensors<CubeBackend> {
    /// Uninitialised tensors for the results of `steps` of `copies` and for the state that follows `old`, with as many
    /// rows of observations after autoreset as there are copies in `old`.
    pub(super) fn empty(
        old: &CopyTensors<CubeBackend>,
        sizes: Sizes,
        [steps, copies]: [usize; 2],
    ) -> Self {
        let like = |tensor: &CubeTensor| room(tensor, tensor.meta.shape().clone());
        let floats = |shape: Shape| room(&old.returns, shape);
        Self {
            copies: CopyTensors {
                states: like(&old.states),
                clocks: like(&old.clocks),
                returns: like(&old.returns),
            },
            obs: floats([old.count(), sizes.obs].into()),
            next_obs: floats([steps, copies, sizes.obs].into()),
            rewards: floats([steps, copies].into()),
            ended_returns: floats([steps, copies].into()),
            ends: beside(&old.clocks, [steps, copies]),
        }
    }

    /// Launch argument.
    pub(super) fn arg(&self) -> ResultsLaunch {
        ResultsLaunch::new(
            arg(&self.obs),
            arg(&self.next_obs),
            arg(&self.rewards),
            arg(&self.ended_returns),
            arg(&self.ends),
        )
    }
}

impl DeviceRules {
    /// Launch argument.
    pub(super) fn arg(&self) -> RulesLaunch {
        let (low, high) = (self.seed as u32, (self.seed >> 32) as u32);
        RulesLaunch::new(low, high, self.step as u32, self.time_limit as i32)
    }
}

impl EnvOps for CubeBackend {
    fn step_envs(
        copies: CopyTensors<Self>,
        actions: CubeTensor,
        rules: DeviceRules,
    ) -> StepTensors<Self> {
        let (old, actions) = (copies.contiguous(), into_contiguous(actions));
        let count = old.count();
        let steps = StepTensors::<Self>::empty(&old, rules.env.sizes(), [1, count]);
        let client = actions.client.clone();
        let dim = CubeDim::new(&client, count);
        step_kernel::launch(
            &client,
            calculate_cube_count_elemwise(&client, count, dim),
            dim,
            old.arg(),
            actions.into_buffer_arg(),
            steps.copies.arg(),
            steps.arg(),
            rules.arg(),
            count,
            rules.env,
        );
        steps
    }

    fn last_episodes(
        ended_returns: CubeTensor,
        ends: CubeTensor,
        most: usize,
        batches: usize,
    ) -> CubeTensor {
        let [ended_returns, ends] = [ended_returns, ends].map(into_contiguous);
        let (entries, copies) = (ends.meta.num_elements() / batches, ends.meta.shape()[1]);
        let out = beside(&ended_returns, [batches * (2 + 4 * most)]);
        last_episodes_kernel::launch(
            &ends.client.clone(),
            cubes([batches, 1, 1]),
            CubeDim::new_1d(SEARCHERS),
            ended_returns.into_buffer_arg(),
            ends.into_buffer_arg(),
            out.clone().into_buffer_arg(),
            entries,
            copies,
            most as u32,
            SEARCHERS,
        );
        out
    }
}
