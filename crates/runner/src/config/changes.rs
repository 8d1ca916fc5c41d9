//! Changes to a whole configuration as text: the form of `--set`, and conditional changes.
//!
//! ```text
//! KEY=VALUE     as for --set
//! KEY?=VALUE    only if the configuration has it off: 0, false, or a constant if VALUE is a schedule
//! $KEY          in a VALUE: the value before all changes; $KEY.from and $KEY.to are the ends of a schedule
//! ```

use super::{Edit, algorithm_name, check::check, is_schedule, merge, parse_change, template};
use anyhow::Context;
use toml::{Table, Value};
use uphill_algos::RunConfig;

/// Table with a value for every key of a configuration.
pub(crate) fn table(config: &RunConfig) -> anyhow::Result<Table> {
    Ok(Table::try_from(config)?)
}

/// Configuration of a table.
pub(crate) fn untable(table: Table) -> anyhow::Result<RunConfig> {
    let config: RunConfig = Value::Table(table).try_into()?;
    config.validate()?;
    Ok(config)
}

/// Configuration `before` after all changes, applied in order. A change of `algo.name` starts from the defaults of that
/// algorithm.
pub(crate) fn changed(before: &Table, changes: &[String]) -> anyhow::Result<Table> {
    let edits = (changes.iter())
        .map(|change| Change::parse(change, before).with_context(|| change.clone()))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let own = algorithm_name(before)?;
    let mut asked = own.clone();
    for change in &edits {
        let name = algorithm_name(&change.edit.table);
        asked = name.with_context(|| change.edit.label.clone())?.or(asked);
    }
    let template = template(asked.as_deref()).context("algo.name")?;
    let mut after = before.clone();
    if asked != own
        && let Some(algo) = template.get("algo")
    {
        after.insert("algo".to_owned(), algo.clone());
    }
    for Change { edit, key, weak } in edits {
        let value = at(&edit.table, &key);
        let on = at(&after, &key).zip(value).is_some_and(is_on);
        let mut merged = after.clone();
        merge(&mut merged, edit.table);
        check(&merged, &template).with_context(|| edit.label)?;
        if !(weak && on) {
            after = merged;
        }
    }
    Ok(after)
}

/// Condition KEY=VALUE and the configuration's own value of that key.
pub(crate) struct Compared {
    pub(crate) key: String,
    pub(crate) found: Value,
    pub(crate) wanted: Value,
}

impl Compared {
    pub(crate) fn of(table: &Table, condition: &str) -> anyhow::Result<Self> {
        let compare = || -> anyhow::Result<Self> {
            let Change { edit, key, .. } = Change::parse(condition, table)?;
            check(&edit.table, &template(algorithm_name(table)?.as_deref())?)?;
            let values = at(table, &key).zip(at(&edit.table, &key));
            let (found, wanted) = values.context("expected KEY=VALUE")?;
            Ok(Self { key, found, wanted })
        };
        compare().with_context(|| condition.to_owned())
    }

    /// Whether the configuration has that value; 0 and 0.0 are the same.
    pub(crate) fn holds(&self) -> bool {
        match (number(&self.found), number(&self.wanted)) {
            (Some(found), Some(wanted)) => found == wanted,
            _ => self.found == self.wanted,
        }
    }
}

struct Change {
    edit: Edit,
    key: String,
    /// Applied only if the configuration has it off.
    weak: bool,
}

impl Change {
    fn parse(change: &str, before: &Table) -> anyhow::Result<Self> {
        let (key, value, weak) = match (change.split_once("?="), change.split_once('=')) {
            (Some((key, value)), _) if !key.contains('=') => (key, value, true),
            (_, Some((key, value))) => (key, value, false),
            _ => (change, "", false),
        };
        let text = match change.contains('=') {
            true => format!("{key}={}", substituted(value, before)?),
            false => change.to_owned(),
        };
        Ok(Self {
            edit: parse_change(change.to_owned(), &text, "")?,
            key: key.trim().to_owned(),
            weak,
        })
    }
}

/// Value with every `$KEY` replaced by the configuration's value of that key.
fn substituted(value: &str, table: &Table) -> anyhow::Result<String> {
    let mut parts = value.split('$');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '.'));
        let (key, rest) = part.split_at(end.unwrap_or(part.len()));
        let Some(own) = at(table, key) else {
            // Names what is wrong with the key.
            let wrong = parse_change(format!("${key}"), &format!("{key}=0"), "")?;
            check(&wrong.table, &template(algorithm_name(table)?.as_deref())?)
                .with_context(|| wrong.label)?;
            anyhow::bail!("${key}: there is no such value in the configuration");
        };
        text.push_str(&own.to_string());
        text.push_str(rest);
    }
    Ok(text)
}

