//! The JSON.

use super::{
    Findings,
    throughput::{WARM_UP, WARM_UP_ITERATIONS},
};
use crate::device::{BURN_VERSION, Chosen};
use serde_json::{Value, json};

/// One object with everything.
pub(super) fn document(findings: &Findings) -> Value {
    let device = |chosen: &Chosen| {
        json!({
            "name": chosen.name,
            "adapter": chosen.adapter,
            "processor": chosen.processor,
        })
    };
    let config = &findings.works[0].config;
    json!({
        "program": {
            "version": env!("CARGO_PKG_VERSION"),
            "commit": env!("UPHILL_COMMIT"),
            "burn": BURN_VERSION,
        },
        "machine": machine(),
        "started": findings.started,
        "workload": {
            "name": findings.name.as_deref().unwrap_or("built-in"),
            "env": config.env,
            "algo": config.algo,
        },
        "method": {
            "warm_up": {
                "iterations_at_least": WARM_UP_ITERATIONS,
                "seconds_at_least": WARM_UP.as_secs_f64(),
                "counted": false,
            },
            "rounds": findings.rounds,
            "order": "devices take turns in every round",
            "statistic": "median over rounds, with the least and the greatest",
            "synchronised": "the device is waited for before the clock is read: around the turns of throughput, at every border of phases",
            "memory": "resident and peak: this process with all devices of the size, after its turns",
        },
        "devices": findings.devices.iter().map(device).collect::<Vec<_>>(),
        "left_out": findings.left_out,
        "measurements": findings.measurements,
        "crossovers": findings.crossovers,
        "kept_for_auto": findings.kept,
    })
}

fn machine() -> Value {
    json!({
        "host": gethostname::gethostname().to_string_lossy(),
        "os": std::env::consts::OS,
        "arch": std::env::consts::ARCH,
        "cpu": cpu(),
        "cores": cores(),
    })
}

/// The processor's name, where Linux tells.
pub(super) fn cpu() -> Option<String> {
    let info = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = info.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

pub(super) fn cores() -> Option<usize> {
    std::thread::available_parallelism().ok().map(usize::from)
}
