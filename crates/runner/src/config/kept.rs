//! Comparison of a run's configuration with that of its checkpoint.

use super::is_schedule;
use crate::failure::UsageError;
use anyhow::bail;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};
use toml::{Table, Value};
use uphill_algos::{Checkpoint, RunConfig};

/// Keys that do not affect what has been learned so far.
pub(crate) const RESUMABLE: [&str; 2] = ["total_steps", "checkpoint_every"];

/// Keys that determine what a policy does with an observation, besides those of `network` and `normalize.obs`.
const INPUTS: [&str; 2] = ["env", "frames"];

/// Keys of `network` that determine where training starts, or how the same numbers are computed.
const NOT_LEARNT: [&str; 3] = ["network.init", "network.log_std", "network.fused"];

/// Whether `key` must be unchanged for a run to resume exactly.
pub(crate) fn fixed_on_resume(key: &str) -> bool {
    !RESUMABLE.contains(&key)
}

/// Whether `key` must be unchanged for a policy to act as it was trained.
pub(crate) fn fixed_for_acting(key: &str) -> bool {
    let network = key.starts_with("network.") && !NOT_LEARNT.contains(&key);
    let inputs = INPUTS.contains(&key) || key.starts_with("env.");
    network || key.starts_with("normalize.obs") || inputs
}

/// Checks that all `fixed` keys of `config`, read from `source`, have the values of `checkpoint`, read from `path`.
pub(crate) fn check_kept(
    (source, config): (&Path, &RunConfig),
    (path, checkpoint): (&Path, &Checkpoint),
    fixed: fn(&str) -> bool,
) -> anyhow::Result<()> {
    let (now, then) = (values(config)?, values(&checkpoint.config()?)?);
    let keys: BTreeSet<&String> = now.keys().chain(then.keys()).collect();
    let mut changed: Vec<&String> = keys
        .into_iter()
        .filter(|key| fixed(key) && now.get(*key) != then.get(*key))
        .collect();
    // If these differ, it is a different run altogether, and other differences are uninformative.
    let telling = |key: &&String| ["env", "env.name", "algo.name"].contains(&key.as_str());
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
    bail!(UsageError(format!(
        "{}: made with {}; but {source} has {}: put that back, or start a new run with `uphill train {source}`",
        path.display(),
        said(&then),
        said(&now),
    )))
}

/// All values by dotted key.
pub(crate) fn values(config: &RunConfig) -> anyhow::Result<BTreeMap<String, Value>> {
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
