//! What networks with memory remember while they act, step by step.

use super::numbers;
use crate::{device::device, run};
use burn::tensor::Tensor;
use uphill_algos::{
    build_actor, build_critic,
    collect::{collect, start},
    config::MemoryKind,
    ppo::PpoConfig,
    random::action_noise,
};
use uphill_core::nn::Init;
use uphill_envs::{
    ActionSpace, BatchEnv, Described, Env, EnvSpec, HostBatch, NoiseAt, ObsSpace, Outcome, Philox,
    Stream,
};

const COPIES: usize = 3;
const STEPS: usize = 12;

/// Random observations; the clock runs out after four steps, and half of the actions end an episode earlier.
struct Clock;

impl Described for Clock {
    fn spec(&self) -> EnvSpec {
        EnvSpec {
            name: "Clock".to_owned(),
            obs: ObsSpace::symmetric(&[1.0, 1.0]),
            action: ActionSpace::Box {
                low: vec![-9.0],
                high: vec![9.0],
            },
            time_limit: Some(4),
            reward_threshold: None,
        }
    }

    fn state_size(&self) -> usize {
        2
    }
}

impl Env for Clock {
    fn reset(&self, state: &mut [f32], rng: &mut Philox) {
        state.fill_with(|| rng.range(-1.0, 1.0));
    }

    fn step(&self, state: &mut [f32], action: &[f32], rng: &mut Philox) -> Outcome {
        state.fill_with(|| rng.range(-1.0, 1.0));
        Outcome {
            reward: action[0],
            terminated: action[0] > 0.8,
        }
    }

    fn observe(&self, state: &[f32], obs: &mut [f32]) {
        obs.copy_from_slice(state);
    }
}

/// Where the other takes a whole rollout at once, this goes step by step and copy by copy: a memory is of the episode's
/// observations so far, empty after a termination and after a truncation; the value of the observation that ended
/// an episode is with the memory of that episode.
#[test]
fn memory_is_of_the_episode_alone() {
    let mut config = run("Clock", COPIES, 1000, PpoConfig::default());
    config.network.hidden = vec![4];
    config.network.init = Init::Uniform;
    config.network.memory = MemoryKind::Gru;
    config.network.memory_width = 5;
    let spec = Clock.spec();
    let actor = build_actor(&config, &spec, &device()).unwrap();
    // Memory matters: gates that are far from their start.
    let stir = |flat: Tensor<1>| flat * 3.0;
    let actor = actor.with_net(actor.net.with_flat(stir(actor.net.flat())));
    let critic = build_critic(&config, &spec, &device());
    let critic = critic.with_net(critic.net.with_flat(stir(critic.net.flat())));

    let make = || {
        let mut env = HostBatch::new(Clock, COPIES, &device()).unwrap();
        env.reset(2);
        env
    };
    let mut memory = start(&actor, &critic, COPIES);
    let rollout = collect(
        (&actor, &critic),
        &mut make(),
        &mut memory,
        STEPS,
        NoiseAt::actions(7, 0),
    );
    let ended = |flags| numbers::<2>(flags).into_iter().sum::<f64>();
    assert!(ended(rollout.terminated.clone().float()) > 1.0);
    assert!(ended(rollout.truncated.clone().float()) > 1.0);

    let mut env = make();
    let noise = action_noise(
        &actor.kind,
        NoiseAt::new(7, Stream::Action, 0),
        [STEPS, COPIES],
        &device(),
    );
    let mut obs = env.obs();
    let mut states = start(&actor, &critic, COPIES);
    for (t, noise) in noise.iter_dim(0).enumerate() {
        let row = |table: &Tensor<2>| numbers(table.clone().narrow(0, t, 1));
        let (dist, actor_state) = actor.step(obs.clone(), states.actor.clone());
        let actions = dist.sample(noise.squeeze_dim(0));
        let (values, critic_state) = critic.step(obs.clone(), states.critic.clone());
        let step = env.step(actor.kind.env_actions(actions.clone()));
        let (next_values, _) = critic.step(step.next_obs, critic_state.clone());

        let taken = numbers(rollout.actions.clone().narrow(0, t, 1));
        close(&taken, &numbers(actions.clone()), "action", t);
        let log_probs = numbers(dist.log_prob(actions));
        close(&row(&rollout.log_probs), &log_probs, "log-probability", t);
        close(&row(&rollout.values), &numbers(values), "value", t);
        close(
            &row(&rollout.next_values),
            &numbers(next_values),
            "next value",
            t,
        );

        let ended = step.terminated.bool_or(step.truncated).float();
        let ended: Vec<bool> = numbers(ended).iter().map(|flag| *flag > 0.5).collect();
        let fresh = start(&actor, &critic, COPIES);
        let forget = |state: Option<Tensor<2>>, fresh: Option<Tensor<2>>| {
            let rows = (0..COPIES).map(|copy| {
                let from = if ended[copy] { &fresh } else { &state };
                from.clone().unwrap().narrow(0, copy, 1)
            });
            Some(Tensor::cat(rows.collect(), 0))
        };
        states.actor = forget(actor_state, fresh.actor);
        states.critic = forget(critic_state, fresh.critic);
        obs = step.obs;
    }
    for (found, expected) in [(memory.actor, states.actor), (memory.critic, states.critic)] {
        let [found, expected] = [found, expected].map(|state| numbers(state.unwrap()));
        close(&found, &expected, "memory", STEPS);
    }
}

#[track_caller]
fn close(found: &[f64], expected: &[f64], what: &str, step: usize) {
    assert_eq!(found.len(), expected.len(), "{what}: number of copies");
    for (copy, (f, e)) in found.iter().zip(expected).enumerate() {
        let error = (f - e).abs();
        assert!(error < 1e-5, "{what} {step} of copy {copy}: {f}, not {e}");
    }
}
