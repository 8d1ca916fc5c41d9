//! Gradient steps of actor and critic in host memory: each minibatch is one pass over its samples, from
//! gathered observations to the gradient of both networks.
//!
//! Autodiff on a graph of tensors computes the same, and tests compare the two.

use super::adam::{self, AdamStep};
use super::mlp::{BLOCK, Block, BlockGrad, Weights, backward_block, chunks, forward_block, spread};
use super::rows::{ActorCriticLoss, RowDist};
use super::{on_host, tensor, values};
use crate::{
    network::Net,
    optim::Adam,
    policy::{Actor, Critic},
    rollout::Batch,
};
use burn::tensor::{Device, Tensor};

/// Means over a minibatch, and what the step did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepDiagnostics {
    /// Of what the policy climbs.
    pub surrogate: f32,
    /// ½ squared error, clipped where the loss says so.
    pub value_loss: f32,
    /// Nats.
    pub entropy: f32,
    /// [`approx_kl`](crate::loss::approx_kl).
    pub approx_kl: f32,
    /// [`clip_fraction`](crate::loss::clip_fraction).
    pub clip_fraction: f32,
    /// Of both gradients together, before clipping.
    pub grad_norm: f32,
}

/// Sizes of one gradient step.
#[derive(Clone, Copy, Debug)]
pub struct HostStep {
    /// Learning rates of actor and critic.
    pub learning_rates: [f64; 2],
    /// Gradients are shortened to this norm; 0: never.
    pub max_grad_norm: f64,
    /// One norm over both networks instead of one each.
    pub joint_norm: bool,
}

/// Actor, critic, their optimisers and a batch, taken out of tensors for one update.
#[derive(Debug)]
pub struct HostLearner {
    actor: Learner,
    critic: Learner,
    dist: RowDist,
    samples: Samples,
    /// One for each part that a minibatch is split into.
    workers: Vec<Worker>,
    device: Device,
}

/// Gradients of `loss` over the batch by the parameters of actor and critic, `[P]` each, and what was measured.
/// `None` where [`HostLearner::new`] has none.
pub fn actor_critic_gradient(
    actor: &Actor,
    critic: &Critic,
    batch: &Batch,
    loss: &ActorCriticLoss,
) -> Option<([Tensor<1>; 2], StepDiagnostics)> {
    let (of_actor, of_critic) = (actor.net.host_weights()?, critic.net.host_weights()?);
    let dist = RowDist::of(&actor.kind, of_actor.shape().log_stds)?;
    if batch.sequences.is_some() || !on_host(&batch.obs) {
        return None;
    }
    let samples = Samples::new(actor, batch);
    let indices: Vec<i32> = (0..batch.len() as i32).collect();
    let task = Task {
        actor: &of_actor,
        critic: &of_critic,
        dist,
        samples: &samples,
        loss,
        advantages: samples.scale(&indices, loss.standardize),
        share: 1.0 / indices.len() as f32,
    };
    let mut workers = vec![];
    let means = task.gradient(&indices, &mut workers);
    let total = workers.swap_remove(0);
    let gradients = [total.actor.total, total.critic.total];
    let [norm, critic_norm] = gradients.each_ref().map(|gradient| adam::norm(gradient));
    let device = batch.obs.device();
    let gradients = gradients.map(|gradient| {
        let len = [gradient.len()];
        tensor(gradient, len, &device)
    });
    Some((gradients, means.diagnostics(norm.hypot(critic_norm))))
}

/// A perceptron with the state of its optimiser.
#[derive(Debug)]
struct Learner {
    weights: Weights,
    params: Vec<f32>,
    first: Vec<f32>,
    second: Vec<f32>,
    adam: Adam,
}

/// A [`Batch`] as numbers; observations normalised.
#[derive(Debug)]
struct Samples {
    obs: Vec<f32>,
    actions: Vec<f32>,
    action_width: usize,
    log_probs: Vec<f32>,
    values: Vec<f32>,
    advantages: Vec<f32>,
    returns: Vec<f32>,
}

