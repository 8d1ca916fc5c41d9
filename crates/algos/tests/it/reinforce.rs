use crate::{Toggle, assert_every_toggle_matters, device::device, run, train};
use uphill_algos::{
    AlgoConfig, RunConfig, Trainer, build_actor, build_critic,
    collect::collect_episodes,
    reinforce::{Baseline, Credit, ReinforceConfig},
};
use uphill_core::{optim::RuleKind, policy::Actor, schedule::Schedule};
use uphill_envs::{
    ActionSpace, Described, Env, EnvSpec, HostBatch, NoiseAt, ObsSpace, Outcome, Philox,
};

fn small() -> RunConfig {
    let mut config = run("CartPole-v1", 3, 600, ReinforceConfig::default());
    config.network.hidden = vec![8];
    config
}

fn settings(config: &mut RunConfig) -> &mut ReinforceConfig {
    match &mut config.algo {
        AlgoConfig::Reinforce(settings) => settings,
        other => panic!("no REINFORCE: {other:?}"),
    }
}

#[test]
fn every_setting_changes_what_is_learnt() {
    let toggles: [Toggle; 11] = [
        ("episodes", |c| settings(c).episodes = 2),
        ("credit", |c| settings(c).credit = Credit::Trajectory),
        ("no baseline", |c| settings(c).baseline = Baseline::None),
        ("optimal", |c| settings(c).baseline = Baseline::Optimal),
        ("value", |c| settings(c).baseline = Baseline::Value),
        ("discount", |c| settings(c).gamma = 0.9),
        ("weights", |c| settings(c).discount_steps = false),
        ("rate", |c| {
            settings(c).learning_rate = Schedule::Linear {
                from: 1e-3,
                to: 0.0,
            }
        }),
        ("rule", |c| settings(c).rule = RuleKind::Sgd),
        ("ε", |c| settings(c).epsilon = 1e-3),
        ("entropy", |c| {
            settings(c).entropy_coef = Schedule::Constant(0.5)
        }),
    ];
    assert_every_toggle_matters(&small(), &toggles);
    // Adam hides how long a gradient is.
    let mut plain = small();
    settings(&mut plain).rule = RuleKind::Sgd;
    assert_every_toggle_matters(&plain, &[("clipping", |c| settings(c).max_grad_norm = 0.1)]);
}

/// Exactly the first episodes of every copy, whatever their lengths, each from step 0 to its end.
#[test]
fn a_rollout_holds_the_first_episodes_of_every_copy() {
    let trainer = Trainer::new(small(), &device()).unwrap();
    let mut env = uphill_envs::make("CartPole-v1", 3, &device()).unwrap();
    env.reset(7);
    let (actor, critic) = (trainer.actor(), trainer.critic());
    let (rollout, steps) =
        collect_episodes((actor, critic), env.as_mut(), 2, NoiseAt::actions(1, 0));
    let lengths = rollout.lengths.clone().unwrap();
    assert_eq!(lengths.len(), 6);
    let episodes = env.take_episodes();
    for copy in 0..3 {
        let finished: Vec<usize> = episodes
            .iter()
            .filter(|episode| episode.env == copy)
            .map(|episode| episode.length as usize)
            .collect();
        assert_eq!(lengths[2 * copy..2 * copy + 2], finished[..2]);
    }
    // The last copy to finish ended the rollout.
    let ends = (0..3).map(|copy| lengths[2 * copy] + lengths[2 * copy + 1]);
    assert_eq!(ends.max().unwrap(), steps);
    assert_eq!(rollout.dims()[0], *lengths.iter().max().unwrap());

    // CartPole pays 1 a step: the return of an episode is its length.
    let rewards: Vec<f32> = (rollout.rewards.clone() * rollout.mask())
        .sum_dim(0)
        .into_data()
        .iter()
        .collect();
    let expected: Vec<f32> = lengths.iter().map(|&len| len as f32).collect();
    assert_eq!(rewards, expected);
    // Each ends once, in its last step.
    let ended: Vec<f32> = (rollout.ended().float() * rollout.mask())
        .into_data()
        .iter()
        .collect();
    for (n, len) in lengths.iter().enumerate() {
        for t in 0..*len {
            let expected = if t + 1 == *len { 1.0 } else { 0.0 };
            assert_eq!(ended[t * 6 + n], expected, "step {t} of column {n}");
        }
    }
    // And what was stored is what the policy says of it.
    let batch = rollout.flatten(rollout.values.clone(), rollout.values.clone());
    assert_eq!(batch.len(), lengths.iter().sum::<usize>());
    let log_probs = Actor::dist(actor, batch.obs).log_prob(batch.actions);
    let error: f32 = (log_probs - batch.log_probs).abs().max().into_scalar();
    assert!(error < 1e-6, "{error}");
}

