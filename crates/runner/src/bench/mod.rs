//! `uphill bench`: speed of each device, time per phase, and crossovers between GPU and CPU.

mod crossover;
mod document;
mod memory;
mod phases;
mod plan;
mod spread;
mod table;
mod throughput;

use crate::{
    cli::BenchArgs,
    console::{note, print},
    device::{self, Chosen, Measured, Processor, with_unit},
    run_dir::timestamp,
};
use anyhow::anyhow;
use burn::tensor::Device;
use crossover::{Crossover, crossovers, points};
use memory::{Memory, memory};
use phases::{Phases, Probe};
use plan::Work;
use serde::Serialize;
use spread::Spread;
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};
use throughput::{Counts, Subject, Turn, rehearse, warm_up};

/// Results of a benchmark.
struct Findings {
    /// Name of the configuration; `None` for the built-in work.
    name: Option<String>,
    /// Sizes of work, at least one.
    works: Vec<Work>,
    devices: Vec<Chosen>,
    /// Descriptions of devices that were not measured.
    left_out: Vec<String>,
    rounds: u32,
    /// Start time, RFC 3339, UTC.
    started: String,
    /// Measurements of every size on every device.
    measurements: Vec<Measurement>,
    crossovers: Vec<Crossover>,
    /// Whether the results were kept for `auto`.
    kept: Kept,
}

/// Fate of the results of GPUs.
#[derive(Debug, PartialEq)]
enum Kept {
    /// There are no GPU results, or they are not of the built-in work.
    Nothing,
    /// They would replace more careful results.
    TooQuick,
    In(PathBuf),
}

impl Kept {
    fn path(&self) -> Option<&Path> {
        match self {
            Self::In(path) => Some(path),
            Self::Nothing | Self::TooQuick => None,
        }
    }
}

/// Minimum number of rounds for results to be kept, if turns have the default length.
const CAREFUL_ROUNDS: u32 = 3;

/// Measurement of one size on one device.
#[derive(Clone, Debug, Serialize)]
struct Measurement {
    device: String,
    /// Number of agents trained together.
    agents: u64,
    /// Number of copies of each agent.
    num_envs: usize,
    /// Widths of the hidden layers.
    network: Vec<usize>,
    /// Number of parameters of actor and critic together.
    params: usize,
    /// Number of samples in one gradient step.
    minibatch: usize,
    /// Number of warm-up iterations, which are not counted.
    warm_up_iterations: u64,
    /// Number of iterations in each round.
    iterations: u64,
    env_steps_per_s: Spread,
    iteration_ms: Spread,
    /// `None` if collecting and learning overlap, or if there are several agents.
    phases_ms: Option<Phases<Spread>>,
    memory_bytes: Memory,
}

