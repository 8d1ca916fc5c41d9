//! Gradient of a minibatch: from its samples to sums of gradients, part by part.

use crate::block_loss::{Column, PolicyBlock, ValueBlock};
use crate::dist::{RowDist, log_softmax, mask_rows};
use crate::gemm::padded;
use crate::loss::{ActorCriticLoss, Surrogate};
use crate::mlp::{BLOCK, Block, BlockGrad, Weights, backward_block, forward_block};
use crate::rows::Rows;
use crate::shape::MlpShape;

/// `B` samples to learn from.
#[derive(Clone, Debug)]
pub struct Samples {
    /// Observations `[B, O]`; floats are normalised, as the networks see them.
    pub obs: Rows,
    /// Actions `[B, A]`.
    pub actions: Vec<f32>,
    /// Number of action components `A`.
    pub action_width: usize,
    /// log π(a|s) under the policy that acted, `[B]`.
    pub log_probs: Vec<f32>,
    /// V(s) as estimated when the sample was collected, `[B]`.
    pub values: Vec<f32>,
    /// Advantages `[B]`.
    pub advantages: Vec<f32>,
    /// Targets of the value function, `[B]`.
    pub returns: Vec<f32>,
}

/// A loss over samples, to be minimised by gradient steps.
#[derive(Debug)]
pub struct Problem {
    /// Distribution of the policy, if it learns.
    dist: Option<RowDist>,
    pub(crate) loss: ActorCriticLoss,
    samples: Samples,
    /// [`RowDist::correction`] of each action; empty if there is none.
    corrections: Vec<f32>,
    acted: Option<Acted>,
}

/// The policy that acted, for its divergence from later ones.
#[derive(Debug)]
struct Acted {
    /// Log-probabilities or means, in rows of `width` numbers together with the network's other outputs.
    outputs: Vec<f32>,
    width: usize,
    log_stds: Vec<f32>,
}

impl Problem {
    /// A loss over `samples`. `policy` is the actor's distribution and its network as it acted, if it learns.
    pub fn new(
        policy: Option<(RowDist, &Weights)>,
        samples: Samples,
        loss: &ActorCriticLoss,
    ) -> Self {
        let mut problem = Self {
            dist: policy.map(|(dist, _)| dist),
            loss: loss.clone(),
            samples,
            corrections: vec![],
            acted: None,
        };
        if let Some((dist, weights)) = policy {
            problem.prepare(dist, weights);
        }
        problem
    }

    /// A loss of networks that compute elsewhere, without a KL penalty and without squashing.
    pub(crate) fn of_outputs(dist: RowDist, samples: Samples, loss: &ActorCriticLoss) -> Self {
        Self {
            dist: Some(dist),
            loss: loss.clone(),
            samples,
            corrections: vec![],
            acted: None,
        }
    }

    /// Precomputes what the loss needs about the actions and the policy that acted.
    fn prepare(&mut self, dist: RowDist, weights: &Weights) {
        let samples = &self.samples;
        if matches!(dist, RowDist::SquashedGaussian { .. }) {
            let actions = samples.actions.chunks_exact(samples.action_width);
            self.corrections = actions.map(|action| dist.correction(action)).collect();
        }
        if !matches!(self.loss.surrogate, Surrogate::Penalised { .. }) {
            return;
        }
        let width = weights.shape().outputs();
        let mut outputs = samples.obs.outputs(weights);
        if let RowDist::Categorical(choices) = dist {
            for row in outputs.chunks_exact_mut(width) {
                choices
                    .ranges()
                    .for_each(|range| log_softmax(&mut row[range]));
            }
        }
        let log_stds = weights.log_stds().to_vec();
        self.acted = Some(Acted {
            outputs,
            width,
            log_stds,
        });
    }

    /// Number of samples `B`.
    pub(crate) fn len(&self) -> usize {
        self.samples.advantages.len()
    }

    /// Buffers for one part of a minibatch of these networks.
    pub(crate) fn part(&self, nets: [Option<&Weights>; 2]) -> Part {
        let width = self.samples.action_width;
        Part::new(nets, self.dist.map(|dist| (dist, width)))
    }

