//! Gradient steps of one or two networks in host memory, by a team of threads: each minibatch is one pass over its
//! samples, then a sum of gradients and a step of Adam for each network.

use super::adam::{self, AdamStep};
use super::minibatch::{Minibatch, Part, Samples, Sums};
use super::mlp::{Weights, chunks, max_chunks, spread};
use super::rows::{ActorCriticLoss, RowDist};
use super::team::Team;
use super::{tensor, values};
use crate::{network::Net, optim::Adam};
use burn::tensor::{Device, Tensor};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

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

/// What steps go down: a loss over samples.
#[derive(Debug)]
pub(super) struct Problem {
    /// The policy's, where it learns.
    pub(super) dist: Option<RowDist>,
    pub(super) loss: ActorCriticLoss,
    pub(super) samples: Samples,
}

impl Problem {
    fn part(&self, nets: [Option<&Weights>; 2]) -> Part {
        let width = self.samples.action_width();
        Part::new(nets, self.dist.map(|dist| (dist, width)))
    }

    /// Gradients over the whole batch of `len` samples by the parameters of the networks, none of one that is
    /// not there, and what was measured.
    pub(super) fn gradient(
        &self,
        nets: [Option<&Weights>; 2],
        len: usize,
    ) -> ([Vec<f32>; 2], StepDiagnostics) {
        let rows: Vec<i32> = (0..len as i32).collect();
        let minibatch = Minibatch::new(self.loss, &self.samples, &rows);
        let parts = spread(chunks(len).collect(), |range| {
            let mut part = self.part(nets);
            part.run(nets, &self.samples, &minibatch, &rows[range]);
            RwLock::new(part)
        });
        let gradients = [0, 1].map(|side| {
            let params = nets[side].map_or(0, |net| net.shape().num_params());
            let mut gradient = vec![0.0; params];
            add_up(&parts, side, &mut gradient);
            gradient
        });
        let norms = gradients.each_ref().map(|gradient| adam::norm(gradient));
        (gradients, diagnostics(&parts, len, norms))
    }
}

/// A network in training, of which a team and its owner know.
pub(super) type Trainee = Arc<RwLock<Learner>>;

/// A problem and the threads that are at it.
#[derive(Debug)]
pub(super) struct Descent {
    shared: Arc<Shared>,
    team: Team,
}

/// What the threads of a team share. Locks are for the compiler: rounds keep apart who writes and who reads.
#[derive(Debug)]
struct Shared {
    problem: Problem,
    /// Actor and critic, whichever learn.
    learners: [Option<Trainee>; 2],
    /// One for each part that a minibatch is cut into.
    parts: Vec<RwLock<Part>>,
    /// Indices of the minibatch's samples.
    rows: RwLock<Vec<i32>>,
    round: RwLock<Round>,
}

/// What a team is doing.
#[derive(Clone, Copy, Debug)]
enum Round {
    /// One task for each part: gradients over its samples.
    Gradient(Minibatch),
    /// One task for each network: the sum of its gradients, and its norm.
    Sum { parts: usize },
    /// One task for each network: a step of Adam down that sum times a number.
    Descend { scales: [f32; 2], rates: [f64; 2] },
}

/// A perceptron with the state of its optimiser.
#[derive(Debug)]
pub(super) struct Learner {
    weights: Weights,
    params: Vec<f32>,
    gradient: Vec<f32>,
    grad_norm: f32,
    first: Vec<f32>,
    second: Vec<f32>,
    adam: Adam,
}

impl Descent {
    /// For minibatches of at most `minibatch` samples.
    pub(super) fn new(problem: Problem, learners: [Option<Trainee>; 2], minibatch: usize) -> Self {
        let parts = {
            let learners = learners.each_ref().map(|l| l.as_ref().map(|l| read(l)));
            let nets = learners.each_ref().map(|l| l.as_ref().map(|l| &l.weights));
            let part = || RwLock::new(problem.part(nets));
            (0..max_chunks(minibatch)).map(|_| part()).collect()
        };
        let shared = Arc::new(Shared {
            problem,
            parts,
            rows: RwLock::default(),
            learners,
            round: RwLock::new(Round::Sum { parts: 0 }),
        });
        let of_team = shared.clone();
        // A network is a task of its own where there is but one part, too.
        let tasks = shared.parts.len().max(2);
        Self {
            team: Team::new(tasks, move |task| of_team.work(task)),
            shared,
        }
    }

    /// A step for each of the minibatches, which are indices of samples.
    ///
    /// # Panics
    /// If a minibatch is larger than said before.
    pub(super) fn epoch(&self, minibatches: &[Vec<i32>], step: HostStep) -> Vec<StepDiagnostics> {
        minibatches
            .iter()
            .map(|rows| self.step(rows, step))
            .collect()
    }

