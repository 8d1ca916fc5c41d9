//! What kernels are compiled for, and what they are told.

use super::backend::BUFFERS;
use super::layers::{Layers, UNITS};
use super::plan::{Plan, scalar};
use super::{on_cube, on_device, shared_memory};
use crate::{
    ops::{ActorCriticLoss, HostStep, Surrogate, row_dist},
    optim::Adam,
    policy::{Actor, Critic},
    rollout::Batch,
};
use uphill_cpu::dist::RowDist;

/// Sizes of an update of `agents` like these on `minibatches` equal parts of the batch of each; `None` where there are no
/// kernels for it. The batch has those of all agents, one after the other.
pub(super) fn plan(
    (actor, critic): (&Actor, &Critic),
    batch: &Batch,
    [agents, minibatches]: [usize; 2],
    loss: &ActorCriticLoss,
) -> Option<Plan> {
    let shapes = [actor.net.perceptron()?, critic.net.perceptron()?];
    let dist = known_dist(actor)?;
    let shared = shared_memory(&batch.obs.device(), BUFFERS, UNITS)?;
    let known = matches!(
        loss.surrogate,
        Surrogate::LogProb | Surrogate::Clipped { .. }
    );
    let whole = batch.sequences.is_none() && batch.len().is_multiple_of(agents * minibatches);
    if !known || !whole || !on_device(&batch.obs) {
        return None;
    }
    let sizes = [agents, batch.len() / agents, minibatches];
    let layers = [Layers::new(shapes[0])?, Layers::new(shapes[1])?];
    for layers in &layers {
        assert_eq!(batch.obs.dims()[1], layers.inputs(0), "columns of obs");
    }
    let width = if dist.is_one_choice() {
        1
    } else {
        layers[0].heads()
    };
    assert_eq!(batch.actions.dims()[1], width, "columns of actions");
    let loss = ActorCriticLoss {
        // A minibatch of one has no spread.
        standardize: loss.standardize && batch.len() > agents * minibatches,
        ..loss.clone()
    };
    Plan::new(layers, dist, &loss, sizes, shared)
}

/// Whether there are kernels for gradient steps of this actor and critic; `None` where they live on no GPU.
pub fn device_knows(actor: &Actor, critic: &Critic) -> Option<bool> {
    let device = actor.net.device();
    on_cube(&device)?;
    let plan = || {
        let shared = shared_memory(&device, BUFFERS, UNITS)?;
        let shapes = [actor.net.perceptron()?, critic.net.perceptron()?];
        let layers = [Layers::new(shapes[0])?, Layers::new(shapes[1])?];
        let loss = ActorCriticLoss {
            surrogate: Surrogate::LogProb,
            value_clip: 0.0,
            value_coef: 1.0,
            entropy_coef: 0.0,
            standardize: false,
        };
        Plan::new(layers, known_dist(actor)?, &loss, [1, 1, 1], shared)
    };
    Some(plan().is_some())
}

/// A policy's distribution, if kernels know it.
fn known_dist(actor: &Actor) -> Option<RowDist> {
    let dist = row_dist(&actor.kind, actor.net.perceptron()?.log_stds)?;
    (dist == RowDist::Gaussian || dist.is_one_choice()).then_some(dist)
}

/// The numbers at [`scalar`].
pub(super) fn scalars(loss: &ActorCriticLoss, step: HostStep, adam: &Adam) -> [f32; scalar::COUNT] {
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
    set(scalar::BETA1, adam.beta1);
    set(scalar::BETA2, adam.beta2);
    set(scalar::EPSILON, adam.epsilon);
    set(scalar::JOINT_NORM, f64::from(u8::from(step.joint_norm)));
    set(scalar::UNBIAS1, 1.0 - adam.beta1.powf(adam.steps as f64));
    set(scalar::UNBIAS2, 1.0 - adam.beta2.powf(adam.steps as f64));
    scalars
}
