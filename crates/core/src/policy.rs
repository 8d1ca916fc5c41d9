//! Actor and critic: a network, its observation normaliser, and the meaning of its outputs.

use crate::{
    dist::{Dist, DistKind},
    network::{Net, Network},
    normalize::ObsNorm,
    obs::Obs,
    ops::row_dist,
    recurrent::RecurrentNetwork,
    rollout::{Batch, Sequences},
};
use burn::tensor::{Tensor, assert_shape};

/// A stochastic policy π(a|s).
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use rand::{SeedableRng, rngs::SmallRng};
/// use uphill_core::{dist::DistKind, nn::MlpConfig, policy::Actor};
///
/// let (device, mut rng) = (Device::flex(), SmallRng::seed_from_u64(1));
/// let network = MlpConfig::default().build(4, 2, 0.01, &mut rng, &device);
/// let actor = Actor::new(network, DistKind::Categorical { choices: 2 });
/// let dist = actor.dist(Tensor::zeros([8, 4], &device));
/// let actions = dist.sample(Tensor::zeros([8, 2], &device)); // without noise: the likelier ones
/// assert_eq!(dist.log_prob(actions).dims(), [8]);
/// ```
#[derive(Clone, Debug)]
pub struct Actor {
    /// Network: observations `[B, O]` → distribution parameters `[B, W]`.
    pub net: Net,
    /// Distribution with these parameters.
    pub kind: DistKind,
    /// Normaliser applied to observations first.
    pub obs_norm: Option<ObsNorm>,
}

impl Actor {
    /// A policy from a network whose outputs are the parameters of `kind`.
    pub fn new(network: impl Network, kind: DistKind) -> Self {
        Self {
            net: Net::new(network),
            kind,
            obs_norm: None,
        }
    }

    /// A policy with memory.
    pub fn recurrent(network: impl RecurrentNetwork, kind: DistKind) -> Self {
        Self {
            net: Net::recurrent(network),
            kind,
            obs_norm: None,
        }
    }

    /// Whether there are fused loops or kernels for this policy's network and distribution, on some device. Other
    /// policies use Burn's operations.
    pub fn fused(&self) -> bool {
        let shape = self.net.perceptron();
        shape.is_some_and(|shape| row_dist(&self.kind, shape.log_stds).is_some())
    }

    /// π(·|s) for raw observations `[B, O]`; with memory, at the first step of an episode.
    pub fn dist(&self, obs: impl Into<Obs<2>>) -> Dist {
        self.kind.with_params(self.dist_params(obs))
    }

    /// The network's outputs `[B, W]`, which are the parameters of π(·|s), for raw observations `[B, O]`.
    pub fn dist_params(&self, obs: impl Into<Obs<2>>) -> Tensor<2> {
        self.net.forward(self.normalized(obs))
    }

    /// π(·|s) for the next raw observations `[N, O]` of `N` copies, and the network states after this step
    /// ([`Net::start`] returns those before the first).
    pub fn step(
        &self,
        obs: impl Into<Obs<2>>,
        state: Option<Tensor<2>>,
    ) -> (Dist, Option<Tensor<2>>) {
        let (params, state) = self.net.step(self.normalized(obs), state);
        (self.kind.with_params(params), state)
    }

    /// π(·|s) for `T·N` steps over raw observations `[T, N, O]`, starting at `state`. `keep` `[T, N]` is 0 where an
    /// episode ended and 1 elsewhere.
    pub fn follow(
        &self,
        obs: impl Into<Obs<3>>,
        keep: Tensor<2>,
        state: Option<Tensor<2>>,
    ) -> Dist {
        let (params, _) = unroll(&self.net, &self.obs_norm, obs.into(), (state, keep));
        self.kind.with_params(params)
    }

    /// π(·|s) for the `B` samples of a batch; with memory, each follows the steps before it.
    pub fn dist_on(&self, batch: &Batch) -> Dist {
        self.kind.with_params(self.dist_params_on(batch))
    }

