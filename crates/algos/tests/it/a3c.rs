use crate::{Toggle, assert_every_toggle_matters, device::device, run, train};
use burn::tensor::Tensor;
use std::sync::Arc;
use uphill_algos::{
    AlgoConfig, Checkpoint, RunConfig, Trainer, a3c::A3cConfig, build_actor, build_critic,
    collect::collect,
};
use uphill_core::{
    advantage::Estimator,
    loss::{policy_gradient_surrogate, value_loss},
    optim::clip_grad_norm,
    peers::Alone,
    rollout::Memory,
    schedule::Schedule,
};
use uphill_envs::NoiseAt;

fn settings(config: &mut RunConfig) -> &mut A3cConfig {
    match &mut config.algo {
        AlgoConfig::A3c(settings) => settings,
        other => panic!("no A3C: {other:?}"),
    }
}

fn with_workers(workers: usize) -> A3cConfig {
    A3cConfig {
        workers,
        updates: 4,
        ..Default::default()
    }
}

#[test]
fn one_worker_is_plain_actor_critic_with_rmsprop() {
    // Three iterations of four updates, because the mean square outlives an iteration.
    let (iterations, entropy_coef, value_coef) = (3, 0.1, 0.4);
    let algo = A3cConfig {
        entropy_coef: Schedule::Constant(entropy_coef),
        value_coef,
        ..with_workers(1)
    };
    let mut config = run("CartPole-v1", 3, iterations * 3 * 5 * 4, algo);
    config.network.hidden = vec![8];
    let (trainer, reports) = train(config.clone());
    assert_eq!(reports.len() as u64, iterations);

    // The same updates in a row, written with tensors.
    let device = device();
    let mut env = uphill_envs::make("CartPole-v1", 3, &device).unwrap();
    env.reset(config.seed);
    let mut actor = build_actor(&config, env.spec(), &device).unwrap();
    let mut critic = build_critic(&config, env.spec(), &device);
    let split = actor.net.num_params();
    let mut params = Tensor::cat(vec![actor.net.flat(), critic.net.flat()], 0);
    let mut second = params.zeros_like();
    for update in 0..4 * iterations {
        // The rate falls from one iteration to the next.
        let rate = 7e-4 * (1.0 - (update / 4) as f64 / iterations as f64);
        let memory = &mut Memory::default();
        let noise = NoiseAt::actions(config.seed, 5 * update);
        let rollout = collect((&actor, &critic), env.as_mut(), memory, 5, noise);
        let advantages = Estimator::MonteCarlo.advantages(&rollout.trace(), 0.99);
        let returns = advantages.clone() + rollout.values.clone();
        let batch = rollout.flatten(advantages, returns);
        let (a, c) = (actor.net.tracked(), critic.net.tracked());
        let dist = actor.with_net(a.clone()).dist(batch.obs.clone());
        let values = critic.with_net(c.clone()).values(batch.obs);
        let loss = value_loss(values, batch.returns) * value_coef
            - policy_gradient_surrogate(dist.log_prob(batch.actions), batch.advantages)
            - dist.entropy().mean() * entropy_coef;
        let grads = loss.backward();
        let grad = Tensor::cat(vec![a.flat_grad(&grads), c.flat_grad(&grads)], 0);
        let (grad, _) = clip_grad_norm(grad, 0.5);
        second = second * 0.99 + grad.clone().square() * 0.01;
        params = params - grad / (second.clone() + 1e-5).sqrt() * rate;
        let rest = params.dims()[0] - split;
        actor.net = actor.net.with_flat(params.clone().narrow(0, 0, split));
        critic.net = critic.net.with_flat(params.clone().narrow(0, split, rest));
    }
    let found = Tensor::cat(
        vec![trainer.actor().net.flat(), trainer.critic().net.flat()],
        0,
    );
    let error: f32 = (found - params).abs().max().into_scalar();
    assert!(error < 1e-6, "parameters differ by {error}");
}

