//! Stacked observations, and CartPole without velocities.

use uphill_envs::{
    BatchEnv, BatchOptions, EnvError, Finished, FrameStack, HostBatch, make, make_with, spec_with,
};

use crate::tools::{Walk, bools, device, floats, random_actions, run};

fn stacked(name: &str, n: usize, frames: usize) -> Box<dyn BatchEnv> {
    let options = BatchOptions {
        frames,
        ..Default::default()
    };
    make_with(name, n, &device(), options).unwrap()
}

/// The same on tensors.
fn stacked_on_tensors(name: &str, n: usize, frames: usize) -> FrameStack {
    FrameStack::new(make(name, n, &device()).unwrap(), frames)
}

#[test]
fn frames_are_the_latest_observations_of_the_episode() {
    for frames in [1, 3] {
        shows_the_latest(stacked("CartPole-v1", 4, frames).as_mut(), frames);
        shows_the_latest(&mut stacked_on_tensors("CartPole-v1", 4, frames), frames);
    }
}

/// Of four copies of CartPole.
fn shows_the_latest(stack: &mut dyn BatchEnv, frames: usize) {
    let (n, dim) = (4, 4);
    let mut plain = make("CartPole-v1", n, &device()).unwrap();
    assert_eq!(stack.spec(), &spec_with("CartPole-v1", frames).unwrap());
    assert_eq!(stack.spec().obs.dim(), frames * dim);
    // What each copy has seen in its episode, oldest first.
    let rows = |obs: Vec<f32>| -> Vec<Vec<f32>> { obs.chunks(dim).map(<[f32]>::to_vec).collect() };
    let mut seen: Vec<Vec<Vec<f32>>> = rows(floats(&plain.reset(3)))
        .into_iter()
        .map(|obs| vec![obs])
        .collect();
    let latest = |history: &[Vec<f32>]| -> Vec<f32> {
        (0..frames)
            .flat_map(|k| history[(history.len() + k).saturating_sub(frames)].clone())
            .collect()
    };
    let all = |seen: &[Vec<Vec<f32>>]| seen.iter().flat_map(|h| latest(h)).collect::<Vec<_>>();
    assert_eq!(floats(&stack.reset(3)), all(&seen));
    let mut episodes = 0;
    for t in 0..200 {
        let step = plain.step(random_actions(plain.as_ref(), t));
        let found = stack.step(random_actions(stack, t));
        for (history, obs) in seen.iter_mut().zip(rows(floats(&step.next_obs))) {
            history.push(obs);
        }
        assert_eq!(floats(&found.next_obs), all(&seen), "step {t}");
        let fresh = rows(floats(&step.obs));
        for (copy, ended) in bools(&step.terminated).into_iter().enumerate() {
            if ended {
                episodes += 1;
                seen[copy] = vec![fresh[copy].clone()];
            }
        }
        assert_eq!(floats(&found.obs), all(&seen), "step {t}");
        assert_eq!(floats(&stack.obs()), all(&seen), "step {t}");
        assert_eq!(floats(&found.rewards), floats(&step.rewards));
    }
    assert!(episodes > 10);
}

/// Frames of tensors are around another batch, which does the rest.
#[test]
fn frames_of_tensors_leave_the_rest_to_the_batch() {
    let walk = || Walk {
        end: 1.0,
        time_limit: Some(5),
    };
    let plain = || HostBatch::new(walk(), 3, &device()).unwrap();
    let (mut whole, mut stack) = (plain(), FrameStack::new(Box::new(plain()), 2));
    assert_eq!(stack.num_envs(), 3);
    assert!(stack.saves_copies() && stack.failure().is_none());
    whole.reset(4);
    stack.reset(4);
    let step = |env: &mut dyn BatchEnv, from| {
        let steps = run(env, from, from + 20).into_iter();
        steps.map(|step| (step.rewards, step.terminated, step.truncated))
    };
    assert!(step(&mut whole, 0).eq(step(&mut stack, 0)));
    let episodes = whole.take_episodes();
    assert!(episodes.len() > 3);
    assert_eq!(stack.take_episodes(), episodes);
    assert!(step(&mut whole, 20).eq(step(&mut stack, 20)));
    let finished = |env: &mut dyn BatchEnv| match env.take_finished(2) {
        Finished::Host(episodes) => episodes,
        Finished::Device(_) => panic!("a batch in host memory"),
    };
    let expected = finished(&mut whole);
    assert!(expected.count > 2);
    assert_eq!(finished(&mut stack), expected);
}

#[test]
fn frames_of_tensors_go_on_from_a_saved_state() {
    let mut stack = stacked_on_tensors("CartPole-v1", 4, 3);
    stack.reset(3);
    run(&mut stack, 0, 30);
    let saved = stack.save();
    // As the batch that stacks frames itself saves them.
    let mut other = stacked("CartPole-v1", 4, 3);
    other.reset(3);
    run(other.as_mut(), 0, 30);
    assert_eq!(saved, other.save());
    let expected = (floats(&stack.obs()), run(&mut stack, 30, 60));
    let mut restored = stacked_on_tensors("CartPole-v1", 4, 3);
    restored.restore(&saved).unwrap();
    assert_eq!(
        (floats(&restored.obs()), run(&mut restored, 30, 60)),
        expected
    );
    let error = stacked_on_tensors("CartPole-v1", 4, 2).restore(&saved);
    assert!(matches!(error, Err(EnvError::BadState { key, .. }) if key == "frames"));
}

#[test]
fn a_state_of_another_number_of_frames_is_refused() {
    let saved = stacked("CartPole-v1", 2, 3).save();
    let error = stacked("CartPole-v1", 2, 2).restore(&saved).unwrap_err();
    assert!(matches!(error, EnvError::BadState { key, .. } if key == "frames"));
}

#[test]
fn hidden_velocities_are_all_that_differs() {
    let (mut whole, mut hidden) = (
        make("CartPole-v1", 8, &device()).unwrap(),
        make("CartPolePositions-v1", 8, &device()).unwrap(),
    );
    let positions =
        |obs: Vec<f32>| -> Vec<f32> { obs.chunks(4).flat_map(|x| [x[0], x[2]]).collect() };
    assert_eq!(floats(&hidden.reset(5)), positions(floats(&whole.reset(5))));
    for t in 0..100 {
        let expected = whole.step(random_actions(whole.as_ref(), t));
        let found = hidden.step(random_actions(hidden.as_ref(), t));
        assert_eq!(floats(&found.obs), positions(floats(&expected.obs)));
        assert_eq!(floats(&found.rewards), floats(&expected.rewards));
        assert_eq!(bools(&found.terminated), bools(&expected.terminated));
    }
}
