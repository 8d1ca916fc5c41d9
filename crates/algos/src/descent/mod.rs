//! Gradient descent of actor and critic: engine choice, optimiser state, gradients, steps.
//!
//! ```text
//! Descent (optimiser) ── begin ──> Update ── epoch, epoch, .. ── finish ──> UpdateSteps (measurements)
//!                     ── step  ──> one step on the whole batch
//! gradient            one gradient of actor and critic, without a step
//! fit_values          steps of a critic alone, towards returns
//! ```
//!
//! Three engines compute the same: Burn's tensors, which are the reference, CPU loops in host memory, and GPU kernels.
//! Algorithms name none of them.

mod choice;
mod gradient;
mod measured;
mod values;

pub use gradient::{Gradient, gradient};
pub use measured::Means;
pub(crate) use measured::{STEP, UPDATE};
pub(crate) use values::value_gradient;
pub use values::{ValueLosses, ValueSteps, fit_values};

use crate::{
    checkpoint::{Checkpoint, CheckpointError},
    optimizer::{Optimizer, OptimizerKind, StepSize},
    random::{Order, index_tensor},
};
use burn::tensor::{Tensor, TensorData};
use choice::Fast;
use measured::column;
use uphill_core::{
    loss::ActorCriticLoss,
    network::Net,
    ops::{DeviceLearner, HostLearner, shuffle_keys},
    optim::RuleKind,
    peers::{Alone, Peers, explained_variance},
    policy::{Actor, Critic},
    read_back,
    rollout::Batch,
};

/// Gradient descent of actor and critic, with its optimiser state.
#[derive(Debug)]
pub struct Descent {
    optimizer: Optimizer,
    /// GPU learner reused by the next update. It is not part of the state: it can be rebuilt.
    kept: Option<DeviceLearner>,
}

impl Clone for Descent {
    fn clone(&self) -> Self {
        Self {
            optimizer: self.optimizer.clone(),
            kept: None,
        }
    }
}

/// Loss and step size of an update.
#[derive(Clone, Debug)]
pub struct Goal {
    /// The loss of a minibatch.
    pub loss: ActorCriticLoss,
    /// Step size of every step.
    pub size: StepSize,
    /// Number of minibatches per epoch.
    pub minibatches: usize,
}

impl Descent {
    /// Descent with fresh optimiser state for these networks; `epsilon` as in [`uphill_core::optim::Rule::new`].
    pub fn new(
        kind: OptimizerKind,
        rule: RuleKind,
        (actor, critic): (&Actor, &Critic),
        epsilon: f64,
    ) -> Self {
        Self {
            optimizer: Optimizer::new(kind, rule, &actor.net, &critic.net, epsilon),
            kept: None,
        }
    }

    /// Starts an update by minibatches of a batch that this actor collected.
    pub fn begin<'a>(
        &'a mut self,
        (actor, critic): (&'a mut Actor, &'a mut Critic),
        batch: &'a Batch,
        goal: Goal,
        peers: &'a dyn Peers,
    ) -> Update<'a> {
        let engine = self.engine((actor, critic), batch, &goal, peers);
        Update {
            old: actor.clone(),
            descent: self,
            actor,
            critic,
            batch,
            goal,
            peers,
            engine,
            rows: vec![],
            waiting: vec![],
        }
    }

    /// Takes one step on `loss` over the whole batch. Returns the diagnostics before the step, and the norm of the
    /// gradient before clipping, `[1]` each.
    pub fn step(
        &mut self,
        (actor, critic): (&mut Actor, &mut Critic),
        batch: Batch,
        loss: ActorCriticLoss,
        size: StepSize,
        peers: &dyn Peers,
    ) -> (Means<Tensor<1>>, Tensor<1>) {
        let gradient = gradient((actor, critic), actor, batch, loss, peers);
        let grads = (gradient.actor, gradient.critic);
        let norm = (self.optimizer).step(&mut actor.net, &mut critic.net, grads, size);
        (gradient.means, norm)
    }

    fn engine(
        &mut self,
        (actor, critic): (&Actor, &Critic),
        batch: &Batch,
        goal: &Goal,
        peers: &dyn Peers,
    ) -> Engine {
        // Each gradient is summed over the processes before its step.
        if peers.size() > 1 {
            return Engine::Gradients;
        }
        let (loss, size) = (goal.loss.in_f32(), goal.size.fused(self.optimizer.kind()));
        let engine = match choice::of_agent((actor, critic), &goal.loss) {
            Ok(Fast::Cpu) => {
                let minibatch = batch.len() / goal.minibatches;
                let adams = self.optimizer.adams(actor.net.num_params());
                let host = adams.and_then(|adams| {
                    HostLearner::new(actor, critic, batch, minibatch, adams, &loss)
                });
                host.map(Engine::Cpu)
            }
            Ok(Fast::Gpu) => {
                let (kept, agent) = (self.kept.take(), (actor, critic));
                let device = self.optimizer.joined(batch.agents).and_then(|adam| {
                    DeviceLearner::new(kept, agent, batch, goal.minibatches, adam, &loss, size)
                });
                device.map(Engine::Gpu)
            }
            Err(_) => None,
        };
        engine.unwrap_or(Engine::Gradients)
    }

    /// Descent of several agents at once; `None` if their optimisers are of different kinds.
    pub(crate) fn of_agents(all: &[&Self]) -> Option<Self> {
        let optimizers: Vec<_> = all.iter().map(|one| &one.optimizer).collect();
        Some(Self {
            optimizer: Optimizer::of_agents(&optimizers)?,
            kept: None,
        })
    }

    /// Whether kernels of a GPU take the steps of updates with batches like this one. Prepares them if so.
    pub(crate) fn prepare(&mut self, agent: (&Actor, &Critic), batch: &Batch, goal: &Goal) -> bool {
        match self.engine(agent, batch, goal, &Alone) {
            Engine::Gpu(learner) => self.kept = Some(learner),
            Engine::Cpu(_) | Engine::Gradients => return false,
        }
        true
    }

    /// Optimiser state.
    pub(crate) fn optimizer(&self) -> &Optimizer {
        &self.optimizer
    }

    /// Adds the optimiser state to a checkpoint.
    pub fn save(&self, checkpoint: &mut Checkpoint) {
        self.optimizer.save(checkpoint);
    }

    /// Restores the optimiser state from a checkpoint.
    pub fn load(&mut self, checkpoint: &Checkpoint) -> Result<(), CheckpointError> {
        self.optimizer.load(checkpoint)
    }
}

