//! Check that there is enough memory for a run, before anything is written.

use crate::device::{Chosen, Processor};
use std::{fs, path::Path};
use uphill_algos::{ConfigError, Footprint, RunConfig, TrainError};
use uphill_envs::EnvSpec;

/// The footprint of `agents` runs together on a device, if there is enough memory.
///
/// The free memory of a GPU is unknown; there, only what no processor can address is refused.
pub(crate) fn check(
    config: &RunConfig,
    chosen: &Chosen,
    agents: u64,
) -> Result<Footprint, TrainError> {
    let spec = uphill_envs::spec(&config.env)?;
    Ok(check_in(&spec, config, chosen, agents)?)
}

/// [`check`] in an environment whose single observations `spec` describes (without `frames`).
pub(crate) fn check_in(
    spec: &EnvSpec,
    config: &RunConfig,
    chosen: &Chosen,
    agents: u64,
) -> Result<Footprint, ConfigError> {
    let available = match chosen.processor {
        Processor::Gpu => None,
        Processor::Cpu | Processor::Software => available(),
    };
    let available = available.unwrap_or(u128::MAX);
    Footprint::within(config, spec, agents, available)
}

/// Bytes that this process can still allocate: the minimum of the free memory, the rest of its control group's limit,
/// and the rest of its own limits. `None` if unknown; on Linux all of them are in files.
pub(crate) fn available() -> Option<u128> {
    let read = |path: &Path| fs::read_to_string(path).ok();
    let proc = |name: &str| read(&Path::new("/proc").join(name));
    let free = proc("meminfo").and_then(|text| {
        let swap = kib(&text, "SwapFree:").unwrap_or(0);
        Some(kib(&text, "MemAvailable:")? + swap)
    });
    let own = proc("self/limits").zip(proc("self/status"));
    let own = own.and_then(|(limits, status)| left_of_limits(&limits, &status));
    let group = proc("self/cgroup").and_then(|text| left_of_group(&text, read));
    [free, own, group].into_iter().flatten().min()
}

/// Remaining bytes under `ulimit -v` and `ulimit -d`.
fn left_of_limits(limits: &str, status: &str) -> Option<u128> {
    let left = |limit: &str, used: &str| {
        let line = limits.lines().find_map(|line| line.strip_prefix(limit))?;
        let limit: u128 = line.split_whitespace().next()?.parse().ok()?;
        Some(limit.saturating_sub(kib(status, used)?))
    };
    let space = left("Max address space", "VmSize:");
    let data = left("Max data size", "VmData:");
    [space, data].into_iter().flatten().min()
}

/// Remaining bytes of the control group in `/proc/self/cgroup`, and of its parents (version 2).
fn left_of_group(text: &str, read: impl Fn(&Path) -> Option<String>) -> Option<u128> {
    let path = text.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let root = Path::new("/sys/fs/cgroup");
    let folder = root.join(path);
    let groups = folder
        .ancestors()
        .take_while(|group| group.starts_with(root));
    let left = |group: &Path| {
        let number = |name: &str| read(&group.join(name))?.trim().parse::<u128>().ok();
        let (limit, used) = (number("memory.max")?, number("memory.current")?);
        // Files that have not been used for a while can be evicted.
        let stat = read(&group.join("memory.stat")).unwrap_or_default();
        let files = stat
            .lines()
            .find_map(|line| line.strip_prefix("inactive_file "));
        let files = files.and_then(|n| n.trim().parse().ok()).unwrap_or(0);
        Some(limit.saturating_sub(used.saturating_sub(files)))
    };
    groups.filter_map(left).min()
}

/// Parses bytes from a line such as `VmSize:   10240 kB`.
pub(crate) fn kib(text: &str, field: &str) -> Option<u128> {
    let line = text.lines().find_map(|line| line.strip_prefix(field))?;
    let kib: u128 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: &str = "Name:\tuphill\nVmSize:\t   20480 kB\nVmData:\t   10240 kB\n";

    #[test]
    fn the_kernel_s_lines_are_read() {
        assert_eq!(kib(STATUS, "VmSize:"), Some(20 << 20));
        assert_eq!(kib(STATUS, "VmData:"), Some(10 << 20));
        assert_eq!(kib("", "VmSize:"), None);
    }

    #[test]
    fn limits_of_the_process_leave_what_it_has_not_used() {
        let limits = |data: &str, space: &str| {
            format!(
                "Limit                     Soft Limit           Hard Limit           Units     \n\
                 Max data size             {data}            unlimited            bytes     \n\
                 Max address space         {space}            unlimited            bytes     \n"
            )
        };
        let (all, some) = ("unlimited", "31457280");
        assert_eq!(left_of_limits(&limits(all, all), STATUS), None);
        // 30 MiB less the 20 or the 10 in use.
        assert_eq!(left_of_limits(&limits(all, some), STATUS), Some(10 << 20));
        assert_eq!(left_of_limits(&limits(some, all), STATUS), Some(20 << 20));
        assert_eq!(left_of_limits(&limits("1", all), STATUS), Some(0));
    }

    #[test]
    fn the_tightest_group_counts() {
        let files = [
            ("/sys/fs/cgroup/a/memory.max", "1000\n"),
            ("/sys/fs/cgroup/a/memory.current", "700\n"),
            (
                "/sys/fs/cgroup/a/memory.stat",
                "anon 500\ninactive_file 150\n",
            ),
            ("/sys/fs/cgroup/a/b/memory.max", "max\n"),
            ("/sys/fs/cgroup/a/b/memory.current", "100\n"),
        ];
        let read = |path: &Path| {
            let found = files.iter().find(|(name, _)| Path::new(name) == path);
            found.map(|(_, text)| (*text).to_owned())
        };
        assert_eq!(left_of_group("0::/a/b\n", read), Some(450));
        assert_eq!(left_of_group("0::/c\n", read), None);
        assert_eq!(left_of_group("5:memory:/a\n", read), None);
    }
}
