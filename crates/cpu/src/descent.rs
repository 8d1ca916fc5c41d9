//! Gradient steps of one or two networks in host memory, by a team of threads.
//!
//! For each minibatch: one pass over its samples, then a sum of gradients and an Adam step per network.

use crate::adam::{self, Adam, shortening};
use crate::minibatch::{Minibatch, Part, Problem, Sums};
use crate::mlp::{Weights, chunks, max_chunks, spread};
use crate::shape::MlpShape;
use crate::team::Team;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Means over a minibatch, and measurements of the step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepDiagnostics {
    /// Mean surrogate objective.
    pub surrogate: f32,
    /// ½ squared error, clipped if the loss says so.
    pub value_loss: f32,
    /// Mean entropy, in nats.
    pub entropy: f32,
    /// Mean of ρ − 1 − ln ρ, in nats.
    pub approx_kl: f32,
    /// Fraction of samples whose ratio is outside the clip range.
    pub clip_fraction: f32,
    /// Norm of both gradients together, before clipping.
    pub grad_norm: f32,
}

impl StepDiagnostics {
    /// From sums over `len` samples and the norms of the gradients of actor and critic.
    pub(crate) fn of(sums: Sums, len: usize, norms: [f32; 2]) -> Self {
        let means = sums / len as f64;
        Self {
            surrogate: means.surrogate as f32,
            value_loss: means.value_loss as f32,
            entropy: means.entropy as f32,
            approx_kl: means.approx_kl as f32,
            clip_fraction: means.clip_fraction as f32,
            grad_norm: norms[0].hypot(norms[1]),
        }
    }
}

/// Step sizes of one gradient step.
#[derive(Clone, Copy, Debug)]
pub struct HostStep {
    /// Learning rates of actor and critic.
    pub learning_rates: [f64; 2],
    /// Gradients are scaled down to this norm if they are longer; 0 disables clipping.
    pub max_grad_norm: f64,
    /// Clip by one norm over both networks instead of one norm each.
    pub joint_norm: bool,
}

