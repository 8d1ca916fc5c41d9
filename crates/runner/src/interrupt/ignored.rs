//! Signals that were ignored when the program started; queried before handlers are installed.
//!
//! `sigaction` would answer this but is unsafe to call. On Linux a file has the answer; elsewhere a child process,
//! which inherits ignored signals, tests which signals it survives.

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use std::{
    fs,
    process::{Command, Stdio},
};

/// Those of SIGHUP, SIGINT and SIGTERM that are ignored.
pub(super) fn ignored() -> Vec<i32> {
    from_proc().unwrap_or_else(from_children)
}

/// `None` if there is no such file.
fn from_proc() -> Option<Vec<i32>> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = u64::from_str_radix(mask?.trim(), 16).ok()?;
    let is_ignored = |signal: &i32| mask >> (signal - 1) & 1 == 1;
    Some(
        [SIGHUP, SIGINT, SIGTERM]
            .into_iter()
            .filter(is_ignored)
            .collect(),
    )
}

/// Empty if there is no shell.
fn from_children() -> Vec<i32> {
    let survives = |name: &str| {
        let mut child = Command::new("sh");
        child.args(["-c", &format!("kill -s {name} $$")]);
        (child
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status())
        .is_ok_and(|status| status.success())
    };
    let named = [(SIGHUP, "HUP"), (SIGINT, "INT"), (SIGTERM, "TERM")];
    (named.into_iter().filter(|(_, name)| survives(name)))
        .map(|(signal, _)| signal)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Independent of how the tests were started; on Linux the two answers can be compared.
    #[test]
    fn both_ways_find_the_same() {
        let by_children = from_children();
        assert!(from_proc().is_none_or(|by_proc| by_proc == by_children));
    }
}
