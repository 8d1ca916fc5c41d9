//! Policy on slices, for loops in host memory without tensors.

use super::on_host;
use super::slices::{row_dist, row_norm, tensor, values};
use crate::{dist::DistKind, policy::Actor};
use uphill_cpu::{
    acting::{self, Policy},
    dist::RowDist,
};

/// A policy that reads and writes slices, for loops over steps on the CPU. Its actions are those of the [`Actor`] it
/// was made from.
#[derive(Clone, Debug)]
pub struct HostPolicy(Passes);

/// Computation of the network's outputs.
#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant)] // there is one of these in a rollout
enum Passes {
    Fused(Policy),
    Tensors(OnTensors),
}

/// A network that computes on tensors; sampling stays on slices.
#[derive(Clone, Debug)]
struct OnTensors {
    actor: Actor,
    dist: RowDist,
    bounds: Vec<[f32; 2]>,
}

impl HostPolicy {
    /// A policy for `envs` rows at a time. `None` if the network has a memory or its tensors are elsewhere, or the
    /// distribution is not categorical (one or several choices), Gaussian or squashed Gaussian.
    pub fn new(actor: &Actor, envs: usize) -> Option<Self> {
        let bounds = match &actor.kind {
            DistKind::SquashedGaussian { bounds } => bounds.pairs(),
            _ => vec![],
        };
        if let Some(weights) = actor.net.host_weights()
            && let Some(dist) = row_dist(&actor.kind, weights.shape().log_stds)
        {
            let norm = actor.obs_norm.as_ref().map(row_norm);
            let policy = Policy::new(weights, dist, norm, bounds, envs);
            return Some(Self(Passes::Fused(policy)));
        }
        let log_stds = (actor.kind.param_width()).checked_sub(actor.kind.noise().0)?;
        let dist = row_dist(&actor.kind, log_stds)?;
        let here = on_host(&actor.net.flat()) && actor.net.start(1).is_none();
        here.then(|| {
            let actor = actor.clone();
            Self(Passes::Tensors(OnTensors {
                actor,
                dist,
                bounds,
            }))
        })
    }

    /// Computes actions `[N, A]` and their log-probabilities `[N]` from raw observations `[N, O]` and noise as
    /// described by [`DistKind::noise`].
    ///
    /// # Panics
    /// If a slice does not have the number of rows that the policy was made for.
    pub fn act(&mut self, obs: &[f32], noise: &[f32], actions: &mut [f32], log_probs: &mut [f32]) {
        match &mut self.0 {
            Passes::Fused(policy) => policy.act(obs, noise, actions, log_probs),
            Passes::Tensors(policy) => policy.act(obs, noise, actions, log_probs),
        }
    }

    /// Converts `actions` `[N, A]` to what the environment receives: [`DistKind::env_actions`] on slices.
    ///
    /// # Panics
    /// If the slices differ in length.
    pub fn env_actions(&self, actions: &[f32], into: &mut [f32]) {
        match &self.0 {
            Passes::Fused(policy) => policy.env_actions(actions, into),
            Passes::Tensors(policy) => acting::env_actions(&policy.bounds, actions, into),
        }
    }
}

impl OnTensors {
    fn act(&self, obs: &[f32], noise: &[f32], actions: &mut [f32], log_probs: &mut [f32]) {
        let envs = log_probs.len();
        let obs = tensor(
            obs.to_vec(),
            [envs, obs.len() / envs],
            &self.actor.net.device(),
        );
        let params = values(self.actor.dist_params(obs));
        let width = noise.len() / envs;
        let rows = params.chunks_exact(params.len() / envs);
        let rows = rows.zip(noise.chunks_exact(width));
        let actions = actions.chunks_exact_mut(actions.len() / envs);
        for (((params, noise), action), log_prob) in rows.zip(actions).zip(log_probs) {
            let (outputs, log_stds) = params.split_at(width);
            *log_prob = self.dist.sample(outputs, log_stds, noise, action);
        }
    }
}
