//! Algorithms of one's own in a trainer: by their settings, in configurations and in checkpoints.

use crate::{bytes, device::device, run, small, train};
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};
use uphill_algos::{
    AlgoConfig, Algorithm, Checkpoint, CheckpointError, ConfigError, CustomSettings, Demands,
    Horizon, Learner, Measured, RunConfig, SequenceUse, Settings, Trainer, UpdateContext,
    algorithms,
    ppo::PpoConfig,
    register_algorithm,
    vpg::{Vpg, VpgConfig},
};
use uphill_core::{
    policy::{Actor, Critic},
    rollout::Rollout,
};

/// The built-in VPG under another name, with settings of its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Mine {
    steps: usize,
    gamma: f64,
    critic: CriticFit,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct CriticFit {
    steps: usize,
}

impl Default for CriticFit {
    fn default() -> Self {
        Self { steps: 3 }
    }
}

impl Default for Mine {
    fn default() -> Self {
        Self {
            steps: 16,
            gamma: 0.98,
            critic: CriticFit::default(),
        }
    }
}

impl Mine {
    fn vpg(&self) -> VpgConfig {
        VpgConfig {
            steps: self.steps,
            gamma: self.gamma,
            critic_steps: self.critic.steps,
            ..VpgConfig::default()
        }
    }
}

impl Settings for Mine {
    fn horizon(&self) -> Horizon {
        self.vpg().horizon()
    }
    fn gamma(&self) -> f64 {
        self.gamma
    }
    fn minibatch(&self, num_envs: usize) -> usize {
        self.vpg().minibatch(num_envs)
    }
    fn validate(&self, num_envs: usize) -> Result<(), ConfigError> {
        self.vpg().validate(num_envs)
    }
    fn sequences(&self) -> SequenceUse {
        self.vpg().sequences()
    }
    fn build(&self, actor: &Actor, critic: &Critic) -> Learner {
        Learner::Synchronous(Box::new(Vpg::new(self.vpg(), actor, critic)))
    }
}

impl CustomSettings for Mine {
    const NAME: &'static str = "mine";
    const ABOUT: &'static str = "VPG under another name";
}

/// With everything that a trainer does around an update.
fn config(algo: AlgoConfig) -> RunConfig {
    let mut config = run("CartPole-v1", 4, 256, algo);
    config.network.hidden = vec![8];
    config.normalize.obs = true;
    config.normalize.reward = true;
    config
}

#[test]
fn it_gets_everything_that_a_built_in_one_gets() {
    let (built_in, expected) = train(config(Mine::default().vpg().into()));
    let (own, found) = train(config(AlgoConfig::custom(Mine::default())));
    assert_eq!(found, expected);
    assert_eq!(bytes(&own), bytes(&built_in));
}

#[test]
fn its_run_goes_on_from_a_checkpoint_exactly() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.safetensors");
    let mut going_on =
        Trainer::new(config(AlgoConfig::custom(Mine::default())), &device()).unwrap();
    going_on.step().unwrap();
    going_on.save().write(&path).unwrap();

    let checkpoint = Checkpoint::read(&path).unwrap();
    let read = checkpoint.config().unwrap();
    assert_eq!(&read, going_on.config());
    let mut resumed = Trainer::new(read, &device()).unwrap();
    resumed.restore(&checkpoint).unwrap();
    assert_eq!(resumed.step().unwrap(), going_on.step().unwrap());
    assert_eq!(bytes(&resumed), bytes(&going_on));
}

#[test]
fn configurations_know_it_by_its_name() {
    register_algorithm::<Mine>();
    let text = "env = \"CartPole-v1\"\ntotal_steps = 100\n[algo]\nname = \"mine\"\ngamma = 0.5\n[algo.critic]\nsteps = 7";
    let config: RunConfig = toml::from_str(text).unwrap();
    assert_eq!(config.algo.name(), "mine");
    let expected = Mine {
        gamma: 0.5,
        critic: CriticFit { steps: 7 },
        ..Mine::default()
    };
    assert_eq!(config.algo.custom_settings::<Mine>(), Some(&expected));
    assert_eq!(config.algo, AlgoConfig::custom(expected));
    assert_ne!(config.algo, AlgoConfig::custom(Mine::default()));
    let written = toml::to_string(&config).unwrap();
    assert_eq!(toml::from_str::<RunConfig>(&written).unwrap(), config);

    assert_eq!(
        AlgoConfig::default_for("mine"),
        Some(AlgoConfig::custom(Mine::default()))
    );
    assert!(algorithms().contains(&("mine", "VPG under another name")));
    let wrong = toml::from_str::<RunConfig>(&text.replace("gamma", "gamm")).unwrap_err();
    assert!(
        wrong.message().starts_with("unknown field `gamm`"),
        "{wrong}"
    );
}

