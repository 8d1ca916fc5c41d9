//! Variants of an ablation, as edits of one PPO configuration.

use Optimisation::{
    Annealing, GradClipping, ObsClipping, ObsNormalisation, OrthogonalInit, RewardClipping,
    RewardScaling, Tanh, ValueClipping,
};
use uphill_algos::{
    AlgoConfig, ConfigError, RunConfig,
    critic_fit::CriticConfig,
    optimizer::OptimizerKind,
    ppo::{AdvantageNorm, Objective, PpoConfig},
    trpo::TrpoConfig,
};
use uphill_core::{
    nn::{Activation, Init},
    schedule::Schedule,
};

/// A code-level optimisation of arXiv:2005.12729 §3, in the paper's order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Optimisation {
    ValueClipping,
    RewardScaling,
    OrthogonalInit,
    Annealing,
    RewardClipping,
    ObsNormalisation,
    ObsClipping,
    Tanh,
    GradClipping,
}

const ALL: [Optimisation; 9] = [
    ValueClipping,
    RewardScaling,
    OrthogonalInit,
    Annealing,
    RewardClipping,
    ObsNormalisation,
    ObsClipping,
    Tanh,
    GradClipping,
];

// Values with which optimisations are switched on if they are off in the base.
const VALUE_CLIP: f64 = 0.2;
const REWARD_CLIP: f64 = 10.0;
const OBS_CLIP: f64 = 10.0;
const MAX_GRAD_NORM: f64 = 0.5;

/// An ε that no ratio of probabilities reaches: the clipped surrogate then equals the plain one.
const NO_CLIP: f64 = 1e6;

/// Method of the policy's steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Steps {
    /// The clipped surrogate.
    Ppo,
    /// The surrogate without clipping, with everything else as in PPO.
    PpoNoClip,
    /// The natural gradient with a line search.
    Trpo,
}

/// One row of the ablation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Variant {
    pub(crate) name: &'static str,
    /// Difference from the reference.
    pub(crate) about: &'static str,
    steps: Steps,
    off: &'static [Optimisation],
}

/// The variant to which all others are compared.
pub(crate) const REFERENCE: &str = "ppo";

/// All variants, in the order in which they run and are shown.
pub(crate) const VARIANTS: &[Variant] = &[
    ppo(REFERENCE, "every optimisation on", &[]),
    ppo("no-value-clip", "value loss not clipped", &[ValueClipping]),
    ppo("no-reward-scale", "rewards not scaled", &[RewardScaling]),
    ppo("no-orthogonal", "uniform start", &[OrthogonalInit]),
    ppo("no-anneal", "constant learning rate", &[Annealing]),
    ppo("no-reward-clip", "rewards not clipped", &[RewardClipping]),
    ppo(
        "no-obs-norm",
        "observations not normalised",
        &[ObsNormalisation],
    ),
    ppo("no-obs-clip", "observations not clipped", &[ObsClipping]),
    ppo("no-tanh", "ReLU instead of tanh", &[Tanh]),
    ppo("no-grad-clip", "gradients not clipped", &[GradClipping]),
    ppo("ppo-m", "every optimisation off", &ALL),
    Variant {
        name: "ppo-noclip",
        about: "on, but ratios not clipped",
        steps: Steps::PpoNoClip,
        off: &[],
    },
    trpo("trpo+", "TRPO, every optimisation on", &[]),
    trpo("trpo", "TRPO, every optimisation off", &ALL),
];

const fn ppo(name: &'static str, about: &'static str, off: &'static [Optimisation]) -> Variant {
    let steps = Steps::Ppo;
    Variant {
        name,
        about,
        steps,
        off,
    }
}

const fn trpo(name: &'static str, about: &'static str, off: &'static [Optimisation]) -> Variant {
    let steps = Steps::Trpo;
    Variant {
        name,
        about,
        steps,
        off,
    }
}

impl Variant {
    /// Configuration of this variant: `base` with every optimisation switched on, except those that the variant
    /// switches off.
    ///
    /// # Errors
    /// If `base` is not PPO with the clipped surrogate, or if the variant cannot be derived from it.
    pub(crate) fn config(&self, base: &RunConfig) -> Result<RunConfig, ConfigError> {
        let ppo = match &base.algo {
            AlgoConfig::Ppo(ppo) if ppo.objective == Objective::Clip => ppo.clone(),
            AlgoConfig::Ppo(_) => {
                return Err(ConfigError::new(
                    "algo.objective",
                    "the ablation is of PPO with the clipped surrogate; use \"clip\"",
                ));
            }
            other => {
                return Err(ConfigError::new(
                    "algo.name",
                    format!("is {:?}, the ablation starts from \"ppo\"", other.name()),
                ));
            }
        };
        let mut config = base.clone();
        config.algo = match self.steps {
            Steps::Ppo => ppo.into(),
            Steps::PpoNoClip => PpoConfig {
                clip: Schedule::Constant(NO_CLIP),
                ..ppo
            }
            .into(),
            Steps::Trpo => trpo_like(&ppo).into(),
        };
        for optimisation in ALL {
            set(&mut config, optimisation, !self.off.contains(&optimisation));
        }
        config.validate()?;
        Ok(config)
    }
}

