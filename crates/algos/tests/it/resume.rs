//! A run that is stopped and resumed is the run that was never stopped, bit for bit.

use crate::{bytes, device::device, ppo, run, small};
use uphill_algos::{
    Checkpoint, Report, RunConfig, Trainer, optimizer::OptimizerKind, ppo::PpoConfig,
};
use uphill_core::schedule::Schedule;

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

fn steps(trainer: &mut Trainer, count: usize) -> Vec<Report> {
    (0..count).map(|_| trainer.step().unwrap()).collect()
}

#[test]
fn stopped_anywhere_and_resumed_from_a_file_it_ends_in_the_same_bits() {
    for config in [small(), everything_on()] {
        let iterations = (config.total_steps / config.steps_per_iteration()) as usize;
        let mut whole = Trainer::new(config.clone(), &device()).unwrap();
        let expected = steps(&mut whole, iterations);
        assert!(whole.finished());

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
                reports, expected,
                "reports of {} stopped at {stop}",
                config.env
            );
            assert!(
                bytes(&second) == bytes(&whole),
                "state of {} stopped at {stop}",
                config.env
            );
        }
    }
}

#[test]
fn the_same_seed_repeats_a_run_and_another_does_not() {
    for config in [small(), everything_on()] {
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
