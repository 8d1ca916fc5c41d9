//! Steepest ascent, natural gradient and TRPO: what their steps promise, and that they learn.

use crate::{
    Toggle, assert_every_toggle_matters,
    device::device,
    probes::{close, modes, values},
    train,
};
use burn::tensor::{Tensor, TensorData};
use rand::{Rng, SeedableRng, rngs::SmallRng};
use uphill_algos::{
    AlgoConfig, Algorithm, Metrics, Report, RunConfig, Trainer, UpdateContext, build_actor,
    build_critic,
    config::{Distribution, MemoryKind},
    critic_fit::{CriticConfig, CriticMethod},
    npg::NpgConfig,
    trpo::{Trpo, TrpoConfig},
    trust_region::TrustRegionConfig,
};
use uphill_core::{
    advantage::gae,
    nn::Init,
    policy::Actor,
    rollout::{Memory, Rollout},
    schedule::Schedule,
};
use uphill_envs::probe::lqr;

/// A value fit that learns small problems in a second.
fn quick_critic() -> CriticConfig {
    CriticConfig {
        epochs: 4,
        minibatches: 2,
        learning_rate: Schedule::Constant(5e-3),
        ..Default::default()
    }
}

fn npg() -> NpgConfig {
    NpgConfig {
        steps: 32,
        max_kl: Schedule::Constant(0.02),
        critic: quick_critic(),
        ..Default::default()
    }
}

fn trpo() -> TrpoConfig {
    TrpoConfig {
        steps: 32,
        max_kl: Schedule::Constant(0.02),
        critic: quick_critic(),
        ..Default::default()
    }
}

fn trust_region() -> TrustRegionConfig {
    TrustRegionConfig {
        steps: 32,
        epsilon: Schedule::Constant(0.02),
        critic: quick_critic(),
        ..Default::default()
    }
}

fn all() -> [AlgoConfig; 3] {
    [npg().into(), trpo().into(), trust_region().into()]
}

fn run(env: &str, total_steps: u64, algo: impl Into<AlgoConfig>) -> RunConfig {
    let mut config = RunConfig::new(env, 8, total_steps, algo.into());
    config.network.hidden = vec![16];
    config
}

#[test]
fn rewarded_action_is_taken() {
    for algo in all() {
        let (trainer, reports) = train(run("ProbeAction-v0", 8_000, algo));
        assert_eq!(modes(&trainer, &[&[0.0]]), [1.0]);
        close(values(&trainer, &[&[0.0]])[0], 1.0, 0.1);
        assert!(reports.last().unwrap().episode_return_mean.unwrap() > 0.9);
    }
}

#[test]
fn action_follows_the_observation() {
    for algo in all() {
        let name = algo.name();
        let (trainer, reports) = train(run("ProbeIdentity-v0", 16_000, algo));
        let rows: [&[f32]; 4] = [
            &[1., 0., 0., 0.],
            &[0., 1., 0., 0.],
            &[0., 0., 1., 0.],
            &[0., 0., 0., 1.],
        ];
        assert_eq!(modes(&trainer, &rows), [0.0, 1.0, 2.0, 3.0], "{name}");
        assert!(
            reports.last().unwrap().episode_return_mean.unwrap() > 0.9,
            "{name}"
        );
    }
}

/// Continuous actions, with the gain that the Riccati equation gives.
#[test]
fn the_linear_quadratic_regulator_is_solved() {
    let (steps, gamma) = (128, 0.9);
    let falling = |from| Schedule::Linear { from, to: 0.0 };
    let critic = CriticConfig {
        epochs: 10,
        learning_rate: Schedule::Constant(2e-3),
        ..quick_critic()
    };
    let algos: [AlgoConfig; 3] = [
        NpgConfig {
            steps,
            gamma,
            max_kl: falling(0.03),
            critic: critic.clone(),
            ..npg()
        }
        .into(),
        TrpoConfig {
            steps,
            gamma,
            max_kl: falling(0.03),
            critic: critic.clone(),
            ..trpo()
        }
        .into(),
        TrustRegionConfig {
            steps,
            gamma,
            epsilon: falling(0.02),
            critic,
            ..trust_region()
        }
        .into(),
    ];
    for algo in algos {
        let name = algo.name();
        let mut config = run("ProbeLqr-v0", 100_000, algo);
        config.network.init = Init::Uniform;
        config.network.hidden = vec![32];
        config.network.log_std = -0.5;
        let (trainer, _) = train(config);
        let states: [&[f32]; 3] = [&[-0.7], &[0.0], &[0.7]];
        let u = modes(&trainer, &states);
        for (u, x) in u.iter().zip([-0.7, 0.0, 0.7]) {
            let expected = -lqr::optimal_gain(gamma) * x;
            let error = (f64::from(*u) - expected).abs();
            assert!(error < 0.25, "{name}: {u} is not {expected}");
        }
    }
}

