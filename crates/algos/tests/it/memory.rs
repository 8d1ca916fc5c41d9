//! Policies with memory, and stacked frames.

use crate::{bytes, device::device, run, train};
use burn::tensor::Tensor;
use uphill_algos::{
    AlgoConfig, RunConfig, Trainer,
    a2c::A2cConfig,
    build_actor, build_critic,
    collect::{collect, start},
    config::{MemoryKind, NetworkConfig, Std},
    critic_fit::CriticConfig,
    eval::evaluate,
    npg::NpgConfig,
    ppo::{Objective, PpoConfig},
    reinforce::{Baseline, ReinforceConfig},
    trpo::TrpoConfig,
    trust_region::TrustRegionConfig,
    vpg::VpgConfig,
};
use uphill_core::schedule::Schedule;
use uphill_envs::NoiseAt;

fn falling(from: f64) -> Schedule {
    Schedule::Linear { from, to: 0.0 }
}

fn recall(algo: impl Into<AlgoConfig>, num_envs: usize, total_steps: u64) -> RunConfig {
    let mut config = run("ProbeRecall-v0", num_envs, total_steps, algo);
    config.network.hidden = vec![16];
    config.network.memory = MemoryKind::Gru;
    config.network.memory_width = 16;
    config
}

/// The latest observations in the place of a memory.
fn frames_instead(mut config: RunConfig, frames: usize) -> RunConfig {
    let default = NetworkConfig::default();
    config.network.memory = default.memory;
    config.network.memory_width = default.memory_width;
    config.frames = frames;
    config
}

fn ppo() -> PpoConfig {
    PpoConfig {
        steps: 10,
        epochs: 4,
        minibatches: 2,
        learning_rate: falling(1e-2),
        value_clip: 0.0,
        ..Default::default()
    }
}

fn mean_return(trainer: &Trainer) -> f64 {
    let config = trainer.config();
    let options = uphill_envs::BatchOptions {
        frames: config.frames,
        ..Default::default()
    };
    let mut env = uphill_envs::make_with(&config.env, 32, &device(), options).unwrap();
    let result = evaluate(trainer.actor(), env.as_mut(), 256, 9, false);
    result.unwrap().mean_return()
}

#[test]
fn ppo_with_memory_recalls_the_cue() {
    let (trainer, _) = train(recall(ppo(), 32, 50_000));
    assert_eq!(mean_return(&trainer), 1.0);
}

#[test]
fn a2c_with_memory_recalls_the_cue() {
    let algo = A2cConfig {
        steps: 10,
        n_step: 10,
        learning_rate: falling(1e-2),
        ..Default::default()
    };
    let (trainer, _) = train(recall(algo, 32, 100_000));
    assert_eq!(mean_return(&trainer), 1.0);
}

#[test]
fn reinforce_with_memory_recalls_the_cue() {
    let algo = ReinforceConfig {
        baseline: Baseline::Average,
        learning_rate: falling(2e-2),
        ..Default::default()
    };
    let (trainer, _) = train(recall(algo, 32, 50_000));
    assert_eq!(mean_return(&trainer), 1.0);
}

/// A value fit whose minibatches are of whole sequences.
fn critic() -> CriticConfig {
    CriticConfig {
        epochs: 2,
        minibatches: 4,
        ..Default::default()
    }
}

fn npg() -> NpgConfig {
    NpgConfig {
        steps: 10,
        max_kl: Schedule::Constant(0.02),
        critic: critic(),
        ..Default::default()
    }
}

fn trpo() -> TrpoConfig {
    TrpoConfig {
        steps: 10,
        max_kl: Schedule::Constant(0.02),
        fisher_subsample: 0.5,
        critic: critic(),
        ..Default::default()
    }
}

fn steepest() -> TrustRegionConfig {
    TrustRegionConfig {
        steps: 10,
        epsilon: falling(0.05),
        critic: critic(),
        ..Default::default()
    }
}

#[test]
fn natural_gradients_with_memory_recall_the_cue() {
    for algo in [AlgoConfig::from(npg()), trpo().into(), steepest().into()] {
        let name = algo.name();
        let (trainer, _) = train(recall(algo, 32, 50_000));
        assert_eq!(mean_return(&trainer), 1.0, "{name}");
    }
}

