//! What `uphill bench` has found out about GPUs, kept in a file of the user's for `auto`.

use super::work::{flop, with_unit};
use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use std::{
    env, fs,
    path::{Path, PathBuf},
};
use uphill_algos::checkpoint::write_atomically;

/// Names another folder than the system's for caches.
const FOLDER: &str = "UPHILL_CACHE_DIR";

/// Measurements of one GPU beside one CPU, by one version of this program: any other combination
/// starts afresh.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Measured {
    /// The GPU, as [`Chosen::adapter`](super::Chosen::adapter) has it.
    pub(crate) adapter: String,
    /// The CPU, likewise.
    pub(crate) cpu: String,
    pub(crate) version: String,
    pub(crate) points: Vec<Point>,
}

/// The same work on both.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Point {
    /// Parameters of actor and critic together.
    pub(crate) params: usize,
    /// Samples in one gradient step.
    pub(crate) minibatch: usize,
    /// Environment steps per second.
    pub(crate) cpu: f64,
    /// Environment steps per second.
    pub(crate) gpu: f64,
}

impl Point {
    fn flop(&self) -> f64 {
        flop(self.params, self.minibatch)
    }

    fn won(&self) -> bool {
        self.gpu > self.cpu
    }
}

/// What measurements say about some amount of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Gpu,
    Cpu,
}

impl Measured {
    /// By this version of the program.
    pub(crate) fn now(adapter: &str, cpu: &str, points: Vec<Point>) -> Self {
        Self {
            adapter: adapter.to_owned(),
            cpu: cpu.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            points,
        }
    }

    /// Whether this version measured it beside this CPU.
    pub(super) fn holds_against(&self, cpu: &str) -> bool {
        self.version == env!("CARGO_PKG_VERSION") && self.cpu == cpu
    }

    /// The most arithmetic per minibatch at which the CPU was faster.
    fn last_loss(&self) -> Option<f64> {
        let lost = self.points.iter().filter(|point| !point.won());
        lost.map(Point::flop).max_by(f64::total_cmp)
    }

    /// The least above which the GPU was always faster.
    fn first_win(&self) -> Option<f64> {
        let last_loss = self.last_loss().unwrap_or(0.0);
        let flops = self.points.iter().map(Point::flop);
        flops
            .filter(|flop| *flop > last_loss)
            .min_by(f64::total_cmp)
    }

    /// `None` beyond what has been measured: more than the most at which the CPU won, or less than
    /// the least at which the GPU did.
    pub(super) fn verdict(&self, flop: f64) -> Option<Verdict> {
        match (self.last_loss(), self.first_win()) {
            (_, Some(win)) if flop >= win => Some(Verdict::Gpu),
            (Some(_), Some(_)) => Some(Verdict::Cpu),
            (Some(loss), None) if flop <= loss => Some(Verdict::Cpu),
            _ => None,
        }
    }

    /// What was found, as a part of a reason.
    pub(super) fn in_words(&self) -> String {
        let gpu = &self.adapter;
        match (self.last_loss(), self.first_win()) {
            (_, Some(win)) => {
                let win = with_unit(win, "FLOP");
                format!("`uphill bench` found {gpu} faster than the CPU from {win} on")
            }
            (loss, None) => {
                let loss = with_unit(loss.unwrap_or(0.0), "FLOP");
                format!("`uphill bench` found the CPU faster than {gpu} up to {loss}")
            }
        }
    }
}

/// All that is known, empty where nothing is.
pub(super) fn read() -> Vec<Measured> {
    path().map_or(Vec::new(), |path| read_from(&path))
}

/// Adds measurements to what is known; those of the same sizes are replaced. Returns the file.
pub(crate) fn keep(measured: Measured) -> Result<PathBuf> {
    let path = path().context("this system names no folder for caches; set UPHILL_CACHE_DIR")?;
    let known = merge(read_from(&path), measured);
    let mut text = serde_json::to_string_pretty(&known)?;
    text.push('\n');
    write_atomically(&path, text.as_bytes())
        .with_context(|| format!("writing {}", path.display()))?;
    Ok(path)
}

fn path() -> Option<PathBuf> {
    Some(cache_folder()?.join("bench.json"))
}

/// For what is found out once and kept.
pub(super) fn cache_folder() -> Option<PathBuf> {
    let chosen = env::var_os(FOLDER).filter(|folder| !folder.is_empty());
    match chosen {
        Some(folder) => Some(PathBuf::from(folder)),
        None => Some(dirs::cache_dir()?.join("uphill")),
    }
}

/// A file that cannot be read is as good as none: `auto` has a rule of thumb.
pub(super) fn read_from(path: &Path) -> Vec<Measured> {
    let Ok(text) = fs::read(path) else {
        return Vec::new();
    };
    serde_json::from_slice(&text).unwrap_or_else(|error| {
        let path = path.display();
        tracing::warn!("{path} is damaged and left aside ({error}); `uphill bench` writes it anew");
        Vec::new()
    })
}

pub(super) fn merge(mut known: Vec<Measured>, new: Measured) -> Vec<Measured> {
    let same =
        |m: &Measured| (&m.adapter, &m.cpu, &m.version) == (&new.adapter, &new.cpu, &new.version);
    match known.iter_mut().find(|m| same(m)) {
        None => known.push(new),
        Some(old) => {
            let size = |point: &Point| (point.params, point.minibatch);
            (old.points).retain(|old| new.points.iter().all(|new| size(new) != size(old)));
            old.points.extend(new.points);
        }
    }
    known
}
