//! Choice of the device for a run: the only module that names a backend.
//!
//! [`choose`] turns `--device` into a Burn device with a reason; [`list`] shows the available devices. The decision
//! itself ([`pick()`]) is a pure function of the request, the work and the [`Machine`], so it is tested without
//! hardware. The hardware is queried only if the decision depends on it: `--device flex` never starts a GPU driver.

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
    /// Name as in `--device`: `flex`, `wgpu:0`.
    pub(crate) name: String,
    /// Description of the hardware for users.
    pub(crate) adapter: String,
    /// Processor that computes.
    pub(crate) processor: Processor,
    /// Reason for the choice; `asked for` if the user named the device.
    pub(crate) reason: String,
}

/// Processor behind a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Processor {
    Cpu,
    Gpu,
    /// The CPU acting as a GPU, for tests.
    Software,
}

/// One row of `uphill list devices`.
pub(crate) struct DeviceInfo {
    /// Name as in `--device`.
    pub(crate) name: String,
    /// Backend and, if there are several, its graphics API.
    pub(crate) backend: String,
    /// `cpu`, `discrete`, `integrated`, `virtual`, `software`, `other`, `gpu`, or `-` if there is no device.
    pub(crate) kind: String,
    /// Name of the hardware.
    pub(crate) adapter: String,
    /// Name and version of the driver.
    pub(crate) driver: String,
    /// How to install what is missing, or a caution about using it.
    pub(crate) note: String,
}

/// Chooses a device for `work` and opens it.
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

/// All available devices, and descriptions of those left out: software adapters, which are used only on request.
pub(crate) fn present() -> (Vec<DeviceArg>, Vec<String>) {
    present::present(&Machine::this())
}

/// All devices of this machine, and for those that this build or this machine lacks, how to get them.
pub(crate) fn list() -> Vec<DeviceInfo> {
    rows(&Machine::this())
}

/// Opens the chosen device in Burn, so that tensor operations on it work.
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

/// The first word of digits and dots, as in `NVRM version: NVIDIA UNIX x86_64 Kernel Module 550.54.15  Tue …`.
#[cfg(any(feature = "cuda", test))]
fn version_in(text: &str) -> Option<String> {
    text.split_whitespace()
        .find(|word| word.contains('.') && word.chars().all(|c| c.is_ascii_digit() || c == '.'))
        .map(str::to_owned)
}