/// Reason why gradients of this loss are computed on Burn's tensors, which for small networks are several times slower
/// than CPU loops or GPU kernels; `None` if they are not.
pub fn slower_path(agent: (&Actor, &Critic), loss: &ActorCriticLoss) -> Option<&'static str> {
    choice::of_agent(agent, loss).err()
}

/// Engine of the gradients of this loss, and the reason for it.
pub fn reason(agent: (&Actor, &Critic), loss: &ActorCriticLoss) -> String {
    match choice::of_agent(agent, loss) {
        Ok(Fast::Cpu) => "loops on the CPU, which know these networks and this policy".to_owned(),
        Ok(Fast::Gpu) => "kernels of the GPU, which know these networks and this policy".to_owned(),
        Err(why) => format!("Burn's operations one by one: {why}"),
    }
}

/// [`slower_path`] for steps of actor or critic alone.
pub fn slower_path_alone(agent: (&Actor, &Critic)) -> Option<&'static str> {
    choice::slower_alone(agent)
}

/// Engine of the steps of an update.
#[allow(clippy::large_enum_variant)] // there is one of these in an update
enum Engine {
    Cpu(HostLearner),
    Gpu(DeviceLearner),
    /// No engine for whole steps: one [`gradient`] after the other.
    Gradients,
}

/// An update by minibatches in progress.
pub struct Update<'a> {
    descent: &'a mut Descent,
    actor: &'a mut Actor,
    critic: &'a mut Critic,
    /// The policy that collected the batch.
    old: Actor,
    batch: &'a Batch,
    goal: Goal,
    peers: &'a dyn Peers,
    engine: Engine,
    /// Diagnostics of the steps, `[M, 6]` for one or several epochs.
    rows: Vec<Tensor<2>>,
    /// Epochs not yet launched on a GPU.
    waiting: Vec<Order>,
}

