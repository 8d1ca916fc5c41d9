//! The caller's own environment, actor and critic.

use crate::{device::device, run, small};
use burn::{module::Module, tensor::Tensor};
use rand::SeedableRng;
use rand::rngs::SmallRng;
use uphill_algos::{RunConfig, Trainer, build_actor, build_critic, ppo::PpoConfig, vpg::VpgConfig};
use uphill_core::{
    dist::DistKind,
    network::{Net, Network},
    nn::{Activation, Linear, Mlp, MlpConfig},
    ops::MlpShape,
    policy::{Actor, Critic},
    recurrent::{GruNet, RecurrentNetwork},
};
use uphill_envs::NoiseAt;

fn mlp(inputs: usize, outputs: usize) -> Mlp {
    MlpConfig::default().build(
        inputs,
        outputs,
        0.01,
        &mut SmallRng::seed_from_u64(1),
        &device(),
    )
}

/// A small run that says nothing about networks.
fn plain() -> RunConfig {
    RunConfig {
        network: Default::default(),
        ..small()
    }
}

/// What `from_parts` says of this actor and critic on CartPole.
fn refusal(config: RunConfig, actor: Actor, critic: Critic) -> String {
    let env = uphill_envs::make("CartPole-v1", config.num_envs, &device()).unwrap();
    let error = Trainer::from_parts(config, env, actor, critic).err();
    error.expect("a refusal").to_string()
}

fn chooser(network: impl Network) -> Actor {
    Actor::new(network, DistKind::Categorical { choices: 2 })
}

#[test]
fn they_train_like_the_built_in_ones() {
    let env = uphill_envs::make("CartPole-v1", 4, &device()).unwrap();
    let actor = Actor::new(mlp(4, 2), DistKind::Categorical { choices: 2 });
    let mut trainer = Trainer::from_parts(plain(), env, actor, Critic::new(mlp(4, 1))).unwrap();
    assert_eq!(trainer.step().unwrap().env_steps, 64);
}

#[test]
fn the_number_of_copies_has_to_agree() {
    let env = uphill_envs::make("CartPole-v1", 3, &device()).unwrap();
    let actor = Actor::new(mlp(4, 2), DistKind::Categorical { choices: 2 });
    let error = Trainer::from_parts(plain(), env, actor, Critic::new(mlp(4, 1)))
        .err()
        .unwrap();
    assert_eq!(
        error.to_string(),
        "num_envs: is 4, but the environment has 3 copies"
    );
}

#[test]
fn an_actor_for_other_actions_is_refused() {
    let env = uphill_envs::make("CartPole-v1", 4, &device()).unwrap();
    let actor = Actor::new(mlp(4, 4), DistKind::Gaussian { dim: 2 });
    let error = Trainer::from_parts(plain(), env, actor, Critic::new(mlp(4, 1)))
        .err()
        .unwrap();
    assert_eq!(
        error.to_string(),
        "env: its actions need the distribution Categorical { choices: 2 }, \
         the actor has Gaussian { dim: 2 }"
    );
}

#[test]
fn normalisation_reaches_networks_of_one_s_own() {
    let mut config = plain();
    config.normalize.obs = true;
    let env = uphill_envs::make("CartPole-v1", 4, &device()).unwrap();
    let actor = Actor::new(mlp(4, 2), DistKind::Categorical { choices: 2 });
    let mut trainer = Trainer::from_parts(config, env, actor, Critic::new(mlp(4, 1))).unwrap();
    trainer.step().unwrap();
    for norm in [&trainer.actor().obs_norm, &trainer.critic().obs_norm] {
        assert_eq!(norm.as_ref().unwrap().moments.count, 64.0);
    }
}

/// A module of one's own: its layers, and whatever it says about itself.
#[derive(Module, Debug)]
struct Own {
    mlp: Mlp,
    #[module(skip)]
    claim: Option<MlpShape>,
}

impl Network for Own {
    fn forward(&self, obs: Tensor<2>) -> Tensor<2> {
        Network::forward(&self.mlp, obs)
    }

    fn mlp_shape(&self) -> Option<MlpShape> {
        self.claim.clone()
    }
}

