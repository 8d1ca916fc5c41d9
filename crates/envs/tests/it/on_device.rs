//! Batches that live on the device under test against batches on the host. On a device without kernels both are
//! the same, and nothing is shown.

use uphill_envs::{BatchEnv, BatchOptions, EnvState, Episode, make_with, steps_on_gpu};

use crate::device::device as device_under_test;
use crate::tools::{bools, device, floats, random_actions, with_kernel};

const COPIES: usize = 33;

fn batches(name: &str) -> [Box<dyn BatchEnv>; 2] {
    let options = BatchOptions {
        random_ages: true,
        ..Default::default()
    };
    [device_under_test(), device()].map(|device| {
        let mut env = make_with(name, COPIES, &device, options).unwrap();
        env.reset(1 << 40 | 7);
        // Every other episode is reported, whatever its age.
        let mut state = env.save();
        let start_ages = state.ints.get_mut("start_age").unwrap();
        start_ages.iter_mut().step_by(2).for_each(|age| *age = 0);
        env.restore(&state).unwrap();
        env
    })
}

#[track_caller]
fn close(found: &[f32], expected: &[f32], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (i, (f, e)) in found.iter().zip(expected).enumerate() {
        let error = (f - e).abs() / e.abs().max(1.0);
        assert!(error < 1e-3, "{what} {i}: device {f}, host {e}");
    }
}

/// Steps both under the same actions and compares everything that comes back.
fn run_both([env, host]: &mut [Box<dyn BatchEnv>; 2], from: u32, to: u32) -> usize {
    let mut ended = 0;
    for t in from..to {
        let actions = random_actions(host.as_ref(), t);
        let on_device = random_actions(env.as_ref(), t);
        let (found, expected) = (env.step(on_device), host.step(actions));
        close(&floats(&found.obs), &floats(&expected.obs), "obs");
        let next_obs = floats(&expected.next_obs);
        close(&floats(&found.next_obs), &next_obs, "next obs");
        close(
            &floats(&found.rewards),
            &floats(&expected.rewards),
            "reward",
        );
        let terminated = bools(&expected.terminated);
        let truncated = bools(&expected.truncated);
        assert_eq!(bools(&found.terminated), terminated, "step {t}");
        assert_eq!(bools(&found.truncated), truncated, "step {t}");
        ended += terminated.iter().chain(&truncated).filter(|x| **x).count();
    }
    ended
}

#[track_caller]
fn same_episodes(found: &[Episode], expected: &[Episode]) {
    let key = |e: &Episode| (e.env, e.length, e.terminated);
    assert!(found.iter().map(key).eq(expected.iter().map(key)));
    for (f, e) in found.iter().zip(expected) {
        let error = (f.episode_return - e.episode_return).abs();
        assert!(
            error < 1e-3 * e.episode_return.abs().max(1.0),
            "{f:?} {e:?}"
        );
    }
}

/// All counters; returns and states are rounded.
fn counters(state: &EnvState) -> Vec<&Vec<u64>> {
    let exact = ["seed", "steps", "age", "start_age", "episode"];
    exact.map(|key| &state.ints[key]).to_vec()
}

#[test]
fn device_and_host_do_the_same() {
    for name in with_kernel() {
        let mut both = batches(name);
        let start = both.each_ref().map(|env| floats(&env.obs()));
        close(&start[0], &start[1], "start");
        let ended = run_both(&mut both, 0, 60);
        assert!(ended > 5, "{name}: {ended} episodes ended");

        // Each goes on where the other stands.
        let [on_device, on_host] = both.each_ref().map(|env| env.save());
        assert_eq!(counters(&on_device), counters(&on_host));
        let (found, expected) = (&on_device.floats["state"], &on_host.floats["state"]);
        close(found, expected, "state");
        both[0].restore(&on_host).unwrap();
        both[1].restore(&on_device).unwrap();
        run_both(&mut both, 60, 80);
        let [found, expected] = both.each_mut().map(|env| env.take_episodes());
        assert!(!expected.is_empty());
        same_episodes(&found, &expected);
    }
}

#[test]
fn the_last_episodes_are_found_on_the_device() {
    for most in [7, 1000] {
        let mut both = batches("CartPole-v1");
        // Nothing has finished yet, then little, then more than is asked for.
        for (from, to) in [(0, 1), (1, 12), (12, 80)] {
            run_both(&mut both, from, to);
            let [found, expected] = both.each_mut().map(|env| env.take_finished(most).read());
            assert_eq!(found.count, expected.count);
            same_episodes(&found.last, &expected.last);
        }
        let nothing = both.map(|mut env| env.take_finished(most).read());
        assert!(nothing.iter().all(|finished| finished.count == 0));
    }
}

#[test]
fn a_kernel_steps_where_there_is_one() {
    let on_gpu = device_under_test() != device();
    let on_device = |name: &str, options: BatchOptions| {
        let mut env = make_with(name, 2, &device_under_test(), options).unwrap();
        assert_ne!(env.on_host().is_some(), env.on_device().is_some());
        env.on_device().is_some()
    };
    let host_steps = BatchOptions {
        host_steps: true,
        ..Default::default()
    };
    for name in with_kernel() {
        assert_eq!(on_device(name, BatchOptions::default()), on_gpu);
        assert!(!on_device(name, host_steps));
        assert!(steps_on_gpu(name, BatchOptions::default()).unwrap());
        assert!(!steps_on_gpu(name, host_steps).unwrap());
    }
    assert!(!on_device("ProbeTwoStep-v0", BatchOptions::default()));
    assert!(!steps_on_gpu("ProbeTwoStep-v0", BatchOptions::default()).unwrap());
    assert!(steps_on_gpu("CartPole-v0", BatchOptions::default()).is_err());
}

#[test]
fn what_is_no_number_shows_up_and_harms_nobody_else() {
    let [mut env, mut healthy] = [0, 1].map(|_| {
        let mut env =
            make_with("Pendulum-v1", 2, &device_under_test(), Default::default()).unwrap();
        env.reset(3);
        env
    });
    let fine = random_actions(env.as_ref(), 0);
    let spoilt = fine.clone().slice_fill([0..1, 0..1], f32::NAN);
    let (step, expected) = (env.step(spoilt), healthy.step(fine));
    assert!(floats(&step.rewards)[0].is_nan() && floats(&step.next_obs)[2].is_nan());
    assert_eq!(floats(&step.obs)[3..], floats(&expected.obs)[3..]);
}
