//! Whole iterations of training, timed from outside.

use super::{plan::Work, sync};
use burn::tensor::Device;
use std::time::{Duration, Instant};
use uphill_algos::Trainer;

/// What every device does before its clock runs: kernels get compiled and tuned, buffers allocated.
pub(super) const WARM_UP_ITERATIONS: u64 = 3;
pub(super) const WARM_UP: Duration = Duration::from_millis(300);
/// How long a device's turn lasts, about, unless the number of iterations is given.
pub(super) const TURN: Duration = Duration::from_millis(400);

/// A run on one device.
pub(super) struct Subject {
    trainer: Trainer,
    device: Device,
    /// Iterations that were not counted.
    pub(super) warm_up: u64,
    /// In each turn.
    pub(super) iterations: u64,
}

/// One turn of a device.
#[derive(Clone, Copy, Debug)]
pub(super) struct Turn {
    pub(super) env_steps_per_s: f64,
    pub(super) iteration_ms: f64,
}

impl Subject {
    /// A fresh run, warmed up. It makes `iterations` in a turn, or as many as fill it.
    pub(super) fn new(
        work: &Work,
        device: &Device,
        iterations: Option<u64>,
    ) -> anyhow::Result<Self> {
        let mut subject = Self {
            trainer: Trainer::new(work.config.clone(), device)?,
            device: device.clone(),
            warm_up: 0,
            iterations: 1,
        };
        let clock = Instant::now();
        let mut turn = subject.turn()?;
        subject.warm_up = 1;
        while subject.warm_up < WARM_UP_ITERATIONS || clock.elapsed() < WARM_UP {
            turn = subject.turn()?;
            subject.warm_up += 1;
        }
        let filling = (TURN.as_secs_f64() * 1e3 / turn.iteration_ms).ceil();
        subject.iterations = iterations.unwrap_or(filling.clamp(1.0, 1e6) as u64);
        Ok(subject)
    }

    pub(super) fn turn(&mut self) -> anyhow::Result<Turn> {
        let before = self.trainer.env_steps();
        sync(&self.device)?;
        let clock = Instant::now();
        for _ in 0..self.iterations {
            self.trainer.step()?;
        }
        sync(&self.device)?;
        let seconds = clock.elapsed().as_secs_f64().max(1e-9);
        Ok(Turn {
            env_steps_per_s: (self.trainer.env_steps() - before) as f64 / seconds,
            iteration_ms: seconds * 1e3 / self.iterations as f64,
        })
    }
}
