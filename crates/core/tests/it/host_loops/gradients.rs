//! Gradients without a step.

use super::*;

#[test]
fn the_policy_gradient_is_that_of_autodiff() {
    for seed in 0..30 {
        let mut rng = SmallRng::seed_from_u64(seed);
        let actions = one_of([Choices, Masked, Several, Reals, Bounded], &mut rng);
        let len = one_of([5, 64, 100, 300, 500], &mut rng);
        let shape = Shape::any(&mut rng);
        let (actor, critic) = agent(actions, &shape, &mut rng);
        let batch = batch(&actor, len, shape.inputs, &mut rng);
        let loss = ActorCriticLoss {
            surrogate: Surrogate::LogProb,
            value_clip: 0.0,
            value_coef: 0.3,
            entropy_coef: 0.05,
            standardize: false,
        };
        let (grads, means) = actor_critic_gradient(&actor, &critic, &batch, &loss).unwrap();

        let (actor_net, critic_net) = (actor.net.tracked(), critic.net.tracked());
        let dist = actor.with_net(actor_net.clone()).dist_on(&batch);
        let values = critic.with_net(critic_net.clone()).values_on(&batch);
        let log_probs = dist.log_prob(batch.actions.clone());
        let surrogate = policy_gradient_surrogate(log_probs, batch.advantages.clone());
        let (value, entropy) = (value_loss(values, batch.returns), dist.entropy().mean());
        let total = value.clone() * 0.3 - surrogate.clone() - entropy.clone() * 0.05;
        let expected = total.backward();
        let [of_actor, of_critic] = grads;
        same(
            &numbers(of_actor),
            &numbers(actor_net.flat_grad(&expected)),
            "actor's gradient",
        );
        same(
            &numbers(of_critic),
            &numbers(critic_net.flat_grad(&expected)),
            "critic's gradient",
        );
        let expected = [surrogate, value, entropy].map(Tensor::without_autodiff);
        let found = [means.surrogate, means.value_loss, means.entropy];
        same(
            &wide(&found),
            &numbers(Tensor::cat(expected.to_vec(), 0)),
            "measurement",
        );
    }
}

/// Through networks of any kind, for the losses that loops know of categorical policies.
#[test]
fn gradients_through_outputs_are_those_of_autodiff() {
    for seed in 0..30 {
        let mut rng = SmallRng::seed_from_u64(seed);
        let actions = one_of([Choices, Masked, Several], &mut rng);
        let len = one_of([5, 64, 100, 300], &mut rng);
        let shape = Shape::any(&mut rng);
        let own = [true, seed % 2 == 0];
        let (mut actor, critic) = agent_of(own[0], actions, &shape, &mut rng);
        if !own[1] {
            (actor, _) = agent_of(own[1], actions, &shape, &mut rng);
        }
        let batch = batch(&actor, len, shape.inputs, &mut rng);
        let surrogate = match seed % 3 {
            0 => loss::Surrogate::LogProb,
            _ => loss::Surrogate::Clipped { clip: 0.2 },
        };
        let loss = loss::ActorCriticLoss {
            surrogate,
            value_clip: [0.0, 0.3][seed as usize % 2],
            value_coef: 0.3,
            entropy_coef: 0.05,
            standardize: seed % 3 == 1,
        };
        let (grads, means) =
            gradient_through_outputs(&actor, &critic, &batch, &loss.in_f32()).unwrap();

        let nets = [actor.net.tracked(), critic.net.tracked()];
        let tracked = (
            &actor.with_net(nets[0].clone()),
            &critic.with_net(nets[1].clone()),
        );
        let parts = loss.on(tracked, &actor, &batch);
        let expected = parts.total.backward();
        for (found, net) in grads.into_iter().zip(&nets) {
            let expected = numbers(net.flat_grad(&expected));
            same_by_largest(1e-4, &numbers(found), &expected, "gradient");
        }
        let expected = [parts.surrogate, parts.value_loss, parts.entropy];
        let found = [means.surrogate, means.value_loss, means.entropy];
        let expected = numbers(Tensor::cat(expected.to_vec(), 0));
        same(&wide(&found), &expected, "measurement");
    }
}

/// Their networks have memory, which loops have not.
#[test]
fn sequences_are_left_to_tensors() {
    let mut rng = SmallRng::seed_from_u64(1);
    let shape = Shape::any(&mut rng);
    let (actor, critic) = agent(Choices, &shape, &mut rng);
    let mut batch = batch(&actor, 9, shape.inputs, &mut rng);
    let adam = Adam::new(critic.net.num_params(), 1e-5, &device());
    let learner = |batch: &Batch| HostCritic::new(&critic, batch, 3, adam.clone(), 0.0);
    assert!(learner(&batch).is_some());
    let obs = observations([9, shape.inputs], &mut rng);
    batch.sequences = Some(Sequences {
        obs: obs.unsqueeze_dim::<3>(1).into(),
        keep: Tensor::ones([9, 1], &device()),
        memory: Memory::default(),
        rows: None,
    });
    assert!(learner(&batch).is_none());
}

#[test]
fn losses_that_need_more_than_outputs_are_left_to_tensors() {
    let mut rng = SmallRng::seed_from_u64(1);
    let shape = Shape::any(&mut rng);
    let refused = |actions, surrogate, rng: &mut SmallRng| {
        let (actor, critic) = agent_of(true, actions, &shape, rng);
        let batch = batch(&actor, 9, shape.inputs, rng);
        let loss = loss(surrogate, 0.0, false);
        gradient_through_outputs(&actor, &critic, &batch, &loss).is_none()
    };
    let (clip, kl_coef) = (0.2, 1.0);
    assert!(!refused(Choices, Surrogate::Clipped { clip }, &mut rng));
    let penalised = Surrogate::Penalised { kl_coef, clip };
    assert!(refused(Choices, penalised, &mut rng));
    assert!(refused(Reals, Surrogate::Clipped { clip }, &mut rng));
}