/// One of each kind of policy: an environment that wants it, and what has to be set.
const POLICIES: [Toggle; 6] = [
    ("CartPole-v1", |_| {}),
    ("Pendulum-v1", |_| {}),
    ("Pendulum-v1", |c| {
        c.network.distribution = Distribution::SquashedGaussian;
    }),
    ("Pendulum-v1", |c| {
        c.network.distribution = Distribution::Beta;
    }),
    ("ProbeDigits-v0", |_| {}),
    ("CartPole-v1", |c| {
        c.network.memory = MemoryKind::Gru;
        c.network.memory_width = 8;
    }),
];

/// An actor and an experience `[16, 4]` that no environment made, for a policy that has already moved
/// away from its start.
fn random_case((env, policy): Toggle, seed: u64, reward_scale: f32) -> (RunConfig, Actor, Rollout) {
    let spec = uphill_envs::spec(env).unwrap();
    let mut config = run(env, 1, trpo());
    policy(&mut config);
    config.seed = seed;
    config.network.init = Init::Uniform;
    let actor = build_actor(&config, &spec, &device()).unwrap();
    let mut rng = SmallRng::seed_from_u64(seed);
    let (steps, envs) = (16, 4);
    let mut numbers = |columns: usize, scale: f32| {
        let unit = |rng: &mut SmallRng| 2.0 * (rng.next_u32() as f32 / u32::MAX as f32) - 1.0;
        let values: Vec<f32> = (0..steps * envs * columns)
            .map(|_| scale * unit(&mut rng))
            .collect();
        Tensor::<1>::from_data(TensorData::new(values, [steps * envs * columns]), &device())
    };
    let obs = numbers(spec.obs.dim(), 2.0).reshape([steps, envs, spec.obs.dim()]);
    let memory = Memory {
        actor: actor.net.start(envs),
        critic: build_critic(&config, &spec, &device()).net.start(envs),
    };
    let keep = Tensor::ones([steps, envs], &device());
    let dist = actor.follow(obs.clone(), keep, memory.actor.clone());
    let (width, _) = actor.kind.noise();
    // Uniform noise has to lie between 0 and 1.
    let noise = numbers(width, 1.5).reshape([steps * envs, width]);
    let noise = if config.network.distribution == Distribution::Beta {
        noise.abs() * 0.6 + 0.05
    } else {
        noise
    };
    let actions = dist.sample(noise);
    let never = numbers(1, 1.0).reshape([steps, envs]).greater_elem(2.0);
    let rollout = Rollout {
        obs: obs.into(),
        actions: actions
            .clone()
            .reshape([steps, envs, actor.kind.action_width()]),
        log_probs: dist.log_prob(actions).reshape([steps, envs]),
        values: numbers(1, 1.0).reshape([steps, envs]),
        next_values: numbers(1, 1.0).reshape([steps, envs]),
        rewards: numbers(1, reward_scale).reshape([steps, envs]),
        terminated: never.clone(),
        truncated: never,
        lengths: None,
        memory,
        agents: 1,
    };
    (config, actor, rollout)
}

/// The update of one rollout: parameters before and after, metrics, and mean KL(old ‖ new) measured
/// from outside.
struct Outcome {
    before: Vec<f32>,
    after: Vec<f32>,
    metrics: Metrics,
    mean_kl: f64,
}

