//! Setup of an update: networks, sizes of kernels, scalars.

use crate::buffers::Samples;
use crate::device::{has_kernels, on_device, shared_memory};
use crate::layers::{Layers, UNITS};
use crate::plan::{Plan, scalar};
use burn::tensor::Device;
use uphill_cpu::{
    descent::HostStep,
    dist::RowDist,
    loss::{ActorCriticLoss, Surrogate},
    shape::MlpShape,
};

/// Number of buffers of the gradient kernel, which has the most.
pub(crate) const BUFFERS: u32 = 12;

/// Shapes of an update's networks.
#[derive(Clone, Copy, Debug)]
pub struct Networks<'a> {
    /// Network of the policy.
    pub actor: &'a MlpShape,
    /// Network of the value function.
    pub critic: &'a MlpShape,
    /// Distribution of the policy.
    pub dist: RowDist,
}

impl Networks<'_> {
    fn layers(&self) -> Option<[Layers; 2]> {
        Some([Layers::new(self.actor)?, Layers::new(self.critic)?])
    }

    /// Whether kernels support the distribution.
    fn has_known_dist(&self) -> bool {
        self.dist == RowDist::Gaussian || self.dist.is_one_choice()
    }

    /// Sizes of an update of `agents` like these, with `minibatches` minibatches of each agent's batch; `None` if there
    /// are no kernels for it. `samples` are those of all agents.
    pub(crate) fn plan(
        &self,
        samples: &Samples,
        [agents, minibatches]: [usize; 2],
        loss: &ActorCriticLoss,
    ) -> Option<Plan> {
        let shared = shared_memory(&samples.obs.device(), BUFFERS, UNITS)?;
        let known = self.has_known_dist()
            && matches!(
                loss.surrogate,
                Surrogate::LogProb | Surrogate::Clipped { .. }
            );
        let whole = samples.len().is_multiple_of(agents * minibatches);
        if !known || !whole || !on_device(&samples.obs) {
            return None;
        }
        let layers = self.layers()?;
        for layers in &layers {
            assert_eq!(samples.obs.dims()[1], layers.inputs(0), "columns of obs");
        }
        let width = if self.dist.is_one_choice() {
            1
        } else {
            layers[0].heads()
        };
        assert_eq!(samples.actions.dims()[1], width, "columns of actions");
        let loss = ActorCriticLoss {
            // A minibatch of one sample has no spread.
            standardize: loss.standardize && samples.len() > agents * minibatches,
            ..loss.clone()
        };
        let sizes = [agents, samples.len() / agents, minibatches];
        Plan::new(layers, self.dist, &loss, sizes, shared)
    }

    /// Whether there are kernels for gradient steps of these networks; `None` if the device has none at all.
    pub fn are_known(&self, device: &Device) -> Option<bool> {
        if !has_kernels(device) {
            return None;
        }
        let plan = || {
            let shared = shared_memory(device, BUFFERS, UNITS)?;
            let loss = ActorCriticLoss {
                surrogate: Surrogate::LogProb,
                value_clip: 0.0,
                value_coef: 1.0,
                entropy_coef: 0.0,
                standardize: false,
            };
            Plan::new(self.layers()?, self.dist, &loss, [1, 1, 1], shared)
        };
        Some(self.has_known_dist() && plan().is_some())
    }
}

/// Adam's settings, and its number of steps.
#[derive(Clone, Copy, Debug)]
pub struct AdamRule {
    /// Decay rates of the first and the second moment.
    pub betas: [f64; 2],
    /// Constant added to √v̂.
    pub epsilon: f64,
    /// Number of steps taken.
    pub steps: u64,
}

/// The scalars at the positions in [`scalar`].
pub(crate) fn scalars(
    loss: &ActorCriticLoss,
    step: HostStep,
    adam: AdamRule,
) -> [f32; scalar::COUNT] {
    let mut scalars = [0.0; scalar::COUNT];
    let mut set = |at: usize, value: f64| scalars[at] = value as f32;
    if let Surrogate::Clipped { clip } = loss.surrogate {
        set(scalar::CLIP, f64::from(clip));
    }
    set(scalar::VALUE_CLIP, f64::from(loss.value_clip));
    set(scalar::VALUE_COEF, f64::from(loss.value_coef));
    set(scalar::ENTROPY_COEF, f64::from(loss.entropy_coef));
    set(scalar::MAX_GRAD_NORM, step.max_grad_norm);
    set(scalar::RATE, step.learning_rates[0]);
    set(scalar::CRITIC_RATE, step.learning_rates[1]);
    set(scalar::BETA1, adam.betas[0]);
    set(scalar::BETA2, adam.betas[1]);
    set(scalar::EPSILON, adam.epsilon);
    set(scalar::JOINT_NORM, f64::from(u8::from(step.joint_norm)));
    let unbias = |beta: f64| 1.0 - beta.powf(adam.steps as f64);
    set(scalar::UNBIAS1, unbias(adam.betas[0]));
    set(scalar::UNBIAS2, unbias(adam.betas[1]));
    scalars
}
