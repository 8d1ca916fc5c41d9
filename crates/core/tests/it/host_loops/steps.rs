//! Gradient steps, minibatch by minibatch.

use super::*;

/// Settings of a comparison.
#[derive(Clone, Copy, Debug)]
struct Case {
    actions: Actions,
    /// β of a KL penalty instead of clipped ratios.
    kl_coef: Option<f64>,
    /// Minibatches, one after the other.
    steps: usize,
    /// Of each.
    len: usize,
    value_clip: f64,
    standardize: bool,
    max_grad_norm: f64,
    joint: bool,
    seed: u64,
}

impl Case {
    fn loss(&self) -> ActorCriticLoss {
        let clip = 0.2;
        let surrogate = match self.kl_coef.map(|kl_coef| kl_coef as f32) {
            None => Surrogate::Clipped { clip },
            Some(kl_coef) => Surrogate::Penalised { kl_coef, clip },
        };
        loss(surrogate, self.value_clip as f32, self.standardize)
    }

    fn step(&self) -> HostStep {
        step(self.max_grad_norm, self.joint)
    }
}

/// A step of both networks through the graph of the loss on Burn's operations; returns what was measured. `old`
/// is the policy that acted.
fn by_autodiff(
    (actor, critic): (&mut Actor, &mut Critic),
    old: &Actor,
    batch: &Batch,
    adams: &mut [Adam; 2],
    case: Case,
) -> Vec<f64> {
    let loss = case.loss();
    let (actor_net, critic_net) = (actor.net.tracked(), critic.net.tracked());
    let dist = actor.with_net(actor_net.clone()).dist_on(batch);
    let values = critic.with_net(critic_net.clone()).values_on(batch);
    let advantages = if case.standardize {
        standardize(batch.advantages.clone())
    } else {
        batch.advantages.clone()
    };
    let log_ratios = dist.log_prob(batch.actions.clone()) - batch.log_probs.clone();
    let surrogate = match case.kl_coef {
        None => clipped_surrogate(log_ratios.clone(), advantages, 0.2),
        Some(kl_coef) => {
            let kl = old.dist_on(batch).kl(&dist).mean();
            ratio_surrogate(log_ratios.clone(), advantages) - kl * kl_coef
        }
    };
    let (before, targets) = (batch.values.clone(), batch.returns.clone());
    let value = if case.value_clip > 0.0 {
        clipped_value_loss(values, before, targets, case.value_clip)
    } else {
        value_loss(values, targets)
    };
    let entropy = dist.entropy().mean();
    let total = value.clone() * loss.value_coef - surrogate.clone() - entropy.clone() * 0.05;
    let grads = total.backward();
    let grads = [actor_net.flat_grad(&grads), critic_net.flat_grad(&grads)];
    let limit = case.max_grad_norm;
    let both = Tensor::cat(grads.to_vec(), 0);
    let split = actor.net.num_params();
    let (joint, norm) = clip_grad_norm(both, limit);
    let clipped = if case.joint {
        let rest = joint.dims()[0] - split;
        [
            joint.clone().narrow(0, 0, split),
            joint.narrow(0, split, rest),
        ]
    } else {
        grads.map(|grad| clip_grad_norm(grad, limit).0)
    };
    let [of_actor, of_critic] = clipped;
    let params = adams[0].step(actor.net.flat(), of_actor, 1e-2);
    actor.net = actor.net.with_flat(params);
    let params = adams[1].step(critic.net.flat(), of_critic, 3e-3);
    critic.net = critic.net.with_flat(params);
    let log_ratios = log_ratios.without_autodiff();
    let measured = vec![
        surrogate.without_autodiff(),
        value.without_autodiff(),
        entropy.without_autodiff(),
        approx_kl(log_ratios.clone()),
        clip_fraction(log_ratios, 0.2),
        norm,
    ];
    numbers(Tensor::cat(measured, 0))
}

/// Moments that are not zero any more, but small: what a step adds to them is not lost in them. With an ε as large
/// as gradients are, a step has the size of its gradient, and rounding of a small one does not decide its sign.
fn used_adam(net: &Net, rng: &mut SmallRng) -> Adam {
    let mut adam = Adam::new(net.num_params(), 1e-2, &device());
    adam.first = random([net.num_params()], rng) * 1e-2;
    adam.second = random([net.num_params()], rng).square() * 1e-8;
    adam.steps = 7;
    adam
}

