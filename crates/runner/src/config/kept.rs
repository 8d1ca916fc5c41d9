//! Whether a run's configuration is still the one that its checkpoint was made with.

use super::is_schedule;
use crate::failure::UsageError;
use anyhow::bail;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};
use toml::{Table, Value};
use uphill_algos::{Checkpoint, RunConfig};

/// Keys that do not alter what has been learnt so far.
pub(crate) const RESUMABLE: [&str; 2] = ["total_steps", "checkpoint_every"];

/// Keys that decide what a policy does with an observation, but for those of `network` and `normalize.obs`.
const INPUTS: [&str; 2] = ["env", "frames"];

/// Keys of `network` that decide where training starts, or how the same numbers are computed.
const NOT_LEARNT: [&str; 3] = ["network.init", "network.log_std", "network.fused"];

/// Keys that have to be as they were for a run to go on exactly.
pub(crate) fn fixed_on_resume(key: &str) -> bool {
    !RESUMABLE.contains(&key)
}

/// Keys that have to be as they were for a policy to act as it learnt to.
pub(crate) fn fixed_for_acting(key: &str) -> bool {
    let network = key.starts_with("network.") && !NOT_LEARNT.contains(&key);
    let inputs = INPUTS.contains(&key) || key.starts_with("env.");
    network || key.starts_with("normalize.obs") || inputs
}

/// Whether all `fixed` keys of `config`, read from `source`, have the values that `checkpoint`, read from `path`,
/// was made with.
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
    // Then it is of another run altogether, and the rest says nothing more.
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

/// Every value under its dotted key.
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
