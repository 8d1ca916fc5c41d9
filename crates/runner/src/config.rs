//! Loading of configurations: from TOML and `--set` to a validated `RunConfig`.
//!
//! Errors are found before anything is deserialised ([`mod@check`]), so every message names the file or the `--set`,
//! the whole key and a valid value.

pub(crate) mod changes;
mod check;
pub(crate) mod kept;

use crate::{
    failure::{UsageError, usage},
    presets,
};
use anyhow::{Context, anyhow, bail};
use check::{SCHEDULE, check, check_complete, is_schedule, misfits};
pub(crate) use kept::{RESUMABLE, check_kept, fixed_for_acting, fixed_on_resume};
use std::{fs, path::Path};
use toml::{Table, Value};
use uphill_algos::{AlgoConfig, Footprint, RunConfig, algorithms};

/// A configuration and its names.
pub(crate) struct Source {
    /// Name for run directories: the file's stem or the preset's name.
    pub(crate) name: String,
    /// Name for messages: the file or preset, and the `--set` entries.
    pub(crate) label: String,
    pub(crate) config: RunConfig,
}

impl Source {
    /// Checks that the environment exists, that the policy fits its actions, and that no size exceeds all memory.
    pub(crate) fn check_env(&self) -> anyhow::Result<()> {
        let suits = || -> anyhow::Result<()> {
            let spec = uphill_envs::spec(&self.config.env).context("env")?;
            Footprint::addressable(&self.config, &spec)?;
            Ok(())
        };
        suits().with_context(|| self.label.clone()).map_err(usage)
    }
}

/// Reads the file at `path`, or the preset of that name, and applies `--set` entries in order.
pub(crate) fn load(path: &str, sets: &[String]) -> anyhow::Result<Source> {
    let (name, label, text) = find(path)?;
    let config = resolve(&label, &text, sets).map_err(usage)?;
    let label = whole_label(&label, sets);
    Ok(Source {
        name,
        label,
        config,
    })
}

/// Reads a run directory's resolved configuration and applies `--set` entries in order.
pub(crate) fn load_file(path: &Path, sets: &[String]) -> anyhow::Result<RunConfig> {
    let bytes = fs::read(path).with_context(|| format!("reading {}", path.display()))?;
    let text = text_of(bytes).with_context(|| path.display().to_string())?;
    resolve(&path.display().to_string(), &text, sets).map_err(usage)
}

/// The file's stem or the preset's name, a label for messages, and the text.
fn find(path: &str) -> anyhow::Result<(String, String, String)> {
    if let Some(preset) = presets::find(path) {
        let label = format!("preset {path}");
        return Ok((path.to_owned(), label, preset.text.to_owned()));
    }
    if Path::new(path).is_dir() {
        bail!(UsageError(about_directory(path)));
    }
    let bytes = fs::read(path).map_err(|error| {
        let names = presets::PRESETS.iter().map(|preset| preset.name);
        let hint = suggestion(path, names).map_or_else(
            || "`uphill list presets` shows the built-in ones".to_owned(),
            |name| format!("did you mean the preset {name:?}?"),
        );
        UsageError(format!("{path}: {error}; {hint}"))
    })?;
    let text = text_of(bytes).context(path.to_owned()).map_err(usage)?;
    let stem = Path::new(path).file_stem().unwrap_or_default();
    Ok((stem.to_string_lossy().into_owned(), path.to_owned(), text))
}

/// Message for a directory in the place of a configuration.
fn about_directory(path: &str) -> String {
    let config = Path::new(path).join("config.toml");
    if config.is_file() {
        let config = config.display();
        format!(
            "{path} is a run directory: `uphill train --resume {path}` goes on with it, and `uphill train {config}` \
             begins a new run with its configuration"
        )
    } else {
        format!("{path} is a directory; give a TOML file, or a preset (see `uphill list presets`)")
    }
}

/// The text of a file, which must be UTF-8.
pub(crate) fn text_of(bytes: Vec<u8>) -> anyhow::Result<String> {
    let wide = bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]);
    String::from_utf8(bytes).map_err(|error| {
        let read = error.utf8_error().valid_up_to();
        let line = 1 + error.as_bytes()[..read]
            .iter()
            .filter(|byte| **byte == b'\n')
            .count();
        let found = match error.as_bytes().get(read) {
            Some(byte) if !wide => format!("byte {byte:#04x} in line {line} is not"),
            _ => "this is UTF-16".to_owned(),
        };
        anyhow!("a configuration is text in UTF-8, and {found}; save the file as UTF-8")
    })
}

fn resolve(label: &str, text: &str, sets: &[String]) -> anyhow::Result<RunConfig> {
    let mut table: Table = toml::from_str(text).with_context(|| label.to_owned())?;
    let edits = sets
        .iter()
        .map(|set| parse_set(set))
        .collect::<anyhow::Result<Vec<_>>>()?;

    // The algorithm determines the valid keys, so it is looked up first, including edits.
    let own = algorithm_name(&table).with_context(|| label.to_owned())?;
    let mut asked = None;
    for edit in &edits {
        asked = algorithm_name(&edit.table)
            .with_context(|| edit.label.clone())?
            .or(asked);
    }
    let template = template(asked.as_deref().or(own.as_deref())).with_context(|| match &asked {
        Some(name) => format!("--set algo.name={name}"),
        None => label.to_owned(),
    })?;
    if let (Some(own), Some(asked)) = (&own, &asked) {
        check_algorithm(label, &table, own, (asked, &template))?;
    }

    check(&table, &template).with_context(|| label.to_owned())?;
    for edit in edits {
        merge(&mut table, edit.table);
        check(&table, &template).with_context(|| edit.label)?;
    }
    let valid = || -> anyhow::Result<RunConfig> {
        check_complete(&table)?;
        let config: RunConfig = Value::Table(table).try_into()?;
        config.validate()?;
        Ok(config)
    };
    valid().with_context(|| whole_label(label, sets))
}

