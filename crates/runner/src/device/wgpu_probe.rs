//! Adapters of wgpu in Burn's order and on its graphics API, so that indices mean the same hardware.

use std::sync::OnceLock;

use anyhow::{Context as _, Result, bail};
use burn::tensor::wgpu::WgpuInitError;
// The wgpu that Burn uses: a separate version could enumerate differently.
use burn::tensor::wgpu::wgpu;
use burn::tensor::{Device, DeviceKind, read_sync};

use super::machine::{Adapter, Kind};

/// The graphics APIs that Burn tries, in its order (`AutoGraphicsApi::chain` of `cubecl-wgpu`).
const APIS: &[wgpu::Backend] = if cfg!(target_os = "macos") {
    &[wgpu::Backend::Metal]
} else {
    &[
        wgpu::Backend::Vulkan,
        wgpu::Backend::Dx12,
        wgpu::Backend::Gl,
    ]
};

/// Queries the drivers once per process: it takes tens of milliseconds, and the Vulkan loader does not cope well with
/// instances that come and go.
pub(super) fn adapters() -> Vec<Adapter> {
    static ADAPTERS: OnceLock<Vec<Adapter>> = OnceLock::new();
    ADAPTERS.get_or_init(|| number(settle())).clone()
}

/// The adapters of the first API with a GPU, else of the first with any adapter, as Burn chooses.
fn settle() -> Vec<wgpu::AdapterInfo> {
    let mut software_only = Vec::new();
    for &api in APIS {
        let found = on_api(api);
        if found
            .iter()
            .any(|info| info.device_type != wgpu::DeviceType::Cpu)
        {
            return found;
        }
        if software_only.is_empty() {
            software_only = found;
        }
    }
    software_only
}

fn on_api(api: wgpu::Backend) -> Vec<wgpu::AdapterInfo> {
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor {
        backends: api.into(),
        ..wgpu::InstanceDescriptor::new_without_display_handle()
    });
    read_sync(instance.enumerate_adapters(api.into()))
        .iter()
        .map(wgpu::Adapter::get_info)
        .collect()
}

fn number(infos: Vec<wgpu::AdapterInfo>) -> Vec<Adapter> {
    let mut adapters: Vec<Adapter> = Vec::with_capacity(infos.len());
    for (index, info) in infos.into_iter().enumerate() {
        let kind = kind_of(info.device_type);
        let nth = adapters.iter().filter(|other| other.kind == kind).count();
        adapters.push(Adapter {
            index,
            kind,
            nth,
            api: format!("{:?}", info.backend),
            driver: driver_of(&info),
            name: info.name,
        });
    }
    adapters
}

fn kind_of(device_type: wgpu::DeviceType) -> Kind {
    match device_type {
        wgpu::DeviceType::DiscreteGpu => Kind::Discrete,
        wgpu::DeviceType::IntegratedGpu => Kind::Integrated,
        wgpu::DeviceType::VirtualGpu => Kind::Virtual,
        wgpu::DeviceType::Cpu => Kind::Software,
        wgpu::DeviceType::Other => Kind::Other,
    }
}

fn driver_of(info: &wgpu::AdapterInfo) -> String {
    let driver = format!("{} {}", info.driver, info.driver_info);
    match driver.trim() {
        "" => "unknown".to_owned(),
        driver => driver.to_owned(),
    }
}

/// Opens the adapter now, so that a driver's refusal is an error here instead of a panic at the first tensor.
pub(super) fn open(adapter: &Adapter) -> Result<Device> {
    let kind = burn_kind(adapter)?;
    let opened = Device::wgpu_options().device_kind(kind.clone()).init();
    match opened {
        Ok(device) => Ok(device),
        // Already opened in this process, as by `bench`.
        Err(WgpuInitError::Registration { .. }) => Ok(Device::wgpu(kind)),
        Err(error) => Err(error)
            .with_context(|| format!("cannot open wgpu:{} {}", adapter.index, adapter.name)),
    }
}

/// Burn's address of an adapter. It has no number for software adapters and no name for unclassified ones, which are
/// only reached as the default of a machine without other adapters.
pub(super) fn burn_kind(adapter: &Adapter) -> Result<DeviceKind> {
    match (adapter.kind, adapter.nth) {
        (Kind::Discrete, n) => Ok(DeviceKind::DiscreteGpu(n)),
        (Kind::Integrated, n) => Ok(DeviceKind::IntegratedGpu(n)),
        (Kind::Virtual, n) => Ok(DeviceKind::VirtualGpu(n)),
        (Kind::Software, 0) => Ok(DeviceKind::Cpu),
        (Kind::Other, 0) if adapters().len() == 1 => Ok(DeviceKind::DefaultDevice),
        _ => bail!(
            "wgpu:{} {} cannot be addressed: Burn reaches only the first software adapter and \
             numbered GPUs",
            adapter.index,
            adapter.describe()
        ),
    }
}