    /// Gathers the inputs of the policy's loss for the samples at `rows`.
    pub(crate) fn gather_policy(
        &self,
        rows: &[i32],
        minibatch: &Minibatch,
        block: &mut PolicyBlock,
    ) {
        let samples = &self.samples;
        let (mean, scale) = minibatch.advantages;
        mark_used(&mut block.used, rows.len());
        for (i, &row) in rows.iter().enumerate() {
            let row = row as usize;
            block.old_log_probs[i] = samples.log_probs[row];
            block.advantages[i] = (samples.advantages[row] - mean) * scale;
            let action = &samples.actions[row * samples.action_width..][..samples.action_width];
            for (column, x) in block.actions.iter_mut().zip(action) {
                column[i] = *x;
            }
        }
        if !self.corrections.is_empty() {
            for (correction, &row) in block.corrections.iter_mut().zip(rows) {
                *correction = self.corrections[row as usize];
            }
        }
        if let Some(acted) = &self.acted {
            block.acted_log_stds.copy_from_slice(&acted.log_stds);
            for (i, &row) in rows.iter().enumerate() {
                let outputs = &acted.outputs[row as usize * acted.width..][..acted.width];
                for (column, x) in block.acted.iter_mut().zip(outputs) {
                    column[i] = *x;
                }
            }
        }
    }

    /// Gathers the inputs of the critic's loss for the samples at `rows`.
    pub(crate) fn gather_values(&self, rows: &[i32], block: &mut ValueBlock) {
        let samples = &self.samples;
        mark_used(&mut block.used, rows.len());
        for (i, &row) in rows.iter().enumerate() {
            block.old_values[i] = samples.values[row as usize];
            block.returns[i] = samples.returns[row as usize];
        }
    }

    /// Mean and inverse spread of the advantages at `rows`, with Bessel's correction and 1e-8 added to the standard
    /// deviation; (0, 1) leaves them unchanged.
    fn scale(&self, rows: &[i32]) -> (f32, f32) {
        let samples = &self.samples;
        let len = rows.len() as f64;
        if !self.loss.standardize || len < 2.0 {
            return (0.0, 1.0);
        }
        let advantages = || {
            rows.iter()
                .map(|&row| f64::from(samples.advantages[row as usize]))
        };
        let mean = advantages().sum::<f64>() / len;
        let squares = advantages().map(|a| (a - mean) * (a - mean)).sum::<f64>();
        let std = (squares / (len - 1.0)).sqrt();
        (mean as f32, (1.0 / (std + 1e-8)) as f32)
    }
}

/// Data that all parts of a minibatch share.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Minibatch {
    /// Mean and inverse spread of the advantages.
    advantages: (f32, f32),
    /// Weight of one sample in a mean.
    pub(crate) share: f32,
}

impl Minibatch {
    /// Minibatch of the samples at `rows` `[M]`.
    pub(crate) fn new(problem: &Problem, rows: &[i32]) -> Self {
        Self {
            advantages: problem.scale(rows),
            share: 1.0 / rows.len() as f32,
        }
    }
}

/// Buffers and sums of one part of a minibatch.
#[derive(Debug)]
pub(crate) struct Part {
    obs: Vec<f32>,
    /// Present if the actor learns.
    policy: Option<PolicyBlock>,
    value: ValueBlock,
    /// Actor and critic, if they learn.
    sides: [Option<Side>; 2],
    pub(crate) sums: Sums,
}

/// Buffers of one network.
#[derive(Debug)]
struct Side {
    block: Block,
    grad: BlockGrad,
    /// Gradient with respect to the parameters `[P]`.
    total: Vec<f32>,
}

/// Sums over samples, added in f64 so that their order hardly matters.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sums {
    pub(crate) surrogate: f64,
    pub(crate) value_loss: f64,
    pub(crate) entropy: f64,
    pub(crate) approx_kl: f64,
    pub(crate) clip_fraction: f64,
}

impl Part {
    /// Gradient with respect to the parameters of the actor (0) or the critic (1), if it learns.
    pub(crate) fn total(&self, side: usize) -> Option<&[f32]> {
        self.sides[side].as_ref().map(|side| &side.total[..])
    }

    /// Buffers for these networks. `policy` is the actor's distribution and the number of action components.
    pub(crate) fn new(nets: [Option<&Weights>; 2], policy: Option<(RowDist, usize)>) -> Self {
        let [actor, critic] = nets.map(|net| net.map(Weights::shape));
        let inputs = actor.or(critic).map_or(0, MlpShape::inputs);
        let block = |((dist, action_width), shape): ((RowDist, usize), &MlpShape)| {
            let widths = [shape.outputs() - shape.log_stds, shape.log_stds];
            PolicyBlock::new(dist, widths, action_width)
        };
        Self {
            obs: vec![0.0; BLOCK * inputs],
            policy: policy.zip(actor).map(block),
            value: ValueBlock::new(),
            sides: nets.map(|net| net.map(Side::new)),
            sums: Sums::default(),
        }
    }

