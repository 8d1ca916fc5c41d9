//! Checks that user-supplied environment, actor and critic fit each other and the configuration.

use crate::{
    Demands,
    agent::{build_actor, build_critic},
    config::{ConfigError, MemoryKind, NetworkConfig, RunConfig},
    settings::ensure,
};
use burn::tensor::Tensor;
use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
};
use uphill_core::{
    dist::{Dist, DistKind},
    network::Net,
    policy::{Actor, Critic},
};
use uphill_envs::{BatchEnv, BatchOptions, EnvSpec};

/// Number of copies whose observations the dry pass uses.
const ROWS: usize = 2;

/// Rejects settings that user-supplied parts would ignore, and networks that do not fit.
pub(crate) fn check(
    config: &RunConfig,
    envs: &[Box<dyn BatchEnv>],
    (actor, critic): (&Actor, &Critic),
) -> Result<(), ConfigError> {
    let env = &envs[0];
    check_env_settings(config, env.spec())?;
    check_network_settings(config, env.spec(), (actor, critic))?;
    let clip = config.normalize.obs_clip;
    let clips = actor.obs_norm.as_ref().map_or(clip, |norm| norm.clip);
    ensure(clip == clips, "normalize.obs_clip", || {
        format!("is {clip}, but the actor's normaliser clips to {clips}")
    })?;

    check_agent(config, env.as_ref(), (actor, critic))
}

/// Checks that user-supplied networks and distribution fit an environment and the algorithm.
///
/// One pass of each network over the observations of up to two copies reveals the shape of its outputs.
pub(crate) fn check_agent(
    config: &RunConfig,
    env: &dyn BatchEnv,
    (actor, critic): (&Actor, &Critic),
) -> Result<(), ConfigError> {
    check_memory(config, (actor, critic))?;
    let obs = env.obs();
    let [copies, _] = obs.dims();
    let obs = obs.narrow(0, 0, copies.min(ROWS));
    let (kind, width) = (&actor.kind, actor.kind.param_width());
    let params = format!("the parameters of {kind:?}");
    check_network("actor", &actor.net, &obs, (width, &params))?;
    check_network("critic", &critic.net, &obs, (1, "values"))?;
    check_distribution(config, kind, &actor.dist(obs))
}

/// Checks that a user-defined distribution has everything that the algorithm needs.
fn check_distribution(config: &RunConfig, kind: &DistKind, dist: &Dist) -> Result<(), ConfigError> {
    let demands = config.algo.settings().demands();
    let lacks = |what: &str| {
        format!("needs the {what} of the policy's distribution, which {kind:?} does not have")
    };
    ensure(
        demands < Demands::Kl || dist.try_kl(dist).is_some(),
        "algo.name",
        || lacks("KL divergence (Distribution::kl)"),
    )?;
    ensure(
        demands < Demands::Fisher || dist.has_fisher(),
        "algo.name",
        || lacks("Fisher product (Distribution::fisher_mul)"),
    )
}

/// Rejects settings of the environment that only apply to environments made from the configuration.
fn check_env_settings(config: &RunConfig, spec: &EnvSpec) -> Result<(), ConfigError> {
    ensure(config.env.name == spec.name, "env", || {
        format!(
            "is {:?}, but the environment that was given is {:?}",
            config.env.name, spec.name
        )
    })?;
    let plain = BatchOptions::default();
    let ready = "the environment that was given is made already";
    ensure(config.frames == plain.frames, "frames", || {
        format!(
            "is {}, but {ready}; see Batch::with_frames, and leave this out",
            config.frames
        )
    })?;
    ensure(
        config.random_ages == plain.random_ages,
        "random_ages",
        || format!("is true, but {ready}; see HostBatch::with_random_ages, and leave this out"),
    )?;
    ensure(config.host_steps == plain.host_steps, "host_steps", || {
        format!("is true, but {ready}; leave this out")
    })
}

/// Checks that the algorithm supports memory, if the networks turn out to have it.
fn check_memory(config: &RunConfig, (actor, critic): (&Actor, &Critic)) -> Result<(), ConfigError> {
    let remembers = [&actor.net, &critic.net].map(|net| net.start(1).is_some());
    if config.network.memory != MemoryKind::None || remembers == [false, false] {
        return Ok(());
    }
    let network = NetworkConfig {
        memory: MemoryKind::Gru,
        ..NetworkConfig::default()
    };
    RunConfig {
        network,
        ..config.clone()
    }
    .validate()
}

/// Checks that `[network]`, if it differs from the defaults, describes the given networks. The distribution is checked
/// elsewhere.
fn check_network_settings(
    config: &RunConfig,
    spec: &EnvSpec,
    (actor, critic): (&Actor, &Critic),
) -> Result<(), ConfigError> {
    let unset = NetworkConfig {
        distribution: config.network.distribution,
        ..NetworkConfig::default()
    };
    if config.network == unset {
        return Ok(());
    }
    let device = actor.net.device();
    let described = [
        build_actor(config, spec, &device)?.net,
        build_critic(config, spec, &device).net,
    ];
    let given = [("actor", &actor.net), ("critic", &critic.net)];
    for (described, (who, given)) in described.iter().zip(given) {
        let same =
            given.layout() == described.layout() && given.perceptron() == described.perceptron();
        ensure(same, "network", || {
            format!(
                "describes another network than the {who} that was given; leave it out, or make the {who} from it \
                 with build_{who}"
            )
        })?;
    }
    Ok(())
}

/// Runs `net` on observations `[B, O]` and checks that its outputs are `[B, wanted]`.
fn check_network(
    who: &str,
    net: &Net,
    obs: &Tensor<2>,
    (wanted, what): (usize, &str),
) -> Result<(), ConfigError> {
    let [rows, width] = obs.dims();
    let (its, theirs) = (net.device(), obs.device());
    ensure(its == theirs, who, || {
        format!("its network is on {its:?}, the environment's observations are on {theirs:?}")
    })?;
    if let Some(shape) = net.perceptron() {
        let inputs = shape.inputs();
        ensure(inputs == width, who, || {
            format!("its network takes {inputs} inputs, an observation has {width}")
        })?;
    }
    // Modules may do anything with inputs of the wrong width; most panic.
    let pass = catch_unwind(AssertUnwindSafe(|| net.step(obs.clone(), net.start(rows))));
    let (outputs, state) = pass.map_err(|cause| {
        let problem = format!(
            "its network cannot take observations [{rows}, {width}]: {}",
            message(cause.as_ref())
        );
        ConfigError::new(who, problem)
    })?;
    let found = outputs.dims();
    ensure(found == [rows, wanted], who, || {
        format!(
            "its network turns observations [{rows}, {width}] into {found:?}, but {what} are [{rows}, {wanted}]"
        )
    })?;
    if let (Some(state), Some(start)) = (state, net.start(rows)) {
        let (found, wanted) = (state.dims(), start.dims());
        ensure(found == wanted, who, || {
            format!("its network's next states are {found:?}, but state_width says {wanted:?}")
        })?;
    }
    (net.check_shape()).map_err(|problem| ConfigError::new(who, problem))
}

/// Message of a panic.
fn message(cause: &(dyn Any + Send)) -> &str {
    let text = cause.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| cause.downcast_ref::<&str>().copied())
        .unwrap_or("it panicked")
}
