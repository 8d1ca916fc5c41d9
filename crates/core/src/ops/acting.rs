//! A policy for loops that stay in host memory.

use super::slices::{row_dist, row_norm};
use crate::{dist::DistKind, policy::Actor};
use uphill_cpu::acting::Policy;

/// A policy that reads and writes slices: what a loop over steps on the CPU acts with. Its actions are those
/// of the [`Actor`] it was made from, without a tensor.
#[derive(Clone, Debug)]
pub struct HostPolicy(Policy);

impl HostPolicy {
    /// For `envs` rows at a time. `None` if the network's passes are not fused
    /// ([`Net::fused`](crate::network::Net::fused)) or the distribution is none of categorical (one choice or several),
    /// Gaussian and squashed Gaussian.
    pub fn new(actor: &Actor, envs: usize) -> Option<Self> {
        let dist = row_dist(&actor.kind, actor.net.mlp_shape()?.log_stds)?;
        let bounds = match &actor.kind {
            DistKind::SquashedGaussian { bounds } => bounds.pairs(),
            _ => vec![],
        };
        let norm = actor.obs_norm.as_ref().map(row_norm);
        let weights = actor.net.host_weights()?;
        Some(Self(Policy::new(weights, dist, norm, bounds, envs)))
    }

    /// Actions `[N, A]` and their log-probabilities `[N]` for raw observations `[N, O]` and noise as described
    /// by [`DistKind::noise`].
    ///
    /// # Panics
    /// If a slice does not have as many rows as the policy was made for.
    pub fn act(&mut self, obs: &[f32], noise: &[f32], actions: &mut [f32], log_probs: &mut [f32]) {
        self.0.act(obs, noise, actions, log_probs);
    }

    /// What the environment is given for `actions` `[N, A]`: [`DistKind::env_actions`] on slices.
    ///
    /// # Panics
    /// If the slices differ in length.
    pub fn env_actions(&self, actions: &[f32], into: &mut [f32]) {
        self.0.env_actions(actions, into);
    }
}
