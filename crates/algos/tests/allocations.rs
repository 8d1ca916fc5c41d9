//! What the loops of training on the CPU ask of the allocator, on all threads.

#![cfg(feature = "flex")]
#![allow(clippy::unwrap_used)]
// An allocator is unsafe by its signature. This one counts and passes every call on.
#![allow(unsafe_code)]

use burn::tensor::Device;
use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};
use uphill_algos::{
    AlgoConfig, Algorithm, RunConfig, UpdateContext, build_actor, build_critic,
    collect::{collect, start},
    config::Distribution,
    ppo::{Ppo, PpoConfig},
    random::action_noise,
};
use uphill_core::{
    ops::{
        ActorCriticLoss, HostLearner, HostPolicy, HostStep, StepDiagnostics, Surrogate, host_values,
    },
    optim::Adam,
    policy::{Actor, Critic},
    rollout::Rollout,
};
use uphill_envs::{BatchEnv, NoiseAt, ObsMut, ObsRef, StepRows, Stream};

/// The system's allocator, and how often it was asked for memory by threads that count.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

static REQUESTS: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static COUNTS: Cell<bool> = const { Cell::new(false) };
}

fn count() {
    if COUNTS.get() {
        REQUESTS.fetch_add(1, Ordering::Relaxed);
    }
}

// SAFETY: the system's allocator does all of it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller has promised what this asks for; so below.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: as above.
        unsafe { System.realloc(memory, layout, size) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(memory, layout) }
    }
}

/// Does `work` in a pool whose threads count, while no other test does.
fn in_counting_pool(work: impl FnOnce() + Send) {
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    // What a thread asks for when it looks for work for the first time, and when it ends, is not of interest.
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(3)
        .start_handler(|_| COUNTS.set(true))
        .exit_handler(|_| COUNTS.set(false))
        .build()
        .unwrap();
    pool.broadcast(|_| ());
    pool.install(work);
}

/// How often `work` asks for memory.
fn requests<T>(work: impl FnOnce() -> T) -> usize {
    let before = REQUESTS.load(Ordering::Relaxed);
    drop(work());
    REQUESTS.load(Ordering::Relaxed) - before
}

/// Every distribution that loops on slices know, with and without normalised observations.
const POLICIES: [(&str, Distribution, bool); 6] = [
    ("CartPole-v1", Distribution::Auto, false),
    ("CartPole-v1", Distribution::Auto, true),
    ("Pendulum-v1", Distribution::Gaussian, false),
    ("Pendulum-v1", Distribution::Gaussian, true),
    ("Pendulum-v1", Distribution::SquashedGaussian, false),
    ("Pendulum-v1", Distribution::SquashedGaussian, true),
];

/// One task, several of them for the policy, several for the environments too.
const COPIES: [usize; 3] = [8, 512, 2048];

struct Setting {
    actor: Actor,
    critic: Critic,
    env: Box<dyn BatchEnv>,
}

impl Setting {
    fn new((env, distribution, normalize): (&str, Distribution, bool), copies: usize) -> Self {
        let algo = AlgoConfig::default_for("ppo").unwrap();
        let mut config = RunConfig::new(env, copies, 1, algo);
        config.network.hidden = vec![16, 16];
        config.network.distribution = distribution;
        config.normalize.obs = normalize;
        let device = Device::flex();
        let env = uphill_envs::make(env, copies, &device).unwrap();
        Self {
            actor: build_actor(&config, env.spec(), &device).unwrap(),
            critic: build_critic(&config, env.spec(), &device),
            env,
        }
    }

    fn rollout(&mut self, steps: usize) -> Rollout {
        let agent = (&self.actor, &self.critic);
        let mut memory = start(agent.0, agent.1, self.env.num_envs());
        collect(
            agent,
            &mut *self.env,
            &mut memory,
            steps,
            NoiseAt::actions(1, 0),
        )
    }
}

/// The loop of a rollout, over buffers for one step.
struct Acting {
    policy: HostPolicy,
    noise: Vec<f32>,
    actions: Vec<f32>,
    env_actions: Vec<f32>,
    log_probs: Vec<f32>,
    next_obs: Vec<f32>,
    rewards: Vec<f32>,
    terminated: Vec<bool>,
    truncated: Vec<bool>,
}

impl Acting {
    fn new(actor: &Actor, env: &dyn BatchEnv) -> Self {
        let copies = env.num_envs();
        let at = NoiseAt::new(1, Stream::Action, 0);
        let noise = action_noise(&actor.kind, at, [1, copies], &Device::flex());
        let actions = vec![0.0; copies * actor.kind.action_width()];
        Self {
            policy: HostPolicy::new(actor, copies).unwrap(),
            noise: host_values(noise),
            env_actions: actions.clone(),
            actions,
            log_probs: vec![0.0; copies],
            next_obs: vec![0.0; copies * env.spec().obs.dim()],
            rewards: vec![0.0; copies],
            terminated: vec![false; copies],
            truncated: vec![false; copies],
        }
    }

