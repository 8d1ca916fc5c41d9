//! Construction of actor and critic for an environment from a configuration.

use crate::{
    config::{ConfigError, Distribution, MemoryKind, ModuleKind, NetworkConfig, RunConfig, Std},
    footprint::network,
    own::{self, NetworkRequest},
    settings::ensure,
};
use burn::tensor::Device;
use uphill_core::{
    dist::{Bounds, DistKind},
    heads::{Masked, StateLogStd},
    network::{Net, Network, WithLogStd},
    normalize::ObsNorm,
    policy::{Actor, Critic},
    recurrent::GruNet,
};
use uphill_envs::{ActionSpace, EnvSpec, Philox, Stream};

/// Gains of the last layers' orthogonal initialisation: a nearly uniform policy, a value head of unit scale.
const POLICY_GAIN: f64 = 0.01;
const VALUE_GAIN: f64 = 1.0;

/// The distribution that `network` configures for the actions of an environment.
///
/// # Errors
/// If the two are incompatible: a Gaussian or Beta distribution over discrete actions, a bounded distribution without
/// bounds, or a standard deviation that the distribution does not have.
pub fn dist_kind(spec: &EnvSpec, network: &NetworkConfig) -> Result<DistKind, ConfigError> {
    let (asked, action) = (network.distribution, &spec.action);
    if let Distribution::Own(name) = asked {
        let made = own::distribution(name).map(|make| make(spec));
        let made = made.unwrap_or_else(|| Err("is not registered".to_owned()));
        let problem = |problem| ConfigError::new("network.distribution", problem);
        let kind = made.map_err(problem)?;
        check_width(&kind, spec)?;
        return Ok(kind);
    }
    let auto_only = || {
        ensure(asked == Distribution::Auto, "network.distribution", || {
            format!("must be \"auto\", because {} has {action}", spec.name)
        })
    };
    let kind = match action {
        ActionSpace::Discrete { n } | ActionSpace::MaskedDiscrete { n } => {
            auto_only()?;
            DistKind::Categorical { choices: *n }
        }
        ActionSpace::MultiDiscrete { choices } => {
            auto_only()?;
            let choices = choices.clone();
            DistKind::MultiDiscrete { choices }
        }
        ActionSpace::Box { low, high } => {
            let bounds = || {
                Bounds::new(low, high).ok_or_else(|| {
                    let problem = format!(
                        "must be \"gaussian\", because the actions of {} are not all bounded",
                        spec.name
                    );
                    ConfigError::new("network.distribution", problem)
                })
            };
            match asked {
                Distribution::Auto | Distribution::Gaussian => {
                    DistKind::Gaussian { dim: low.len() }
                }
                Distribution::SquashedGaussian => DistKind::SquashedGaussian { bounds: bounds()? },
                Distribution::Beta => DistKind::Beta { bounds: bounds()? },
                Distribution::Own(name) => unreachable!("{name} is made above"),
            }
        }
    };
    let has_std = matches!(
        kind,
        DistKind::Gaussian { .. } | DistKind::SquashedGaussian { .. }
    );
    ensure(
        has_std || network.std == Std::Independent,
        "network.std",
        || "is for Gaussian policies; leave it out".to_owned(),
    )?;
    Ok(kind)
}

/// Checks that a policy's distribution fits the actions of an environment: it is the one that `network` configures, or
/// a user-defined one over the same number of columns.
pub(crate) fn check_kind(
    kind: &DistKind,
    spec: &EnvSpec,
    network: &NetworkConfig,
) -> Result<(), ConfigError> {
    let DistKind::Custom(_) = kind else {
        let wanted = dist_kind(spec, network)?;
        return ensure(*kind == wanted, "env", || {
            format!("its actions need the distribution {wanted:?}, the actor has {kind:?}")
        });
    };
    let asked = network.distribution;
    let fits = matches!(asked, Distribution::Auto | Distribution::Own(_));
    ensure(fits, "network.distribution", || {
        format!("is {asked:?}, but the actor has {kind:?}; leave this out")
    })?;
    check_width(kind, spec)
}

/// Checks that a user-defined distribution has as many columns as the environment's actions.
fn check_width(kind: &DistKind, spec: &EnvSpec) -> Result<(), ConfigError> {
    let (its, theirs) = (kind.action_width(), spec.action.width());
    ensure(its == theirs, "env", || {
        format!(
            "its actions ({}) have {theirs} columns, those of the actor's {kind:?} have {its}",
            spec.action
        )
    })
}

