//! Collection of rollouts in one kernel: policy and environment for all steps.

use burn::tensor::Tensor;
use uphill_core::{
    dist::DistKind,
    normalize::ObsNorm,
    policy::{Actor, Critic},
    rollout::{Memory, Rollout},
};
use uphill_envs::{BatchEnv, NoiseAt};
use uphill_gpu::{
    envs::{DeviceRules, DeviceState, Steps},
    rollout::{Job, Policy, Size},
};

/// Collects a rollout; `None` if the kernel does not support the policy or the environment.
pub(crate) fn collect_on_device(
    (actor, critic): (&Actor, &Critic),
    env: &mut dyn BatchEnv,
    noise: NoiseAt,
    [steps, envs]: [usize; 2],
) -> Option<Rollout> {
    if critic.net.start(1).is_some() || steps == 0 {
        return None;
    }
    let env = env.on_device()?;
    let size = Size {
        agents: 1,
        steps,
        envs,
    };
    let (rules, state) = (env.rules(), env.state());
    let job = job(actor, rules, noise, size, &state)?;
    let (rollout, after) = run((actor, critic), state, job, size);
    env.advanced(&after);
    Some(rollout)
}

/// Whether [`collect_on_device`] supports a rollout of `steps` steps.
pub(crate) fn can_collect(
    (actor, critic): (&Actor, &Critic),
    env: &mut dyn BatchEnv,
    steps: usize,
) -> bool {
    let size = Size {
        agents: 1,
        steps,
        envs: env.num_envs(),
    };
    let Some(env) = env.on_device() else {
        return false;
    };
    let noise = NoiseAt::actions(0, 0);
    let job = job(actor, env.rules(), noise, size, &env.state());
    critic.net.start(1).is_none() && job.is_some()
}

/// A rollout of agents whose policies have the shape of `actor`. The first agent has the seeds of `rules` and `noise`, and
/// each of the others the next one. `None` if the kernel does not support it.
pub(crate) fn job(
    actor: &Actor,
    rules: DeviceRules,
    noise: NoiseAt,
    size: Size,
    state: &DeviceState,
) -> Option<Job> {
    let shape = actor.net.perceptron()?;
    let norm = actor.obs_norm.as_ref();
    if norm.is_some_and(|norm| norm.features() != shape.inputs()) {
        return None;
    }
    let policy = Policy {
        shape,
        categorical: match &actor.kind {
            DistKind::Categorical { .. } if shape.log_stds == 0 => true,
            DistKind::Gaussian { dim } if shape.log_stds == *dim => false,
            _ => return None,
        },
        norm_clip: norm.map(|norm| norm.clip as f32),
    };
    Job::new(&policy, rules, noise, size, &state.returns.device())
}

/// Means and variances of the normalisers, as the kernel reads them, `[S·2·O]`.
fn moments(norm: &ObsNorm) -> Tensor<1> {
    let agents = norm.moments.agents;
    let (mean, variance) = (norm.moments.mean.clone(), norm.moments.variance.clone());
    let len = mean.dims()[0];
    let rows = [mean, variance].map(|x| x.reshape([agents, len / agents]));
    Tensor::cat(rows.into(), 1).reshape([2 * len])
}

/// Runs the `job` of this size. Returns the rollouts `[S·T, N, ..]` and the results of the environments.
pub(crate) fn run(
    (actor, critic): (&Actor, &Critic),
    state: DeviceState,
    job: Job,
    size: Size,
) -> (Rollout, Steps) {
    let params = actor.net.flat();
    let norm = match &actor.obs_norm {
        Some(norm) => moments(norm),
        // Not read.
        None => params.clone(),
    };
    let values = |obs: Tensor<3>| {
        let [steps, envs, width] = obs.dims();
        let values = critic.values(obs.reshape([steps * envs, width]));
        values.reshape([steps, envs])
    };
    let collected = job.run(params, norm, state);
    let (obs, steps) = (collected.obs, collected.steps);
    let [terminated, truncated] = steps.how_ended();
    let rollout = Rollout {
        values: values(obs.clone()),
        next_values: values(steps.next_obs.clone()),
        obs: obs.into(),
        actions: collected.actions,
        log_probs: collected.log_probs,
        rewards: steps.rewards.clone(),
        terminated,
        truncated,
        lengths: None,
        memory: Memory::default(),
        agents: size.agents,
    };
    (rollout, steps)
}
