//! A batch around copies that somebody else steps: they may fail, be cut off and be unable to save.

use uphill_envs::{
    Batch, BatchEnv, Copies, CopyRows, Env, EnvError, EnvSpec, EnvState, FrameStack, HostBatch,
    ObsMut, Philox, Seeds, Stream, Threads,
};

use crate::tools::{Walk, actions, bools, device, floats, run};

/// Walks that are stepped elsewhere: nobody can look at their state.
struct Elsewhere {
    inner: Threads<Walk>,
    /// Steps until the connection is lost.
    left: u32,
    /// Copies that are cut off in every step with this number.
    cut_off: Option<(usize, u32)>,
    steps: u32,
    resets: Vec<Vec<bool>>,
    /// What generators of others would be seeded with in the last reset.
    seeds: Vec<u64>,
}

impl Elsewhere {
    fn new(copies: usize, left: u32) -> Self {
        Self {
            inner: Threads::new(walk(), copies).unwrap(),
            left,
            cut_off: None,
            steps: 0,
            resets: vec![],
            seeds: vec![],
        }
    }
}

fn walk() -> Walk {
    Walk {
        end: 3.0,
        time_limit: Some(20),
    }
}

impl Copies for Elsewhere {
    fn spec(&self) -> &EnvSpec {
        self.inner.spec()
    }

    fn count(&self) -> usize {
        self.inner.count()
    }

    fn reset(&mut self, which: &[bool], seeds: Seeds<'_>, obs: ObsMut<'_>) -> Result<(), EnvError> {
        self.resets.push(which.to_vec());
        self.seeds = (0..which.len()).map(|i| seeds.seed_of_reset(i)).collect();
        self.inner.reset(which, seeds, obs)
    }

    fn step(
        &mut self,
        actions: &[f32],
        seeds: Seeds<'_>,
        into: CopyRows<'_>,
    ) -> Result<(), EnvError> {
        self.left = self.left.checked_sub(1).ok_or_else(lost)?;
        self.steps += 1;
        let CopyRows {
            next_obs,
            rewards,
            terminated,
            truncated,
        } = into;
        let rows = CopyRows {
            next_obs,
            rewards,
            terminated,
            truncated: &mut *truncated,
        };
        self.inner.step(actions, seeds, rows)?;
        if let Some((copy, every)) = self.cut_off {
            truncated[copy] = self.steps.is_multiple_of(every);
        }
        Ok(())
    }

    fn save(&self) -> Option<EnvState> {
        None
    }

    fn restore(&mut self, _: &EnvState, _: ObsMut<'_>) -> Result<(), EnvError> {
        unreachable!("there is nothing to restore")
    }
}

fn lost() -> EnvError {
    EnvError::failed("Walk-v0", 1, "connection lost")
}

fn batch(copies: Elsewhere) -> Batch<Elsewhere> {
    Batch::of(copies, &device()).unwrap()
}

#[test]
fn the_batch_does_for_any_copies_what_it_does_for_threads() {
    let mut threads = HostBatch::new(walk(), 5, &device()).unwrap();
    let mut elsewhere = batch(Elsewhere::new(5, u32::MAX));
    threads.reset(9);
    elsewhere.reset(9);
    assert_eq!(run(&mut elsewhere, 0, 100), run(&mut threads, 0, 100));
    assert_eq!(elsewhere.take_episodes(), threads.take_episodes());
    // All at first (and on the second reset), then those that ended.
    let resets = &elsewhere.copies().resets;
    assert!(resets[..2].iter().flatten().all(|which| *which));
    assert!(
        resets[2..]
            .iter()
            .all(|which| which.iter().any(|w| *w) && !which.iter().all(|w| *w))
    );
}

#[test]
fn a_seed_for_others_is_two_words_of_the_episode_s_generator() {
    let mut env = batch(Elsewhere::new(2, u32::MAX));
    env.reset(9);
    let words = |i| {
        let mut rng = Philox::new(9, Stream::Reset, 0, i);
        [rand::Rng::next_u32(&mut rng), rand::Rng::next_u32(&mut rng)].map(u64::from)
    };
    let expected = [0, 1].map(words).map(|[high, low]| high << 32 | low);
    assert_eq!(env.copies().seeds, expected);
}

#[test]
fn a_copy_may_be_cut_off_by_those_who_step_it() {
    let mut copies = Elsewhere::new(2, u32::MAX);
    copies.cut_off = Some((1, 1));
    let mut env = batch(copies);
    // An end beyond 3 takes more than one step from here: copy 1 is truncated, copy 0 goes on.
    let step = env.step(actions(&[0.0, 0.0], 1));
    assert_eq!(bools(&step.truncated), [false, true]);
    assert_eq!(bools(&step.terminated), [false, false]);
    // What was seen before the reset, and the start of episode 1 after it.
    let mut start = [0.0; 2];
    walk().reset(&mut start, &mut Philox::new(0, Stream::Reset, 1, 1));
    assert_eq!(floats(&step.obs)[2..], start);
    assert_ne!(floats(&step.next_obs)[2..], start);
    let episodes = env.take_episodes();
    assert_eq!((episodes[0].env, episodes[0].length), (1, 1));

    // Never both flags, whatever the copies say.
    let mut copies = Elsewhere::new(1, u32::MAX);
    copies.cut_off = Some((0, 1));
    let mut env = batch(copies);
    for found in run(&mut env, 0, 200) {
        assert_ne!(found.terminated, found.truncated);
    }
}

