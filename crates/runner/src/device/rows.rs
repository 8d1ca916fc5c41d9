//! Rows of `uphill list devices`.

use super::{
    DeviceInfo, cores,
    machine::{Adapter, CudaGpu, Machine},
    messages::{NO_ADAPTER, NO_CUDA, build_with},
    pick::Pick,
};

/// The Burn release in the workspace's `Cargo.toml`, which Burn does not export; a test keeps the two equal.
pub(crate) const BURN_VERSION: &str = "0.22.1";

pub(super) fn rows(machine: &Machine) -> Vec<DeviceInfo> {
    let mut rows = vec![
        cpu_row(
            &Pick::Flex,
            machine.flex,
            "default for small networks on every machine",
        ),
        cpu_row(
            &Pick::Ndarray,
            machine.ndarray,
            "deprecated by Burn; for comparison",
        ),
    ];
    let adapters = machine.wgpu().into_iter().map(wgpu_row).collect();
    rows.extend(gpu_rows(
        "wgpu",
        machine.wgpu.is_some(),
        adapters,
        NO_ADAPTER,
    ));
    let gpus = machine.cuda().into_iter().map(cuda_row).collect();
    rows.extend(gpu_rows("cuda", machine.cuda.is_some(), gpus, NO_CUDA));
    rows
}

pub(super) fn cpu_row(pick: &Pick, compiled_in: bool, note: &str) -> DeviceInfo {
    let name = pick.name();
    if !compiled_in {
        return missing_row(&name, not_compiled_note(&name));
    }
    DeviceInfo {
        kind: "cpu".to_owned(),
        adapter: format!("CPU, {}", cores()),
        driver: format!("Burn {name} {BURN_VERSION}"),
        note: note.to_owned(),
        backend: name.clone(),
        name,
    }
}

pub(super) fn wgpu_row(adapter: Adapter) -> DeviceInfo {
    DeviceInfo {
        name: format!("wgpu:{}", adapter.index),
        backend: format!("wgpu, {}", adapter.api),
        kind: adapter.kind.name().to_owned(),
        note: adapter.caution().to_owned(),
        adapter: adapter.name,
        driver: adapter.driver,
    }
}

pub(super) fn cuda_row(gpu: CudaGpu) -> DeviceInfo {
    DeviceInfo {
        name: format!("cuda:{}", gpu.index),
        backend: "cuda".to_owned(),
        kind: "gpu".to_owned(),
        adapter: gpu.name,
        driver: gpu.driver,
        note: gpu
            .lacks
            .map_or(String::new(), |lack| format!("cannot be used: {lack}")),
    }
}

/// The rows of a GPU backend, or one that explains why there are none.
pub(super) fn gpu_rows(
    backend: &str,
    compiled_in: bool,
    found: Vec<DeviceInfo>,
    how_to_get_one: &str,
) -> Vec<DeviceInfo> {
    if !compiled_in {
        vec![missing_row(backend, not_compiled_note(backend))]
    } else if found.is_empty() {
        vec![missing_row(
            backend,
            format!("not available: {how_to_get_one}"),
        )]
    } else {
        found
    }
}

pub(super) fn not_compiled_note(backend: &str) -> String {
    format!("not compiled in: {}", build_with(backend))
}

pub(super) fn missing_row(backend: &str, note: String) -> DeviceInfo {
    DeviceInfo {
        name: backend.to_owned(),
        backend: backend.to_owned(),
        kind: "-".to_owned(),
        adapter: "-".to_owned(),
        driver: "-".to_owned(),
        note,
    }
}
