//! A value function fitted by itself, after the policy has moved.

use crate::optimizer::descend;
use burn::tensor::Tensor;
use uphill_core::{loss::value_loss, ops::HostCritic, optim::Rule, policy::Critic, rollout::Batch};

/// `steps` steps of `rule` on ½ mean (V − R)² over the whole batch. Returns the loss `[1]` before the
/// first (zero without steps).
pub fn fit_values(
    critic: &mut Critic,
    rule: &mut Rule,
    batch: &Batch,
    steps: usize,
    learning_rate: f64,
) -> Tensor<1> {
    if let Rule::Adam(adam) = rule
        && let Some(mut host) = HostCritic::new(critic, batch, batch.len(), adam.clone(), 0.0)
    {
        let all = [(0..batch.len() as i32).collect()];
        let losses: Vec<f32> = (0..steps)
            .flat_map(|_| host.epoch(&all, learning_rate, 0.0))
            .collect();
        *adam = host.finish(&mut critic.net);
        let before = losses.first().copied().unwrap_or_default();
        return Tensor::from_data([before], &batch.obs.device());
    }
    let mut before = None;
    for _ in 0..steps {
        let net = critic.net.tracked();
        let values = critic.with_net(net.clone()).values_on(batch);
        let loss = value_loss(values, batch.returns.clone());
        let grad = net.flat_grad(&loss.backward());
        before.get_or_insert(loss.without_autodiff());
        descend(&mut critic.net, rule, grad, learning_rate, 0.0);
    }
    before.unwrap_or_else(|| batch.returns.clone().narrow(0, 0, 1).zeros_like())
}
