//! Stepping of copies as an operation of Burn's backends.

// The macros below generate types and functions that are never named directly.
#![allow(missing_docs)]

use burn::backend::{
    Backend, ExtensionType, backend_extension,
    tensor::{FloatTensor, IntTensor},
};
use burn::tensor::{DType, Shape};
use burn_cubecl::{
    CubeBackend, kernel::into_contiguous, ops::numeric::empty_device_contiguous_dtype,
    tensor::CubeTensor,
};
use cubecl::{calculate_cube_count_elemwise, prelude::CubeCount, prelude::CubeDim};

use super::{
    DeviceRules, Sizes,
    episodes::last_episodes_kernel,
    kernel::step_kernel,
    slices::{CopiesLaunch, ResultsLaunch, RulesLaunch},
};

/// [`DeviceState`](super::DeviceState) as primitive tensors.
#[derive(ExtensionType)]
pub struct BatchTensors<B: Backend> {
    /// States `[N, S]`.
    pub states: FloatTensor<B>,
    /// Clocks `[N, 3]`.
    pub clocks: IntTensor<B>,
    /// Returns so far, `[N]`.
    pub returns: FloatTensor<B>,
}

/// Results of `T` steps of all copies.
#[derive(ExtensionType)]
pub struct ResultTensors<B: Backend> {
    /// Observations after autoreset, `[N, O]`.
    pub obs: FloatTensor<B>,
    /// Observations before autoreset, `[T, N, O]`.
    pub next_obs: FloatTensor<B>,
    /// Rewards `[T, N]`.
    pub rewards: FloatTensor<B>,
    /// Returns of the episodes that ended, `[T, N]`; see [`Results`](super::Results).
    pub ended_returns: FloatTensor<B>,
    /// Ends of episodes, `[T, N]`; see [`Results`](super::Results).
    pub ends: IntTensor<B>,
}

/// State after a step, and its results.
#[derive(ExtensionType)]
pub(super) struct StepTensors<B: Backend> {
    #[extension_type]
    pub batch: BatchTensors<B>,
    #[extension_type]
    pub results: ResultTensors<B>,
}

/// Backend operations on environments.
#[backend_extension(Cube)]
pub(super) trait EnvOps: Backend {
    /// Advances all copies by one step with `actions` `[N, A]`.
    fn step_envs(
        #[extension_type] batch: BatchTensors<Self>,
        actions: FloatTensor<Self>,
        rules: DeviceRules,
    ) -> StepTensors<Self>;

    /// [`Finished::Device`](crate::Finished::Device) of `ended_returns` and `ends`, `[T, N]` each, for each of the
    /// `batches` concatenated batches.
    fn last_episodes(
        ended_returns: FloatTensor<Self>,
        ends: IntTensor<Self>,
        most: usize,
        batches: usize,
    ) -> FloatTensor<Self>;
}

/// Threads that search for the last episodes.
pub(super) const SEARCHERS: u32 = 256;
/// Number of buffers of a step, and of those that CubeCL adds.
pub(super) const BINDINGS: u32 = 14;

impl BatchTensors<CubeBackend> {
    /// Number of copies.
    #[must_use]
    pub fn copies(&self) -> usize {
        self.returns.meta.shape()[0]
    }

    /// The same state without gaps between rows.
    #[must_use]
    pub fn contiguous(self) -> Self {
        Self {
            states: into_contiguous(self.states),
            clocks: into_contiguous(self.clocks),
            returns: into_contiguous(self.returns),
        }
    }

    /// Uninitialised tensors of the same shapes.
    #[must_use]
    pub fn empty_like(&self) -> Self {
        let like =
            |tensor: &CubeTensor| empty_beside(tensor, tensor.meta.shape().clone(), tensor.dtype);
        Self {
            states: like(&self.states),
            clocks: like(&self.clocks),
            returns: like(&self.returns),
        }
    }

    /// Launch argument.
    #[must_use]
    pub fn arg(&self) -> CopiesLaunch {
        CopiesLaunch::new(
            self.states.clone().into_buffer_arg(),
            self.clocks.clone().into_buffer_arg(),
            self.returns.clone().into_buffer_arg(),
        )
    }
}

impl ResultTensors<CubeBackend> {
    /// Uninitialised tensors for the results of `[steps, copies]`, on the device of `tensor`.
    #[must_use]
    pub fn empty(tensor: &CubeTensor, sizes: Sizes, size: [usize; 2]) -> Self {
        let [steps, copies] = size;
        let floats = |shape: Shape| empty_beside(tensor, shape, DType::F32);
        Self {
            obs: floats([copies, sizes.obs].into()),
            next_obs: floats([steps, copies, sizes.obs].into()),
            rewards: floats([steps, copies].into()),
            ended_returns: floats([steps, copies].into()),
            ends: empty_beside(tensor, [steps, copies].into(), DType::I32),
        }
    }

    /// Launch argument.
    #[must_use]
    pub fn arg(&self) -> ResultsLaunch {
        ResultsLaunch::new(
            self.obs.clone().into_buffer_arg(),
            self.next_obs.clone().into_buffer_arg(),
            self.rewards.clone().into_buffer_arg(),
            self.ended_returns.clone().into_buffer_arg(),
            self.ends.clone().into_buffer_arg(),
        )
    }
}

impl DeviceRules {
    /// Launch argument.
    #[must_use]
    pub fn arg(&self) -> RulesLaunch {
        let (low, high) = (self.seed as u32, (self.seed >> 32) as u32);
        RulesLaunch::new(low, high, self.step as u32, self.time_limit as i32)
    }
}

impl EnvOps for CubeBackend {
    fn step_envs(
        batch: BatchTensors<Self>,
        actions: CubeTensor,
        rules: DeviceRules,
    ) -> StepTensors<Self> {
        let (old, actions) = (batch.contiguous(), into_contiguous(actions));
        let (copies, sizes) = (old.copies(), rules.env.sizes());
        let batch = old.empty_like();
        let results = ResultTensors::empty(&actions, sizes, [1, copies]);
        let client = actions.client.clone();
        let dim = CubeDim::new(&client, copies);
        let count = calculate_cube_count_elemwise(&client, copies, dim);
        step_kernel::launch(
            &client,
            count,
            dim,
            old.arg(),
            actions.into_buffer_arg(),
            batch.arg(),
            results.arg(),
            rules.arg(),
            copies,
            rules.env,
        );
        StepTensors { batch, results }
    }

    fn last_episodes(
        ended_returns: CubeTensor,
        ends: CubeTensor,
        most: usize,
        batches: usize,
    ) -> CubeTensor {
        let [ended_returns, ends] = [ended_returns, ends].map(into_contiguous);
        let (entries, copies) = (ends.meta.num_elements() / batches, ends.meta.shape()[1]);
        let out = empty_beside(
            &ended_returns,
            [batches * (2 + 4 * most)].into(),
            DType::F32,
        );
        let client = ends.client.clone();
        last_episodes_kernel::launch(
            &client,
            CubeCount::Static(batches as u32, 1, 1),
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

/// An uninitialised tensor on the device of another one.
#[must_use]
pub fn empty_beside(tensor: &CubeTensor, shape: Shape, dtype: DType) -> CubeTensor {
    let (client, device) = (tensor.client.clone(), tensor.device.clone());
    empty_device_contiguous_dtype(client, device, shape, dtype)
}
