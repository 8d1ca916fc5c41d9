//! A whole iteration of PPO on a GPU; nothing to do on other devices.

use crate::{device::device, run};
use burn::tensor::Device;
use cubecl::logging::{LaunchObservation, LaunchObserver};
use std::sync::{Arc, Mutex};
use uphill_algos::{RunConfig, Trainer, ppo::PpoConfig};
use uphill_core::{ops::device_order, read_back};

fn is_gpu() -> bool {
    device_order([1, 2], 3, &device()).is_some()
}

/// 8 copies × 32 steps of CartPole, and one minibatch, so that the order of its samples does not matter.
fn config(epochs: usize) -> RunConfig {
    let settings = PpoConfig {
        steps: 32,
        epochs,
        minibatches: 1,
        ..Default::default()
    };
    let mut config = run("CartPole-v1", 8, 1_000_000, settings);
    config.network.hidden = vec![8];
    config
}

/// Kernels in the order of their launches.
#[derive(Default)]
struct Launches(Mutex<Vec<&'static str>>);

impl LaunchObserver for Launches {
    fn launched(&self, kernel: &'static str) {
        self.0.lock().unwrap().push(kernel);
    }
}

/// Three for each step on a minibatch (gradient, sum, Adam) and at most this many around them.
const AROUND: usize = 16;

#[test]
fn an_iteration_is_a_handful_of_launches_and_one_read_back() {
    if !is_gpu() {
        return;
    }
    let epochs = 4;
    let mut trainer = Trainer::new(config(epochs), &device()).unwrap();
    trainer.step().unwrap();
    let launches = Arc::new(Launches::default());
    let watching = LaunchObservation::new(launches.clone());
    // All launches of the process are seen, also those of tests that run beside this one; they can only add.
    let mut fewest: Option<Vec<_>> = None;
    for _ in 0..200 {
        launches.0.lock().unwrap().clear();
        let reads = read_back::times();
        trainer.step().unwrap();
        assert_eq!(read_back::times() - reads, 1, "read-backs");
        let seen = launches.0.lock().unwrap().clone();
        if fewest
            .as_ref()
            .is_none_or(|fewest| seen.len() < fewest.len())
        {
            fewest = Some(seen);
        }
        if fewest
            .as_ref()
            .is_some_and(|seen| seen.len() <= 3 * epochs + AROUND)
        {
            break;
        }
    }
    drop(watching);
    let fewest = fewest.unwrap();
    let of = |name: &str| fewest.iter().filter(|kernel| kernel.contains(name)).count();
    for name in ["gradient_kernel", "reduce_kernel", "adam_kernel"] {
        assert_eq!(of(name), epochs, "{name}");
    }
    assert_eq!(of("rollout_kernel"), 1);
    assert_eq!(of("gae_kernel"), 1);
    assert!(fewest.len() <= 3 * epochs + AROUND, "{fewest:#?}");
}

#[test]
fn an_iteration_is_that_on_the_host() {
    if !is_gpu() {
        return;
    }
    let on = |device: &Device| {
        let mut trainer = Trainer::new(config(1), device).unwrap();
        let reports: Vec<_> = (0..2).map(|_| trainer.step().unwrap()).collect();
        let params: Vec<f64> = trainer.actor().net.flat().into_data().iter().collect();
        (reports, params)
    };
    let ((reports, params), (host_reports, host_params)) = (on(&device()), on(&Device::flex()));
    for (report, host) in reports.iter().zip(&host_reports) {
        assert_eq!(report.episodes, host.episodes);
        for ((name, value), (_, expected)) in report.metrics.0.iter().zip(&host.metrics.0) {
            let (value, expected) = (value.unwrap(), expected.unwrap());
            let error = (value - expected).abs() / expected.abs().max(0.1);
            assert!(error < 1e-3, "{name}: {value}, on the host {expected}");
        }
    }
    for (value, expected) in params.iter().zip(&host_params) {
        assert!(
            (value - expected).abs() < 1e-4,
            "{value}, on the host {expected}"
        );
    }
}
