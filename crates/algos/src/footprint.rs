//! Estimate of a run's memory, by part, before the run starts.

use crate::{
    AlgoConfig, ConfigError, Horizon, RunConfig,
    agent::{dist_kind, policy_outputs},
    config::{MemoryKind, NetworkConfig},
};
use std::fmt;
use uphill_envs::{Element, EnvSpec};

/// Bytes per number.
const NUMBER: u128 = 4;

/// Numbers per copy besides its observations: state, clocks, statistics.
const STATE: u128 = 32;

/// Numbers per sample besides observation and action: log-probability, values, reward, advantage, return, flags.
const SAMPLE: u128 = 8;

/// Bytes that a processor can address.
const ADDRESSABLE: u128 = 1 << 47;

/// Bytes of A3C's diagnostics of each gradient of each worker.
const REPORTED: u128 = 512;

/// An estimate of a run's memory from below: every run needs at least this much.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Footprint {
    /// Parts in the order of allocation.
    pub parts: Vec<Part>,
    /// Number of parameters of actor and critic together.
    pub params: u128,
}

/// Memory of one kind of data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Name of the part.
    pub name: &'static str,
    /// Size in bytes.
    pub bytes: u128,
    /// The setting that contributes most to it.
    pub key: &'static str,
}

/// A factor of a part's size: the setting and its value.
type Size = (&'static str, u128);

impl Footprint {
    /// Footprint of a run in an environment whose single observations `spec` describes (without `frames`).
    ///
    /// # Errors
    /// Those of [`dist_kind`].
    pub fn of(config: &RunConfig, spec: &EnvSpec) -> Result<Self, ConfigError> {
        let copies: Size = ("num_envs", config.num_envs as u128);
        let frames: Size = ("frames", config.frames as u128);
        let obs = spec.obs.dim() as u128 * frames.1;
        // As they are kept; bytes of images become numbers where a network reads them.
        let seen = obs
            * match spec.obs.element {
                Element::Float => NUMBER,
                Element::Byte { .. } => 1,
            };
        let sample = seen + (spec.action.width() as u128 + SAMPLE) * NUMBER;
        let (params, units) = network(&config.network, spec, obs)?;
        let widths = config.network.hidden.iter().copied();
        let of_network = [
            ("network.hidden", widths.max().unwrap_or(0) as u128),
            ("network.memory_width", state_width(&config.network)),
            frames,
        ];
        let settings = config.algo.settings();
        let minibatch = settings.minibatch(config.num_envs) as u128;
        // Fused passes process a few samples at a time.
        let fused = config.network.fused && config.network.memory == MemoryKind::None;
        let activations = if fused { 0 } else { 2 * units };

        let (lengths, samples, reported) = match (&config.algo, settings.horizon()) {
            (AlgoConfig::A3c(a3c), _) => {
                let steps = a3c.steps as u128;
                // A run stops at its budget.
                let most = u128::from(config.total_steps).div_ceil(steps * copies.1);
                let updates = most.min(a3c.updates as u128);
                let lengths = vec![("algo.steps", steps), ("algo.updates", updates)];
                // One rollout at a time, and the observations of all of them.
                let all = steps * updates * copies.1 * seen;
                let reports = updates * a3c.workers as u128 * REPORTED;
                (lengths, steps * copies.1, all + reports)
            }
            (_, Horizon::Steps(steps)) => {
                let steps = steps as u128;
                (vec![("algo.steps", steps)], steps * copies.1, 0)
            }
            (_, Horizon::Episodes { per_env }) => {
                // Episodes have at least one step.
                let episodes = per_env as u128;
                (vec![("algo.episodes", episodes)], episodes * copies.1, 0)
            }
        };
        let of_rollout = [lengths, vec![copies, frames]].concat();
        let part = |name, bytes: u128, sizes: &[Size]| Part {
            name,
            bytes,
            key: largest(sizes),
        };
        let mut parts = vec![
            part(
                "environments",
                copies.1 * (3 * seen + STATE * NUMBER),
                &[copies, frames],
            ),
            // Includes a flat copy for the optimiser's step.
            part("networks", 2 * params * NUMBER, &of_network),
            part("optimiser and gradient", 3 * params * NUMBER, &of_network),
            part("rollout", samples * sample, &of_rollout),
            part(
                "minibatch",
                minibatch * (sample + activations * NUMBER),
                &of_rollout,
            ),
        ];
        parts[3].bytes += reported;
        Ok(Self { parts, params })
    }

    /// Size of all parts in bytes.
    pub fn total(&self) -> u128 {
        self.parts.iter().map(|part| part.bytes).sum()
    }

    /// The footprint of a run, if a processor can address it.
    ///
    /// # Errors
    /// Those of [`within`](Self::within).
    pub fn addressable(config: &RunConfig, spec: &EnvSpec) -> Result<Self, ConfigError> {
        Self::within(config, spec, 1, ADDRESSABLE)
    }

    /// The footprint of a run, if `agents` such runs fit into `available` bytes together.
    ///
    /// # Errors
    /// An error that names the setting that needs most, the memory needed, and a value that would fit.
    pub fn within(
        config: &RunConfig,
        spec: &EnvSpec,
        agents: u64,
        available: u128,
    ) -> Result<Self, ConfigError> {
        let fits = |footprint: &Self| footprint.total() * u128::from(agents) <= available;
        let footprint = Self::of(config, spec)?;
        if fits(&footprint) {
            return Ok(footprint);
        }
        let most = footprint.parts.iter().max_by_key(|part| part.bytes);
        let key = most.map_or("num_envs", |part| part.key);
        let smaller = std::iter::successors(halved(config, key), |config| halved(config, key));
        let fitting = smaller
            .filter(|config| config.validate().is_ok())
            .find(|config| Self::of(config, spec).is_ok_and(|footprint| fits(&footprint)));
        let remedy = fitting.and_then(|config| value(&config, key));
        let remedy = remedy.map_or(String::new(), |value| format!("; {value} would fit"));
        let together = match agents {
            1 => String::new(),
            n => format!(" for each of {n} agents"),
        };
        let now = value(config, key).map_or(String::new(), |value| format!("with {value} "));
        Err(ConfigError::new(
            key,
            format!(
                "{now}the run needs at least {footprint}{together}, and {} can be had{remedy}",
                Bytes(available)
            ),
        ))
    }
}

/// For example `14 GiB of memory (rollout 12 GiB, networks 2.0 GiB)`: the largest parts first, without the smallest.
impl fmt::Display for Footprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total = self.total();
        let mut parts: Vec<&Part> = self.parts.iter().collect();
        parts.sort_by_key(|part| std::cmp::Reverse(part.bytes));
        let parts = parts.into_iter().filter(|part| part.bytes * 50 >= total);
        let parts: Vec<String> = parts
            .map(|part| format!("{} {}", part.name, Bytes(part.bytes)))
            .collect();
        write!(f, "{} of memory ({})", Bytes(total), parts.join(", "))
    }
}