#[test]
fn built_in_ones_are_read_as_ever() {
    let config = small();
    let text = toml::to_string(&config).unwrap();
    assert!(text.contains("name = \"ppo\""), "{text}");
    assert_eq!(toml::from_str::<RunConfig>(&text).unwrap(), config);
    let said = |text: &str| toml::from_str::<AlgoConfig>(text).unwrap_err();
    let nobody = said("name = \"nobody\"");
    let expected = "unknown variant `nobody`, expected one of `reinforce`, `vpg`";
    assert!(nobody.message().starts_with(expected), "{nobody}");
    let nameless = said("gamma = 0.5");
    assert!(
        nameless.message().contains("missing field `name`"),
        "{nameless}"
    );
    let infinite = toml::from_str::<AlgoConfig>("name = \"ppo\"\ngamma = inf").unwrap();
    assert!(infinite.settings().gamma().is_infinite());
}

#[test]
fn its_settings_are_checked_before_a_run() {
    let nothing = AlgoConfig::custom(Mine {
        steps: 0,
        ..Mine::default()
    });
    let error = Trainer::new(config(nothing), &device()).err().unwrap();
    assert!(error.to_string().starts_with("algo.steps: "), "{error}");
}

/// Learns nothing, and reports what it is told to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Reporter {
    value: f64,
}

impl Settings for Reporter {
    fn horizon(&self) -> Horizon {
        Horizon::Steps(4)
    }
    fn gamma(&self) -> f64 {
        0.9
    }
    fn minibatch(&self, num_envs: usize) -> usize {
        4 * num_envs
    }
    fn validate(&self, _: usize) -> Result<(), ConfigError> {
        Ok(())
    }
    fn build(&self, _: &Actor, _: &Critic) -> Learner {
        Learner::Synchronous(Box::new(self.clone()))
    }
}

impl CustomSettings for Reporter {
    const NAME: &'static str = "reporter";
    const ABOUT: &'static str = "learns nothing";
}

impl Algorithm for Reporter {
    fn update(
        &mut self,
        actor: &mut Actor,
        _: &mut Critic,
        rollout: Rollout,
        _: UpdateContext,
    ) -> Measured {
        let mean = rollout.rewards.mean();
        let device = actor.net.device();
        let value = Tensor::<1>::full([1], self.value, &device);
        Measured::new(vec![("reward", mean), ("mine", value)], &[])
    }
    fn save(&self, _: &mut Checkpoint) {}
    fn load(&mut self, _: &Checkpoint) -> Result<(), CheckpointError> {
        Ok(())
    }
}

#[test]
fn its_metrics_are_reported_and_its_divergence_is_seen() {
    let trainer = |value| Trainer::new(config(AlgoConfig::custom(Reporter { value })), &device());
    let report = trainer(2.5).unwrap().step().unwrap();
    assert_eq!(report.metrics.get("mine"), Some(2.5));
    let diverged = trainer(f64::NAN).unwrap().step().unwrap_err();
    assert!(diverged.to_string().contains("mine is NaN"), "{diverged}");
}

#[test]
fn memory_is_refused_unless_it_says_otherwise() {
    let mut config = config(AlgoConfig::custom(Reporter::default()));
    config.network.memory = uphill_algos::config::MemoryKind::Gru;
    let error = Trainer::new(config, &device()).err().unwrap();
    let expected = "network.memory: reporter has no policies with memory";
    assert!(error.to_string().starts_with(expected), "{error}");
    assert_eq!(Reporter::default().demands(), Demands::Densities);
    assert_eq!(PpoConfig::default().demands(), Demands::Densities);
}

/// Somebody else's.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Thief {}

impl Settings for Thief {
    fn horizon(&self) -> Horizon {
        Horizon::Steps(1)
    }
    fn gamma(&self) -> f64 {
        1.0
    }
    fn minibatch(&self, _: usize) -> usize {
        1
    }
    fn validate(&self, _: usize) -> Result<(), ConfigError> {
        Ok(())
    }
    fn build(&self, _: &Actor, _: &Critic) -> Learner {
        unreachable!("never built")
    }
}

impl CustomSettings for Thief {
    const NAME: &'static str = "ppo";
    const ABOUT: &'static str = "calls itself like another";
}

#[test]
#[should_panic(expected = "there is a built-in algorithm called \"ppo\"")]
fn a_name_that_is_taken_is_refused() {
    register_algorithm::<Thief>();
}

#[test]
fn an_unknown_name_is_answered_with_those_of_one_s_own_too() {
    register_algorithm::<Mine>();
    let error = toml::from_str::<AlgoConfig>("name = \"mini\"").unwrap_err();
    let said = error.message();
    assert!(said.starts_with("unknown variant `mini`"), "{said}");
    for known in ["`reinforce`", "`ppo`", "`mine`"] {
        assert!(said.contains(known), "{known} is not in {said}");
    }
}

/// Whether an algorithm of one's own uses tensors is not known unless it says so.
#[test]
fn it_is_not_called_slow() {
    let trainer = Trainer::new(config(AlgoConfig::custom(Reporter::default())), &device()).unwrap();
    let agent = (trainer.actor(), trainer.critic());
    assert_eq!(Reporter::default().slower_path(agent.0, agent.1), None);
}