/// TRPO with the rollouts, advantages and value fit of `ppo`; δ, damping and line search are those of the TRPO paper.
fn trpo_like(ppo: &PpoConfig) -> TrpoConfig {
    TrpoConfig {
        steps: ppo.steps,
        gamma: ppo.gamma,
        gae_lambda: ppo.gae_lambda,
        normalize_advantages: ppo.normalize_advantages != AdvantageNorm::None,
        entropy_coef: ppo.entropy_coef,
        critic: CriticConfig {
            epochs: ppo.epochs,
            minibatches: ppo.minibatches,
            learning_rate: match ppo.optimizer {
                OptimizerKind::Shared => ppo.learning_rate,
                OptimizerKind::Separate => ppo.critic_learning_rate,
            },
            adam_epsilon: ppo.adam_epsilon,
            max_grad_norm: ppo.max_grad_norm,
            value_clip: ppo.value_clip,
            ..CriticConfig::default()
        },
        ..TrpoConfig::default()
    }
}

fn set(config: &mut RunConfig, optimisation: Optimisation, on: bool) {
    let (normalize, network) = (&mut config.normalize, &mut config.network);
    match optimisation {
        RewardScaling => normalize.reward = on,
        RewardClipping => limit(&mut normalize.reward_clip, on, REWARD_CLIP),
        ObsNormalisation => normalize.obs = on,
        ObsClipping => limit(&mut normalize.obs_clip, on, OBS_CLIP),
        OrthogonalInit if on => network.init = Init::Orthogonal,
        OrthogonalInit => network.init = Init::Uniform,
        Tanh if on => network.activation = Activation::Tanh,
        Tanh => network.activation = Activation::Relu,
        ValueClipping | Annealing | GradClipping => match &mut config.algo {
            AlgoConfig::Ppo(ppo) => set_ppo(ppo, optimisation, on),
            AlgoConfig::Trpo(trpo) => set_value_fit(&mut trpo.critic, optimisation, on),
            _ => {}
        },
    }
}

fn set_ppo(ppo: &mut PpoConfig, optimisation: Optimisation, on: bool) {
    match optimisation {
        ValueClipping => limit(&mut ppo.value_clip, on, VALUE_CLIP),
        Annealing => {
            ppo.learning_rate = anneal(ppo.learning_rate, on);
            ppo.critic_learning_rate = anneal(ppo.critic_learning_rate, on);
        }
        _ => limit(&mut ppo.max_grad_norm, on, MAX_GRAD_NORM),
    }
}

/// In TRPO only the value function is fitted by gradient steps.
fn set_value_fit(critic: &mut CriticConfig, optimisation: Optimisation, on: bool) {
    match optimisation {
        ValueClipping => limit(&mut critic.value_clip, on, VALUE_CLIP),
        Annealing => critic.learning_rate = anneal(critic.learning_rate, on),
        _ => limit(&mut critic.max_grad_norm, on, MAX_GRAD_NORM),
    }
}

/// Switches a limit that is off at 0. Switched on, it keeps a nonzero value.
fn limit(value: &mut f64, on: bool, default: f64) {
    *value = match (on, *value > 0.0) {
        (true, true) => *value,
        (true, false) => default,
        (false, _) => 0.0,
    };
}

