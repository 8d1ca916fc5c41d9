//! Several processes that train one agent, each on its part of the copies, learn what one process learns from all.

use crate::{device::device, run, threads::in_each};
use burn::tensor::Tensor;
use std::sync::{Arc, atomic::AtomicBool};
use uphill_algos::{
    AlgoConfig, Learner, RunConfig, Trainer, UpdateContext,
    a2c::A2cConfig,
    a3c::A3cConfig,
    build_actor, build_critic,
    collect::{collect, collect_episodes},
    critic_fit::{CriticConfig, CriticMethod},
    npg::NpgConfig,
    policy_gradient::{PolicyAscent, ascend},
    ppo::{AdvantageNorm, Objective, PpoConfig},
    reinforce::{Baseline, ReinforceConfig},
    trpo::TrpoConfig,
    trust_region::TrustRegionConfig,
    vpg::VpgConfig,
};
use uphill_core::{
    nn::Init,
    optim::{Rule, RuleKind},
    peers::{Alone, Peers},
    policy::{Actor, Critic},
    rollout::{Memory, Rollout},
    schedule::Schedule,
};
use uphill_envs::NoiseAt;

const COPIES: usize = 8;
const STEPS: usize = 16;
/// Of optimisers, as large as gradients are: rounding of a small one does not decide the direction of a step.
const EPSILON: f64 = 1e-2;

/// The columns of one process, which every rollout here has as many of as any other process.
fn part(rollout: &Rollout, peers: &dyn Peers) -> Rollout {
    let [_, copies] = rollout.dims();
    let own = copies / peers.size();
    columns(rollout, own * peers.rank(), own)
}

/// `own` columns of a rollout, from the `first` on.
fn columns(rollout: &Rollout, first: usize, own: usize) -> Rollout {
    let columns = |x: &Tensor<2>| x.clone().narrow(1, first, own);
    let wide = |x: &Tensor<3>| x.clone().narrow(1, first, own);
    Rollout {
        obs: rollout.obs.clone().narrow(1, first, own),
        actions: wide(&rollout.actions),
        log_probs: columns(&rollout.log_probs),
        values: columns(&rollout.values),
        next_values: columns(&rollout.next_values),
        rewards: columns(&rollout.rewards),
        terminated: rollout.terminated.clone().narrow(1, first, own),
        truncated: rollout.truncated.clone().narrow(1, first, own),
        lengths: (rollout.lengths.as_ref()).map(|all| all[first..first + own].to_vec()),
        memory: Memory::default(),
        agents: 1,
    }
}

/// Two updates of a part of the rollout; parameters of actor and critic after them, and metrics of the last.
fn learnt(
    config: &RunConfig,
    (actor, critic): (&Actor, &Critic),
    rollout: &Rollout,
    peers: &dyn Peers,
) -> [Vec<f64>; 3] {
    let (mut actor, mut critic) = (actor.clone(), critic.clone());
    let Learner::Synchronous(mut algorithm) = config.algo.settings().build(&actor, &critic) else {
        panic!("not asynchronous")
    };
    let mut metrics = vec![];
    for iteration in 0..2 {
        let context = UpdateContext {
            iteration,
            progress: 0.0,
            seed: 1,
            peers,
            stop: &std::sync::atomic::AtomicBool::new(false),
        };
        let own = part(rollout, peers);
        let measured = algorithm.update(&mut actor, &mut critic, own, context);
        let (found, _) = measured.read(None);
        let compared = [
            "policy_loss",
            "value_loss",
            "entropy",
            "approx_kl",
            "explained_variance",
            "grad_norm",
        ];
        metrics = compared.iter().filter_map(|name| found.get(name)).collect();
    }
    let numbers = |x: Tensor<1>| x.into_data().iter().collect();
    [
        numbers(actor.net.flat()),
        numbers(critic.net.flat()),
        metrics,
    ]
}

fn agent_of(config: &RunConfig) -> (Actor, Critic) {
    let spec = uphill_envs::spec(&config.env).unwrap();
    let actor = build_actor(config, &spec, &device()).unwrap();
    (actor, build_critic(config, &spec, &device()))
}

