//! Every action space and distribution: built as configured, trained on its probe, resumed exactly.

use crate::{bytes, device::device, ppo, run, train};
use burn::tensor::{Tensor, TensorData};
use uphill_algos::{
    Report, RunConfig, TrainError, Trainer, agent_params, build_actor, build_critic,
    config::{Distribution, Std},
    ppo::PpoConfig,
    reinforce::ReinforceConfig,
    vpg::VpgConfig,
};
use uphill_core::{normalize::ObsNorm, schedule::Schedule};

const FAMILIES: [(Distribution, Std); 5] = [
    (Distribution::Gaussian, Std::Independent),
    (Distribution::Gaussian, Std::Dependent),
    (Distribution::SquashedGaussian, Std::Independent),
    (Distribution::SquashedGaussian, Std::Dependent),
    (Distribution::Beta, Std::Independent),
];

/// PPO that learns small problems in a second.
fn quick(env: &str, total_steps: u64) -> RunConfig {
    let settings = PpoConfig {
        steps: 32,
        epochs: 4,
        minibatches: 2,
        learning_rate: Schedule::Linear {
            from: 5e-3,
            to: 0.0,
        },
        value_clip: 0.0,
        ..Default::default()
    };
    let mut config = run(env, 8, total_steps, settings);
    config.network.hidden = vec![16];
    config
}

fn with_family(mut config: RunConfig, (distribution, std): (Distribution, Std)) -> RunConfig {
    config.network.distribution = distribution;
    config.network.std = std;
    config
}

/// A short run for each space and family.
fn short_runs() -> Vec<RunConfig> {
    let short = |env| {
        let mut config = quick(env, 3 * 64);
        config.num_envs = 4;
        ppo(&mut config).steps = 16;
        config.normalize.obs = true;
        config
    };
    let on_bounds = FAMILIES.map(|family| with_family(short("ProbeStop-v0"), family));
    let choices = ["CartPole-v1", "ProbeDigits-v0", "ProbeMask-v0"].map(short);
    [choices.to_vec(), on_bounds.to_vec()].concat()
}

/// What the environment is given in each of these observations by a policy that does not explore.
pub(crate) fn greedy(trainer: &Trainer, rows: &[&[f32]]) -> Vec<f32> {
    let data = TensorData::new(rows.concat(), [rows.len(), rows[0].len()]);
    let actor = trainer.actor();
    let actions = actor.dist(Tensor::from_data(data, &device())).greedy();
    actor.kind.env_actions(actions).into_data().iter().collect()
}

fn last_return(reports: &[Report]) -> f64 {
    reports.last().unwrap().episode_return_mean.unwrap()
}

#[test]
fn networks_have_the_parameters_that_were_announced() {
    for config in short_runs() {
        let spec = uphill_envs::spec(&config.env).unwrap();
        let actor = build_actor(&config, &spec, &device()).unwrap();
        let critic = build_critic(&config, &spec, &device());
        let built = actor.net.num_params() + critic.net.num_params();
        assert_eq!(agent_params(&config, &spec).unwrap(), built, "{config:?}");
    }
}

#[test]
fn both_digits_are_named() {
    let (trainer, reports) = train(quick("ProbeDigits-v0", 16_000));
    let rows: [&[f32]; 3] = [
        &[1., 0., 0., 0., 0., 0., 1.],
        &[0., 1., 0., 1., 0., 0., 0.],
        &[0., 0., 1., 0., 1., 0., 0.],
    ];
    assert_eq!(greedy(&trainer, &rows), [0.0, 3.0, 1.0, 0.0, 2.0, 1.0]);
    assert!(last_return(&reports) > 0.9, "{}", last_return(&reports));
}

/// With observations normalised, which must not concern the mask.
#[test]
fn the_best_allowed_item_is_taken() {
    let mut config = quick("ProbeMask-v0", 24_000);
    config.normalize.obs = true;
    let (trainer, reports) = train(config);
    let (low, high) = (1.0 / 3.0, 2.0 / 3.0);
    let rows: [&[f32]; 4] = [
        &[0., low, high, 1., 1., 1., 1., 1.],
        &[0., low, high, 1., 1., 1., 0., 0.],
        &[1., high, low, 0., 0., 0., 0., 1.],
        &[low, 1., high, 0., 1., 0., 1., 1.],
    ];
    assert_eq!(greedy(&trainer, &rows), [3.0, 1.0, 3.0, 2.0]);
    assert!(last_return(&reports) > 0.7, "{}", last_return(&reports));
}

/// A clipped Gaussian, with all its mass beyond a bound on the stop, is far behind at that time.
#[test]
fn targets_beside_the_stop_are_hit_by_every_bounded_policy() {
    let stop = |family| train(with_family(quick("ProbeStop-v0", 16_000), family));
    for family in &FAMILIES[2..] {
        let (trainer, reports) = stop(*family);
        let rows: [&[f32]; 2] = [&[-0.9], &[0.9]];
        for (a, target) in greedy(&trainer, &rows).iter().zip([-0.9, 0.9]) {
            assert!((a - target).abs() < 0.08, "{family:?}: {a} {target}");
        }
        assert!(
            last_return(&reports) > 0.9,
            "{family:?} {}",
            last_return(&reports)
        );
    }
    let clipped = last_return(&stop(FAMILIES[0]).1);
    assert!(clipped < 0.8, "{clipped}");
}

