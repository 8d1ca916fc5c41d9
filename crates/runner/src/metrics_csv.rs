//! `metrics.csv`: one row per iteration, with empty cells for undefined values.

use crate::{
    place::Growing,
    sink::{Row, Sink},
};
use anyhow::Context;
use csv::{ReaderBuilder, StringRecord, Writer};
use std::{
    fs,
    path::{Path, PathBuf},
};
use uphill_algos::checkpoint::write_atomically;

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

/// The rows up to a checkpoint.
pub(crate) struct Rows {
    csv: Vec<u8>,
    header: Option<StringRecord>,
    /// Seconds on the clock at the last of them.
    pub(crate) wall_s: f64,
    /// Reason why the file does not lead up to the checkpoint; no row is kept then.
    pub(crate) unusable: Option<String>,
}

impl Rows {
    /// Reads the rows of the first `iterations`, without those written after the checkpoint.
    pub(crate) fn read(path: &Path, iterations: u64) -> anyhow::Result<Self> {
        let context = || format!("metrics {}", path.display());
        let text = match path.is_file() {
            true => fs::read(path).with_context(context)?,
            false => vec![],
        };
        let unusable = |why: String| Self {
            csv: vec![],
            header: None,
            wall_s: 0.0,
            unusable: Some(why),
        };
        let mut reader = ReaderBuilder::new()
            .flexible(true)
            .from_reader(text.as_slice());
        let header = match reader.headers() {
            Ok(header) if header.is_empty() && iterations > 0 => {
                return Ok(unusable("it is gone".to_owned()));
            }
            Ok(header) if header.is_empty() => None,
            Ok(header) if header.get(0) == Some(COMMON[0]) => Some(header.clone()),
            _ => return Ok(unusable("it was changed".to_owned())),
        };
        let mut kept = Writer::from_writer(Vec::new());
        if let Some(header) = &header {
            kept.write_record(header)?;
        }
        let columns = header.as_ref().map_or(0, StringRecord::len);
        let (mut last, mut wall_s) = (None, 0.0);
        for row in reader.records() {
            // The last line of a killed run may be truncated anywhere.
            let Ok(row) = row else { break };
            let iteration: Option<u64> = row.get(0).and_then(|x| x.parse().ok());
            let Some(iteration) = iteration.filter(|_| row.len() == columns) else {
                break;
            };
            // A log that was restarted begins after the checkpoint of that time.
            if iteration > iterations {
                last = last.or(iteration.checked_sub(1));
                break;
            }
            if last.is_some_and(|last| iteration != last + 1) {
                break;
            }
            last = Some(iteration);
            let seconds = row.get(WALL_S).and_then(|x| x.parse().ok());
            wall_s = seconds.unwrap_or(wall_s);
            kept.write_record(&row)?;
        }
        if last.unwrap_or(0) != iterations {
            let why = format!("it does not lead to iteration {iterations}, that of the checkpoint");
            return Ok(unusable(why));
        }
        Ok(Self {
            csv: kept.into_inner().with_context(context)?,
            header,
            wall_s,
            unusable: None,
        })
    }
}

/// Appends rows to a run's metrics.
pub(crate) struct MetricsCsv {
    path: PathBuf,
    file: Growing,
    rows: Writer<Vec<u8>>,
    /// Header in the file.
    header: Option<StringRecord>,
}

impl MetricsCsv {
    /// A new file.
    pub(crate) fn create(path: &Path) -> anyhow::Result<Self> {
        Ok(Self {
            path: path.to_owned(),
            file: Growing::create(path)?,
            rows: Writer::from_writer(vec![]),
            header: None,
        })
    }

    /// Continues a file after its first `rows`, dropping later ones. If these are unusable, it starts a new file and
    /// keeps the old one beside it.
    pub(crate) fn resume(path: &Path, rows: &Rows) -> anyhow::Result<Self> {
        if let Some(why) = &rows.unusable {
            return Self::anew(path, why);
        }
        let context = || format!("metrics {}", path.display());
        write_atomically(path, &rows.csv).with_context(context)?;
        Ok(Self {
            path: path.to_owned(),
            file: Growing::open(path)?,
            rows: Writer::from_writer(vec![]),
            header: rows.header.clone(),
        })
    }

    /// Starts a new file in place of one that cannot be continued, which is kept.
    fn anew(path: &Path, why: &str) -> anyhow::Result<Self> {
        let kept = (1..)
            .map(|number| path.with_extension(format!("{number}.csv")))
            .find(|free| !free.exists());
        let kept = kept.filter(|_| path.is_file());
        if let Some(kept) = &kept {
            fs::rename(path, kept).with_context(|| format!("metrics {}", path.display()))?;
        }
        let kept = kept.map(|kept| format!("; what there was is in {}", kept.display()));
        tracing::warn!(
            "{}: {why}; the log begins anew{}",
            path.display(),
            kept.unwrap_or_default()
        );
        Self::create(path)
    }

    fn push(&mut self) -> anyhow::Result<()> {
        let rows = std::mem::replace(&mut self.rows, Writer::from_writer(vec![]));
        self.file.push(&rows.into_inner().context("rows")?);
        Ok(())
    }
}

