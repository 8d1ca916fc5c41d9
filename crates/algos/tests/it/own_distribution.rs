//! Distributions of one's own, from acting to checkpoints.

use crate::{device::device, run, train};
use burn::tensor::{
    Tensor,
    activation::{log_sigmoid, sigmoid},
};
use rand::{SeedableRng, rngs::SmallRng};
use uphill_algos::{
    RunConfig, Trainer,
    a2c::A2cConfig,
    build_actor, build_critic,
    config::Distribution as Family,
    npg::NpgConfig,
    ppo::{Objective, PpoConfig},
    trpo::TrpoConfig,
    trust_region::TrustRegionConfig,
};
use uphill_core::{
    dist::{Categorical, DistKind, Distribution, NoiseKind},
    nn::MlpConfig,
    policy::{Actor, Critic},
    schedule::Schedule,
};

/// The built-in categorical distribution over two actions, given as one's own.
#[derive(Debug)]
struct Two;

impl Distribution for Two {
    fn param_width(&self) -> usize {
        2
    }
    fn action_width(&self) -> usize {
        1
    }
    fn noise(&self) -> (usize, NoiseKind) {
        (2, NoiseKind::Gumbel)
    }
    fn sample(&self, logits: Tensor<2>, gumbel: Tensor<2>) -> Tensor<2> {
        Categorical::from_logits(logits).sample(gumbel)
    }
    fn log_prob(&self, logits: Tensor<2>, actions: Tensor<2>) -> Tensor<1> {
        Categorical::from_logits(logits).log_prob(actions)
    }
    fn entropy(&self, logits: Tensor<2>) -> Tensor<1> {
        Categorical::from_logits(logits).entropy()
    }
    fn mode(&self, logits: Tensor<2>) -> Tensor<2> {
        Categorical::from_logits(logits).mode()
    }
    fn kl(&self, p: Tensor<2>, q: Tensor<2>) -> Option<Tensor<1>> {
        Some(Categorical::from_logits(p).kl(&Categorical::from_logits(q)))
    }
    fn fisher_mul(&self, logits: Tensor<2>, tangent: Tensor<2>) -> Option<Tensor<2>> {
        Some(Categorical::from_logits(logits).fisher_mul(tangent))
    }
}

/// The configured networks with another distribution.
fn with_kind(config: RunConfig, kind: DistKind) -> Trainer {
    let spec = uphill_envs::spec(&config.env).unwrap();
    let mut actor = build_actor(&config, &spec, &device()).unwrap();
    actor.kind = kind;
    let critic = build_critic(&config, &spec, &device());
    let env = uphill_envs::make(&config.env, config.num_envs, &device()).unwrap();
    Trainer::from_parts(config, env, actor, critic).unwrap()
}

/// On Burn's operations, which are those of any distribution of one's own.
fn on_tensors(algo: impl Into<uphill_algos::AlgoConfig>) -> RunConfig {
    let mut config = run("CartPole-v1", 4, 192, algo);
    config.network.fused = false;
    config.network.hidden = vec![8];
    config.normalize.obs = true;
    config.normalize.reward = true;
    config
}

#[test]
fn a_copy_of_a_built_in_one_trains_to_the_same_numbers() {
    let ppo = |objective| PpoConfig {
        steps: 16,
        epochs: 2,
        minibatches: 2,
        objective,
        ..PpoConfig::default()
    };
    let a2c = A2cConfig {
        steps: 16,
        ..A2cConfig::default()
    };
    let trpo = TrpoConfig {
        steps: 16,
        ..TrpoConfig::default()
    };
    let npg = NpgConfig {
        steps: 16,
        ..NpgConfig::default()
    };
    for config in [
        on_tensors(ppo(Objective::Clip)),
        on_tensors(ppo(Objective::Kl)),
        on_tensors(a2c),
        on_tensors(trpo),
        on_tensors(npg),
    ] {
        let (_, expected) = train(config.clone());
        let mut own = with_kind(config, DistKind::custom(Two));
        for expected in expected {
            let found = own.step().unwrap();
            assert_eq!(found.episode_return_mean, expected.episode_return_mean);
            // The built-in one normalises its logits once for all that is asked of it, so that gradients are added in
            // another order.
            for (found, expected) in found.metrics.0.iter().zip(&expected.metrics.0) {
                let error = found.1.unwrap_or(0.0) - expected.1.unwrap_or(0.0);
                let scale = expected.1.unwrap_or(0.0).abs().max(1.0);
                assert!(error.abs() <= 1e-5 * scale, "{found:?}, not {expected:?}");
            }
        }
    }
}

