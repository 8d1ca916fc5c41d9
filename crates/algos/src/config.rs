//! Configuration of a run: environment, budget, network, normalisation, algorithm.

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

/// An invalid setting, and what would be valid.
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

/// Configuration of a whole run. Running the same configuration again repeats the run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunConfig {
    /// Name and options of the environment.
    pub env: EnvConfig,
    /// Number of copies of the environment `N`.
    #[serde(default = "default_num_envs")]
    pub num_envs: usize,
    /// Number of environment steps over all copies. The run ends with the iteration that reaches it.
    pub total_steps: u64,
    /// Seed of all random streams of the run.
    #[serde(default = "default_seed")]
    pub seed: u64,
    /// Number of environment steps between checkpoints; 0: twenty checkpoints over the run, or fewer if they would take
    /// much time.
    #[serde(default)]
    pub checkpoint_every: u64,
    /// Whether copies start at random ages, so that time limits do not end their episodes simultaneously.
    #[serde(default)]
    pub random_ages: bool,
    /// Number of latest observations that are stacked for the policy.
    #[serde(default = "default_frames")]
    pub frames: usize,
    /// Whether to step environments on the host even if a kernel could step them on the device.
    #[serde(default)]
    pub host_steps: bool,
    /// Networks of actor and critic.
    #[serde(default)]
    pub network: NetworkConfig,
    /// Normalisation of observations and rewards.
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
    /// Initialisation of the weights.
    pub init: Init,
    /// Kind of the networks.
    pub module: ModuleKind,
    /// Distribution of the policy.
    pub distribution: Distribution,
    /// Parametrisation of the standard deviations of a (squashed) Gaussian policy.
    pub std: Std,
    /// Initial logarithm of the standard deviations.
    pub log_std: f64,
    /// Memory of the networks: a recurrent cell after the hidden layers.
    pub memory: MemoryKind,
    /// Width of the cell's state.
    pub memory_width: usize,
    /// Whether perceptrons use fused loops and kernels; otherwise they use Burn's operations one by one, which are the
    /// reference and slower.
    pub fused: bool,
}

/// Memory of networks within an episode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MemoryKind {
    /// No memory: the policy depends on the latest observation only.
    #[default]
    None,
    /// Gated recurrent unit.
    Gru,
}

/// Kind of the networks of actor and critic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ModuleKind {
    /// Perceptrons with hidden layers, followed by a recurrent cell if there is memory.
    #[default]
    Perceptron,
    /// Network registered under this name.
    Own(&'static str),
}

/// Family of a policy's distribution.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Distribution {
    /// Determined by the action space: categorical for discrete actions, Gaussian for real actions.
    #[default]
    Auto,
    /// Normal; the environment clips actions to their bounds.
    Gaussian,
    /// Normal, squashed into the bounds by tanh.
    SquashedGaussian,
    /// Beta on the bounds.
    Beta,
    /// Distribution registered under this name.
    Own(&'static str),
}

/// Parametrisation of standard deviations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Std {
    /// Independent of the observation: separate parameters.
    #[default]
    Independent,
    /// Dependent on the observation: outputs of the network.
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

    /// Configuration of a perceptron with these settings.
    pub fn mlp(&self) -> MlpConfig {
        MlpConfig {
            hidden: self.hidden.clone(),
            activation: self.activation,
            init: self.init,
        }
    }
}

/// Code-level optimisations that apply to every algorithm (arXiv:2005.12729 §3). All off by default.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NormalizeConfig {
    /// Whether to subtract the running mean from observations and divide by the running standard deviation.
    pub obs: bool,
    /// Bound to which (normalised) observations are clipped, ±this; 0: never.
    pub obs_clip: f64,
    /// Whether to divide rewards by the running standard deviation of the discounted return.
    pub reward: bool,
    /// Bound to which (scaled) rewards are clipped, ±this; 0: never.
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
    /// Options for the batches of environments to train on.
    pub fn batch_options(&self) -> BatchOptions {
        BatchOptions {
            random_ages: self.random_ages,
            frames: self.frames,
            host_steps: self.host_steps,
        }
    }

    /// A run with defaults for all other settings.
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

    /// Checks all settings that can be checked without the environment.
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
        // TOML, the format of configurations in run directories, has no larger integers.
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

    /// Number of environment steps between checkpoints.
    pub fn checkpoint_interval(&self) -> u64 {
        match self.checkpoint_every {
            0 => self.total_steps.div_ceil(20),
            every => every,
        }
    }
}
