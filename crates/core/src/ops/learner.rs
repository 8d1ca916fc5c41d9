//! Gradient steps of actor and critic, or of a critic alone, in host memory.
//!
//! Each minibatch is one pass over its samples, from gathered observations to new parameters. Autodiff on a graph of
//! tensors computes the same, and tests compare the two.

use super::slices::{self, learner, row_dist, tensor};
use super::{ActorCriticLoss, HostStep, StepDiagnostics, Surrogate, on_host};
use crate::{
    network::Net,
    normalize::ObsNorm,
    optim::Adam,
    policy::{Actor, Critic},
    rollout::Batch,
};
use burn::tensor::{Device, Tensor};
use uphill_cpu::{
    adam,
    descent::Descent,
    minibatch::{Problem, Samples},
};

/// Gradients of `loss` over the batch with respect to the parameters of actor and critic, `[P]` each, and diagnostics.
/// `None` under the conditions of [`HostLearner::new`].
pub fn actor_critic_gradient(
    actor: &Actor,
    critic: &Critic,
    batch: &Batch,
    loss: &ActorCriticLoss,
) -> Option<([Tensor<1>; 2], StepDiagnostics)> {
    let nets = [actor.net.host_weights()?, critic.net.host_weights()?];
    let dist = row_dist(&actor.kind, nets[0].shape().log_stds)?;
    let samples = samples(&actor.obs_norm, batch)?;
    let problem = Problem::new(Some((dist, &nets[0])), samples, loss);
    let (gradients, means) = problem.gradient(nets.each_ref().map(|net| Some(&**net)));
    let device = batch.obs.device();
    let gradients = gradients.map(|gradient| {
        let len = [gradient.len()];
        tensor(gradient, len, &device)
    });
    Some((gradients, means))
}

/// Actor, critic, their optimisers and a batch, converted from tensors for one update.
#[derive(Debug)]
pub struct HostLearner {
    descent: Descent,
    device: Device,
}

impl HostLearner {
    /// A learner that minimises `loss`, where `actor` is the policy that acted, with minibatches of at most `minibatch`
    /// samples. `None` if a network's passes are not fused ([`Net::fused`]) or the distribution is not categorical (one
    /// or several choices, masked or not), Gaussian or squashed Gaussian.
    pub fn new(
        actor: &Actor,
        critic: &Critic,
        batch: &Batch,
        minibatch: usize,
        [of_actor, of_critic]: [Adam; 2],
        loss: &ActorCriticLoss,
    ) -> Option<Self> {
        let dist = row_dist(&actor.kind, actor.net.mlp_shape()?.log_stds)?;
        critic.net.mlp_shape()?;
        let samples = samples(&actor.obs_norm, batch)?;
        let of_actor = learner(&actor.net, of_actor)?;
        let of_critic = learner(&critic.net, of_critic)?;
        let problem = Problem::new(Some((dist, of_actor.weights())), samples, loss);
        let learners = [Some(of_actor), Some(of_critic)];
        Some(Self {
            descent: Descent::new(problem, learners, minibatch),
            device: batch.obs.device(),
        })
    }

    /// Takes one step per minibatch; a minibatch lists indices of samples.
    ///
    /// # Panics
    /// If a minibatch is larger than announced in [`new`](Self::new).
    pub fn epoch(&mut self, minibatches: &[Vec<i32>], step: HostStep) -> Vec<StepDiagnostics> {
        self.descent.epoch(minibatches, step)
    }

    /// Returns the parameters to the networks, and the optimisers.
    pub fn finish(self, actor: &mut Net, critic: &mut Net) -> [Adam; 2] {
        let [of_actor, of_critic] = self.descent.finish();
        [
            hand_back(of_actor, actor, &self.device),
            hand_back(of_critic, critic, &self.device),
        ]
    }
}

/// Gradient steps of a critic alone, which minimise ½ mean((V − R)²).
#[derive(Debug)]
pub struct HostCritic {
    descent: Descent,
    device: Device,
}

impl HostCritic {
    /// A learner with minibatches of at most `minibatch` samples. `value_clip` as in [`ActorCriticLoss`]. `None` if
    /// passes through the network are not fused.
    pub fn new(
        critic: &Critic,
        batch: &Batch,
        minibatch: usize,
        adam: Adam,
        value_clip: f32,
    ) -> Option<Self> {
        critic.net.mlp_shape()?;
        let loss = ActorCriticLoss {
            surrogate: Surrogate::LogProb,
            value_clip,
            value_coef: 1.0,
            entropy_coef: 0.0,
            standardize: false,
        };
        let samples = samples(&critic.obs_norm, batch)?;
        let problem = Problem::new(None, samples, &loss);
        let learners = [None, Some(learner(&critic.net, adam)?)];
        Some(Self {
            descent: Descent::new(problem, learners, minibatch),
            device: batch.obs.device(),
        })
    }

    /// Takes one step per minibatch; returns the losses before the steps. Gradients are scaled down to norm
    /// `max_grad_norm` if they are longer (0: never).
    ///
    /// # Panics
    /// If a minibatch is larger than announced in [`new`](Self::new).
    pub fn epoch(
        &mut self,
        minibatches: &[Vec<i32>],
        learning_rate: f64,
        max_grad_norm: f64,
    ) -> Vec<f32> {
        let step = HostStep {
            learning_rates: [learning_rate; 2],
            max_grad_norm,
            joint_norm: false,
        };
        let steps = self.descent.epoch(minibatches, step);
        steps.into_iter().map(|step| step.value_loss).collect()
    }

    /// Returns the parameters to the network, and the optimiser.
    pub fn finish(self, critic: &mut Net) -> Adam {
        let [_, learnt] = self.descent.finish();
        hand_back(learnt, critic, &self.device)
    }
}

fn samples(norm: &Option<ObsNorm>, batch: &Batch) -> Option<Samples> {
    let here = batch.sequences.is_none() && on_host(&batch.advantages);
    here.then(|| slices::samples(norm, batch))
}

fn hand_back(learnt: Option<(adam::Adam, Vec<f32>)>, net: &mut Net, device: &Device) -> Adam {
    let (adam, params) = learnt.unwrap_or_else(|| unreachable!("a network that learnt"));
    let len = [params.len()];
    *net = net.with_flat(tensor(params, len, device));
    slices::adam(adam, device)
}