impl Problem {
    /// Gradients over the whole batch with respect to the parameters of actor and critic, `[P]` each (empty for an
    /// absent network), and measurements.
    pub fn gradient(&self, nets: [Option<&Weights>; 2]) -> ([Vec<f32>; 2], StepDiagnostics) {
        let len = self.len();
        let rows: Vec<i32> = (0..len as i32).collect();
        let minibatch = Minibatch::new(self, &rows);
        let parts = spread(chunks(len).collect(), |range| {
            let mut part = self.part(nets);
            part.run(nets, self, &minibatch, &rows[range]);
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

/// A loss over samples and the threads that minimise it.
#[derive(Debug)]
pub struct Descent {
    shared: Arc<Shared>,
    team: Team,
}

/// State that the threads of a team share. The locks satisfy the compiler: rounds already keep readers and writers
/// apart.
#[derive(Debug)]
struct Shared {
    problem: Problem,
    /// Actor and critic, if they learn.
    learners: [Option<RwLock<Learner>>; 2],
    /// One entry for each part of a minibatch.
    parts: Vec<RwLock<Part>>,
    /// Sample indices of the minibatch.
    rows: RwLock<Vec<i32>>,
    round: RwLock<Round>,
}

/// Task of a team in one round.
#[derive(Clone, Copy, Debug)]
enum Round {
    /// One task per part: gradients over its samples.
    Gradient(Minibatch),
    /// One task per network: the sum of its gradients, and its norm.
    Sum { parts: usize },
    /// One task per network: an Adam step along that sum times a factor.
    Descend { scales: [f32; 2], rates: [f64; 2] },
}

/// A perceptron with the state of its optimiser.
#[derive(Debug)]
pub struct Learner {
    weights: Weights,
    params: Vec<f32>,
    gradient: Vec<f32>,
    grad_norm: f32,
    adam: Adam,
}

impl Descent {
    /// Descent for actor and critic, if they learn, by minibatches of at most `minibatch` samples.
    pub fn new(problem: Problem, learners: [Option<Learner>; 2], minibatch: usize) -> Self {
        let nets = learners.each_ref().map(|l| l.as_ref().map(|l| &l.weights));
        let part = |_| RwLock::new(problem.part(nets));
        let parts = (0..max_chunks(minibatch)).map(part).collect();
        let shared = Arc::new(Shared {
            problem,
            parts,
            rows: RwLock::default(),
            learners: learners.map(|learner| learner.map(RwLock::new)),
            round: RwLock::new(Round::Sum { parts: 0 }),
        });
        let of_team = shared.clone();
        // Each network is a separate task even if there is only one part.
        let tasks = shared.parts.len().max(2);
        Self {
            team: Team::new(tasks, move |task| of_team.work(task)),
            shared,
        }
    }

    /// Takes one step per minibatch; a minibatch lists indices of samples.
    ///
    /// # Panics
    /// If a minibatch is larger than announced in [`new`](Self::new).
    pub fn epoch(&self, minibatches: &[Vec<i32>], step: HostStep) -> Vec<StepDiagnostics> {
        minibatches
            .iter()
            .map(|rows| self.step(rows, step))
            .collect()
    }

    /// Takes one step over the samples at `rows` `[M]`.
    fn step(&self, rows: &[i32], step: HostStep) -> StepDiagnostics {
        let shared = &*self.shared;
        let parts = chunks(rows.len()).len();
        let minibatch = Minibatch::new(&shared.problem, rows);
        write(&shared.rows).clear();
        write(&shared.rows).extend_from_slice(rows);
        self.round(Round::Gradient(minibatch), parts);
        self.round(Round::Sum { parts }, 2);

        let norm =
            |learner: &Option<RwLock<Learner>>| learner.as_ref().map_or(0.0, |l| read(l).grad_norm);
        let norms = shared.learners.each_ref().map(norm);
        let joint = norms[0].hypot(norms[1]);
        let scales = norms.map(|norm| {
            let norm = if step.joint_norm { joint } else { norm };
            shortening(norm, step.max_grad_norm)
        });
        let rates = step.learning_rates;
        self.round(Round::Descend { scales, rates }, 2);

        diagnostics(&shared.parts[..parts], rows.len(), norms)
    }

    /// Returns the optimisers and the parameters of the networks that learned.
    pub fn finish(self) -> [Option<(Adam, Vec<f32>)>; 2] {
        let learners = self.shared.learners.each_ref();
        learners.map(|learner| learner.as_ref().map(|learner| write(learner).take()))
    }

    fn round(&self, round: Round, tasks: usize) {
        *write(&self.shared.round) = round;
        self.team.round(tasks);
    }
}

impl Shared {
    /// Runs task number `task` of the round.
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
                part.run(nets, &self.problem, &minibatch, &rows[range]);
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
    /// A learner that starts at parameters `[P]`.
    ///
    /// # Panics
    /// If the number of parameters is not the shape's.
    pub fn new(shape: &MlpShape, params: Vec<f32>, adam: Adam) -> Self {
        Self {
            weights: Weights::new(shape, &params),
            gradient: vec![0.0; params.len()],
            params,
            grad_norm: 0.0,
            adam,
        }
    }

    /// Sums the gradients of this network, which is number `side`.
    fn sum(&mut self, parts: &[RwLock<Part>], side: usize) {
        add_up(parts, side, &mut self.gradient);
        self.grad_norm = adam::norm(&self.gradient);
    }

    /// Takes one Adam step along the gradient times `scale`.
    fn descend(&mut self, scale: f32, learning_rate: f64) {
        self.adam
            .step(&mut self.params, &self.gradient, scale, learning_rate);
        self.weights.refill(&self.params);
    }

    /// Network weights.
    pub fn weights(&self) -> &Weights {
        &self.weights
    }

    /// Takes the optimiser and the parameters out.
    fn take(&mut self) -> (Adam, Vec<f32>) {
        let [first, second, params] = [
            &mut self.adam.first,
            &mut self.adam.second,
            &mut self.params,
        ]
        .map(std::mem::take);
        let adam = Adam {
            first,
            second,
            ..self.adam.clone()
        };
        (adam, params)
    }
}

/// Sums the gradients of one network in the order of the parts.
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
    StepDiagnostics::of(sums.fold(Sums::default(), |a, b| a + b), len, norms)
}

/// Locks for reading. A panic while a lock was held ends the whole update, so a poisoned value is never used.
fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

/// Locks for writing; see [`read`].
fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}
