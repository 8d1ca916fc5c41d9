//! CUDA devices by name, without opening them: a context costs hundreds of megabytes.

use burn::tensor::{Device, DeviceType};
use cudarc::driver::result::device;

use super::machine::CudaGpu;

/// Burn looks for the driver library before it calls it, so the count is zero, and no panic,
/// where there is none; only then is it safe to ask the driver more.
pub(super) fn gpus() -> Vec<CudaGpu> {
    let count = Device::enumerate(DeviceType::Cuda).into_iter().count();
    (0..count)
        .map(|index| CudaGpu {
            index,
            name: name(index).unwrap_or_else(|| "NVIDIA GPU".to_owned()),
            driver: driver_version(),
        })
        .collect()
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