#[test]
fn every_kind_of_policy_resumes_exactly() {
    for config in short_runs() {
        let mut whole = Trainer::new(config.clone(), &device()).unwrap();
        let mut first = Trainer::new(config.clone(), &device()).unwrap();
        let expected: Vec<Report> = (0..3).map(|_| whole.step().unwrap()).collect();
        let mut reports = vec![first.step().unwrap()];
        let mut second = Trainer::new(config.clone(), &device()).unwrap();
        second.restore(&first.save()).unwrap();
        reports.extend((0..2).map(|_| second.step().unwrap()));
        assert_eq!(reports, expected, "{config:?}");
        assert!(bytes(&second) == bytes(&whole), "{config:?}");
    }
}

#[test]
fn every_family_is_another_policy() {
    let ends = FAMILIES.map(|family| {
        let mut config = with_family(quick("ProbeStop-v0", 3 * 256), family);
        // Away from the value at which both kinds of standard deviation start alike.
        config.network.log_std = -0.5;
        bytes(&train(config).0)
    });
    for (i, end) in ends.iter().enumerate() {
        assert!(!ends[..i].contains(end), "{:?}", FAMILIES[i]);
    }
}

fn refusal(config: RunConfig) -> String {
    match Trainer::new(config, &device()) {
        Err(error @ TrainError::Config(_)) => error.to_string(),
        Err(error) => panic!("not about the configuration: {error}"),
        Ok(_) => panic!("accepted"),
    }
}

#[test]
fn distributions_that_do_not_suit_the_actions_are_refused() {
    for (env, action) in [
        ("CartPole-v1", "2 choices"),
        ("ProbeMask-v0", "4 choices, masked"),
        ("ProbeDigits-v0", "3 × 4 choices"),
    ] {
        let config = with_family(quick(env, 1), (Distribution::Beta, Std::Independent));
        let expected =
            format!("network.distribution: must be \"auto\", because {env} has {action}");
        assert_eq!(refusal(config), expected);
        let config = with_family(quick(env, 1), (Distribution::Auto, Std::Dependent));
        assert!(refusal(config).starts_with("network.std: is for Gaussian policies"));
    }
    let config = with_family(
        quick("Pendulum-v1", 1),
        (Distribution::Beta, Std::Dependent),
    );
    assert!(refusal(config).starts_with("network.std: is for Gaussian policies"));
    let mut config = with_family(quick("Pendulum-v1", 1), FAMILIES[1]);
    config.network.log_std = 2.5;
    assert!(refusal(config).starts_with("network.log_std: is 2.5, must lie between -5 and 2"));
}

#[test]
fn a_normaliser_that_would_reach_the_mask_is_refused() {
    let config = quick("ProbeMask-v0", 1);
    let spec = uphill_envs::spec(&config.env).unwrap();
    let mut actor = build_actor(&config, &spec, &device()).unwrap();
    actor.obs_norm = Some(ObsNorm::new(8, 0.0, &device()));
    let critic = build_critic(&config, &spec, &device());
    let env = uphill_envs::make(&config.env, config.num_envs, &device()).unwrap();
    let error = Trainer::from_parts(config, env, actor, critic)
        .err()
        .unwrap();
    assert_eq!(
        error.to_string(),
        "env: the actor's normaliser has to cover 4 columns of the observation"
    );
}

#[test]
fn a_run_says_when_it_takes_the_slower_path() {
    let said = |env: &str, change: fn(&mut RunConfig)| {
        let mut config = run(env, 4, 256, PpoConfig::default());
        ppo(&mut config).steps = 16;
        ppo(&mut config).minibatches = 2;
        change(&mut config);
        Trainer::new(config, &device()).unwrap().slower_path()
    };
    let on_gpu = uphill_core::ops::device_order([1, 2], 3, &device()).is_some();
    assert_eq!(said("CartPole-v1", |_| {}), None);
    assert_eq!(said("Pendulum-v1", |_| {}), None);
    let squashed = |config: &mut RunConfig| {
        config.network.distribution = Distribution::SquashedGaussian;
    };
    for (env, change) in [
        ("ProbeDigits-v0", (|_| {}) as fn(&mut RunConfig)),
        ("ProbeMask-v0", |_| {}),
        ("Pendulum-v1", squashed),
        ("CartPole-v1", |config| {
            config.network.hidden = vec![1024, 1024]
        }),
    ] {
        let said = said(env, change);
        assert_eq!(said.is_some(), on_gpu, "{env}: {said:?}");
        let why = said.is_none_or(|said| said.contains("GPU kernels support"));
        assert!(why, "{env}");
    }
    let beta = said("Pendulum-v1", |config| {
        config.network.distribution = Distribution::Beta;
    });
    assert!(beta.unwrap().contains("Beta"));
    let stock = said("CartPole-v1", |config| config.network.fused = false);
    assert!(stock.unwrap().contains("network.fused = false"));
    // Rollouts may be slow by themselves.
    let episodes = said("CartPole-v1", |config| {
        config.algo = ReinforceConfig::default().into();
    });
    assert_eq!(episodes.is_some(), on_gpu, "{episodes:?}");
    let beta = said("Pendulum-v1", |config| {
        config.algo = VpgConfig::default().into();
        config.network.distribution = Distribution::Beta;
    });
    assert!(beta.is_some(), "Beta's steps have no loop");
    let wrapped = said("CartPolePositions-v1", |config| config.frames = 4);
    assert_eq!(wrapped.is_some(), on_gpu, "{wrapped:?}");
}
