//! Policy on slices: actions and log-probabilities from observations and noise.

use crate::dist::{RowDist, ln_sech2, mask_rows};
use crate::mlp::{BLOCK, Block, Weights, forward_block};
use rayon::prelude::*;
use std::sync::Arc;

/// A policy that reads and writes slices, for loops over steps on the CPU.
#[derive(Clone, Debug)]
pub struct Policy {
    weights: Arc<Weights>,
    dist: RowDist,
    norm: Option<RowNorm>,
    /// Lowest and highest value of each action component of a squashed distribution; otherwise empty.
    bounds: Vec<[f32; 2]>,
    widths: Widths,
    scratch: Vec<Scratch>,
}

#[derive(Clone, Copy, Debug)]
struct Widths {
    obs: usize,
    noise: usize,
    action: usize,
}

/// Scratch buffers for one block of rows.
#[derive(Clone, Debug)]
struct Scratch {
    obs: Vec<f32>,
    block: Block,
}

impl Policy {
    /// A policy for `rows` rows at a time. `bounds` holds the lowest and highest value of each action component `[A]`
    /// if the distribution is squashed, and is empty otherwise.
    pub fn new(
        weights: Arc<Weights>,
        dist: RowDist,
        norm: Option<RowNorm>,
        bounds: Vec<[f32; 2]>,
        rows: usize,
    ) -> Self {
        let shape = weights.shape();
        let noise = shape.outputs() - shape.log_stds;
        let widths = Widths {
            obs: shape.inputs(),
            noise,
            action: dist.action_width(noise),
        };
        let of_block = BLOCK.min(rows);
        let scratch = Scratch {
            obs: vec![0.0; of_block * widths.obs],
            block: Block::new(shape, of_block),
        };
        Self {
            weights,
            dist,
            norm,
            bounds,
            widths,
            scratch: vec![scratch; rows.div_ceil(BLOCK)],
        }
    }

    /// Computes actions `[N, A]` and their log-probabilities `[N]` from raw observations `[N, O]` and noise `[N, W]`;
    /// see [`RowDist::sample`].
    ///
    /// # Panics
    /// If a slice does not have the number of rows that the policy was made for.
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

impl Policy {
    /// Converts `actions` `[N, A]` to what the environment receives: squashed into the bounds, if there are any.
    ///
    /// # Panics
    /// If the slices differ in length.
    pub fn env_actions(&self, actions: &[f32], into: &mut [f32]) {
        env_actions(&self.bounds, actions, into);
    }
}

/// Squashes `actions` `[N, A]` into bounds `[A]`; without bounds, copies them.
///
/// # Panics
/// If the slices differ in length.
pub fn env_actions(bounds: &[[f32; 2]], actions: &[f32], into: &mut [f32]) {
    into.copy_from_slice(actions);
    if bounds.is_empty() {
        return;
    }
    for action in into.chunks_exact_mut(bounds.len()) {
        for (u, [low, high]) in action.iter_mut().zip(bounds) {
            let (_, tanh) = ln_sech2(*u);
            *u = 0.5 * (tanh + 1.0) * (high - low) + low;
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

/// Samples actions and their log-probabilities from the padded outputs of a block.
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

/// Observation normaliser: (x − mean) / std, then clipped.
#[derive(Clone, Debug)]
pub struct RowNorm {
    /// Means of the first `F` columns, which are normalised; the others pass through unchanged.
    pub mean: Vec<f32>,
    /// Standard deviations of the same columns.
    pub std: Vec<f32>,
    /// Normalised observations are clipped to ±this value; 0 disables clipping.
    pub clip: f32,
}

impl RowNorm {
    /// Normalises `obs` in place; rows are `width` apart.
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