    /// Computes the gradients of actor and critic, if they learn, over the samples at `rows`, and their sums.
    pub(crate) fn run(
        &mut self,
        [of_actor, of_critic]: [Option<&Weights>; 2],
        problem: &Problem,
        minibatch: &Minibatch,
        rows: &[i32],
    ) {
        let [actor, critic] = &mut self.sides;
        let mut actor = actor.as_mut().zip(of_actor).zip(self.policy.as_mut());
        let mut critic = critic.as_mut().zip(of_critic);
        self.sums = Sums::default();
        if let Some((_, policy)) = &mut actor {
            policy.of_log_stds.fill(0.0);
        }
        let width = self.obs.len() / BLOCK;
        for (i, rows) in rows.chunks(BLOCK).enumerate() {
            let obs = &mut self.obs[..rows.len() * width];
            for (to, &row) in obs.chunks_exact_mut(width).zip(rows) {
                problem.samples.obs.read(row as usize, to);
            }
            if let Some(((side, weights), policy)) = &mut actor {
                forward_block(weights, obs, &mut side.block);
                mask_rows(side.block.outputs_mut(), obs, weights.shape());
                problem.gather_policy(rows, minibatch, policy);
                take_columns(&mut policy.outputs, side.block.outputs(), rows.len());
                policy.run(
                    &problem.loss,
                    minibatch.share,
                    weights.log_stds(),
                    &mut self.sums,
                );
                put_outputs(&policy.outputs, &mut side.grad.grad, rows.len());
                side.backward(weights, obs, i == 0);
            }
            if let Some((side, weights)) = &mut critic {
                forward_block(weights, obs, &mut side.block);
                problem.gather_values(rows, &mut self.value);
                let values = std::slice::from_mut(&mut self.value.values);
                take_columns(values, side.block.outputs(), rows.len());
                self.sums.value_loss += self.value.run(&problem.loss, minibatch.share);
                let values = std::slice::from_ref(&self.value.values);
                put_outputs(values, &mut side.grad.grad, rows.len());
                side.backward(weights, obs, i == 0);
            }
        }
        if let Some(((side, _), policy)) = actor {
            let layers = side.total.len() - policy.of_log_stds.len();
            side.total[layers..].copy_from_slice(&policy.of_log_stds);
        }
    }
}

impl Side {
    fn new(weights: &Weights) -> Self {
        Self {
            block: Block::new(weights.shape(), BLOCK),
            grad: BlockGrad::new(weights.shape(), BLOCK),
            total: vec![0.0; weights.shape().num_params()],
        }
    }

    /// The first block initialises the total, later blocks add to it.
    fn backward(&mut self, weights: &Weights, obs: &[f32], first: bool) {
        let total = (&mut self.total[..], first);
        backward_block(weights, &self.block, obs, &mut self.grad, total);
    }
}

/// Reads the first columns of `rows` rows, padded or not.
pub(crate) fn take_columns(columns: &mut [Column], from: &[f32], rows: usize) {
    for (i, row) in from.chunks_exact(from.len() / rows).enumerate() {
        for (column, x) in columns.iter_mut().zip(row) {
            column[i] = *x;
        }
    }
}

/// Writes columns into the first `rows` rows, which are `stride` apart.
pub(crate) fn put_columns(columns: &[Column], to: &mut [f32], rows: usize, stride: usize) {
    for (i, row) in to.chunks_exact_mut(stride).take(rows).enumerate() {
        for (column, x) in columns.iter().zip(row) {
            *x = column[i];
        }
    }
}

/// Writes columns into padded rows of a layer that is as wide as there are columns.
fn put_outputs(columns: &[Column], to: &mut [f32], rows: usize) {
    put_columns(columns, to, rows, padded(columns.len()));
}

fn mark_used(used: &mut Column, rows: usize) {
    used[..rows].fill(1.0);
    used[rows..].fill(0.0);
}

impl std::ops::Add for Sums {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self {
            surrogate: self.surrogate + other.surrogate,
            value_loss: self.value_loss + other.value_loss,
            entropy: self.entropy + other.entropy,
            approx_kl: self.approx_kl + other.approx_kl,
            clip_fraction: self.clip_fraction + other.clip_fraction,
        }
    }
}

impl std::ops::Div<f64> for Sums {
    type Output = Self;
    fn div(self, by: f64) -> Self {
        Self {
            surrogate: self.surrogate / by,
            value_loss: self.value_loss / by,
            entropy: self.entropy / by,
            approx_kl: self.approx_kl / by,
            clip_fraction: self.clip_fraction / by,
        }
    }
}