#[test]
fn steps_are_counted_taken_and_episodes_reported_learnt_from() {
    let mut config = small();
    settings(&mut config).episodes = 2;
    let (trainer, reports) = train(config);
    for (i, report) in (1..).zip(&reports) {
        assert_eq!(report.episodes, 6 * i);
        assert_eq!(report.env_steps % 3, 0);
    }
    let learnt: f64 = reports
        .iter()
        .map(|r| r.metrics.get("samples").unwrap())
        .sum();
    assert!(learnt > 0.0 && learnt <= trainer.env_steps() as f64);
    assert!(trainer.env_steps() >= 600);
}

/// Episodes of one step that pay what was drawn at their start.
struct Lottery;

impl Described for Lottery {
    fn spec(&self) -> EnvSpec {
        EnvSpec {
            name: "Lottery".to_owned(),
            obs: ObsSpace::symmetric(&[1.0]),
            action: ActionSpace::Discrete { n: 2 },
            time_limit: None,
            reward_threshold: None,
        }
    }

    fn state_size(&self) -> usize {
        1
    }
}

impl Env for Lottery {
    fn reset(&self, state: &mut [f32], rng: &mut Philox) {
        state[0] = rng.range(-1.0, 1.0);
    }

    fn step(&self, state: &mut [f32], _action: &[f32], _rng: &mut Philox) -> Outcome {
        Outcome {
            reward: state[0],
            terminated: true,
        }
    }

    fn observe(&self, state: &[f32], obs: &mut [f32]) {
        obs.copy_from_slice(state);
    }
}

/// Fresh starts differ between iterations: with the same ones in each, the mean return would stay as it is.
#[test]
fn every_rollout_starts_from_other_states() {
    let mut config = small();
    config.env = "Lottery".into();
    let env = HostBatch::new(Lottery, 3, &device()).unwrap();
    let actor = build_actor(&config, &Lottery.spec(), &device()).unwrap();
    let critic = build_critic(&config, &Lottery.spec(), &device());
    let mut trainer = Trainer::from_parts(config, Box::new(env), actor, critic).unwrap();
    let mut mean = || trainer.step().unwrap().episode_return_mean.unwrap();
    let means = [mean(), mean(), mean()];
    assert!(means[0] != means[1] && means[1] != means[2], "{means:?}");
}

#[test]
fn what_whole_episodes_cannot_have_is_refused() {
    let refusal = |change: fn(&mut RunConfig)| {
        let mut config = small();
        change(&mut config);
        config.validate().unwrap_err().to_string()
    };
    let ages = refusal(|c| c.random_ages = true);
    assert_eq!(
        ages,
        "random_ages: reinforce learns from whole episodes of fresh starts; leave this out"
    );
    let scaled = refusal(|c| c.normalize.reward = true);
    assert!(scaled.starts_with("normalize.reward: "), "{scaled}");
    let none = refusal(|c| settings(c).episodes = 0);
    assert_eq!(none, "algo.episodes: must be at least 1");
}