#[test]
fn a_run_with_one_resumes_where_it_stopped() {
    let config = || {
        on_tensors(PpoConfig {
            steps: 16,
            ..PpoConfig::default()
        })
    };
    let mut going_on = with_kind(config(), DistKind::custom(Two));
    going_on.step().unwrap();
    let saved = going_on.save();
    let mut resumed = with_kind(config(), DistKind::custom(Two));
    resumed.restore(&saved).unwrap();
    assert_eq!(resumed.step().unwrap(), going_on.step().unwrap());
}

/// One of two actions from one number; without divergences.
#[derive(Debug)]
struct Coin;

impl Distribution for Coin {
    fn param_width(&self) -> usize {
        1
    }
    fn action_width(&self) -> usize {
        1
    }
    fn noise(&self) -> (usize, NoiseKind) {
        (1, NoiseKind::Uniform)
    }
    fn sample(&self, z: Tensor<2>, uniform: Tensor<2>) -> Tensor<2> {
        uniform.lower(sigmoid(z)).float()
    }
    fn log_prob(&self, z: Tensor<2>, actions: Tensor<2>) -> Tensor<1> {
        log_sigmoid(z * (actions * 2.0 - 1.0)).squeeze_dim(1)
    }
    fn entropy(&self, z: Tensor<2>) -> Tensor<1> {
        let share = sigmoid(z.clone());
        let surprise =
            share.clone() * log_sigmoid(z.clone()) + (share.neg() + 1.0) * log_sigmoid(z.neg());
        surprise.neg().squeeze_dim(1)
    }
    fn mode(&self, z: Tensor<2>) -> Tensor<2> {
        z.greater_elem(0.0).float()
    }
}

fn coin_agent(inputs: usize) -> (Actor, Critic) {
    let mut rng = SmallRng::seed_from_u64(1);
    let mut net = |gain| MlpConfig::default().build(inputs, 1, gain, &mut rng, &device());
    let actor = Actor::new(net(0.01), DistKind::custom(Coin));
    (actor, Critic::new(net(1.0)))
}

#[test]
fn one_with_another_parametrisation_learns_the_optimum() {
    let ppo = PpoConfig {
        steps: 16,
        minibatches: 2,
        learning_rate: Schedule::Constant(3e-3),
        ..PpoConfig::default()
    };
    let config = run("ProbeAction-v0", 8, 4096, ppo);
    let env = uphill_envs::make(&config.env, 8, &device()).unwrap();
    let (actor, critic) = coin_agent(1);
    let mut trainer = Trainer::from_parts(config, env, actor, critic).unwrap();
    let first = trainer.step().unwrap().episode_return_mean.unwrap();
    assert!(first < 0.6, "nothing to learn: {first}");
    while !trainer.finished() {
        trainer.step().unwrap();
    }
    let last = trainer.episodes().mean_return().unwrap();
    assert!(last > 0.9, "mean return {last} where 1 is the optimum");
}

/// What `from_parts` says of a coin.
fn refusal(env: &str, algo: impl Into<uphill_algos::AlgoConfig>, family: Family) -> String {
    let mut config = run(env, 4, 256, algo);
    config.network.distribution = family;
    let env = uphill_envs::make(&config.env, 4, &device()).unwrap();
    let (actor, critic) = coin_agent(env.spec().obs.dim());
    let error = Trainer::from_parts(config, env, actor, critic).err();
    error.expect("a refusal").to_string()
}

