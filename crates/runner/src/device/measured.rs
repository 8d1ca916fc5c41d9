//! Benchmark results of GPUs, kept in the user's cache for `auto`.

use super::work::{Workload, with_unit};
use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use std::{
    env, fs,
    path::{Path, PathBuf},
};
use uphill_algos::checkpoint::write_atomically;

/// Environment variable that names a folder to use instead of the system's cache.
const FOLDER: &str = "UPHILL_CACHE_DIR";

/// Maximum distance of work from the measured sizes, as the logarithm of a factor: 2.
const REACH: f64 = std::f64::consts::LN_2;

/// Measurements of one GPU beside one CPU, by one version of this program; another combination starts a new list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Measured {
    /// The GPU, as in [`Chosen::adapter`](super::Chosen::adapter).
    pub(crate) adapter: String,
    /// The CPU in the same form, with its model if that is known.
    pub(crate) cpu: String,
    pub(crate) version: String,
    pub(crate) points: Vec<Point>,
}

/// Results of the same work on both.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Point {
    /// Number of parameters of actor and critic together.
    pub(crate) params: usize,
    /// Number of samples in one gradient step.
    pub(crate) minibatch: usize,
    /// Whether the environments were stepped on the CPU even for the GPU.
    #[serde(default)]
    pub(crate) host_env: bool,
    /// Environment steps per second on the CPU.
    pub(crate) cpu: f64,
    /// Environment steps per second on the GPU.
    pub(crate) gpu: f64,
}

impl Point {
    fn size(&self) -> [f64; 2] {
        size(self.params, self.minibatch)
    }

    fn won(&self) -> bool {
        self.gpu > self.cpu
    }
}

/// Logarithms of the sizes, so that distances are factors.
fn size(params: usize, minibatch: usize) -> [f64; 2] {
    [params, minibatch].map(|number| (number.max(1) as f64).ln())
}

/// Conclusion from the measurements for some work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Gpu,
    Cpu,
}

impl Measured {
    /// Measurements by this version of the program.
    pub(crate) fn now(adapter: &str, cpu: &str, points: Vec<Point>) -> Self {
        Self {
            adapter: adapter.to_owned(),
            cpu: with_model(cpu),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            points,
        }
    }

    /// Whether this version measured it beside this CPU.
    pub(super) fn holds_against(&self, cpu: &str) -> bool {
        self.version == env!("CARGO_PKG_VERSION") && self.cpu == with_model(cpu)
    }

    /// The nearest measurement with environments of the same kind; of two equally near ones, one that the GPU lost.
    fn nearest(&self, work: &Workload) -> Option<&Point> {
        let [params, minibatch] = size(work.params, work.minibatch);
        let distance = |point: &Point| {
            let [x, y] = point.size();
            (x - params).hypot(y - minibatch)
        };
        let order = |a: &&Point, b: &&Point| {
            let nearer = distance(a).total_cmp(&distance(b));
            nearer.then(a.won().cmp(&b.won()))
        };
        self.of_kind(work).min_by(order)
    }

    fn of_kind(&self, work: &Workload) -> impl Iterator<Item = &Point> {
        let host_env = work.host_env;
        (self.points.iter()).filter(move |point| point.host_env == host_env)
    }

    /// Result of the nearest measurement. `None` if there is none, or if the work is beyond the measured range: a win
    /// says nothing about work smaller than all measurements, a loss nothing about larger work.
    pub(super) fn verdict(&self, work: &Workload) -> Option<Verdict> {
        let won = self.nearest(work)?.won();
        let wanted = size(work.params, work.minibatch);
        let covers = |measured: f64, wanted: f64| match won {
            true => measured - REACH <= wanted,
            false => measured + REACH >= wanted,
        };
        let covered = |axis: usize| {
            (self.of_kind(work)).any(|point| covers(point.size()[axis], wanted[axis]))
        };
        let verdict = if won { Verdict::Gpu } else { Verdict::Cpu };
        (covered(0) && covered(1)).then_some(verdict)
    }

    /// The nearest measurement in words, as a part of a reason.
    pub(super) fn in_words(&self, work: &Workload) -> String {
        let gpu = &self.adapter;
        let Some(point) = self.nearest(work) else {
            return format!("`uphill bench` has not measured {gpu} with such environments");
        };
        let (params, minibatch) = (with_unit(point.params as f64, ""), point.minibatch);
        let winner = match point.won() {
            true => format!("{gpu} faster than the CPU"),
            false => format!("the CPU faster than {gpu}"),
        };
        format!(
            "`uphill bench` found {winner} at the nearest size, {params} parameters with batches of {minibatch}"
        )
    }
}

/// A CPU's description with the processor's name, since processors with equally many cores have the same description.
fn with_model(cpu: &str) -> String {
    match cpu_model() {
        Some(model) => format!("{cpu}, {model}"),
        None => cpu.to_owned(),
    }
}

/// The processor's name, on Linux.
pub(crate) fn cpu_model() -> Option<String> {
    let info = fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = info.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// All kept measurements; empty if there are none.
pub(super) fn read() -> Vec<Measured> {
    path().map_or(Vec::new(), |path| read_from(&path))
}

/// Adds measurements to the kept ones, replacing those of the same sizes. Returns the file.
pub(crate) fn keep(measured: Measured) -> Result<PathBuf> {
    let path = path().context("this system names no folder for caches; set UPHILL_CACHE_DIR")?;
    let known = merge(read_from(&path), measured);
    let mut text = serde_json::to_string_pretty(&known)?;
    text.push('\n');
    let folder = path.parent().map_or(Ok(()), fs::create_dir_all);
    folder
        .and_then(|()| write_atomically(&path, text.as_bytes()))
        .with_context(|| format!("writing {}", path.display()))?;
    Ok(path)
}

fn path() -> Option<PathBuf> {
    Some(cache_folder()?.join("bench.json"))
}

/// Folder for results that are determined once and kept.
fn cache_folder() -> Option<PathBuf> {
    let chosen = env::var_os(FOLDER).filter(|folder| !folder.is_empty());
    match chosen {
        Some(folder) => Some(PathBuf::from(folder)),
        None => Some(dirs::cache_dir()?.join("uphill")),
    }
}

/// Measurements in a file; empty if it cannot be read, since `auto` has a rule of thumb.
pub(super) fn read_from(path: &Path) -> Vec<Measured> {
    let Ok(text) = fs::read(path) else {
        return Vec::new();
    };
    serde_json::from_slice(&text).unwrap_or_else(|error| {
        let path = path.display();
        tracing::warn!(
            "{path} is damaged and left aside ({error}); it may be deleted, and `uphill bench` on a machine with a GPU \
             writes it anew"
        );
        Vec::new()
    })
}

pub(super) fn merge(mut known: Vec<Measured>, new: Measured) -> Vec<Measured> {
    let same =
        |m: &Measured| (&m.adapter, &m.cpu, &m.version) == (&new.adapter, &new.cpu, &new.version);
    match known.iter_mut().find(|m| same(m)) {
        None => known.push(new),
        Some(old) => {
            let size = |point: &Point| (point.params, point.minibatch, point.host_env);
            (old.points).retain(|old| new.points.iter().all(|new| size(new) != size(old)));
            old.points.extend(new.points);
        }
    }
    known
}