/// Samples that are `parts` apart, from the last on.
fn strided(len: usize, parts: usize) -> Vec<Vec<i32>> {
    let part = |p: usize| (0..len).rev().map(|i| (i * parts + p) as i32).collect();
    (0..parts).rev().map(part).collect()
}

fn chosen(batch: &Batch, rows: &[i32]) -> Batch {
    let data = TensorData::new(rows.to_vec(), [rows.len()]);
    batch.select(Tensor::<1, Int>::from_data(data, &device()))
}

fn compare(case: Case) {
    let mut rng = SmallRng::seed_from_u64(case.seed);
    let shape = Shape::any(&mut rng);
    let what = |of: &str| format!("{of}, {case:?}, {shape:?}");
    let (mut actor, mut critic) = agent(case.actions, &shape, &mut rng);
    let batch = batch(&actor, 2 * case.len, shape.inputs, &mut rng);
    let mut adams = [&actor.net, &critic.net].map(|net| used_adam(net, &mut rng));

    let parts = &strided(case.len, 2)[..case.steps];
    let (loss, adams_before) = (case.loss(), adams.clone());
    let before = [&actor.net, &critic.net].map(Net::flat);
    let learner = HostLearner::new(
        &actor,
        &critic,
        &batch,
        case.len,
        adams_before.clone(),
        &loss,
    );
    let mut learner = learner.unwrap();
    let steps = learner.epoch(parts, case.step());
    let (mut found_actor, mut found_critic) = (actor.net.clone(), critic.net.clone());
    let found_adams = learner.finish(&mut found_actor, &mut found_critic);

    let old = actor.clone();
    for (found, rows) in steps.iter().zip(parts) {
        let agent = (&mut actor, &mut critic);
        let expected = by_autodiff(agent, &old, &chosen(&batch, rows), &mut adams, case);
        let found = [
            found.surrogate,
            found.value_loss,
            found.entropy,
            found.approx_kl,
            found.clip_fraction,
            found.grad_norm,
        ];
        same(&wide(&found), &expected, &what("measurement"));
    }
    let found = [found_actor, found_critic].into_iter().zip(found_adams);
    let expected = [actor.net, critic.net].into_iter().zip(adams);
    let before = before.into_iter().zip(adams_before);
    let all = found.zip(expected).zip(before);
    for ((((net, adam), (of_net, of_adam)), (params, moments)), whose) in
        all.zip(["actor's", "critic's"])
    {
        let what = |of| what(&format!("{whose} {of}"));
        let (first, second) = (&moments.first, &moments.second);
        same_change(adam.first, of_adam.first, first, &what("first moment"));
        same_change(adam.second, of_adam.second, second, &what("second moment"));
        same_change(net.flat(), of_net.flat(), &params, &what("parameter"));
        assert_eq!(adam.steps, of_adam.steps);
    }
}

/// The same cases in every run: where a rounded zero decides on which side of a kink a sample is, a gradient is
/// another one.
#[test]
fn a_step_is_that_of_autodiff() {
    for seed in 0..60 {
        let mut rng = SmallRng::seed_from_u64(seed + 1000);
        compare(Case {
            actions: one_of([Choices, Masked, Several, Reals, Bounded], &mut rng),
            kl_coef: None,
            steps: 1,
            len: one_of([2, 7, 64, 128, 129, 300, 700], &mut rng),
            value_clip: one_of([0.0, 0.3], &mut rng),
            standardize: one_of([false, true], &mut rng),
            max_grad_norm: one_of([0.0, 0.05, 100.0], &mut rng),
            joint: one_of([false, true], &mut rng),
            seed,
        });
    }
}

/// In the first step the policy is still the one that acted, and nothing is penalised.
#[test]
fn penalised_steps_are_those_of_autodiff() {
    let cases = [
        (Choices, 2),
        (Choices, 129),
        (Masked, 66),
        (Several, 130),
        (Reals, 7),
        (Reals, 300),
        (Bounded, 65),
    ];
    for (seed, (actions, len)) in cases.into_iter().enumerate() {
        compare(Case {
            actions,
            kl_coef: Some(3.0),
            steps: 2,
            len,
            value_clip: 0.0,
            standardize: true,
            max_grad_norm: 0.0,
            joint: false,
            seed: seed as u64,
        });
    }
}

