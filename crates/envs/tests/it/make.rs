//! Environments by name, and the errors of making one.

use uphill_envs::{CartPole, EnvError, HostBatch, NAMES, make, spec};

use crate::tools::device;

#[test]
fn an_unknown_name_gets_a_suggestion_and_all_names() {
    let error = make("Cartpole-v1", 1, &device()).err().unwrap();
    let message = error.to_string();
    assert!(
        message.contains("`Cartpole-v1`, did you mean `CartPole-v1`?"),
        "{message}"
    );
    assert!(NAMES.iter().all(|name| message.contains(name)), "{message}");
    assert_eq!(spec("Cartpole-v1").unwrap_err(), error);
}

#[test]
fn a_name_like_no_other_gets_no_suggestion() {
    let message = spec("xyzzy").unwrap_err().to_string();
    assert!(
        message.contains("unknown environment `xyzzy`; there are: CartPole-v1"),
        "{message}"
    );
}

#[test]
fn a_batch_of_nothing_is_an_error() {
    assert_eq!(
        make("CartPole-v1", 0, &device()).err(),
        Some(EnvError::NoEnvs)
    );
    assert_eq!(
        HostBatch::new(CartPole, 0, &device()).err(),
        Some(EnvError::NoEnvs)
    );
}

#[test]
fn a_batch_can_live_on_a_device_that_records_gradients() {
    let device = device().autodiff();
    let mut env = make("Pendulum-v1", 3, &device).unwrap();
    let obs = env.reset(0);
    let actions = obs.narrow(1, 0, 1).require_grad();
    assert_eq!(env.step(actions).obs.dims(), [3, 3]);
}

#[test]
fn a_batch_can_be_sent_to_another_thread() {
    let mut env = make("CartPole-v1", 2, &device()).unwrap();
    let dims = std::thread::spawn(move || env.reset(1).dims())
        .join()
        .unwrap();
    assert_eq!(dims, [2, 4]);
}
