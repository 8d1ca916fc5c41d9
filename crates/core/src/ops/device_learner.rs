//! Gradients and gradient steps of actor and critic on a GPU: the counterpart of `HostLearner`.

use super::{ActorCriticLoss, HostStep, slices::row_dist};
use crate::{
    network::Net,
    optim::Adam,
    policy::{Actor, Critic},
    rollout::Batch,
};
use burn::tensor::{Int, Tensor};
use uphill_gpu::{
    device::has_kernels,
    learner::{self, AdamRule, Learner, Learnt, Networks, Samples, Setting},
};

/// Update of actor and critic on the device, see [`Learner`].
#[derive(Debug)]
pub struct DeviceLearner {
    learner: Learner,
    /// Number of agents.
    agents: usize,
    /// Adam, with the moments from before the update.
    adam: Adam,
}

impl DeviceLearner {
    /// Learner for steps on `minibatches` equal parts of the batch. `adam` is the state for the actor's parameters followed
    /// by the critic's. The buffers and recorded launches of an earlier update (`kept`) are used again if the sizes match.
    /// Several agents learn at once, each from its own part of the batch; networks and `adam` are then concatenated by agent.
    ///
    /// `None` if this is not possible: devices without kernels, networks that are no perceptrons or do not fit into a cube's
    /// shared memory, distributions other than one choice and Gaussian, surrogates other than PPO's clipped one and the
    /// log-probability.
    pub fn new(
        kept: Option<Self>,
        (actor, critic): (&Actor, &Critic),
        batch: &Batch,
        minibatches: usize,
        adam: Adam,
        loss: &ActorCriticLoss,
        step: HostStep,
    ) -> Option<Self> {
        let batch = Batch {
            obs: actor.normalized(batch.obs.clone()).into(),
            ..batch.clone()
        };
        let agents = batch.agents;
        let setting = Setting {
            networks: networks((actor, critic))?,
            agents,
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
            params: [actor.net.flat(), critic.net.flat()],
            moments: [adam.first.clone(), adam.second.clone()],
        };
        let kept = kept.map(|kept| kept.learner);
        Some(Self {
            learner: Learner::new(kept, &setting, learnt, samples(batch)?)?,
            agents,
            adam,
        })
    }

    /// Takes a step on each minibatch of as many epochs as there are `keys` ([`shuffle_keys`](super::shuffle_keys)), each of
    /// which determines the order of samples in its epoch; every agent has its own key per epoch. Returns policy loss, value
    /// loss, entropy, approximate KL, clip fraction and gradient norm of each step, `[M·S, 6]`, still on the device.
    ///
    /// # Panics
    ///
    /// If the device fails to replay what it has recorded.
    pub fn epochs(&mut self, keys: Tensor<1, Int>) -> Tensor<2> {
        let reported = self.learner.epochs(keys);
        self.adam.steps += (reported.dims()[0] / self.agents) as u64;
        reported
    }

    /// Whether the launches of the last [`epochs`](Self::epochs) were replayed.
    pub fn is_recorded(&self) -> bool {
        self.learner.is_recorded()
    }

    /// Means over the rows returned by [`epochs`](Self::epochs), explained variance of the values before the update, and
    /// norm of all parameters: `[8]` for each agent, `[S·8]`, still on the device.
    pub fn summary(&self, reported: Vec<Tensor<2>>) -> Tensor<1> {
        self.learner.summary(reported)
    }

    /// Writes the current parameters to the networks and returns the optimiser.
    pub fn finish(&self, actor: &mut Net, critic: &mut Net) -> Adam {
        let now = self.learner.learnt();
        let ([of_actor, of_critic], [first, second]) = (now.params, now.moments);
        *actor = actor.with_flat(of_actor);
        *critic = critic.with_flat(of_critic);
        Adam {
            first,
            second,
            ..self.adam.clone()
        }
    }
}

/// Gradients of `loss` over the batch with respect to the parameters of actor and critic, `[P]` each, and the means of
/// surrogate, entropy, approximate KL, clip fraction and value loss `[5]`, all on the device. `None` if there is no
/// [`DeviceLearner`] for them.
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

/// Whether there are kernels for gradient steps of this actor and critic; `None` if their device has no kernels.
pub fn device_knows(actor: &Actor, critic: &Critic) -> Option<bool> {
    let device = actor.net.device();
    match networks((actor, critic)) {
        Some(networks) => networks.are_known(&device),
        None => has_kernels(&device).then_some(false),
    }
}

/// Shapes for kernels; `None` for networks that are no perceptrons, and for distributions without a
/// [`RowDist`](uphill_cpu::dist::RowDist).
fn networks<'a>((actor, critic): (&'a Actor, &'a Critic)) -> Option<Networks<'a>> {
    let (of_actor, of_critic) = (actor.net.perceptron()?, critic.net.perceptron()?);
    Some(Networks {
        actor: of_actor,
        critic: of_critic,
        dist: row_dist(&actor.kind, of_actor.log_stds)?,
    })
}

/// Samples of a batch; `None` for sequences.
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
