//! Registry of environments by name and scheme.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock, PoisonError, RwLock};

use burn::tensor::Device;
use serde::de::DeserializeOwned;

use crate::frame_stack::stacked_spec;
use crate::task::{BatchOptions, IntoTask, Task, on_host};
use crate::{BatchEnv, ENVIRONMENTS, Env, EnvConfig, EnvError, EnvSpec, probe};

/// Generates the list of a folder's environments, one line each: declares the module, exports the type, and lists it by
/// name.
macro_rules! environments {
    ($($vis:vis mod $module:ident: $env:ident = $kind:ident($name:literal);)+) => {
        $(
            $vis mod $module;
            pub use $module::$env;
        )+

        /// Environments by name, in the order in which they are listed.
        pub(crate) const ENVIRONMENTS: &[crate::registry::Entry] =
            &[$(crate::registry::$kind::<$env>($name)),+];
    };
}
pub(crate) use environments;

/// Every built-in environment.
const BUILT_IN: [&[Entry]; 2] = [ENVIRONMENTS, probe::ENVIRONMENTS];

/// A name, and a function that makes the environment from its options.
pub(crate) type Entry = (
    &'static str,
    fn(&EnvConfig) -> Result<Box<dyn Task>, EnvError>,
);

/// The names of the built-in environments.
pub const NAMES: &[&str] = &{
    let mut names = [""; BUILT_IN[0].len() + BUILT_IN[1].len()];
    let mut i = 0;
    while i < names.len() {
        let first = BUILT_IN[0].len();
        names[i] = if i < first {
            BUILT_IN[0][i].0
        } else {
            BUILT_IN[1][i - first].0
        };
        i += 1;
    }
    names
};

/// An environment without options, stepped on the host.
pub(crate) const fn host<E: Env + Clone + Default + 'static>(name: &'static str) -> Entry {
    (name, |config| {
        config.no_options().map(|()| on_host(E::default()))
    })
}

/// An environment without options, with a kernel if kernels are compiled.
pub(crate) const fn kernel<E: IntoTask + Default>(name: &'static str) -> Entry {
    (name, |config| {
        config.no_options().map(|()| E::default().into_task())
    })
}

/// An environment that is deserialised from its options.
pub(crate) const fn with_options<E: IntoTask + DeserializeOwned>(name: &'static str) -> Entry {
    (name, |config| Ok(config.read::<E>()?.into_task()))
}

type Make = Arc<dyn Fn(&EnvConfig) -> Result<Box<dyn Task>, EnvError> + Send + Sync>;

/// Environments and schemes registered at run time.
#[derive(Default)]
struct Added {
    environments: BTreeMap<String, Make>,
    schemes: BTreeMap<String, Make>,
}

static ADDED: LazyLock<RwLock<Added>> = LazyLock::new(RwLock::default);

/// Registers an environment under `name` for the rest of the program, so that configurations can use it. `make`
/// receives the name and the options.
///
/// ```
/// use uphill_envs::{EnvError, probe::ProbeAction, on_host, register, spec};
///
/// # fn main() -> Result<(), EnvError> {
/// register("Mine-v0", |config| config.no_options().map(|()| on_host(ProbeAction)))?;
/// assert_eq!(spec("Mine-v0")?.obs.dim(), 1);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// [`EnvError::Taken`] if the name is registered already or contains a colon.
pub fn register(
    name: &str,
    make: impl Fn(&EnvConfig) -> Result<Box<dyn Task>, EnvError> + Send + Sync + 'static,
) -> Result<(), EnvError> {
    let mut added = ADDED.write().unwrap_or_else(PoisonError::into_inner);
    let is_taken = NAMES.contains(&name) || added.environments.contains_key(name);
    if is_taken || name.is_empty() || name.contains(':') {
        return Err(EnvError::Taken {
            name: name.to_owned(),
        });
    }
    added.environments.insert(name.to_owned(), Arc::new(make));
    Ok(())
}

/// Registers all environments whose names begin with `scheme` and a colon, as in `gym:FrozenLake-v1`. `make` receives
/// the whole name and the options; [`EnvConfig::scheme`] splits the name.
///
/// # Errors
///
/// [`EnvError::Taken`] if the scheme is registered already.
pub fn register_scheme(
    scheme: &str,
    make: impl Fn(&EnvConfig) -> Result<Box<dyn Task>, EnvError> + Send + Sync + 'static,
) -> Result<(), EnvError> {
    let mut added = ADDED.write().unwrap_or_else(PoisonError::into_inner);
    if scheme.is_empty() || scheme.contains(':') || added.schemes.contains_key(scheme) {
        return Err(EnvError::Taken {
            name: format!("{scheme}:"),
        });
    }
    added.schemes.insert(scheme.to_owned(), Arc::new(make));
    Ok(())
}