impl HostLearner {
    /// `None` where this is not possible: networks whose passes are not fused
    /// ([`Net::fused`]), distributions that are neither categorical nor Gaussian.
    pub fn new(actor: &Actor, critic: &Critic, batch: &Batch, adams: [Adam; 2]) -> Option<Self> {
        let shape = actor.net.mlp_shape()?;
        let dist = RowDist::of(&actor.kind, shape.log_stds)?;
        critic.net.mlp_shape()?;
        if batch.sequences.is_some() || !on_host(&batch.obs) {
            return None;
        }
        let [of_actor, of_critic] = adams;
        Some(Self {
            actor: Learner::new(&actor.net, of_actor)?,
            critic: Learner::new(&critic.net, of_critic)?,
            dist,
            samples: Samples::new(actor, batch),
            workers: vec![],
            device: batch.obs.device(),
        })
    }

    /// A step down the gradient of `loss` for each of the minibatches, which are indices of samples.
    pub fn epoch(
        &mut self,
        minibatches: &[Vec<i32>],
        loss: &ActorCriticLoss,
        step: HostStep,
    ) -> Vec<StepDiagnostics> {
        let largest = minibatches.iter().map(Vec::len).max().unwrap_or(0);
        let steps = |learner: &mut Self| {
            let step = |indices: &Vec<i32>| learner.step(indices, loss, step);
            minibatches.iter().map(step).collect()
        };
        if chunks(largest).len() <= 1 {
            return steps(self);
        }
        // Handing work to the pool from outside costs more than a minibatch of a small network: do it once.
        rayon::scope(|_| steps(self))
    }

    /// A step over the samples at `indices` `[M]`.
    fn step(&mut self, indices: &[i32], loss: &ActorCriticLoss, step: HostStep) -> StepDiagnostics {
        let task = Task {
            actor: &self.actor.weights,
            critic: &self.critic.weights,
            dist: self.dist,
            samples: &self.samples,
            loss,
            advantages: self.samples.scale(indices, loss.standardize),
            share: 1.0 / indices.len() as f32,
        };
        let means = task.gradient(indices, &mut self.workers);
        let total = &mut self.workers[0];
        let gradients = [&mut total.actor.total, &mut total.critic.total];
        let norms = gradients.each_ref().map(|gradient| adam::norm(gradient));
        let joint = norms[0].hypot(norms[1]);
        let limit = |norm: f32| {
            let norm = if step.joint_norm { joint } else { norm };
            let scale = step.max_grad_norm as f32 / (norm + 1e-6);
            let shortens = step.max_grad_norm > 0.0 && (scale < 1.0 || scale.is_nan());
            if shortens { scale } else { 1.0 }
        };
        let [of_actor, of_critic] = gradients;
        let [rate, critic_rate] = step.learning_rates;
        self.actor.descend(of_actor, limit(norms[0]), rate);
        self.critic.descend(of_critic, limit(norms[1]), critic_rate);
        means.diagnostics(joint)
    }

    /// Hands the networks and the optimisers back.
    pub fn finish(self, actor: &mut Net, critic: &mut Net) -> [Adam; 2] {
        [(self.actor, actor), (self.critic, critic)].map(|(learner, net)| {
            let (adam, params) = learner.finish(&self.device);
            *net = net.with_flat(params);
            adam
        })
    }
}

impl Learner {
    /// Takes over the optimiser's moments.
    fn new(net: &Net, mut adam: Adam) -> Option<Self> {
        let params = values(net.flat());
        let weights = Weights::new(net.mlp_shape()?, &params);
        let [first, second] = adam.take_moments();
        Some(Self {
            weights,
            params,
            first,
            second,
            adam,
        })
    }

    /// One step of Adam down `gradient` · `scale`, which it overwrites.
    fn descend(&mut self, gradient: &mut [f32], scale: f32, learning_rate: f64) {
        if scale != 1.0 {
            gradient.iter_mut().for_each(|g| *g *= scale);
        }
        self.adam.steps += 1;
        let moments = [&mut self.first[..], &mut self.second];
        AdamStep::of(
            &self.adam,
            &mut self.params,
            gradient,
            moments,
            learning_rate,
        )
        .run();
        self.weights.refill(&self.params);
    }

