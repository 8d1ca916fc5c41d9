use crate::{Toggle, assert_every_toggle_matters, device::device, ppo, run, small, train};
use uphill_algos::{
    Diverged, First, StepError, Trainer,
    optimizer::OptimizerKind,
    ppo::{AdvantageNorm, Objective, PpoConfig},
};
use uphill_core::{loss::adapt_kl_coef, nn::Init, schedule::Schedule};

/// Every code-level optimisation of arXiv:2005.12729 and every other switch does something.
#[test]
fn every_toggle_changes_what_is_learnt() {
    let base = || {
        let settings = PpoConfig {
            steps: 32,
            epochs: 3,
            minibatches: 2,
            learning_rate: Schedule::Constant(3e-3),
            value_clip: 0.0,
            max_grad_norm: 0.0,
            normalize_advantages: AdvantageNorm::None,
            ..Default::default()
        };
        let mut config = run("Pendulum-v1", 4, 4 * 32 * 3, settings);
        config.network.hidden = vec![8];
        config.network.init = Init::Uniform;
        config
    };
    let toggles: [Toggle; 16] = [
        ("value clipping", |c| ppo(c).value_clip = 0.05),
        ("reward scaling", |c| c.normalize.reward = true),
        ("reward clipping", |c| c.normalize.reward_clip = 1.0),
        ("orthogonal initialisation", |c| {
            c.network.init = Init::Orthogonal
        }),
        ("annealing", |c| {
            ppo(c).learning_rate = Schedule::Linear {
                from: 3e-3,
                to: 0.0,
            }
        }),
        ("observation normalisation", |c| c.normalize.obs = true),
        ("observation clipping", |c| c.normalize.obs_clip = 0.5),
        ("activation", |c| {
            c.network.activation = uphill_core::nn::Activation::Relu
        }),
        ("gradient-norm clipping", |c| ppo(c).max_grad_norm = 0.1),
        ("clip range", |c| ppo(c).clip = Schedule::Constant(0.01)),
        ("advantages per minibatch", |c| {
            ppo(c).normalize_advantages = AdvantageNorm::Minibatch
        }),
        ("advantages per batch", |c| {
            ppo(c).normalize_advantages = AdvantageNorm::Batch
        }),
        ("entropy bonus", |c| {
            ppo(c).entropy_coef = Schedule::Constant(0.1)
        }),
        ("target KL", |c| ppo(c).target_kl = 1e-9),
        ("KL penalty", |c| ppo(c).objective = Objective::Kl),
        ("separate optimisers", |c| {
            ppo(c).optimizer = OptimizerKind::Separate;
            ppo(c).critic_learning_rate = Schedule::Constant(1e-2);
        }),
    ];
    assert_every_toggle_matters(&base(), &toggles);
    let mut penalised = base();
    ppo(&mut penalised).objective = Objective::Kl;
    assert_every_toggle_matters(&penalised, &[("its weight", |c| ppo(c).kl_coef = 100.0)]);
}

#[test]
fn the_kl_coefficient_follows_the_divergence_of_each_update() {
    let mut config = small();
    config.total_steps *= 4;
    ppo(&mut config).objective = Objective::Kl;
    ppo(&mut config).learning_rate = Schedule::Constant(3e-3);
    ppo(&mut config).kl_target = 1e-3;
    let (_, reports) = train(config);
    let read = |name| reports.iter().map(move |r| r.metrics.get(name).unwrap());
    let (coefs, kls): (Vec<f64>, Vec<f64>) = (read("kl_coef").collect(), read("kl").collect());
    assert_eq!(coefs[0], 1.0);
    for i in 1..coefs.len() {
        let expected = adapt_kl_coef(coefs[i - 1], kls[i - 1], 1e-3);
        assert_eq!(coefs[i], expected, "after a KL of {}", kls[i - 1]);
    }
    let changed = coefs.windows(2).filter(|w| w[0] != w[1]).count();
    assert!(changed > 2, "this test sees no change: {coefs:?}");
}

