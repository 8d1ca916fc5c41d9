//! Throughput of whole training iterations, timed from outside.

use super::{plan::Work, sync};
use crate::{
    device::{Chosen, Processor},
    many::{Crew, spread, with_seeds},
};
use burn::tensor::Device;
use std::time::{Duration, Instant};
use uphill_algos::{Cohort, Horizon, RunConfig, StepError, Trainer};

/// Iterations of each device before its clock starts: kernels are compiled, launches recorded, buffers allocated.
pub(super) const WARM_UP_ITERATIONS: u64 = 3;
pub(super) const WARM_UP: Duration = Duration::from_millis(300);
/// Approximate length of a device's turn, unless the number of iterations is given.
pub(super) const TURN: Duration = Duration::from_millis(400);

/// One or several runs on one device.
pub(super) struct Subject {
    agents: Vec<Agent>,
    /// Their cohort, if they are trained together.
    cohort: Option<Cohort>,
    crew: Crew,
    device: Device,
    pub(super) counts: Counts,
}

/// Numbers of iterations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Warm-up iterations, which are not counted.
    pub(super) warm_up: u64,
    /// Iterations in each turn.
    pub(super) turn: u64,
}

struct Agent {
    trainer: Trainer,
    /// Number of iterations left in this turn.
    left: u64,
    stopped: Option<StepError>,
}

/// One turn of a device.
#[derive(Clone, Copy, Debug)]
pub(super) struct Turn {
    pub(super) env_steps_per_s: f64,
    pub(super) iteration_ms: f64,
}

impl Subject {
    /// New runs.
    pub(super) fn new(work: &Work, chosen: &Chosen) -> anyhow::Result<Self> {
        let agent = |config| -> anyhow::Result<Agent> {
            Ok(Agent {
                trainer: Trainer::new(config, &chosen.device)?,
                left: 0,
                stopped: None,
            })
        };
        let mut agents = with_seeds(&work.config, work.agents)
            .map(agent)
            .collect::<anyhow::Result<Vec<_>>>()?;
        let on_gpu = chosen.processor != Processor::Cpu;
        Ok(Self {
            cohort: on_gpu
                .then(|| Cohort::of(&mut trainers(&mut agents)))
                .flatten(),
            agents,
            crew: Crew::new(work.agents as usize, chosen.processor),
            device: chosen.device.clone(),
            counts: Counts::default(),
        })
    }

    pub(super) fn turn(&mut self) -> anyhow::Result<Turn> {
        self.make(self.counts.turn)
    }

    fn make(&mut self, iterations: u64) -> anyhow::Result<Turn> {
        let before = self.env_steps();
        for agent in &mut self.agents {
            agent.left = iterations;
        }
        sync(&self.device)?;
        let clock = Instant::now();
        if let Some(cohort) = &mut self.cohort {
            for _ in 0..iterations {
                let reports = cohort.step(&mut trainers(&mut self.agents));
                reports.into_iter().collect::<Result<Vec<_>, _>>()?;
            }
        } else {
            self.agents = spread(std::mem::take(&mut self.agents), self.crew, Agent::step);
        }
        sync(&self.device)?;
        let seconds = clock.elapsed().as_secs_f64().max(1e-9);
        if let Some(stopped) = self.agents.iter_mut().find_map(|one| one.stopped.take()) {
            return Err(stopped.into());
        }
        Ok(Turn {
            env_steps_per_s: (self.env_steps() - before) as f64 / seconds,
            iteration_ms: seconds * 1e3 / iterations as f64,
        })
    }

    /// Environment steps of all agents.
    fn env_steps(&self) -> u64 {
        let steps = self.agents.iter().map(|agent| agent.trainer.env_steps());
        steps.sum()
    }
}

fn trainers(agents: &mut [Agent]) -> Vec<&mut Trainer> {
    agents.iter_mut().map(|agent| &mut agent.trainer).collect()
}

impl Agent {
    /// Runs one iteration; returns whether there are more.
    fn step(&mut self) -> bool {
        self.stopped = self.trainer.step().err();
        self.left -= 1;
        self.left > 0 && self.stopped.is_none()
    }
}