    fn finish(self, device: &Device) -> (Adam, Tensor<1>) {
        let len = [self.params.len()];
        let mut adam = self.adam;
        adam.first = tensor(self.first, len, device);
        adam.second = tensor(self.second, len, device);
        (adam, tensor(self.params, len, device))
    }
}

impl Samples {
    fn new(actor: &Actor, batch: &Batch) -> Self {
        let [_, action_width] = batch.actions.dims();
        Self {
            obs: values(actor.normalized(batch.obs.clone())),
            actions: values(batch.actions.clone()),
            action_width,
            log_probs: values(batch.log_probs.clone()),
            values: values(batch.values.clone()),
            advantages: values(batch.advantages.clone()),
            returns: values(batch.returns.clone()),
        }
    }

    /// Mean and inverse spread of the advantages at `rows`, as [`standardize`] takes them; (0, 1) leaves them
    /// as they are.
    ///
    /// [`standardize`]: crate::advantage::standardize
    fn scale(&self, rows: &[i32], standardize: bool) -> (f32, f32) {
        let len = rows.len() as f64;
        if !standardize || len < 2.0 {
            return (0.0, 1.0);
        }
        let advantages = || {
            rows.iter()
                .map(|&row| f64::from(self.advantages[row as usize]))
        };
        let mean = advantages().sum::<f64>() / len;
        let squares = advantages().map(|a| (a - mean) * (a - mean)).sum::<f64>();
        let std = (squares / (len - 1.0)).sqrt();
        (mean as f32, (1.0 / (std + 1e-8)) as f32)
    }
}

/// What all workers of a minibatch read.
struct Task<'a> {
    actor: &'a Weights,
    critic: &'a Weights,
    dist: RowDist,
    samples: &'a Samples,
    loss: &'a ActorCriticLoss,
    /// Mean and inverse spread of the minibatch's advantages.
    advantages: (f32, f32),
    /// Of one sample in a mean.
    share: f32,
}

impl Task<'_> {
    /// Gradients by all parameters over the samples at `indices`, left in the first worker, and the means.
    fn gradient(&self, indices: &[i32], workers: &mut Vec<Worker>) -> Sums {
        let parts = chunks(indices.len());
        while workers.len() < parts.len() {
            workers.push(Worker::new(self.actor, self.critic));
        }
        let workers = &mut workers[..parts.len()];
        let mut rest = indices;
        let parts = parts.into_iter().zip(&mut *workers).map(|(len, worker)| {
            let (own, after) = rest.split_at(len);
            rest = after;
            (own, worker)
        });
        spread(parts.collect(), |(rows, worker)| worker.run(self, rows));
        reduce(workers) / indices.len() as f64
    }
}

/// Room for one part of a minibatch, and what it adds up to.
#[derive(Debug)]
struct Worker {
    obs: Vec<f32>,
    actor: Side,
    critic: Side,
    sums: Sums,
}

/// Of one network.
#[derive(Debug)]
struct Side {
    block: Block,
    grad: BlockGrad,
    /// Gradient by the parameters `[P]`.
    total: Vec<f32>,
}

/// Sums over samples; added up in f64, so that their order hardly matters.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    surrogate: f64,
    value_loss: f64,
    entropy: f64,
    approx_kl: f64,
    clip_fraction: f64,
}

impl Worker {
    fn new(actor: &Weights, critic: &Weights) -> Self {
        Self {
            obs: vec![0.0; BLOCK * actor.shape().inputs()],
            actor: Side::new(actor),
            critic: Side::new(critic),
            sums: Sums::default(),
        }
    }

