use crate::{device::device, ppo, small};
use toml::{Table, Value};
use uphill_algos::{
    ALGORITHMS, AlgoConfig, ConfigError, RunConfig, TrainError, Trainer, config::Std,
};
use uphill_core::schedule::Schedule;

/// The message for a small run with one thing changed.
fn refusal(change: impl FnOnce(&mut RunConfig)) -> String {
    let mut config = small();
    change(&mut config);
    match Trainer::new(config, &device()) {
        Err(error @ (TrainError::Config(_) | TrainError::Env(_))) => error.to_string(),
        Err(error) => panic!("not about the configuration: {error}"),
        Ok(_) => panic!("accepted"),
    }
}

#[test]
fn impossible_values_are_refused_by_name() {
    for (message, start) in [
        (refusal(|c| c.num_envs = 0), "num_envs: must be at least 1"),
        (
            refusal(|c| c.total_steps = 0),
            "total_steps: must be at least 1",
        ),
        (
            refusal(|c| c.network.hidden = vec![8, 0]),
            "network.hidden: ",
        ),
        (
            refusal(|c| c.normalize.obs_clip = -1.0),
            "normalize.obs_clip: is -1",
        ),
        (
            refusal(|c| ppo(c).steps = 0),
            "algo.steps: must be at least 1",
        ),
        (
            refusal(|c| c.num_envs = usize::MAX),
            "algo.steps: 16 × num_envs",
        ),
        (
            refusal(|c| ppo(c).gamma = 1.5),
            "algo.gamma: is 1.5, must lie between 0 and 1",
        ),
        (refusal(|c| ppo(c).gamma = f64::NAN), "algo.gamma: is NaN"),
        (
            refusal(|c| ppo(c).clip = Schedule::Constant(0.0)),
            "algo.clip: is 0, must be a positive finite number",
        ),
        (
            refusal(|c| ppo(c).learning_rate = Schedule::Constant(f64::NAN)),
            "algo.learning_rate: is NaN",
        ),
        (
            refusal(|c| ppo(c).max_grad_norm = f64::INFINITY),
            "algo.max_grad_norm: is inf, must be a finite number from 0",
        ),
        (
            refusal(|c| ppo(c).value_coef = -0.5),
            "algo.value_coef: is -0.5",
        ),
        (
            refusal(|c| ppo(c).adam_epsilon = 1e-46),
            "algo.adam_epsilon: is 1e-46, which single precision does not hold",
        ),
        (
            refusal(|c| ppo(c).kl_coef = 1e300),
            "algo.kl_coef: is 1e300, which single precision does not hold",
        ),
        (
            refusal(|c| c.network.log_std = -1000.0),
            "network.log_std: is -1000, must lie between -10 and 10",
        ),
    ] {
        assert!(
            message.starts_with(start),
            "{message:?} should start with {start:?}"
        );
    }
}

/// What no setting but log σ may be: in single precision 0, infinite, no number, or below 0.
const IMPOSSIBLE: [f64; 8] = [
    1e-46,
    1e-300,
    1e300,
    4e38,
    f64::NAN,
    f64::INFINITY,
    -1.0,
    -1e-46,
];

/// Every value of a configuration under its dotted key; a schedule is one.
fn values(prefix: &str, table: &Table) -> Vec<(String, Value)> {
    let entries = table.iter().flat_map(|(key, value)| match value {
        Value::Table(inner) if !inner.contains_key("from") => {
            values(&format!("{prefix}{key}."), inner)
        }
        value => vec![(format!("{prefix}{key}"), value.clone())],
    });
    entries.collect()
}

/// The configuration in `table` with `value` under the dotted `key`.
pub(crate) fn with(table: &Table, key: &str, value: Value) -> RunConfig {
    fn put(table: &mut Table, key: &str, value: Value) {
        match key.split_once('.') {
            Some((outer, inner)) => put(table[outer].as_table_mut().unwrap(), inner, value),
            None => table[key] = value,
        }
    }
    let mut table = table.clone();
    put(&mut table, key, value);
    Value::Table(table).try_into().unwrap()
}

/// What is wrong with `table` then.
fn problem_with(table: &Table, key: &str, value: Value) -> Option<ConfigError> {
    with(table, key, value).validate().err()
}

