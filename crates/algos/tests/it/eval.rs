use crate::{device::device, small};
use uphill_algos::{build_actor, eval::evaluate, random::action_noise};
use uphill_envs::{NoiseAt, Stream};

#[test]
fn it_runs_exactly_as_many_episodes_as_asked_for_whatever_the_copies() {
    let spec = uphill_envs::spec("CartPole-v1").unwrap();
    let actor = build_actor(&small(), &spec, &device()).unwrap();
    for (copies, episodes) in [(4, 10), (7, 3), (1, 2)] {
        let mut env = uphill_envs::make("CartPole-v1", copies, &device()).unwrap();
        for stochastic in [false, true] {
            let result = evaluate(&actor, env.as_mut(), episodes, 1, stochastic).unwrap();
            assert_eq!(result.episodes.len(), episodes);
            assert_eq!(result.mean_return(), result.mean_length());
            let again = evaluate(&actor, env.as_mut(), episodes, 1, stochastic).unwrap();
            assert_eq!(again, result);
        }
    }
}

#[test]
fn mean_and_spread_of_the_returns() {
    let spec = uphill_envs::spec("Pendulum-v1").unwrap();
    let mut config = small();
    config.env = "Pendulum-v1".into();
    let actor = build_actor(&config, &spec, &device()).unwrap();
    let mut env = uphill_envs::make("Pendulum-v1", 2, &device()).unwrap();
    let result = evaluate(&actor, env.as_mut(), 4, 3, true).unwrap();
    let returns: Vec<f64> = result.returns().collect();
    let mean = returns.iter().sum::<f64>() / 4.0;
    let variance = returns.iter().map(|r| (r - mean).powi(2)).sum::<f64>() / 4.0;
    assert!((result.mean_return() - mean).abs() < 1e-9);
    assert!((result.std_return() - variance.sqrt()).abs() < 1e-9);
    assert_eq!(result.mean_length(), 200.0);
}

#[test]
fn sampled_actions_have_noise_of_their_own_in_every_step() {
    const SEED: u64 = 3;
    let spec = uphill_envs::spec("Pendulum-v1").unwrap();
    let mut config = small();
    config.env = "Pendulum-v1".into();
    let actor = build_actor(&config, &spec, &device()).unwrap();
    let mut env = uphill_envs::make("Pendulum-v1", 2, &device()).unwrap();
    let found = evaluate(&actor, env.as_mut(), 2, SEED, true).unwrap();

    // The same episodes step by step.
    let mut obs = env.reset(SEED);
    for t in 0..200 {
        let at = NoiseAt::new(SEED, Stream::EvalAction, t);
        let noise = action_noise(&actor.kind, at, [1, 2], &device());
        let (dist, _) = actor.step(obs, None);
        let actions = dist.sample(noise.squeeze_dim(0));
        obs = env.step(actor.kind.env_actions(actions)).obs;
    }
    assert_eq!(found.episodes, env.take_episodes());
}
