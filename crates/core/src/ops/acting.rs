//! Policy on slices, for loops in host memory without tensors.

use super::slices::{row_dist, row_norm};
use crate::{dist::DistKind, policy::Actor};
use uphill_cpu::acting::Policy;

/// A policy that reads and writes slices, for loops over steps on the CPU. Its actions are those of the [`Actor`] it
/// was made from, without tensors.
#[derive(Clone, Debug)]
pub struct HostPolicy(Policy);

impl HostPolicy {
    /// A policy for `envs` rows at a time. `None` if the network's passes are not fused
    /// ([`Net::fused`](crate::network::Net::fused)) or the distribution is not categorical (one or several choices),
    /// Gaussian or squashed Gaussian.
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

    /// Computes actions `[N, A]` and their log-probabilities `[N]` from raw observations `[N, O]` and noise as
    /// described by [`DistKind::noise`].
    ///
    /// # Panics
    /// If a slice does not have the number of rows that the policy was made for.
    pub fn act(&mut self, obs: &[f32], noise: &[f32], actions: &mut [f32], log_probs: &mut [f32]) {
        self.0.act(obs, noise, actions, log_probs);
    }

    /// Converts `actions` `[N, A]` to what the environment receives: [`DistKind::env_actions`] on slices.
    ///
    /// # Panics
    /// If the slices differ in length.
    pub fn env_actions(&self, actions: &[f32], into: &mut [f32]) {
        self.0.env_actions(actions, into);
    }
}
