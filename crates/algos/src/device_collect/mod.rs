//! The loop of [`collect`](crate::collect::collect) in one kernel: policy and environment for all steps.
//!
//! For perceptrons with a categorical or Gaussian policy and environments that live on the device. The weights
//! are read once per rollout, and nothing is read back.

mod kernel;
mod ops;
mod plan;

use burn::{
    backend::Dispatch,
    tensor::{Int, Tensor},
};
use uphill_core::{
    normalize::ObsNorm,
    policy::{Actor, Critic},
    rollout::{Memory, Rollout},
};
use uphill_envs::{
    BatchEnv, Stream,
    device::{DeviceRules, DeviceState, how_ended},
};

pub(crate) use ops::Job;
use ops::RolloutOps;
use plan::Plan;

/// `None` where policy or environment are of another kind.
pub(crate) fn collect_on_device(
    (actor, critic): (&Actor, &Critic),
    env: &mut dyn BatchEnv,
    position: (u64, Stream, u64),
    [steps, envs]: [usize; 2],
) -> Option<Rollout> {
    if critic.net.start(1).is_some() || steps == 0 {
        return None;
    }
    let env = env.on_device()?;
    let (rules, state) = (env.rules(), env.state());
    let job = job(actor, rules, position, [1, steps, envs], &state)?;
    let params = actor.net.flat();
    let norm = match &actor.obs_norm {
        Some(norm) => moments(norm, 1),
        // Not read.
        None => params.clone(),
    };
    let values = |obs: Tensor<3>| {
        let width = obs.dims()[2];
        let values = critic.values(obs.reshape([steps * envs, width]));
        values.reshape([steps, envs])
    };
    let collected = run([params, norm], state, job, values);
    env.advanced(
        collected.state,
        collected.obs,
        collected.ended_returns,
        collected.ends,
    );
    Some(collected.rollout)
}

/// Whether [`collect_on_device`] would do `steps` steps.
pub(crate) fn can_collect(
    (actor, critic): (&Actor, &Critic),
    env: &mut dyn BatchEnv,
    steps: usize,
) -> bool {
    let envs = env.num_envs();
    let Some(env) = env.on_device() else {
        return false;
    };
    let (rules, state, position) = (env.rules(), env.state(), (0, Stream::Action, 0));
    critic.net.start(1).is_none() && job(actor, rules, position, [1, steps, envs], &state).is_some()
}

/// What a rollout of `S` agents on a device brings, whose parts follow one another.
pub(crate) struct Collected {
    /// `[S·T, N, ..]`
    pub(crate) rollout: Rollout,
    /// Of all copies after it, `[S·N, ..]`.
    pub(crate) state: DeviceState,
    /// What policies see next, `[S·N, O]`.
    pub(crate) obs: Tensor<2>,
    /// As described at [`Results`](uphill_envs::device::Results), `[S·T, N]`.
    pub(crate) ended_returns: Tensor<2>,
    /// Likewise.
    pub(crate) ends: Tensor<2, Int>,
}

/// A rollout of `S` agents whose policies look like `actor`; that of the first has the seeds of `rules` and `position`, those of
/// the others the next ones. `None` if there is no kernel for it.
pub(crate) fn job(
    actor: &Actor,
    rules: DeviceRules,
    (seed, stream, first_step): (u64, Stream, u64),
    [agents, steps, envs]: [usize; 3],
    state: &DeviceState,
) -> Option<Job> {
    let device = state.returns.device();
    Some(Job {
        plan: Plan::new(actor, rules.env.sizes(), [agents, steps, envs], &device)?,
        rules,
        agents,
        steps,
        seed,
        stream: stream as u32,
        first_step: first_step as u32, // as the noise of every other loop
        clip: actor.obs_norm.as_ref().map_or(0.0, |norm| norm.clip as f32),
    })
}

/// What the kernel is told of the normalisers of `agents` `S`, `[S·2·O]`.
pub(crate) fn moments(norm: &ObsNorm, agents: usize) -> Tensor<1> {
    let (mean, variance) = (norm.moments.mean.clone(), norm.moments.variance.clone());
    let len = mean.dims()[0];
    let rows = [mean, variance].map(|x| x.reshape([agents, len / agents]));
    Tensor::cat(rows.into(), 1).reshape([2 * len])
}

/// Does the `job`. `params` `[S·P]` are those of the policies, `norm` what is [told](moments) of their normalisers, and `values`
/// the critics.
pub(crate) fn run(
    [params, norm]: [Tensor<1>; 2],
    state: DeviceState,
    job: Job,
    values: impl Fn(Tensor<3>) -> Tensor<2>,
) -> Collected {
    let out = Dispatch::rollout(
        params.into_dispatch(),
        norm.into_dispatch(),
        state.into_tensors(),
        job,
    );
    let obs = Tensor::<3>::from_dispatch(out.obs);
    let next_obs = Tensor::<3>::from_dispatch(out.results.next_obs);
    let ends = Tensor::<2, Int>::from_dispatch(out.results.ends);
    let [terminated, truncated] = how_ended(ends.clone());
    Collected {
        rollout: Rollout {
            values: values(obs.clone()),
            next_values: values(next_obs),
            obs,
            actions: Tensor::from_dispatch(out.actions),
            log_probs: Tensor::from_dispatch(out.log_probs),
            rewards: Tensor::from_dispatch(out.results.rewards),
            terminated,
            truncated,
            lengths: None,
            memory: Memory::default(),
        },
        state: DeviceState::from_tensors(out.batch),
        obs: Tensor::from_dispatch(out.results.obs),
        ended_returns: Tensor::from_dispatch(out.results.ended_returns),
        ends,
    }
}