#[track_caller]
fn check(name: &str, env: &str, algo: impl Into<AlgoConfig>, episodes: bool) {
    let mut config = run(env, COPIES, 1_000_000, algo);
    config.network.hidden = vec![16];
    let (actor, critic) = agent_of(&config);
    let mut envs = uphill_envs::make(env, COPIES, &device()).unwrap();
    envs.reset(3);
    let agent = (&actor, &critic);
    let rollout = if episodes {
        collect_episodes(agent, envs.as_mut(), 2, NoiseAt::actions(3, 0)).0
    } else {
        let memory = &mut Memory::default();
        collect(agent, envs.as_mut(), memory, STEPS, NoiseAt::actions(3, 0))
    };
    let whole = learnt(&config, agent, &rollout, &Alone);
    let parts = in_each(2, |peers| {
        let (actor, critic) = agent_of(&config);
        learnt(&config, (&actor, &critic), &rollout, peers)
    });
    assert_eq!(parts[0], parts[1], "{name}: processes part ways");
    let before: Vec<f64> = actor.net.flat().into_data().iter().collect();
    let moved = |x: &[f64]| {
        x.iter()
            .zip(&before)
            .map(|(a, b)| (a - b).abs())
            .fold(0.0, f64::max)
    };
    assert!(moved(&whole[0]) > 1e-3, "{name} learns nothing");
    for (what, (found, expected)) in ["actor", "critic", "metrics"]
        .iter()
        .zip(parts[0].iter().zip(&whole))
    {
        let scale = moved(&whole[0]).min(1.0);
        for (found, expected) in found.iter().zip(expected) {
            let tolerance = 1e-3 * scale.max(expected.abs() * 1e-1);
            assert!(
                (found - expected).abs() < tolerance,
                "{name}: {what} {found} instead of {expected}"
            );
        }
    }
}

fn ppo() -> PpoConfig {
    PpoConfig {
        steps: STEPS,
        epochs: 3,
        // One minibatch of all samples: its order does not matter.
        minibatches: 1,
        learning_rate: Schedule::Constant(1e-2),
        adam_epsilon: EPSILON,
        entropy_coef: Schedule::Constant(0.02),
        ..PpoConfig::default()
    }
}

#[test]
fn two_processes_learn_from_halves_what_one_learns_from_the_whole() {
    let critic = CriticConfig {
        epochs: 3,
        minibatches: 1,
        learning_rate: Schedule::Constant(1e-2),
        adam_epsilon: EPSILON,
        value_clip: 0.2,
        ..CriticConfig::default()
    };
    let quasi_newton = CriticConfig {
        method: CriticMethod::Lbfgs,
        value_clip: 0.0,
        epochs: 3,
        ..critic.clone()
    };
    let kl = PpoConfig {
        objective: Objective::Kl,
        normalize_advantages: AdvantageNorm::Batch,
        ..ppo()
    };
    let a2c = A2cConfig {
        steps: STEPS,
        normalize_advantages: true,
        learning_rate: Schedule::Constant(1e-2),
        epsilon: EPSILON,
        ..A2cConfig::default()
    };
    let vpg = VpgConfig {
        steps: STEPS,
        learning_rate: Schedule::Constant(1e-2),
        critic_learning_rate: Schedule::Constant(1e-2),
        critic_steps: 3,
        adam_epsilon: EPSILON,
        ..VpgConfig::default()
    };
    let reinforce = ReinforceConfig {
        learning_rate: Schedule::Constant(1e-2),
        epsilon: EPSILON,
        // Baselines of other trajectories are those of the process.
        baseline: Baseline::Value,
        critic_steps: 3,
        entropy_coef: Schedule::Constant(0.5),
        ..ReinforceConfig::default()
    };
    let trust_region = TrustRegionConfig {
        steps: STEPS,
        critic: critic.clone(),
        ..TrustRegionConfig::default()
    };
    let npg = NpgConfig {
        steps: STEPS,
        critic,
        ..NpgConfig::default()
    };
    let trpo = TrpoConfig {
        steps: STEPS,
        critic: quasi_newton,
        ..TrpoConfig::default()
    };
    for env in ["CartPole-v1", "Pendulum-v1"] {
        check("ppo", env, ppo(), false);
        check("ppo-kl", env, kl.clone(), false);
        check("a2c", env, a2c.clone(), false);
        check("vpg", env, vpg.clone(), false);
        check("trust-region", env, trust_region.clone(), false);
        check("npg", env, npg.clone(), false);
        check("trpo", env, trpo.clone(), false);
    }
    check("reinforce", "CartPole-v1", reinforce, true);
}

/// Observations, rewards and episodes of all, seen from each.
#[test]
fn trainers_of_two_processes_stay_one_agent() {
    let mut config = run("CartPole-v1", 4, 1_000, ppo());
    config.network.hidden = vec![16];
    config.normalize.obs = true;
    config.normalize.reward = true;
    let found = in_each(2, |peers| {
        let trainer = Trainer::new(config.clone(), &device()).unwrap();
        let mut trainer = trainer.among(Arc::new(peers.clone())).unwrap();
        let mut steps = vec![];
        while !trainer.finished() {
            let report = trainer.step().unwrap();
            steps.push((
                report.env_steps,
                report.episodes,
                report.episode_return_mean,
            ));
        }
        let norm = trainer.actor().obs_norm.clone().unwrap();
        let numbers = |x: Tensor<1>| -> Vec<f64> { x.into_data().iter().collect() };
        let rest = (numbers(norm.moments.mean), norm.moments.count, steps);
        (numbers(trainer.actor().net.flat()), rest)
    });
    assert_eq!(found[0], found[1]);
    let (_, count, steps) = &found[0].1;
    // Two processes of 4 copies and 16 steps.
    assert_eq!(steps[0].0, 128);
    assert_eq!(*count, steps.last().unwrap().0 as f64);
    assert!(steps.last().unwrap().1 > 10, "episodes of both");
}