pub(crate) fn bench(args: &BenchArgs) -> anyhow::Result<ExitCode> {
    let works = plan::works(args)?;
    let (devices, left_out) = plan::devices(&args.devices, &works[0])?;
    let say = |text: String| {
        if !args.quiet {
            note(text);
        }
    };
    for device in &devices {
        say(format!("{}: {}", device.name, device.adapter));
    }
    let started = timestamp();
    let mut measurements = vec![];
    for work in &works {
        let network = table::network(&work.config.network.hidden);
        let copies = table::copies(work.config.num_envs);
        let params = with_unit(work.params as f64, "");
        say(format!("{copies}, {network}, {params} parameters ..."));
        measurements.extend(measure(work, &devices, args)?);
    }
    let crossovers = crossovers(&measurements, &devices);
    let kept = match &args.config {
        None => keep(&measurements, &devices, works[0].host_env, is_careful(args)),
        Some(_) => Kept::Nothing,
    };
    let findings = Findings {
        name: args.config.clone(),
        works,
        devices,
        left_out,
        rounds: args.rounds,
        started,
        measurements,
        crossovers,
        kept,
    };
    if args.json {
        print(document::document(&findings))?;
    } else {
        print(table::text(&findings))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Measures one size of work on all devices.
fn measure(work: &Work, devices: &[Chosen], args: &BenchArgs) -> anyhow::Result<Vec<Measurement>> {
    let subject = |chosen: &Chosen| Subject::new(work, chosen);
    let mut subjects = devices
        .iter()
        .map(subject)
        .collect::<anyhow::Result<Vec<_>>>()?;
    warm_up(&mut subjects, work, args.iterations)?;
    rehearse(&subjects, work, devices, args.rounds)?;
    let turns = take_turns(&mut subjects, args.rounds, Subject::turn)?;
    let counts: Vec<Counts> = subjects.iter().map(|subject| subject.counts).collect();

    let measured = devices.iter().zip(&counts).zip(turns);
    let mut measurements: Vec<Measurement> = measured
        .map(|((chosen, counts), turns)| Measurement {
            device: chosen.name.clone(),
            agents: work.agents,
            num_envs: work.config.num_envs,
            network: work.config.network.hidden.clone(),
            params: work.params,
            minibatch: work.minibatch,
            warm_up_iterations: counts.warm_up,
            iterations: counts.turn,
            env_steps_per_s: over(&turns, |turn| turn.env_steps_per_s),
            iteration_ms: over(&turns, |turn| turn.iteration_ms),
            phases_ms: None,
            memory_bytes: memory(&chosen.device),
        })
        .collect();
    drop(subjects);
    if work.agents > 1 {
        return Ok(measurements);
    }

    let probe = |(chosen, counts): (&Chosen, &Counts)| Probe::new(work, &chosen.device, *counts);
    let probes = devices.iter().zip(&counts).map(probe);
    // All or none: whether an algorithm has phases does not depend on the device.
    let probes = probes.collect::<anyhow::Result<Option<Vec<_>>>>()?;
    if let Some(mut probes) = probes {
        let turns = take_turns(&mut probes, args.rounds, Probe::turn)?;
        for (measurement, turns) in measurements.iter_mut().zip(turns) {
            measurement.phases_ms = Phases::over(&turns);
        }
    }
    Ok(measurements)
}

/// Runs `rounds` rounds in which each participant has one turn, so that a temporary slowdown of the machine affects all
/// of them. Returns results by participant, then by round.
fn take_turns<S, R>(
    participants: &mut [S],
    rounds: u32,
    turn: impl Fn(&mut S) -> anyhow::Result<R>,
) -> anyhow::Result<Vec<Vec<R>>> {
    let mut results: Vec<Vec<R>> = participants.iter().map(|_| vec![]).collect();
    for _ in 0..rounds {
        for (participant, results) in participants.iter_mut().zip(&mut results) {
            results.push(turn(participant)?);
        }
    }
    Ok(results)
}

fn over(turns: &[Turn], number: impl Fn(&Turn) -> f64) -> Spread {
    Spread::of(turns.iter().map(number))
}

/// Waits until the device has completed all its work.
fn sync(device: &Device) -> anyhow::Result<()> {
    device.sync().map_err(|e| anyhow!("device failed: {e}"))
}

/// Whether the results may replace earlier ones.
fn is_careful(args: &BenchArgs) -> bool {
    args.iterations.is_none() && args.rounds >= CAREFUL_ROUNDS
}

/// Keeps the results of every GPU for `auto`. A failure to keep them does not invalidate the measurements.
fn keep(measurements: &[Measurement], devices: &[Chosen], host_env: bool, careful: bool) -> Kept {
    let Some(cpu) = devices.iter().find(|d| d.processor == Processor::Cpu) else {
        return Kept::Nothing;
    };
    let gpus = devices.iter().filter(|d| d.processor == Processor::Gpu);
    let mut kept = Kept::Nothing;
    for gpu in gpus {
        if !careful {
            return Kept::TooQuick;
        }
        let points = points(measurements, [&cpu.name, &gpu.name], host_env);
        match device::keep(Measured::now(&gpu.adapter, &cpu.adapter, points)) {
            Ok(path) => kept = Kept::In(path),
            Err(error) => tracing::warn!("not kept for --device auto: {error:#}"),
        }
    }
    kept
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::{
        cli::{Cli, Command},
        device::Workload,
    };
    use clap::Parser;
    use std::cell::RefCell;

    pub(super) fn any_device() -> Device {
        let work = Workload {
            params: 1,
            minibatch: 1,
            host_env: true,
        };
        let present = device::present().0[0];
        device::choose(present, &work).unwrap().device
    }

    #[test]
    fn quick_measurements_are_not_kept() {
        let careful = |args: &str| {
            let words = ["uphill", "bench"].into_iter().chain(args.split(' '));
            match Cli::try_parse_from(words).unwrap().command {
                Command::Bench(args) => is_careful(&args),
                _ => unreachable!(),
            }
        };
        assert!(careful("--json") && careful("--rounds 3"));
        assert!(!careful("--rounds 2") && !careful("--iterations 5"));

        let chosen = |name: &str, processor| Chosen {
            device: any_device(),
            name: name.to_owned(),
            adapter: name.to_owned(),
            processor,
            reason: String::new(),
        };
        let cpu = chosen("flex", Processor::Cpu);
        let software = chosen("wgpu:0", Processor::Software);
        let gpu = chosen("wgpu:1", Processor::Gpu);
        // Without a GPU there is nothing to report.
        let mut devices = vec![cpu, software];
        assert_eq!(keep(&[], &devices, false, false), Kept::Nothing);
        devices.push(gpu);
        assert_eq!(keep(&[], &devices, false, false), Kept::TooQuick);
    }

    #[test]
    fn participants_take_turns() {
        let order = RefCell::new(vec![]);
        let turn = |name: &mut char| {
            order.borrow_mut().push(*name);
            Ok(order.borrow().len())
        };
        let results = take_turns(&mut ['a', 'b'], 3, turn).unwrap();
        assert_eq!(order.into_inner(), ['a', 'b', 'a', 'b', 'a', 'b']);
        assert_eq!(results, [[1, 3, 5], [2, 4, 6]]);
    }
}
