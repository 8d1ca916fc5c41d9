//! Gradient steps of actor and critic on a GPU: what [`HostLearner`](crate::ops::HostLearner) is in host memory.

use super::backend::DeviceOps;
use super::buffers::{Buffers, empty_like, filled, samples};
use super::graph::Graph;
use super::plan::Plan;
use super::setup::{plan, scalars};
use crate::{
    network::Net,
    ops::{ActorCriticLoss, HostStep},
    optim::Adam,
    policy::{Actor, Critic},
    rollout::Batch,
};
use burn::backend::Dispatch;
use burn::tensor::{Int, Tensor};
use std::thread::{self, ThreadId};

/// Actor, critic, their optimiser and a batch, for updates that stay on the device.
///
/// Everything is copied into buffers that the next update finds where they were, so that the launches of an update
/// can be recorded once and replayed. The numbers are the same, bit for bit.
#[derive(Debug)]
pub struct DeviceLearner {
    /// Nobody else has a handle to these buffers, nor to those of the batch and the keys.
    state: Buffers,
    batch: Batch,
    /// Of the orders of samples, `[2·epochs]`.
    keys: Tensor<1, Int>,
    /// With the moments from before the update.
    adam: Adam,
    plan: Plan,
    launches: Launches,
    /// Whose operations come in order with a replay; those of other threads may overtake it.
    thread: ThreadId,
}

/// Agents of one shape that learn at once.
#[derive(Clone, Debug)]
pub struct Agents<'a> {
    /// `S`.
    pub count: usize,
    /// What they look like.
    pub like: (&'a Actor, &'a Critic),
    /// Of the actors and of the critics, one after the other, `[S·P]` each.
    pub params: [Tensor<1>; 2],
    /// With the moments of each agent's parameters, the actor's and then the critic's, one agent after the other.
    pub adam: Adam,
}

/// How the steps of several epochs get to the device.
#[derive(Debug)]
#[allow(clippy::large_enum_variant)] // there is one of these in a run
enum Launches {
    /// One by one; so often until now.
    Issued(u32),
    /// All at once. The tensor `[M·S, 6]` is what they report to.
    Recorded(Graph, Tensor<2>),
    /// One by one, because the device does not record.
    Refused,
}

/// Times that epochs are launched one by one before they are recorded, which takes as long as another time.
const UNRECORDED: u32 = 1;

impl DeviceLearner {
    /// For steps on `minibatches` equal parts of the batch. `adam` is the state for the actor's parameters
    /// followed by the critic's. What has served an earlier update (`kept`) serves again if the sizes are the same.
    ///
    /// `None` where this is not possible: devices that CubeCL does not drive, networks that are no perceptrons
    /// or do not fit into a cube's shared memory, distributions that are neither categorical nor Gaussian, a
    /// penalised surrogate.
    pub fn new(
        kept: Option<Self>,
        (actor, critic): (&Actor, &Critic),
        batch: &Batch,
        minibatches: usize,
        adam: Adam,
        loss: &ActorCriticLoss,
        step: HostStep,
    ) -> Option<Self> {
        let agents = Agents {
            count: 1,
            like: (actor, critic),
            params: [actor.net.flat(), critic.net.flat()],
            adam,
        };
        let batch = Batch {
            obs: actor.normalized(batch.obs.clone()),
            ..batch.clone()
        };
        Self::of_agents(kept, agents, batch, minibatches, loss, step)
    }

    /// [`new`](Self::new) for several agents that learn at once, each from its own part of the batch, whose observations
    /// are as the networks see them: all of the first agent's samples, then all of the next one's.
    pub fn of_agents(
        kept: Option<Self>,
        agents: Agents<'_>,
        batch: Batch,
        minibatches: usize,
        loss: &ActorCriticLoss,
        step: HostStep,
    ) -> Option<Self> {
        let sizes = [agents.count, minibatches];
        let plan = plan(agents.like, &batch, sizes, loss)?;
        let adam = agents.adam;
        let len = agents.count * plan.num_params();
        assert_eq!(adam.first.dims(), [len], "length of adam");
        let device = batch.obs.device();
        let thread = thread::current().id();
        let fits = |kept: &Self| {
            kept.plan == plan && kept.thread == thread && kept.batch.obs.device() == device
        };
        let mut learner = kept.filter(fits).unwrap_or_else(|| Self {
            state: Buffers::beside(&batch.values, &plan),
            batch: empty_like(&batch),
            keys: Tensor::empty([0], &device),
            adam: adam.clone(),
            plan,
            launches: Launches::Issued(0),
            thread,
        });
        let scalars = scalars(loss, step, &adam).repeat(agents.count);
        let [actor, critic] = agents.params;
        learner.state = learner.state.filled(Buffers {
            actor,
            critic,
            first: adam.first.clone(),
            second: adam.second.clone(),
            scalars: Tensor::from_data(scalars.as_slice(), &device),
        });
        learner.batch = filled(learner.batch, batch);
        learner.adam = adam;
        Some(learner)
    }

