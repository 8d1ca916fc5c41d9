//! JSON output of `uphill bench`.

use super::{
    Findings,
    throughput::{WARM_UP, WARM_UP_ITERATIONS, whole_episodes},
};
use crate::device::{BURN_VERSION, Chosen, cpu_model};
use serde_json::{Value, json};

/// All findings in one object.
pub(super) fn document(findings: &Findings) -> Value {
    let device = |chosen: &Chosen| {
        json!({
            "name": chosen.name,
            "adapter": chosen.adapter,
            "processor": chosen.processor,
        })
    };
    let config = &findings.works[0].config;
    // The widths are those of each measurement.
    let mut network = json!(config.network);
    if let Some(network) = network.as_object_mut() {
        network.remove("hidden");
    }
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
            "seed": config.seed,
            "frames": config.frames,
            "host_steps": config.host_steps,
            "random_ages": config.random_ages,
            "network": network,
            "normalize": config.normalize,
        },
        "method": {
            "warm_up": {
                "iterations_at_least": WARM_UP_ITERATIONS,
                "seconds_at_least": WARM_UP.as_secs_f64(),
                "counted": false,
            },
            "iterations": if whole_episodes(config) {
                "as many on every device: those that fill the turn of the slowest, unless given; GPUs have made the same ones before"
            } else {
                "on each device as many as fill its turn, unless given"
            },
            "phases": "in turns of a run of its own, after as many iterations of warm-up",
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
        "kept_for_auto": findings.kept.path(),
    })
}

fn machine() -> Value {
    json!({
        "host": gethostname::gethostname().to_string_lossy(),
        "os": std::env::consts::OS,
        "arch": std::env::consts::ARCH,
        "cpu": cpu_model(),
        "cores": cores(),
    })
}

pub(super) fn cores() -> Option<usize> {
    std::thread::available_parallelism().ok().map(usize::from)
}