/// Name of a file or preset with the `--set` entries, since an error may involve several values together.
fn whole_label(label: &str, sets: &[String]) -> String {
    let sets = sets.iter().map(|set| format!(" --set {set}"));
    format!("{label}{}", sets.collect::<String>())
}

/// Checks that a file's settings for its `own` algorithm are also valid for the one `asked` for.
fn check_algorithm(
    label: &str,
    table: &Table,
    own: &str,
    (asked, template): (&str, &Table),
) -> anyhow::Result<()> {
    let algo = table.get("algo").and_then(Value::as_table);
    let keys = algo.map_or(vec![], |algo| misfits(algo, template));
    if own == asked || keys.is_empty() {
        return Ok(());
    }
    bail!(
        "--set algo.name={asked}: the [algo] table of {label} is for {own}, and {asked} cannot take its {}; \
         start from a preset of {asked} ({}), or from a file without these keys",
        keys.join(", "),
        presets::of_algorithm(asked).join(", "),
    )
}

/// One change: the tables down to its key, and nothing else.
struct Edit {
    label: String,
    table: Table,
}

fn parse_set(set: &str) -> anyhow::Result<Edit> {
    parse_change(format!("--set {set}"), set, "--set ")
}

/// The change KEY=VALUE with the name `label`; `how` precedes changes on a command line.
fn parse_change(label: String, set: &str, how: &str) -> anyhow::Result<Edit> {
    let (key, value) = match set.split_once('=') {
        Some((key, value)) if key.split('.').all(|part| !part.trim().is_empty()) => (key, value),
        _ => bail!("{label}: expected KEY=VALUE, for example {how}algo.clip=0.1"),
    };
    // A bare word is a text, so that names need no quotes inside the shell's quotes.
    let text = format!("value = {}", value.trim());
    let parsed = toml::from_str::<Table>(&text)
        .ok()
        .and_then(|mut t| t.remove("value"));
    let value = match parsed {
        None if (value.trim().parse::<u128>()).is_ok_and(|n| n > i64::MAX as u128) => {
            bail!(
                "{label}: is more than {}, the largest whole number",
                i64::MAX
            )
        }
        None => Value::String(value.trim().to_owned()),
        Some(Value::Table(table)) if table.contains_key("from") != table.contains_key("to") => {
            bail!("{label}: a schedule has two ends, for example {SCHEDULE}")
        }
        Some(value) => value,
    };
    let (outer, inner) = match key.trim().split_once('.') {
        Some((outer, inner)) => (outer, inner.rsplit('.').fold(value, wrap)),
        None => (key.trim(), value),
    };
    let table = Table::from_iter([(outer.to_owned(), inner)]);
    Ok(Edit { label, table })
}

/// A table that contains only `value` under `key`.
fn wrap(value: Value, key: &str) -> Value {
    Value::Table(Table::from_iter([(key.to_owned(), value)]))
}

/// The table's `algo.name`; `None` if it has none.
fn algorithm_name(table: &Table) -> anyhow::Result<Option<String>> {
    match table.get("algo") {
        None => Ok(None),
        Some(Value::Table(algo)) => match algo.get("name") {
            None => Ok(None),
            Some(Value::String(name)) => Ok(Some(name.clone())),
            Some(other) => bail!(
                "algo.name: expected a string such as \"ppo\", found {} {other}",
                other.type_str()
            ),
        },
        Some(other) => bail!(
            "algo: expected a table such as [algo] with name = \"ppo\" in it, found {} {other}",
            other.type_str()
        ),
    }
}

/// All keys for this algorithm, with their defaults.
fn template(algorithm: Option<&str>) -> anyhow::Result<Table> {
    let names = || algorithms().into_iter().map(|(name, _)| name);
    let known = names().collect::<Vec<_>>().join(", ");
    let Some(algorithm) = algorithm else {
        bail!(
            "algo.name: missing; it names the algorithm, write for example:\n\n\
             [algo]\nname = \"ppo\"\n\nThere are: {known}"
        );
    };
    let Some(algo) = AlgoConfig::default_for(algorithm) else {
        let hint = did_you_mean(algorithm, names());
        bail!("algo.name: unknown algorithm {algorithm:?}{hint}; there are: {known}");
    };
    Ok(Table::try_from(RunConfig::new("", 1, 1, algo))?)
}

fn merge(into: &mut Table, from: Table) {
    // A name alone becomes a table, which may also have options.
    if let (Some(Value::Table(_)), Some(name @ Value::String(_))) =
        (from.get("env"), into.get_mut("env"))
    {
        *name = wrap(name.clone(), "name");
    }
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

/// The candidate most similar to `word`, if one is close.
fn suggestion<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .map(|candidate| (strsim::jaro_winkler(word, candidate), candidate))
        .filter(|(likeness, _)| *likeness > 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

/// ", did you mean …?" if a candidate is similar to `word`, else nothing.
pub(crate) fn did_you_mean<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> String {
    suggestion(word, candidates)
        .map_or_else(String::new, |name| format!(", did you mean {name:?}?"))
}