#[test]
fn what_cannot_be_saved_goes_on_with_new_episodes() {
    let mut env = batch(Elsewhere::new(3, u32::MAX));
    env.reset(4);
    run(&mut env, 0, 33);
    assert!(!env.saves_copies());
    let saved = env.save();
    let numbers = saved.ints["episode"].clone();
    assert!(saved.floats.is_empty());

    let mut resumed = batch(Elsewhere::new(3, u32::MAX));
    resumed.restore(&saved).unwrap();
    // Statistics and counters go on; the running episodes are given up and the next ones begin.
    assert_eq!(resumed.take_episodes(), env.take_episodes());
    let state = resumed.save();
    assert_eq!(state.ints["steps"], saved.ints["steps"]);
    assert_eq!(state.ints["age"], [0; 3]);
    let next: Vec<u64> = numbers.iter().map(|number| number + 1).collect();
    assert_eq!(state.ints["episode"], next);
    for (i, obs) in floats(&resumed.obs()).chunks_exact(2).enumerate() {
        let mut start = [0.0; 2];
        let mut rng = Philox::new(4, Stream::Reset, next[i] as u32, i as u32);
        walk().reset(&mut start, &mut rng);
        assert_eq!(obs, start);
    }
    // A batch whose copies can be saved begins episodes from such a state as well.
    let mut threads = HostBatch::new(walk(), 3, &device()).unwrap();
    assert!(threads.saves_copies());
    threads.restore(&saved).unwrap();
    assert_eq!(floats(&threads.obs()), floats(&resumed.obs()));
}

#[test]
fn frames_around_what_cannot_be_saved_begin_with_the_new_episodes() {
    let stack = || FrameStack::new(Box::new(batch(Elsewhere::new(2, u32::MAX))), 3);
    let mut env = stack();
    env.reset(4);
    run(&mut env, 0, 7);
    assert!(!env.saves_copies());
    let mut resumed = stack();
    resumed.restore(&env.save()).unwrap();
    let mut plain = batch(Elsewhere::new(2, u32::MAX));
    plain.restore(&env.save()).unwrap();
    let expected: Vec<f32> = floats(&plain.obs())
        .chunks_exact(2)
        .flat_map(|obs| obs.repeat(3))
        .collect();
    assert_eq!(floats(&resumed.obs()), expected);
    // What stopped the copies is heard through the frames.
    let mut failing = FrameStack::new(Box::new(batch(Elsewhere::new(2, 0))), 3);
    failing.step(actions(&[0.0, 0.0], 1));
    assert_eq!(failing.failure(), Some(&lost().in_step(1)));
}

#[test]
fn copies_that_fail_are_heard_of_and_nobody_waits_for_them() {
    let mut env = batch(Elsewhere::new(2, 3));
    run(&mut env, 0, 3);
    assert_eq!(env.failure(), None);
    let episodes = env.take_episodes();
    for _ in 0..2 {
        let step = env.step(actions(&[0.0, 0.0], 1));
        assert_eq!(env.failure(), Some(&lost().in_step(4)));
        assert_eq!(bools(&step.truncated), [true, true]);
        assert_eq!(bools(&step.terminated), [false, false]);
    }
    assert_eq!(
        env.failure().unwrap().to_string(),
        "environment `Walk-v0` failed in step 4, at copy 1: connection lost"
    );
    // What had finished before is still there, and nothing else.
    assert!(env.take_episodes().is_empty() && episodes.len() <= 2);
}

#[test]
fn copies_that_cannot_start_are_an_error() {
    struct Broken(Threads<Walk>);
    impl Copies for Broken {
        fn spec(&self) -> &EnvSpec {
            self.0.spec()
        }
        fn count(&self) -> usize {
            1
        }
        fn reset(&mut self, _: &[bool], _: Seeds<'_>, _: ObsMut<'_>) -> Result<(), EnvError> {
            Err(lost())
        }
        fn step(&mut self, _: &[f32], _: Seeds<'_>, _: CopyRows<'_>) -> Result<(), EnvError> {
            unreachable!("never started")
        }
        fn save(&self) -> Option<EnvState> {
            None
        }
        fn restore(&mut self, _: &EnvState, _: ObsMut<'_>) -> Result<(), EnvError> {
            unreachable!("never saved")
        }
    }
    let broken = Broken(Threads::new(walk(), 1).unwrap());
    assert_eq!(Batch::of(broken, &device()).err(), Some(lost()));
}
