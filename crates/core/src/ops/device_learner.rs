//! Gradients and gradient steps on a GPU: what [`HostLearner`](super::HostLearner) is in host memory.

use super::{ActorCriticLoss, HostStep, MlpShape, slices::row_dist};
use crate::{
    network::Net,
    optim::Adam,
    policy::{Actor, Critic},
    rollout::Batch,
};
use burn::tensor::{Int, Tensor};
use uphill_gpu::{
    device::{has_kernels, on_device},
    learner::{self, AdamRule, Learner, Learnt, Networks, Samples, Setting},
    network::Forward,
};

/// Actor, critic, their optimiser and a batch, for updates that stay on the device. See [`Learner`].
#[derive(Debug)]
pub struct DeviceLearner {
    learner: Learner,
    /// Agents that learn at once.
    agents: usize,
    /// With the moments from before the update.
    adam: Adam,
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

impl DeviceLearner {
    /// For steps on `minibatches` equal parts of the batch. `adam` is the state for the actor's parameters
    /// followed by the critic's. What has served an earlier update (`kept`) serves again if the sizes are the same.
    ///
    /// `None` where this is not possible: devices without kernels, networks that are no perceptrons
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
            obs: actor.normalized(batch.obs.clone()).into(),
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
        let adam = agents.adam;
        let setting = Setting {
            networks: networks(agents.like)?,
            agents: agents.count,
            minibatches,
            loss,
            step,
            adam: AdamRule {
                betas: [adam.beta1, adam.beta2],
                epsilon: adam.epsilon,
                steps: adam.steps,
            },
        };
        let learnt = Learnt {
            params: agents.params,
            moments: [adam.first.clone(), adam.second.clone()],
        };
        let kept = kept.map(|kept| kept.learner);
        Some(Self {
            learner: Learner::new(kept, &setting, learnt, samples(batch)?)?,
            agents: agents.count,
            adam,
        })
    }

    /// A step on each minibatch of as many epochs as there are `keys`
    /// ([`shuffle_keys`](super::shuffle_keys)), each of which chooses the order of its samples; of several agents,
    /// each has a key in every epoch. Returns policy loss, value loss, entropy, approximate KL, clip fraction and
    /// gradient norm of each, `[M·S, 6]`, still on the device.
    ///
    /// # Panics
    ///
    /// If the device fails to do what it has recorded.
    pub fn epochs(&mut self, keys: Tensor<1, Int>) -> Tensor<2> {
        let reported = self.learner.epochs(keys);
        self.adam.steps += (reported.dims()[0] / self.agents) as u64;
        reported
    }

    /// Whether the launches of the last [`epochs`](Self::epochs) were replayed.
    pub fn is_recorded(&self) -> bool {
        self.learner.is_recorded()
    }

    /// Means over the rows that [`epochs`](Self::epochs) returned, explained variance of the values before the
    /// update, and norm of all parameters, `[8]` for each agent, `[S·8]`, still on the device.
    pub fn summary(&self, reported: Vec<Tensor<2>>) -> Tensor<1> {
        self.learner.summary(reported)
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
        let now = self.learner.learnt();
        let [first, second] = now.moments;
        let adam = Adam {
            first,
            second,
            ..self.adam.clone()
        };
        (now.params, adam)
    }
}

/// Gradients of `loss` over the batch by the parameters of actor and critic, `[P]` each, and the means of
/// surrogate, entropy, approximate KL, clip fraction and value loss `[5]`, all on the device. `None` where
/// [`DeviceLearner::new`] has none.
pub fn device_gradient(
    actor: &Actor,
    critic: &Critic,
    batch: &Batch,
    loss: &ActorCriticLoss,
) -> Option<([Tensor<1>; 2], Tensor<1>)> {
    let batch = Batch {
        obs: actor.normalized(batch.obs.clone()).into(),
        ..batch.clone()
    };
    let params = [actor.net.flat(), critic.net.flat()];
    learner::gradient(networks((actor, critic))?, params, samples(batch)?, loss)
}

/// Whether there are kernels for gradient steps of this actor and critic; `None` where they live on no GPU.
pub fn device_knows(actor: &Actor, critic: &Critic) -> Option<bool> {
    let device = actor.net.device();
    match networks((actor, critic)) {
        Some(networks) => networks.are_known(&device),
        None => has_kernels(&device).then_some(false),
    }
}

/// The outputs `[S·B, W]` of `S` perceptrons of one shape with parameters `params` `[S·P]`, one after the other, each
/// for its own part of the observations `[S·B, O]`, in one launch. `None` where there is no kernel for it.
pub fn device_outputs(shape: &MlpShape, params: Tensor<1>, obs: Tensor<2>) -> Option<Tensor<2>> {
    let passes = Forward::new(shape, &params).filter(|_| on_device(&obs))?;
    Some(passes.outputs(params, obs))
}

/// What kernels have to know; `None` for networks that are no perceptrons and distributions that are none of those with
/// few parameters.
fn networks<'a>((actor, critic): (&'a Actor, &'a Critic)) -> Option<Networks<'a>> {
    let (of_actor, of_critic) = (actor.net.perceptron()?, critic.net.perceptron()?);
    Some(Networks {
        actor: of_actor,
        critic: of_critic,
        dist: row_dist(&actor.kind, of_actor.log_stds)?,
    })
}

/// `None` for sequences.
fn samples(batch: Batch) -> Option<Samples> {
    batch.sequences.is_none().then_some(Samples {
        obs: batch.obs.floats(),
        actions: batch.actions,
        log_probs: batch.log_probs,
        values: batch.values,
        advantages: batch.advantages,
        returns: batch.returns,
    })
}