#[test]
fn a_network_of_the_wrong_width_is_named_before_the_first_step() {
    let critic = || Critic::new(mlp(4, 1));
    assert_eq!(
        refusal(plain(), chooser(mlp(5, 2)), critic()),
        "actor: its network takes 5 inputs, an observation has 4"
    );
    assert_eq!(
        refusal(plain(), chooser(mlp(4, 3)), critic()),
        "actor: its network turns observations [2, 4] into [2, 3], but the parameters of \
         Categorical { choices: 2 } are [2, 2]"
    );
    assert_eq!(
        refusal(plain(), chooser(mlp(4, 2)), Critic::new(mlp(4, 2))),
        "critic: its network turns observations [2, 4] into [2, 2], but values are [2, 1]"
    );
    // A module that says nothing about itself shows it by panicking.
    let own = |inputs, outputs| Own {
        mlp: mlp(inputs, outputs),
        claim: None,
    };
    let said = refusal(plain(), chooser(own(4, 2)), Critic::new(own(3, 1)));
    assert!(
        said.starts_with("critic: its network cannot take observations [2, 4]: "),
        "{said}"
    );
    assert!(said.len() > 70, "what the module said is missing: {said}");
}

#[test]
fn a_module_that_is_another_perceptron_than_it_claims_is_refused() {
    let claimed = |activation| {
        let mlp = mlp(4, 2);
        let shape = mlp.mlp_shape().unwrap();
        let claim = Some(MlpShape {
            activation,
            ..shape
        });
        chooser(Own { mlp, claim })
    };
    assert_eq!(claimed(Activation::Tanh).net.check_shape(), Ok(()));
    let critic = Critic::new(mlp(4, 1));
    let said = refusal(plain(), claimed(Activation::Relu), critic);
    let expected = "actor: mlp_shape describes a perceptron [4, 64, 64, 2] with Relu that computes something else";
    assert!(said.starts_with(expected), "{said}");
}

#[test]
fn the_shapes_of_the_built_in_networks_are_what_they_compute() {
    let spec = |name: &str| uphill_envs::spec(name).unwrap();
    for env in [
        "CartPole-v1",
        "Pendulum-v1",
        "ProbeMask-v0",
        "ProbeDigits-v0",
    ] {
        for activation in [Activation::Tanh, Activation::Relu] {
            let mut config = run(env, 4, 256, PpoConfig::default());
            config.network.activation = activation;
            let actor = build_actor(&config, &spec(env), &device()).unwrap();
            let critic = build_critic(&config, &spec(env), &device());
            for net in [&actor.net, &critic.net] {
                assert!(net.perceptron().is_some(), "{env}");
                assert_eq!(net.check_shape(), Ok(()), "{env}");
            }
        }
    }
}

#[test]
#[should_panic(expected = "describes a perceptron with 4610 parameters, the module has 4545")]
fn a_claim_of_another_size_is_refused_when_it_is_made() {
    let claim = mlp(4, 2).mlp_shape();
    let mlp = mlp(4, 1);
    Net::new(Own { mlp, claim });
}

#[test]
fn settings_that_parts_make_void_are_refused() {
    let said = |change: fn(&mut RunConfig)| {
        let mut config = plain();
        change(&mut config);
        refusal(config, chooser(mlp(4, 2)), Critic::new(mlp(4, 1)))
    };
    let made = "but the environment that was given is made already";
    for (change, expected) in [
        (
            (|config| config.env = "Nonsense".into()) as fn(&mut RunConfig),
            "env: is \"Nonsense\", but the environment that was given is \"CartPole-v1\"".to_owned(),
        ),
        (
            |config| config.frames = 4,
            format!("frames: is 4, {made}; see Batch::with_frames, and leave this out"),
        ),
        (
            |config| config.random_ages = true,
            format!("random_ages: is true, {made}; see HostBatch::with_random_ages, and leave this out"),
        ),
        (
            |config| config.host_steps = true,
            format!("host_steps: is true, {made}; leave this out"),
        ),
        (
            |config| config.network.hidden = vec![32],
            "network: describes another network than the actor that was given; leave it out, or make the actor \
             from it with build_actor"
                .to_owned(),
        ),
        (
            |config| config.network.activation = Activation::Relu,
            "network: describes another network than the actor that was given; leave it out, or make the actor \
             from it with build_actor"
                .to_owned(),
        ),
    ] {
        assert_eq!(said(change), expected);
    }
}

#[test]
fn settings_that_describe_the_parts_are_welcome() {
    let mut config = small();
    config.network.activation = Activation::Relu;
    let spec = uphill_envs::spec("CartPole-v1").unwrap();
    let actor = build_actor(&config, &spec, &device()).unwrap();
    let critic = build_critic(&config, &spec, &device());
    let env = uphill_envs::make("CartPole-v1", 4, &device()).unwrap();
    let mut own = Trainer::from_parts(config.clone(), env, actor, critic).unwrap();
    let mut built_in = Trainer::new(config, &device()).unwrap();
    assert_eq!(own.step().unwrap(), built_in.step().unwrap());
}

