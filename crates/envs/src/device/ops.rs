//! Stepping copies as an operation of Burn's backends.

// The macros below make types and functions that nobody calls by name.
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

/// [`DeviceState`](super::DeviceState) below the tensors.
#[derive(ExtensionType)]
pub struct BatchTensors<B: Backend> {
    /// `[N, S]`
    pub states: FloatTensor<B>,
    /// `[N, 3]`
    pub clocks: IntTensor<B>,
    /// `[N]`
    pub returns: FloatTensor<B>,
}

/// What `T` steps of all copies bring.
#[derive(ExtensionType)]
pub struct ResultTensors<B: Backend> {
    /// `[N, O]`, what the policy sees next.
    pub obs: FloatTensor<B>,
    /// `[T, N, O]`, before autoreset.
    pub next_obs: FloatTensor<B>,
    /// `[T, N]`
    pub rewards: FloatTensor<B>,
    /// `[T, N]`, see [`Results`](super::Results).
    pub ended_returns: FloatTensor<B>,
    /// `[T, N]`, likewise.
    pub ends: IntTensor<B>,
}

/// Where the copies stand after a step, and what it brings.
#[derive(ExtensionType)]
pub(super) struct StepTensors<B: Backend> {
    #[extension_type]
    pub batch: BatchTensors<B>,
    #[extension_type]
    pub results: ResultTensors<B>,
}

/// Operations on environments.
#[backend_extension(Cube)]
pub(super) trait EnvOps: Backend {
    /// One step of all copies under `actions` `[N, A]`.
    fn step_envs(
        #[extension_type] batch: BatchTensors<Self>,
        actions: FloatTensor<Self>,
        rules: DeviceRules,
    ) -> StepTensors<Self>;

    /// [`Finished::Device`](crate::Finished::Device) of `ended_returns` and `ends`, `[T, N]` each, for each of the
    /// `batches` that follow one another.
    fn last_episodes(
        ended_returns: FloatTensor<Self>,
        ends: IntTensor<Self>,
        most: usize,
        batches: usize,
    ) -> FloatTensor<Self>;
}

/// Threads that look for the last episodes.
pub(super) const SEARCHERS: u32 = 256;
/// Buffers of a step, and what CubeCL adds.
pub(super) const BINDINGS: u32 = 14;

impl BatchTensors<CubeBackend> {
    /// Number of copies.
    #[must_use]
    pub fn copies(&self) -> usize {
        self.returns.meta.shape()[0]
    }

    /// The same without gaps between the numbers.
    #[must_use]
    pub fn contiguous(self) -> Self {
        Self {
            states: into_contiguous(self.states),
            clocks: into_contiguous(self.clocks),
            returns: into_contiguous(self.returns),
        }
    }

    /// Room for the same.
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

    /// For a launch.
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
    /// Room for what `[steps, copies]` bring, where `tensor` is.
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

    /// For a launch.
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
    /// For a launch.
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

/// Room for a tensor where another one is.
#[must_use]
pub fn empty_beside(tensor: &CubeTensor, shape: Shape, dtype: DType) -> CubeTensor {
    let (client, device) = (tensor.client.clone(), tensor.device.clone());
    empty_device_contiguous_dtype(client, device, shape, dtype)
}