/// Whether iterations consist of whole episodes. Episodes lengthen as the policy learns, so only equal numbers of
/// iterations are equal work.
pub(super) fn whole_episodes(config: &RunConfig) -> bool {
    matches!(config.algo.settings().horizon(), Horizon::Episodes { .. })
}

/// Warms up all participants. Their turns have `iterations`, or as many as fill a turn.
pub(super) fn warm_up(
    subjects: &mut [Subject],
    work: &Work,
    iterations: Option<u64>,
) -> anyhow::Result<()> {
    let one = |subject: &mut Subject| {
        let made = subject.make(1)?;
        Ok(Duration::from_secs_f64(made.iteration_ms / 1e3))
    };
    let together = match whole_episodes(&work.config) {
        true => subjects.len(),
        false => 1,
    };
    for subjects in subjects.chunks_mut(together) {
        let mut counts = warm_up_together(subjects, one)?;
        counts.turn = iterations.unwrap_or(counts.turn);
        for subject in subjects {
            subject.counts = counts;
        }
    }
    Ok(())
}

/// If iterations are whole episodes, trains another run like each one to be timed, for the same number of iterations:
/// kernels may be compiled for every new length in any iteration, and the same seed produces the same lengths.
pub(super) fn rehearse(
    subjects: &[Subject],
    work: &Work,
    devices: &[Chosen],
    rounds: u32,
) -> anyhow::Result<()> {
    for (subject, chosen) in subjects.iter().zip(devices) {
        if whole_episodes(&work.config) && chosen.processor != Processor::Cpu {
            let Counts { warm_up, turn } = subject.counts;
            Subject::new(work, chosen)?.make(warm_up + u64::from(rounds) * turn)?;
        }
    }
    Ok(())
}

/// Alternates single iterations until the slowest participant is warm; also returns how many of its iterations fill a
/// turn. `iteration` runs one and returns its duration.
fn warm_up_together<S>(
    participants: &mut [S],
    iteration: impl Fn(&mut S) -> anyhow::Result<Duration>,
) -> anyhow::Result<Counts> {
    let mut spent = vec![Duration::ZERO; participants.len()];
    let mut warm_up = 0;
    loop {
        let mut longest = Duration::ZERO;
        for (participant, spent) in participants.iter_mut().zip(&mut spent) {
            let took = iteration(participant)?;
            *spent += took;
            longest = longest.max(took);
        }
        warm_up += 1;
        if warm_up >= WARM_UP_ITERATIONS && spent.iter().any(|spent| *spent >= WARM_UP) {
            let filling = (TURN.as_secs_f64() / longest.as_secs_f64()).ceil();
            let turn = filling.clamp(1.0, 1e6) as u64;
            return Ok(Counts { warm_up, turn });
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::bench::plan::built_in;
    use uphill_algos::reinforce::ReinforceConfig;

    /// Counts for iterations that take these numbers of milliseconds.
    fn counts(milliseconds: &mut [u64]) -> (u64, u64) {
        let iteration = |took: &mut u64| Ok(Duration::from_millis(*took));
        let Counts { warm_up, turn } = warm_up_together(milliseconds, iteration).unwrap();
        (warm_up, turn)
    }

    #[test]
    fn a_warm_up_is_long_and_has_iterations() {
        // 0.3 s of warm-up, and turns of 0.4 s.
        assert_eq!(counts(&mut [4]), (75, 100));
        assert_eq!(counts(&mut [150]), (WARM_UP_ITERATIONS, 3));
        assert_eq!(counts(&mut [5000]), (WARM_UP_ITERATIONS, 1));
    }

    #[test]
    fn together_the_slowest_sets_the_pace() {
        assert_eq!(counts(&mut [4, 1200]), (WARM_UP_ITERATIONS, 1));
        assert_eq!(counts(&mut [10, 4]), counts(&mut [10]));
    }

    #[test]
    fn only_whole_episodes_change_their_work() {
        let mut config = built_in();
        assert!(!whole_episodes(&config));
        config.algo = ReinforceConfig::default().into();
        assert!(whole_episodes(&config));
    }
}
