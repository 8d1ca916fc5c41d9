//! Kernels as operations of Burn's GPU backend, so that everything around them remains tensors.
//!
//! Tensors contain 32-bit floats and integers, and are concatenated by agent if several agents `S` are processed
//! together. An operation that changes parameters and moments does so in place if there are no other handles to them.

// The macros generate types and functions that are never named directly.
#![allow(missing_docs)]

use crate::{envs::DeviceRules, layers::Layers, plan::Plan, rollout::Job};
use burn::backend::{
    Backend, ExtensionType, backend_extension,
    tensor::{BoolTensor, FloatTensor, IntTensor},
};
use burn::tensor::Shape;

/// State that an update changes, concatenated by agent.
#[derive(ExtensionType)]
pub(crate) struct State<B: Backend> {
    /// Parameters of both networks.
    pub(crate) actor: FloatTensor<B>,
    pub(crate) critic: FloatTensor<B>,
    /// Moments of the actor's parameters, then of the critic's.
    pub(crate) first: FloatTensor<B>,
    pub(crate) second: FloatTensor<B>,
    /// Numbers at the positions in [`scalar`](crate::plan::scalar).
    pub(crate) scalars: FloatTensor<B>,
}

/// Observations `[S·B, O]`, actions `[S·B, A]` and other data of samples, `[S·B]`, for `S` agents.
#[derive(ExtensionType)]
pub(crate) struct Batch<B: Backend> {
    pub(crate) obs: FloatTensor<B>,
    pub(crate) actions: FloatTensor<B>,
    pub(crate) log_probs: FloatTensor<B>,
    pub(crate) values: FloatTensor<B>,
    pub(crate) advantages: FloatTensor<B>,
    pub(crate) returns: FloatTensor<B>,
}

/// Results of an update.
#[derive(ExtensionType)]
pub(crate) struct Learned<B: Backend> {
    #[extension_type]
    pub(crate) state: State<B>,
    /// One row per minibatch and agent, `[M·S, 6]`, see [`reported`](crate::plan::reported).
    pub(crate) reported: FloatTensor<B>,
}

/// Backend operations on networks and their updates.
#[backend_extension(Cube: cfg(feature = "gpu"))]
pub(crate) trait LearningOps: Backend {
    /// `[S·B, O]` → `[S·B, W]` through `networks` `S` with parameters `[S·P]`, in tiles of `rows` samples.
    fn perceptron(
        obs: FloatTensor<Self>,
        params: FloatTensor<Self>,
        networks: usize,
        rows: usize,
        layers: Layers,
    ) -> FloatTensor<Self>;

    /// The indices below `len` in the order of one epoch, `[len]`. `keys` `[2·epochs]`.
    fn order(keys: IntTensor<Self>, epoch: usize, len: usize) -> IntTensor<Self>;

    /// The gradient with respect to the parameters of both networks over the whole batch, and the sums of the
    /// [diagnostics](crate::plan::measured), `[P + 5]`. `keys` `[2]`.
    fn gradient(
        actor: FloatTensor<Self>,
        critic: FloatTensor<Self>,
        scalars: FloatTensor<Self>,
        #[extension_type] batch: Batch<Self>,
        keys: IntTensor<Self>,
        plan: Plan,
    ) -> FloatTensor<Self>;

    /// An uninitialised tensor on the device of `tensor`, without gaps between rows, which kernels assume.
    fn room(tensor: FloatTensor<Self>, shape: Shape) -> FloatTensor<Self>;

    /// Copies `from` to `to`, to whose buffers only the caller has handles.
    fn copy_state(
        #[extension_type] to: State<Self>,
        #[extension_type] from: State<Self>,
    ) -> State<Self>;

    /// Copies `from` to `to`, to whose buffers only the caller has handles.
    fn copy_batch(
        #[extension_type] to: Batch<Self>,
        #[extension_type] from: Batch<Self>,
    ) -> Batch<Self>;

    /// Copies `from` to `to`, to whose buffer only the caller has handles.
    fn copy_keys(to: IntTensor<Self>, from: IntTensor<Self>) -> IntTensor<Self>;

