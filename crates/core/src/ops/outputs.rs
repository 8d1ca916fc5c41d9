//! Gradients of networks that compute on tensors, with the loss in a loop.

use super::slices::{row_dist, tensor, values, with_obs};
use super::{ActorCriticLoss, StepDiagnostics, Surrogate, on_host};
use crate::{
    network::Net,
    policy::{Actor, Critic},
    rollout::Batch,
};
use burn::tensor::Tensor;
use uphill_cpu::{dist::RowDist, outputs::output_gradient, rows::Rows};

/// Gradients of `loss` over the batch with respect to the parameters of actor and critic, `[P]` each, and diagnostics,
/// for any networks: autodiff carries the loss's gradient with respect to their outputs back through them, both at
/// once. `None` unless the policy is categorical, the tensors lie in host memory, and the loss has no KL penalty.
pub fn gradient_through_outputs(
    actor: &Actor,
    critic: &Critic,
    batch: &Batch,
    loss: &ActorCriticLoss,
) -> Option<([Tensor<1>; 2], StepDiagnostics)> {
    let Some(RowDist::Categorical(choices)) = row_dist(&actor.kind, 0) else {
        return None;
    };
    if matches!(loss.surrogate, Surrogate::Penalised { .. }) || !on_host(&batch.advantages) {
        return None;
    }
    let nets = [actor.net.tracked(), critic.net.tracked()];
    let (actor, critic) = (
        actor.with_net(nets[0].clone()),
        critic.with_net(nets[1].clone()),
    );
    let (of_actor, of_critic) = (batch.clone(), batch.clone());
    let (logits, state_values) = rayon::join(
        move || actor.dist_params_on(&of_actor),
        move || critic.values_on(&of_critic),
    );
    let device = batch.obs.device();
    let outputs = [
        values(logits.clone().without_autodiff()),
        values(state_values.clone().without_autodiff()),
    ];
    let samples = with_obs(Rows::Floats(vec![]), batch);
    let gradient = output_gradient(choices, samples, loss, outputs.each_ref().map(|x| &x[..]))?;
    let seeds = (
        tensor(gradient.logits, logits.dims(), &device).autodiff(),
        tensor(gradient.values, state_values.dims(), &device).autodiff(),
    );
    let [actor_net, critic_net] = nets;
    let (of_actor, of_critic) = rayon::join(
        move || through(&actor_net, (logits * seeds.0).sum()),
        move || through(&critic_net, (state_values * seeds.1).sum()),
    );
    Some(([of_actor, of_critic], gradient.means))
}

fn through(net: &Net, product: Tensor<1>) -> Tensor<1> {
    net.flat_grad(&product.backward())
}
