//! What a machine has, as `--devices` would name it.

use super::{arg::DeviceArg, machine::Machine};

/// Every device that is compiled in and there, and in words the adapters that are left out: those
/// that run on the CPU, or of which nobody knows what they are.
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
    let cuda = machine.cuda();
    found.extend(cuda.iter().map(|gpu| DeviceArg::Cuda(Some(gpu.index))));
    let left_out = others
        .iter()
        .map(|adapter| format!("wgpu:{}, {}", adapter.index, adapter.describe()));
    (found, left_out.collect())
}