fn update(settings: TrpoConfig, (config, actor, rollout): (RunConfig, Actor, Rollout)) -> Outcome {
    let spec = uphill_envs::spec(&config.env).unwrap();
    let mut critic = build_critic(&config, &spec, &device());
    let mut algorithm = Trpo::new(settings, &critic);
    let batch = rollout.flatten(rollout.rewards.clone(), rollout.values.clone());
    let mut new = actor.clone();
    let context = UpdateContext {
        iteration: 0,
        progress: 0.0,
        seed: config.seed,
        peers: &uphill_core::peers::Alone,
        stop: &std::sync::atomic::AtomicBool::new(false),
    };
    let measured = algorithm.update(&mut new, &mut critic, rollout, context);
    let (metrics, _) = measured.read(None);
    let kl = actor.dist_on(&batch).kl(&new.dist_on(&batch)).mean();
    let flat = |actor: &Actor| actor.net.flat().into_data().iter().collect();
    Outcome {
        before: flat(&actor),
        after: flat(&new),
        metrics,
        mean_kl: kl.into_data().iter().next().unwrap(),
    }
}

#[test]
fn the_kl_of_an_accepted_step_never_exceeds_its_limit() {
    let (mut accepted, mut shrunk) = (0, 0);
    for seed in 0..20 {
        for policy in POLICIES {
            let env = policy.0;
            // From tiny steps to steps that second order no longer describes.
            let max_kl = 10f64.powi((seed % 5) as i32 - 3);
            let settings = TrpoConfig {
                max_kl: Schedule::Constant(max_kl),
                cg_damping: if seed % 2 == 0 { 0.1 } else { 1e-4 },
                fisher_subsample: if seed % 3 == 0 { 0.25 } else { 1.0 },
                line_search_shrink: 0.5,
                ..trpo()
            };
            let outcome = update(settings, random_case(policy, seed, 1.0));
            let get = |name| outcome.metrics.get(name).unwrap();
            assert!(
                outcome.mean_kl <= max_kl,
                "{env} {seed}: {}",
                outcome.mean_kl
            );
            assert_eq!(get("approx_kl"), outcome.mean_kl);
            if get("accepted") == 1.0 {
                assert!(get("surrogate_improvement") > 0.0);
                assert!(outcome.after != outcome.before);
                accepted += 1;
                shrunk += usize::from(get("backtracks") > 0.0);
            } else {
                assert!(outcome.after == outcome.before);
            }
        }
    }
    assert!(
        accepted > 60 && shrunk > 5,
        "{accepted} accepted, {shrunk} shrunk"
    );
}

#[test]
fn a_rejected_step_leaves_the_policy_bit_for_bit() {
    for policy in POLICIES {
        let env = policy.0;
        // One try at a step far too long: a Fisher matrix of one observation knows of no other.
        let too_long = TrpoConfig {
            max_kl: Schedule::Constant(1e-3),
            cg_damping: 1e-4,
            fisher_subsample: 0.01,
            line_search_tries: 1,
            ..trpo()
        };
        // Nothing to gain: constant advantages leave nothing after standardisation …
        let mut flat = random_case(policy, 3, 0.0);
        flat.2.values = flat.2.values.zeros_like();
        flat.2.next_values = flat.2.next_values.zeros_like();
        // … and rewards that are not numbers leave nothing that is.
        let mut broken = random_case(policy, 3, 1.0);
        broken.2.rewards = broken.2.rewards * f64::NAN;
        for (what, settings, case, tries) in [
            ("too long", too_long, random_case(policy, 2, 1.0), 1.0),
            ("flat", trpo(), flat, 10.0),
            ("broken", trpo(), broken, 10.0),
        ] {
            let outcome = update(settings, case);
            let bits = |x: &[f32]| x.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
            assert_eq!(outcome.metrics.get("accepted"), Some(0.0), "{env} {what}");
            assert_eq!(outcome.metrics.get("backtracks"), Some(tries));
            assert_eq!(outcome.metrics.get("approx_kl"), Some(0.0));
            assert!(
                bits(&outcome.before) == bits(&outcome.after),
                "{env} {what}"
            );
        }
    }
}

