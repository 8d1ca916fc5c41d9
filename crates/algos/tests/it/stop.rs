//! A run that is asked to stop in the middle of an iteration goes on from before it, bit for bit.

use crate::{bytes, device::device, run};
use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};
use uphill_algos::{
    AlgoConfig, Checkpoint, RunConfig, Trainer,
    a3c::A3cConfig,
    config::MemoryKind,
    critic_fit::CriticConfig,
    ppo::PpoConfig,
    reinforce::{Baseline, ReinforceConfig},
    trpo::TrpoConfig,
    vpg::VpgConfig,
};

/// Long iterations of each way to gather experience: loops on slices, tensors, whole episodes, workers.
fn long_iterations() -> Vec<RunConfig> {
    let ppo = |steps| PpoConfig {
        steps,
        epochs: 1,
        minibatches: 1,
        ..Default::default()
    };
    let reinforce = ReinforceConfig {
        episodes: 100,
        ..Default::default()
    };
    let a3c = A3cConfig {
        workers: 1,
        updates: 500,
        ..Default::default()
    };
    let mut memory = run("CartPole-v1", 2, 1_000_000, ppo(500));
    memory.network.memory = MemoryKind::Gru;
    memory.network.memory_width = 8;
    let mut configs = vec![
        run("CartPole-v1", 2, 1_000_000, ppo(20_000)),
        memory,
        run("CartPole-v1", 2, 1_000_000, reinforce),
        run("CartPole-v1", 2, 1_000_000, a3c),
    ];
    for config in &mut configs {
        config.network.hidden = vec![8];
        config.normalize.obs = true;
    }
    configs
}

/// Stops `trainer` after its iteration has begun and before it has ended. When exactly is up to the scheduler, so
/// it is tried until it comes true.
fn stop_midway(trainer: &mut Trainer, saved: &Checkpoint) {
    let before = {
        trainer.restore(saved).unwrap();
        bytes(trainer)
    };
    for attempt in 0..100 {
        trainer.restore(saved).unwrap();
        let stop = AtomicBool::new(false);
        let stopped = thread::scope(|scope| {
            scope.spawn(|| {
                thread::sleep(Duration::from_micros(200 << (attempt % 8)));
                stop.store(true, Ordering::Relaxed);
            });
            trainer.step_unless(&stop).unwrap().is_none()
        });
        if stopped && bytes(trainer) != before {
            return;
        }
    }
    panic!("never caught in the middle of an iteration");
}

#[test]
fn an_iteration_that_was_given_up_leaves_no_trace_after_a_restore() {
    for config in long_iterations() {
        let name = config.algo.name();
        let mut whole = Trainer::new(config.clone(), &device()).unwrap();
        whole.step().unwrap();
        let saved = whole.save();
        let expected = whole.step().unwrap();

        let mut stopped = Trainer::new(config, &device()).unwrap();
        stop_midway(&mut stopped, &saved);
        assert_eq!(stopped.iteration(), 1, "{name}: it does not count");
        stopped.restore(&saved).unwrap();
        assert_eq!(stopped.step().unwrap(), expected, "{name}");
        assert!(bytes(&stopped) == bytes(&whole), "{name}");
    }
}

/// Updates that would take hours end with the pass that they are in.
#[test]
fn an_update_looks_at_the_flag_as_well() {
    const FOREVER: usize = 1_000_000_000;
    let ppo = PpoConfig {
        steps: 16,
        epochs: FOREVER,
        minibatches: 2,
        ..Default::default()
    };
    let vpg = VpgConfig {
        steps: 16,
        critic_steps: FOREVER,
        ..Default::default()
    };
    let reinforce = ReinforceConfig {
        baseline: Baseline::Value,
        critic_steps: FOREVER,
        ..Default::default()
    };
    let critic = CriticConfig {
        epochs: FOREVER,
        minibatches: 2,
        ..Default::default()
    };
    let trpo = TrpoConfig {
        steps: 16,
        critic,
        ..Default::default()
    };
    let algos: [AlgoConfig; 4] = [ppo.into(), vpg.into(), reinforce.into(), trpo.into()];
    for (algo, fused) in algos.iter().flat_map(|algo| [(algo, true), (algo, false)]) {
        let mut config = run("CartPole-v1", 2, 1_000_000, algo.clone());
        config.network.hidden = vec![8];
        config.network.fused = fused;
        let mut trainer = Trainer::new(config, &device()).unwrap();
        let stop = AtomicBool::new(false);
        let report = thread::scope(|scope| {
            scope.spawn(|| {
                thread::sleep(Duration::from_millis(100));
                stop.store(true, Ordering::Relaxed);
            });
            trainer.step_unless(&stop)
        });
        assert_eq!(report, Ok(None), "{}", algo.name());
        assert_eq!(trainer.iteration(), 0);
    }
}

/// A flag that is up already stops at once; one that stays down never does.
#[test]
fn the_flag_decides() {
    for config in long_iterations() {
        let mut trainer = Trainer::new(config, &device()).unwrap();
        let before = bytes(&trainer);
        assert_eq!(trainer.step_unless(&AtomicBool::new(true)), Ok(None));
        let moved = bytes(&trainer) != before;
        // Whole episodes begin with a reset.
        assert!(!moved || trainer.config().algo.name() == "reinforce");
        assert!(
            trainer
                .step_unless(&AtomicBool::new(false))
                .unwrap()
                .is_some()
        );
    }
}
