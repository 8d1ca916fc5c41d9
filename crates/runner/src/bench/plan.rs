//! Plan of a benchmark: sizes of work, and devices.

use crate::{
    cli::BenchArgs,
    config,
    device::{self, Chosen, DeviceArg},
    failure::UsageError,
    memory, train,
};
use anyhow::bail;
use uphill_algos::{Footprint, RunConfig, ppo::PpoConfig};
use uphill_core::schedule::Schedule;

const ENVS: [usize; 4] = [8, 64, 512, 2048];
const WIDTHS: [usize; 2] = [64, 256];

/// One size of work.
pub(super) struct Work {
    pub(super) config: RunConfig,
    /// Number of agents trained together.
    pub(super) agents: u64,
    /// Number of parameters of actor and critic together.
    pub(super) params: usize,
    /// Number of samples in one gradient step.
    pub(super) minibatch: usize,
    /// Whether the environments are stepped on the host whatever the device.
    pub(super) host_env: bool,
}

/// All sizes, validated, the smallest network first.
pub(super) fn works(args: &BenchArgs) -> anyhow::Result<Vec<Work>> {
    let (base, envs, widths) = match &args.config {
        None => (built_in(), or(&args.envs, &ENVS), or(&args.widths, &WIDTHS)),
        Some(path) => {
            let config = config::load(path, &args.set)?.config;
            let (envs, widths) = (or(&args.envs, &[config.num_envs]), or(&args.widths, &[]));
            (config, envs, widths)
        }
    };
    let mut sizes = vec![];
    for network in networks(&base, &widths) {
        for &num_envs in &envs {
            let mut config = base.clone();
            config.num_envs = num_envs;
            config.network.hidden.clone_from(&network);
            sizes.push(check(config, args.seeds)?);
        }
    }
    Ok(sizes)
}

/// PPO on CartPole, with minibatches that grow with the number of copies.
pub(super) fn built_in() -> RunConfig {
    let ppo = PpoConfig {
        steps: 32,
        epochs: 4,
        minibatches: 4,
        learning_rate: Schedule::Constant(2.5e-4),
        entropy_coef: Schedule::Constant(0.01),
        ..PpoConfig::default()
    };
    RunConfig::new("CartPole-v1", 8, 1_000_000, ppo.into())
}

/// The requested numbers, sorted and without duplicates, or the default.
fn or(asked: &[u32], default: &[usize]) -> Vec<usize> {
    let mut numbers: Vec<usize> = asked.iter().map(|n| *n as usize).collect();
    if numbers.is_empty() {
        numbers = default.to_vec();
    }
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}

/// Hidden layers of each width, as many as the configuration has; the configuration's own if no widths are given.
fn networks(base: &RunConfig, widths: &[usize]) -> Vec<Vec<usize>> {
    let hidden = &base.network.hidden;
    if widths.is_empty() {
        return vec![hidden.clone()];
    }
    let layers = hidden.len().max(1);
    widths.iter().map(|&width| vec![width; layers]).collect()
}

pub(super) fn check(config: RunConfig, agents: u64) -> anyhow::Result<Work> {
    config.validate()?;
    let spec = uphill_envs::spec(&config.env).map_err(|e| UsageError(format!("env: {e}")))?;
    let params = Footprint::addressable(&config, &spec)?.params;
    Ok(Work {
        params: params.try_into().unwrap_or(usize::MAX),
        minibatch: config.algo.settings().minibatch(config.num_envs),
        host_env: train::host_env(&config)?,
        config,
        agents,
    })
}

/// The requested devices, or all available ones, without duplicates; and descriptions of those left out.
pub(super) fn devices(
    asked: &[DeviceArg],
    work: &Work,
) -> anyhow::Result<(Vec<Chosen>, Vec<String>)> {
    if asked.contains(&DeviceArg::Auto) {
        let problem =
            "--devices: auto is a choice and no device; leave --devices out to measure all";
        bail!(UsageError(problem.to_owned()));
    }
    let (args, left_out) = match asked {
        [] => device::present(),
        asked => (asked.to_vec(), vec![]),
    };
    let mut devices: Vec<Chosen> = vec![];
    for arg in args {
        let device = train::choose(arg, &work.config)?;
        memory::check(&work.config, &device, work.agents)?;
        if devices.iter().all(|other| other.name != device.name) {
            devices.push(device);
        }
    }
    if devices.is_empty() {
        let problem =
            "no device to measure: this build has no CPU backend and there is no GPU for it";
        bail!(UsageError(problem.to_owned()));
    }
    Ok((devices, left_out))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::cli::Cli;
    use clap::Parser;

    fn sizes(args: &str) -> Vec<(usize, Vec<usize>, usize)> {
        let words = ["uphill", "bench"]
            .into_iter()
            .chain(args.split_whitespace());
        let crate::cli::Command::Bench(args) = Cli::try_parse_from(words).unwrap().command else {
            unreachable!()
        };
        let size = |work: Work| {
            let RunConfig {
                num_envs, network, ..
            } = work.config;
            (num_envs, network.hidden, work.minibatch)
        };
        works(&args).unwrap().into_iter().map(size).collect()
    }

    #[test]
    fn the_grid_is_every_number_of_copies_with_every_network() {
        let grid = sizes("");
        assert_eq!(grid.len(), 4 * 2);
        // 32 steps of 8 copies in 4 minibatches, and of 2048.
        assert_eq!(grid[0], (8, vec![64, 64], 64));
        assert_eq!(grid[7], (2048, vec![256, 256], 16_384));
        assert_eq!(
            sizes("--envs 4,2,4 --widths 16"),
            [(2, vec![16, 16], 16), (4, vec![16, 16], 32)]
        );
    }

    #[test]
    fn a_configuration_is_taken_as_it_is() {
        assert_eq!(sizes("bench-a"), [(8, vec![64, 64], 256)]);
        assert_eq!(
            sizes("bench-a --envs 16 --set network.hidden=[32]"),
            [(16, vec![32], 512)]
        );
    }
}
