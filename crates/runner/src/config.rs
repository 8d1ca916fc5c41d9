//! From TOML and `--set` to a checked [`RunConfig`].
//!
//! Unknown keys and wrong types are found by comparing with the defaults written as TOML, so every
//! message names the file, the whole key and what would be right.

use crate::{
    failure::{UsageError, usage},
    presets,
};
use anyhow::{Context, anyhow, bail};
use std::{fs, path::Path};
use toml::{Table, Value};
use uphill_algos::{ALGORITHMS, AlgoConfig, RunConfig};

/// A configuration and the name to call its runs by.
pub(crate) struct Source {
    pub(crate) name: String,
    pub(crate) config: RunConfig,
}

/// Reads the file at `path`, or the preset of that name, and applies `--set` entries in order.
pub(crate) fn load(path: &str, sets: &[String]) -> anyhow::Result<Source> {
    let (name, label, text) = find(path)?;
    let config = resolve(&label, &text, sets).map_err(usage)?;
    Ok(Source { name, config })
}

/// Reads a run directory's resolved configuration and applies `--set` entries in order.
pub(crate) fn load_file(path: &Path, sets: &[String]) -> anyhow::Result<RunConfig> {
    let text = fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    resolve(&path.display().to_string(), &text, sets).map_err(usage)
}

/// The file's stem or the preset's name, a label for messages, and the text.
fn find(path: &str) -> anyhow::Result<(String, String, String)> {
    if let Some(preset) = presets::find(path) {
        let label = format!("preset {path}");
        return Ok((path.to_owned(), label, preset.text.to_owned()));
    }
    let text = fs::read_to_string(path).map_err(|error| {
        let names = presets::PRESETS.iter().map(|preset| preset.name);
        let hint = suggestion(path, names).map_or_else(
            || "`uphill list presets` shows the built-in ones".to_owned(),
            |name| format!("did you mean the preset {name:?}?"),
        );
        UsageError(format!("{path}: {error}; {hint}"))
    })?;
    let stem = Path::new(path).file_stem().unwrap_or_default();
    Ok((stem.to_string_lossy().into_owned(), path.to_owned(), text))
}

fn resolve(label: &str, text: &str, sets: &[String]) -> anyhow::Result<RunConfig> {
    let mut table: Table = toml::from_str(text).with_context(|| label.to_owned())?;
    let edits = sets
        .iter()
        .map(|set| parse_set(set))
        .collect::<anyhow::Result<Vec<_>>>()?;

    // The algorithm decides which keys there are, so it is looked up first, edits included.
    let mut name = algorithm_name(&table);
    for edit in &edits {
        name = algorithm_name(&edit.table).or(name);
    }
    let template = template(name.as_deref()).with_context(|| label.to_owned())?;

    check(&table, &template, "").with_context(|| label.to_owned())?;
    for edit in edits {
        check(&edit.table, &template, "").with_context(|| edit.label.clone())?;
        merge(&mut table, edit.table);
    }
    let config: RunConfig = Value::Table(table)
        .try_into()
        .with_context(|| label.to_owned())?;
    config.validate().with_context(|| label.to_owned())?;
    Ok(config)
}

/// One `--set`: the tables down to its key, and nothing else.
struct Edit {
    label: String,
    table: Table,
}

fn parse_set(set: &str) -> anyhow::Result<Edit> {
    let label = format!("--set {set}");
    let Some((key, value)) = set.split_once('=') else {
        bail!("{label}: expected KEY=VALUE, for example --set algo.clip=0.1");
    };
    // A bare word is a text, so that names need no quotes inside the shell's quotes.
    let text = format!("value = {}", value.trim());
    let parsed = toml::from_str::<Table>(&text)
        .ok()
        .and_then(|mut t| t.remove("value"));
    let value = parsed.unwrap_or_else(|| Value::String(value.trim().to_owned()));
    let (outer, inner) = match key.trim().split_once('.') {
        Some((outer, inner)) => (outer, inner.rsplit('.').fold(value, wrap)),
        None => (key.trim(), value),
    };
    let table = Table::from_iter([(outer.to_owned(), inner)]);
    Ok(Edit { label, table })
}

