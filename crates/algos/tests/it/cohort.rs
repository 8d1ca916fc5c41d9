//! Agents that train at once on a GPU do what each does alone; nothing to do on other devices.

use crate::{
    device::device,
    device_iteration::{
        AROUND, AROUND_NORMALISED, STEP, config, count, is_gpu, launches_of, pendulum,
    },
    ppo,
};
use uphill_algos::{Cohort, RunConfig, Trainer, optimizer::OptimizerKind, ppo::AdvantageNorm};
use uphill_core::read_back;

const AGENTS: u64 = 3;

/// Agents with seeds around a carry between the halves of a seed.
fn trainers(config: &RunConfig) -> Vec<Trainer> {
    let seeds = (0..AGENTS).map(|k| u64::from(u32::MAX) - 1 + k);
    let trainer = |seed| {
        let config = RunConfig {
            seed,
            ..config.clone()
        };
        Trainer::new(config, &device()).unwrap()
    };
    seeds.map(trainer).collect()
}

fn all(trainers: &mut [Trainer]) -> Vec<&mut Trainer> {
    trainers.iter_mut().collect()
}

fn is_what_each_does_alone(config: &RunConfig) {
    let (mut alone, mut together) = (trainers(config), trainers(config));
    let mut cohort = Cohort::of(&mut all(&mut together)).unwrap();
    // The second iteration is launched, the third recorded and replayed.
    for iteration in 1..=3 {
        let reads = read_back::times();
        let reports = cohort.step(&mut all(&mut together));
        assert_eq!(read_back::times() - reads, 1, "read-backs");
        for (one, report) in alone.iter_mut().zip(&reports) {
            assert_eq!(report.as_ref().unwrap(), &one.step().unwrap());
        }
        for (one, other) in alone.iter().zip(&together) {
            let (saved, expected) = (cohort.save(other), one.save());
            assert_eq!(saved, expected, "after iteration {iteration}");
        }
    }
    // A checkpoint of one among several is as good as any other.
    let saved: Vec<_> = together.iter().map(|one| cohort.save(one)).collect();
    for (one, saved) in together.iter_mut().zip(&saved) {
        one.restore(saved).unwrap();
    }
    for (one, other) in alone.iter_mut().zip(&mut together) {
        assert_eq!(one.step().unwrap(), other.step().unwrap());
    }
    let mut cohort = Cohort::of(&mut all(&mut together)).unwrap();
    let reports = cohort.step(&mut all(&mut together));
    for (one, report) in alone.iter_mut().zip(reports) {
        assert_eq!(one.step().unwrap(), report.unwrap());
    }
}

#[test]
fn agents_at_once_do_what_each_does_alone() {
    if !is_gpu() {
        return;
    }
    is_what_each_does_alone(&config(2));
}

#[test]
fn normalised_agents_at_once_do_what_each_does_alone() {
    if !is_gpu() {
        return;
    }
    let mut config = pendulum(2, 4);
    ppo(&mut config).normalize_advantages = AdvantageNorm::Batch;
    ppo(&mut config).optimizer = OptimizerKind::Separate;
    config.random_ages = true;
    config.normalize.obs_clip = 2.0;
    config.normalize.reward_clip = 1.0;
    is_what_each_does_alone(&config);
}

#[test]
fn agents_at_once_take_the_launches_of_one() {
    if !is_gpu() {
        return;
    }
    launches_are_those_of_one(&config(4), 4, AROUND);
    launches_are_those_of_one(&pendulum(2, 4), 8, AROUND_NORMALISED);
}

/// So many gradient `steps`, and at most `around` launches beside them.
fn launches_are_those_of_one(config: &RunConfig, steps: usize, around: usize) {
    let mut trainers = trainers(config);
    let mut cohort = Cohort::of(&mut all(&mut trainers)).unwrap();
    let mut step = || drop(cohort.step(&mut all(&mut trainers)));
    step();
    let seen = launches_of(&mut step, steps, around);
    assert!(seen.len() <= STEP.len() * steps + around, "{seen:#?}");
    for _ in 0..2 {
        step();
    }
    let seen = launches_of(&mut step, 0, around);
    assert_eq!(count(&seen, STEP[0]), 0, "{seen:#?}");
    assert!(seen.len() <= around, "{seen:#?}");
}

#[test]
fn others_are_left_alone_when_one_is_no_longer_counted() {
    if !is_gpu() {
        return;
    }
    let (mut alone, mut together) = (trainers(&config(1)), trainers(&config(1)));
    let mut cohort = Cohort::of(&mut all(&mut together)).unwrap();
    cohort.step(&mut all(&mut together));
    let mut rest = all(&mut together);
    rest.remove(1);
    let reports = cohort.step(&mut rest);
    for (k, report) in [0, 2].into_iter().zip(reports) {
        alone[k].step().unwrap();
        assert_eq!(alone[k].step().unwrap(), report.unwrap());
    }
    assert_eq!(together[1].iteration(), 1);
}

#[test]
fn agents_that_cannot_go_together_are_refused() {
    let at_once = |config: &RunConfig| {
        let mut trainers = trainers(config);
        Cohort::of(&mut all(&mut trainers)).is_some()
    };
    assert_eq!(at_once(&config(1)), is_gpu());
    let mut stopping = config(1);
    ppo(&mut stopping).target_kl = 0.01;
    assert!(!at_once(&stopping), "epochs end where each agent's KL says");
    let host_steps = RunConfig {
        host_steps: true,
        ..config(1)
    };
    assert!(!at_once(&host_steps), "environments in host memory");
    let mut stock = config(1);
    stock.network.fused = false;
    assert!(!at_once(&stock), "Burn's operations");

    let mut some = trainers(&config(1));
    assert!(Cohort::of(&mut all(&mut some[..1])).is_none(), "only one");
    some[1].step().unwrap();
    assert!(Cohort::of(&mut all(&mut some)).is_none(), "one is ahead");
    let mut reversed = trainers(&config(1));
    reversed.reverse();
    assert!(Cohort::of(&mut all(&mut reversed)).is_none(), "seeds");
}
