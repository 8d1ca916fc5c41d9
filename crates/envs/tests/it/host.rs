//! What the batch adds to the dynamics: autoreset, time limits, clipping, statistics, threads.

use burn::tensor::Tensor;
use uphill_envs::{
    BatchEnv, CartPole, Element, Env, EnvError, EnvSpec, EnvState, Episode, Finished,
    FinishedEpisodes, HostBatch, ObsMut, Pendulum, Philox, Step, StepRows, Stream,
};

use crate::tools::{Walk, actions, bools, device, floats, random_actions, run};

#[test]
fn a_finished_copy_starts_anew_within_the_step() {
    let walk = Walk {
        end: 4.0,
        time_limit: Some(3),
    };
    let mut env = HostBatch::new(walk, 1, &device()).unwrap();
    env.reset(8);
    let right = || actions(&[0.5], 1);
    for _ in 0..2 {
        let step = env.step(right());
        assert_eq!(floats(&step.obs), floats(&step.next_obs));
    }
    let step = env.step(right());
    assert_eq!(
        (bools(&step.terminated), bools(&step.truncated)),
        (vec![false], vec![true])
    );
    // Before autoreset: the state that the third step led to. After: start state of episode 1 of copy 0.
    assert_eq!(floats(&step.next_obs)[1], 0.5);
    let mut start = [0.0; 2];
    Walk {
        end: 4.0,
        time_limit: None,
    }
    .reset(&mut start, &mut Philox::new(8, Stream::Reset, 1, 0));
    assert_eq!(floats(&step.obs), start);
    // The next step goes on from there: position + action + noise of step 3.
    let noise = Philox::new(8, Stream::Step, 3, 0).normal();
    assert_eq!(
        floats(&env.step(right()).next_obs)[0],
        start[0] + (0.5 + noise)
    );
}

#[test]
fn reaching_the_goal_on_the_last_step_is_a_termination() {
    let mut env = HostBatch::new(
        Walk {
            end: -1.0,
            time_limit: Some(1),
        },
        2,
        &device(),
    )
    .unwrap();
    let step = env.step(actions(&[0.0, 0.0], 1));
    assert_eq!(bools(&step.terminated), [true, true]);
    assert_eq!(bools(&step.truncated), [false, false]);
    assert!(env.take_episodes().iter().all(|episode| episode.terminated));
}

#[test]
fn the_time_limit_can_be_replaced() {
    let check = |limit: Option<u32>, lengths: &[u32]| {
        let mut env = HostBatch::new(Pendulum, 1, &device())
            .unwrap()
            .with_time_limit(limit);
        assert_eq!(env.spec().time_limit, limit);
        run(&mut env, 0, 401);
        let found: Vec<u32> = env.take_episodes().iter().map(|e| e.length).collect();
        assert_eq!(found, lengths);
    };
    check(Some(150), &[150, 150]);
    check(Some(200), &[200, 200]);
    check(None, &[]);
}

#[test]
fn episodes_are_sums_and_counts_in_order_of_step_and_copy() {
    // One task, and several on as many threads as there are.
    for n in [4, 3001] {
        episodes_of(n);
    }
}

fn episodes_of(n: usize) {
    let walk = Walk {
        end: 2.0,
        time_limit: Some(7),
    };
    let mut env = HostBatch::new(walk, n, &device()).unwrap();
    env.reset(5);
    let (mut sums, mut lengths, mut expected) = (vec![0.0_f64; n], vec![0; n], Vec::new());
    for step in run(&mut env, 0, 60) {
        for i in 0..n {
            sums[i] += f64::from(f32::from_bits(step.rewards[i]));
            lengths[i] += 1;
            if step.terminated[i] || step.truncated[i] {
                expected.push((i, sums[i], lengths[i], step.terminated[i]));
                (sums[i], lengths[i]) = (0.0, 0);
            }
        }
    }
    let found: Vec<_> = env
        .take_episodes()
        .into_iter()
        .map(|e| (e.env, e.episode_return, e.length, e.terminated))
        .collect();
    assert!(found == expected, "{n} copies");
    assert!(
        found.iter().any(|e| e.3) && found.iter().any(|e| !e.3),
        "both ways to end"
    );
    assert!(env.take_episodes().is_empty(), "taken twice");
}

#[test]
fn real_actions_are_clipped_to_their_bounds() {
    let mut env = HostBatch::new(
        Walk {
            end: 1e9,
            time_limit: None,
        },
        5,
        &device(),
    )
    .unwrap();
    let step = env.step(actions(
        &[0.25, 7.0, -3.0, f32::INFINITY, f32::NEG_INFINITY],
        1,
    ));
    assert_eq!(floats(&step.rewards), [0.25, 0.5, -1.0, 0.5, -1.0]);
}

