//! CUDA devices by name, without opening them: a context costs hundreds of megabytes.

use std::path::PathBuf;

use burn::tensor::{Device, DeviceType};
use cudarc::driver::result::device;

use super::{machine::CudaGpu, messages::no_libdevice};

/// Folders in which CubeCL looks for a CUDA toolkit, unless `CUDA_PATH` names one.
const TOOLKITS: [&str; 4] = ["/usr/local/cuda", "/opt/cuda", "/usr/lib/cuda", "/usr"];
/// NVIDIA's library of exponentials, sines and similar functions, which CubeCL links into kernels.
const LIBDEVICE: &str = "nvvm/libdevice/libdevice.10.bc";

/// Lists the GPUs. Burn looks for the driver library before it calls it, so without one the count is zero instead of a
/// panic; only then is it safe to query the driver.
pub(super) fn gpus() -> Vec<CudaGpu> {
    let count = Device::enumerate(DeviceType::Cuda).into_iter().count();
    if count == 0 {
        return vec![];
    }
    let lacks = lacks();
    (0..count)
        .map(|index| CudaGpu {
            index,
            name: name(index).unwrap_or_else(|| "NVIDIA GPU".to_owned()),
            driver: driver_version(),
            lacks: lacks.clone(),
        })
        .collect()
}

/// A missing library without which the first kernel that needs it would fail in the middle of a run.
fn lacks() -> Option<String> {
    let named = std::env::var_os("CUDA_PATH").map(PathBuf::from);
    let looked_in = match &named {
        Some(folder) => vec![folder.clone()],
        None => TOOLKITS.map(PathBuf::from).to_vec(),
    };
    let there = looked_in
        .iter()
        .any(|folder| folder.join(LIBDEVICE).is_file());
    (!there).then(|| no_libdevice(LIBDEVICE, &looked_in))
}

fn name(index: usize) -> Option<String> {
    let handle = device::get(i32::try_from(index).ok()?).ok()?;
    device::get_name(handle).ok()
}

fn driver_version() -> String {
    std::fs::read_to_string("/proc/driver/nvidia/version")
        .ok()
        .and_then(|text| super::version_in(&text))
        .map_or("NVIDIA".to_owned(), |version| format!("NVIDIA {version}"))
}