/// A number of bytes, displayed with two digits and a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bytes(pub u128);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
        let mut value = self.0 as f64 / 1024.0;
        let mut unit = 0;
        while value >= 1023.5 && unit + 1 < units.len() {
            (value, unit) = (value / 1024.0, unit + 1);
        }
        let digits = usize::from(value < 9.95);
        write!(f, "{value:.digits$} {}", units[unit])
    }
}

/// Number of parameters of actor and critic together, and number of units that one sample activates in them, for
/// observations with `inputs` components.
///
/// # Errors
/// Those of [`dist_kind`].
pub(crate) fn network(
    network: &NetworkConfig,
    spec: &EnvSpec,
    inputs: u128,
) -> Result<(u128, u128), ConfigError> {
    let (outputs, log_stds) = policy_outputs(&dist_kind(spec, network)?, network);
    let hidden: Vec<u128> = network.hidden.iter().map(|width| *width as u128).collect();
    let state = state_width(network);
    let count = |outputs: u128| {
        let mut widths = [&[inputs], hidden.as_slice()].concat();
        let mut params = 0;
        if state > 0 {
            // A recurrent cell has three gates in place of a layer.
            let before = widths[widths.len() - 1];
            params += 3 * state * (before + 1 + state + 1) - (before + 1) * state;
            widths.push(state);
        }
        widths.push(outputs);
        let layers = widths.windows(2).map(|io| (io[0] + 1) * io[1]);
        (params + layers.sum::<u128>(), widths.iter().sum::<u128>())
    };
    let (actor, critic) = (count(outputs as u128), count(1));
    let params = actor.0 + critic.0 + log_stds as u128;
    Ok((params, actor.1 + critic.1))
}

/// Width of the recurrent state; 0 without memory.
fn state_width(network: &NetworkConfig) -> u128 {
    match network.memory {
        MemoryKind::None => 0,
        MemoryKind::Gru => network.memory_width as u128,
    }
}

fn largest(sizes: &[Size]) -> &'static str {
    let largest = sizes.iter().max_by_key(|(_, number)| number);
    largest.map_or("num_envs", |(key, _)| key)
}

/// The value at a dotted key, as shown in messages.
fn value(config: &RunConfig, key: &str) -> Option<String> {
    let config = serde_json::to_value(config).ok()?;
    let value = config.pointer(&pointer(key))?;
    Some(value.to_string().replace(',', ", "))
}

/// The configuration with half the value at `key`, rounded up; `None` if that is not less.
fn halved(config: &RunConfig, key: &str) -> Option<RunConfig> {
    let half = |value: &serde_json::Value| Some(value.as_u64()?.div_ceil(2));
    let mut table = serde_json::to_value(config).ok()?;
    let slot = table.pointer_mut(&pointer(key))?;
    let new = match slot.as_array() {
        Some(list) => list.iter().map(half).collect::<Option<Vec<_>>>()?.into(),
        None => half(slot)?.into(),
    };
    let smaller = new != *slot;
    *slot = new;
    smaller.then(|| serde_json::from_value(table).ok())?
}

/// Converts a dotted key to a JSON pointer.
fn pointer(key: &str) -> String {
    format!("/{}", key.replace('.', "/"))
}
