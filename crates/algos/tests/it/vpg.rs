use crate::{Toggle, assert_every_toggle_matters, run};
use uphill_algos::{AlgoConfig, RunConfig, vpg::VpgConfig};
use uphill_core::schedule::Schedule;

fn settings(config: &mut RunConfig) -> &mut VpgConfig {
    match &mut config.algo {
        AlgoConfig::Vpg(settings) => settings,
        other => panic!("no VPG: {other:?}"),
    }
}

#[test]
fn every_setting_changes_what_is_learnt() {
    let algo = VpgConfig {
        steps: 16,
        critic_steps: 3,
        ..Default::default()
    };
    let mut base = run("Pendulum-v1", 2, 2 * 16 * 3, algo);
    base.network.hidden = vec![8];
    let toggles: [Toggle; 10] = [
        ("steps", |c| settings(c).steps = 12),
        ("discount", |c| settings(c).gamma = 0.9),
        ("λ", |c| settings(c).gae_lambda = 0.5),
        ("normalisation", |c| {
            settings(c).normalize_advantages = false
        }),
        ("rate", |c| {
            settings(c).learning_rate = Schedule::Linear {
                from: 3e-4,
                to: 0.0,
            }
        }),
        ("critic's rate", |c| {
            settings(c).critic_learning_rate = Schedule::Constant(1e-2)
        }),
        ("critic's steps", |c| settings(c).critic_steps = 4),
        ("ε", |c| settings(c).adam_epsilon = 1e-3),
        ("entropy", |c| {
            settings(c).entropy_coef = Schedule::Constant(0.1)
        }),
        ("clipping", |c| settings(c).max_grad_norm = 1e-6),
    ];
    assert_every_toggle_matters(&base, &toggles);
}
