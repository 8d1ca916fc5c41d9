//! The loop of [`collect`](crate::collect::collect) in one kernel: policy and environment for all steps.
//!
//! For perceptrons with a categorical or Gaussian policy and environments that live on the device. The weights
//! are read once per rollout, and nothing is read back.

mod kernel;
mod noise;
mod ops;
mod plan;

use burn::{
    backend::Dispatch,
    tensor::{Int, Tensor},
};
use uphill_core::{
    policy::{Actor, Critic},
    rollout::{Memory, Rollout},
};
use uphill_envs::{
    BatchEnv, Stream,
    device::{DeviceState, how_ended},
};

use ops::{Job, RolloutOps};
use plan::Plan;

/// `None` where policy or environment are of another kind.
pub(crate) fn collect_on_device(
    (actor, critic): (&Actor, &Critic),
    env: &mut dyn BatchEnv,
    (seed, stream, first_step): (u64, Stream, u64),
    [steps, envs]: [usize; 2],
) -> Option<Rollout> {
    if critic.net.start(1).is_some() || steps == 0 {
        return None;
    }
    let env = env.on_device()?;
    let (rules, state) = (env.rules(), env.state());
    let device = state.returns.device();
    let job = Job {
        plan: Plan::new(actor, rules.env.sizes(), [steps, envs], &device)?,
        rules,
        steps,
        seed,
        stream: stream as u32,
        first_step: first_step as u32, // as the noise of every other loop
        clip: actor.obs_norm.as_ref().map_or(0.0, |norm| norm.clip as f32),
    };
    let params = actor.net.flat();
    let norm = match &actor.obs_norm {
        Some(norm) => Tensor::cat(vec![norm.moments.mean.clone(), norm.moments.std()], 0),
        // Not read.
        None => params.clone(),
    };
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
    env.advanced(
        DeviceState::from_tensors(out.batch),
        Tensor::from_dispatch(out.results.obs),
        Tensor::from_dispatch(out.results.ended_returns),
        ends,
    );
    let values = |obs: Tensor<3>| {
        let width = obs.dims()[2];
        let values = critic.values(obs.reshape([steps * envs, width]));
        values.reshape([steps, envs])
    };
    Some(Rollout {
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
    })
}
