//! What a run is: environment, budget, network, normalisation, algorithm.

use crate::{
    AlgoConfig, Horizon, check_settings,
    settings::{CLIP, COUNT, FROM_ONE, InRange, LOG_STD, SequenceUse, ensure},
};
use serde::{Deserialize, Serialize};
use uphill_core::{
    heads::LOG_STD_RANGE,
    nn::{Activation, Init, MlpConfig},
};
use uphill_envs::{BatchOptions, EnvConfig};

/// A setting that cannot be, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {problem}")]
pub struct ConfigError {
    /// Dotted path of the key, for example `algo.minibatches`.
    pub key: String,
    /// What is wrong and what would be right.
    pub problem: String,
}

impl ConfigError {
    /// An error about `key`.
    pub fn new(key: &str, problem: impl Into<String>) -> Self {
        Self {
            key: key.to_owned(),
            problem: problem.into(),
        }
    }
}

/// A whole run. Running the same configuration again repeats it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunConfig {
    /// Name and options of the environment.
    pub env: EnvConfig,
    /// Copies of the environment `N`.
    #[serde(default = "default_num_envs")]
    pub num_envs: usize,
    /// Environment steps over all copies. The run ends with the iteration that reaches it.
    pub total_steps: u64,
    /// Of every random stream of the run.
    #[serde(default = "default_seed")]
    pub seed: u64,
    /// Environment steps between checkpoints; 0: twenty over the run, or fewer where they would cost much time.
    #[serde(default)]
    pub checkpoint_every: u64,
    /// Start the copies at random ages, so that time limits do not end their episodes in step.
    #[serde(default)]
    pub random_ages: bool,
    /// Latest observations that the policy sees as one.
    #[serde(default = "default_frames")]
    pub frames: usize,
    /// Step environments on the host also where a kernel could on the device.
    #[serde(default)]
    pub host_steps: bool,
    /// Of actor and critic.
    #[serde(default)]
    pub network: NetworkConfig,
    /// Of observations and rewards.
    #[serde(default)]
    pub normalize: NormalizeConfig,
    /// The algorithm and its settings.
    pub algo: AlgoConfig,
}

fn default_num_envs() -> usize {
    8
}

fn default_frames() -> usize {
    1
}

fn default_seed() -> u64 {
    1
}

/// Networks of actor and critic: two separate perceptrons of the same shape.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NetworkConfig {
    /// Widths of the hidden layers.
    pub hidden: Vec<usize>,
    /// Nonlinearity between layers.
    pub activation: Activation,
    /// Start of the weights.
    pub init: Init,
    /// What the networks are.
    pub module: ModuleKind,
    /// The policy's distribution.
    pub distribution: Distribution,
    /// What the standard deviations of a (squashed) Gaussian policy depend on.
    pub std: Std,
    /// Start of their logarithms.
    pub log_std: f64,
    /// What the networks remember of the episode: the hidden layers are followed by a cell.
    pub memory: MemoryKind,
    /// Width of the cell's state.
    pub memory_width: usize,
    /// Passes of perceptrons in fused loops and kernels; else on Burn's operations one by one, which are the
    /// reference and slower.
    pub fused: bool,
}

/// What networks remember of the episode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MemoryKind {
    /// Nothing: a policy of the latest observation.
    #[default]
    None,
    /// The state of a gated recurrent unit.
    Gru,
}

/// What the networks of actor and critic are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ModuleKind {
    /// Perceptrons of hidden layers, with a memory behind them where one is asked for.
    #[default]
    Perceptron,
    /// What is registered by this name.
    Own(&'static str),
}

/// The family of a policy's distribution.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Distribution {
    /// What the action space needs: categorical for choices, Gaussian for real actions.
    #[default]
    Auto,
    /// Normal; the environment clips.
    Gaussian,
    /// Normal, squashed into the bounds by tanh.
    SquashedGaussian,
    /// Beta on the bounds.
    Beta,
    /// What is registered by this name.
    Own(&'static str),
}

/// What standard deviations depend on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Std {
    /// Nothing: they are parameters of their own.
    #[default]
    Independent,
    /// The observation: they are outputs of the network.
    Dependent,
}

impl Default for NetworkConfig {
    fn default() -> Self {
        let mlp = MlpConfig::default();
        Self {
            hidden: mlp.hidden,
            activation: mlp.activation,
            init: mlp.init,
            module: ModuleKind::Perceptron,
            distribution: Distribution::Auto,
            std: Std::Independent,
            log_std: 0.0,
            memory: MemoryKind::None,
            memory_width: 64,
            fused: true,
        }
    }
}

impl NetworkConfig {
    fn validate(&self) -> Result<(), ConfigError> {
        check_settings!(self, "network.", {
            hidden: _,
            activation: _,
            init: _,
            module: _,
            distribution: _,
            std: _,
            log_std: LOG_STD,
            memory: _,
            memory_width: COUNT,
            fused: _,
        })?;
        ensure(!self.hidden.contains(&0), "network.hidden", || {
            "every layer needs at least 1 unit, for example [64, 64]".to_owned()
        })?;
        (self.hidden.iter()).try_for_each(|width| width.check("network.hidden", COUNT))?;
        let remembers = self.memory != MemoryKind::None;
        ensure(
            self.module == ModuleKind::Perceptron || !remembers,
            "network.memory",
            || {
                format!(
                    "is for perceptrons; {:?} has its own or none, leave this out",
                    self.module.name()
                )
            },
        )?;
        let ([low, high], log_std) = (LOG_STD_RANGE, self.log_std);
        let inside = low < log_std && log_std < high;
        ensure(
            inside || self.std == Std::Independent,
            "network.log_std",
            || format!("is {log_std}, must lie between {low} and {high} where std is dependent"),
        )
    }