#[test]
fn enough_frames_recall_the_cue_and_fewer_cannot() {
    // The cue is four observations back when the question comes.
    let with = |frames| {
        let config = frames_instead(recall(ppo(), 32, 50_000), frames);
        mean_return(&train(config).0)
    };
    assert_eq!(with(5), 1.0);
    // Whatever it answers is right half the time.
    assert!(with(4).abs() < 0.25);
    assert!(with(1).abs() < 0.25);
}

/// What a rollout says must not depend on where it is cut.
#[test]
fn memory_is_carried_from_one_rollout_to_the_next() {
    let config = recall(ppo(), 3, 1);
    let mut env = uphill_envs::make(&config.env, 3, &device()).unwrap();
    let actor = build_actor(&config, env.spec(), &device()).unwrap();
    let critic = build_critic(&config, env.spec(), &device());
    let agent = (&actor, &critic);

    env.reset(1);
    let mut memory = start(&actor, &critic, 3);
    let whole = collect(agent, env.as_mut(), &mut memory, 12, NoiseAt::actions(1, 0));
    env.reset(1);
    let mut memory = start(&actor, &critic, 3);
    let first = collect(agent, env.as_mut(), &mut memory, 7, NoiseAt::actions(1, 0));
    let second = collect(agent, env.as_mut(), &mut memory, 5, NoiseAt::actions(1, 7));
    let same = |a: Tensor<2>, b: [Tensor<2>; 2]| {
        let error: f32 = (a - Tensor::cat(b.to_vec(), 0)).abs().max().into_scalar();
        assert!(error < 1e-6, "{error}");
    };
    same(whole.log_probs, [first.log_probs, second.log_probs]);
    same(whole.values, [first.values, second.values]);
    same(whole.next_values, [first.next_values, second.next_values]);
}

#[test]
fn updates_see_the_policy_that_acted() {
    // Replayed in sequence minibatches of any columns, an unchanged policy has the log-probabilities and
    // values that were recorded; the rollout begins in the middle of episodes.
    let config = recall(ppo(), 4, 1);
    let mut env = uphill_envs::make(&config.env, 4, &device()).unwrap();
    let actor = build_actor(&config, env.spec(), &device()).unwrap();
    let critic = build_critic(&config, env.spec(), &device());
    let mut memory = start(&actor, &critic, 4);
    collect(
        (&actor, &critic),
        env.as_mut(),
        &mut memory,
        3,
        NoiseAt::actions(1, 0),
    );
    let rollout = collect(
        (&actor, &critic),
        env.as_mut(),
        &mut memory,
        9,
        NoiseAt::actions(1, 3),
    );
    let batch = rollout.flatten(rollout.rewards.clone(), rollout.values.clone());
    assert_eq!(batch.units(), 4);
    for columns in [vec![0, 1, 2, 3], vec![3, 1], vec![2]] {
        let len = columns.len();
        let indices = Tensor::from_data(burn::tensor::TensorData::new(columns, [len]), &device());
        let part = batch.select(indices);
        assert_eq!(part.len(), 9 * len);
        let log_probs = actor.dist_on(&part).log_prob(part.actions.clone());
        let values = critic.values_on(&part);
        for error in [log_probs - part.log_probs, values - part.values] {
            let error: f32 = error.abs().max().into_scalar();
            assert!(error < 1e-6, "{error}");
        }
    }
}

/// Every algorithm that learns policies with memory. Rollouts are cut in the middle of the episodes.
fn every_algorithm() -> [AlgoConfig; 8] {
    let steps = 7;
    [
        ReinforceConfig {
            baseline: Baseline::Value,
            critic_steps: 2,
            ..Default::default()
        }
        .into(),
        VpgConfig {
            steps,
            critic_steps: 2,
            ..Default::default()
        }
        .into(),
        A2cConfig {
            steps,
            n_step: steps,
            ..Default::default()
        }
        .into(),
        PpoConfig { steps, ..ppo() }.into(),
        PpoConfig {
            objective: Objective::Kl,
            steps,
            ..ppo()
        }
        .into(),
        NpgConfig { steps, ..npg() }.into(),
        TrpoConfig { steps, ..trpo() }.into(),
        TrustRegionConfig {
            steps,
            ..steepest()
        }
        .into(),
    ]
}

