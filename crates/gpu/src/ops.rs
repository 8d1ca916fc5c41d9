//! The kernels as operations of Burn's GPU backend, so that everything around them stays tensors.
//!
//! Tensors are of 32-bit floats and integers, and lie one agent's after the other's where several agents `S` are served
//! at once. An operation that changes parameters and moments does so in place where nobody else holds them.

// The macros make types and functions that nobody calls by name.
#![allow(missing_docs)]

use crate::{envs::DeviceRules, layers::Layers, plan::Plan, rollout::Job};
use burn::backend::{
    Backend, ExtensionType, backend_extension,
    tensor::{BoolTensor, FloatTensor, IntTensor},
};
use burn::tensor::Shape;

/// What an update changes, of one agent after the other.
#[derive(ExtensionType)]
pub(crate) struct State<B: Backend> {
    /// Parameters of both networks.
    pub(crate) actor: FloatTensor<B>,
    pub(crate) critic: FloatTensor<B>,
    /// Moments of the actor's parameters, then of the critic's.
    pub(crate) first: FloatTensor<B>,
    pub(crate) second: FloatTensor<B>,
    /// See [`scalar`](crate::plan::scalar).
    pub(crate) scalars: FloatTensor<B>,
}

/// Observations `[S·B, O]`, actions `[S·B, A]` and what else a sample has, `[S·B]`, for `S` agents.
#[derive(ExtensionType)]
pub(crate) struct Batch<B: Backend> {
    pub(crate) obs: FloatTensor<B>,
    pub(crate) actions: FloatTensor<B>,
    pub(crate) log_probs: FloatTensor<B>,
    pub(crate) values: FloatTensor<B>,
    pub(crate) advantages: FloatTensor<B>,
    pub(crate) returns: FloatTensor<B>,
}

/// What an update leaves.
#[derive(ExtensionType)]
pub(crate) struct Learned<B: Backend> {
    #[extension_type]
    pub(crate) state: State<B>,
    /// One row per minibatch and agent, `[M·S, 6]`, see [`reported`](crate::plan::reported).
    pub(crate) reported: FloatTensor<B>,
}

/// Networks and their updates.
#[backend_extension(Cube: cfg(feature = "gpu"))]
pub(crate) trait LearningOps: Backend {
    /// `[S·B, O]` → `[S·B, W]` through `networks` `S` with parameters `[S·P]`; tiles of `rows` samples.
    fn perceptron(
        obs: FloatTensor<Self>,
        params: FloatTensor<Self>,
        networks: usize,
        rows: usize,
        layers: Layers,
    ) -> FloatTensor<Self>;

    /// The numbers below `len` in the order of one epoch, `[len]`. `keys` `[2·epochs]`.
    fn order(keys: IntTensor<Self>, epoch: usize, len: usize) -> IntTensor<Self>;

    /// The gradient by the parameters of both networks over the whole batch, and the sums of what is
    /// [measured](crate::plan::measured), `[P + 5]`. `keys` `[2]`.
    fn gradient(
        actor: FloatTensor<Self>,
        critic: FloatTensor<Self>,
        scalars: FloatTensor<Self>,
        #[extension_type] batch: Batch<Self>,
        keys: IntTensor<Self>,
        plan: Plan,
    ) -> FloatTensor<Self>;

    /// Uninitialised, where `tensor` is, and without gaps between rows, which kernels do not know of.
    fn room(tensor: FloatTensor<Self>, shape: Shape) -> FloatTensor<Self>;

    /// Writes `from` over `to`, whose buffers the caller alone has.
    fn copy_state(
        #[extension_type] to: State<Self>,
        #[extension_type] from: State<Self>,
    ) -> State<Self>;

    /// Writes `from` over `to`, whose buffers the caller alone has.
    fn copy_batch(
        #[extension_type] to: Batch<Self>,
        #[extension_type] from: Batch<Self>,
    ) -> Batch<Self>;

    /// Writes `from` over `to`, whose buffer the caller alone has.
    fn copy_keys(to: IntTensor<Self>, from: IntTensor<Self>) -> IntTensor<Self>;

    /// The same numbers in a buffer of their own.
    fn duplicate(from: FloatTensor<Self>) -> FloatTensor<Self>;

    /// A step on each minibatch of `epochs` epochs. `keys` `[2·S·epochs]`. The state is changed in place, so that
    /// the caller alone has to have its buffers.
    fn learn(
        #[extension_type] state: State<Self>,
        #[extension_type] batch: Batch<Self>,
        keys: IntTensor<Self>,
        epochs: usize,
        plan: Plan,
    ) -> Learned<Self>;

    /// Means of the columns of `reported`, explained variance and norm of the parameters, `[S·8]`, see
    /// [`reported`](crate::plan::reported).
    fn summary(
        reported: FloatTensor<Self>,
        values: FloatTensor<Self>,
        returns: FloatTensor<Self>,
        actor: FloatTensor<Self>,
        critic: FloatTensor<Self>,
        agents: usize,
    ) -> FloatTensor<Self>;
}