/// A table with nothing but `value` under `key`.
fn wrap(value: Value, key: &str) -> Value {
    Value::Table(Table::from_iter([(key.to_owned(), value)]))
}

fn algorithm_name(table: &Table) -> Option<String> {
    Some(table.get("algo")?.get("name")?.as_str()?.to_owned())
}

/// Every key there is for this algorithm, with its default.
fn template(algorithm: Option<&str>) -> anyhow::Result<Table> {
    let names = || ALGORITHMS.iter().map(|(name, _)| *name);
    let known = names().collect::<Vec<_>>().join(", ");
    let Some(algorithm) = algorithm else {
        bail!("algo.name: missing; it names the algorithm, one of: {known}");
    };
    let Some(algo) = AlgoConfig::default_for(algorithm) else {
        let hint = did_you_mean(algorithm, names());
        bail!("algo.name: unknown algorithm {algorithm:?}{hint}; there are: {known}");
    };
    Ok(Table::try_from(RunConfig::new("", 1, 1, algo))?)
}

/// Whether every key of `table` is in `template`, with a value of the same type.
fn check(table: &Table, template: &Table, prefix: &str) -> anyhow::Result<()> {
    for (key, value) in table {
        let path = format!("{prefix}{key}");
        let Some(expected) = template.get(key) else {
            let known: Vec<&str> = template.keys().map(String::as_str).collect();
            let hint = did_you_mean(key, known.iter().copied());
            bail!(
                "{path}: unknown key{hint}; known here: {}",
                known.join(", ")
            );
        };
        if let (Value::Table(inner), Value::Table(expected)) = (value, expected)
            && !is_schedule(expected)
        {
            check(inner, expected, &format!("{path}."))?;
        } else {
            check_type(value, expected).map_err(|problem| anyhow!("{path}: {problem}"))?;
        }
    }
    Ok(())
}

/// A number that may also be written as `{ from = …, to = … }`.
fn is_schedule(table: &Table) -> bool {
    table.len() == 2 && table.contains_key("from") && table.contains_key("to")
}

fn check_type(value: &Value, expected: &Value) -> Result<(), String> {
    let fits = match (value, expected) {
        // Whether a number may be a schedule is serde's to say, with the right words.
        (Value::Table(_), Value::Float(_)) => true,
        (Value::Integer(_) | Value::Float(_), Value::Table(table)) => is_schedule(table),
        (Value::Table(_), Value::Table(_)) => true,
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
        "expected {}, found {} {value}",
        describe(expected),
        value.type_str()
    ))
}

fn describe(expected: &Value) -> String {
    match expected {
        Value::Integer(_) => "a whole number".to_owned(),
        Value::Float(x) => format!("a number such as {x}"),
        Value::Boolean(_) => "true or false".to_owned(),
        Value::Table(table) if is_schedule(table) => {
            "a number, or a table { from = …, to = … }".to_owned()
        }
        Value::Array(_) => format!("a list such as {expected}"),
        other => format!("a {}", other.type_str()),
    }
}

fn merge(into: &mut Table, from: Table) {
    for (key, value) in from {
        match (into.get_mut(&key), value) {
            (Some(Value::Table(inner)), Value::Table(edit)) if !is_schedule(&edit) => {
                merge(inner, edit);
            }
            (_, value) => {
                into.insert(key, value);
            }
        }
    }
}

/// The candidate most like `word`, if one is close.
fn suggestion<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .map(|candidate| (strsim::jaro_winkler(word, candidate), candidate))
        .filter(|(likeness, _)| *likeness > 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

/// ", did you mean …?" if a candidate is like `word`, else nothing.
pub(crate) fn did_you_mean<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> String {
    suggestion(word, candidates)
        .map_or_else(String::new, |name| format!(", did you mean {name:?}?"))
}