/// Small steps do what second-order theory says, and are shorter where damping takes its part.
#[test]
fn predictions_come_true_for_small_steps() {
    for policy in POLICIES {
        let env = policy.0;
        let case = random_case(policy, 5, 1.0);
        let settings = TrpoConfig {
            max_kl: Schedule::Constant(1e-4),
            // Through a memory, directions in which F is nearly flat bend soon.
            cg_damping: match case.0.network.memory {
                MemoryKind::None => 1e-3,
                MemoryKind::Gru => 0.1,
            },
            ..trpo()
        };
        let trace = case.2.trace();
        let outcome = update(settings, case);
        let get = |name| outcome.metrics.get(name).unwrap();
        let close = |a: f64, b: f64| assert!((a / b - 1.0).abs() < 0.1, "{env}: {a} {b}");
        close(get("approx_kl"), get("predicted_kl"));
        close(get("surrogate_improvement"), get("predicted_improvement"));
        assert!(get("predicted_kl") <= 1e-4);
        assert!(get("kl_max") >= get("approx_kl"));
        let gamma = 0.99f64;
        let advantages = gae(&trace, gamma, trpo().gae_lambda).abs().max();
        let largest: f64 = advantages.into_data().iter().next().unwrap();
        let bound = 4.0 * largest * gamma / (1.0 - gamma).powi(2);
        assert!((get("penalty") / bound - 1.0).abs() < 1e-5);
    }
}

/// The settings of one algorithm inside a configuration.
macro_rules! settings {
    ($name:ident, $variant:ident, $settings:ty) => {
        fn $name(config: &mut RunConfig) -> &mut $settings {
            match &mut config.algo {
                AlgoConfig::$variant(settings) => settings,
                other => panic!("another algorithm: {other:?}"),
            }
        }
    };
}
settings!(of_trpo, Trpo, TrpoConfig);
settings!(of_npg, Npg, NpgConfig);
settings!(of_trust_region, TrustRegion, TrustRegionConfig);

#[test]
fn every_setting_of_trpo_changes_what_is_learnt() {
    let toggles: [Toggle; 13] = [
        ("discount", |c| of_trpo(c).gamma = 0.9),
        ("λ", |c| of_trpo(c).gae_lambda = 0.5),
        ("KL limit", |c| {
            of_trpo(c).max_kl = Schedule::Constant(0.005)
        }),
        ("CG steps", |c| of_trpo(c).cg_steps = 3),
        ("damping", |c| of_trpo(c).cg_damping = 0.5),
        ("subsample", |c| of_trpo(c).fisher_subsample = 0.3),
        ("normalisation", |c| of_trpo(c).normalize_advantages = false),
        ("entropy", |c| {
            of_trpo(c).entropy_coef = Schedule::Constant(0.1)
        }),
        ("critic's method", |c| {
            of_trpo(c).critic.method = CriticMethod::Lbfgs
        }),
        ("critic's epochs", |c| of_trpo(c).critic.epochs = 2),
        ("critic's minibatches", |c| {
            of_trpo(c).critic.minibatches = 4
        }),
        ("critic's gradient clipping", |c| {
            of_trpo(c).critic.max_grad_norm = 1e-3
        }),
        ("critic's value clipping", |c| {
            of_trpo(c).critic.value_clip = 1e-3
        }),
    ];
    let base = run("Pendulum-v1", 3 * 8 * 32, trpo());
    assert_every_toggle_matters(&base, &toggles);
}

/// Where the first step is too long and a shorter one does: far beyond second order.
#[test]
fn settings_of_the_line_search_change_what_is_learnt() {
    let far = TrpoConfig {
        max_kl: Schedule::Constant(1.0),
        cg_damping: 1e-4,
        ..trpo()
    };
    let toggles: [Toggle; 2] = [
        ("shrinking", |c| of_trpo(c).line_search_shrink = 0.3),
        ("tries", |c| of_trpo(c).line_search_tries = 1),
    ];
    let base = run("Pendulum-v1", 3 * 8 * 32, far);
    let (_, reports) = train(base.clone());
    let is = |name, value: f64| move |r: &&Report| r.metrics.get(name).unwrap() >= value;
    let shrunk = (reports.iter())
        .filter(is("accepted", 1.0))
        .filter(is("backtracks", 1.0));
    assert!(shrunk.count() > 0, "this test sees no shorter step");
    assert_every_toggle_matters(&base, &toggles);
}

