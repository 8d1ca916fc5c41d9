//! What every environment promises, checked for all of them.

use uphill_envs::{ActionSpace, BatchEnv, BatchOptions, NAMES, make_with, spec_with};

use crate::device::device as device_under_test;
use crate::tools::{bools, device, floats, random_actions, run, with_kernel};

#[test]
fn every_environment_keeps_the_contract() {
    for name in NAMES {
        for (random_ages, frames) in [(false, 1), (true, 1), (false, 3)] {
            let options = BatchOptions {
                random_ages,
                frames,
                ..Default::default()
            };
            let make = |n| make_with(name, n, &device(), options).unwrap();
            check_contract(name, frames, 1000, &make);
        }
    }
}

/// The environments that have a kernel, where it steps them. Every number is read back, so there are fewer.
#[test]
fn kernels_keep_the_contract() {
    for name in with_kernel() {
        let options = BatchOptions {
            random_ages: true,
            ..Default::default()
        };
        let make = |n| make_with(name, n, &device_under_test(), options).unwrap();
        check_contract(name, 1, 300, &make);
    }
}

fn check_contract(
    name: &str,
    frames: usize,
    steps: u32,
    make: &dyn Fn(usize) -> Box<dyn BatchEnv>,
) {
    let mut env = make(5);
    assert_eq!(env.spec(), &spec_with(name, frames).unwrap());
    check_spec(env.as_ref());
    check_steps(env.as_mut(), steps);

    // The same seed is the same run, on the same batch and on another one; another seed is another run.
    env.reset(3);
    let first = run(env.as_mut(), 0, 100);
    env.reset(3);
    assert_eq!(run(env.as_mut(), 0, 100), first, "{name}: same seed");
    let mut other = make(5);
    other.reset(3);
    assert_eq!(
        run(other.as_mut(), 0, 100),
        first,
        "{name}: same seed, other batch"
    );

    // A copy does not depend on how many others there are.
    let mut fewer = make(2);
    fewer.reset(3);
    let dim = env.spec().obs.dim();
    for (few, many) in run(fewer.as_mut(), 0, 100).iter().zip(&first) {
        assert_eq!(few.obs[..], many.obs[..2 * dim], "{name}: number of copies");
        assert_eq!(
            few.rewards[..],
            many.rewards[..2],
            "{name}: number of copies"
        );
    }

    // A saved state continues in a new batch, identically.
    let saved = env.save();
    let expected = run(env.as_mut(), 100, 200);
    let expected_episodes = env.take_episodes();
    let mut restored = make(5);
    restored.restore(&saved).unwrap();
    assert_eq!(restored.save(), saved, "{name}: saved again");
    assert_eq!(
        run(restored.as_mut(), 100, 200),
        expected,
        "{name}: restored"
    );
    assert_eq!(
        restored.take_episodes(),
        expected_episodes,
        "{name}: restored"
    );
}

fn check_spec(env: &dyn BatchEnv) {
    let spec = env.spec();
    let name = &spec.name;
    assert!(
        spec.obs.dim() > 0 && spec.obs.low.len() == spec.obs.high.len(),
        "{name}"
    );
    assert!(
        spec.obs.low.iter().zip(&spec.obs.high).all(|(l, h)| l <= h),
        "{name}"
    );
    match &spec.action {
        ActionSpace::Discrete { n } => assert!(*n > 0, "{name}"),
        ActionSpace::MaskedDiscrete { n } => {
            assert!(
                *n > 0 && spec.normalized_width() + n == spec.obs.dim(),
                "{name}"
            );
        }
        ActionSpace::MultiDiscrete { choices } => {
            assert!(!choices.is_empty() && !choices.contains(&0), "{name}");
        }
        ActionSpace::Box { low, high } => {
            assert!(
                low.len() == high.len() && low.iter().zip(high).all(|(l, h)| l < h),
                "{name}"
            );
        }
    }
}

fn check_steps(env: &mut dyn BatchEnv, steps: u32) {
    let spec = env.spec().clone();
    let name = &spec.name;
    let (n, dim) = (env.num_envs(), spec.obs.dim());
    let inside = |obs: &[f32]| {
        obs.chunks_exact(dim).all(|row| {
            row.iter()
                .zip(&spec.obs.low)
                .zip(&spec.obs.high)
                .all(|((x, l), h)| (l..=h).contains(&x))
        })
    };
    assert_eq!(env.reset(1).dims(), [n, dim], "{name}");
    assert_eq!(env.obs().dims(), [n, dim], "{name}");
    let mut ended = 0;
    for t in 0..steps {
        let step = env.step(random_actions(env, t));
        assert_eq!(step.obs.dims(), [n, dim], "{name}");
        assert_eq!(step.next_obs.dims(), [n, dim], "{name}");
        assert_eq!(step.rewards.dims(), [n], "{name}");
        let (obs, next_obs) = (floats(&step.obs), floats(&step.next_obs));
        assert_eq!(obs, floats(&env.obs()), "{name}");
        assert!(
            inside(&obs) && inside(&next_obs),
            "{name}, step {t}: {obs:?} {next_obs:?}"
        );
        assert!(
            floats(&step.rewards).iter().all(|r| r.is_finite()),
            "{name}"
        );
        for (i, (terminated, truncated)) in bools(&step.terminated)
            .into_iter()
            .zip(bools(&step.truncated))
            .enumerate()
        {
            assert!(!(terminated && truncated), "{name}");
            ended += usize::from(terminated || truncated);
            if !(terminated || truncated) {
                assert_eq!(obs[i * dim..][..dim], next_obs[i * dim..][..dim], "{name}");
            }
        }
    }
    assert!(ended > 0, "{name}: no episode ended");
    let episodes = env.take_episodes();
    // With random ages the first episode of a copy may be left out.
    assert!(
        (ended - n..=ended).contains(&episodes.len()),
        "{name}: {ended} {}",
        episodes.len()
    );
    assert!(env.take_episodes().is_empty(), "{name}");
    assert!(episodes.iter().all(|e| e.env < n && e.length > 0), "{name}");
    if let Some(limit) = spec.time_limit {
        assert!(
            episodes
                .iter()
                .all(|e| e.length <= limit && (e.terminated || e.length == limit)),
            "{name}"
        );
    }
}