    /// A step on each minibatch of as many epochs as there are `keys`
    /// ([`shuffle_keys`](crate::ops::shuffle_keys)), each of which chooses the order of its samples; of several agents,
    /// each has a key in every epoch. Returns policy loss, value loss, entropy, approximate KL, clip fraction and
    /// gradient norm of each, `[M·S, 6]`, still on the device.
    ///
    /// # Panics
    ///
    /// If the device fails to do what it has recorded.
    pub fn epochs(&mut self, keys: Tensor<1, Int>) -> Tensor<2> {
        let epochs = keys.dims()[0] / (2 * self.plan.agents);
        self.adam.steps += (epochs * self.plan.minibatches) as u64;
        if self.keys.dims() != keys.dims() {
            self.keys = keys.empty_like();
            self.launches = Launches::Issued(0);
        }
        let own = std::mem::replace(&mut self.keys, keys.clone());
        self.keys = Tensor::from_dispatch(Dispatch::copy_keys(
            own.into_dispatch(),
            keys.into_dispatch(),
        ));
        if self.thread != thread::current().id() {
            self.launches = Launches::Refused;
        }
        if let Launches::Issued(UNRECORDED..) = self.launches {
            self.launches = self.record(epochs);
        }
        match &mut self.launches {
            Launches::Recorded(graph, reported) => {
                graph.replay(&self.batch.obs.device());
                // The next replay writes over it.
                let reported = reported.clone().into_dispatch();
                Tensor::from_dispatch(Dispatch::duplicate(reported))
            }
            Launches::Issued(times) => {
                *times += 1;
                self.launch(epochs)
            }
            Launches::Refused => self.launch(epochs),
        }
    }

    /// Whether the launches of the last [`epochs`](Self::epochs) were replayed.
    pub fn is_recorded(&self) -> bool {
        matches!(self.launches, Launches::Recorded(..))
    }

    /// Means over the rows that [`epochs`](Self::epochs) returned, explained variance of the values before the
    /// update, and norm of all parameters, `[8]` for each agent, `[S·8]`, still on the device.
    pub fn summary(&self, reported: Vec<Tensor<2>>) -> Tensor<1> {
        let own = |x: &Tensor<1>| x.clone().into_dispatch();
        let reported = match <[Tensor<2>; 1]>::try_from(reported) {
            Ok([all]) => all, // joining one tensor would be a launch
            Err(parts) => Tensor::cat(parts, 0),
        };
        Tensor::from_dispatch(Dispatch::summary(
            reported.into_dispatch(),
            own(&self.batch.values),
            own(&self.batch.returns),
            own(&self.state.actor),
            own(&self.state.critic),
            self.plan.agents,
        ))
    }

    /// Hands out the networks and the optimiser as they are now.
    pub fn finish(&self, actor: &mut Net, critic: &mut Net) -> Adam {
        let ([of_actor, of_critic], adam) = self.params();
        *actor = actor.with_flat(of_actor);
        *critic = critic.with_flat(of_critic);
        adam
    }

    /// Hands out the parameters of actors and critics, `[S·P]` each, and the optimisers as they are now.
    pub fn params(&self) -> ([Tensor<1>; 2], Adam) {
        let now = self.copied();
        let adam = Adam {
            first: now.first,
            second: now.second,
            ..self.adam.clone()
        };
        ([now.actor, now.critic], adam)
    }

    /// The state in other buffers.
    fn copied(&self) -> Buffers {
        Buffers::beside(&self.batch.values, &self.plan).filled(self.state.clone())
    }

    fn launch(&mut self, epochs: usize) -> Tensor<2> {
        let state = self.state.take(&self.adam.first);
        let (state, reported) = steps(state, &self.batch, &self.keys, epochs, self.plan);
        self.state = state;
        reported
    }

    /// Records the launches and leaves the state as it was.
    fn record(&mut self, epochs: usize) -> Launches {
        let before = self.copied();
        let (batch, keys, plan) = (&self.batch, &self.keys, self.plan);
        let state = self.state.take(&self.adam.first);
        let launches = |state| steps(state, batch, keys, epochs, plan);
        match Graph::record(&batch.obs.device(), state, launches) {
            Ok((graph, state, reported)) => {
                self.state = state.filled(before);
                Launches::Recorded(graph, reported)
            }
            Err(error) => {
                tracing::debug!(%error, "an update is launched step by step: it cannot be recorded");
                self.state = before;
                Launches::Refused
            }
        }
    }
}

/// A step on each minibatch of `epochs` epochs: the state after it, and what is reported, `[M·S, 6]`.
fn steps(
    state: Buffers,
    batch: &Batch,
    keys: &Tensor<1, Int>,
    epochs: usize,
    plan: Plan,
) -> (Buffers, Tensor<2>) {
    let learned = Dispatch::learn(
        state.into_state(),
        samples(batch.clone()),
        keys.clone().into_dispatch(),
        epochs,
        plan,
    );
    let reported = Tensor::from_dispatch(learned.reported);
    (Buffers::from_state(learned.state), reported)
}
