//! Registry of user-defined networks and distributions for `[network]`.

use crate::config::{ConfigError, Distribution, ModuleKind, NetworkConfig};
use burn::tensor::Device;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use std::sync::{PoisonError, RwLock};
use uphill_core::{dist::DistKind, network::Net};
use uphill_envs::{EnvSpec, Philox};

/// Requirements for a user-defined network.
#[derive(Clone, Copy, Debug)]
pub struct NetworkRequest<'a> {
    /// Specification of the environment, with observations `[B, O]`.
    pub spec: &'a EnvSpec,
    /// Number of outputs `W`: distribution parameters for an actor, 1 for a critic.
    pub outputs: usize,
    /// Usual gain for initialising the last layer: small for an actor, 1 for a critic.
    pub gain: f64,
    /// The `[network]` table, whose settings it may use or ignore.
    pub config: &'a NetworkConfig,
    /// Device of the parameters.
    pub device: &'a Device,
}

/// Makes a network. All randomness comes from the generator, so that a seed reproduces a run.
pub type MakeNetwork = fn(NetworkRequest<'_>, &mut Philox) -> Net;

/// Makes the distribution for the actions of an environment, or returns the reason why there is none.
pub type MakeDistribution = fn(&EnvSpec) -> Result<DistKind, String>;

static NETWORKS: Names<MakeNetwork> = Names::new();
static DISTRIBUTIONS: Names<MakeDistribution> = Names::new();

/// Registers a network for configurations: `network.module = "…"`. Actor and critic are both made by it.
///
/// ```
/// use uphill_algos::{RunConfig, Trainer, ppo::PpoConfig, register_network};
/// use uphill_core::{network::Net, nn::MlpConfig};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// register_network("narrow", |request, rng| {
///     let mlp = MlpConfig { hidden: vec![8], ..MlpConfig::default() };
///     let inputs = request.spec.obs.dim();
///     Net::new(mlp.build(inputs, request.outputs, request.gain, rng, request.device))
/// })?;
/// let mut config = RunConfig::new("CartPole-v1", 4, 1000, PpoConfig::default().into());
/// config.network.module = "narrow".parse()?;
/// let trainer = Trainer::new(config, &burn::tensor::Device::flex())?;
/// assert_eq!(trainer.actor().net.num_params(), 5 * 8 + 9 * 2);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// If the name is already registered.
pub fn register_network(name: &'static str, make: MakeNetwork) -> Result<(), ConfigError> {
    NETWORKS.put("network.module", &ModuleKind::BUILT_IN, (name, make))
}

/// Registers a distribution for configurations: `network.distribution = "…"`.
///
/// # Errors
/// If the name is already registered.
pub fn register_distribution(
    name: &'static str,
    make: MakeDistribution,
) -> Result<(), ConfigError> {
    let built_in = Distribution::BUILT_IN.map(|(name, _)| name);
    DISTRIBUTIONS.put("network.distribution", &built_in, (name, make))
}

/// The network registered under this name.
pub(crate) fn network(name: &str) -> Option<MakeNetwork> {
    NETWORKS.get(name).map(|(_, make)| make)
}

/// The distribution registered under this name.
pub(crate) fn distribution(name: &str) -> Option<MakeDistribution> {
    DISTRIBUTIONS.get(name).map(|(_, make)| make)
}

/// Values by name, kept for the life of the program.
struct Names<T: 'static>(RwLock<Vec<(&'static str, T)>>);

impl<T: Copy> Names<T> {
    const fn new() -> Self {
        Self(RwLock::new(Vec::new()))
    }

    fn put(
        &self,
        key: &str,
        built_in: &[&str],
        entry: (&'static str, T),
    ) -> Result<(), ConfigError> {
        let mut entries = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let mut known = entries.iter().map(|(name, _)| name).chain(built_in);
        if known.any(|known| *known == entry.0) {
            let problem = format!("there is one called {:?} already", entry.0);
            return Err(ConfigError::new(key, problem));
        }
        entries.push(entry);
        Ok(())
    }

    fn get(&self, name: &str) -> Option<(&'static str, T)> {
        let entries = self.0.read().unwrap_or_else(PoisonError::into_inner);
        entries.iter().find(|(known, _)| *known == name).copied()
    }

    /// Error message for an unknown name, in serde's wording.
    fn unknown(&self, name: &str, built_in: &[&str]) -> String {
        let entries = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let known = built_in.iter().chain(entries.iter().map(|(name, _)| name));
        let known: Vec<String> = known.map(|name| format!("`{name}`")).collect();
        format!(
            "unknown variant `{name}`, expected one of {}",
            known.join(", ")
        )
    }
}

impl ModuleKind {
    const BUILT_IN: [&'static str; 1] = ["perceptron"];

    /// Name in configurations.
    pub fn name(self) -> &'static str {
        match self {
            Self::Perceptron => Self::BUILT_IN[0],
            Self::Own(name) => name,
        }
    }
}

impl std::str::FromStr for ModuleKind {
    type Err = ConfigError;

    fn from_str(name: &str) -> Result<Self, ConfigError> {
        if name == Self::Perceptron.name() {
            return Ok(Self::Perceptron);
        }
        let own = NETWORKS.get(name).map(|(name, _)| Self::Own(name));
        own.ok_or_else(|| {
            ConfigError::new("network.module", NETWORKS.unknown(name, &Self::BUILT_IN))
        })
    }
}

impl Serialize for ModuleKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for ModuleKind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        (name.parse()).map_err(|error: ConfigError| D::Error::custom(error.problem))
    }
}

impl Distribution {
    const BUILT_IN: [(&'static str, Self); 4] = [
        ("auto", Self::Auto),
        ("gaussian", Self::Gaussian),
        ("squashed-gaussian", Self::SquashedGaussian),
        ("beta", Self::Beta),
    ];

    /// Name in configurations.
    pub fn name(self) -> &'static str {
        if let Self::Own(name) = self {
            return name;
        }
        let known = Self::BUILT_IN.iter().find(|(_, known)| *known == self);
        known.map_or("", |(name, _)| name)
    }
}

impl std::str::FromStr for Distribution {
    type Err = ConfigError;

    fn from_str(name: &str) -> Result<Self, ConfigError> {
        if let Some((_, known)) = Self::BUILT_IN.iter().find(|(known, _)| *known == name) {
            return Ok(*known);
        }
        let own = DISTRIBUTIONS.get(name).map(|(name, _)| Self::Own(name));
        own.ok_or_else(|| {
            let built_in = Self::BUILT_IN.map(|(name, _)| name);
            ConfigError::new(
                "network.distribution",
                DISTRIBUTIONS.unknown(name, &built_in),
            )
        })
    }
}

impl Serialize for Distribution {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Distribution {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        (name.parse()).map_err(|error: ConfigError| D::Error::custom(error.problem))
    }
}
