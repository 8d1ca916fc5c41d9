//! Which device a run computes on: the only room that names a backend.
//!
//! [`choose`] turns `--device` into a Burn device and says why; [`list`] shows what there is to
//! choose from. The decision itself ([`pick()`]) is a pure function of the request, the work and the
//! [`Machine`], so it is tested without hardware. Hardware is looked at only when the decision
//! depends on it: `--device flex` never wakes a GPU driver.

mod arg;
#[cfg(feature = "cuda")]
mod cuda_probe;
mod machine;
mod measured;
mod messages;
mod pick;
mod present;
mod rows;
#[cfg(test)]
mod tests;
#[cfg(feature = "wgpu")]
mod wgpu_probe;
mod work;

pub(crate) use arg::DeviceArg;
pub(crate) use measured::{Measured, Point, cpu_model, keep};
pub(crate) use rows::BURN_VERSION;
pub(crate) use work::{Workload, with_unit};

use anyhow::{Result, bail};
use burn::tensor::Device;
use machine::Machine;
use messages::not_compiled_in;
use pick::{Pick, pick};
use rows::rows;
use serde::Serialize;

/// The device a run uses.
pub(crate) struct Chosen {
    /// Burn's handle, without gradients: callers add `.autodiff()`.
    pub(crate) device: Device,
    /// As `--device` names it: `flex`, `wgpu:0`.
    pub(crate) name: String,
    /// What it is, for a person.
    pub(crate) adapter: String,
    /// What does the computing.
    pub(crate) processor: Processor,
    /// Why this one; `asked for` when the user named it.
    pub(crate) reason: String,
}

/// What does the computing behind a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Processor {
    Cpu,
    Gpu,
    /// The CPU in the role of a GPU, for tests.
    Software,
}

/// One row of `uphill list devices`.
pub(crate) struct DeviceInfo {
    /// As `--device` names it.
    pub(crate) name: String,
    /// Backend and, where there are several, the graphics API under it.
    pub(crate) backend: String,
    /// `cpu`, `discrete`, `integrated`, `virtual`, `software`, `other`, `gpu`, or `-` where there
    /// is none.
    pub(crate) kind: String,
    /// The hardware's own name.
    pub(crate) adapter: String,
    /// Name and version.
    pub(crate) driver: String,
    /// How to get what is missing, or what to know before using it.
    pub(crate) note: String,
}

/// Picks a device for `work` and opens it.
pub(crate) fn choose(arg: DeviceArg, work: &Workload) -> Result<Chosen> {
    let machine = Machine::this();
    let (pick, reason) = pick(arg, work, &machine)?;
    Ok(Chosen {
        device: open(&pick)?,
        name: pick.name(),
        adapter: pick.describe(),
        processor: pick.processor(),
        reason,
    })
}

/// Every device that is compiled in and there, and in words what is left out of them: software
/// adapters, which someone has to ask for.
pub(crate) fn present() -> (Vec<DeviceArg>, Vec<String>) {
    present::present(&Machine::this())
}

/// Every device of this machine and, for what this build or this machine lacks, how to get it.
pub(crate) fn list() -> Vec<DeviceInfo> {
    rows(&Machine::this())
}

/// Turns the decision into Burn's device, on which a tensor operation then works.
fn open(pick: &Pick) -> Result<Device> {
    match pick {
        #[cfg(feature = "flex")]
        Pick::Flex => Ok(Device::flex()),
        #[cfg(feature = "ndarray")]
        #[allow(deprecated)] // offered for comparison until Burn removes it
        Pick::Ndarray => Ok(Device::ndarray()),
        #[cfg(feature = "wgpu")]
        Pick::Wgpu(adapter) => wgpu_probe::open(adapter),
        #[cfg(feature = "cuda")]
        Pick::Cuda(gpu) => Ok(Device::cuda(gpu.index)),
        #[allow(unreachable_patterns)] // reachable unless every backend is compiled in
        other => bail!(not_compiled_in(&other.name())),
    }
}

fn cores() -> String {
    match std::thread::available_parallelism().map_or(1, usize::from) {
        1 => "1 core".to_owned(),
        n => format!("{n} cores"),
    }
}

/// The first word of digits and dots, as in `NVRM version: NVIDIA UNIX x86_64 Kernel Module
/// 550.54.15  Tue …`.
#[cfg(any(feature = "cuda", test))]
fn version_in(text: &str) -> Option<String> {
    text.split_whitespace()
        .find(|word| word.contains('.') && word.chars().all(|c| c.is_ascii_digit() || c == '.'))
        .map(str::to_owned)
}
