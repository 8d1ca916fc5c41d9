//! Validation of the keys and values of a configuration table.
//!
//! Two sources are used. The defaults written as TOML contain every key and its type. Other errors are found by trying
//! a value alone in the place of its default, because serde's messages about a whole configuration do not name the key.

use super::did_you_mean;
use anyhow::bail;
use toml::{Table, Value};
use uphill_algos::RunConfig;

/// Keys without a default, with a line to start from.
const REQUIRED: [(&str, &str); 2] = [
    ("env", "env = \"CartPole-v1\""),
    ("total_steps", "total_steps = 100_000"),
];

/// Notation of a schedule.
pub(super) const SCHEDULE: &str = "{ from = 1e-3, to = 0 }";

/// Checks that every key of `table` is in `template`, a complete configuration, and has a valid value.
pub(super) fn check(table: &Table, template: &Table) -> anyhow::Result<()> {
    check_under("", table, template, template)
}

/// Checks that `table` has all keys without a default.
pub(super) fn check_complete(table: &Table) -> anyhow::Result<()> {
    for (key, line) in REQUIRED {
        if !table.contains_key(key) {
            bail!("{key}: missing; it has no default, write for example: {line}");
        }
    }
    Ok(())
}

/// Keys of the `[algo]` table that are unknown to the template's algorithm, or whose values it rejects.
pub(super) fn misfits(algo: &Table, template: &Table) -> Vec<String> {
    let fits = |key: &String, value: &Value| {
        let alone = Table::from_iter([(key.clone(), value.clone())]);
        let table = Table::from_iter([("algo".to_owned(), Value::Table(alone))]);
        key == "name" || check(&table, template).is_ok()
    };
    let unfit = algo.iter().filter(|(key, value)| !fits(key, value));
    unfit.map(|(key, _)| key.clone()).collect()
}

/// Whether a table is a number written as `{ from = …, to = … }`.
pub(super) fn is_schedule(table: &Table) -> bool {
    table.len() == 2 && table.contains_key("from") && table.contains_key("to")
}

/// Checks the table under the dotted `prefix` against that part of the template.
fn check_under(
    prefix: &str,
    table: &Table,
    expected: &Table,
    template: &Table,
) -> anyhow::Result<()> {
    for (key, value) in table {
        let path = format!("{prefix}{key}");
        let Some(expected) = expected.get(key) else {
            let known: Vec<&str> = expected.keys().map(String::as_str).collect();
            let hint = match elsewhere(key, template) {
                Some(path) => format!(", did you mean {path:?}?"),
                None => did_you_mean(key, known.iter().copied()),
            };
            bail!(
                "{path}: unknown key{hint}; known here: {}",
                known.join(", ")
            );
        };
        if let ("env", Value::Table(env)) = (path.as_str(), value) {
            // Options are validated by the environment.
            if !env.get("name").is_some_and(Value::is_str) {
                bail!(
                    "env.name: missing; it names the environment beside its options, write for example: \
                     name = \"CartPole-v1\""
                );
            }
        } else if let (Value::Table(inner), Value::Table(expected)) = (value, expected)
            && !is_schedule(expected)
        {
            check_under(&format!("{path}."), inner, expected, template)?;
        } else if let Err(problem) = check_value(&path, value, expected, template) {
            bail!("{path}: {problem}");
        }
    }
    Ok(())
}

/// The whole path of a `key` that is in the wrong table.
fn elsewhere(key: &str, template: &Table) -> Option<String> {
    if template.contains_key(key) {
        return Some(key.to_owned());
    }
    template.iter().find_map(|(name, value)| match value {
        Value::Table(inner) if !is_schedule(inner) => {
            Some(format!("{name}.{}", elsewhere(key, inner)?))
        }
        _ => None,
    })
}