#[test]
fn algorithms_that_need_more_than_it_has_refuse_it() {
    let kl = "algo.name: needs the KL divergence (Distribution::kl) of the policy's distribution, which Custom(Coin) \
              does not have";
    let penalty = PpoConfig {
        objective: Objective::Kl,
        ..PpoConfig::default()
    };
    assert_eq!(
        refusal("CartPole-v1", TrpoConfig::default(), Family::Auto),
        kl
    );
    assert_eq!(
        refusal("CartPole-v1", TrustRegionConfig::default(), Family::Auto),
        kl
    );
    assert_eq!(refusal("CartPole-v1", penalty, Family::Auto), kl);
}

#[test]
fn one_for_other_actions_is_refused() {
    assert_eq!(
        refusal("ProbeDigits-v0", PpoConfig::default(), Family::Auto),
        "env: its actions (3 × 4 choices) have 2 columns, those of the actor's Custom(Coin) have 1"
    );
    assert_eq!(
        refusal("CartPole-v1", PpoConfig::default(), Family::Beta),
        "network.distribution: is Beta, but the actor has Custom(Coin); leave this out"
    );
}

/// [`Two`] without its Fisher product.
#[derive(Debug)]
struct Unfishy;

impl Distribution for Unfishy {
    fn param_width(&self) -> usize {
        Two.param_width()
    }
    fn action_width(&self) -> usize {
        Two.action_width()
    }
    fn noise(&self) -> (usize, NoiseKind) {
        Two.noise()
    }
    fn sample(&self, logits: Tensor<2>, gumbel: Tensor<2>) -> Tensor<2> {
        Two.sample(logits, gumbel)
    }
    fn log_prob(&self, logits: Tensor<2>, actions: Tensor<2>) -> Tensor<1> {
        Two.log_prob(logits, actions)
    }
    fn entropy(&self, logits: Tensor<2>) -> Tensor<1> {
        Two.entropy(logits)
    }
    fn mode(&self, logits: Tensor<2>) -> Tensor<2> {
        Two.mode(logits)
    }
    fn kl(&self, p: Tensor<2>, q: Tensor<2>) -> Option<Tensor<1>> {
        Two.kl(p, q)
    }
}

#[test]
fn natural_gradients_need_a_fisher_product_and_other_steps_do_not() {
    let said = |algo: uphill_algos::AlgoConfig| {
        let config = on_tensors(algo);
        let spec = uphill_envs::spec(&config.env).unwrap();
        let mut actor = build_actor(&config, &spec, &device()).unwrap();
        actor.kind = DistKind::custom(Unfishy);
        let critic = build_critic(&config, &spec, &device());
        let env = uphill_envs::make(&config.env, config.num_envs, &device()).unwrap();
        let trainer = Trainer::from_parts(config, env, actor, critic);
        trainer.err().map(|error| error.to_string())
    };
    let fisher = "algo.name: needs the Fisher product (Distribution::fisher_mul) of the policy's distribution, which \
                  Custom(Unfishy) does not have";
    assert_eq!(said(TrpoConfig::default().into()).as_deref(), Some(fisher));
    assert_eq!(said(NpgConfig::default().into()).as_deref(), Some(fisher));
    assert_eq!(said(TrustRegionConfig::default().into()), None);
    assert_eq!(said(PpoConfig::default().into()), None);
}

/// The distribution says nothing about layers: with it alone in `[network]`, the actor may have any.
#[test]
fn a_named_distribution_does_not_describe_layers() {
    let mut described = run("Pendulum-v1", 4, 256, PpoConfig::default());
    described.network.distribution = Family::SquashedGaussian;
    let mut other = described.clone();
    other.network.hidden = vec![8];
    let spec = uphill_envs::spec("Pendulum-v1").unwrap();
    let actor = build_actor(&other, &spec, &device()).unwrap();
    let critic = build_critic(&other, &spec, &device());
    assert!(matches!(actor.kind, DistKind::SquashedGaussian { .. }));
    let env = uphill_envs::make("Pendulum-v1", 4, &device()).unwrap();
    let trainer = Trainer::from_parts(described, env, actor, critic);
    assert!(trainer.is_ok(), "{}", trainer.err().unwrap());
}
