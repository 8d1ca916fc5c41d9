//! Whole iterations of training, timed from outside.

use super::{plan::Work, sync};
use crate::{
    device::Chosen,
    many::{Crew, spread, with_seeds},
};
use burn::tensor::Device;
use std::time::{Duration, Instant};
use uphill_algos::{Diverged, Trainer};

/// What every device does before its clock runs: kernels get compiled and tuned, buffers allocated.
pub(super) const WARM_UP_ITERATIONS: u64 = 3;
pub(super) const WARM_UP: Duration = Duration::from_millis(300);
/// How long a device's turn lasts, about, unless the number of iterations is given.
pub(super) const TURN: Duration = Duration::from_millis(400);

/// A run on one device, or several at once.
pub(super) struct Subject {
    agents: Vec<Agent>,
    crew: Crew,
    device: Device,
    /// Iterations that were not counted.
    pub(super) warm_up: u64,
    /// In each turn.
    pub(super) iterations: u64,
}

struct Agent {
    trainer: Trainer,
    /// Iterations left in this turn.
    left: u64,
    diverged: Option<Diverged>,
}

/// One turn of a device.
#[derive(Clone, Copy, Debug)]
pub(super) struct Turn {
    pub(super) env_steps_per_s: f64,
    pub(super) iteration_ms: f64,
}

impl Subject {
    /// Fresh runs, warmed up. They make `iterations` in a turn, or as many as fill it.
    pub(super) fn new(
        work: &Work,
        chosen: &Chosen,
        iterations: Option<u64>,
    ) -> anyhow::Result<Self> {
        let agent = |config| -> anyhow::Result<Agent> {
            Ok(Agent {
                trainer: Trainer::new(config, &chosen.device)?,
                left: 0,
                diverged: None,
            })
        };
        let mut subject = Self {
            agents: with_seeds(&work.config, work.agents)
                .map(agent)
                .collect::<anyhow::Result<Vec<_>>>()?,
            crew: Crew::new(work.agents as usize, chosen.processor),
            device: chosen.device.clone(),
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
        let before = self.env_steps();
        for agent in &mut self.agents {
            agent.left = self.iterations;
        }
        sync(&self.device)?;
        let clock = Instant::now();
        self.agents = spread(std::mem::take(&mut self.agents), self.crew, Agent::step)?;
        sync(&self.device)?;
        let seconds = clock.elapsed().as_secs_f64().max(1e-9);
        if let Some(diverged) = self.agents.iter_mut().find_map(|one| one.diverged.take()) {
            return Err(diverged.into());
        }
        Ok(Turn {
            env_steps_per_s: (self.env_steps() - before) as f64 / seconds,
            iteration_ms: seconds * 1e3 / self.iterations as f64,
        })
    }

    /// Of all agents.
    fn env_steps(&self) -> u64 {
        let steps = self.agents.iter().map(|agent| agent.trainer.env_steps());
        steps.sum()
    }
}

impl Agent {
    /// One iteration; whether there are more.
    fn step(&mut self) -> bool {
        self.diverged = self.trainer.step().err();
        self.left -= 1;
        self.left > 0 && self.diverged.is_none()
    }
}