    /// The part that a perceptron is built from.
    pub fn mlp(&self) -> MlpConfig {
        MlpConfig {
            hidden: self.hidden.clone(),
            activation: self.activation,
            init: self.init,
        }
    }
}

/// Code-level optimisations that concern every algorithm (arXiv:2005.12729 §3). All off by default.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NormalizeConfig {
    /// Subtract the running mean from observations and divide by the running standard deviation.
    pub obs: bool,
    /// Clip (normalised) observations to ±this; 0: never.
    pub obs_clip: f64,
    /// Divide rewards by the running standard deviation of the discounted return.
    pub reward: bool,
    /// Clip (scaled) rewards to ±this; 0: never.
    pub reward_clip: f64,
}

impl NormalizeConfig {
    fn validate(&self) -> Result<(), ConfigError> {
        check_settings!(self, "normalize.", {
            obs: _,
            obs_clip: CLIP,
            reward: _,
            reward_clip: CLIP,
        })
    }
}

impl RunConfig {
    /// How copies of the environment are made to train on.
    pub fn batch_options(&self) -> BatchOptions {
        BatchOptions {
            random_ages: self.random_ages,
            frames: self.frames,
            host_steps: self.host_steps,
        }
    }

    /// A run with the defaults of everything but these.
    pub fn new(
        env: impl Into<EnvConfig>,
        num_envs: usize,
        total_steps: u64,
        algo: AlgoConfig,
    ) -> Self {
        Self {
            env: env.into(),
            num_envs,
            total_steps,
            seed: default_seed(),
            checkpoint_every: 0,
            random_ages: false,
            frames: default_frames(),
            host_steps: false,
            network: NetworkConfig::default(),
            normalize: NormalizeConfig::default(),
            algo,
        }
    }

    /// Checks every value that does not need the environment.
    pub fn validate(&self) -> Result<(), ConfigError> {
        check_settings!(self, "", {
            env: _,
            num_envs: FROM_ONE,
            total_steps: FROM_ONE,
            seed: _,
            checkpoint_every: _,
            random_ages: _,
            frames: COUNT,
            host_steps: _,
            network: _,
            normalize: _,
            algo: _,
        })?;
        // TOML, in which a run directory keeps its configuration, has no larger whole numbers.
        for (key, value) in [
            ("total_steps", self.total_steps),
            ("seed", self.seed),
            ("checkpoint_every", self.checkpoint_every),
        ] {
            ensure(value <= i64::MAX as u64, key, || {
                format!("is {value}, must be at most {}", i64::MAX)
            })?;
        }
        self.network.validate()?;
        self.normalize.validate()?;
        if matches!(self.algo.settings().horizon(), Horizon::Episodes { .. }) {
            for (key, on) in [
                ("random_ages", self.random_ages),
                ("normalize.reward", self.normalize.reward),
            ] {
                ensure(!on, key, || {
                    let name = self.algo.name();
                    format!("{name} learns from whole episodes of fresh starts; leave this out")
                })?;
            }
        }
        if self.network.memory == MemoryKind::None {
            let width = self.network.memory_width;
            let untouched = width == NetworkConfig::default().memory_width;
            ensure(untouched, "network.memory_width", || {
                format!(
                    "is {width}, but there is no memory; add memory = \"gru\", or leave this out"
                )
            })?;
        } else {
            self.validate_memory()?;
        }
        if matches!(self.algo, AlgoConfig::A3c(_)) {
            for (key, on) in [
                ("normalize.reward", self.normalize.reward),
                ("normalize.reward_clip", self.normalize.reward_clip > 0.0),
            ] {
                ensure(!on, key, || {
                    "a3c's workers learn from rewards as they are; leave this out".to_owned()
                })?;
            }
        }
        self.algo.settings().validate(self.num_envs)
    }

    fn validate_memory(&self) -> Result<(), ConfigError> {
        ensure(!self.network.hidden.is_empty(), "network.hidden", || {
            "needs at least one layer before the memory, for example [64]".to_owned()
        })?;
        match self.algo.settings().sequences() {
            SequenceUse::Whole => Ok(()),
            SequenceUse::Parts { key, parts } => {
                ensure(self.num_envs.is_multiple_of(parts), key, || {
                    format!(
                        "{parts} parts do not divide num_envs {}: minibatches for networks with memory are of whole sequences, one per copy",
                        self.num_envs
                    )
                })
            }
            SequenceUse::Refused => ensure(false, "network.memory", || {
                let name = self.algo.name();
                format!("{name} has no policies with memory; use frames, or another algorithm")
            }),
        }
    }

    /// Environment steps between checkpoints.
    pub fn checkpoint_interval(&self) -> u64 {
        match self.checkpoint_every {
            0 => self.total_steps.div_ceil(20),
            every => every,
        }
    }
}