/// The names of all environments, built-in ones first; names within schemes are unknown.
#[must_use]
pub fn names() -> Vec<String> {
    let added = ADDED.read().unwrap_or_else(PoisonError::into_inner);
    let built_in = NAMES.iter().map(|name| (*name).to_owned());
    built_in.chain(added.environments.keys().cloned()).collect()
}

/// The environment that a configuration names.
///
/// # Errors
///
/// [`EnvError::Unknown`] with the most similar name, [`EnvError::UnknownScheme`], [`EnvError::Options`], or any error
/// of a registered `make`.
pub fn task(env: impl Into<EnvConfig>) -> Result<Box<dyn Task>, EnvError> {
    let config = env.into();
    let built_in = BUILT_IN.into_iter().flatten();
    if let Some((_, make)) = { built_in }.find(|(name, _)| *name == config.name) {
        return make(&config);
    }
    let added = |config: &EnvConfig| {
        let added = ADDED.read().unwrap_or_else(PoisonError::into_inner);
        let made = match config.scheme() {
            Some((scheme, _)) => added.schemes.get(scheme),
            None => added.environments.get(&config.name),
        };
        made.cloned()
            .ok_or_else(|| added.schemes.keys().cloned().collect::<Vec<_>>())
    };
    // The lock is not held while an environment is made.
    match (added(&config), config.scheme()) {
        (Ok(make), _) => make(&config),
        (Err(known), Some((scheme, _))) => Err(EnvError::UnknownScheme {
            scheme: scheme.to_owned(),
            name: config.name.clone(),
            known,
        }),
        (Err(_), None) => {
            let known = names();
            Err(EnvError::Unknown {
                suggestion: suggestion(&config.name, &known),
                name: config.name,
                known,
            })
        }
    }
}

/// A batch of `num_envs` copies of an environment, with tensors on `device`.
///
/// If `device` is a GPU and the environment has a kernel, the copies live there and a step reads nothing back;
/// otherwise they are stepped on the host.
///
/// # Errors
///
/// Those of [`task`], or [`EnvError::NoEnvs`].
pub fn make(
    env: impl Into<EnvConfig>,
    num_envs: usize,
    device: &Device,
) -> Result<Box<dyn BatchEnv>, EnvError> {
    make_with(env, num_envs, device, BatchOptions::default())
}

/// [`make`] with batch options.
///
/// # Errors
///
/// Those of [`make`].
pub fn make_with(
    env: impl Into<EnvConfig>,
    num_envs: usize,
    device: &Device,
    options: BatchOptions,
) -> Result<Box<dyn BatchEnv>, EnvError> {
    task(env)?.batch(num_envs, device, options)
}

/// The specification of an environment with `frames` stacked frames, without making copies of it.
///
/// # Errors
///
/// Those of [`task`].
pub fn spec_with(env: impl Into<EnvConfig>, frames: usize) -> Result<EnvSpec, EnvError> {
    Ok(stacked_spec(&spec(env)?, frames))
}

/// The specification of an environment, without making copies of it.
///
/// # Errors
///
/// Those of [`task`].
pub fn spec(env: impl Into<EnvConfig>) -> Result<EnvSpec, EnvError> {
    Ok(task(env)?.spec())
}

/// Whether such a batch is stepped on the GPU if its tensors are on one; otherwise it is stepped on the host, whatever
/// the device.
///
/// # Errors
///
/// Those of [`task`].
pub fn steps_on_gpu(env: impl Into<EnvConfig>, options: BatchOptions) -> Result<bool, EnvError> {
    Ok(task(env)?.has_kernel() && !options.host_steps)
}

/// The most similar name, ignoring case, if it is similar at all.
fn suggestion(name: &str, known: &[String]) -> Option<String> {
    const SIMILAR: f64 = 0.7;
    let similarity =
        |known: &str| strsim::jaro_winkler(&known.to_lowercase(), &name.to_lowercase());
    known
        .iter()
        .map(|known| (similarity(known), known))
        .filter(|(similarity, _)| *similarity >= SIMILAR)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, known)| known.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registered_names_are_those_of_the_specifications() {
        for name in NAMES {
            assert_eq!(spec(*name).map(|spec| spec.name).as_deref(), Ok(*name));
        }
    }

    #[test]
    fn similar_names_are_suggested() {
        let known: Vec<String> = NAMES.iter().map(|name| (*name).to_owned()).collect();
        let check = |name, expected: Option<&str>| {
            assert_eq!(suggestion(name, &known).as_deref(), expected, "{name}")
        };
        check("cartpole", Some("CartPole-v1"));
        check("CartPole-v0", Some("CartPole-v1"));
        check("pendulum-v1", Some("Pendulum-v1"));
        check("ProbeLQR", Some("ProbeLqr-v0"));
        check("", None);
        check("xyzzy", None);
    }
}
