//! Memory in use by the process and by devices.

use burn::tensor::Device;
use serde::Serialize;

/// Bytes in use at one moment; `None` if unknown.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Memory {
    /// Resident memory of this process, including the work of all devices. Linux only.
    pub(super) resident: Option<u64>,
    /// Its maximum since the process started.
    pub(super) peak: Option<u64>,
    /// Bytes in live tensors, as counted by the device's allocator.
    pub(super) device_in_use: Option<u64>,
    /// Bytes reserved by the device's allocator.
    pub(super) device_reserved: Option<u64>,
}

pub(super) fn memory(device: &Device) -> Memory {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let pool = device.memory_pool_usage();
    Memory {
        resident: bytes(&status, "VmRSS:"),
        peak: bytes(&status, "VmHWM:"),
        device_in_use: pool.map(|pool| pool.bytes_in_use),
        device_reserved: pool.map(|pool| pool.bytes_reserved),
    }
}

/// Parses a line such as `VmRSS:     10240 kB`.
fn bytes(status: &str, field: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::bytes;

    #[test]
    fn the_kernel_s_lines_are_read() {
        let status = "Name:\tuphill\nVmHWM:\t   20480 kB\nVmRSS:\t   10240 kB\n";
        assert_eq!(bytes(status, "VmRSS:"), Some(10 << 20));
        assert_eq!(bytes(status, "VmHWM:"), Some(20 << 20));
        assert_eq!(bytes("", "VmRSS:"), None);
    }
}
