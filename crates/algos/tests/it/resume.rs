//! A run that is stopped and resumed is the run that was never stopped, bit for bit.

use crate::{bytes, device::device, ppo, run, small};
use uphill_algos::{
    ALGORITHMS, Checkpoint, Report, RunConfig, Trainer,
    a2c::A2cConfig,
    a3c::A3cConfig,
    critic_fit::CriticConfig,
    npg::NpgConfig,
    optimizer::OptimizerKind,
    ppo::{Objective, PpoConfig},
    reinforce::{Baseline, ReinforceConfig},
    trpo::TrpoConfig,
    trust_region::TrustRegionConfig,
    vpg::VpgConfig,
};
use uphill_core::{optim::RuleKind, schedule::Schedule};

/// Continuous actions and everything that keeps state switched on.
fn everything_on() -> RunConfig {
    let settings = PpoConfig {
        steps: 32,
        epochs: 2,
        minibatches: 4,
        ..Default::default()
    };
    let mut config = run("Pendulum-v1", 3, 3 * 32 * 6, settings);
    config.network.hidden = vec![8, 8];
    config.random_ages = true;
    config.normalize.obs = true;
    config.normalize.obs_clip = 5.0;
    config.normalize.reward = true;
    config.normalize.reward_clip = 5.0;
    ppo(&mut config).optimizer = OptimizerKind::Separate;
    ppo(&mut config).clip = Schedule::Linear { from: 0.3, to: 0.1 };
    config
}

/// Every algorithm on its own, and settings of which something more has to be saved.
fn every_algorithm() -> Vec<RunConfig> {
    let kl = PpoConfig {
        steps: 16,
        epochs: 2,
        minibatches: 2,
        objective: Objective::Kl,
        kl_target: 1e-3,
        ..Default::default()
    };
    let reinforce = |baseline| ReinforceConfig {
        baseline,
        critic_steps: 3,
        ..Default::default()
    };
    let vpg = VpgConfig {
        steps: 16,
        critic_steps: 3,
        ..Default::default()
    };
    let a2c = |rule| A2cConfig {
        rule,
        ..Default::default()
    };
    // One worker: on several a run is not repeatable.
    let a3c = A3cConfig {
        workers: 1,
        updates: 2,
        ..Default::default()
    };
    let critic = CriticConfig {
        epochs: 2,
        minibatches: 2,
        ..Default::default()
    };
    let trust_region = TrustRegionConfig {
        steps: 16,
        critic: critic.clone(),
        ..Default::default()
    };
    let npg = NpgConfig {
        steps: 16,
        fisher_subsample: 0.5,
        critic: critic.clone(),
        ..Default::default()
    };
    let trpo = TrpoConfig {
        steps: 16,
        max_kl: Schedule::Linear {
            from: 0.02,
            to: 0.0,
        },
        fisher_subsample: 0.5,
        critic,
        ..Default::default()
    };
    let mut configs = vec![
        run("CartPole-v1", 2, 2 * 5 * 2 * 4, a3c),
        run("CartPole-v1", 4, 256, kl),
        run("CartPole-v1", 4, 800, reinforce(Baseline::Optimal)),
        run("CartPole-v1", 4, 800, reinforce(Baseline::Value)),
        run("Pendulum-v1", 3, 3 * 16 * 4, vpg),
        run("Pendulum-v1", 3, 3 * 5 * 5, a2c(RuleKind::RmsProp)),
        run("CartPole-v1", 3, 3 * 5 * 5, a2c(RuleKind::Adam)),
        run("Pendulum-v1", 2, 4 * 32, trust_region),
        run("CartPole-v1", 2, 4 * 32, npg),
        run("Pendulum-v1", 2, 4 * 32, trpo),
    ];
    for config in &mut configs {
        config.network.hidden = vec![8];
        config.normalize.obs = true;
    }
    configs.extend([small(), everything_on()]);
    configs
}

#[test]
fn no_algorithm_is_left_out() {
    let tested = every_algorithm();
    for (name, _) in ALGORITHMS {
        assert!(tested.iter().any(|c| c.algo.name() == *name), "{name}");
    }
}

fn steps(trainer: &mut Trainer, count: usize) -> Vec<Report> {
    (0..count).map(|_| trainer.step().unwrap()).collect()
}

#[test]
fn stopped_anywhere_and_resumed_from_a_file_it_ends_in_the_same_bits() {
    for config in every_algorithm() {
        let (whole, expected) = crate::train(config.clone());
        let iterations = expected.len();
        assert!(iterations > 2);

        for stop in 0..iterations {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("run.safetensors");
            let mut first = Trainer::new(config.clone(), &device()).unwrap();
            let mut reports = steps(&mut first, stop);
            first.save().write(&path).unwrap();
            drop(first);

            let mut second = Trainer::new(config.clone(), &device()).unwrap();
            second.restore(&Checkpoint::read(&path).unwrap()).unwrap();
            reports.extend(steps(&mut second, iterations - stop));

            assert_eq!(
                reports,
                expected,
                "reports of {} on {} stopped at {stop}",
                config.algo.name(),
                config.env
            );
            assert!(
                bytes(&second) == bytes(&whole),
                "state of {} on {} stopped at {stop}",
                config.algo.name(),
                config.env
            );
        }
    }
}

#[test]
fn the_same_seed_repeats_a_run_and_another_does_not() {
    for config in every_algorithm() {
        let end = |seed| {
            let mut config = config.clone();
            config.seed = seed;
            bytes(&crate::train(config).0)
        };
        assert!(end(5) == end(5));
        assert!(end(5) != end(6));
    }
}

#[test]
fn saving_does_not_disturb_a_run() {
    let (quiet, expected) = crate::train(small());
    let mut saving = Trainer::new(small(), &device()).unwrap();
    for report in expected {
        let _ = saving.save();
        assert_eq!(saving.step().unwrap(), report);
    }
    assert!(bytes(&saving) == bytes(&quiet));
}

#[test]
fn a_longer_budget_goes_on_from_the_same_point() {
    let (trainer, _) = crate::train(small());
    let mut longer = small();
    longer.total_steps *= 2;
    let mut resumed = Trainer::new(longer, &device()).unwrap();
    resumed.restore(&trainer.save()).unwrap();
    assert!(!resumed.finished());
    assert_eq!(resumed.step().unwrap().iteration, 5);
}
