//! Crossovers: the size from which a GPU is faster than the CPU, derived from the measurements alone.

use super::Measurement;
use crate::device::{Chosen, Point, Processor};
use serde::Serialize;

/// Axes of the grid of measurements.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Size {
    /// Number of copies of the environment.
    NumEnvs(usize),
    /// Widths of the hidden layers.
    Network(Vec<usize>),
}

/// Size at which one device starts to win while the other size is held constant.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Crossover {
    pub(super) device: String,
    /// The CPU backend.
    pub(super) against: String,
    /// The size held constant.
    pub(super) at: Size,
    /// The smallest size from which the device is faster, also at every larger size; `None`: never within the grid.
    pub(super) from: Option<Size>,
    /// Size with the highest ratio.
    pub(super) best: Size,
    /// Ratio of its steps per second to the CPU's at that size.
    pub(super) best_ratio: f64,
}

/// Crossovers of every device that is not a CPU backend against the first CPU backend: for each network over the number
/// of copies, then, if there are several networks, for each number of copies over networks.
pub(super) fn crossovers(measurements: &[Measurement], devices: &[Chosen]) -> Vec<Crossover> {
    let Some(cpu) = devices.iter().find(|d| d.processor == Processor::Cpu) else {
        return vec![];
    };
    let others = devices.iter().filter(|d| d.processor != Processor::Cpu);
    others
        .flat_map(|device| between(measurements, &device.name, &cpu.name))
        .collect()
}

fn between(measurements: &[Measurement], device: &str, cpu: &str) -> Vec<Crossover> {
    let cells: Vec<(&Measurement, f64)> = pairs(measurements, cpu, device)
        .map(|(cpu, other)| {
            (
                other,
                other.env_steps_per_s.median / cpu.env_steps_per_s.median,
            )
        })
        .collect();
    let num_envs = |m: &Measurement| Size::NumEnvs(m.num_envs);
    let network = |m: &Measurement| Size::Network(m.network.clone());
    let mut found = lines(&cells, network, num_envs);
    if found.len() > 1 {
        found.extend(lines(&cells, num_envs, network));
    }
    let crossover = |(at, from, (best, best_ratio))| Crossover {
        device: device.to_owned(),
        against: cpu.to_owned(),
        at,
        from,
        best,
        best_ratio,
    };
    found.into_iter().map(crossover).collect()
}

type Line = (Size, Option<Size>, (Size, f64));

/// For each value of `held`, in order: the point along the other axis from which ratios stay above one, and the highest
/// ratio.
fn lines(
    cells: &[(&Measurement, f64)],
    held: impl Fn(&Measurement) -> Size,
    varied: impl Fn(&Measurement) -> Size,
) -> Vec<Line> {
    let mut at: Vec<Size> = vec![];
    for (m, _) in cells {
        if !at.contains(&held(m)) {
            at.push(held(m));
        }
    }
    let line = |at: Size| {
        // Measurements come in the order of both sizes.
        let on_it: Vec<_> = cells.iter().filter(|(m, _)| held(m) == at).collect();
        let losses = on_it.iter().rposition(|(_, ratio)| *ratio <= 1.0);
        let from = on_it.get(losses.map_or(0, |last| last + 1));
        let best = on_it.iter().max_by(|a, b| a.1.total_cmp(&b.1))?;
        Some((at, from.map(|(m, _)| varied(m)), (varied(best.0), best.1)))
    };
    at.into_iter().filter_map(line).collect()
}

/// Pairs of measurements of the same size on two devices.
fn pairs<'a>(
    measurements: &'a [Measurement],
    first: &'a str,
    second: &'a str,
) -> impl Iterator<Item = (&'a Measurement, &'a Measurement)> {
    let on = move |device: &'a str| measurements.iter().filter(move |m| m.device == device);
    on(first).zip(on(second))
}

/// Measurements of a GPU to keep for `auto`.
pub(super) fn points(
    measurements: &[Measurement],
    [cpu, gpu]: [&str; 2],
    host_env: bool,
) -> Vec<Point> {
    let point = |(cpu, gpu): (&Measurement, &Measurement)| Point {
        params: cpu.params,
        minibatch: cpu.minibatch,
        host_env,
        cpu: cpu.env_steps_per_s.median,
        gpu: gpu.env_steps_per_s.median,
    };
    pairs(measurements, cpu, gpu).map(point).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::{memory::Memory, spread::Spread};

    fn measured(device: &str, num_envs: usize, width: usize, rate: f64) -> Measurement {
        Measurement {
            agents: 1,
            device: device.to_owned(),
            num_envs,
            network: vec![width; 2],
            params: 100 * width,
            minibatch: 8 * num_envs,
            warm_up_iterations: 3,
            iterations: 1,
            env_steps_per_s: Spread::of([rate]),
            iteration_ms: Spread::of([1.0]),
            phases_ms: None,
            memory_bytes: Memory {
                resident: None,
                peak: None,
                device_in_use: None,
                device_reserved: None,
            },
        }
    }

    /// The CPU always at 10 steps/s; the GPU at these rates for 1, 2 and 4 copies.
    fn grid(widths: &[(usize, [f64; 3])]) -> Vec<Measurement> {
        let mut measurements = vec![];
        for (width, rates) in widths {
            for (num_envs, rate) in [1, 2, 4].into_iter().zip(rates) {
                measurements.push(measured("flex", num_envs, *width, 10.0));
                measurements.push(measured("wgpu:0", num_envs, *width, *rate));
            }
        }
        measurements
    }

    #[test]
    fn a_win_counts_if_every_larger_size_wins_too() {
        let from = |rates| {
            between(&grid(&[(64, rates)]), "wgpu:0", "flex")[0]
                .from
                .clone()
        };
        assert_eq!(from([5.0, 20.0, 30.0]), Some(Size::NumEnvs(2)));
        assert_eq!(from([20.0, 5.0, 30.0]), Some(Size::NumEnvs(4)));
        assert_eq!(from([20.0, 20.0, 20.0]), Some(Size::NumEnvs(1)));
        assert_eq!(from([20.0, 20.0, 5.0]), None);
        // Equally fast is not faster.
        assert_eq!(from([5.0, 5.0, 10.0]), None);
    }

    #[test]
    fn both_sizes_have_their_lines() {
        let grid = grid(&[(64, [1.0, 2.0, 5.0]), (256, [4.0, 20.0, 30.0])]);
        let found = between(&grid, "wgpu:0", "flex");
        let network = |width| Size::Network(vec![width; 2]);
        let at: Vec<_> = found.iter().map(|c| c.at.clone()).collect();
        let envs = [1, 2, 4].map(Size::NumEnvs);
        assert_eq!(at, [&[network(64), network(256)], &envs[..]].concat());
        let from: Vec<_> = found.iter().map(|c| c.from.clone()).collect();
        let wide = Some(network(256));
        assert_eq!(
            from,
            [None, Some(Size::NumEnvs(2)), None, wide.clone(), wide]
        );
        // 5 against 10, with four copies.
        assert_eq!(
            (&found[0].best, found[0].best_ratio),
            (&Size::NumEnvs(4), 0.5)
        );
    }

    #[test]
    fn auto_learns_every_size() {
        let points = points(&grid(&[(64, [1.0, 2.0, 5.0])]), ["flex", "wgpu:0"], false);
        let found: Vec<_> = points.iter().map(|p| (p.minibatch, p.cpu, p.gpu)).collect();
        assert_eq!(found, [(8, 10.0, 1.0), (16, 10.0, 2.0), (32, 10.0, 5.0)]);
        assert_eq!((points[0].params, points[0].host_env), (6400, false));
    }
}
