use crate::{device::device, ppo, small};
use uphill_algos::{RunConfig, TrainError, Trainer};
use uphill_core::schedule::Schedule;

/// The message for a small run with one thing changed.
fn refusal(change: impl FnOnce(&mut RunConfig)) -> String {
    let mut config = small();
    change(&mut config);
    match Trainer::new(config, &device()) {
        Err(error @ (TrainError::Config(_) | TrainError::Env(_))) => error.to_string(),
        Err(error) => panic!("not about the configuration: {error}"),
        Ok(_) => panic!("accepted"),
    }
}

#[test]
fn impossible_values_are_refused_by_name() {
    for (message, start) in [
        (refusal(|c| c.num_envs = 0), "num_envs: must be at least 1"),
        (
            refusal(|c| c.total_steps = 0),
            "total_steps: must be at least 1",
        ),
        (
            refusal(|c| c.network.hidden = vec![8, 0]),
            "network.hidden: ",
        ),
        (
            refusal(|c| c.normalize.obs_clip = -1.0),
            "normalize.obs_clip: is -1",
        ),
        (
            refusal(|c| ppo(c).steps = 0),
            "algo.steps: must be at least 1",
        ),
        (
            refusal(|c| c.num_envs = usize::MAX),
            "algo.steps: 16 × num_envs",
        ),
        (
            refusal(|c| ppo(c).gamma = 1.5),
            "algo.gamma: is 1.5, must lie between 0 and 1",
        ),
        (refusal(|c| ppo(c).gamma = f64::NAN), "algo.gamma: is NaN"),
        (
            refusal(|c| ppo(c).clip = Schedule::Constant(0.0)),
            "algo.clip: is 0, must be a positive finite number",
        ),
        (
            refusal(|c| ppo(c).learning_rate = Schedule::Constant(f64::NAN)),
            "algo.learning_rate: is NaN",
        ),
        (
            refusal(|c| ppo(c).max_grad_norm = f64::INFINITY),
            "algo.max_grad_norm: is inf, must be a finite number from 0",
        ),
        (
            refusal(|c| ppo(c).value_coef = -0.5),
            "algo.value_coef: is -0.5",
        ),
    ] {
        assert!(
            message.starts_with(start),
            "{message:?} should start with {start:?}"
        );
    }
}

#[test]
fn a_batch_that_does_not_divide_says_what_would() {
    let message = refusal(|c| ppo(c).minibatches = 7);
    assert_eq!(
        message,
        "algo.minibatches: 7 parts do not divide the batch of 64 samples \
         (algo.steps 16 × num_envs 4); choose a divisor of 64"
    );
}

#[test]
fn an_unknown_environment_gets_a_suggestion() {
    let message = refusal(|c| c.env = "Cartpole-v1".to_owned());
    assert!(message.contains("CartPole-v1"), "{message}");
}

#[test]
fn a_configuration_survives_toml() {
    let config = small();
    let text = toml::to_string_pretty(&config).unwrap();
    assert_eq!(
        toml::from_str::<RunConfig>(&text).unwrap(),
        config,
        "{text}"
    );
}
