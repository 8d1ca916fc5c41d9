//! Whether a run's configuration is still the one that its checkpoint was made with.

use anyhow::bail;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};
use toml::{Table, Value};
use uphill_algos::{Checkpoint, RunConfig};

use super::is_schedule;

/// Keys that do not alter what has been learnt so far.
pub(crate) const RESUMABLE: [&str; 2] = ["total_steps", "checkpoint_every"];

/// Keys that have to be as they were for a run to go on exactly.
pub(crate) fn to_go_on(key: &str) -> bool {
    !RESUMABLE.contains(&key)
}

/// Keys that have to be as they were for the policy to act as it learnt to.
pub(crate) fn to_act(key: &str) -> bool {
    let decide = ["env", "frames", "network.", "normalize.obs"];
    // The same numbers but for rounding.
    key != "network.fused" && decide.iter().any(|start| key.starts_with(start))
}

/// Whether all keys that are `needed` have the values that `checkpoint`, read from `path`, was made with.
pub(crate) fn check_kept(
    (source, config): (&Path, &RunConfig),
    (path, checkpoint): (&Path, &Checkpoint),
    needed: fn(&str) -> bool,
) -> anyhow::Result<()> {
    let (now, then) = (values(config)?, values(&checkpoint.config()?)?);
    let keys: BTreeSet<&String> = now.keys().chain(then.keys()).collect();
    let mut changed: Vec<&String> = keys
        .into_iter()
        .filter(|key| needed(key) && now.get(*key) != then.get(*key))
        .collect();
    // Then it is of another run altogether, and the rest says nothing more.
    let telling = |key: &&String| ["env", "algo.name"].contains(&key.as_str());
    if changed.iter().any(telling) {
        changed.retain(telling);
    }
    if changed.is_empty() {
        return Ok(());
    }
    let said = |values: &BTreeMap<String, Value>| {
        let said = changed
            .iter()
            .filter_map(|key| Some(format!("{key} = {}", values.get(*key)?)));
        said.collect::<Vec<_>>().join(", ")
    };
    let source = source.display();
    bail!(
        "{}: made with {}; but {source} has {}: put that back, or start a new run with `uphill train {source}`",
        path.display(),
        said(&then),
        said(&now),
    )
}

/// Every value under its dotted key.
fn values(config: &RunConfig) -> anyhow::Result<BTreeMap<String, Value>> {
    fn gather(prefix: &str, table: Table, into: &mut BTreeMap<String, Value>) {
        for (key, value) in table {
            let key = format!("{prefix}{key}");
            match value {
                Value::Table(inner) if !is_schedule(&inner) => {
                    gather(&format!("{key}."), inner, into);
                }
                value => {
                    into.insert(key, value);
                }
            }
        }
    }
    let mut values = BTreeMap::new();
    gather("", Table::try_from(config)?, &mut values);
    Ok(values)
}