    /// A step over the samples at `rows` `[M]`.
    fn step(&self, rows: &[i32], step: HostStep) -> StepDiagnostics {
        let shared = &*self.shared;
        let parts = chunks(rows.len()).len();
        let minibatch = Minibatch::new(shared.problem.loss, &shared.problem.samples, rows);
        write(&shared.rows).clear();
        write(&shared.rows).extend_from_slice(rows);
        self.round(Round::Gradient(minibatch), parts);
        self.round(Round::Sum { parts }, 2);

        let norm = |learner: &Option<Trainee>| learner.as_ref().map_or(0.0, |l| read(l).grad_norm);
        let norms = shared.learners.each_ref().map(norm);
        let joint = norms[0].hypot(norms[1]);
        let scales = norms.map(|norm| {
            let norm = if step.joint_norm { joint } else { norm };
            let scale = step.max_grad_norm as f32 / (norm + 1e-6);
            let shortens = step.max_grad_norm > 0.0 && (scale < 1.0 || scale.is_nan());
            if shortens { scale } else { 1.0 }
        });
        let rates = step.learning_rates;
        self.round(Round::Descend { scales, rates }, 2);

        diagnostics(&shared.parts[..parts], rows.len(), norms)
    }

    fn round(&self, round: Round, tasks: usize) {
        *write(&self.shared.round) = round;
        self.team.round(tasks);
    }
}

impl Shared {
    /// Task number `task` of the round.
    fn work(&self, task: usize) {
        let round = *read(&self.round);
        match round {
            Round::Gradient(minibatch) => {
                let rows = read(&self.rows);
                let Some(range) = chunks(rows.len()).nth(task) else {
                    return;
                };
                let learners = self
                    .learners
                    .each_ref()
                    .map(|l| l.as_ref().map(|l| read(l)));
                let nets = learners.each_ref().map(|l| l.as_ref().map(|l| &l.weights));
                let mut part = write(&self.parts[task]);
                part.run(nets, &self.problem.samples, &minibatch, &rows[range]);
            }
            Round::Sum { parts } => {
                if let Some(learner) = &self.learners[task] {
                    write(learner).sum(&self.parts[..parts], task);
                }
            }
            Round::Descend { scales, rates } => {
                if let Some(learner) = &self.learners[task] {
                    write(learner).descend(scales[task], rates[task]);
                }
            }
        }
    }
}

impl Learner {
    /// Takes over the optimiser's moments. `None` where passes through the network are not fused.
    pub(super) fn new(net: &Net, mut adam: Adam) -> Option<Self> {
        let params = values(net.flat());
        let weights = Weights::new(net.mlp_shape()?, &params);
        let [first, second] = adam.take_moments();
        Some(Self {
            weights,
            gradient: vec![0.0; params.len()],
            params,
            grad_norm: 0.0,
            first,
            second,
            adam,
        })
    }

    /// Takes the sum of gradients of this network, which is the `side`th.
    fn sum(&mut self, parts: &[RwLock<Part>], side: usize) {
        add_up(parts, side, &mut self.gradient);
        self.grad_norm = adam::norm(&self.gradient);
    }

    /// One step of Adam down the gradient times `scale`.
    fn descend(&mut self, scale: f32, learning_rate: f64) {
        self.adam.steps += 1;
        let moments = [&mut self.first[..], &mut self.second];
        let (params, gradient) = (&mut self.params, (&self.gradient[..], scale));
        AdamStep::of(&self.adam, params, gradient, moments, learning_rate).run();
        self.weights.refill(&self.params);
    }

    /// The parameters as they were given.
    pub(super) fn weights(&self) -> &Weights {
        &self.weights
    }

    /// The optimiser and the parameters as tensors; leaves nothing behind.
    pub(super) fn hand_back(&mut self, device: &Device) -> (Adam, Tensor<1>) {
        let mut adam = self.adam.clone();
        let [params, first, second] = [&mut self.params, &mut self.first, &mut self.second]
            .map(std::mem::take)
            .map(|values| {
                let len = [values.len()];
                tensor(values, len, device)
            });
        (adam.first, adam.second) = (first, second);
        (adam, params)
    }
}

/// The sum of the gradients of one of the networks, in the order of the parts.
fn add_up(parts: &[RwLock<Part>], side: usize, sum: &mut [f32]) {
    let Some((first, others)) = parts.split_first() else {
        return;
    };
    let first = read(first);
    let Some(first) = first.total(side) else {
        return;
    };
    let Some((second, others)) = others.split_first() else {
        return sum.copy_from_slice(first);
    };
    let second = read(second);
    let pairs = sum
        .iter_mut()
        .zip(first)
        .zip(second.total(side).unwrap_or_default());
    pairs.for_each(|((sum, x), y)| *sum = x + y);
    for part in others {
        let part = read(part);
        let part = part.total(side).unwrap_or_default();
        sum.iter_mut().zip(part).for_each(|(sum, x)| *sum += x);
    }
}

/// Means over the `len` samples of all parts, with the norms of both gradients.
fn diagnostics(parts: &[RwLock<Part>], len: usize, norms: [f32; 2]) -> StepDiagnostics {
    let sums = parts.iter().map(|part| read(part).sums);
    let means = sums.fold(Sums::default(), |a, b| a + b) / len as f64;
    StepDiagnostics {
        surrogate: means.surrogate as f32,
        value_loss: means.value_loss as f32,
        entropy: means.entropy as f32,
        approx_kl: means.approx_kl as f32,
        clip_fraction: means.clip_fraction as f32,
        grad_norm: norms[0].hypot(norms[1]),
    }
}

/// A panic while a lock was held ends the whole update, so what is behind it is never seen half done.
pub(super) fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

/// As [`read`].
pub(super) fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}
