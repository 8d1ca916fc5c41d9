//! Sinks: receivers of a run's rows, such as files, the terminal and user-defined ones.

use serde::Serialize;
use std::{
    path::Path,
    sync::{PoisonError, RwLock},
};
use uphill_algos::{Report, RunConfig};

/// Row of one iteration. Serialises as one flat object: the fields of the [`Report`], then the others.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Row<'a> {
    /// Results of the iteration.
    #[serde(flatten)]
    pub report: &'a Report,
    /// Seconds of training so far, earlier sessions of a resumed run included.
    pub wall_s: f64,
    /// Environment steps per second of this iteration.
    pub env_steps_per_s: f64,
}

/// A receiver of the rows of one run.
///
/// [`row`](Self::row) is called after every iteration, [`flush`](Self::flush) about every two seconds, and
/// [`sync`](Self::sync) before a checkpoint is written, so that a checkpoint is never ahead of the rows that led to it.
/// An error ends the run, which can be resumed from its last checkpoint.
pub trait Sink: Send {
    /// Receives the row of an iteration, which may stay in memory.
    ///
    /// # Errors
    /// Any error that is to end the run.
    fn row(&mut self, row: &Row<'_>) -> anyhow::Result<()>;

    /// Hands all rows to the operating system.
    ///
    /// # Errors
    /// Those of [`row`](Self::row).
    fn flush(&mut self) -> anyhow::Result<()> {
        Ok(())
    }

    /// Hands all rows to the operating system and, if they must survive its failure, writes them to the disk.
    ///
    /// # Errors
    /// Those of [`row`](Self::row).
    fn sync(&mut self) -> anyhow::Result<()> {
        self.flush()
    }
}

/// A new or resumed run for which a sink is made.
#[derive(Clone, Copy, Debug)]
pub struct SinkRequest<'a> {
    /// Run directory.
    pub dir: &'a Path,
    /// Configuration of the run.
    pub config: &'a RunConfig,
    /// Number of finished iterations, which is that of the checkpoint. Rows of later iterations, from an earlier
    /// session that ended before its next checkpoint, should be dropped.
    pub iteration: u64,
    /// Number of environment steps of these iterations.
    pub env_steps: u64,
}

/// Function that makes a sink for a run.
pub type MakeSink = fn(SinkRequest<'_>) -> anyhow::Result<Box<dyn Sink>>;

static OWN: RwLock<Vec<MakeSink>> = RwLock::new(vec![]);

/// Registers a sink for every run of `train`, one for each seed of `--seeds`, in addition to the existing ones. To be
/// called before [`main`](crate::main).
///
/// ```no_run
/// use std::{fs::File, io::Write};
/// use uphill::{Row, Sink, anyhow, register_sink};
///
/// /// A line for each iteration.
/// struct Returns(File);
///
/// impl Sink for Returns {
///     fn row(&mut self, row: &Row<'_>) -> anyhow::Result<()> {
///         let report = row.report;
///         writeln!(self.0, "{} {:?}", report.env_steps, report.episode_return_mean)?;
///         Ok(())
///     }
/// }
///
/// fn main() -> std::process::ExitCode {
///     register_sink(|run| Ok(Box::new(Returns(File::create(run.dir.join("returns.txt"))?))));
///     uphill::main()
/// }
/// ```
pub fn register_sink(make: MakeSink) {
    OWN.write()
        .unwrap_or_else(PoisonError::into_inner)
        .push(make);
}

/// One sink for each registered function.
pub(crate) fn own(run: SinkRequest<'_>) -> anyhow::Result<Vec<Box<dyn Sink>>> {
    let own = OWN.read().unwrap_or_else(PoisonError::into_inner);
    own.iter().map(|make| make(run)).collect()
}
