//! Stacked observations, and CartPole without velocities.

use uphill_envs::{BatchEnv, BatchOptions, EnvError, make, make_with, spec_with};

use crate::tools::{bools, device, floats, random_actions};

fn stacked(name: &str, n: usize, frames: usize) -> Box<dyn BatchEnv> {
    let options = BatchOptions {
        frames,
        ..Default::default()
    };
    make_with(name, n, &device(), options).unwrap()
}

#[test]
fn frames_are_the_latest_observations_of_the_episode() {
    let (n, frames, dim) = (4, 3, 4);
    let mut plain = make("CartPole-v1", n, &device()).unwrap();
    let mut stack = stacked("CartPole-v1", n, frames);
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
        let found = stack.step(random_actions(stack.as_ref(), t));
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