#[test]
fn a_heavy_penalty_keeps_the_policy_where_it_was() {
    let kl = |kl_coef| {
        let mut config = small();
        ppo(&mut config).objective = Objective::Kl;
        ppo(&mut config).learning_rate = Schedule::Constant(1e-2);
        ppo(&mut config).epochs = 10;
        ppo(&mut config).kl_coef = kl_coef;
        train(config).1[0].metrics.get("kl").unwrap()
    };
    let (free, held) = (kl(1e-9), kl(1e3));
    assert!(held < free / 10.0, "{held} {free}");
}

#[test]
fn target_kl_stops_after_the_epoch_that_passes_it() {
    let mut config = small();
    ppo(&mut config).epochs = 7;
    ppo(&mut config).learning_rate = Schedule::Constant(1e-2);
    ppo(&mut config).target_kl = 1e-6;
    let (_, reports) = train(config.clone());
    assert_eq!(reports[0].metrics.get("epochs"), Some(1.0));
    ppo(&mut config).target_kl = 0.0;
    let (_, reports) = train(config);
    assert_eq!(reports[0].metrics.get("epochs"), Some(7.0));
}

#[test]
fn schedules_follow_the_budget() {
    let mut config = small();
    ppo(&mut config).learning_rate = Schedule::Linear {
        from: 1.0e-3,
        to: 0.0,
    };
    let (_, reports) = train(config);
    let rates: Vec<f64> = reports
        .iter()
        .map(|r| r.metrics.get("lr").unwrap())
        .collect();
    assert_eq!(rates, [1e-3, 0.75e-3, 0.5e-3, 0.25e-3]);
}

#[test]
fn the_first_minibatch_compares_a_policy_with_itself() {
    // One epoch, one minibatch: all ratios are 1, so nothing is clipped and the KL is zero.
    let mut config = small();
    ppo(&mut config).epochs = 1;
    ppo(&mut config).minibatches = 1;
    config.normalize.obs = true;
    for report in train(config).1 {
        assert!(
            report.metrics.get("approx_kl").unwrap().abs() < 1e-9,
            "{report:?}"
        );
        assert_eq!(report.metrics.get("clip_fraction"), Some(0.0));
    }
}

#[test]
fn a_run_that_diverges_stops_with_the_metric_that_shows_it() {
    let mut config = small();
    config.total_steps = 100_000;
    ppo(&mut config).learning_rate = Schedule::Constant(1e38);
    ppo(&mut config).max_grad_norm = 0.0;
    ppo(&mut config).minibatches = 4;
    let mut trainer = Trainer::new(config, &device()).unwrap();
    let diverged: Diverged = loop {
        match trainer.step() {
            Ok(_) => {}
            Err(StepError::Diverged(diverged)) => break diverged,
            Err(stopped) => panic!("{stopped}"),
        }
    };
    assert!(!diverged.value.is_finite());
    // The first step is too long, and the second sees it.
    let step = diverged.cause.step.unwrap();
    assert_eq!((step.epoch, step.minibatch, step.minibatches), (1, 2, 4));
    let first = diverged.cause.first;
    assert!(
        !matches!(first, First::Observations | First::Rewards),
        "{first:?}"
    );
    assert!(
        diverged.to_string().contains("diverged in iteration"),
        "{diverged}"
    );
}

#[test]
fn reports_count_steps_and_episodes() {
    let (trainer, reports) = train(small());
    let steps: Vec<u64> = reports.iter().map(|r| r.env_steps).collect();
    assert_eq!(steps, [64, 128, 192, 256]);
    let last = reports.last().unwrap();
    assert_eq!(last.iteration, 4);
    assert!(last.episodes > 0);
    // CartPole pays 1 a step, so the mean return is the mean length.
    assert_eq!(last.episode_return_mean, last.episode_length_mean);
    assert_eq!(trainer.env_steps(), 256);
}
