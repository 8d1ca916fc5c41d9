//! Gradient steps of a critic alone, towards returns.

use crate::{
    optimizer::descend,
    random::{Order, index_tensor},
};
use burn::tensor::Tensor;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use uphill_core::{
    loss::value_loss_on,
    ops::HostCritic,
    optim::Rule,
    peers::{self, Peers},
    policy::Critic,
    rollout::Batch,
};

/// Settings of the steps of a value fit.
#[derive(Clone, Copy, Debug)]
pub struct ValueSteps {
    /// Number of passes over the batch.
    pub epochs: usize,
    /// Number of minibatches per pass.
    pub minibatches: usize,
    /// Order of the samples in the first pass; later passes use that of the following epochs. `None`: the order of the
    /// batch.
    pub order: Option<Order>,
    /// Learning rate of the update rule.
    pub learning_rate: f64,
    /// Norm to which longer gradients are scaled down; 0: never.
    pub max_grad_norm: f64,
    /// Bound to which the change of the values is clipped, ±this; 0: never.
    pub value_clip: f64,
}

/// Losses `[1]` of the steps of a fit, each measured before its step.
#[derive(Clone, Debug)]
pub struct ValueLosses {
    /// Loss of the first step; 0 if there was none.
    pub first: Tensor<1>,
    /// Mean over all steps.
    pub mean: Tensor<1>,
}

impl ValueSteps {
    /// One step on the whole batch in its order.
    pub fn whole(learning_rate: f64) -> Self {
        Self {
            epochs: 1,
            minibatches: 1,
            order: None,
            learning_rate,
            max_grad_norm: 0.0,
            value_clip: 0.0,
        }
    }

    /// Minibatches of a pass over `units` samples or sequences; `None`: the batch unchanged.
    fn minibatches(&self, units: usize, epoch: usize) -> Option<Vec<Vec<i32>>> {
        let first = self.order?;
        let order = Order {
            epoch: first.epoch + epoch,
            ..first
        };
        Some(order.minibatches(units, self.minibatches))
    }
}

/// Moves V towards the returns of the batch by minimising ½ mean((V − R)²) or its clipped form, with steps of `rule`.
/// Ends after the pass in which `stop` is set.
pub fn fit_values(
    critic: &mut Critic,
    rule: &mut Rule,
    batch: &Batch,
    steps: ValueSteps,
    (peers, stop): (&dyn Peers, &AtomicBool),
) -> ValueLosses {
    let fast = match rule {
        Rule::Adam(adam) if peers.size() == 1 => {
            let (minibatch, clip) = (batch.len() / steps.minibatches, steps.value_clip as f32);
            HostCritic::new(critic, batch, minibatch, adam.clone(), clip).map(|host| (host, adam))
        }
        _ => None,
    };
    let Some((mut host, adam)) = fast else {
        return on_tensors(critic, rule, batch, steps, (peers, stop));
    };
    let whole = || vec![(0..batch.len() as i32).collect()];
    let mut losses = vec![];
    for epoch in 0..steps.epochs {
        let minibatches = steps
            .minibatches(batch.units(), epoch)
            .unwrap_or_else(whole);
        losses.extend(host.epoch(&minibatches, steps.learning_rate, steps.max_grad_norm));
        if stop.load(Relaxed) {
            break;
        }
    }
    *adam = host.finish(&mut critic.net);
    let mean = losses.iter().sum::<f32>() / losses.len() as f32;
    let first = losses.first().copied().unwrap_or_default();
    let scalar = |x: f32| Tensor::from_data([x], &batch.obs.device());
    ValueLosses {
        first: scalar(first),
        mean: scalar(mean),
    }
}

/// The reference, on tensors.
fn on_tensors(
    critic: &mut Critic,
    rule: &mut Rule,
    batch: &Batch,
    steps: ValueSteps,
    (peers, stop): (&dyn Peers, &AtomicBool),
) -> ValueLosses {
    let mut losses = vec![];
    let mut step = |batch: &Batch| {
        let (loss, grad) = value_gradient(critic, batch, steps.value_clip, peers);
        let (rate, max_norm) = (steps.learning_rate, steps.max_grad_norm);
        descend(&mut critic.net, rule, grad, rate, max_norm);
        losses.push(loss);
    };
    for epoch in 0..steps.epochs {
        match steps.minibatches(batch.units(), epoch) {
            None => step(batch),
            Some(parts) => parts
                .into_iter()
                .for_each(|part| step(&batch.select(index_tensor(part, &batch.obs.device())))),
        }
        if stop.load(Relaxed) {
            break;
        }
    }
    let zero = || batch.returns.clone().narrow(0, 0, 1).zeros_like();
    let first = losses.first().cloned().unwrap_or_else(zero);
    ValueLosses {
        mean: if losses.is_empty() {
            zero()
        } else {
            Tensor::cat(losses, 0).mean()
        },
        first,
    }
}

/// The value loss `[1]` over the samples of all processes, and its gradient with respect to the critic's parameters
/// `[P]`.
pub(crate) fn value_gradient(
    critic: &Critic,
    batch: &Batch,
    value_clip: f64,
    peers: &dyn Peers,
) -> (Tensor<1>, Tensor<1>) {
    let net = critic.net.tracked();
    let values = critic.with_net(net.clone()).values_on(batch);
    let loss = value_loss_on(values, batch, value_clip);
    let grad = net.flat_grad(&loss.backward());
    let loss = loss.without_autodiff();
    let mean = |x| peers::mean_over(peers, x, batch.len());
    (mean(loss), mean(grad))
}
