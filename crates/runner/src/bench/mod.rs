//! `uphill bench`: how fast each device trains, where the time goes, and where a GPU begins to pay.

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
    device::{self, Chosen, Measured, Processor},
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
use std::{path::PathBuf, process::ExitCode};
use throughput::{Subject, Turn};

/// Everything that was found out.
struct Findings {
    /// The configuration's name, `None` for the built-in work.
    name: Option<String>,
    /// Sizes, of which there is at least one.
    works: Vec<Work>,
    devices: Vec<Chosen>,
    /// Devices that were not measured, in words.
    left_out: Vec<String>,
    rounds: u32,
    /// RFC 3339, UTC.
    started: String,
    /// Every size on every device.
    measurements: Vec<Measurement>,
    crossovers: Vec<Crossover>,
    /// Where GPUs' results are kept for `auto`.
    kept: Option<PathBuf>,
}

/// One size on one device.
#[derive(Clone, Debug, Serialize)]
struct Measurement {
    device: String,
    /// Trained at once.
    agents: u64,
    /// Of each agent.
    num_envs: usize,
    /// Widths of the hidden layers.
    network: Vec<usize>,
    /// Of actor and critic together.
    params: usize,
    /// Samples in one gradient step.
    minibatch: usize,
    /// Iterations that were not counted.
    warm_up_iterations: u64,
    /// In each round.
    iterations: u64,
    env_steps_per_s: Spread,
    iteration_ms: Spread,
    /// `None` where collecting and learning happen at the same time, as they do among several agents.
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
        say(format!("{} copies, {network} ...", work.config.num_envs));
        measurements.extend(measure(work, &devices, args)?);
    }
    let crossovers = crossovers(&measurements, &devices);
    let kept = match &args.config {
        None => keep(&measurements, &devices),
        Some(_) => None,
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

/// One size of work on all devices.
fn measure(work: &Work, devices: &[Chosen], args: &BenchArgs) -> anyhow::Result<Vec<Measurement>> {
    let subject = |chosen: &Chosen| Subject::new(work, chosen, args.iterations);
    let mut subjects = devices
        .iter()
        .map(subject)
        .collect::<anyhow::Result<Vec<_>>>()?;
    let turns = take_turns(&mut subjects, args.rounds, Subject::turn)?;

    let measured = devices.iter().zip(&subjects).zip(turns);
    let mut measurements: Vec<Measurement> = measured
        .map(|((chosen, subject), turns)| Measurement {
            device: chosen.name.clone(),
            agents: work.agents,
            num_envs: work.config.num_envs,
            network: work.config.network.hidden.clone(),
            params: work.params,
            minibatch: work.minibatch,
            warm_up_iterations: subject.warm_up,
            iterations: subject.iterations,
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

    let probe =
        |(chosen, m): (&Chosen, &Measurement)| Probe::new(work, &chosen.device, m.iterations);
    let probes = devices.iter().zip(&measurements).map(probe);
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

/// `rounds` rounds in which everyone has one turn, so that whatever slows the machine down for a
/// while meets all of them. Results by participant, then by round.
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

/// Waits until the device has done all that it was given.
fn sync(device: &Device) -> anyhow::Result<()> {
    device.sync().map_err(|e| anyhow!("device failed: {e}"))
}

/// Tells `auto` about every GPU. That it cannot be kept spoils no measurement.
fn keep(measurements: &[Measurement], devices: &[Chosen]) -> Option<PathBuf> {
    let cpu = devices.iter().find(|d| d.processor == Processor::Cpu)?;
    let gpus = devices.iter().filter(|d| d.processor == Processor::Gpu);
    let mut file = None;
    for gpu in gpus {
        let points = points(measurements, &cpu.name, &gpu.name);
        match device::keep(Measured::now(&gpu.adapter, &cpu.adapter, points)) {
            Ok(path) => file = Some(path),
            Err(error) => tracing::warn!("not kept for --device auto: {error:#}"),
        }
    }
    file
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::take_turns;
    use std::cell::RefCell;

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