/// Switches annealing: on, a constant rate decreases to 0; off, a schedule stays at its start.
fn anneal(rate: Schedule, on: bool) -> Schedule {
    let from = rate.at(0.0);
    match rate {
        Schedule::Linear { .. } if on => rate,
        _ if on => Schedule::Linear { from, to: 0.0 },
        _ => Schedule::Constant(from),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::{config, presets::PRESETS};
    use std::collections::{BTreeMap, BTreeSet};
    use toml::Value;

    fn base() -> RunConfig {
        config::load("ppo-pendulum", &[]).unwrap().config
    }

    fn variant(name: &str) -> RunConfig {
        let variant = VARIANTS.iter().find(|v| v.name == name).unwrap();
        variant.config(&base()).unwrap()
    }

    /// Differences between `a` and `b`: key, value in `a`, value in `b`.
    fn changes(a: &RunConfig, b: &RunConfig) -> Vec<(String, String, String)> {
        let [a, b] = [a, b].map(|config| config::kept::values(config).unwrap());
        let keys: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
        let text = |of: &BTreeMap<String, Value>, key: &String| {
            of.get(key).map(Value::to_string).unwrap_or_default()
        };
        keys.into_iter()
            .filter(|key| a.get(*key) != b.get(*key))
            .map(|key| (key.clone(), text(&a, key), text(&b, key)))
            .collect()
    }

    /// Effects of the switches on the configuration of full PPO.
    const SWITCHES: [(&str, &[[&str; 3]]); 10] = [
        ("no-value-clip", &[["algo.value_clip", "0.2", "0.0"]]),
        ("no-reward-scale", &[["normalize.reward", "true", "false"]]),
        (
            "no-orthogonal",
            &[["network.init", "\"orthogonal\"", "\"uniform\""]],
        ),
        (
            "no-anneal",
            &[
                [
                    "algo.critic_learning_rate",
                    "{ from = 0.001, to = 0.0 }",
                    "0.001",
                ],
                ["algo.learning_rate", "{ from = 0.001, to = 0.0 }", "0.001"],
            ],
        ),
        (
            "no-reward-clip",
            &[["normalize.reward_clip", "10.0", "0.0"]],
        ),
        ("no-obs-norm", &[["normalize.obs", "true", "false"]]),
        ("no-obs-clip", &[["normalize.obs_clip", "10.0", "0.0"]]),
        ("no-tanh", &[["network.activation", "\"tanh\"", "\"relu\""]]),
        ("no-grad-clip", &[["algo.max_grad_norm", "0.5", "0.0"]]),
        ("ppo-noclip", &[["algo.clip", "0.2", "1000000.0"]]),
    ];

    fn owned(changes: &[[&str; 3]]) -> Vec<(String, String, String)> {
        let owned = |[key, a, b]: &[&str; 3]| (key.to_string(), a.to_string(), b.to_string());
        changes.iter().map(owned).collect()
    }

    #[test]
    fn each_variant_changes_exactly_what_its_name_says() {
        let full = variant(REFERENCE);
        for (name, expected) in SWITCHES {
            assert_eq!(changes(&full, &variant(name)), owned(expected), "{name}");
        }
        // PPO-M is all nine switches at once.
        let (_, nine) = SWITCHES.split_last().unwrap();
        let mut together: Vec<_> = nine.iter().flat_map(|(_, c)| owned(c)).collect();
        together.sort();
        assert_eq!(changes(&full, &variant("ppo-m")), together);
    }

    #[test]
    fn every_variant_is_one_of_the_above_or_trpo() {
        let tested = SWITCHES.iter().map(|(name, _)| *name);
        let mut tested: Vec<&str> = tested.chain(["ppo", "ppo-m", "trpo", "trpo+"]).collect();
        let mut names: Vec<&str> = VARIANTS.iter().map(|v| v.name).collect();
        tested.sort_unstable();
        names.sort_unstable();
        assert_eq!(names, tested);
    }

    /// The comparison of steps is fair: nothing outside the algorithm differs, and within it the value fit is the same.
    #[test]
    fn trpo_differs_from_ppo_in_its_steps_alone() {
        for (ppo, trpo) in [("ppo", "trpo+"), ("ppo-m", "trpo")] {
            let (a, b) = (variant(ppo), variant(trpo));
            for (key, _, _) in changes(&a, &b) {
                assert!(key.starts_with("algo."), "{trpo}: {key}");
            }
            let (AlgoConfig::Ppo(a), AlgoConfig::Trpo(b)) = (a.algo, b.algo) else {
                panic!("{ppo} and {trpo} are not PPO and TRPO");
            };
            assert_eq!(
                (a.steps, a.gamma, a.gae_lambda),
                (b.steps, b.gamma, b.gae_lambda)
            );
            assert_eq!(
                (a.epochs, a.minibatches),
                (b.critic.epochs, b.critic.minibatches)
            );
            assert_eq!(a.learning_rate, b.critic.learning_rate, "{trpo}");
            assert_eq!(a.max_grad_norm, b.critic.max_grad_norm, "{trpo}");
            assert_eq!(a.value_clip, b.critic.value_clip, "{trpo}");
        }
        let between = changes(&variant("trpo+"), &variant("trpo"));
        let keys: Vec<&str> = between.iter().map(|(key, _, _)| key.as_str()).collect();
        assert_eq!(
            keys,
            [
                "algo.critic.learning_rate",
                "algo.critic.max_grad_norm",
                "algo.critic.value_clip",
                "network.activation",
                "network.init",
                "normalize.obs",
                "normalize.obs_clip",
                "normalize.reward",
                "normalize.reward_clip",
            ]
        );
    }

    #[test]
    fn the_bases_own_values_are_kept() {
        let sets = ["normalize.reward_clip=5.0", "algo.max_grad_norm=2.0"].map(str::to_owned);
        let base = config::load("ppo-pendulum", &sets).unwrap().config;
        let full = VARIANTS[0].config(&base).unwrap();
        assert_eq!(full.normalize.reward_clip, 5.0);
        assert_eq!(full.total_steps, base.total_steps);
        let AlgoConfig::Ppo(ppo) = full.algo else {
            panic!("not PPO");
        };
        assert_eq!(ppo.max_grad_norm, 2.0);
    }

    #[test]
    fn presets_of_clipped_ppo_can_be_ablated_and_no_others() {
        for preset in PRESETS {
            let base = config::load(preset.name, &[]).unwrap().config;
            let suits =
                matches!(&base.algo, AlgoConfig::Ppo(ppo) if ppo.objective == Objective::Clip);
            for variant in VARIANTS {
                let config = variant.config(&base);
                assert_eq!(config.is_ok(), suits, "{} of {}", variant.name, preset.name);
            }
        }
    }
}
