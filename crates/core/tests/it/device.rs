//! The device under test.

use burn::tensor::Device;

/// The device that `UPHILL_TEST_DEVICE` names; flex if it is not set.
pub(crate) fn device() -> Device {
    let name = std::env::var("UPHILL_TEST_DEVICE").unwrap_or_else(|_| "flex".to_owned());
    match name.as_str() {
        "flex" => Device::flex(),
        #[cfg(feature = "ndarray")]
        #[allow(deprecated)] // deprecated upstream, still offered here
        "ndarray" => Device::ndarray(),
        #[cfg(feature = "wgpu")]
        "wgpu" => Device::wgpu(burn::tensor::DeviceKind::DefaultDevice),
        #[cfg(feature = "cuda")]
        "cuda" => Device::cuda(0),
        other => {
            panic!("UPHILL_TEST_DEVICE={other}: unknown, or not compiled in (--features {other})")
        }
    }
}
