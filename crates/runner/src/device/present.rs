//! Usable devices of a machine, as `--devices` names them.

use super::{arg::DeviceArg, machine::Machine};

/// All usable devices, and descriptions of those left out: adapters that run on the CPU or are of unknown kind, and
/// CUDA devices with something missing.
pub(super) fn present(machine: &Machine) -> (Vec<DeviceArg>, Vec<String>) {
    let cpus = [
        (machine.flex, DeviceArg::Flex),
        (machine.ndarray, DeviceArg::Ndarray),
    ];
    let mut found: Vec<DeviceArg> = cpus
        .into_iter()
        .filter_map(|(there, arg)| there.then_some(arg))
        .collect();
    let (gpus, others): (Vec<_>, Vec<_>) = (machine.wgpu().into_iter()).partition(|a| a.is_gpu());
    found.extend(gpus.iter().map(|gpu| DeviceArg::Wgpu(Some(gpu.index))));
    let mut left_out: Vec<_> = others
        .iter()
        .map(|adapter| format!("wgpu:{}, {}", adapter.index, adapter.describe()))
        .collect();
    for gpu in machine.cuda() {
        match gpu.lacks {
            None => found.push(DeviceArg::Cuda(Some(gpu.index))),
            Some(lack) => left_out.push(format!("cuda:{}, {}: {lack}", gpu.index, gpu.name)),
        }
    }
    (found, left_out)
}