#[test]
fn an_action_that_is_no_number_shows_up_and_harms_nobody_else() {
    let walk = || Walk {
        end: 1e9,
        time_limit: Some(2),
    };
    let mut env = HostBatch::new(walk(), 2, &device()).unwrap();
    let mut healthy = HostBatch::new(walk(), 2, &device()).unwrap();
    let step = env.step(actions(&[f32::NAN, 0.1], 1));
    let expected = healthy.step(actions(&[0.1, 0.1], 1));
    assert!(floats(&step.rewards)[0].is_nan() && floats(&step.next_obs)[0].is_nan());
    assert_eq!(floats(&step.obs)[2..], floats(&expected.obs)[2..]);
    // The time limit still ends the episode, and the copy recovers.
    let step = env.step(actions(&[0.1, 0.1], 1));
    assert_eq!(bools(&step.truncated), [true, true]);
    assert!(floats(&step.obs).iter().all(|x| x.is_finite()));
}

#[test]
#[should_panic(expected = "shape of the actions")]
fn actions_of_another_shape_are_a_mistake() {
    let mut env = HostBatch::new(CartPole, 2, &device()).unwrap();
    env.step(Tensor::zeros([2, 2], &device()));
}

#[test]
fn copies_differ_from_each_other() {
    let mut env = HostBatch::new(CartPole, 100, &device()).unwrap();
    let mut rows: Vec<Vec<u32>> = floats(&env.reset(0))
        .chunks_exact(4)
        .map(|row| row.iter().map(|x| x.to_bits()).collect())
        .collect();
    rows.sort();
    rows.dedup();
    assert_eq!(rows.len(), 100);
    assert_ne!(floats(&env.reset(0)), floats(&env.reset(1)));
    assert_ne!(floats(&env.reset(0)), floats(&env.reset(1 << 32)));
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let on_threads = |threads| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        pool.install(|| {
            let walk = Walk {
                end: 3.0,
                time_limit: Some(9),
            };
            let mut env = HostBatch::new(walk, 3001, &device()).unwrap();
            env.reset(2);
            (run(&mut env, 0, 30), env.take_episodes(), env.save())
        })
    };
    let (one, three) = (on_threads(1), on_threads(3));
    assert!(one == on_threads(2), "two threads");
    assert!(one == three, "three threads");
}

#[test]
fn random_ages_spread_the_truncations() {
    let (n, limit) = (200, 200);
    let mut env = HostBatch::new(Pendulum, n, &device())
        .unwrap()
        .with_random_ages();
    env.reset(4);
    let start_ages = env.save().ints["start_age"].clone();
    let mut per_step = Vec::new();
    for step in run(&mut env, 0, limit) {
        per_step.push(step.truncated.iter().filter(|t| **t).count());
    }
    // Every copy is truncated once in 200 steps, a copy of age a after 200 − a, and no moment has many.
    assert_eq!(per_step.iter().sum::<usize>(), n);
    assert!(per_step.iter().all(|count| *count < 8), "{per_step:?}");
    for (t, count) in per_step.iter().enumerate() {
        let ages = start_ages
            .iter()
            .filter(|a| **a == u64::from(limit) - 1 - t as u64);
        assert_eq!(*count, ages.count());
    }
    // Shortened episodes are not reported: from an age of 0 on, all are.
    let whole = start_ages.iter().filter(|a| **a == 0).count();
    assert_eq!(env.take_episodes().len(), whole);
    run(&mut env, limit, 2 * limit);
    let episodes = env.take_episodes();
    assert_eq!(episodes.len(), n);
    assert!(episodes.iter().all(|e| e.length == limit));
}

#[test]
fn a_copy_s_chance_is_a_function_of_its_place_and_the_step() {
    // In one task, and in several.
    for n in [3, 3001] {
        let walk = Walk {
            end: 1e9,
            time_limit: None,
        };
        let mut env = HostBatch::new(walk.clone(), n, &device()).unwrap();
        let start = floats(&env.reset(7));
        for (i, obs) in start.chunks_exact(2).enumerate() {
            let mut expected = [0.0; 2];
            walk.reset(
                &mut expected,
                &mut Philox::new(7, Stream::Reset, 0, i as u32),
            );
            assert_eq!(obs, expected, "copy {i} of {n}");
        }
        let still = || actions(&vec![0.0; n], 1);
        let noise = |t, i: usize| Philox::new(7, Stream::Step, t, i as u32).normal();
        let first = floats(&env.step(still()).next_obs);
        let second = floats(&env.step(still()).next_obs);
        for i in 0..n {
            assert_eq!(first[2 * i], start[2 * i] + noise(0, i), "copy {i} of {n}");
            assert_eq!(second[2 * i], first[2 * i] + noise(1, i), "copy {i} of {n}");
        }
    }
}