/// Masked actions, several at once, standard deviations that depend on what is remembered: one update of each.
#[test]
fn every_kind_of_action_can_be_chosen_from_memory() {
    for (env, std) in [
        ("ProbeMask-v0", Std::Independent),
        ("ProbeDigits-v0", Std::Independent),
        ("Pendulum-v1", Std::Independent),
        ("Pendulum-v1", Std::Dependent),
    ] {
        for algo in every_algorithm() {
            let what = format!("{algo:?} on {env}, std {std:?}");
            let mut config = recall(algo, 4, 1);
            config.env = env.into();
            config.network.std = std;
            let mut trainer = Trainer::new(config, &device()).unwrap();
            let params = |trainer: &Trainer| {
                let nets = [trainer.actor().net.flat(), trainer.critic().net.flat()];
                nets.map(|flat| flat.into_data().iter().collect::<Vec<f32>>())
            };
            let before = params(&trainer);
            let report = trainer.step().unwrap();
            assert_eq!(report.metrics.first_non_finite(), None, "{what}");
            for (before, after) in before.iter().zip(params(&trainer)) {
                assert!(after.iter().all(|x| x.is_finite()), "{what}");
                assert!(after != *before, "{what}: nothing was learnt");
            }
        }
    }
}

#[test]
fn runs_with_memory_or_frames_resume_in_the_same_bits() {
    let mut configs = every_algorithm()
        .map(|algo| recall(algo, 4, 4 * 7 * 5))
        .to_vec();
    let stacked = recall(PpoConfig { steps: 7, ..ppo() }, 4, 4 * 7 * 5);
    configs.push(frames_instead(stacked, 3));
    for mut config in configs {
        config.normalize.obs = true;
        let (whole, expected) = train(config.clone());
        assert!(expected.len() > 2);
        for stop in 0..expected.len() {
            let what = format!(
                "{:?}, frames {}, stopped at {stop}",
                config.algo, config.frames
            );
            let mut first = Trainer::new(config.clone(), &device()).unwrap();
            for _ in 0..stop {
                first.step().unwrap();
            }
            let mut second = Trainer::new(config.clone(), &device()).unwrap();
            second.restore(&first.save()).unwrap();
            let rest: Vec<_> = (stop..expected.len())
                .map(|_| second.step().unwrap())
                .collect();
            assert_eq!(rest, expected[stop..], "{what}");
            assert!(bytes(&second) == bytes(&whole), "{what}");
        }
    }
}

#[test]
fn what_cannot_remember_is_refused() {
    let problem = |config: RunConfig| config.validate().unwrap_err().to_string();
    let a3c = problem(recall(uphill_algos::a3c::A3cConfig::default(), 8, 100));
    assert!(
        a3c.contains("network.memory") && a3c.contains("frames"),
        "{a3c}"
    );
    let parts = problem(recall(
        PpoConfig {
            minibatches: 4,
            ..ppo()
        },
        6,
        100,
    ));
    assert!(
        parts.contains("algo.minibatches") && parts.contains('6'),
        "{parts}"
    );
    let parts = problem(recall(trpo(), 6, 100));
    assert!(parts.contains("algo.critic.minibatches"), "{parts}");
    let mut shallow = recall(ppo(), 8, 100);
    shallow.network.hidden.clear();
    assert!(problem(shallow).contains("network.hidden"));
}

#[test]
fn parameters_are_counted_before_they_are_built() {
    for (env, hidden) in [("ProbeRecall-v0", vec![8]), ("Pendulum-v1", vec![8, 5])] {
        let mut config = recall(ppo(), 2, 100);
        config.env = env.into();
        config.network.hidden = hidden;
        let spec = uphill_envs::spec(env).unwrap();
        let actor = build_actor(&config, &spec, &device()).unwrap();
        let critic = build_critic(&config, &spec, &device());
        let built = actor.net.num_params() + critic.net.num_params();
        assert_eq!(uphill_algos::agent_params(&config, &spec).unwrap(), built);
    }
}