    fn steps(&mut self, env: &mut dyn BatchEnv, steps: usize) {
        let env = env.on_host().unwrap();
        for _ in 0..steps {
            let (actions, log_probs) = (&mut self.actions, &mut self.log_probs);
            let ObsRef::Floats(obs) = env.obs() else {
                panic!("observations of floats")
            };
            self.policy.act(obs, &self.noise, actions, log_probs);
            self.policy.env_actions(actions, &mut self.env_actions);
            let into = StepRows {
                next_obs: ObsMut::Floats(&mut self.next_obs),
                rewards: &mut self.rewards,
                terminated: &mut self.terminated,
                truncated: &mut self.truncated,
            };
            env.step(&mut self.env_actions, into);
        }
    }
}

#[test]
fn a_step_asks_for_nothing() {
    for (policy, copies) in POLICIES.iter().flat_map(|p| COPIES.map(|n| (*p, n))) {
        in_counting_pool(|| {
            let Setting { actor, mut env, .. } = Setting::new(policy, copies);
            let mut acting = Acting::new(&actor, &*env);
            // Lists of what ended grow to their size: the copies begin together, and some end together.
            acting.steps(&mut *env, 401);
            let ended = env.take_episodes().len();
            let asked = requests(|| acting.steps(&mut *env, 200));
            assert_eq!(asked, 0, "{policy:?}, {copies} copies");
            let then = env.take_episodes().len();
            assert!(0 < then && then < ended, "{then} episodes after {ended}");
        });
    }
}

/// A rollout has its buffers, whose number does not depend on its length, and a list of the observations before
/// a reset, which doubles now and then. Values are worked out in up to 16 parts.
#[test]
fn the_length_of_a_rollout_does_not_matter() {
    for (copies, steps) in [(8, 512), (512, 256), (2048, 128)] {
        in_counting_pool(|| {
            let mut setting = Setting::new(POLICIES[0], copies);
            let mut count = |steps| {
                let asked = requests(|| setting.rollout(steps));
                setting.env.take_episodes();
                asked
            };
            count(2 * steps);
            let (few, many) = (count(steps), count(2 * steps));
            assert!(
                many < few + steps / 4,
                "{copies} copies: {few} requests in {steps} steps, {many} in twice as many"
            );
        });
    }
}

/// Minibatches of one part and of several.
#[test]
fn a_minibatch_asks_for_nothing() {
    for (policy, size) in POLICIES.iter().flat_map(|p| [64, 500].map(|n| (*p, n))) {
        in_counting_pool(|| {
            let mut setting = Setting::new(policy, 32);
            let rollout = setting.rollout(32);
            let batch = rollout.flatten(rollout.rewards.clone(), rollout.rewards.clone());
            let (actor, critic) = (&setting.actor, &setting.critic);
            let adams = [&actor.net, &critic.net]
                .map(|net| Adam::new(net.num_params(), 1e-5, &Device::flex()));
            let loss = ActorCriticLoss {
                surrogate: Surrogate::Clipped { clip: 0.2 },
                value_clip: 0.2,
                value_coef: 0.5,
                entropy_coef: 0.01,
                standardize: true,
            };
            let mut learner = HostLearner::new(actor, critic, &batch, size, adams, &loss).unwrap();
            let step = HostStep {
                learning_rates: [1e-3; 2],
                max_grad_norm: 0.5,
                joint_norm: true,
            };
            let part = |i: i32| (0..size as i32).map(|k| (i + k) % 1024).collect();
            let parts: Vec<Vec<i32>> = (0..64).map(part).collect();
            let mut epoch = |parts| -> Vec<StepDiagnostics> { learner.epoch(parts, step) };
            epoch(&parts);
            let (few, many) = (requests(|| epoch(&parts[..32])), requests(|| epoch(&parts)));
            assert_eq!(few, many, "{policy:?}, minibatches of {size}");
        });
    }
}

/// A minibatch of PPO's update is a list of its samples and a row of what was measured.
#[test]
fn a_minibatch_of_an_update_asks_for_two_lists() {
    const EPOCHS: usize = 4;
    for policy in POLICIES {
        in_counting_pool(|| {
            let mut setting = Setting::new(policy, 32);
            let rollout = setting.rollout(32);
            let count = |minibatches| {
                let (mut actor, mut critic) = (setting.actor.clone(), setting.critic.clone());
                let config = PpoConfig {
                    steps: 32,
                    epochs: EPOCHS,
                    minibatches,
                    ..PpoConfig::default()
                };
                let mut ppo = Ppo::new(config, &actor, &critic);
                let context = UpdateContext {
                    iteration: 0,
                    progress: 0.0,
                    seed: 1,
                    peers: &uphill_core::peers::Alone,
                    stop: &std::sync::atomic::AtomicBool::new(false),
                };
                let rollout = rollout.clone();
                requests(|| ppo.update(&mut actor, &mut critic, rollout, context))
            };
            count(16);
            let (few, many) = (count(16), count(32));
            let (more, lists) = (16 * EPOCHS, 2);
            // What is measured in an epoch is gathered in a list that doubles.
            assert!(
                many <= few + lists * more + 2 * EPOCHS,
                "{policy:?}: {few} requests, {many} for {more} minibatches more"
            );
        });
    }
}
