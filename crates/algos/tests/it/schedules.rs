//! Schedules are read at the share of the budget that has been spent.

use crate::{bytes, device::device, run};
use uphill_algos::{
    AlgoConfig, RunConfig, Trainer,
    a2c::A2cConfig,
    a3c::A3cConfig,
    npg::NpgConfig,
    ppo::{Objective, PpoConfig},
    reinforce::ReinforceConfig,
    trpo::TrpoConfig,
    trust_region::TrustRegionConfig,
    vpg::VpgConfig,
};
use uphill_core::schedule::Schedule;

/// Every algorithm with this weight of the entropy bonus.
fn every_algorithm(entropy_coef: Schedule) -> [AlgoConfig; 9] {
    let steps = 16;
    [
        ReinforceConfig {
            entropy_coef,
            ..Default::default()
        }
        .into(),
        VpgConfig {
            steps,
            critic_steps: 2,
            entropy_coef,
            ..Default::default()
        }
        .into(),
        A2cConfig {
            entropy_coef,
            ..Default::default()
        }
        .into(),
        A3cConfig {
            workers: 1,
            updates: 2,
            entropy_coef,
            ..Default::default()
        }
        .into(),
        TrustRegionConfig {
            steps,
            entropy_coef,
            ..Default::default()
        }
        .into(),
        NpgConfig {
            steps,
            entropy_coef,
            ..Default::default()
        }
        .into(),
        TrpoConfig {
            steps,
            entropy_coef,
            ..Default::default()
        }
        .into(),
        PpoConfig {
            steps,
            minibatches: 2,
            entropy_coef,
            ..Default::default()
        }
        .into(),
        PpoConfig {
            objective: Objective::Kl,
            steps,
            minibatches: 2,
            entropy_coef,
            ..Default::default()
        }
        .into(),
    ]
}

fn config(algo: AlgoConfig) -> RunConfig {
    let mut config = run("CartPole-v1", 4, 1_000, algo);
    config.network.hidden = vec![8];
    config
}

/// Each update does what one with a constant does that is the schedule's value there, bit for bit, and
/// not what one with another constant does.
#[test]
fn entropy_bonuses_follow_their_schedule() {
    let falling = Schedule::Linear { from: 0.5, to: 0.1 };
    for (which, algo) in every_algorithm(falling).into_iter().enumerate() {
        let name = format!("{algo:?}");
        let mut scheduled = Trainer::new(config(algo), &device()).unwrap();
        for iteration in 0..3 {
            let before = scheduled.save();
            let spent = scheduled.env_steps() as f64 / 1_000.0;
            let now = 0.5 + (0.1 - 0.5) * spent;
            scheduled.step().unwrap();
            let with = |constant: f64| {
                let algo = every_algorithm(Schedule::Constant(constant))[which].clone();
                let mut trainer = Trainer::new(config(algo), &device()).unwrap();
                trainer.restore(&before).unwrap();
                trainer.step().unwrap();
                bytes(&trainer)
            };
            assert!(bytes(&scheduled) == with(now), "{iteration} of {name}");
            assert!(
                bytes(&scheduled) != with(now * 0.5),
                "{iteration} of {name}"
            );
        }
    }
}