#[test]
fn every_setting_of_npg_changes_what_is_learnt() {
    let toggles: [Toggle; 9] = [
        ("discount", |c| of_npg(c).gamma = 0.9),
        ("λ", |c| of_npg(c).gae_lambda = 0.5),
        ("step size", |c| {
            of_npg(c).max_kl = Schedule::Constant(0.005)
        }),
        ("CG steps", |c| of_npg(c).cg_steps = 3),
        ("damping", |c| of_npg(c).cg_damping = 0.5),
        ("subsample", |c| of_npg(c).fisher_subsample = 0.3),
        ("normalisation", |c| of_npg(c).normalize_advantages = false),
        ("entropy", |c| {
            of_npg(c).entropy_coef = Schedule::Constant(0.1)
        }),
        ("value fit", |c| of_npg(c).critic.epochs = 2),
    ];
    let base = run("Pendulum-v1", 3 * 8 * 32, npg());
    assert_every_toggle_matters(&base, &toggles);
}

#[test]
fn every_setting_of_the_trust_region_changes_what_is_learnt() {
    let toggles: [Toggle; 6] = [
        ("discount", |c| of_trust_region(c).gamma = 0.9),
        ("λ", |c| of_trust_region(c).gae_lambda = 0.5),
        ("step length", |c| {
            of_trust_region(c).epsilon = Schedule::Constant(0.005)
        }),
        ("normalisation", |c| {
            of_trust_region(c).normalize_advantages = false
        }),
        ("entropy", |c| {
            of_trust_region(c).entropy_coef = Schedule::Constant(0.1)
        }),
        ("value fit", |c| of_trust_region(c).critic.epochs = 2),
    ];
    let base = run("Pendulum-v1", 3 * 8 * 32, trust_region());
    assert_every_toggle_matters(&base, &toggles);
}

#[test]
fn impossible_settings_are_refused_by_name() {
    let refusal = |change: fn(&mut TrpoConfig)| {
        let mut settings = trpo();
        change(&mut settings);
        let config = run("CartPole-v1", 100, settings);
        Trainer::new(config, &device()).err().unwrap().to_string()
    };
    for (message, start) in [
        (refusal(|c| c.steps = 0), "algo.steps: must be at least 1"),
        (refusal(|c| c.cg_steps = 0), "algo.cg_steps: must be"),
        (
            refusal(|c| c.cg_steps = 1_000_000),
            "algo.cg_steps: is 1000000, must be between 1 and 1000",
        ),
        (refusal(|c| c.cg_damping = -1.0), "algo.cg_damping: is -1"),
        (
            refusal(|c| c.fisher_subsample = 1.5),
            "algo.fisher_subsample: is 1.5, must be a share above 0",
        ),
        (
            refusal(|c| c.line_search_shrink = 1.0),
            "algo.line_search_shrink: is 1, must lie between 0 and 1",
        ),
        (
            refusal(|c| c.max_kl = Schedule::Constant(0.0)),
            "algo.max_kl: is 0, must be a positive finite number",
        ),
        (
            refusal(|c| c.critic.minibatches = 7),
            "algo.critic.minibatches: 7 parts do not divide the batch of 256",
        ),
        (
            refusal(|c| c.critic.value_clip = -1.0),
            "algo.critic.value_clip: is -1",
        ),
        (
            refusal(|c| {
                c.critic.method = CriticMethod::Lbfgs;
                c.critic.value_clip = 0.2;
            }),
            "algo.critic.value_clip: is for \"adam\"",
        ),
    ] {
        assert!(
            message.starts_with(start),
            "{message:?} should start with {start:?}"
        );
    }
}
