//! Command line: arguments of all subcommands.

use crate::device::DeviceArg;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::{ops::RangeInclusive, path::PathBuf};

/// Train and evaluate policy-gradient agents on any device.
#[derive(Parser, Debug)]
#[command(version, propagate_version = true, arg_required_else_help = true)]
#[command(mut_subcommands(with_negative_numbers))]
#[command(after_help = "\
Examples:
  uphill train configs/ppo-cartpole.toml
  uphill train ppo-cartpole --set algo.clip=0.1 --seed 7 --out runs/narrow-clip
  uphill train ppo-cartpole --seeds 16
  uphill train --resume runs/narrow-clip
  uphill eval runs/narrow-clip --episodes 100
  uphill ablate --seeds 5 --total-steps 100000
  uphill lab --env TinyWalk
  uphill bench --devices flex,wgpu
  uphill list devices

Exit codes: 0 done, 2 usage or configuration, 3 diverged, 130 stopped by a signal (checkpoint kept), 1 anything else.
Logs: RUST_LOG=uphill=info; RUST_LOG=debug adds those of the backends.")]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Train an agent, or resume a stopped run
    Train(TrainArgs),
    /// Evaluate a trained policy
    Eval(EvalArgs),
    /// Measure the effect of PPO's code-level optimisations, by switching each off in turn (arXiv:2005.12729)
    Ablate(AblateArgs),
    /// Measure bias and variance of policy-gradient estimators
    Lab(LabArgs),
    /// Measure how fast this machine's devices train, and from which size a GPU is faster
    Bench(BenchArgs),
    /// List environments, algorithms, devices and presets
    List(ListArgs),
}

/// The largest whole number that a configuration in TOML can hold.
const LAST_SEED: u64 = i64::MAX as u64;

#[derive(Args, Debug)]
#[command(
    override_usage = "uphill train [OPTIONS] <CONFIG>\n       uphill train [OPTIONS] --resume <RUN>"
)]
#[command(after_help = "\
A configuration names the environment, the step budget and the algorithm; everything else has the
defaults of the algorithm:

  env = \"CartPole-v1\"
  num_envs = 8
  total_steps = 100_000

  [algo]
  name = \"ppo\"
  steps = 128                              # per copy and iteration
  minibatches = 4
  learning_rate = { from = 1e-3, to = 0 }  # or a plain number

The run directory holds config.toml (every value, defaults included), meta.json, metrics.csv (one row
per iteration), TensorBoard events, checkpoints/latest and checkpoints/best, and lock, which keeps other
processes from training it. Ctrl-C saves and exits with 130, a second one stops at once (SIGTERM and
SIGHUP likewise, unless ignored as under nohup); --resume continues exactly from there, and after a
crash too. An iteration of more than a second is not completed: the run resumes from before it.")]
pub(crate) struct TrainArgs {
    /// Configuration file, or the name of a preset (see `uphill list presets`)
    #[arg(required_unless_present = "resume", conflicts_with = "resume")]
    pub(crate) config: Option<String>,

    /// Resume the run in this directory
    #[arg(long, value_name = "RUN")]
    pub(crate) resume: Option<PathBuf>,

    /// With --resume: the checkpoint to resume from. From the best one, everything after it is dropped: rows of
    /// metrics.csv and the latest checkpoint [default: latest]
    #[arg(long, value_enum, conflicts_with = "config")]
    pub(crate) checkpoint: Option<Which>,

    /// Change one value of the configuration; may be repeated. With --resume only total_steps and checkpoint_every may
    /// change
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,

    /// Where to compute: auto, flex, ndarray, wgpu or cuda; wgpu:1 is the second of its kind (see `uphill list
    /// devices`) [default: auto, or with --resume the device of the run]
    #[arg(long)]
    pub(crate) device: Option<DeviceArg>,

    /// Seed of all random streams, instead of the configuration's; the same configuration, seed and device repeat a run
    /// bit by bit (except for a3c with several workers)
    #[arg(long, conflicts_with = "resume", value_parser = whole::<u64>(0..=LAST_SEED))]
    pub(crate) seed: Option<u64>,

