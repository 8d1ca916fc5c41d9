use crate::{Toggle, assert_every_toggle_matters, device::device, run};
use burn::tensor::Tensor;
use std::sync::atomic::AtomicBool;
use uphill_algos::{AlgoConfig, RunConfig, Trainer, vpg::VpgConfig};
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

/// The divergence is that of the step which has just been taken, mean(ρ − 1 − ln ρ); the norm is that of all parameters
/// after it.
#[test]
fn divergence_and_norm_of_parameters_are_those_after_the_step() {
    let algo = VpgConfig {
        steps: 16,
        critic_steps: 1,
        learning_rate: Schedule::Constant(3e-2),
        ..Default::default()
    };
    let mut config = run("CartPole-v1", 4, 1000, algo);
    config.network.hidden = vec![8];
    let mut trainer = Trainer::new(config, &device()).unwrap();
    let stop = AtomicBool::new(false);
    let collected = trainer.collect(&stop).unwrap().unwrap();
    let rollout = collected.rollout().unwrap().clone();
    let learned = trainer.learn(collected, &stop).unwrap().unwrap();
    let metrics = trainer.report(learned).unwrap().metrics;

    let numbers = |x: Tensor<1>| -> Vec<f64> { x.into_data().iter().collect() };
    let actions = rollout.actions.clone().reshape([64, 1]);
    let dist = trainer.actor().dist(rollout.flat_obs());
    let (new, old) = (dist.log_prob(actions), rollout.log_probs.reshape([64]));
    let terms = numbers(new)
        .into_iter()
        .zip(numbers(old))
        .map(|(new, old)| {
            let log_ratio: f64 = new - old;
            log_ratio.exp() - 1.0 - log_ratio
        });
    let (found, expected) = (metrics.get("approx_kl").unwrap(), terms.sum::<f64>() / 64.0);
    assert!(expected > 1e-4, "a step too short to see: {expected}");
    assert!((found / expected - 1.0).abs() < 1e-2, "{found} {expected}");

    let nets = [&trainer.actor().net, &trainer.critic().net];
    let squares = nets.map(|net| numbers(net.flat()).iter().map(|x| x * x).sum::<f64>());
    let (found, expected) = (
        metrics.get("param_norm").unwrap(),
        (squares[0] + squares[1]).sqrt(),
    );
    assert!((found / expected - 1.0).abs() < 1e-5, "{found} {expected}");
}
