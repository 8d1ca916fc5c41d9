//! Decision for a device, as a pure function of request, work and machine.

use super::{
    Processor,
    arg::DeviceArg,
    cores,
    machine::{Adapter, CudaGpu, Kind, Machine},
    measured::Verdict,
    messages::{NO_ADAPTER, NO_CUDA, does_not_exist, not_compiled_in},
    work::{GPU_PAYS_FROM_FLOP, Workload},
};
use anyhow::{Result, bail};

/// Outcome of the decision, before the device is opened.
#[derive(Clone, Debug)]
pub(super) enum Pick {
    Flex,
    Ndarray,
    Wgpu(Adapter),
    Cuda(CudaGpu),
}

impl Pick {
    pub(super) fn name(&self) -> String {
        match self {
            Self::Flex => "flex".to_owned(),
            Self::Ndarray => "ndarray".to_owned(),
            Self::Wgpu(adapter) => format!("wgpu:{}", adapter.index),
            Self::Cuda(gpu) => format!("cuda:{}", gpu.index),
        }
    }

    pub(super) fn describe(&self) -> String {
        match self {
            Self::Flex => format!("CPU, pure Rust (Burn flex), {}", cores()),
            Self::Ndarray => format!("CPU (Burn ndarray), {}", cores()),
            Self::Wgpu(adapter) => adapter.describe(),
            Self::Cuda(gpu) => format!("{} (CUDA, driver {})", gpu.name, gpu.driver),
        }
    }

    pub(super) fn processor(&self) -> Processor {
        match self {
            Self::Flex | Self::Ndarray => Processor::Cpu,
            Self::Wgpu(adapter) if adapter.kind == Kind::Software => Processor::Software,
            Self::Wgpu(_) | Self::Cuda(_) => Processor::Gpu,
        }
    }
}

/// Decides without touching a device, apart from asking the machine what it has.
pub(super) fn pick(arg: DeviceArg, work: &Workload, machine: &Machine) -> Result<(Pick, String)> {
    let pick = match arg {
        DeviceArg::Auto => return auto(work, machine),
        DeviceArg::Flex if machine.flex => Pick::Flex,
        DeviceArg::Ndarray if machine.ndarray => Pick::Ndarray,
        DeviceArg::Flex => bail!(not_compiled_in("flex")),
        DeviceArg::Ndarray => bail!(not_compiled_in("ndarray")),
        DeviceArg::Wgpu(index) => return pick_wgpu(index, machine),
        DeviceArg::Cuda(index) => pick_cuda(index, machine)?,
    };
    Ok((pick, "asked for".to_owned()))
}

/// Decides by the measurements of `uphill bench` on this machine, else by a rule of thumb.
pub(super) fn auto(work: &Workload, machine: &Machine) -> Result<(Pick, String)> {
    let (numbers, flop) = (work.in_words(), work.flop());
    let Some(cpu) = machine.cpu() else {
        return auto_without_cpu(machine);
    };
    let too_little = || {
        let env = work.env_in_words();
        format!("{numbers} is too little to pay for GPU launches; {env}")
    };
    let enough = flop >= GPU_PAYS_FROM_FLOP;
    let mut known = (machine.measured)();
    known.retain(|measured| measured.holds_against(&cpu.describe()));
    let wins = |verdict| matches!(verdict, Some(Verdict::Gpu));
    if !enough && !known.iter().any(|m| wins(m.verdict(work))) {
        // Nothing favours a GPU, so no driver is started to find out which one there is.
        let found = known.iter().find(|m| m.verdict(work).is_some());
        let reason = found.map_or_else(too_little, |m| format!("{numbers}; {}", m.in_words(work)));
        return Ok((cpu, reason));
    }
    if let Some(gpu) = machine.first_gpu() {
        let measured = known.iter().find(|m| m.adapter == gpu.describe());
        let found = measured.and_then(|m| Some((m.verdict(work)?, m.in_words(work))));
        return Ok(match found {
            Some((Verdict::Gpu, words)) => (gpu, format!("{numbers}; {words}")),
            Some((Verdict::Cpu, words)) => (cpu, format!("{numbers}; {words}")),
            None if enough => (gpu, format!("{numbers} is enough to pay for GPU launches")),
            None => (cpu, too_little()),
        });
    }
    if !enough {
        return Ok((cpu, too_little()));
    }
    let lack = if machine.wgpu.is_none() && machine.cuda.is_none() {
        "no GPU backend is compiled in"
    } else {
        "this machine has no GPU that this build can use"
    };
    let reason = format!("{numbers} would pay for GPU launches, but {lack}");
    Ok((cpu, reason))
}

pub(super) fn auto_without_cpu(machine: &Machine) -> Result<(Pick, String)> {
    if let Some(gpu) = machine.first_gpu() {
        return Ok((gpu, "no CPU backend is compiled in".to_owned()));
    }
    let Some(adapter) = machine.wgpu().into_iter().next() else {
        bail!(
            "no usable device: this build has no CPU backend and this machine no GPU for it; \
             build with `cargo build --release --features flex`"
        );
    };
    let reason = "no CPU backend is compiled in, and there is no other adapter".to_owned();
    Ok((Pick::Wgpu(adapter), reason))
}

pub(super) fn pick_wgpu(index: Option<usize>, machine: &Machine) -> Result<(Pick, String)> {
    if machine.wgpu.is_none() {
        bail!(not_compiled_in("wgpu"));
    }
    let adapters = machine.wgpu();
    if adapters.is_empty() {
        bail!("device \"wgpu\" does not exist: {NO_ADAPTER}");
    }
    let found = match index {
        Some(index) => adapters.get(index),
        None => best(&adapters),
    };
    let Some(adapter) = found else {
        let there: Vec<_> = adapters.iter().cloned().map(Pick::Wgpu).collect();
        bail!(does_not_exist(DeviceArg::Wgpu(index), &there));
    };
    let reason = match (adapter.kind, index) {
        (Kind::Software, Some(_)) => {
            format!("asked for; a software adapter {}", adapter.caution())
        }
        (Kind::Software, None) => format!(
            "asked for; there is only a software adapter, which {}",
            adapter.caution()
        ),
        _ => "asked for".to_owned(),
    };
    Ok((Pick::Wgpu(adapter.clone()), reason))
}

/// The first GPU, else the first adapter that is not a software adapter, else the first adapter.
pub(super) fn best(adapters: &[Adapter]) -> Option<&Adapter> {
    adapters.iter().min_by_key(|adapter| match adapter.kind {
        Kind::Discrete | Kind::Integrated | Kind::Virtual => 0,
        Kind::Other => 1,
        Kind::Software => 2,
    })
}

pub(super) fn pick_cuda(index: Option<usize>, machine: &Machine) -> Result<Pick> {
    if machine.cuda.is_none() {
        bail!(not_compiled_in("cuda"));
    }
    let gpus = machine.cuda();
    if gpus.is_empty() {
        bail!("device \"cuda\" does not exist: {NO_CUDA}");
    }
    match gpus.get(index.unwrap_or(0)) {
        Some(gpu) => match &gpu.lacks {
            Some(lack) => bail!("device \"cuda\" cannot be used: {lack}"),
            None => Ok(Pick::Cuda(gpu.clone())),
        },
        None => {
            let there: Vec<_> = gpus.into_iter().map(Pick::Cuda).collect();
            bail!(does_not_exist(DeviceArg::Cuda(index), &there))
        }
    }
}
