//! Acting and learning in host memory against the same on tensors.

use crate::{
    device::device,
    fused::{loss, random, random_values, same_by_largest, same_on_any_threads, same_to, step},
    numbers,
};
use burn::tensor::{Int, Tensor, TensorData};
use rand::{Rng, SeedableRng, rngs::SmallRng};
use uphill_core::{
    advantage::standardize,
    dist::{Bounds, DistKind},
    heads,
    loss::{
        self, approx_kl, clip_fraction, clipped_surrogate, clipped_value_loss,
        policy_gradient_surrogate, ratio_surrogate, value_loss,
    },
    network::{Net, Network, WithLogStd},
    nn::{Activation, MlpConfig},
    normalize::ObsNorm,
    ops::{
        ActorCriticLoss, HostCritic, HostLearner, HostPolicy, HostStep, Surrogate,
        actor_critic_gradient, gradient_through_outputs, host_values,
    },
    optim::{Adam, clip_grad_norm},
    policy::{Actor, Critic},
    recurrent::GruNet,
    rollout::Batch,
};

/// Actions of a policy.
#[derive(Clone, Copy, Debug)]
enum Actions {
    Choices,
    /// Of which some are forbidden.
    Masked,
    /// Several at once.
    Several,
    Reals,
    /// Squashed by tanh.
    Bounded,
}
use Actions::{Bounded, Choices, Masked, Reals, Several};

/// Of the networks of actor and critic, and of what goes in and out.
#[derive(Clone, Debug)]
struct Shape {
    inputs: usize,
    hidden: Vec<usize>,
    activation: Activation,
    /// Alternatives of one choice or several, or real components.
    width: usize,
}

/// A number of `from` to `to`.
fn draw(from: usize, to: usize, rng: &mut SmallRng) -> usize {
    from + rng.next_u32() as usize % (to - from + 1)
}

fn one_of<T: Copy, const N: usize>(values: [T; N], rng: &mut SmallRng) -> T {
    values[draw(0, N - 1, rng)]
}

impl Shape {
    /// On all sides of whole vectors and panels; a layer is wide now and then.
    fn any(rng: &mut SmallRng) -> Self {
        let layer = |rng: &mut SmallRng| match draw(0, 9, rng) {
            0 => 256,
            _ => draw(1, 80, rng),
        };
        Self {
            inputs: draw(1, 20, rng),
            hidden: (0..draw(0, 3, rng)).map(|_| layer(rng)).collect(),
            activation: one_of([Activation::Tanh, Activation::Relu], rng),
            width: draw(1, 8, rng),
        }
    }
}

/// One of one alternative, one of two, and so on, `width` in all.
fn some_choices(width: usize) -> Vec<usize> {
    let (mut choices, mut left) = (vec![], width);
    while left > 0 {
        choices.push(left.min(choices.len() + 1));
        left -= choices[choices.len() - 1];
    }
    choices
}

/// A policy and a value function that have seen some observations.
fn agent(actions: Actions, shape: &Shape, rng: &mut SmallRng) -> (Actor, Critic) {
    agent_of(false, actions, shape, rng)
}

/// An [`agent`] whose networks are perceptrons, or on Burn's operations like a module of one's own.
fn agent_of(own: bool, actions: Actions, shape: &Shape, rng: &mut SmallRng) -> (Actor, Critic) {
    let inputs = shape.inputs;
    let width = match actions {
        // A mask is a part of the observation.
        Masked => shape.width.min(inputs),
        _ => shape.width,
    };
    let config = MlpConfig {
        hidden: shape.hidden.clone(),
        activation: shape.activation,
        ..MlpConfig::default()
    };
    let net = config.build(inputs, width, 1.0, rng, &device());
    let mut actor = match actions {
        Choices => actor_of(own, net, DistKind::Categorical { choices: width }),
        // Numbers on both sides of ½ are masks as well as others.
        Masked => {
            let net = heads::Masked::new(net);
            actor_of(own, net, DistKind::Categorical { choices: width })
        }
        Several => {
            let choices = some_choices(width);
            actor_of(own, net, DistKind::MultiDiscrete { choices })
        }
        Reals => {
            let net = WithLogStd::new(net, width, -0.4, &device());
            actor_of(own, net, DistKind::Gaussian { dim: width })
        }
        Bounded => {
            let net = WithLogStd::new(net, width, -0.4, &device());
            let low: Vec<f32> = (0..width).map(|i| -1.0 - i as f32).collect();
            let bounds = Bounds::new(&low, &vec![2.0; width]).unwrap();
            actor_of(own, net, DistKind::SquashedGaussian { bounds })
        }
    };
    let mut norm = ObsNorm::new(inputs, 1.5, &device());
    norm.merge(random([50, inputs], rng));
    let critic = Critic {
        net: net_of(own, config.build(inputs, 1, 1.0, rng, &device())),
        obs_norm: Some(norm.clone()),
    };
    actor.obs_norm = Some(norm);
    (actor, critic)
}

fn net_of(own: bool, network: impl Network) -> Net {
    if own {
        Net::stock(network)
    } else {
        Net::new(network)
    }
}

fn actor_of(own: bool, network: impl Network, kind: DistKind) -> Actor {
    Actor {
        net: net_of(own, network),
        kind,
        obs_norm: None,
    }
}