#[test]
fn steps_in_host_memory_are_those_on_tensors() {
    for frames in [1, 3] {
        let batch = || {
            let walk = Walk {
                end: 2.0,
                time_limit: Some(9),
            };
            let batch = HostBatch::new(walk, 4, &device()).unwrap();
            batch.with_frames(frames)
        };
        let (mut tensors, mut host) = (batch(), batch());
        for t in 0..40 {
            let actions = random_actions(&tensors, t);
            let step = tensors.step(actions.clone());
            let (mut next_obs, mut rewards) = (vec![0.0; 8 * frames], vec![0.0; 4]);
            let (mut terminated, mut truncated) = ([false; 4], [false; 4]);
            let rows = StepRows {
                next_obs: ObsMut::Floats(&mut next_obs),
                rewards: &mut rewards,
                terminated: &mut terminated,
                truncated: &mut truncated,
            };
            let host = host.on_host().unwrap();
            host.step(&mut floats(&actions), rows);
            assert_eq!(
                host.obs().to_floats(Element::Float),
                floats(&step.obs),
                "step {t}"
            );
            assert_eq!(next_obs, floats(&step.next_obs), "step {t}");
            assert_eq!(rewards, floats(&step.rewards), "step {t}");
            assert_eq!(terminated[..], bools(&step.terminated), "step {t}");
            assert_eq!(truncated[..], bools(&step.truncated), "step {t}");
        }
    }
}

#[test]
fn frames_leave_a_replaced_time_limit() {
    let env = HostBatch::new(Pendulum, 1, &device()).unwrap();
    let mut env = env.with_time_limit(Some(3)).with_frames(2);
    assert_eq!(env.spec().time_limit, Some(3));
    run(&mut env, 0, 4);
    assert_eq!(env.take_episodes()[0].length, 3);
}

/// A batch that says no more than it has to.
struct Plain(HostBatch<Walk>);

impl BatchEnv for Plain {
    fn spec(&self) -> &EnvSpec {
        self.0.spec()
    }
    fn num_envs(&self) -> usize {
        self.0.num_envs()
    }
    fn reset(&mut self, seed: u64) -> Tensor<2> {
        self.0.reset(seed)
    }
    fn obs(&self) -> Tensor<2> {
        self.0.obs()
    }
    fn step(&mut self, actions: Tensor<2>) -> Step {
        self.0.step(actions)
    }
    fn take_episodes(&mut self) -> Vec<Episode> {
        self.0.take_episodes()
    }
    fn save(&self) -> EnvState {
        self.0.save()
    }
    fn restore(&mut self, state: &EnvState) -> Result<(), EnvError> {
        self.0.restore(state)
    }
}

#[test]
fn a_batch_need_not_say_what_is_usual() {
    let walk = Walk {
        end: 1e9,
        time_limit: Some(1),
    };
    let mut env = Plain(HostBatch::new(walk, 2, &device()).unwrap());
    assert!(env.on_host().is_none() && env.failure().is_none() && env.saves_copies());
    // Four episodes of one step each, in order of step and copy; the last three are kept.
    let rewards: Vec<f32> = (0..2)
        .flat_map(|t| floats(&env.step(actions(&[0.1 * t as f32, 0.2], 1)).rewards))
        .collect();
    let Finished::Host(FinishedEpisodes { count, last }) = env.take_finished(3) else {
        panic!("a batch in host memory");
    };
    let found: Vec<_> = last.iter().map(|e| (e.env, e.episode_return)).collect();
    let expected = [1, 2, 3].map(|at| (at % 2, f64::from(rewards[at])));
    assert_eq!((count, found), (4, expected.to_vec()));
    assert!(env.take_episodes().is_empty(), "taken twice");
}

#[test]
fn episodes_are_read_from_wherever_they_are() {
    let episodes = FinishedEpisodes {
        count: 70_000,
        last: vec![Episode {
            env: 3,
            episode_return: -0.5,
            length: 12,
            terminated: true,
        }],
    };
    assert_eq!(Finished::Host(episodes.clone()).read(), episodes);
    let values = episodes.to_values(1);
    let tensor = Tensor::from_floats(values.as_slice(), &device());
    assert_eq!(Finished::Device(tensor).read(), episodes);
}