fn check_value(
    path: &str,
    value: &Value,
    expected: &Value,
    template: &Table,
) -> Result<(), String> {
    if let Some(choices) = expected.as_str().and_then(|_| choices(path, template)) {
        let word = value.as_str().unwrap_or_default();
        if choices.iter().any(|choice| choice == word) {
            return Ok(());
        }
        let hint = did_you_mean(word, choices.iter().map(String::as_str));
        let choices: Vec<String> = choices.iter().map(|choice| format!("{choice:?}")).collect();
        return Err(format!(
            "is {value}, must be one of {}{hint}",
            choices.join(", ")
        ));
    }
    check_type(value, expected)?;
    attempt(path, value, template).map_err(|message| match (value, expected) {
        (Value::Table(_), Value::Float(_)) if message.starts_with("invalid type: map") => {
            format!(
                "expected {}; this one takes no schedule",
                describe(expected)
            )
        }
        (Value::Table(_), _) => format!("{message}; a schedule is written {SCHEDULE}"),
        _ => format!("expected {}, found {value}", describe(expected)),
    })
}

/// The valid words for the text at `path`; `None` if any text is valid.
///
/// An invalid word makes serde list them.
fn choices(path: &str, template: &Table) -> Option<Vec<String>> {
    let message = attempt(path, &Value::String("\0".to_owned()), template).err()?;
    let quoted = message.split('`').skip(1).step_by(2);
    // The first is the word itself.
    Some(quoted.skip(1).map(str::to_owned).collect())
}

/// Checks that the template remains valid with `value` at the dotted `path`; if not, returns serde's message.
fn attempt(path: &str, value: &Value, template: &Table) -> Result<(), String> {
    fn put(table: &mut Table, path: &str, value: &Value) {
        match path.split_once('.') {
            None => {
                table.insert(path.to_owned(), value.clone());
            }
            Some((outer, inner)) => {
                if let Some(Value::Table(table)) = table.get_mut(outer) {
                    put(table, inner, value);
                }
            }
        }
    }
    let mut whole = template.clone();
    put(&mut whole, path, value);
    let config = Value::Table(whole).try_into::<RunConfig>();
    config.map(|_| ()).map_err(|e| e.message().to_owned())
}

fn check_type(value: &Value, expected: &Value) -> Result<(), String> {
    let fits = match (value, expected) {
        // Serde decides whether a number may be a schedule.
        (Value::Table(_), Value::Float(_)) => true,
        (Value::Integer(_) | Value::Float(_), Value::Table(table)) => is_schedule(table),
        (Value::Integer(i), Value::Integer(_)) if *i < 0 => {
            return Err(format!("is {i}, must not be negative"));
        }
        (Value::Integer(_), Value::Float(_)) => true,
        _ => value.same_type(expected),
    };
    if fits {
        return Ok(());
    }
    Err(format!(
        "expected {}, found {} {value}{}",
        describe(expected),
        value.type_str(),
        as_whole_number(value, expected)
    ))
}

/// Advice for a float like 1e5 in the place of a whole number.
fn as_whole_number(value: &Value, expected: &Value) -> String {
    match (value, expected) {
        // Above 2⁵³ floats skip whole numbers.
        (Value::Float(x), Value::Integer(_)) if x.fract() == 0.0 && x.abs() < 9e15 => {
            format!("; write {}", grouped(*x as i64))
        }
        _ => String::new(),
    }
}

/// For example `100_000`.
fn grouped(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut text = if number < 0 { "-" } else { "" }.to_owned();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push('_');
        }
        text.push(digit);
    }
    text
}

fn describe(expected: &Value) -> String {
    match expected {
        Value::Integer(_) => "a whole number".to_owned(),
        Value::Float(x) => format!("a number such as {x}"),
        Value::Boolean(_) => "true or false".to_owned(),
        Value::Table(table) if is_schedule(table) => {
            format!("a number, or a schedule such as {SCHEDULE}")
        }
        Value::Array(_) => format!("a list of whole numbers such as {expected}"),
        other => format!("a {}", other.type_str()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_grouped_as_toml_allows() {
        for (number, text) in [
            (7, "7"),
            (100, "100"),
            (1000, "1_000"),
            (100_000, "100_000"),
            (-1_234_567, "-1_234_567"),
        ] {
            assert_eq!(grouped(number), text);
        }
    }
}