    /// Train this many agents, with seeds SEED, SEED+1, …: each as it would be trained alone, in its own run directory
    /// (DIR/seed-1, …), with a summary of all of them at the end (DIR/summary.json). On the CPU as many at a time as
    /// there are cores, each on one core; on a GPU all together if possible, otherwise in turns
    #[arg(long, value_name = "N", conflicts_with = "resume", value_parser = whole::<u64>(1..=10_000))]
    pub(crate) seeds: Option<u64>,

    /// Run directory, which must not exist yet [default: runs/CONFIG-N, the first free N]
    #[arg(long, value_name = "DIR", conflicts_with = "resume")]
    pub(crate) out: Option<PathBuf>,

    /// Check everything, print a description of the run and the memory it needs, and write nothing
    #[arg(long, conflicts_with = "resume")]
    pub(crate) dry_run: bool,

    /// No progress and no summary, only errors and warnings
    #[arg(long)]
    pub(crate) quiet: bool,
}

#[derive(Args, Debug)]
pub(crate) struct EvalArgs {
    /// Run directory
    pub(crate) run: PathBuf,

    /// Which checkpoint to evaluate
    #[arg(long, value_enum, default_value_t = Which::Latest)]
    pub(crate) checkpoint: Which,

    /// Number of episodes
    #[arg(long, default_value_t = 100, value_parser = whole::<u32>(1..=u32::MAX.into()))]
    pub(crate) episodes: u32,

    /// Seed of start states and, with --stochastic, of the actions
    #[arg(long, default_value_t = 0, value_parser = whole::<u64>(0..=u64::MAX))]
    pub(crate) seed: u64,

    /// Where to compute: auto, flex, ndarray, wgpu or cuda; wgpu:1 is the second of its kind
    #[arg(long, default_value = "auto")]
    pub(crate) device: DeviceArg,

    /// Sample actions from the policy instead of taking its mode
    #[arg(long)]
    pub(crate) stochastic: bool,

    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Variants, all from one PPO configuration, unless --changes has others:

  ppo                every code-level optimisation on
  no-value-clip, no-reward-scale, no-orthogonal, no-anneal, no-reward-clip, no-obs-norm,
  no-obs-clip, no-tanh, no-grad-clip
                     one of them off
  ppo-m              all of them off
  ppo-noclip         all on, but ratios not clipped
  trpo+, trpo        TRPO with and without those that apply to it

On the CPU as many runs at a time as there are cores, each on one core; on a GPU one after the other.
The directory holds ablation.csv (one row per run, written as it ends) and the configuration of every
variant, which `uphill train` accepts. After Ctrl-C, or for more seeds, the same command with the same
--out does the missing runs.

How to write your own variants, of any algorithm: docs/ablation.md.")]
pub(crate) struct AblateArgs {
    /// Configuration of PPO (of anything, with --changes), or the name of a preset
    #[arg(default_value = "ppo-pendulum")]
    pub(crate) config: String,

    /// File of variants instead of the built-in ones; all are compared with the first
    #[arg(long, value_name = "FILE")]
    pub(crate) changes: Option<PathBuf>,

    /// Number of runs of each variant, with seeds 1, 2, …
    #[arg(long, default_value_t = 5, value_parser = whole::<u64>(1..=1000))]
    pub(crate) seeds: u64,

    /// Environment steps of each run [default: those of the configuration]
    #[arg(long, value_name = "N", value_parser = whole::<u64>(1..=u64::MAX))]
    pub(crate) total_steps: Option<u64>,

    /// Only these variants, separated by commas
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub(crate) variants: Vec<String>,

    /// Change one value of the configuration; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,

    /// Where to compute: auto, flex, ndarray, wgpu or cuda; wgpu:1 is the second of its kind
    /// [default: auto]
    #[arg(long)]
    pub(crate) device: Option<DeviceArg>,

    /// Directory, new or of the same ablation [default: runs/ablate-CONFIG-N, the first free N]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,

    /// Print one JSON object instead of the table
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Bias and variance of estimates of the policy gradient, for one policy:

