//! Registry of the built-in algorithms, one line each, and of user-defined ones.

mod custom;

use crate::settings::Settings;
pub use custom::{Custom, CustomSettings, register_algorithm};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};
use toml::{Table, Value};

/// Generates everything that lists all algorithms, from one line per algorithm: name in configurations, variant,
/// settings, description.
macro_rules! algorithms {
    ($($name:literal => $variant:ident($settings:ty), $about:literal;)+) => {
        /// An algorithm and its settings: the `[algo]` table of a configuration.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "name", remote = "Self")]
        #[allow(clippy::large_enum_variant)] // plain settings; there is one of these in a run
        pub enum AlgoConfig {
            $(
                #[doc = $about]
                #[serde(rename = $name)]
                $variant($settings),
            )+
            /// A user-defined algorithm; made by [`custom`](AlgoConfig::custom).
            #[serde(skip)]
            Custom(Custom),
        }

        /// Name and one-line description of every built-in algorithm.
        pub const ALGORITHMS: &[(&str, &str)] = &[$(($name, $about)),+];

        $(
            impl From<$settings> for AlgoConfig {
                fn from(settings: $settings) -> Self {
                    Self::$variant(settings)
                }
            }
        )+

        impl AlgoConfig {
            /// The named algorithm with its default settings.
            pub fn default_for(name: &str) -> Option<Self> {
                match name {
                    $($name => Some(Self::$variant(<$settings>::default())),)+
                    _ => custom::default_for(name).map(Self::Custom),
                }
            }

            /// Name in configurations.
            pub fn name(&self) -> &'static str {
                match self {
                    $(Self::$variant(_) => $name,)+
                    Self::Custom(custom) => custom.name(),
                }
            }

            /// Settings of the algorithm.
            pub fn settings(&self) -> &dyn Settings {
                match self {
                    $(Self::$variant(settings) => settings,)+
                    Self::Custom(custom) => custom.settings(),
                }
            }
        }
    };
}

/// Name and one-line description of every algorithm, including registered user-defined ones.
pub fn algorithms() -> Vec<(&'static str, &'static str)> {
    [ALGORITHMS.to_vec(), custom::registered()].concat()
}

// The derived implementations cover the built-in algorithms.
impl Serialize for AlgoConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Custom(custom) => {
                let table = custom.table().map_err(ser::Error::custom)?;
                table.serialize(serializer)
            }
            built_in => Self::serialize(built_in, serializer),
        }
    }
}

impl<'de> Deserialize<'de> for AlgoConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut table = Table::deserialize(deserializer)?;
        let read = match custom::read(&mut table) {
            Some(custom) => custom.map(Self::Custom),
            None => custom::known(&table)
                .and_then(|()| Self::deserialize(Value::Table(table)).map_err(custom::said)),
        };
        read.map_err(de::Error::custom)
    }
}

algorithms! {
    "reinforce" => Reinforce(crate::reinforce::ReinforceConfig),
        "log-derivative estimator with Monte-Carlo returns and a choice of baselines (Williams 1992)";
    "vpg" => Vpg(crate::vpg::VpgConfig),
        "vanilla policy gradient with generalised advantages (Spinning Up, arXiv:1506.02438)";
    "a2c" => A2c(crate::a2c::A2cConfig),
        "advantage actor-critic: TD, n-step, generalised or Monte-Carlo advantages (arXiv:1602.01783)";
    "a3c" => A3c(crate::a3c::A3cConfig),
        "asynchronous advantage actor-critic: workers on threads, lock-free updates (arXiv:1602.01783)";
    "ppo" => Ppo(crate::ppo::PpoConfig),
        "proximal policy optimisation: clipped surrogate or adaptive KL penalty (arXiv:1707.06347)";
    "trust-region" => TrustRegion(crate::trust_region::TrustRegionConfig),
        "steepest ascent with steps of fixed length in the parameters (Peters & Schaal 2008)";
    "npg" => Npg(crate::npg::NpgConfig),
        "natural policy gradient: steps of fixed size in the policy (Kakade 2001)";
    "trpo" => Trpo(crate::trpo::TrpoConfig),
        "trust region policy optimisation: natural gradient and line search (arXiv:1502.05477)";
}
