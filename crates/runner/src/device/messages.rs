//! Messages about unavailable devices.

use super::{arg::DeviceArg, pick::Pick};

pub(super) const NO_ADAPTER: &str = "no graphics driver offers an adapter; install the GPU's Vulkan driver \
    (NVIDIA: its own driver; AMD and Intel on Debian or Ubuntu: `apt install mesa-vulkan-drivers`, \
    which also brings a software adapter for tests)";

pub(super) const NO_CUDA: &str = "the CUDA driver library (libcuda.so.1, nvcuda.dll) is not installed or sees no GPU; \
    install NVIDIA's driver, pass the GPU into the container (`--gpus all`), and check with `nvidia-smi`";

/// Message that `file` is in none of the folders `looked_in`.
#[cfg(feature = "cuda")]
pub(super) fn no_libdevice(file: &str, looked_in: &[std::path::PathBuf]) -> String {
    let folders: Vec<_> = looked_in
        .iter()
        .map(|folder| folder.display().to_string())
        .collect();
    let folders = folders.join(", ");
    format!(
        "{file}, a part of NVIDIA's CUDA toolkit that kernels are compiled with, is not in {folders}; install the \
         toolkit, or with Python's pip only `nvidia-cuda-nvcc-cu12`, and set CUDA_PATH to the folder above `nvvm`"
    )
}

pub(super) fn build_with(backend: &str) -> String {
    format!("build with `cargo build --release --features {backend}`")
}

pub(super) fn not_compiled_in(backend: &str) -> String {
    let how = build_with(backend);
    format!("device \"{backend}\" is not compiled in: {how}")
}

pub(super) fn does_not_exist(asked: DeviceArg, there: &[Pick]) -> String {
    let there: Vec<_> = there
        .iter()
        .map(|pick| format!("{} ({})", pick.name(), pick.describe()))
        .collect();
    let there = there.join(", ");
    format!("device \"{asked}\" does not exist: this machine has {there}")
}