/// The initial policy of a run.
///
/// # Errors
/// Those of [`dist_kind`].
pub fn build_actor(
    config: &RunConfig,
    spec: &EnvSpec,
    device: &Device,
) -> Result<Actor, ConfigError> {
    let mut rng = Philox::new(config.seed, Stream::Init, 0, 0);
    let network = &config.network;
    let kind = dist_kind(spec, network)?;
    let (outputs, log_stds) = policy_outputs(&kind, network);
    let inputs = spec.obs.dim();
    let (io, mlp) = ([inputs, outputs], network.mlp());
    let net = match network.memory {
        _ if network.module != ModuleKind::Perceptron => {
            let request = (config, spec, kind.param_width(), POLICY_GAIN);
            own_network(request, &mut rng, device)?
        }
        MemoryKind::None => {
            let body = mlp.build(inputs, outputs, POLICY_GAIN, &mut rng, device);
            match head(&kind, spec, network) {
                Head::Plain => net_of(body, network),
                Head::Masked => net_of(Masked::new(body), network),
                Head::LogStd => {
                    let body = WithLogStd::new(body, log_stds, network.log_std, device);
                    net_of(body, network)
                }
                Head::StateLogStd => net_of(StateLogStd::new(body, network.log_std), network),
            }
        }
        MemoryKind::Gru => {
            let width = network.memory_width;
            let body = GruNet::new(io, &mlp, width, POLICY_GAIN, &mut rng, device);
            match head(&kind, spec, network) {
                Head::Plain => Net::recurrent(body),
                Head::Masked => Net::recurrent(Masked::new(body)),
                Head::LogStd => {
                    Net::recurrent(WithLogStd::new(body, log_stds, network.log_std, device))
                }
                Head::StateLogStd => Net::recurrent(StateLogStd::new(body, network.log_std)),
            }
        }
    };
    let mut actor = Actor {
        net,
        kind,
        obs_norm: None,
    };
    actor.obs_norm = obs_norm(config, spec.normalized_width(), device);
    Ok(actor)
}

/// The initial value function of a run.
///
/// # Panics
/// If it is a user-defined network that is not registered.
pub fn build_critic(config: &RunConfig, spec: &EnvSpec, device: &Device) -> Critic {
    let mut rng = Philox::new(config.seed, Stream::Init, 0, 1);
    let (inputs, network) = (spec.obs.dim(), &config.network);
    let mlp = network.mlp();
    let mut critic = match network.memory {
        _ if network.module != ModuleKind::Perceptron => Critic {
            net: own_network((config, spec, 1, VALUE_GAIN), &mut rng, device)
                .unwrap_or_else(|error| panic!("{error}")),
            obs_norm: None,
        },
        MemoryKind::None => Critic {
            net: net_of(mlp.build(inputs, 1, VALUE_GAIN, &mut rng, device), network),
            obs_norm: None,
        },
        MemoryKind::Gru => {
            let width = network.memory_width;
            let net = GruNet::new([inputs, 1], &mlp, width, VALUE_GAIN, &mut rng, device);
            Critic::recurrent(net)
        }
    };
    critic.obs_norm = obs_norm(config, spec.normalized_width(), device);
    critic
}

/// A user-defined network with this many outputs.
fn own_network(
    (config, spec, outputs, gain): (&RunConfig, &EnvSpec, usize, f64),
    rng: &mut Philox,
    device: &Device,
) -> Result<Net, ConfigError> {
    let name = config.network.module.name();
    let make = own::network(name)
        .ok_or_else(|| ConfigError::new("network.module", format!("{name:?} is not registered")))?;
    let request = NetworkRequest {
        spec,
        outputs,
        gain,
        config: &config.network,
        device,
    };
    Ok(make(request, rng))
}

fn net_of(module: impl Network, network: &NetworkConfig) -> Net {
    if network.fused {
        Net::new(module)
    } else {
        Net::stock(module)
    }
}

/// Number of parameters of actor and critic together, without building them.
///
/// # Errors
/// Those of [`dist_kind`].
pub fn agent_params(config: &RunConfig, spec: &EnvSpec) -> Result<usize, ConfigError> {
    let (params, _) = network(&config.network, spec, spec.obs.dim() as u128)?;
    Ok(params.try_into().unwrap_or(usize::MAX))
}

/// Module between a network and the parameters of its distribution.
enum Head {
    Plain,
    Masked,
    LogStd,
    StateLogStd,
}

fn head(kind: &DistKind, spec: &EnvSpec, network: &NetworkConfig) -> Head {
    match (kind, &spec.action) {
        (_, ActionSpace::MaskedDiscrete { .. }) => Head::Masked,
        (DistKind::Gaussian { .. } | DistKind::SquashedGaussian { .. }, _) => match network.std {
            Std::Independent => Head::LogStd,
            Std::Dependent => Head::StateLogStd,
        },
        _ => Head::Plain,
    }
}

/// Number of outputs of the policy's perceptron, and number of log standard deviations that are separate parameters.
pub(crate) fn policy_outputs(kind: &DistKind, network: &NetworkConfig) -> (usize, usize) {
    let width = kind.param_width();
    match (kind, network.std) {
        (DistKind::Gaussian { .. } | DistKind::SquashedGaussian { .. }, Std::Independent) => {
            (width / 2, width / 2)
        }
        _ => (width, 0),
    }
}

/// The initial observation normaliser that a configuration asks for.
///
/// It is also present if observations are only clipped: its moments then remain at mean 0, variance 1.
pub(crate) fn obs_norm(config: &RunConfig, features: usize, device: &Device) -> Option<ObsNorm> {
    let norm = &config.normalize;
    (norm.obs || norm.obs_clip > 0.0).then(|| ObsNorm::new(features, norm.obs_clip, device))
}
