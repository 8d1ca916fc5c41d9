//! What every algorithm says about itself, and what follows from it.

use crate::{device, run};
use rand::{SeedableRng, rngs::SmallRng};
use uphill_algos::optimizer::{Optimizer, OptimizerKind, StepSize};
use uphill_algos::{
    AlgoConfig, Footprint, Horizon, RunConfig, Trainer,
    a2c::A2cConfig,
    a3c::A3cConfig,
    config::{Distribution, Std},
    descent,
    npg::NpgConfig,
    ppo::PpoConfig,
    reinforce::ReinforceConfig,
    trpo::TrpoConfig,
    trust_region::TrustRegionConfig,
    vpg::VpgConfig,
};
use uphill_core::{
    dist::DistKind,
    loss::{ActorCriticLoss, Surrogate},
    network::Net,
    nn::MlpConfig,
    optim::RuleKind,
    policy::{Actor, Critic},
};

/// Every algorithm with γ = 0.9, 20 steps (or 3 episodes) of each copy, and its samples per gradient step with 6 copies.
fn all() -> Vec<(AlgoConfig, usize)> {
    macro_rules! algo {
        ($config:ident { $($key:ident: $value:expr),* }) => {
            AlgoConfig::from($config { gamma: 0.9, $($key: $value,)* ..$config::default() })
        };
    }
    vec![
        (
            algo!(PpoConfig {
                steps: 20,
                minibatches: 4
            }),
            30,
        ),
        (algo!(A2cConfig { steps: 20 }), 120),
        (
            algo!(A3cConfig {
                steps: 20,
                workers: 2,
                updates: 5
            }),
            60,
        ),
        (algo!(VpgConfig { steps: 20 }), 120),
        // Episodes of a hundred steps are typical.
        (algo!(ReinforceConfig { episodes: 3 }), 1800),
        (algo!(TrpoConfig { steps: 20 }), 120),
        (algo!(NpgConfig { steps: 20 }), 120),
        (algo!(TrustRegionConfig { steps: 20 }), 120),
    ]
}

#[test]
fn settings_say_discount_horizon_and_samples_of_a_step() {
    for (algo, samples) in all() {
        let (name, settings) = (algo.name().to_owned(), algo.settings());
        assert_eq!(settings.gamma(), 0.9, "{name}");
        assert_eq!(settings.minibatch(6), samples, "{name}");
        let expected = match name.as_str() {
            "reinforce" => Horizon::Episodes { per_env: 3 },
            // Five updates of each worker in an iteration.
            "a3c" => Horizon::Steps(100),
            _ => Horizon::Steps(20),
        };
        assert_eq!(settings.horizon(), expected, "{name}");
    }
}

/// Loops know neither the Beta distribution nor networks that compute standard deviations.
#[test]
fn every_algorithm_says_when_it_takes_the_slower_path() {
    let on_gpu = uphill_core::ops::device_order([1, 2], 3, &device()).is_some();
    for (algo, _) in all() {
        let name = algo.name().to_owned();
        let path = |env: &str, change: fn(&mut RunConfig)| {
            let mut config = run(env, 4, 1000, algo.clone());
            change(&mut config);
            Trainer::new(config, &device()).unwrap().slower_path()
        };
        let fast = path("Pendulum-v1", |_| ());
        assert!(fast.is_none() || on_gpu, "{name}: {fast:?}");
        let beta = path("Pendulum-v1", |config| {
            config.network.distribution = Distribution::Beta;
        });
        assert!(beta.is_some(), "{name}");
        let stock = path("Pendulum-v1", |config| config.network.fused = false);
        assert!(stock.unwrap().contains("network.fused = false"), "{name}");
        let message = path("Pendulum-v1", |config| config.network.std = Std::Dependent);
        let message = message.unwrap();
        assert!(
            message.contains("state-dependent standard deviations"),
            "{name}: {message}"
        );
    }
}

/// A rollout of n episodes has at least n steps.
#[test]
fn episodes_want_the_memory_of_as_many_steps() {
    let spec = uphill_envs::spec("CartPole-v1").unwrap();
    let bytes = |algo: AlgoConfig| -> Vec<(&str, u128)> {
        let footprint = Footprint::of(&run("CartPole-v1", 6, 1000, algo), &spec).unwrap();
        footprint
            .parts
            .iter()
            .map(|part| (part.name, part.bytes))
            .collect()
    };
    let episodes = bytes(
        ReinforceConfig {
            episodes: 50,
            ..Default::default()
        }
        .into(),
    );
    let steps = bytes(
        VpgConfig {
            steps: 50,
            ..Default::default()
        }
        .into(),
    );
    let of = |parts: Vec<(&str, u128)>| {
        parts
            .into_iter()
            .find(|part| part.0 == "rollout")
            .unwrap()
            .1
    };
    assert_eq!(of(episodes), of(steps));
}

