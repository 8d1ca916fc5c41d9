//! Environments by name.

use burn::tensor::Device;

#[cfg(feature = "gpu")]
use crate::device::{DeviceBatch, OnDevice, has_kernels};
use crate::frame_stack::{FrameStack, stacked_spec};
use crate::probe::{
    ProbeAction, ProbeConstant, ProbeDigits, ProbeIdentity, ProbeLqr, ProbeLqr17x6, ProbeMask,
    ProbeObservation, ProbeRecall, ProbeStop, ProbeTwoStep,
};
use crate::{
    BatchEnv, CartPole, CartPolePositions, EnvError, EnvSpec, HostBatch, HostEnv, Pendulum,
};

/// Every environment that [`make`] knows. A new one is one more line here.
const REGISTRY: [Entry; 14] = [
    Entry::kernel::<CartPole>("CartPole-v1"),
    Entry::host::<CartPolePositions>("CartPolePositions-v1"),
    Entry::kernel::<Pendulum>("Pendulum-v1"),
    Entry::host::<ProbeConstant>("ProbeConstant-v0"),
    Entry::host::<ProbeObservation>("ProbeObservation-v0"),
    Entry::host::<ProbeTwoStep>("ProbeTwoStep-v0"),
    Entry::host::<ProbeAction>("ProbeAction-v0"),
    Entry::host::<ProbeIdentity>("ProbeIdentity-v0"),
    Entry::host::<ProbeDigits>("ProbeDigits-v0"),
    Entry::host::<ProbeMask>("ProbeMask-v0"),
    Entry::host::<ProbeStop>("ProbeStop-v0"),
    Entry::host::<ProbeLqr>("ProbeLqr-v0"),
    Entry::host::<ProbeLqr17x6>("ProbeLqr17x6-v0"),
    Entry::host::<ProbeRecall>("ProbeRecall-v0"),
];

/// The names that [`make`] knows.
pub const NAMES: &[&str] = &{
    let mut names = [""; REGISTRY.len()];
    let mut i = 0;
    while i < names.len() {
        names[i] = REGISTRY[i].name;
        i += 1;
    }
    names
};

/// How a batch is made, beyond its environment, size and device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchOptions {
    /// Start copies at random ages, so that truncations do not arrive in lockstep; see
    /// [`HostBatch::with_random_ages`].
    pub random_ages: bool,
    /// Observations that the policy sees as one, at least 1; see [`FrameStack`].
    pub frames: usize,
    /// Step on the host also where a kernel could step on the device.
    pub host_steps: bool,
}

impl Default for BatchOptions {
    fn default() -> Self {
        Self {
            random_ages: false,
            frames: 1,
            host_steps: false,
        }
    }
}

/// A batch of `num_envs` copies of the environment called `name`, its tensors on `device`.
///
/// Where `device` is a GPU and the environment has a kernel, the copies live there and a step reads nothing back;
/// otherwise they are stepped on the host.
///
/// # Errors
///
/// [`EnvError::Unknown`] with the most similar name, or [`EnvError::NoEnvs`].
pub fn make(name: &str, num_envs: usize, device: &Device) -> Result<Box<dyn BatchEnv>, EnvError> {
    make_with(name, num_envs, device, BatchOptions::default())
}

/// [`make`] with options.
///
/// # Errors
///
/// As [`make`].
pub fn make_with(
    name: &str,
    num_envs: usize,
    device: &Device,
    options: BatchOptions,
) -> Result<Box<dyn BatchEnv>, EnvError> {
    let batch = (find(name)?.make)(num_envs, device, options)?;
    Ok(match options.frames {
        1 => batch,
        frames => Box::new(FrameStack::new(batch, frames)),
    })
}

/// The specification of the environment called `name` with this many frames, without making it.
///
/// # Errors
///
/// [`EnvError::Unknown`].
pub fn spec_with(name: &str, frames: usize) -> Result<EnvSpec, EnvError> {
    Ok(stacked_spec(&spec(name)?, frames))
}

/// The specification of the environment called `name`, without making it.
///
/// # Errors
///
/// [`EnvError::Unknown`].
pub fn spec(name: &str) -> Result<EnvSpec, EnvError> {
    Ok((find(name)?.spec)())
}

/// Whether copies made like this step on a GPU where their tensors are on one; otherwise they step on the host
/// everywhere.
///
/// # Errors
///
/// [`EnvError::Unknown`].
pub fn steps_on_gpu(name: &str, options: BatchOptions) -> Result<bool, EnvError> {
    Ok(find(name)?.kernel && !options.host_steps)
}

type Make = fn(usize, &Device, BatchOptions) -> Result<Box<dyn BatchEnv>, EnvError>;

struct Entry {
    name: &'static str,
    spec: fn() -> EnvSpec,
    make: Make,
    /// Whether a GPU can step it.
    kernel: bool,
}

impl Entry {
    const fn host<E: HostEnv + Default + 'static>(name: &'static str) -> Self {
        Self {
            name,
            spec: || E::default().spec(),
            make: |num_envs, device, options| {
                Ok(Box::new(host_batch::<E>(num_envs, device, options)?))
            },
            kernel: false,
        }
    }

    /// An environment that a kernel can step, where there are kernels.
    #[cfg(feature = "gpu")]
    const fn kernel<E: OnDevice + Default + 'static>(name: &'static str) -> Self {
        Self {
            make: |num_envs, device, options| {
                let host = host_batch::<E>(num_envs, device, options)?;
                Ok(if has_kernels(device) && !options.host_steps {
                    Box::new(DeviceBatch::new(host))
                } else {
                    Box::new(host)
                })
            },
            kernel: true,
            ..Self::host::<E>(name)
        }
    }

    #[cfg(not(feature = "gpu"))]
    const fn kernel<E: HostEnv + Default + 'static>(name: &'static str) -> Self {
        Self::host::<E>(name)
    }
}

fn host_batch<E: HostEnv + Default>(
    num_envs: usize,
    device: &Device,
    options: BatchOptions,
) -> Result<HostBatch<E>, EnvError> {
    let batch = HostBatch::new(E::default(), num_envs, device)?;
    Ok(if options.random_ages {
        batch.with_random_ages()
    } else {
        batch
    })
}

fn find(name: &str) -> Result<&'static Entry, EnvError> {
    const ENTRIES: &[Entry] = &REGISTRY;
    ENTRIES
        .iter()
        .find(|entry| entry.name == name)
        .ok_or_else(|| EnvError::Unknown {
            name: name.to_owned(),
            suggestion: suggestion(name),
            known: NAMES,
        })
}

/// The most similar name, ignoring case, if it is similar at all.
fn suggestion(name: &str) -> Option<String> {
    const SIMILAR: f64 = 0.7;
    let similarity =
        |known: &str| strsim::jaro_winkler(&known.to_lowercase(), &name.to_lowercase());
    NAMES
        .iter()
        .map(|known| (similarity(known), known))
        .filter(|(similarity, _)| *similarity >= SIMILAR)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, known)| (*known).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registered_names_are_those_of_the_specifications() {
        for entry in &REGISTRY {
            assert_eq!((entry.spec)().name, entry.name);
        }
    }

    #[test]
    fn similar_names_are_suggested() {
        let check = |name, expected: Option<&str>| {
            assert_eq!(suggestion(name).as_deref(), expected, "{name}")
        };
        check("cartpole", Some("CartPole-v1"));
        check("CartPole-v0", Some("CartPole-v1"));
        check("pendulum-v1", Some("Pendulum-v1"));
        check("ProbeLQR", Some("ProbeLqr-v0"));
        check("", None);
        check("xyzzy", None);
    }
}
