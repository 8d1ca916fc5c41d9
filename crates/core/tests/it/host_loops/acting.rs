//! Actions and log-probabilities on slices.

use super::*;

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