#[test]
fn what_a_file_leaves_out_has_a_default() {
    let text = "env = \"CartPole-v1\"\ntotal_steps = 1001\n[algo]\nname = \"ppo\"\n";
    let mut config: RunConfig = toml::from_str(text).unwrap();
    assert_eq!(config.num_envs, 8);
    // Twenty checkpoints in a run.
    assert_eq!(config.checkpoint_interval(), 51);
    config.checkpoint_every = 7;
    assert_eq!(config.checkpoint_interval(), 7);
    let unknown = toml::from_str::<RunConfig>(&text.replace("ppo", "pop"));
    assert!(unknown.unwrap_err().to_string().contains("pop"));
}

#[test]
fn a3c_refuses_to_clip_rewards() {
    let mut config = run("CartPole-v1", 4, 1000, A3cConfig::default());
    assert!(config.validate().is_ok());
    config.normalize.reward_clip = 5.0;
    let message = config.validate().unwrap_err().to_string();
    assert!(message.contains("normalize.reward_clip"), "{message}");
}

/// With two networks and two gradients, of lengths 3 and 4.
#[test]
fn norms_of_two_networks_are_joined_as_those_of_one_vector() {
    let mlp = |outputs| {
        let mut rng = SmallRng::seed_from_u64(1);
        MlpConfig::default().build(2, outputs, 1.0, &mut rng, &device())
    };
    for kind in [OptimizerKind::Shared, OptimizerKind::Separate] {
        let (mut actor, mut critic) = (Net::new(mlp(2)), Net::new(mlp(1)));
        let mut optimizer = Optimizer::new(kind, RuleKind::Sgd, &actor, &critic, 1e-5);
        let along = |net: &Net, length: f64| {
            let ones = net.flat().ones_like();
            ones * (length / (net.num_params() as f64).sqrt())
        };
        let grads = (along(&actor, 3.0), along(&critic, 4.0));
        let size = StepSize {
            learning_rate: 0.1,
            critic_learning_rate: 0.1,
            max_grad_norm: 0.0,
        };
        let norm = optimizer.step(&mut actor, &mut critic, grads, size);
        assert!((norm.into_scalar::<f32>() - 5.0).abs() < 1e-4, "{kind:?}");
    }
}

#[test]
fn an_update_names_its_engine() {
    let mlp = |outputs| {
        let mut rng = SmallRng::seed_from_u64(1);
        MlpConfig::default().build(2, outputs, 1.0, &mut rng, &device())
    };
    let loss = ActorCriticLoss {
        surrogate: Surrogate::LogProb,
        value_clip: 0.0,
        value_coef: 0.5,
        entropy_coef: 0.0,
        standardize: false,
    };
    let mut actor = Actor::new(mlp(2), DistKind::Categorical { choices: 2 });
    let critic = Critic::new(mlp(1));
    let fast = descent::reason((&actor, &critic), &loss);
    assert!(
        fast.contains("which know these networks and this policy"),
        "{fast}"
    );
    actor.net = Net::stock(mlp(2));
    let slow = descent::reason((&actor, &critic), &loss);
    assert!(slow.starts_with("Burn's operations one by one: "), "{slow}");
}

/// Averages of an actor with 4482 parameters and a critic with 4417, kept apart or together.
#[test]
fn averages_of_gradients_belong_to_the_network_whose_they_are() {
    let mlp = |outputs| {
        let mut rng = SmallRng::seed_from_u64(1);
        MlpConfig::default().build(2, outputs, 1.0, &mut rng, &device())
    };
    let (mut actor, mut critic) = (Net::new(mlp(2)), Net::new(mlp(1)));
    let lens = [actor.num_params(), critic.num_params()];
    assert_eq!(lens, [4482, 4417]);
    for kind in [OptimizerKind::Shared, OptimizerKind::Separate] {
        let new = |rule| Optimizer::new(kind, rule, &actor, &critic, 1e-5);
        assert!(new(RuleKind::RmsProp).adams(lens[0]).is_none(), "{kind:?}");
        let mut optimizer = new(RuleKind::Adam);
        let grads = (
            actor.flat().ones_like() * 2.0,
            critic.flat().ones_like() * 3.0,
        );
        let size = StepSize {
            learning_rate: 0.1,
            critic_learning_rate: 0.1,
            max_grad_norm: 0.0,
        };
        optimizer.step(&mut actor, &mut critic, grads, size);
        let adams = optimizer.adams(lens[0]).unwrap();
        assert_eq!(adams.each_ref().map(|adam| adam.first.dims()[0]), lens);
        // A tenth of the first gradient.
        let first = adams.map(|adam| adam.first.mean().into_scalar::<f32>());
        assert!((first[0] - 0.2).abs() < 1e-5, "{kind:?}: {first:?}");
        assert!((first[1] - 0.3).abs() < 1e-5, "{kind:?}: {first:?}");
    }
}
