//! A policy for loops that stay in host memory.

use super::mlp::{BLOCK, Block, Weights, forward_block};
use super::rows::{RowDist, ln_sech2, mask_rows};
use super::values;
use crate::{
    dist::{Bounds, DistKind},
    normalize::ObsNorm,
    policy::Actor,
};
use rayon::prelude::*;
use std::sync::Arc;

/// A policy that reads and writes slices: what a loop over steps on the CPU acts with. Its actions are those
/// of the [`Actor`] it was made from, without a tensor.
#[derive(Clone, Debug)]
pub struct HostPolicy {
    weights: Arc<Weights>,
    dist: RowDist,
    norm: Option<RowNorm>,
    /// That actions are squashed into.
    bounds: Option<Bounds>,
    widths: Widths,
    scratch: Vec<Scratch>,
}

#[derive(Clone, Copy, Debug)]
struct Widths {
    obs: usize,
    noise: usize,
    action: usize,
}

/// Room for one block of rows.
#[derive(Clone, Debug)]
struct Scratch {
    obs: Vec<f32>,
    block: Block,
}

impl HostPolicy {
    /// For `envs` rows at a time. `None` if the network's passes are not fused
    /// ([`Net::fused`](crate::network::Net::fused)) or the distribution is none of categorical (one choice or several), Gaussian and squashed Gaussian.
    pub fn new(actor: &Actor, envs: usize) -> Option<Self> {
        let shape = actor.net.mlp_shape()?;
        let dist = RowDist::of(&actor.kind, shape.log_stds)?;
        let widths = Widths {
            obs: shape.inputs(),
            noise: actor.kind.noise().0,
            action: actor.kind.action_width(),
        };
        let bounds = match &actor.kind {
            DistKind::SquashedGaussian { bounds } => Some(bounds.clone()),
            _ => None,
        };
        let rows = BLOCK.min(envs);
        let scratch = Scratch {
            obs: vec![0.0; rows * widths.obs],
            block: Block::new(shape, rows),
        };
        Some(Self {
            weights: actor.net.host_weights()?,
            dist,
            norm: actor.obs_norm.as_ref().map(RowNorm::new),
            bounds,
            widths,
            scratch: vec![scratch; envs.div_ceil(BLOCK)],
        })
    }

    /// Actions `[N, A]` and their log-probabilities `[N]` for raw observations `[N, O]` and noise as described
    /// by [`DistKind::noise`](crate::dist::DistKind::noise).
    ///
    /// # Panics
    /// If a slice does not have as many rows as the policy was made for.
    pub fn act(&mut self, obs: &[f32], noise: &[f32], actions: &mut [f32], log_probs: &mut [f32]) {
        let Widths {
            obs: o,
            noise: w,
            action: a,
        } = self.widths;
        assert_eq!(obs.len(), log_probs.len() * o, "rows of obs");
        assert_eq!(noise.len(), log_probs.len() * w, "rows of noise");
        assert_eq!(actions.len(), log_probs.len() * a, "rows of actions");
        assert_eq!(
            log_probs.len().div_ceil(BLOCK),
            self.scratch.len(),
            "rows of the policy"
        );
        let (weights, dist, norm) = (&*self.weights, self.dist, self.norm.as_ref());
        let act = |scratch: &mut Scratch, obs: &[f32], noise: &[f32], actions, log_probs| {
            scratch.act(weights, norm, obs);
            let outputs = scratch.block.outputs();
            sample(dist, weights, outputs, noise, actions, log_probs);
        };
        if let [scratch] = &mut self.scratch[..] {
            return act(scratch, obs, noise, actions, log_probs);
        }
        (
            self.scratch.par_iter_mut(),
            obs.par_chunks(BLOCK * o),
            noise.par_chunks(BLOCK * w),
            actions.par_chunks_mut(BLOCK * a),
            log_probs.par_chunks_mut(BLOCK),
        )
            .into_par_iter()
            .for_each(|(scratch, obs, noise, actions, log_probs)| {
                act(scratch, obs, noise, actions, log_probs);
            });
    }
}

impl HostPolicy {
    /// What the environment is given for `actions` `[N, A]`: [`DistKind::env_actions`] on slices.
    ///
    /// # Panics
    /// If the slices differ in length.
    pub fn env_actions(&self, actions: &[f32], into: &mut [f32]) {
        into.copy_from_slice(actions);
        let Some(bounds) = &self.bounds else {
            return;
        };
        for action in into.chunks_exact_mut(self.widths.action) {
            for (i, u) in action.iter_mut().enumerate() {
                let (_, tanh) = ln_sech2(*u);
                *u = bounds.component_at(i, 0.5 * (tanh + 1.0));
            }
        }
    }
}

impl Scratch {
    fn act(&mut self, weights: &Weights, norm: Option<&RowNorm>, obs: &[f32]) {
        let obs = match norm {
            None => obs,
            Some(norm) => {
                let normalized = &mut self.obs[..obs.len()];
                normalized.copy_from_slice(obs);
                norm.apply(normalized, weights.shape().inputs());
                normalized
            }
        };
        forward_block(weights, obs, &mut self.block);
        mask_rows(self.block.outputs_mut(), obs, weights.shape());
    }
}

/// Actions and log-probabilities from a block's padded outputs.
fn sample(
    dist: RowDist,
    weights: &Weights,
    outputs: &[f32],
    noise: &[f32],
    actions: &mut [f32],
    log_probs: &mut [f32],
) {
    let (rows, stride) = (log_probs.len(), outputs.len() / log_probs.len());
    let width = weights.shape().outputs() - weights.shape().log_stds;
    let noise = noise.chunks_exact(noise.len() / rows);
    let actions = actions.chunks_exact_mut(actions.len() / rows);
    let rows = outputs.chunks_exact(stride).zip(noise).zip(actions);
    for (((outputs, noise), action), log_prob) in rows.zip(log_probs) {
        *log_prob = dist.sample(&outputs[..width], weights.log_stds(), noise, action);
    }
}

/// [`ObsNorm`] as numbers.
#[derive(Clone, Debug)]
struct RowNorm {
    mean: Vec<f32>,
    std: Vec<f32>,
    clip: f32,
}

impl RowNorm {
    fn new(norm: &ObsNorm) -> Self {
        Self {
            mean: values(norm.moments.mean.clone()),
            std: values(norm.moments.std()),
            clip: norm.clip as f32,
        }
    }

    /// In place, rows `width` apart.
    fn apply(&self, obs: &mut [f32], width: usize) {
        for row in obs.chunks_exact_mut(width) {
            for ((x, mean), std) in row.iter_mut().zip(&self.mean).zip(&self.std) {
                let scaled = (*x - mean) / std;
                *x = if self.clip > 0.0 {
                    scaled.clamp(-self.clip, self.clip)
                } else {
                    scaled
                };
            }
        }
    }
}