/// Value at a dotted path. A number is both ends of a constant schedule.
fn at(table: &Table, path: &str) -> Option<Value> {
    let mut parts = path.split('.').map(str::trim);
    let mut value = table.get(parts.next()?)?;
    for part in parts {
        value = match value {
            Value::Table(table) => table.get(part)?,
            Value::Float(_) | Value::Integer(_) if part == "from" || part == "to" => value,
            _ => return None,
        };
    }
    Some(value.clone())
}

/// Whether the configuration's value counts as on, beside the value that would replace it.
fn is_on((own, other): (Value, Value)) -> bool {
    let schedule = |value: &Value| value.as_table().is_some_and(is_schedule);
    match number(&own) {
        Some(x) => x != 0.0 && !schedule(&other),
        None => own.as_bool().unwrap_or(true),
    }
}

fn number(value: &Value) -> Option<f64> {
    value
        .as_float()
        .or_else(|| value.as_integer().map(|x| x as f64))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::config::load;

    /// `ppo-cartpole` after some changes: the values at these keys.
    fn after(changes: &[&str], keys: &[&str]) -> Vec<String> {
        let changes: Vec<String> = changes.iter().map(|change| (*change).to_owned()).collect();
        let base = table(&load("ppo-cartpole", &[]).unwrap().config).unwrap();
        let after = changed(&base, &changes).unwrap();
        untable(after.clone()).unwrap();
        let text = |key: &&str| at(&after, key).unwrap().to_string();
        keys.iter().map(text).collect()
    }

    #[test]
    fn a_change_is_what_set_takes_and_what_is_on_stays() {
        for (change, key, value) in [
            ("algo.clip=0.3", "algo.clip", "0.3"),
            (
                "network.activation = relu",
                "network.activation",
                "\"relu\"",
            ),
            ("algo.gamma?=0.5", "algo.gamma", "0.98"),
            ("algo.target_kl?=0.5", "algo.target_kl", "0.5"),
            ("normalize.obs?=true", "normalize.obs", "true"),
            ("algo.gae_lambda=$algo.gamma", "algo.gae_lambda", "0.98"),
            (
                "algo.gamma=$algo.critic_learning_rate.from",
                "algo.gamma",
                "0.001",
            ),
            (
                "algo.critic_learning_rate?={ from = $algo.critic_learning_rate.from, to = 0 }",
                "algo.critic_learning_rate",
                "{ from = 0.001, to = 0 }",
            ),
            (
                "algo.critic_learning_rate?=0.5",
                "algo.critic_learning_rate",
                "0.001",
            ),
        ] {
            assert_eq!(after(&[change], &[key]), [value], "{change}");
        }
    }

    /// A `$KEY` is of the configuration before all of them, whatever their order.
    #[test]
    fn another_algorithm_begins_with_its_defaults() {
        let changes = [
            "algo.critic.epochs=$algo.epochs",
            "algo.name=trpo",
            "algo.gamma=0.9",
        ];
        let keys = [
            "algo.name",
            "algo.critic.epochs",
            "algo.gamma",
            "algo.max_kl",
        ];
        let epochs = &after(&[], &["algo.epochs"])[0];
        assert_eq!(after(&changes, &keys), ["\"trpo\"", epochs, "0.9", "0.01"]);
    }

    #[test]
    fn conditions_compare_values_and_not_their_spelling() {
        let base = table(&load("ppo-cartpole", &[]).unwrap().config).unwrap();
        for (condition, expected) in [
            ("algo.target_kl=0", true),
            ("algo.target_kl=0.1", false),
            ("algo.name=ppo", true),
            ("normalize.obs=true", false),
            ("algo.gae_lambda=$algo.gae_lambda", true),
        ] {
            let compared = Compared::of(&base, condition).unwrap();
            assert_eq!(compared.holds(), expected, "{condition}");
        }
    }

    #[test]
    fn mistakes_name_the_change_and_the_key() {
        let base = table(&load("ppo-cartpole", &[]).unwrap().config).unwrap();
        for (change, parts) in [
            (
                "algo.clipp=0.1",
                vec!["algo.clipp=0.1: algo.clipp: unknown key", "\"clip\""],
            ),
            (
                "algo.clip",
                vec!["algo.clip: expected KEY=VALUE, for example algo.clip=0.1"],
            ),
            (
                "algo.epochs=0.5",
                vec!["algo.epochs=0.5: algo.epochs: expected a whole number"],
            ),
            (
                "algo.epochs=$algo.epoch",
                vec!["$algo.epoch: algo.epoch: unknown key", "\"epochs\""],
            ),
            (
                "algo.name=pppo",
                vec![
                    "algo.name: algo.name: unknown algorithm \"pppo\"",
                    "\"ppo\"",
                ],
            ),
            (
                "network.init?=orthogonl",
                vec!["network.init: is \"orthogonl\", must be one of"],
            ),
        ] {
            let error = changed(&base, &[change.to_owned()]).unwrap_err();
            let text = format!("{error:#}");
            for part in parts {
                assert!(text.contains(part), "{change}: {text}");
            }
        }
    }
}