#[test]
fn workers_stop_at_the_budget() {
    for (budget, expected) in [(1010, vec![1000, 1020]), (100, vec![100]), (1, vec![20])] {
        let mut config = run("CartPole-v1", 4, budget, with_workers(2));
        settings(&mut config).updates = 50;
        let (_, reports) = train(config);
        let steps: Vec<u64> = reports.iter().map(|report| report.env_steps).collect();
        // An update takes 5 steps of 4 copies.
        assert_eq!(steps, expected, "of {budget}");
    }
}

#[test]
fn gradients_of_other_workers_arrive_in_between() {
    let mut config = run("CartPole-v1", 4, 4 * 5 * 50 * 10, with_workers(4));
    settings(&mut config).updates = 50;
    let (_, reports) = train(config);
    assert_eq!(reports.len(), 10);
    let metric = |name: &'static str| reports.iter().map(|r| r.metrics.get(name).unwrap());
    assert!(
        metric("staleness").sum::<f64>() > 0.0,
        "no worker ever met another"
    );
    // No more than everything the other three do in an iteration.
    assert!(metric("staleness_max").all(|s| s <= 150.0));
    assert!(
        metric("staleness")
            .zip(metric("staleness_max"))
            .all(|(mean, max)| mean <= max)
    );
}

#[test]
fn workers_have_environments_and_actions_of_their_own() {
    // With a rate of almost nothing all workers act with the same policy.
    let mut config = run("CartPole-v1", 2, 2 * 5 * 200, with_workers(2));
    settings(&mut config).updates = 200;
    settings(&mut config).learning_rate = Schedule::Constant(1e-20);
    let mut trainer = Trainer::new(config, &device()).unwrap();
    trainer.step().unwrap();
    let checkpoint = trainer.save();
    let (a, b) = (checkpoint.env(0).unwrap(), checkpoint.env(1).unwrap());
    assert!(a != b);
}

#[test]
fn a_run_on_several_workers_goes_on_from_its_checkpoint() {
    let config = run("CartPole-v1", 4, 4 * 5 * 4 * 6, with_workers(2));
    let mut first = Trainer::new(config.clone(), &device()).unwrap();
    first.step().unwrap();
    first.step().unwrap();
    let checkpoint = first.save();
    let mut second = Trainer::new(config, &device()).unwrap();
    second.restore(&checkpoint).unwrap();
    assert!(crate::bytes(&second) == crate::bytes(&first));
    while !second.finished() {
        second.step().unwrap();
    }
    assert_eq!(second.env_steps(), 480);
}

#[test]
fn every_setting_changes_what_is_learnt() {
    let mut base = run("Pendulum-v1", 2, 2 * 5 * 8, with_workers(1));
    base.network.hidden = vec![8];
    let toggles: [Toggle; 8] = [
        ("steps", |c| settings(c).steps = 4),
        ("discount", |c| settings(c).gamma = 0.9),
        ("rate", |c| {
            settings(c).learning_rate = Schedule::Constant(1e-3)
        }),
        ("decay", |c| settings(c).decay = 0.9),
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
fn what_workers_cannot_share_is_refused() {
    let problem = |config: RunConfig| config.validate().unwrap_err().to_string();
    let odd = problem(run("CartPole-v1", 3, 100, with_workers(2)));
    assert!(odd.contains("algo.workers") && odd.contains('3'), "{odd}");
    let mut scaled = run("CartPole-v1", 2, 100, with_workers(2));
    scaled.normalize.reward = true;
    assert!(problem(scaled).contains("normalize.reward"));
}

#[test]
fn a_single_process_has_the_same_workers_as_none() {
    let trainer = || {
        let config = run("CartPole-v1", 4, 1000, with_workers(2));
        Trainer::new(config, &device()).unwrap()
    };
    let alone = trainer().save();
    let among = trainer().among(Arc::new(Alone)).unwrap().save();
    let env = |checkpoint: &Checkpoint, worker| checkpoint.env(worker).unwrap();
    assert!(env(&alone, 0) != env(&alone, 1));
    for worker in 0..2 {
        assert!(
            env(&among, worker) == env(&alone, worker),
            "worker {worker} starts elsewhere"
        );
    }
}
