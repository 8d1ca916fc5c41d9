//! Stepping copies as an operation of Burn's backends.

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
use cubecl::{calculate_cube_count_elemwise, prelude::CubeCount, prelude::CubeDim};

use super::{DeviceEnv, DeviceRules, episodes::last_episodes_kernel, kernel::step_kernel};
use crate::{CartPole, Pendulum};

/// [`DeviceState`](super::DeviceState) below the tensors.
#[derive(ExtensionType)]
#[extension_type(fusion)]
pub struct BatchTensors<B: Backend> {
    /// `[N, S]`
    pub states: FloatTensor<B>,
    /// `[N, 3]`
    pub clocks: IntTensor<B>,
    /// `[N]`
    pub returns: FloatTensor<B>,
}

/// What a step of all copies brings.
#[derive(ExtensionType)]
#[extension_type(fusion)]
pub(super) struct StepTensors<B: Backend> {
    /// After the step.
    #[extension_type]
    pub batch: BatchTensors<B>,
    /// `[N, O]`, after autoreset.
    pub obs: FloatTensor<B>,
    /// `[N, O]`, before.
    pub next_obs: FloatTensor<B>,
    /// `[N]`
    pub rewards: FloatTensor<B>,
    /// `[1, N]`, see [`advance`](super::advance).
    pub ended_returns: FloatTensor<B>,
    /// `[1, N]`, likewise.
    pub ends: IntTensor<B>,
}

/// Operations on environments.
#[backend_extension(Cube, Fusion)]
pub(super) trait EnvOps: Backend {
    /// One step of all copies under `actions` `[N, A]`.
    #[fusion(meta = step_specs)]
    fn step_envs(
        #[extension_type] batch: BatchTensors<Self>,
        actions: FloatTensor<Self>,
        rules: DeviceRules,
    ) -> StepTensors<Self>;

    /// [`Finished::Device`](crate::Finished::Device) of `ended_returns` and `ends`, `[T, N]` each.
    #[fusion(meta = last_specs)]
    fn last_episodes(
        ended_returns: FloatTensor<Self>,
        ends: IntTensor<Self>,
        most: usize,
    ) -> FloatTensor<Self>;
}

fn step_specs(
    batch: &BatchTensorsMetadata,
    _actions: &TensorSpec,
    rules: &DeviceRules,
) -> StepTensorsMetadata {
    let copies = batch.returns.shape[0];
    let floats = |shape: Shape| TensorSpec::new(shape, DType::F32);
    let obs = floats([copies, rules.env.sizes().obs].into());
    StepTensorsMetadata {
        batch: batch.clone(),
        obs: obs.clone(),
        next_obs: obs,
        rewards: floats([copies].into()),
        ended_returns: floats([1, copies].into()),
        ends: TensorSpec::new([1, copies].into(), DType::I32),
    }
}

fn last_specs(_returns: &TensorSpec, _ends: &TensorSpec, most: &usize) -> TensorSpec {
    TensorSpec::new([2 + 4 * *most].into(), DType::F32)
}

/// Threads that look for the last episodes.
pub(super) const SEARCHERS: u32 = 256;
/// Buffers of a step, and what CubeCL adds.
pub(super) const BINDINGS: u32 = 14;

impl EnvOps for CubeBackend {
    fn step_envs(
        batch: BatchTensors<Self>,
        actions: CubeTensor,
        rules: DeviceRules,
    ) -> StepTensors<Self> {
        let [states, returns, actions] =
            [batch.states, batch.returns, actions].map(into_contiguous);
        let clocks = into_contiguous(batch.clocks);
        let copies = returns.meta.shape()[0];
        let sizes = rules.env.sizes();
        let floats = |shape: Shape| empty_like(&states, shape, DType::F32);
        let out = StepTensors::<Self> {
            batch: BatchTensors {
                states: floats([copies, sizes.state].into()),
                clocks: empty_like(&states, [copies, 3].into(), DType::I32),
                returns: floats([copies].into()),
            },
            obs: floats([copies, sizes.obs].into()),
            next_obs: floats([copies, sizes.obs].into()),
            rewards: floats([copies].into()),
            ended_returns: floats([1, copies].into()),
            ends: empty_like(&states, [1, copies].into(), DType::I32),
        };
        let client = states.client.clone();
        let dim = CubeDim::new(&client, copies);
        let count = calculate_cube_count_elemwise(&client, copies, dim);
        let launch = match rules.env {
            DeviceEnv::CartPole => step_kernel::launch::<CartPole>,
            DeviceEnv::Pendulum => step_kernel::launch::<Pendulum>,
        };
        launch(
            &client,
            count,
            dim,
            states.into_buffer_arg(),
            clocks.into_buffer_arg(),
            returns.into_buffer_arg(),
            actions.into_buffer_arg(),
            out.batch.states.clone().into_buffer_arg(),
            out.batch.clocks.clone().into_buffer_arg(),
            out.batch.returns.clone().into_buffer_arg(),
            out.obs.clone().into_buffer_arg(),
            out.next_obs.clone().into_buffer_arg(),
            out.rewards.clone().into_buffer_arg(),
            out.ended_returns.clone().into_buffer_arg(),
            out.ends.clone().into_buffer_arg(),
            rules.seed as u32,
            (rules.seed >> 32) as u32,
            rules.time_limit as i32,
            sizes,
        );
        out
    }

    fn last_episodes(ended_returns: CubeTensor, ends: CubeTensor, most: usize) -> CubeTensor {
        let [ended_returns, ends] = [ended_returns, ends].map(into_contiguous);
        let copies = ends.meta.shape()[1];
        let out = empty_like(&ended_returns, [2 + 4 * most].into(), DType::F32);
        let client = ends.client.clone();
        last_episodes_kernel::launch(
            &client,
            CubeCount::Static(1, 1, 1),
            CubeDim::new_1d(SEARCHERS),
            ended_returns.into_buffer_arg(),
            ends.into_buffer_arg(),
            out.clone().into_buffer_arg(),
            copies,
            most as u32,
            SEARCHERS,
        );
        out
    }
}

fn empty_like(tensor: &CubeTensor, shape: Shape, dtype: DType) -> CubeTensor {
    let (client, device) = (tensor.client.clone(), tensor.device.clone());
    empty_device_contiguous_dtype(client, device, shape, dtype)
}