    /// The parameters of [`dist_on`](Self::dist_on), `[B, W]`.
    pub fn dist_params_on(&self, batch: &Batch) -> Tensor<2> {
        self.dist_params_at(&batch.obs, batch.sequences.as_ref())
    }

    /// [`dist_params_on`](Self::dist_params_on) for a batch's observations `[B, O]` and sequences.
    pub(crate) fn dist_params_at(&self, obs: &Obs<2>, sequences: Option<&Sequences>) -> Tensor<2> {
        match sequences {
            None => self.dist_params(obs.clone()),
            Some(sequences) => {
                let state = sequences.memory.actor.clone();
                samples(&self.net, &self.obs_norm, sequences, state)
            }
        }
    }

    /// Derivative `[B, W]` of [`dist_params_at`](Self::dist_params_at) with respect to the network's parameters along
    /// `direction` `[P]`, through the steps before each sample.
    pub(crate) fn jvp_at(
        &self,
        obs: &Obs<2>,
        sequences: Option<&Sequences>,
        direction: Tensor<1>,
    ) -> Tensor<2> {
        let Some(sequences) = sequences else {
            return self.net.jvp(self.normalized(obs.clone()), direction);
        };
        let obs = normalized3(&self.obs_norm, sequences.obs.clone());
        let (state, keep) = (sequences.memory.actor.clone(), sequences.keep.clone());
        sequences.samples(self.net.unroll_jvp(obs, state, keep, direction))
    }

    /// Normalised observations `[B, O]`, as the network sees them.
    pub(crate) fn normalized(&self, obs: impl Into<Obs<2>>) -> Tensor<2> {
        normalized(&self.obs_norm, obs)
    }

    /// This actor with another network, for example one that records gradients.
    pub fn with_net(&self, net: Net) -> Self {
        Self {
            net,
            ..self.clone()
        }
    }
}

/// A state-value function V(s).
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use rand::{SeedableRng, rngs::SmallRng};
/// use uphill_core::{nn::MlpConfig, policy::Critic};
///
/// let (device, mut rng) = (Device::flex(), SmallRng::seed_from_u64(1));
/// let critic = Critic::new(MlpConfig::default().build(4, 1, 1.0, &mut rng, &device));
/// assert_eq!(critic.values(Tensor::zeros([8, 4], &device)).dims(), [8]);
/// ```
#[derive(Clone, Debug)]
pub struct Critic {
    /// Network: observations `[B, O]` → values `[B, 1]`.
    pub net: Net,
    /// Normaliser applied to observations first.
    pub obs_norm: Option<ObsNorm>,
}

impl Critic {
    /// A value function from a network with one output.
    pub fn new(network: impl Network) -> Self {
        Self {
            net: Net::new(network),
            obs_norm: None,
        }
    }

    /// A value function with memory.
    pub fn recurrent(network: impl RecurrentNetwork) -> Self {
        Self {
            net: Net::recurrent(network),
            obs_norm: None,
        }
    }

    /// V(s) `[B]` for raw observations `[B, O]`; with memory, at the first step of an episode.
    pub fn values(&self, obs: impl Into<Obs<2>>) -> Tensor<1> {
        let obs = obs.into();
        let start = self.net.start(obs.dims()[0]);
        if start.is_some() {
            return self.step(obs, start).0;
        }
        let passes = obs.passes().into_iter();
        one(passes.map(|obs| self.step(obs, None).0).collect())
    }

    /// Normalised observations `[B, O]`, as the network sees them.
    pub(crate) fn normalized(&self, obs: impl Into<Obs<2>>) -> Tensor<2> {
        normalized(&self.obs_norm, obs)
    }