#[test]
fn the_normaliser_s_own_limit_has_to_be_the_configured_one() {
    let mut config = plain();
    config.normalize.obs_clip = 5.0;
    let mut actor = chooser(mlp(4, 2));
    actor.obs_norm = Some(uphill_core::normalize::ObsNorm::new(4, 10.0, &device()));
    assert_eq!(
        refusal(config, actor, Critic::new(mlp(4, 1))),
        "normalize.obs_clip: is 5, but the actor's normaliser clips to 10"
    );
}

fn gru(outputs: usize) -> GruNet {
    let mut rng = SmallRng::seed_from_u64(1);
    let mlp = MlpConfig {
        hidden: vec![8],
        ..MlpConfig::default()
    };
    GruNet::new([4, outputs], &mlp, 6, 1.0, &mut rng, &device())
}

#[test]
fn memory_of_one_s_own_needs_an_algorithm_that_learns_from_it() {
    let agent = || {
        let kind = DistKind::Categorical { choices: 2 };
        (Actor::recurrent(gru(2), kind), Critic::recurrent(gru(1)))
    };
    let said = |config: RunConfig| {
        let (actor, critic) = agent();
        refusal(config, actor, critic)
    };
    let ppo = PpoConfig {
        steps: 16,
        minibatches: 8,
        ..PpoConfig::default()
    };
    let told = said(run("CartPole-v1", 4, 256, ppo));
    assert!(
        told.starts_with("algo.minibatches: 8 parts do not divide num_envs 4"),
        "{told}"
    );
    let (actor, critic) = agent();
    let env = uphill_envs::make("CartPole-v1", 4, &device()).unwrap();
    let vpg = VpgConfig {
        steps: 16,
        critic_steps: 1,
        ..VpgConfig::default()
    };
    let config = run("CartPole-v1", 4, 128, vpg);
    Trainer::from_parts(config, env, actor, critic)
        .unwrap()
        .step()
        .unwrap();
}

/// A cell that returns states of another width than it says.
#[derive(Module, Debug)]
struct Forgetful {
    layer: Linear,
}

impl RecurrentNetwork for Forgetful {
    fn state_width(&self) -> usize {
        3
    }

    fn step(&self, obs: Tensor<2>, state: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
        (self.layer.forward(obs), state.narrow(1, 0, 2))
    }
}

#[test]
fn a_state_of_another_width_than_the_module_says_is_refused() {
    let mut rng = SmallRng::seed_from_u64(1);
    let mut layer =
        |outputs| Linear::new([4, outputs], Default::default(), 1.0, &mut rng, &device());
    let kind = DistKind::Categorical { choices: 2 };
    let actor = Actor::recurrent(Forgetful { layer: layer(2) }, kind);
    let vpg = VpgConfig {
        steps: 16,
        ..VpgConfig::default()
    };
    let config = run("CartPole-v1", 4, 128, vpg);
    assert_eq!(
        refusal(config, actor, Critic::new(layer_net(layer(1)))),
        "actor: its network's next states are [2, 2], but state_width says [2, 3]"
    );
}

fn layer_net(layer: Linear) -> Mlp {
    Mlp {
        layers: vec![layer],
        activation: Activation::Tanh,
    }
}

#[cfg(any(feature = "flex", feature = "ndarray"))]
#[test]
fn a_fused_actor_acts_on_slices_beside_any_critic() {
    let rollout = |actor: &Actor, critic: Critic| {
        let mut env = uphill_envs::make("CartPole-v1", 4, &device()).unwrap();
        env.reset(1);
        let memory = &mut uphill_algos::collect::start(actor, &critic, 4);
        let rollout = uphill_algos::collect::collect(
            (actor, &critic),
            env.as_mut(),
            memory,
            40,
            NoiseAt::actions(1, 0),
        );
        [rollout.log_probs, rollout.values, rollout.next_values]
            .map(|x| x.into_data().iter::<f32>().collect::<Vec<_>>())
    };
    let actor = chooser(mlp(4, 2));
    let own = Critic::new(Own {
        mlp: mlp(4, 1),
        claim: None,
    });
    let [log_probs, values, next_values] = rollout(&actor, Critic::new(mlp(4, 1)));
    let [own_log_probs, own_values, own_next_values] = rollout(&actor, own.clone());
    // The loop on tensors adds in another order.
    assert!(log_probs == own_log_probs, "other bits");
    let stock = Actor {
        net: Net::stock(mlp(4, 2)),
        ..actor
    };
    assert!(rollout(&stock, own)[0] != log_probs, "no other loop");
    for (found, expected) in [(own_values, values), (own_next_values, next_values)] {
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-5, "{found}, not {expected}");
        }
    }
}