/// What is made of experience; see [`experience`](crate::experience).
#[backend_extension(Cube: cfg(feature = "gpu"))]
pub(crate) trait ExperienceOps: Backend {
    /// y_t = x_t + d_t · y_{t+1}, all `[T, N]`.
    fn scan(x: FloatTensor<Self>, decay: FloatTensor<Self>) -> FloatTensor<Self>;

    /// Generalised advantages and value targets, all `[S·T, N]` for `agents` `S`, with `decays` γ and γλ.
    fn gae(
        rewards: FloatTensor<Self>,
        values: FloatTensor<Self>,
        next_values: FloatTensor<Self>,
        terminated: BoolTensor<Self>,
        truncated: BoolTensor<Self>,
        decays: [f32; 2],
        agents: usize,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);

    /// Means and variances `[S·F]` of `agents` `S` after also seeing `samples` `[S·B, W]`, of which the first F columns
    /// count. `shares`: of what was seen before, and of these.
    fn merge_moments(
        samples: FloatTensor<Self>,
        mean: FloatTensor<Self>,
        variance: FloatTensor<Self>,
        shares: [f32; 2],
        agents: usize,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);

    /// The first F columns of `x` `[S·B, W]`, divided by the standard deviations `[S·F]` after subtracting the means if
    /// they are to be `centred`, clipped to ±`clip` (0: not).
    fn scaled(
        x: FloatTensor<Self>,
        mean: FloatTensor<Self>,
        variance: FloatTensor<Self>,
        clip: f32,
        centred: bool,
        agents: usize,
    ) -> FloatTensor<Self>;

    /// Discounted returns so far `[S·T, N]`, and what the next rollout goes on from, `[S·N]`, as this one does from
    /// `before`.
    fn discounted(
        rewards: FloatTensor<Self>,
        ended: BoolTensor<Self>,
        before: FloatTensor<Self>,
        gamma: f32,
        agents: usize,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);
}

/// Where copies stand, see [`DeviceState`](crate::envs::DeviceState).
#[derive(ExtensionType)]
pub(crate) struct CopyTensors<B: Backend> {
    /// `[N, S]`
    pub(crate) states: FloatTensor<B>,
    /// `[N, 3]`
    pub(crate) clocks: IntTensor<B>,
    /// `[N]`
    pub(crate) returns: FloatTensor<B>,
}

/// What steps of all copies bring, see [`Steps`](crate::envs::Steps), and where the copies stand after them.
#[derive(ExtensionType)]
pub(crate) struct StepTensors<B: Backend> {
    #[extension_type]
    pub(crate) copies: CopyTensors<B>,
    /// `[N, O]`
    pub(crate) obs: FloatTensor<B>,
    /// `[T, N, O]`
    pub(crate) next_obs: FloatTensor<B>,
    /// `[T, N]`
    pub(crate) rewards: FloatTensor<B>,
    /// `[T, N]`
    pub(crate) ended_returns: FloatTensor<B>,
    /// `[T, N]`
    pub(crate) ends: IntTensor<B>,
}

/// Environments.
#[backend_extension(Cube: cfg(feature = "gpu"))]
pub(crate) trait EnvOps: Backend {
    /// One step of all copies under `actions` `[N, A]`.
    fn step_envs(
        #[extension_type] copies: CopyTensors<Self>,
        actions: FloatTensor<Self>,
        rules: DeviceRules,
    ) -> StepTensors<Self>;

    /// See [`last_episodes`](crate::envs::last_episodes).
    fn last_episodes(
        ended_returns: FloatTensor<Self>,
        ends: IntTensor<Self>,
        most: usize,
        batches: usize,
    ) -> FloatTensor<Self>;
}

/// A rollout, see [`Collected`](crate::rollout::Collected).
#[derive(ExtensionType)]
pub(crate) struct RolloutTensors<B: Backend> {
    #[extension_type]
    pub(crate) steps: StepTensors<B>,
    /// `[S·T, N, O]`
    pub(crate) obs: FloatTensor<B>,
    /// `[S·T, N, A]`
    pub(crate) actions: FloatTensor<B>,
    /// `[S·T, N]`
    pub(crate) log_probs: FloatTensor<B>,
}

/// A policy in environments.
#[backend_extension(Cube: cfg(feature = "gpu"))]
pub(crate) trait RolloutOps: Backend {
    /// `params` `[S·P]` of the policies, `norm` `[S·2 O]` means and variances of observations.
    fn rollout(
        params: FloatTensor<Self>,
        norm: FloatTensor<Self>,
        #[extension_type] copies: CopyTensors<Self>,
        job: Job,
    ) -> RolloutTensors<Self>;
}