#[test]
fn a_critic_alone_takes_the_steps_of_autodiff() {
    for seed in 0..20 {
        let mut rng = SmallRng::seed_from_u64(seed);
        let (len, clip) = one_of([(7, 0.0), (300, 0.3), (700, 0.0)], &mut rng);
        let limit = one_of([0.0, 0.05, 0.5], &mut rng);
        let shape = Shape::any(&mut rng);
        let (actor, mut critic) = agent(Choices, &shape, &mut rng);
        let batch = batch(&actor, 3 * len, shape.inputs, &mut rng);
        let mut adam = used_adam(&critic.net, &mut rng);
        let (params, moments) = (critic.net.flat(), adam.clone());
        let parts = strided(len, 3);
        let mut host = HostCritic::new(&critic, &batch, len, adam.clone(), clip as f32).unwrap();
        let losses = host.epoch(&parts, 1e-2, limit);
        let mut found = critic.net.clone();
        let after = host.finish(&mut found);

        assert_eq!(losses.len(), parts.len());
        for (loss, rows) in losses.iter().zip(&parts) {
            let net = critic.net.tracked();
            let batch = chosen(&batch, rows);
            let values = critic.with_net(net.clone()).values_on(&batch);
            let expected = if clip > 0.0 {
                clipped_value_loss(values, batch.values, batch.returns, clip)
            } else {
                value_loss(values, batch.returns)
            };
            let grad = net.flat_grad(&expected.backward());
            let (grad, _) = clip_grad_norm(grad, limit);
            let params = adam.step(critic.net.flat(), grad, 1e-2);
            critic.net = critic.net.with_flat(params);
            same(
                &wide(&[*loss]),
                &numbers(expected.without_autodiff()),
                "loss",
            );
        }
        let what = |of| format!("{of}, case {seed}, {shape:?}");
        let (first, second) = (&moments.first, &moments.second);
        same_change(after.first, adam.first, first, &what("first moment"));
        same_change(after.second, adam.second, second, &what("second moment"));
        let expected = critic.net.flat();
        same_change(found.flat(), expected, &params, &what("parameter"));
        assert_eq!(after.steps, adam.steps);
    }
}

#[test]
fn the_number_of_threads_does_not_matter() {
    let case = Case {
        actions: Choices,
        kl_coef: None,
        steps: 2,
        len: 1500,
        value_clip: 0.2,
        standardize: true,
        max_grad_norm: 0.5,
        joint: true,
        seed: 6,
    };
    let learn = || {
        let mut rng = SmallRng::seed_from_u64(case.seed);
        let shape = Shape::any(&mut rng);
        let (mut actor, mut critic) = agent(case.actions, &shape, &mut rng);
        let batch = batch(&actor, 2 * case.len, shape.inputs, &mut rng);
        let adams =
            [&actor.net, &critic.net].map(|net| Adam::new(net.num_params(), 1e-5, &device()));
        let loss = case.loss();
        let learner = HostLearner::new(&actor, &critic, &batch, case.len, adams, &loss);
        let mut learner = learner.unwrap();
        let halves: Vec<Vec<i32>> = vec![(0..1500).collect(), (1500..3000).collect()];
        let steps = learner.epoch(&halves, case.step());
        learner.finish(&mut actor.net, &mut critic.net);
        (steps, numbers(actor.net.flat()), numbers(critic.net.flat()))
    };
    same_on_any_threads(learn);
}

#[test]
fn a_number_that_is_not_finite_shows() {
    let mut rng = SmallRng::seed_from_u64(3);
    let shape = Shape::any(&mut rng);
    let (actor, critic) = agent(Reals, &shape, &mut rng);
    let mut batch = batch(&actor, 10, shape.inputs, &mut rng);
    batch.advantages = batch.advantages * f32::NAN;
    let adams = [&actor.net, &critic.net].map(|net| Adam::new(net.num_params(), 1e-5, &device()));
    let loss = ActorCriticLoss {
        surrogate: Surrogate::Clipped { clip: 0.2 },
        value_clip: 0.0,
        value_coef: 0.5,
        entropy_coef: 0.0,
        standardize: false,
    };
    let step = HostStep {
        learning_rates: [1e-3; 2],
        max_grad_norm: 0.5,
        joint_norm: true,
    };
    let mut learner = HostLearner::new(&actor, &critic, &batch, 10, adams, &loss).unwrap();
    let measured = learner.epoch(&[(0..10).collect()], step)[0];
    assert!(measured.surrogate.is_nan() && measured.grad_norm.is_nan());
}