impl Sink for MetricsCsv {
    fn row(&mut self, row: &Row<'_>) -> anyhow::Result<()> {
        let report = row.report;
        let names = report.metrics.0.iter().map(|(name, _)| *name);
        let names = COMMON.into_iter().chain(names);
        if (self.header.as_ref()).is_some_and(|header| !header.iter().eq(names.clone())) {
            *self = Self::anew(&self.path, "it has other columns")?;
        }
        let context = || format!("writing {}", self.path.display());
        if self.header.is_none() {
            self.rows
                .write_record(names.clone())
                .with_context(context)?;
            self.header = Some(names.collect());
        }
        let common = [
            report.iteration.to_string(),
            report.env_steps.to_string(),
            format!("{:.3}", row.wall_s),
            format!("{:.0}", row.env_steps_per_s),
            report.episodes.to_string(),
            optional(report.episode_return_mean),
            optional(report.episode_length_mean),
        ];
        let metrics = report.metrics.0.iter().map(|(_, value)| optional(*value));
        (self.rows.write_record(common.into_iter().chain(metrics))).with_context(context)
    }

    fn flush(&mut self) -> anyhow::Result<()> {
        self.push()?;
        self.file.flush()
    }

    fn sync(&mut self) -> anyhow::Result<()> {
        self.push()?;
        self.file.sync()
    }
}

fn optional(value: Option<f64>) -> String {
    value.map_or_else(String::new, |x| x.to_string())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use uphill_algos::{Metrics, Report};

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

    fn write(csv: &mut MetricsCsv, iteration: u64, wall_s: f64) {
        let row = Row {
            report: &report(iteration),
            wall_s,
            env_steps_per_s: 5.0,
        };
        csv.row(&row).unwrap();
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
        write(&mut csv, 1, 2.0);
        csv.flush().unwrap();
        assert_eq!(lines(&path)[1], "1,10,2.000,5,0,,,0.5,");
    }

    /// Killed between the first rows and the first checkpoint.
    #[test]
    fn resuming_from_the_very_start_keeps_one_header() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.csv");
        let mut csv = MetricsCsv::create(&path).unwrap();
        write(&mut csv, 1, 2.0);
        csv.flush().unwrap();
        for _ in 0..2 {
            let rows = Rows::read(&path, 0).unwrap();
            assert_eq!(rows.wall_s, 0.0);
            let mut csv = MetricsCsv::resume(&path, &rows).unwrap();
            write(&mut csv, 1, 3.0);
            csv.flush().unwrap();
            assert_eq!(lines(&path).len(), 2);
        }
        assert_eq!(Rows::read(&path, 1).unwrap().wall_s, 3.0);
    }

    /// Files with two rows and a modification, and the line that is kept beside the new log.
    #[test]
    fn what_does_not_lead_to_the_checkpoint_is_left_beside_a_new_log() {
        type Damage = fn(String) -> Option<String>;
        let damages: [(Damage, &str); 5] = [
            (|_| None, "it is gone"),
            (|_| Some(String::new()), "it is gone"),
            (|text| Some(text.replace(',', ";")), "it was changed"),
            (
                |text| Some(text.replace("iteration", "\u{e9}")),
                "it was changed",
            ),
            (
                |text| {
                    Some(
                        text.lines()
                            .take(2)
                            .map(|line| format!("{line}\n"))
                            .collect(),
                    )
                },
                "it does not lead to iteration 2, that of the checkpoint",
            ),
        ];
        for (damage, why) in damages {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("metrics.csv");
            let mut csv = MetricsCsv::create(&path).unwrap();
            for iteration in 1..=2 {
                write(&mut csv, iteration, 2.0);
            }
            csv.flush().unwrap();
            let left = damage(fs::read_to_string(&path).unwrap());
            match &left {
                Some(text) => fs::write(&path, text).unwrap(),
                None => fs::remove_file(&path).unwrap(),
            }
            let rows = Rows::read(&path, 2).unwrap();
            assert_eq!(rows.unusable.as_deref(), Some(why));
            let mut csv = MetricsCsv::resume(&path, &rows).unwrap();
            let beside = fs::read_to_string(folder.path().join("metrics.1.csv")).ok();
            assert_eq!(beside, left);
            // A restarted log can be continued: before its first row, and after it.
            assert!(Rows::read(&path, 2).unwrap().unusable.is_some());
            for iteration in 3..=4 {
                write(&mut csv, iteration, 3.0);
            }
            csv.flush().unwrap();
            for (iterations, kept) in [(2, 1), (3, 2), (4, 3)] {
                let rows = Rows::read(&path, iterations).unwrap();
                assert_eq!(rows.unusable, None);
                assert_eq!(rows.csv.split(|byte| *byte == b'\n').count(), kept + 1);
            }
            assert!(Rows::read(&path, 1).unwrap().unusable.is_some());
            assert!(Rows::read(&path, 5).unwrap().unusable.is_some());
        }
    }

    /// As when another version resumes a run.
    #[test]
    fn rows_with_other_columns_go_to_a_file_of_their_own() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.csv");
        fs::write(&path, "iteration,env_steps,wall_s\n1,10,0.5\n").unwrap();
        let rows = Rows::read(&path, 1).unwrap();
        assert_eq!(rows.unusable, None);
        let mut csv = MetricsCsv::resume(&path, &rows).unwrap();
        write(&mut csv, 2, 2.0);
        write(&mut csv, 3, 2.0);
        csv.flush().unwrap();
        assert_eq!(lines(&path).len(), 3);
        assert_eq!(lines(&folder.path().join("metrics.1.csv"))[1], "1,10,0.5");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_disk_is_named() {
        let mut csv = MetricsCsv::create(Path::new("/dev/full")).unwrap();
        write(&mut csv, 1, 2.0);
        let error = format!("{:#}", csv.flush().unwrap_err());
        assert!(
            error.starts_with("writing /dev/full: No space left"),
            "{error}"
        );
    }
}
