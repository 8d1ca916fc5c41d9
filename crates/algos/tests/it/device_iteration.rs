//! A whole iteration of PPO on a GPU; nothing to do on other devices.

use crate::{device::device, ppo, run};
use burn::tensor::Device;
use cubecl::logging::{LaunchObservation, LaunchObserver};
use std::sync::{Arc, Mutex};
use std::thread::ThreadId;
use uphill_algos::{RunConfig, Trainer, ppo::PpoConfig};
use uphill_core::{ops::device_order, read_back};

fn is_gpu() -> bool {
    device_order([1, 2], 3, &device()).is_some()
}

/// 8 copies × 32 steps of CartPole.
fn config(epochs: usize, minibatches: usize) -> RunConfig {
    let settings = PpoConfig {
        steps: 32,
        epochs,
        minibatches,
        ..Default::default()
    };
    let mut config = run("CartPole-v1", 8, 1_000_000, settings);
    config.network.hidden = vec![16, 16];
    ppo(&mut config).max_grad_norm = 0.5;
    config
}

/// Kernels in the order of their launches, with the thread that launched them.
#[derive(Default)]
struct Launches(Mutex<Vec<(ThreadId, &'static str)>>);

impl LaunchObserver for Launches {
    fn launched(&self, kernel: &'static str) {
        let thread = std::thread::current().id();
        self.0.lock().unwrap().push((thread, kernel));
    }
}

#[test]
fn an_iteration_is_a_handful_of_launches_and_one_read_back() {
    if !is_gpu() {
        return;
    }
    let (epochs, minibatches) = (2, 4);
    let mut trainer = Trainer::new(config(epochs, minibatches), &device()).unwrap();
    trainer.step().unwrap();
    let launches = Arc::new(Launches::default());
    let watching = LaunchObservation::new(launches.clone());
    let reads = read_back::times();
    trainer.step().unwrap();
    drop(watching);
    assert_eq!(read_back::times() - reads, 1, "read-backs");
    let launches = launches.0.lock().unwrap();
    for (thread, name) in launches.iter() {
        println!("{thread:?} {name}");
    }
    println!("{} launches", launches.len());
}

#[test]
fn an_iteration_is_that_on_the_host() {
    if !is_gpu() {
        return;
    }
    // One minibatch: the order of its samples does not matter.
    let on = |device: &Device| {
        let mut trainer = Trainer::new(config(1, 1), device).unwrap();
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