#[test]
fn a3c_stays_in_one_process() {
    let mut config = run("CartPole-v1", 4, 1_000, A3cConfig::default());
    config.network.hidden = vec![8];
    let errors = in_each(2, |peers| {
        let trainer = Trainer::new(config.clone(), &device()).unwrap();
        let error = trainer.among(Arc::new(peers.clone())).err().unwrap();
        error.to_string()
    });
    assert!(
        errors[0].contains("a3c trains in one process"),
        "{}",
        errors[0]
    );
}

/// Process 0 has six of eight copies, process 1 the other two: their means weigh 3 to 1.
#[test]
fn entropy_is_a_mean_over_samples_however_many_a_process_has() {
    let mut config = run("CartPole-v1", COPIES, 1_000, VpgConfig::default());
    config.network.hidden = vec![8];
    config.network.init = Init::Uniform;
    let (actor, critic) = agent_of(&config);
    let mut envs = uphill_envs::make("CartPole-v1", COPIES, &device()).unwrap();
    envs.reset(3);
    let (memory, noise) = (&mut Memory::default(), NoiseAt::actions(3, 0));
    let rollout = collect((&actor, &critic), envs.as_mut(), memory, STEPS, noise);
    let moved = |own: &Rollout, peers: &dyn Peers| -> Vec<f64> {
        let (mut actor, _) = agent_of(&config);
        let before = actor.net.flat();
        let nothing = own.rewards.zeros_like();
        let batch = own.flatten(nothing.clone(), nothing);
        let mut rule = Rule::new(RuleKind::Sgd, actor.net.num_params(), EPSILON, &device());
        let step = PolicyAscent {
            scale: 1.0,
            entropy_coef: 1.0,
            learning_rate: 1.0,
            max_grad_norm: 0.0,
        };
        ascend(&mut actor, &mut rule, &batch, step, peers);
        (actor.net.flat() - before).into_data().iter().collect()
    };
    let whole = moved(&rollout, &Alone);
    let largest = whole.iter().fold(0.0f64, |largest, x| largest.max(x.abs()));
    assert!(largest > 1e-3, "no slope: {largest}");
    let parts = in_each(2, |peers| {
        let (first, own) = [(0, 6), (6, 2)][peers.rank()];
        moved(&columns(&rollout, first, own), peers)
    });
    for found in parts {
        for (found, expected) in found.iter().zip(&whole) {
            assert!(
                (found - expected).abs() < 1e-4 * largest,
                "{found} {expected}"
            );
        }
    }
}

/// A copy has taken as many steps as its process has asked for, whatever the number of processes: its noise goes on where
/// that of the last rollout ended.
#[test]
fn rollouts_of_a_process_follow_each_other() {
    let algo = VpgConfig {
        steps: STEPS,
        ..VpgConfig::default()
    };
    let mut config = run("CartPole-v1", 4, 1_000, algo);
    config.network.hidden = vec![8];
    let actions =
        |rollout: &Rollout| -> Vec<f64> { rollout.actions.clone().into_data().iter().collect() };
    let found = in_each(2, |peers| {
        let trainer = Trainer::new(config.clone(), &device()).unwrap();
        let mut trainer = trainer.among(Arc::new(peers.clone())).unwrap();
        // The first process has the copies and the noise of a run alone.
        let mut envs = uphill_envs::make("CartPole-v1", 4, &device()).unwrap();
        envs.reset(config.seed);
        let stop = AtomicBool::new(false);
        let rollouts = [0, 1].map(|iteration| {
            let (actor, critic) = (trainer.actor().clone(), trainer.critic().clone());
            let noise = NoiseAt::actions(config.seed, iteration * STEPS as u64);
            let memory = &mut Memory::default();
            let alone = collect((&actor, &critic), envs.as_mut(), memory, STEPS, noise);
            let collected = trainer.collect(&stop).unwrap().unwrap();
            let among = actions(collected.rollout().unwrap());
            let learned = trainer.learn(collected, &stop).unwrap().unwrap();
            trainer.report(learned).unwrap();
            [among, actions(&alone)]
        });
        rollouts.to_vec()
    });
    for [among, alone] in &found[0] {
        assert_eq!(among, alone);
    }
    // The other one has its own.
    for [among, alone] in &found[1] {
        assert_ne!(among, alone);
    }
}