    /// V(s) `[N]` for the next raw observations `[N, O]` of `N` copies, and the network states after this step.
    pub fn step(
        &self,
        obs: impl Into<Obs<2>>,
        state: Option<Tensor<2>>,
    ) -> (Tensor<1>, Option<Tensor<2>>) {
        let (values, state) = self.net.step(self.normalized(obs), state);
        assert_shape!(values, [_, 1]);
        (values.squeeze_dim(1), state)
    }

    /// V(s) `[B]` for the `B` samples of a batch; with memory, each follows the steps before it.
    pub fn values_on(&self, batch: &Batch) -> Tensor<1> {
        match &batch.sequences {
            None => self.values(batch.obs.clone()),
            Some(sequences) => {
                let state = sequences.memory.critic.clone();
                samples(&self.net, &self.obs_norm, sequences, state).squeeze_dim(1)
            }
        }
    }

    /// V(s_t) and V of the following observations before a reset, `[T·N]` each, and the network states after the last
    /// step, for `T` steps over raw observations `[T, N, O]`, starting at `state`.
    pub fn follow(
        &self,
        [obs, next_obs]: [Obs<3>; 2],
        keep: Tensor<2>,
        state: Option<Tensor<2>>,
    ) -> ([Tensor<1>; 2], Option<Tensor<2>>) {
        let [steps, envs, _] = obs.dims();
        let last = keep.clone().narrow(0, steps - 1, 1).transpose();
        let (values, states) = unroll(&self.net, &self.obs_norm, obs, (state, keep));
        // The last observation of an episode still belongs to it.
        let next_values = match &states {
            None => self.values(next_obs.flat()),
            Some(states) => self.step(next_obs.flat(), Some(states.clone())).0,
        };
        let state = states.map(|s| s.narrow(0, (steps - 1) * envs, envs) * last);
        ([values.squeeze_dim(1), next_values], state)
    }

    /// This critic with another network, for example one that records gradients.
    pub fn with_net(&self, net: Net) -> Self {
        Self {
            net,
            ..self.clone()
        }
    }
}

/// Outputs `[B, W]` for the samples in `sequences`.
fn samples(
    net: &Net,
    norm: &Option<ObsNorm>,
    sequences: &Sequences,
    state: Option<Tensor<2>>,
) -> Tensor<2> {
    let obs = normalized3(norm, sequences.obs.clone());
    let (outputs, _) = net.unroll(obs, state, sequences.keep.clone());
    sequences.samples(outputs)
}

/// Outputs `[T·N, W]` for raw observations `[T, N, O]`, and the states after each step, from the state before the first
/// step and the factors of the states after each.
fn unroll(
    net: &Net,
    norm: &Option<ObsNorm>,
    obs: Obs<3>,
    (state, keep): (Option<Tensor<2>>, Tensor<2>),
) -> (Tensor<2>, Option<Tensor<2>>) {
    if state.is_some() {
        return net.unroll(normalized3(norm, obs), state, keep);
    }
    let passes = obs.flat().passes().into_iter();
    let outputs = passes.map(|obs| net.forward(normalized(norm, obs)));
    (one(outputs.collect()), None)
}

/// The single tensor, or the concatenation of all.
fn one<const D: usize>(mut parts: Vec<Tensor<D>>) -> Tensor<D> {
    match parts.pop() {
        Some(only) if parts.is_empty() => only,
        last => Tensor::cat(parts.into_iter().chain(last).collect(), 0),
    }
}

/// Normalises observations, `[T, N, O]` → `[T, N, O]`.
pub(crate) fn normalized3(norm: &Option<ObsNorm>, obs: Obs<3>) -> Tensor<3> {
    let dims = obs.dims();
    normalized(norm, obs.flat()).reshape(dims)
}

/// Converts observations to floats and normalises them.
fn normalized(norm: &Option<ObsNorm>, obs: impl Into<Obs<2>>) -> Tensor<2> {
    let seen = obs.into().floats();
    match norm {
        Some(norm) => norm.apply(seen),
        None => seen,
    }
}
