//! The optima that the probes state, by playing them.

use uphill_envs::{BatchEnv, make};

use crate::tools::{actions, bools, device, floats};

#[test]
fn constant_pays_one_and_ends() {
    let mut env = make("ProbeConstant-v0", 2, &device()).unwrap();
    assert_eq!(floats(&env.reset(0)), [0.0, 0.0]);
    let step = env.step(actions(&[0.0, 1.0], 1));
    assert_eq!(floats(&step.rewards), [1.0, 1.0]);
    assert_eq!(bools(&step.terminated), [true, true]);
}

#[test]
fn observation_pays_what_was_shown() {
    let n = 64;
    let mut env = make("ProbeObservation-v0", n, &device()).unwrap();
    let mut shown = floats(&env.reset(0));
    assert!(shown.contains(&1.0) && shown.contains(&-1.0));
    for _ in 0..3 {
        let step = env.step(actions(&vec![0.0; n], 1));
        assert_eq!(floats(&step.rewards), shown);
        shown = floats(&step.obs);
    }
}

#[test]
fn two_step_pays_at_the_end() {
    let mut env = make("ProbeTwoStep-v0", 1, &device()).unwrap();
    let play = |env: &mut dyn BatchEnv| {
        let step = env.step(actions(&[0.0], 1));
        (
            floats(&step.rewards)[0],
            bools(&step.terminated)[0],
            floats(&step.obs)[0],
        )
    };
    assert_eq!(floats(&env.reset(0)), [0.0]);
    for _ in 0..2 {
        assert_eq!(play(env.as_mut()), (0.0, false, 1.0));
        assert_eq!(play(env.as_mut()), (1.0, true, 0.0));
    }
}

#[test]
fn action_pays_for_action_one() {
    let mut env = make("ProbeAction-v0", 2, &device()).unwrap();
    assert_eq!(
        floats(&env.step(actions(&[0.0, 1.0], 1)).rewards),
        [-1.0, 1.0]
    );
}

#[test]
fn identity_pays_for_naming_the_observation() {
    let n = 64;
    let mut env = make("ProbeIdentity-v0", n, &device()).unwrap();
    let obs = floats(&env.reset(0));
    let named: Vec<f32> = obs
        .chunks_exact(4)
        .map(|row| row.iter().position(|x| *x == 1.0).unwrap() as f32)
        .collect();
    assert!((0..4).all(|k| named.contains(&(k as f32))));
    let step = env.step(actions(&named, 1));
    assert_eq!(floats(&step.rewards), vec![1.0; n]);
    let constant = floats(&env.step(actions(&vec![2.0; n], 1)).rewards);
    assert!(constant.contains(&0.0) && constant.contains(&1.0));
}

#[test]
fn lqr_is_only_ever_truncated() {
    let mut env = make("ProbeLqr-v0", 1, &device()).unwrap();
    for t in 1..=64 {
        let step = env.step(actions(&[2.0], 1));
        assert_eq!(
            (bools(&step.terminated)[0], bools(&step.truncated)[0]),
            (false, t % 32 == 0)
        );
    }
}
