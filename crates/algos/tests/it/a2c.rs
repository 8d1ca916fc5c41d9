use crate::{Toggle, assert_every_toggle_matters, run};
use uphill_algos::{
    AlgoConfig, RunConfig,
    a2c::{A2cConfig, AdvantageEstimator},
    optimizer::OptimizerKind,
};
use uphill_core::{advantage::Estimator, optim::RuleKind, schedule::Schedule};

fn settings(config: &mut RunConfig) -> &mut A2cConfig {
    match &mut config.algo {
        AlgoConfig::A2c(settings) => settings,
        other => panic!("no A2C: {other:?}"),
    }
}

#[test]
fn every_setting_changes_what_is_learnt() {
    let mut base = run("Pendulum-v1", 2, 2 * 5 * 4, A2cConfig::default());
    base.network.hidden = vec![8];
    let toggles: [Toggle; 13] = [
        ("steps", |c| settings(c).steps = 4),
        ("TD", |c| settings(c).estimator = AdvantageEstimator::Td),
        ("n", |c| settings(c).n_step = 3),
        ("GAE", |c| settings(c).estimator = AdvantageEstimator::Gae),
        ("discount", |c| settings(c).gamma = 0.9),
        ("normalisation", |c| settings(c).normalize_advantages = true),
        ("rate", |c| {
            settings(c).learning_rate = Schedule::Linear {
                from: 7e-4,
                to: 0.0,
            }
        }),
        ("separate optimisers", |c| {
            settings(c).optimizer = OptimizerKind::Separate;
            settings(c).critic_learning_rate = Schedule::Constant(1e-2);
        }),
        ("rule", |c| settings(c).rule = RuleKind::Adam),
        ("ε", |c| settings(c).epsilon = 1e-2),
        ("value loss", |c| settings(c).value_coef = 1.0),
        ("entropy", |c| {
            settings(c).entropy_coef = Schedule::Constant(0.1)
        }),
        ("clipping", |c| settings(c).max_grad_norm = 0.0),
    ];
    assert_every_toggle_matters(&base, &toggles);
}

#[test]
fn n_counts_rewards() {
    let estimator = |estimator, n_step| {
        let config = A2cConfig {
            estimator,
            n_step,
            ..Default::default()
        };
        config.estimator()
    };
    use AdvantageEstimator::*;
    assert_eq!(estimator(NStep, 1), Estimator::NStep { n: 0 });
    assert_eq!(estimator(NStep, 5), Estimator::NStep { n: 4 });
    assert_eq!(estimator(Td, 5), Estimator::Td);
    assert_eq!(estimator(Gae, 5), Estimator::Gae { lambda: 0.95 });
    assert_eq!(estimator(MonteCarlo, 5), Estimator::MonteCarlo);
}
