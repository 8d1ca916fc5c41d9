//! Rollouts: steps of an environment under a policy.

use crate::{
    device_collect::{can_collect, collect_on_device},
    host_collect::{collect_on_host, collect_until},
    random::action_noise,
};
use burn::tensor::{Bool, Tensor};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use uphill_core::{
    obs::Obs,
    policy::{Actor, Critic},
    read_back,
    rollout::{Memory, Rollout, Span},
};
use uphill_envs::{BatchEnv, Element, NoiseAt, Step};

/// For callers that never stop early.
pub(crate) static NEVER: AtomicBool = AtomicBool::new(false);

/// Collects `steps` steps of every copy under the actor's policy, continuing from the environment's current state.
///
/// `noise` is the position of the actions' noise, usually [`NoiseAt::actions`] of the seed and of the steps per copy so far.
/// Only the policy runs inside the loop; values are computed for the whole rollout in one batch, and so are
/// log-probabilities where the loop is on tensors. `memory` holds the states of networks with memory, before and after.
pub fn collect(
    (actor, critic): (&Actor, &Critic),
    env: &mut dyn BatchEnv,
    memory: &mut Memory,
    steps: usize,
    noise: NoiseAt,
) -> Rollout {
    let rollout = collect_unless(&NEVER, (actor, critic), env, memory, steps, noise);
    rollout.unwrap_or_else(|| unreachable!("nothing stops it"))
}

/// [`collect`], which returns `None` if `stop` is set meanwhile and then leaves the environment in the middle of the
/// rollout.
pub fn collect_unless(
    stop: &AtomicBool,
    (actor, critic): (&Actor, &Critic),
    env: &mut dyn BatchEnv,
    memory: &mut Memory,
    steps: usize,
    noise: NoiseAt,
) -> Option<Rollout> {
    let size = [steps, env.num_envs()];
    if let Some(rollout) = collect_on_host(stop, (actor, critic), env, noise, size) {
        return Some(rollout);
    }
    if let Some(rollout) = collect_on_device((actor, critic), env, noise, size) {
        return Some(rollout);
    }
    let mut record = Record::new(env, memory.clone());
    let noise = action_noise(&actor.kind, noise, size, &record.obs.device());
    for noise in noise.iter_dim(0) {
        if stop.load(Relaxed) {
            return None;
        }
        record.step(actor, env, noise.squeeze_dim(0));
    }
    let (rollout, after) = record.rollout(actor, critic);
    *memory = after;
    Some(rollout)
}

/// Network states at the beginning of episodes of `envs` copies; empty without memory.
pub fn start(actor: &Actor, critic: &Critic, envs: usize) -> Memory {
    Memory {
        actor: actor.net.start(envs),
        critic: critic.net.start(envs),
    }
}

/// Collects the first `per_env` episodes of every copy, one per column, and returns the number of steps that every copy
/// took until the last of them ended. The environment must have been reset, and episodes must end.
///
/// A loop on tensors reads back once per step to know when to stop.
pub fn collect_episodes(
    (actor, critic): (&Actor, &Critic),
    env: &mut dyn BatchEnv,
    per_env: usize,
    noise: NoiseAt,
) -> (Rollout, usize) {
    let rollout = collect_episodes_unless(&NEVER, (actor, critic), env, per_env, noise);
    rollout.unwrap_or_else(|| unreachable!("nothing stops it"))
}

/// [`collect_episodes`], which returns `None` if `stop` is set meanwhile.
pub fn collect_episodes_unless(
    stop: &AtomicBool,
    (actor, critic): (&Actor, &Critic),
    env: &mut dyn BatchEnv,
    per_env: usize,
    noise: NoiseAt,
) -> Option<(Rollout, usize)> {
    let envs = env.num_envs();
    let mut episodes = Episodes::new(envs, per_env);
    let enough = |ended| episodes.step(ended);
    if let Some(rollout) = collect_until(stop, (actor, critic), env, noise, enough) {
        return Some((rollout.columns(&episodes.spans()), episodes.steps));
    }
    let mut record = Record::new(env, start(actor, critic, envs));
    let device = record.obs.device();
    loop {
        if stop.load(Relaxed) {
            return None;
        }
        let noise = action_noise(&actor.kind, noise.after(episodes.steps), [1, envs], &device);
        record.step(actor, env, noise.squeeze_dim(0));
        if episodes.step(record.ended()) {
            break;
        }
    }
    let rollout = record.rollout(actor, critic).0;
    Some((rollout.columns(&episodes.spans()), episodes.steps))
}

/// Ends of the first episodes of every copy.
struct Episodes {
    per_env: usize,
    steps: usize,
    /// Numbers of steps after which episodes ended, per copy; the first episode starts at 0.
    ends: Vec<Vec<usize>>,
}

impl Episodes {
    fn new(envs: usize, per_env: usize) -> Self {
        Self {
            per_env,
            steps: 0,
            ends: vec![vec![0]; envs],
        }
    }

    /// Records which copies `ended` an episode in a step, `[N]`. Returns true if every copy has enough episodes.
    fn step(&mut self, ended: Vec<bool>) -> bool {
        self.steps += 1;
        for (ends, _) in (self.ends.iter_mut().zip(ended)).filter(|(_, ended)| *ended) {
            ends.push(self.steps);
        }
        self.ends.iter().all(|ends| ends.len() > self.per_env)
    }