  REINFORCE   whole return or reward-to-go × baseline: none, average, optimal, value
  constants   baselines from -1 to 2 times the optimal one, which should be the best
  GAE         λ = 0, 0.5, 0.9, 0.95, 0.97, 1            with a good and a poor value function
  n-step      1, 2, 3, 6, 11 rewards before bootstrap   with a good and a poor value function

The true gradient is exact in TinyMdp (2 states, 3 steps) and TinyWalk (5 states, 20 steps), and so
is the good value function; the poor one is half of it. Elsewhere the gradient is the mean over
--reference trajectories, whose standard error is stated and subtracted from the bias; the good value
function is a critic after --critic-steps, the poor one an untrained critic.

Examples:
  uphill lab                                 an untrained policy in TinyWalk, half a minute
  uphill lab --env CartPole-v1 --repeats 200
  uphill lab reinforce-cartpole --set 'network.hidden=[16]'
  uphill lab runs/mine --checkpoint best --trajectories 1,4 --reference 512

Written to --out: lab.csv (every measurement) and lab.svg (a figure). How to read them: docs/lab.md.")]
pub(crate) struct LabArgs {
    /// Policy to study: a run directory (its checkpoint), or a configuration file or preset (an untrained policy)
    /// [default: an untrained policy with two hidden layers of 64]
    #[arg(value_name = "CONFIG_OR_RUN")]
    pub(crate) source: Option<String>,

    /// Environment: TinyMdp, TinyWalk, or one of `uphill list envs` [default: that of CONFIG_OR_RUN, or TinyWalk]
    #[arg(long)]
    pub(crate) env: Option<String>,

    /// Trajectories per estimate, N; several separated by commas
    #[arg(
        long,
        value_name = "N,..",
        value_delimiter = ',',
        default_value = "1,2,4,8,16,32"
    )]
    #[arg(value_parser = whole::<u32>(1..=100_000))]
    pub(crate) trajectories: Vec<u32>,

    /// Estimates per measurement; the relative standard error of a variance is about 1.4 / √repeats
    #[arg(long, default_value_t = 100, value_parser = whole::<u32>(2..=1_000_000))]
    pub(crate) repeats: u32,

    /// Trajectories for the reference gradient, if it cannot be computed exactly
    #[arg(long, default_value_t = 4096, value_parser = whole::<u32>(2..=u32::MAX.into()))]
    pub(crate) reference: u32,

    /// Trajectories to which the critic and the optimal constant are fitted; the constant is exact if no more
    /// trajectories exist
    #[arg(long, value_name = "N", default_value_t = 512, value_parser = whole::<u32>(1..=u32::MAX.into()))]
    pub(crate) fit: u32,

    /// Adam steps for fitting the critic; 0 uses the checkpoint's critic unchanged
    #[arg(long, value_name = "STEPS", default_value_t = 500, value_parser = whole::<u32>(0..=u32::MAX.into()))]
    pub(crate) critic_steps: u32,

    /// Discount [default: that of CONFIG_OR_RUN, or 0.99]
    #[arg(long)]
    pub(crate) gamma: Option<f64>,

    /// Which checkpoint of a run
    #[arg(long, value_enum, default_value_t = Which::Latest)]
    pub(crate) checkpoint: Which,

    /// Change one value of the configuration; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,

    /// Seed of trajectories, and of an untrained policy
    #[arg(long, default_value_t = 1, value_parser = whole::<u64>(0..=u64::MAX))]
    pub(crate) seed: u64,

    /// Where to compute: auto, flex, ndarray, wgpu or cuda; wgpu:1 is the second of its kind
    #[arg(long, default_value = "auto")]
    pub(crate) device: DeviceArg,

    /// Folder for lab.csv and lab.svg, which are replaced [default: runs/lab-ENV-N, the first free N]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,

