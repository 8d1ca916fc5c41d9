//! Tests of the built-in variants, and of user-supplied files.

#![allow(clippy::unwrap_used)]

use super::*;
use crate::{config, presets::PRESETS};
use std::collections::{BTreeMap, BTreeSet};
use toml::Value;
use uphill_algos::{
    AlgoConfig,
    ppo::{AdvantageNorm, Objective},
    trpo::TrpoConfig,
};
use uphill_core::schedule::Schedule;

fn base() -> RunConfig {
    config::load("ppo-pendulum", &[]).unwrap().config
}

fn built_in() -> Variants {
    Variants::load(None).unwrap()
}

/// The built-in variant with this name, derived from `base`.
fn of(base: &RunConfig, name: &str) -> anyhow::Result<RunConfig> {
    let variants = built_in();
    variants.config(among(&variants.all, name)?, base)
}

fn variant(name: &str) -> RunConfig {
    of(&base(), name).unwrap()
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
    let full = variant(built_in().reference());
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
    let variants = built_in();
    let mut names: Vec<&str> = variants.all.iter().map(|v| v.name.as_str()).collect();
    tested.sort_unstable();
    names.sort_unstable();
    assert_eq!(names, tested);
}

/// The comparison of steps is fair: nothing outside the algorithm differs, and within it the value
/// fit is the same.
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
    let full = of(&base, "ppo").unwrap();
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
        let suits = matches!(&base.algo, AlgoConfig::Ppo(ppo) if ppo.objective == Objective::Clip);
        let variants = built_in();
        for variant in &variants.all {
            let config = variants.config(variant, &base);
            assert_eq!(config.is_ok(), suits, "{} of {}", variant.name, preset.name);
        }
    }
}

/// The TRPO variant of this PPO base.
fn trpo_of(sets: &[&str]) -> TrpoConfig {
    let sets: Vec<String> = sets.iter().map(|set| (*set).to_owned()).collect();
    let base = config::load("ppo-pendulum", &sets).unwrap().config;
    match of(&base, "trpo+").unwrap().algo {
        AlgoConfig::Trpo(trpo) => trpo,
        other => panic!("no TRPO: {other:?}"),
    }
}

#[test]
fn trpo_takes_what_its_base_has_by_another_name() {
    let falling = |from| Schedule::Linear { from, to: 0.0 };
    let shared = ["algo.learning_rate=2e-4", "algo.critic_learning_rate=3e-4"];
    assert_eq!(trpo_of(&shared).critic.learning_rate, falling(2e-4));
    let separate = [&shared[..], &["algo.optimizer=separate"]].concat();
    assert_eq!(trpo_of(&separate).critic.learning_rate, falling(3e-4));
    let rising = "algo.learning_rate={ from = 1e-4, to = 1e-3 }";
    let (from, to) = (1e-4, 1e-3);
    assert_eq!(
        trpo_of(&[rising]).critic.learning_rate,
        Schedule::Linear { from, to }
    );
    for (norm, expected) in [("none", false), ("minibatch", true), ("batch", true)] {
        let set = format!("algo.normalize_advantages={norm}");
        assert_eq!(trpo_of(&[&set]).normalize_advantages, expected, "{norm}");
    }
    assert_ne!(AdvantageNorm::default(), AdvantageNorm::None);
}

/// A user-supplied file for an algorithm without built-in variants.
#[test]
fn a_file_of_ones_own_starts_from_any_configuration() {
    let text = "\
[[variant]]
name = \"plain\"
about = \"as it is\"

[[variant]]
name = \"short\"
about = \"shorter rollouts\"
changes = [\"algo.steps=2\", \"network.hidden=[8]\"]

[[variant]]
name = \"short-ppo\"
about = \"the same with PPO\"
of = \"short\"
changes = [\"algo.name=ppo\", \"algo.steps=$algo.steps\", \"algo.minibatches=1\"]
when = [{ is = \"num_envs=16\", changes = [\"algo.epochs=7\"] }]
";
    let variants = Variants::parse(text).unwrap();
    assert_eq!(variants.reference(), "plain");
    let base = config::load("a2c-cartpole", &[]).unwrap().config;
    let config = |name| {
        let variant = among(&variants.all, name).unwrap();
        variants.config(variant, &base).unwrap()
    };
    assert_eq!(config("plain"), base);
    let short = config("short");
    assert_eq!(short.network.hidden, [8]);
    let AlgoConfig::Ppo(ppo) = config("short-ppo").algo else {
        panic!("no PPO");
    };
    let epochs = if base.num_envs == 16 { 7 } else { 10 };
    assert_eq!((ppo.steps, ppo.minibatches, ppo.epochs), (2, 1, epochs));
}

#[test]
fn mistakes_in_a_file_say_where_they_are() {
    let variant = |name: &str, rest: &str| {
        format!("[[variant]]\nname = \"{name}\"\nabout = \"one\"\n{rest}\n")
    };
    let base = config::load("a2c-cartpole", &[]).unwrap().config;
    for (text, parts) in [
        (String::new(), vec!["missing field `variant`"]),
        (
            "variant = []".to_owned(),
            vec!["there is none", "[[variant]]", "changes = ["],
        ),
        (
            variant("a", "change = []"),
            vec!["line 4", "unknown field `change`", "`changes`"],
        ),
        (
            variant("a", "changes = [1]"),
            vec!["line 4", "expected a string"],
        ),
        (
            variant("a/b", ""),
            vec!["variant \"a/b\": name:", "letters, digits"],
        ),
        (variant("", ""), vec!["variant \"\": name:"]),
        (
            variant("a", "") + &variant("a", ""),
            vec!["variant \"a\": name: there is another"],
        ),
        (
            variant("a", "") + &variant("wide", "") + &variant("b", "of = \"wid\""),
            vec![
                "variant \"b\": of",
                "there is no \"wid\", did you mean \"wide\"?",
            ],
        ),
        (
            variant("a", "of = \"a\""),
            vec!["variant \"a\": of, which is an earlier variant"],
        ),
        (
            format!(
                "corners = [\"a\", \"a\", \"a\", \"b\"]\n{}",
                variant("a", "")
            ),
            vec!["corners: there is no \"b\"", "there are: a"],
        ),
        (
            variant("a", "changes = [\"algo.gama=0.9\"]"),
            vec!["algo.gama=0.9: algo.gama: unknown key", "\"gamma\""],
        ),
        (
            variant("a", "changes = [\"algo.gamma=2\"]"),
            vec!["algo.gamma: is 2, must lie between 0 and 1"],
        ),
        (
            variant("a", "when = [{ is = \"algo.gama=1\", changes = [] }]"),
            vec!["algo.gama=1: algo.gama: unknown key"],
        ),
        (
            format!("needs = [\"algo.name=ppo\"]\n{}", variant("a", "")),
            vec!["algo.name: is \"a2c\", the ablation starts from \"ppo\""],
        ),
    ] {
        let wrong = Variants::parse(&text)
            .and_then(|variants| variants.config(&variants.all[0], &base))
            .unwrap_err();
        let said = format!("{wrong:#}");
        for part in parts {
            assert!(said.contains(part), "{text}\n{said}\nhas no {part:?}");
        }
    }
}
