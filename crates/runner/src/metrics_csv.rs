//! `metrics.csv`: one row per iteration. A value that does not exist is empty.

use anyhow::{Context, ensure};
use std::{
    fs::{File, OpenOptions},
    path::{Path, PathBuf},
};
use uphill_algos::{Report, checkpoint::write_atomically};

/// Columns that do not depend on the algorithm; its metrics follow.
const COMMON: [&str; 7] = [
    "iteration",
    "env_steps",
    "wall_s",
    "env_steps_per_s",
    "episodes",
    "episode_return_mean",
    "episode_length_mean",
];
const WALL_S: usize = 2;

/// The rows that led to a checkpoint.
pub(crate) struct Rows {
    csv: Vec<u8>,
    has_header: bool,
    /// On the clock by then.
    pub(crate) wall_s: f64,
}

impl Rows {
    /// Of the first `iterations`, without what was written after the checkpoint.
    pub(crate) fn read(path: &Path, iterations: u64) -> anyhow::Result<Self> {
        let context = || format!("metrics {}", path.display());
        let mut kept = csv::Writer::from_writer(Vec::new());
        let (mut rows, mut wall_s, mut has_header) = (0, 0.0, false);
        if path.is_file() {
            let mut reader = csv::ReaderBuilder::new()
                .flexible(true)
                .from_path(path)
                .with_context(context)?;
            let header = reader.headers().with_context(context)?.clone();
            has_header = !header.is_empty();
            if has_header {
                kept.write_record(&header)?;
            }
            for row in reader.records() {
                // The last line of a killed run may be cut anywhere.
                let Ok(row) = row else { break };
                let iteration: Option<u64> = row.get(0).and_then(|x| x.parse().ok());
                if row.len() != header.len() || iteration.is_none_or(|i| i > iterations) {
                    break;
                }
                wall_s = row
                    .get(WALL_S)
                    .and_then(|x| x.parse().ok())
                    .unwrap_or(wall_s);
                kept.write_record(&row)?;
                rows += 1;
            }
        }
        ensure!(
            rows == iterations,
            "metrics {}: has {rows} rows, the checkpoint is at iteration {iterations}; the file was changed or lost: \
             put it back, or start again with `uphill train {}`",
            path.display(),
            path.with_file_name("config.toml").display()
        );
        Ok(Self {
            csv: kept.into_inner().with_context(context)?,
            has_header,
            wall_s,
        })
    }
}

/// Appends rows to a run's metrics.
pub(crate) struct MetricsCsv {
    path: PathBuf,
    writer: csv::Writer<File>,
    has_header: bool,
}

impl MetricsCsv {
    /// A new file.
    pub(crate) fn create(path: &Path) -> anyhow::Result<Self> {
        let file = File::create(path).with_context(|| format!("writing {}", path.display()))?;
        Ok(Self::append_to(path, file, false))
    }

    /// Goes on with a file after its first `rows`, dropping those after them.
    pub(crate) fn resume(path: &Path, rows: &Rows) -> anyhow::Result<Self> {
        let context = || format!("metrics {}", path.display());
        write_atomically(path, &rows.csv).with_context(context)?;
        let file = OpenOptions::new()
            .append(true)
            .open(path)
            .with_context(context)?;
        Ok(Self::append_to(path, file, rows.has_header))
    }

    fn append_to(path: &Path, file: File, has_header: bool) -> Self {
        Self {
            path: path.to_owned(),
            writer: csv::Writer::from_writer(file),
            has_header,
        }
    }

    /// Adds an iteration's row.
    pub(crate) fn write(&mut self, report: &Report, wall_s: f64, rate: f64) -> anyhow::Result<()> {
        let context = || format!("writing {}", self.path.display());
        if !self.has_header {
            let names = report.metrics.0.iter().map(|(name, _)| *name);
            (self.writer.write_record(COMMON.into_iter().chain(names))).with_context(context)?;
            self.has_header = true;
        }
        let common = [
            report.iteration.to_string(),
            report.env_steps.to_string(),
            format!("{wall_s:.3}"),
            format!("{rate:.0}"),
            report.episodes.to_string(),
            optional(report.episode_return_mean),
            optional(report.episode_length_mean),
        ];
        let metrics = report.metrics.0.iter().map(|(_, value)| optional(*value));
        (self.writer.write_record(common.into_iter().chain(metrics))).with_context(context)
    }

    /// Hands all rows to the operating system and has it write them down.
    pub(crate) fn sync(&mut self) -> anyhow::Result<()> {
        self.flush()?;
        let context = || format!("writing {}", self.path.display());
        self.writer.get_ref().sync_data().with_context(context)
    }

    /// Hands all rows to the operating system.
    pub(crate) fn flush(&mut self) -> anyhow::Result<()> {
        let context = || format!("writing {}", self.path.display());
        self.writer.flush().with_context(context)
    }
}

fn optional(value: Option<f64>) -> String {
    value.map_or_else(String::new, |x| x.to_string())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use uphill_algos::Metrics;

    fn report(iteration: u64) -> Report {
        Report {
            iteration,
            env_steps: 10 * iteration,
            episodes: 0,
            episode_return_mean: None,
            episode_length_mean: None,
            improved: false,
            metrics: Metrics(vec![
                ("policy_loss", Some(0.5)),
                ("explained_variance", None),
            ]),
        }
    }

    fn lines(path: &Path) -> Vec<String> {
        let text = std::fs::read_to_string(path).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn values_that_do_not_exist_are_empty() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.csv");
        let mut csv = MetricsCsv::create(&path).unwrap();
        csv.write(&report(1), 2.0, 5.0).unwrap();
        csv.flush().unwrap();
        assert_eq!(lines(&path)[1], "1,10,2.000,5,0,,,0.5,");
    }

    /// Killed after the rows were written and before the first checkpoint was.
    #[test]
    fn resuming_from_the_very_start_keeps_one_header() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.csv");
        let mut csv = MetricsCsv::create(&path).unwrap();
        csv.write(&report(1), 2.0, 5.0).unwrap();
        drop(csv);
        for _ in 0..2 {
            let rows = Rows::read(&path, 0).unwrap();
            assert_eq!(rows.wall_s, 0.0);
            let mut csv = MetricsCsv::resume(&path, &rows).unwrap();
            csv.write(&report(1), 3.0, 5.0).unwrap();
            csv.flush().unwrap();
            assert_eq!(lines(&path).len(), 2);
        }
        assert_eq!(Rows::read(&path, 1).unwrap().wall_s, 3.0);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_disk_is_named() {
        let mut csv = MetricsCsv::create(Path::new("/dev/full")).unwrap();
        csv.write(&report(1), 2.0, 5.0).unwrap();
        let error = format!("{:#}", csv.flush().unwrap_err());
        assert!(
            error.starts_with("writing /dev/full: No space left"),
            "{error}"
        );
    }
}