    fn run(&mut self, task: &Task<'_>, rows: &[i32]) {
        self.sums = Sums::default();
        self.actor.total.fill(0.0);
        self.critic.total.fill(0.0);
        let width = task.actor.shape().inputs();
        for rows in rows.chunks(BLOCK) {
            let obs = &mut self.obs[..rows.len() * width];
            for (to, &row) in obs.chunks_exact_mut(width).zip(rows) {
                to.copy_from_slice(&task.samples.obs[row as usize * width..][..width]);
            }
            forward_block(task.actor, obs, &mut self.actor.block);
            forward_block(task.critic, obs, &mut self.critic.block);
            policy_rows(task, rows, &mut self.actor, &mut self.sums);
            value_rows(task, rows, &mut self.critic, &mut self.sums);
            let obs = &self.obs[..rows.len() * width];
            self.actor.backward(task.actor, obs);
            self.critic.backward(task.critic, obs);
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

    fn backward(&mut self, weights: &Weights, obs: &[f32]) {
        backward_block(weights, &self.block, obs, &mut self.grad, &mut self.total);
    }
}

/// The policy's part of the loss: gradients by its outputs, and what is measured.
fn policy_rows(task: &Task<'_>, rows: &[i32], actor: &mut Side, sums: &mut Sums) {
    let (samples, loss, shape) = (task.samples, task.loss, task.actor.shape());
    let width = shape.outputs() - shape.log_stds;
    let outputs = actor.block.outputs();
    let stride = outputs.len() / rows.len();
    let layers = shape.num_params() - shape.log_stds;
    let (mean, scale) = task.advantages;
    let outputs = outputs.chunks_exact(stride);
    let grads = actor.grad.grad.chunks_exact_mut(stride);
    for ((outputs, grad), &row) in outputs.zip(grads).zip(rows) {
        let row = row as usize;
        let action = &samples.actions[row * samples.action_width..][..samples.action_width];
        let (grad, padding) = grad.split_at_mut(width);
        padding.fill(0.0);
        let log_stds = task.actor.log_stds();
        let (log_prob, entropy) =
            task.dist
                .log_prob_and_entropy(&outputs[..width], log_stds, action, grad);
        let log_ratio = log_prob - samples.log_probs[row];
        let ratio = log_ratio.exp();
        let advantage = (samples.advantages[row] - mean) * scale;
        let (surrogate, slope) = loss.surrogate(log_prob, ratio, advantage);
        let slopes = (-slope * task.share, -loss.entropy_coef * task.share);
        let of_log_stds = &mut actor.total[layers..];
        task.dist
            .gradient((action, entropy), slopes, log_stds, grad, of_log_stds);

        sums.surrogate += f64::from(surrogate);
        sums.entropy += f64::from(entropy);
        sums.approx_kl += f64::from(ratio - 1.0 - log_ratio);
        sums.clip_fraction += f64::from(u8::from(loss.clips(ratio)));
    }
}

/// The critic's part of the loss.
fn value_rows(task: &Task<'_>, rows: &[i32], critic: &mut Side, sums: &mut Sums) {
    let (samples, loss) = (task.samples, task.loss);
    let stride = critic.block.outputs().len() / rows.len();
    let outputs = critic.block.outputs().chunks_exact(stride);
    let grads = critic.grad.grad.chunks_exact_mut(stride);
    for ((outputs, grad), &row) in outputs.zip(grads).zip(rows) {
        let row = row as usize;
        let (value_loss, slope) = loss.value(outputs[0], samples.values[row], samples.returns[row]);
        grad.fill(0.0);
        grad[0] = slope * loss.value_coef * task.share;
        sums.value_loss += f64::from(value_loss);
    }
}

/// Adds everything up in the first worker, in the order of the parts.
fn reduce(workers: &mut [Worker]) -> Sums {
    let Some((first, others)) = workers.split_first_mut() else {
        return Sums::default();
    };
    for other in others {
        for (total, part) in [
            (&mut first.actor.total, &other.actor.total),
            (&mut first.critic.total, &other.critic.total),
        ] {
            total.iter_mut().zip(part).for_each(|(sum, x)| *sum += x);
        }
        first.sums = first.sums + other.sums;
    }
    first.sums
}

impl Sums {
    fn diagnostics(self, grad_norm: f32) -> StepDiagnostics {
        StepDiagnostics {
            surrogate: self.surrogate as f32,
            value_loss: self.value_loss as f32,
            entropy: self.entropy as f32,
            approx_kl: self.approx_kl as f32,
            clip_fraction: self.clip_fraction as f32,
            grad_norm,
        }
    }
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