    fn spans(&self) -> Vec<Span> {
        let mut spans = Vec::with_capacity(self.ends.len() * self.per_env);
        for (env, ends) in self.ends.iter().enumerate() {
            for end in ends.windows(2).take(self.per_env) {
                let (start, len) = (end[0], end[1] - end[0]);
                spans.push(Span { env, start, len });
            }
        }
        spans
    }
}

/// Reason why the steps of a rollout use Burn's operations one by one; `None` if they run in a loop on slices or in one
/// kernel.
///
/// `steps` is the number of steps of a rollout; `None` if it consists of whole episodes.
pub fn collector_reason(
    (actor, critic): (&Actor, &Critic),
    env: &mut dyn BatchEnv,
    steps: Option<usize>,
) -> Option<&'static str> {
    if env.on_host().is_some() {
        let policy = crate::host_collect::policy((actor, critic), env);
        return (policy.is_none()).then_some("its policy is none of those that act on slices");
    }
    if env.on_device().is_some() {
        return match steps {
            None => {
                Some("whole episodes have no kernel; host_steps = true collects them on slices")
            }
            Some(steps) => {
                let job = can_collect((actor, critic), env, steps);
                (!job).then_some("its policy is none of those that have a kernel")
            }
        };
    }
    Some(
        "stacked frames on a GPU are put together by tensor operations; host_steps = true stacks them on slices",
    )
}

/// Experience collected so far, one entry per step.
struct Record {
    /// Current observations `[N, O]`.
    obs: Tensor<2>,
    /// Current network state of the policy.
    state: Option<Tensor<2>>,
    /// States of both networks before the first step.
    memory: Memory,
    element: Element,
    all_obs: Vec<Obs<2>>,
    all_next_obs: Vec<Obs<2>>,
    actions: Vec<Tensor<2>>,
    rewards: Vec<Tensor<1>>,
    terminated: Vec<Tensor<1, Bool>>,
    truncated: Vec<Tensor<1, Bool>>,
}

impl Record {
    fn new(env: &dyn BatchEnv, memory: Memory) -> Self {
        Self {
            obs: env.obs(),
            state: memory.actor.clone(),
            memory,
            element: env.spec().obs.element,
            all_obs: vec![],
            all_next_obs: vec![],
            actions: vec![],
            rewards: vec![],
            terminated: vec![],
            truncated: vec![],
        }
    }

    /// Takes one step of every copy.
    fn step(&mut self, actor: &Actor, env: &mut dyn BatchEnv, noise: Tensor<2>) {
        let (dist, state) = actor.step(self.obs.clone(), self.state.take());
        let actions = dist.sample(noise);
        let step = env.step(actor.kind.env_actions(actions.clone()));
        self.state = forget(state, &step);
        let obs = std::mem::replace(&mut self.obs, step.obs);
        self.all_obs.push(kept(obs, self.element));
        self.all_next_obs.push(kept(step.next_obs, self.element));
        self.actions.push(actions);
        self.rewards.push(step.rewards);
        self.terminated.push(step.terminated);
        self.truncated.push(step.truncated);
    }

    /// Whether the last step ended each copy's episode, read back, `[N]`.
    fn ended(&self) -> Vec<bool> {
        let last = self.terminated.last().zip(self.truncated.last());
        let flags = last.map(|(a, b)| a.clone().bool_or(b.clone()).float());
        let flags = flags.map_or(vec![], read_back::read);
        flags.into_iter().map(|flag| flag != 0.0).collect()
    }

    /// The rollout, and the network states after it.
    fn rollout(self, actor: &Actor, critic: &Critic) -> (Rollout, Memory) {
        let (steps, [envs, _]) = (self.rewards.len(), self.obs.dims());
        let [obs, next_obs] = [self.all_obs, self.all_next_obs]
            .map(|steps_of| Obs::cat(steps_of).in_steps([steps, envs]));
        let actions = Tensor::cat(self.actions, 0);
        let terminated = Tensor::stack::<2>(self.terminated, 0);
        let truncated = Tensor::stack::<2>(self.truncated, 0);
        let keep = terminated.clone().bool_or(truncated.clone());
        let keep = keep.float().neg() + 1.0;

        let Memory {
            actor: state,
            critic: critic_state,
        } = self.memory.clone();
        let dist = actor.follow(obs.clone(), keep.clone(), state);
        let log_probs = dist.log_prob(actions.clone());
        let ([values, next_values], critic_state) =
            critic.follow([obs.clone(), next_obs], keep, critic_state);
        let after = Memory {
            actor: self.state,
            critic: critic_state,
        };
        let [_, action_width] = actions.dims();
        let rollout = Rollout {
            obs,
            actions: actions.reshape([steps, envs, action_width]),
            log_probs: log_probs.reshape([steps, envs]),
            values: values.reshape([steps, envs]),
            next_values: next_values.reshape([steps, envs]),
            rewards: Tensor::stack(self.rewards, 0),
            terminated,
            truncated,
            lengths: None,
            memory: self.memory,
            agents: 1,
        };
        (rollout, after)
    }
}

/// Observations of one step in the form that a rollout stores.
fn kept(obs: Tensor<2>, element: Element) -> Obs<2> {
    match element {
        Element::Float => obs.into(),
        Element::Byte { unit } => Obs::packed(obs, unit),
    }
}

/// States after a step, reset where an episode ended.
pub(crate) fn forget(state: Option<Tensor<2>>, step: &Step) -> Option<Tensor<2>> {
    let state = state?;
    let ended = step.terminated.clone().bool_or(step.truncated.clone());
    let keep = ended.float().neg() + 1.0;
    Some(state * keep.unsqueeze_dim(1))
}
