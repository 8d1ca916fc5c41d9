//! Networks and distributions of one's own that configurations call by their names.

use crate::{bytes, device::device, train};
use burn::tensor::Tensor;
use std::sync::Once;
use uphill_algos::{
    RunConfig, Trainer, build_actor, build_critic,
    config::{Distribution as Family, MemoryKind, ModuleKind},
    register_distribution, register_network,
};
use uphill_core::{
    dist::{Categorical, DistKind, Distribution, NoiseKind},
    network::Net,
    nn::MlpConfig,
};

/// The built-in categorical distribution, given as one's own.
#[derive(Debug)]
struct Choice {
    choices: usize,
}

impl Distribution for Choice {
    fn param_width(&self) -> usize {
        self.choices
    }
    fn action_width(&self) -> usize {
        1
    }
    fn noise(&self) -> (usize, NoiseKind) {
        (self.choices, NoiseKind::Gumbel)
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
}

fn registered() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // What the built-in one does, on Burn's operations.
        register_network("copy", |request, rng| {
            let inputs = request.spec.obs.dim();
            let mlp = request.config.mlp();
            Net::stock(mlp.build(inputs, request.outputs, request.gain, rng, request.device))
        })
        .unwrap();
        register_network("wide", |request, rng| {
            let inputs = request.spec.obs.dim();
            let outputs = request.outputs + 1;
            let mlp = request.config.mlp();
            Net::new(mlp.build(inputs, outputs, request.gain, rng, request.device))
        })
        .unwrap();
        register_network("line", |request, rng| {
            let mlp = MlpConfig {
                hidden: vec![],
                ..request.config.mlp()
            };
            let (inputs, outputs) = (request.spec.obs.dim(), request.outputs);
            Net::new(mlp.build(inputs, outputs, request.gain, rng, request.device))
        })
        .unwrap();
        register_distribution("choice", |spec| match &spec.action {
            uphill_envs::ActionSpace::Discrete { n } => {
                Ok(DistKind::custom(Choice { choices: *n }))
            }
            other => Err(format!("is for one choice, {} has {other}", spec.name)),
        })
        .unwrap();
    });
}

fn config(text: &str) -> Result<RunConfig, toml::de::Error> {
    registered();
    let text = format!(
        "env = \"CartPole-v1\"\nnum_envs = 4\ntotal_steps = 256\n[algo]\nname = \"ppo\"\nsteps = 16\nminibatches = 2\n\
         epochs = 2\n[network]\nhidden = [8]\n{text}"
    );
    toml::from_str(&text)
}

/// The run of these tests before its first iteration.
fn trainer_before() -> Trainer {
    Trainer::new(config("fused = false").unwrap(), &device()).unwrap()
}

#[test]
fn they_train_like_the_built_in_ones_that_they_copy() {
    let run = |network: &str| train(config(&format!("fused = false\n{network}")).unwrap());
    let (built_in, expected) = run("");
    let (own, found) = run("module = \"copy\"");
    assert_eq!(own.config().network.module, ModuleKind::Own("copy"));
    assert_eq!(found, expected);
    assert_eq!(bytes(&own), bytes(&built_in));

    let (choice, expected) = run("distribution = \"choice\"");
    assert_eq!(choice.config().network.distribution, Family::Own("choice"));
    assert!(matches!(choice.actor().kind, DistKind::Custom(_)));
    let (own, found) = run("module = \"copy\"\ndistribution = \"choice\"");
    assert_eq!(found, expected);
    assert_eq!(bytes(&own), bytes(&choice));

    // The loss of the built-in one is a loop, that of another is on tensors: the same but for rounding.
    let params = |trainer: &Trainer| trainer.actor().net.flat();
    let apart = (params(&choice) - params(&built_in)).abs().max();
    let moved = (params(&built_in) - params(&trainer_before())).abs().max();
    let [apart, moved] = [apart, moved].map(|x| x.into_scalar::<f32>());
    assert!(apart < 1e-3 * moved, "{apart} of {moved}");
}

#[test]
fn configurations_and_checkpoints_keep_their_names() {
    let own = config("module = \"copy\"\ndistribution = \"choice\"").unwrap();
    let text = toml::to_string(&own).unwrap();
    assert!(text.contains("module = \"copy\"") && text.contains("distribution = \"choice\""));
    assert_eq!(toml::from_str::<RunConfig>(&text).unwrap(), own);
    let mut going_on = Trainer::new(own.clone(), &device()).unwrap();
    going_on.step().unwrap();
    let saved = going_on.save();
    let mut resumed = Trainer::new(saved.config().unwrap(), &device()).unwrap();
    resumed.restore(&saved).unwrap();
    assert_eq!(resumed.step().unwrap(), going_on.step().unwrap());
}

#[test]
fn unknown_names_are_answered_with_the_known_ones() {
    let said = |text: &str| config(text).unwrap_err().message().to_owned();
    let module = said("module = \"cpy\"");
    assert!(
        module.starts_with("unknown variant `cpy`, expected one of `perceptron`, `copy`, `wide`"),
        "{module}"
    );
    assert_eq!(
        said("distribution = \"choise\""),
        "unknown variant `choise`, expected one of `auto`, `gaussian`, `squashed-gaussian`, `beta`, `choice`"
    );
}

#[test]
fn what_does_not_fit_is_refused_at_the_start() {
    let said = |config: RunConfig| Trainer::new(config, &device()).err().unwrap().to_string();
    assert_eq!(
        said(config("module = \"wide\"").unwrap()),
        "actor: its network turns observations [2, 4] into [2, 3], but the parameters of \
         Categorical { choices: 2 } are [2, 2]"
    );
    let mut continuous = config("distribution = \"choice\"").unwrap();
    continuous.env = "Pendulum-v1".into();
    assert_eq!(
        said(continuous),
        "network.distribution: is for one choice, Pendulum-v1 has 1 real"
    );
    let mut memory = config("module = \"copy\"").unwrap();
    memory.network.memory = MemoryKind::Gru;
    assert_eq!(
        said(memory),
        "network.memory: is for perceptrons; \"copy\" has its own or none, leave this out"
    );
}

#[test]
fn a_name_is_given_once() {
    registered();
    let again = register_network("copy", |_, _| unreachable!("never made"));
    assert_eq!(
        again.unwrap_err().to_string(),
        "network.module: there is one called \"copy\" already"
    );
    assert!(register_network("perceptron", |_, _| unreachable!("never made")).is_err());
    assert!(register_distribution("beta", |_| unreachable!("never made")).is_err());
}

#[test]
fn they_are_made_for_whoever_builds_networks() {
    let own = config("module = \"copy\"\ndistribution = \"choice\"").unwrap();
    let spec = uphill_envs::spec("CartPole-v1").unwrap();
    let actor = build_actor(&own, &spec, &device()).unwrap();
    assert_eq!(actor.net.num_params(), 5 * 8 + 9 * 2);
    assert_eq!(
        build_critic(&own, &spec, &device()).net.num_params(),
        5 * 8 + 9
    );
}

/// Two outputs of the actor and one of the critic, each of four inputs and a bias.
#[test]
fn a_network_of_one_s_own_is_that_of_the_critic_too() {
    let own = config("module = \"line\"").unwrap();
    let spec = uphill_envs::spec("CartPole-v1").unwrap();
    let actor = build_actor(&own, &spec, &device()).unwrap();
    let critic = build_critic(&own, &spec, &device());
    assert_eq!([&actor.net, &critic.net].map(Net::num_params), [10, 5]);
}