    /// A copy in a separate buffer.
    fn duplicate(from: FloatTensor<Self>) -> FloatTensor<Self>;

    /// Takes a step on each minibatch of `epochs` epochs. `keys` `[2·S·epochs]`. The state is changed in place, so that
    /// only the caller may have handles to its buffers.
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

/// Backend operations on experience; see [`experience`](crate::experience).
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

    /// Means and variances `[S·F]` of `agents` `S` after adding `samples` `[S·B, W]`, of which the first F columns
    /// count. `shares` are the fractions of earlier samples and of these.
    fn merge_moments(
        samples: FloatTensor<Self>,
        mean: FloatTensor<Self>,
        variance: FloatTensor<Self>,
        shares: [f32; 2],
        agents: usize,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);

    /// The first F columns of `x` `[S·B, W]`, divided by the standard deviations `[S·F]` after subtracting the means if
    /// `centred`, and clipped to ±`clip` (0: no clipping).
    fn scaled(
        x: FloatTensor<Self>,
        mean: FloatTensor<Self>,
        variance: FloatTensor<Self>,
        clip: f32,
        centred: bool,
        agents: usize,
    ) -> FloatTensor<Self>;

    /// Discounted returns so far `[S·T, N]`, starting from those `before`, and the ones with which the next rollout
    /// starts, `[S·N]`.
    fn discounted(
        rewards: FloatTensor<Self>,
        ended: BoolTensor<Self>,
        before: FloatTensor<Self>,
        gamma: f32,
        agents: usize,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);
}

/// State of copies, see [`DeviceState`](crate::envs::DeviceState).
#[derive(ExtensionType)]
pub(crate) struct CopyTensors<B: Backend> {
    /// States `[N, S]`.
    pub(crate) states: FloatTensor<B>,
    /// Clocks `[N, 3]`.
    pub(crate) clocks: IntTensor<B>,
    /// Returns so far, `[N]`.
    pub(crate) returns: FloatTensor<B>,
}

/// Results of steps of all copies, see [`Steps`](crate::envs::Steps), and their state afterwards.
#[derive(ExtensionType)]
pub(crate) struct StepTensors<B: Backend> {
    #[extension_type]
    pub(crate) copies: CopyTensors<B>,
    /// Observations after autoreset, `[N, O]`.
    pub(crate) obs: FloatTensor<B>,
    /// Observations before autoreset, `[T, N, O]`.
    pub(crate) next_obs: FloatTensor<B>,
    /// Rewards `[T, N]`.
    pub(crate) rewards: FloatTensor<B>,
    /// Returns of the episodes that ended, `[T, N]`.
    pub(crate) ended_returns: FloatTensor<B>,
    /// Ends of episodes, `[T, N]`.
    pub(crate) ends: IntTensor<B>,
}

/// Backend operations on environments.
#[backend_extension(Cube: cfg(feature = "gpu"))]
pub(crate) trait EnvOps: Backend {
    /// Advances all copies by one step with `actions` `[N, A]`.
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

/// Results of a rollout, see [`Collected`](crate::rollout::Collected).
#[derive(ExtensionType)]
pub(crate) struct RolloutTensors<B: Backend> {
    #[extension_type]
    pub(crate) steps: StepTensors<B>,
    /// Observations `[S·T, N, O]`.
    pub(crate) obs: FloatTensor<B>,
    /// Actions `[S·T, N, A]`.
    pub(crate) actions: FloatTensor<B>,
    /// Log-probabilities `[S·T, N]`.
    pub(crate) log_probs: FloatTensor<B>,
}

/// Backend operations of a policy in environments.
#[backend_extension(Cube: cfg(feature = "gpu"))]
pub(crate) trait RolloutOps: Backend {
    /// `params` `[S·P]` are the policies' parameters, `norm` `[S·2·O]` means and variances of observations.
    fn rollout(
        params: FloatTensor<Self>,
        norm: FloatTensor<Self>,
        #[extension_type] copies: CopyTensors<Self>,
        job: Job,
    ) -> RolloutTensors<Self>;
}
