//! Saving and restoring.

use uphill_envs::{BatchEnv, EnvError, EnvState, HostBatch};

use crate::tools::{Walk, device, floats, run};

fn walk(n: usize) -> HostBatch<Walk> {
    HostBatch::new(
        Walk {
            end: 3.0,
            time_limit: Some(20),
        },
        n,
        &device(),
    )
    .unwrap()
}

#[test]
fn a_restored_batch_continues_identically_with_its_statistics() {
    let mut env = walk(6);
    env.reset(u64::MAX - 1);
    run(&mut env, 0, 33);
    let saved = env.save(); // episodes not yet taken are part of it
    let expected = (run(&mut env, 33, 66), env.take_episodes(), env.save());

    let mut fresh = walk(6);
    fresh.restore(&saved).unwrap();
    assert_eq!(
        (run(&mut fresh, 33, 66), fresh.take_episodes(), fresh.save()),
        expected
    );

    // The same batch can go back, too.
    env.restore(&saved).unwrap();
    assert_eq!(
        (run(&mut env, 33, 66), env.take_episodes(), env.save()),
        expected
    );
}

#[test]
fn random_ages_are_part_of_the_state() {
    let mut env = walk(6).with_random_ages();
    env.reset(1);
    run(&mut env, 0, 5);
    let saved = env.save();
    let expected = (run(&mut env, 5, 50), env.take_episodes());
    let mut plain = walk(6);
    plain.restore(&saved).unwrap();
    assert_eq!((run(&mut plain, 5, 50), plain.take_episodes()), expected);
}

#[test]
fn a_reset_forgets_everything() {
    let mut env = walk(3);
    env.reset(1);
    run(&mut env, 0, 50);
    env.reset(2);
    let mut fresh = walk(3);
    fresh.reset(2);
    assert_eq!(env.save(), fresh.save());
    assert_eq!(floats(&env.obs()), floats(&fresh.obs()));
}

#[test]
fn a_state_that_does_not_fit_is_named_and_changes_nothing() {
    let mut env = walk(3);
    run(&mut env, 0, 10);
    let good = env.save();
    let mut check = |spoil: &dyn Fn(&mut EnvState), expected: [&str; 3]| {
        let mut state = good.clone();
        spoil(&mut state);
        let [key, expected, found] = expected.map(str::to_owned);
        assert_eq!(
            env.restore(&state),
            Err(EnvError::BadState {
                key,
                expected,
                found
            })
        );
        assert_eq!(env.save(), good);
    };
    let set = |key: &'static str, values: Vec<u64>| {
        move |s: &mut EnvState| {
            s.ints.insert(key.to_owned(), values.clone());
        }
    };
    check(
        &|s| *s = EnvState::default(),
        ["seed", "1 number", "missing"],
    );
    check(&set("age", vec![0; 4]), ["age", "3 numbers", "4 numbers"]);
    check(
        &set("episode", vec![1 << 32; 3]),
        ["episode", "below 2³²", "4294967296"],
    );
    check(
        &set("finished", vec![0; 5]),
        ["finished", "4 numbers", "5 numbers"],
    );
    check(
        &set("finished", vec![3, 0, 1, 0]),
        ["finished", "of copies below 3", "of copy 3"],
    );
    check(
        &|s| s.floats.values_mut().for_each(|v| v.truncate(5)),
        ["state", "6 numbers", "5 numbers"],
    );
    check(&|s| s.floats.clear(), ["state", "6 numbers", "missing"]);
}
