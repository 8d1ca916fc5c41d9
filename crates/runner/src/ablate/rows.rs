//! `ablation.csv`: one row per run, written as soon as the run ends.

use crate::place::Growing;
use anyhow::Context;
use serde::{Deserialize, Serialize};
use std::{fs, path::Path};
use uphill_algos::checkpoint::write_atomically;

/// Results of one run. An undefined value is an empty cell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) variant: String,
    pub(crate) seed: u64,
    /// Mean return of the last 100 training episodes; `None` for a run that diverged.
    pub(crate) final_return: Option<f64>,
    /// Mean height of the learning curve (mean return of the last 100 episodes, by iteration): the area under it,
    /// divided by its length.
    pub(crate) curve_mean: Option<f64>,
    /// Mean and maximum over the iterations, in nats.
    pub(crate) approx_kl_mean: Option<f64>,
    pub(crate) approx_kl_max: Option<f64>,
    pub(crate) env_steps: u64,
    pub(crate) episodes: u64,
    pub(crate) diverged: bool,
    pub(crate) seconds: f64,
    pub(crate) device: String,
}

/// Rows on disk, and the file to which further ones are appended.
pub(crate) struct Rows {
    file: Growing,
    pub(crate) rows: Vec<Row>,
}

impl Rows {
    /// Opens or creates the file. A truncated last row is removed.
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        let context = || format!("ablation {}", path.display());
        let mut rows = Vec::new();
        if path.is_file() {
            let text = fs::read_to_string(path).with_context(context)?;
            let whole = text.rfind('\n').map_or("", |end| &text[..=end]);
            let mut reader = csv::Reader::from_reader(whole.as_bytes());
            for row in reader.deserialize() {
                rows.push(row.with_context(context)?);
            }
            let kept = if rows.is_empty() { "" } else { whole };
            write_atomically(path, kept.as_bytes()).with_context(context)?;
        }
        let file = match rows.is_empty() {
            true => Growing::create(path)?,
            false => Growing::open(path)?,
        };
        Ok(Self { file, rows })
    }

    pub(crate) fn has(&self, variant: &str, seed: u64) -> bool {
        (self.rows.iter()).any(|row| row.variant == variant && row.seed == seed)
    }

    /// Appends a row and flushes it to the operating system.
    pub(crate) fn push(&mut self, row: Row) -> anyhow::Result<()> {
        let context = || format!("writing {}", self.file.path().display());
        let mut line = csv::WriterBuilder::new()
            .has_headers(self.rows.is_empty())
            .from_writer(vec![]);
        line.serialize(&row).with_context(context)?;
        self.file.push(&line.into_inner().with_context(context)?);
        self.file.flush()?;
        self.rows.push(row);
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn row(seed: u64) -> Row {
        Row {
            variant: "ppo".to_owned(),
            seed,
            final_return: (seed != 2).then_some(-150.25),
            curve_mean: Some(-700.5),
            approx_kl_mean: Some(0.01),
            approx_kl_max: None,
            env_steps: 1024,
            episodes: 5,
            diverged: seed == 2,
            seconds: 0.5,
            device: "flex".to_owned(),
        }
    }

    #[test]
    fn rows_survive_and_a_torn_one_goes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ablation.csv");
        let mut rows = Rows::open(&path).unwrap();
        rows.push(row(1)).unwrap();
        rows.push(row(2)).unwrap();
        drop(rows);
        let whole = fs::read_to_string(&path).unwrap();
        assert_eq!(whole.lines().count(), 3);

        let torn = format!("{whole}ppo,3,-150.2,-7");
        fs::write(&path, torn).unwrap();
        let mut rows = Rows::open(&path).unwrap();
        assert_eq!(rows.rows, [row(1), row(2)]);
        assert!(rows.has("ppo", 2) && !rows.has("ppo", 3) && !rows.has("trpo", 1));
        rows.push(row(3)).unwrap();
        drop(rows);
        let text = fs::read_to_string(&path).unwrap();
        assert!(
            text.starts_with(&whole) && text.lines().count() == 4,
            "{text}"
        );
        assert_eq!(Rows::open(&path).unwrap().rows, [row(1), row(2), row(3)]);
    }

    #[test]
    fn a_torn_header_is_written_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ablation.csv");
        for torn in ["", "variant,se", "variant,seed\n"] {
            fs::write(&path, torn).unwrap();
            let mut rows = Rows::open(&path).unwrap();
            rows.push(row(1)).unwrap();
            drop(rows);
            assert_eq!(Rows::open(&path).unwrap().rows, [row(1)]);
        }
    }

    #[test]
    fn something_else_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ablation.csv");
        fs::write(&path, "a,b\n1,2\n").unwrap();
        assert!(Rows::open(&path).is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "a,b\n1,2\n");
    }
}
