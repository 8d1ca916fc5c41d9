//! Networks for an environment, as a configuration describes them.

use crate::config::RunConfig;
use burn::tensor::Device;
use uphill_core::{
    dist::DistKind,
    network::WithLogStd,
    normalize::ObsNorm,
    policy::{Actor, Critic},
};
use uphill_envs::{ActionSpace, EnvSpec, Philox, Stream};

/// Gains of the last layer's orthogonal start: a nearly uniform policy, a value head of unit scale.
const POLICY_GAIN: f64 = 0.01;
const VALUE_GAIN: f64 = 1.0;

/// The distribution that suits an action space.
pub fn dist_kind(space: &ActionSpace) -> DistKind {
    match space {
        ActionSpace::Discrete { n } => DistKind::Categorical { choices: *n },
        ActionSpace::Box { low, .. } => DistKind::Gaussian { dim: low.len() },
    }
}

/// The policy of a fresh run.
pub fn build_actor(config: &RunConfig, spec: &EnvSpec, device: &Device) -> Actor {
    let mut rng = Philox::new(config.seed, Stream::Init, 0, 0);
    let (inputs, kind) = (spec.obs.dim(), dist_kind(&spec.action));
    let mut mlp = |outputs| {
        config
            .network
            .mlp()
            .build(inputs, outputs, POLICY_GAIN, &mut rng, device)
    };
    let mut actor = match kind {
        DistKind::Categorical { choices } => Actor::new(mlp(choices), kind),
        DistKind::Gaussian { dim } => {
            let mean = mlp(dim);
            Actor::new(
                WithLogStd::new(mean, dim, config.network.log_std, device),
                kind,
            )
        }
    };
    actor.obs_norm = obs_norm(config, inputs, device);
    actor
}

/// The value function of a fresh run.
pub fn build_critic(config: &RunConfig, spec: &EnvSpec, device: &Device) -> Critic {
    let mut rng = Philox::new(config.seed, Stream::Init, 0, 1);
    let inputs = spec.obs.dim();
    let mlp = config
        .network
        .mlp()
        .build(inputs, 1, VALUE_GAIN, &mut rng, device);
    let mut critic = Critic::new(mlp);
    critic.obs_norm = obs_norm(config, inputs, device);
    critic
}

/// Number of parameters of actor and critic together, without building them.
pub fn agent_params(config: &RunConfig, spec: &EnvSpec) -> usize {
    let widths = |outputs| {
        [
            &[spec.obs.dim()],
            config.network.hidden.as_slice(),
            &[outputs],
        ]
        .concat()
    };
    let count = |widths: Vec<usize>| {
        widths
            .windows(2)
            .map(|io| (io[0] + 1) * io[1])
            .sum::<usize>()
    };
    let (outputs, log_std) = match dist_kind(&spec.action) {
        DistKind::Categorical { choices } => (choices, 0),
        DistKind::Gaussian { dim } => (dim, dim),
    };
    count(widths(outputs)) + log_std + count(widths(1))
}

/// The observation normaliser that a configuration asks for, as new.
///
/// Also there when observations are only clipped: its moments then stay at mean 0, variance 1.
pub(crate) fn obs_norm(config: &RunConfig, features: usize, device: &Device) -> Option<ObsNorm> {
    let norm = &config.normalize;
    (norm.obs || norm.obs_clip > 0.0).then(|| ObsNorm::new(features, norm.obs_clip, device))
}