impl Update<'_> {
    /// Takes a step on each minibatch of the batch in the given order. A GPU starts only when results are requested.
    pub fn epoch(&mut self, order: Order) {
        match &mut self.engine {
            Engine::Cpu(learner) => {
                let parts = order.minibatches(self.batch.units(), self.goal.minibatches);
                let size = self.goal.size.fused(self.descent.optimizer.kind());
                let row = |d: uphill_core::ops::StepDiagnostics| {
                    let means = Means {
                        policy_loss: -d.surrogate,
                        value_loss: d.value_loss,
                        entropy: d.entropy,
                        approx_kl: d.approx_kl,
                        clip_fraction: d.clip_fraction,
                    };
                    means.row(d.grad_norm)
                };
                let steps = learner.epoch(&parts, size);
                let shape = [steps.len(), STEP.len()];
                let values: Vec<f32> = steps.into_iter().flat_map(row).collect();
                let device = self.batch.obs.device();
                let rows = Tensor::from_data(TensorData::new(values, shape), &device);
                self.rows.push(rows);
            }
            Engine::Gpu(_) => self.waiting.push(order),
            Engine::Gradients => {
                let parts = order.minibatches(self.batch.units(), self.goal.minibatches);
                let rows = parts.into_iter().map(|part| self.step(part));
                let rows = Tensor::stack(rows.collect(), 0);
                self.rows.push(rows);
            }
        }
    }

    /// Takes one step on the samples or sequences in `part`. Returns its row of diagnostics.
    fn step(&mut self, part: Vec<i32>) -> Tensor<1> {
        let minibatch = (self.batch).select(index_tensor(part, &self.batch.obs.device()));
        let agent = (&*self.actor, &*self.critic);
        let loss = self.goal.loss.clone();
        let gradient = gradient(agent, &self.old, minibatch, loss, self.peers);
        let grads = (gradient.actor, gradient.critic);
        let (actor, critic) = (&mut self.actor.net, &mut self.critic.net);
        let norm = (self.descent.optimizer).step(actor, critic, grads, self.goal.size);
        Tensor::cat(gradient.means.row(norm).into(), 0)
    }

    fn launch(&mut self) {
        if let Engine::Gpu(learner) = &mut self.engine
            && !self.waiting.is_empty()
        {
            let agents = self.batch.agents;
            let keys = self.waiting.drain(..).flat_map(|order| order.keys(agents));
            let keys: Vec<_> = keys.collect();
            let keys = shuffle_keys(&keys, &self.batch.obs.device());
            self.rows.push(learner.epochs(keys));
        }
    }

    /// k3 estimate of KL(old ‖ new), in nats, averaged over the minibatches of the last epoch. Waits for the device.
    pub fn approx_kl(&mut self) -> f64 {
        self.launch();
        let last = self.rows.last().cloned();
        let kl = last.map(|rows| mean_of(vec![rows]).narrow(0, column("approx_kl"), 1));
        kl.map_or(0.0, |kl| read_back::read(kl)[0])
    }

    /// Returns the networks and the optimiser, and the diagnostics.
    pub fn finish(mut self) -> UpdateSteps {
        self.launch();
        let (actor, critic) = (self.actor, self.critic);
        let optimizer = &mut self.descent.optimizer;
        let summary = match self.engine {
            Engine::Gpu(learner) => {
                let summary = learner.summary(self.rows.clone());
                let adam = learner.finish(&mut actor.net, &mut critic.net);
                optimizer.set_joined(adam, actor.net.num_params(), self.batch.agents);
                self.descent.kept = Some(learner);
                summary
            }
            Engine::Cpu(learner) => {
                let adams = learner.finish(&mut actor.net, &mut critic.net);
                optimizer.set_adams(adams);
                summary(&self.rows, self.batch, (actor, critic), self.peers)
            }
            Engine::Gradients => summary(&self.rows, self.batch, (actor, critic), self.peers),
        };
        UpdateSteps {
            summary,
            rows: self.rows,
            minibatches: self.goal.minibatches,
            agents: self.batch.agents,
        }
    }
}

/// Diagnostics of an update, still on the device.
#[derive(Clone, Debug)]
pub struct UpdateSteps {
    /// Values in the order of [`UPDATE`], concatenated by agent.
    pub(crate) summary: Tensor<1>,
    /// Values in the order of [`STEP`], one row per step: `[M, 6]` for one or several epochs.
    pub(crate) rows: Vec<Tensor<2>>,
    /// Number of steps per epoch.
    pub(crate) minibatches: usize,
    /// Number of agents updated at once.
    pub(crate) agents: usize,
}

/// Mean `[6]` of rows `[M, 6]` of one or several epochs, on the device.
fn mean_of(rows: Vec<Tensor<2>>) -> Tensor<1> {
    Tensor::cat(rows, 0).mean_dim(0).squeeze_dim(0)
}

/// Values in the order of [`UPDATE`], on the device.
fn summary(
    rows: &[Tensor<2>],
    batch: &Batch,
    (actor, critic): (&Actor, &Critic),
    peers: &dyn Peers,
) -> Tensor<1> {
    let explained = explained_variance(peers, batch.values.clone(), batch.returns.clone());
    let size = param_norm([&actor.net, &critic.net]);
    Tensor::cat(vec![mean_of(rows.to_vec()), explained, size], 0)
}

/// Euclidean norm of all parameters `[1]`, which reveals a divergence in the last step of a run.
pub(crate) fn param_norm(nets: [&Net; 2]) -> Tensor<1> {
    let [actor, critic] = nets.map(|net| net.flat().square().sum());
    (actor + critic).sqrt()
}