    /// Print one JSON object with every measurement instead of tables
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
#[command(after_help = "\
The same work on every device and in every size. Without CONFIG: PPO on CartPole-v1, 32 steps of every
copy, 4 epochs of 4 minibatches, so that minibatches grow with the number of copies. With CONFIG: that
workload unchanged, or with each of --envs and --widths.

Method:
  warm-up     at least 3 iterations and 0.3 s of each device, not counted; a GPU compiles its kernels
  throughput  whole training iterations; the clock is read after waiting for the device
  rounds      devices take turns in every round; the median over rounds, with minimum and maximum
  phases      in separate iterations, because waiting for the device between phases takes time:
              inference (policy, and values and log-probabilities of the rollout), environment,
              advantage, update
  memory      of the whole process, that is of all devices together, and of a GPU's allocator

Software adapters, which run on the CPU, are measured only if named: --devices flex,wgpu:0.
Without CONFIG, the results of GPUs beside the CPU are kept in a file for `--device auto`
(in the user's cache folder, or in $UPHILL_CACHE_DIR).

Examples:
  uphill bench                                   every device, 4 × 2 sizes, some minutes
  uphill bench bench-a --devices flex,ndarray    a fixed workload
  uphill bench bench-e --seeds 16                the same for 16 agents at once
  uphill bench --envs 512,2048 --widths 256 --json > bench.json

How to read the tables: docs/benchmarks.md.")]
pub(crate) struct BenchArgs {
    /// Configuration file, or the name of a preset (see `uphill list presets`) [default: PPO on CartPole-v1]
    pub(crate) config: Option<String>,

    /// Devices, separated by commas [default: all available ones, except software adapters]
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub(crate) devices: Vec<DeviceArg>,

    /// Numbers of environment copies, separated by commas [default: 8,64,512,2048, or those of CONFIG]
    #[arg(long, value_name = "N,..", value_delimiter = ',')]
    #[arg(value_parser = whole::<u32>(1..=u32::MAX.into()))]
    pub(crate) envs: Vec<u32>,

    /// Widths of the hidden layers, separated by commas [default: 64,256, or those of CONFIG]
    #[arg(long, value_name = "N,..", value_delimiter = ',')]
    #[arg(value_parser = whole::<u32>(1..=65_536))]
    pub(crate) widths: Vec<u32>,

    /// Agents trained together, as by `uphill train --seeds`; steps/s are those of all agents together, and phases are
    /// not measured
    #[arg(long, value_name = "N", default_value_t = 1, requires = "config", value_parser = whole::<u64>(1..=10_000))]
    pub(crate) seeds: u64,

    /// Iterations of each device in each round, and of each agent [default: as many as take 0.4 s]
    #[arg(long, value_name = "N", value_parser = whole::<u64>(1..=u64::MAX))]
    pub(crate) iterations: Option<u64>,

    /// Number of rounds, in each of which every device has one turn
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = whole::<u32>(1..=1000))]
    pub(crate) rounds: u32,

    /// Change one value of the configuration; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE", requires = "config")]
    pub(crate) set: Vec<String>,

    /// Print one JSON object instead of tables
    #[arg(long)]
    pub(crate) json: bool,

    /// No progress on standard error
    #[arg(long)]
    pub(crate) quiet: bool,
}

#[derive(Args, Debug)]
pub(crate) struct ListArgs {
    /// What to list [default: everything]
    #[arg(value_enum)]
    pub(crate) what: Option<Listing>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Listing {
    Envs,
    Algos,
    Devices,
    Presets,
}

/// A checkpoint of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Which {
    /// The newest
    Latest,
    /// The one with the highest mean return over 100 training episodes
    Best,
}

/// Makes clap read "-1" as a value, so that the parser of that value can explain the error.
fn with_negative_numbers(command: clap::Command) -> clap::Command {
    command.mut_args(|arg| {
        let takes_value = arg.get_action().takes_values();
        arg.allow_negative_numbers(takes_value)
    })
}

/// Parser for a whole number within `range`.
fn whole<T: TryFrom<u64> + Clone + Send + Sync + 'static>(
    range: RangeInclusive<u64>,
) -> impl Fn(&str) -> Result<T, String> + Clone + Send + Sync + 'static {
    move |text| {
        let number = text.parse().ok().filter(|number| range.contains(number));
        let (least, most) = (range.start(), range.end());
        (number.and_then(|number| number.try_into().ok()))
            .ok_or_else(|| format!("must be a whole number from {least} to {most}"))
    }
}