/// Of which the last column allows an action, where it is a mask.
fn observations([len, inputs]: [usize; 2], rng: &mut SmallRng) -> Tensor<2> {
    let mut values = random_values(len * inputs, rng);
    values
        .iter_mut()
        .skip(inputs - 1)
        .step_by(inputs)
        .for_each(|last| *last = 2.0);
    Tensor::from_data(TensorData::new(values, [len, inputs]), &device())
}

/// How far two vectors have come from where both were.
#[track_caller]
fn same_change(found: Tensor<1>, expected: Tensor<1>, before: &Tensor<1>, what: &str) {
    let change = |after: Tensor<1>| -> Vec<f64> {
        let pairs = numbers(after).into_iter().zip(numbers(before.clone()));
        pairs.map(|(after, before)| after - before).collect()
    };
    same_by_largest(3e-5, &change(found), &change(expected), what);
}

#[track_caller]
fn same(found: &[f64], expected: &[f64], what: &str) {
    same_by_largest(3e-5, found, expected, what);
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().copied().map(f64::from).collect()
}

#[test]
fn acting_is_what_the_actor_does() {
    for seed in 0..60 {
        let mut rng = SmallRng::seed_from_u64(seed / 2);
        let kind = one_of([Choices, Masked, Several, Reals, Bounded], &mut rng);
        let envs = one_of([1, 3, 8, 64, 70, 257, 300], &mut rng);
        let shape = Shape::any(&mut rng);
        let (actor, _) = agent_of(seed % 2 == 1, kind, &shape, &mut rng);
        let (inputs, (noise, _)) = (shape.inputs, actor.kind.noise());
        let (obs, noise) = (
            observations([envs, inputs], &mut rng),
            random([envs, noise], &mut rng),
        );
        let dist = actor.dist(obs.clone());
        let expected = dist.sample(noise.clone());
        let width = actor.kind.action_width();
        let (mut actions, mut log_probs) = (vec![0.0; envs * width], vec![0.0; envs]);
        let mut policy = HostPolicy::new(&actor, envs).unwrap();
        for _ in 0..2 {
            let (obs, noise) = (host_values(obs.clone()), host_values(noise.clone()));
            policy.act(&obs, &noise, &mut actions, &mut log_probs);
        }
        same(&wide(&actions), &numbers(expected.clone()), "action");
        let mut env_actions = vec![0.0; envs * width];
        policy.env_actions(&actions, &mut env_actions);
        let of_env = numbers(actor.kind.env_actions(expected.clone()));
        same(&wide(&env_actions), &of_env, "environment's action");
        let expected = numbers(dist.log_prob(expected));
        // A single choice is certain: its log-probability is a rounded zero.
        same_to(3e-5, &wide(&log_probs), &expected, "log-probability");
    }
}

/// Standard deviations that depend on the observation are outputs of the network.
#[test]
fn deviations_may_depend_on_the_observation() {
    let mut rng = SmallRng::seed_from_u64(1);
    let net = MlpConfig::default().build(4, 4, 1.0, &mut rng, &device());
    let actor = Actor::new(net, DistKind::Gaussian { dim: 2 });
    let (obs, noise) = (random([3, 4], &mut rng), random([3, 2], &mut rng));
    let dist = actor.dist(obs.clone());
    let expected = dist.sample(noise.clone());
    let mut policy = HostPolicy::new(&actor, 3).unwrap();
    let (mut actions, mut log_probs) = ([0.0; 6], [0.0; 3]);
    policy.act(
        &host_values(obs),
        &host_values(noise),
        &mut actions,
        &mut log_probs,
    );
    same(&wide(&actions), &numbers(expected.clone()), "action");
    let expected = numbers(dist.log_prob(expected));
    same_to(3e-5, &wide(&log_probs), &expected, "log-probability");
}

#[test]
fn memory_and_distributions_that_need_tensors_are_left_to_them() {
    let mut rng = SmallRng::seed_from_u64(1);
    let memory = GruNet::new([4, 3], &MlpConfig::default(), 8, 1.0, &mut rng, &device());
    let remembers = Actor::recurrent(memory, DistKind::Categorical { choices: 3 });
    assert!(HostPolicy::new(&remembers, 2).is_none());
    // More choices than there is room for.
    let many = MlpConfig::default().build(4, 34, 1.0, &mut rng, &device());
    let choices = vec![2; 17];
    let several = Actor::new(many, DistKind::MultiDiscrete { choices });
    assert!(HostPolicy::new(&several, 2).is_none());
}

/// `B` samples that `actor` could have made some updates ago.
fn batch(actor: &Actor, len: usize, inputs: usize, rng: &mut SmallRng) -> Batch {
    let obs = observations([len, inputs], rng);
    let (noise, _) = actor.kind.noise();
    let dist = actor.dist(obs.clone());
    let actions = dist.sample(random([len, noise], rng));
    Batch {
        log_probs: dist.log_prob(actions.clone()) + random([len], rng) * 0.2,
        obs: obs.into(),
        actions,
        values: random([len], rng),
        advantages: random([len], rng),
        returns: random([len], rng),
        sequences: None,
        agents: 1,
    }
}

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