/// What the value at `key` cannot be.
fn impossible(key: &str, default: &Value) -> Vec<Value> {
    match default {
        Value::Float(_) if key == "network.log_std" => {
            let bad = [100.0, -100.0, -1000.0, 1e300, -1e300, f64::NAN, 1e-300];
            bad.map(Value::Float).into()
        }
        Value::Float(_) => IMPOSSIBLE.map(Value::Float).into(),
        Value::Table(_) => {
            let line = |from: f64, to: f64| {
                let ends = [
                    ("from".to_owned(), from.into()),
                    ("to".to_owned(), to.into()),
                ];
                Value::Table(Table::from_iter(ends))
            };
            let lines = IMPOSSIBLE.iter();
            let lines = lines.flat_map(|&x| [line(x, 0.01), line(0.01, x), x.into()]);
            lines.collect()
        }
        // Of these two every number has a meaning.
        Value::Integer(_) if ["seed", "checkpoint_every"].contains(&key) => vec![],
        Value::Integer(_) => vec![0.into()],
        Value::Array(_) => vec![vec![0_i64].into(), vec![4_000_000_000_i64].into()],
        _ => vec![],
    }
}

#[test]
fn every_number_of_every_algorithm_is_checked_as_it_is_used() {
    let mut checked = 0;
    for (name, _) in ALGORITHMS {
        let algo = AlgoConfig::default_for(name).unwrap();
        let table = Table::try_from(RunConfig::new("CartPole-v1", 8, 1000, algo)).unwrap();
        for (key, default) in values("", &table) {
            for value in impossible(&key, &default) {
                let problem = problem_with(&table, &key, value.clone());
                let named = problem.as_ref().is_some_and(|problem| problem.key == key);
                assert!(named, "{name}: {key} = {value}: {problem:?}");
                checked += 1;
            }
        }
    }
    assert!(checked > 500, "{checked}");
}

/// What runs on the defaults of an algorithm runs with any one number at the edge of single precision.
#[test]
fn what_single_precision_holds_is_accepted() {
    for (name, _) in ALGORITHMS {
        let algo = AlgoConfig::default_for(name).unwrap();
        let table = Table::try_from(RunConfig::new("CartPole-v1", 8, 1000, algo)).unwrap();
        for key in ["epsilon", "adam_epsilon", "value_coef", "kl_coef", "max_kl"] {
            if table["algo"].as_table().unwrap().contains_key(key) {
                for value in [1.2e-38, 3.4e38] {
                    let problem = problem_with(&table, &format!("algo.{key}"), value.into());
                    assert_eq!(problem, None, "{name}");
                }
            }
        }
    }
}

/// The largest whole number of TOML, for every count of every algorithm.
#[test]
fn no_count_is_larger_than_what_can_be_counted() {
    for (name, _) in ALGORITHMS {
        let algo = AlgoConfig::default_for(name).unwrap();
        let table = Table::try_from(RunConfig::new("CartPole-v1", 8, 1000, algo)).unwrap();
        for (key, default) in values("", &table) {
            let any = ["seed", "checkpoint_every", "total_steps"].contains(&key.as_str());
            if default.is_integer() && !any {
                let problem = problem_with(&table, &key, i64::MAX.into());
                assert!(problem.is_some(), "{name}: {key}");
            }
        }
    }
}

#[test]
fn a_batch_that_does_not_divide_says_what_would() {
    let message = refusal(|c| ppo(c).minibatches = 7);
    assert_eq!(
        message,
        "algo.minibatches: 7 parts do not divide the batch of 64 samples \
         (algo.steps 16 × num_envs 4); choose a divisor of 64"
    );
}

#[test]
fn an_unknown_environment_gets_a_suggestion() {
    let message = refusal(|c| c.env = "Cartpole-v1".into());
    assert!(message.contains("CartPole-v1"), "{message}");
}

#[test]
fn a_configuration_survives_toml() {
    let config = small();
    let text = toml::to_string_pretty(&config).unwrap();
    assert_eq!(
        toml::from_str::<RunConfig>(&text).unwrap(),
        config,
        "{text}"
    );
}

/// −5 and 2 are limits that an output of the network approaches and never reaches.
#[test]
fn a_deviation_that_depends_on_the_observation_starts_inside_its_limits() {
    let problem = |std, log_std| {
        let mut config = small();
        config.env = "Pendulum-v1".into();
        config.network.std = std;
        config.network.log_std = log_std;
        config.validate().err().map(|problem| problem.key)
    };
    for log_std in [-5.0, -6.0, 2.0, 3.0] {
        let refused = Some("network.log_std".into());
        assert_eq!(problem(Std::Dependent, log_std), refused, "{log_std}");
        assert_eq!(problem(Std::Independent, log_std), None, "{log_std}");
    }
    for log_std in [-4.99, 0.0, 1.99] {
        assert_eq!(problem(Std::Dependent, log_std), None, "{log_std}");
    }
}

#[test]
fn numbers_in_messages_have_exponents_only_where_they_are_long() {
    let said = |epsilon| refusal(|c| ppo(c).adam_epsilon = epsilon);
    for (epsilon, shown) in [(0.0, "0"), (-0.25, "-0.25"), (-1e-9, "-1e-9")] {
        let message = said(epsilon);
        let start = format!("algo.adam_epsilon: is {shown}, must be");
        assert!(message.starts_with(&start), "{message}");
    }
}
