//! The optima that the probes state, by playing them.

use std::panic::{AssertUnwindSafe, catch_unwind};
use uphill_envs::{BatchEnv, BatchOptions, make, make_with};

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
fn image_pays_for_the_bright_quarter() {
    let n = 64;
    let mut env = make("ProbeImage-v0", n, &device()).unwrap();
    assert_eq!(env.spec().obs.shape, [1, 4, 4]);
    assert_eq!(env.spec().obs.low, [0.0; 16]);
    assert!(
        (env.spec().obs.high.iter()).all(|high| (high - 1.0).abs() < 1e-6),
        "a byte is seen as a part of 255"
    );
    let obs = floats(&env.reset(0));
    // Bytes, seen as parts of 255; the bright quarter is the only one above one half.
    let byte = |x: &f32| (x * 255.0 - (x * 255.0).round()).abs() < 1e-4;
    assert!(obs.iter().all(byte) && obs.iter().all(|x| (0.0..=1.0).contains(x)));
    let quarters = |image: &[f32]| [0, 2, 8, 10].map(|at| image[at]);
    let bright: Vec<f32> = obs
        .chunks_exact(16)
        .map(|image| quarters(image).iter().position(|x| *x > 0.5).unwrap() as f32)
        .collect();
    assert!((0..4).all(|k| bright.contains(&(k as f32))));
    let step = env.step(actions(&bright, 1));
    assert_eq!(floats(&step.rewards), vec![1.0; n]);

    // Stacked pictures are further channels.
    let options = BatchOptions {
        frames: 3,
        ..Default::default()
    };
    let mut stacked = make_with("ProbeImage-v0", 2, &device(), options).unwrap();
    assert_eq!(stacked.spec().obs.shape, [3, 4, 4]);
    let obs = floats(&stacked.reset(0));
    assert_eq!(obs[..16], obs[32..48]);
}

#[test]
fn the_bytes_of_an_image_are_dark_but_for_a_quarter() {
    let n = 4000;
    let obs = floats(&make("ProbeImage-v0", n, &device()).unwrap().reset(0));
    let (mut bright, mut dark) = (vec![], vec![]);
    for image in obs.chunks_exact(16) {
        for at in [0, 2, 8, 10] {
            let byte = f64::from(image[at] * 255.0).round();
            if byte < 128.0 { &mut dark } else { &mut bright }.push(byte);
        }
    }
    assert_eq!((bright.len(), dark.len()), (n, 3 * n));
    // Uniform in 128 … 255 and 0 … 127, but the three dark quarters are alike: standard error 37/√n.
    let mean = |bytes: &[f64]| bytes.iter().sum::<f64>() / bytes.len() as f64;
    let error = 5.0 * 37.0 / (n as f64).sqrt();
    assert!((mean(&bright) - 191.5).abs() < error, "{}", mean(&bright));
    assert!((mean(&dark) - 63.5).abs() < error, "{}", mean(&dark));
}

#[test]
fn an_image_has_an_even_side_of_at_most_256() {
    let made = |side: u32| {
        let json = format!(r#"{{"name":"ProbeImage-v0","side":{side}}}"#);
        let env: uphill_envs::EnvConfig = serde_json::from_str(&json).unwrap();
        uphill_envs::spec(env).is_ok()
    };
    assert!(made(2) && made(256));
    assert!(!made(0) && !made(3) && !made(258));
}

#[test]
fn digits_pay_half_each() {
    let n = 64;
    let mut env = make("ProbeDigits-v0", n, &device()).unwrap();
    let digits: Vec<[f32; 2]> = floats(&env.reset(0))
        .chunks_exact(7)
        .map(|row| {
            let named = |part: &[f32]| part.iter().position(|x| *x == 1.0).unwrap() as f32;
            assert_eq!(row.iter().sum::<f32>(), 2.0);
            [named(&row[..3]), named(&row[3..])]
        })
        .collect();
    assert!((0..3).all(|k| digits.iter().any(|d| d[0] == k as f32)));
    assert!((0..4).all(|k| digits.iter().any(|d| d[1] == k as f32)));
    // The first right in every other copy, the second always.
    let mut played = digits.concat();
    let mut expected = vec![1.0; n];
    for i in (0..n).step_by(2) {
        played[2 * i] = (played[2 * i] + 1.0) % 3.0;
        expected[i] = 0.5;
    }
    assert_eq!(floats(&env.step(actions(&played, 2)).rewards), expected);
}

/// The best allowed item of every row, by the observation.
fn best_allowed(obs: &[f32]) -> Vec<f32> {
    obs.chunks_exact(8)
        .map(|row| {
            let allowed = (0..4).filter(|k| row[4 + k] == 1.0);
            let best = allowed.max_by(|a, b| row[*a].total_cmp(&row[*b]));
            best.unwrap() as f32
        })
        .collect()
}

#[test]
fn mask_pays_34_45ths_for_the_best_allowed_item() {
    let n = 3000;
    let mut env = make("ProbeMask-v0", n, &device()).unwrap();
    let best = best_allowed(&floats(&env.reset(0)));
    let rewards = floats(&env.step(actions(&best, 1)).rewards);
    let mean = rewards.iter().sum::<f32>() / n as f32;
    // The standard deviation of one reward is about 0.3, of the mean 0.006.
    assert!((mean - 34.0 / 45.0).abs() < 0.025, "{mean}");
}

#[test]
fn mask_shuffles_worths_and_draws_sets_without_preference() {
    let n = 6000;
    let obs = floats(&make("ProbeMask-v0", n, &device()).unwrap().reset(0));
    let (mut worths, mut sets) = ([0; 16], [0; 16]);
    for row in obs.chunks_exact(8) {
        for (item, worth) in row[..4].iter().enumerate() {
            worths[4 * item + (3.0 * worth).round() as usize] += 1;
        }
        sets[(0..4).map(|k| (row[4 + k] as usize) << k).sum::<usize>()] += 1;
    }
    // Within five standard deviations, √(n p (1 − p)), of n p.
    let fair = |count: usize, p: f64| {
        let n = n as f64;
        (count as f64 - n * p).abs() < 5.0 * (n * p * (1.0 - p)).sqrt()
    };
    assert!(worths.iter().all(|c| fair(*c, 0.25)), "{worths:?}");
    assert_eq!(sets[0], 0, "something is allowed");
    assert!(sets[1..].iter().all(|c| fair(*c, 1.0 / 15.0)), "{sets:?}");
}

#[test]
fn what_has_no_state_saves_none() {
    for name in ["ProbeConstant-v0", "ProbeAction-v0"] {
        let env = make(name, 2, &device()).unwrap();
        assert!(env.save().floats["state"].is_empty(), "{name}");
    }
}

#[test]
fn mask_forbids_and_an_error_shows_it() {
    for frames in [1, 2] {
        let options = BatchOptions {
            frames,
            ..Default::default()
        };
        let mut env = make_with("ProbeMask-v0", 64, &device(), options).unwrap();
        let obs = floats(&env.reset(0));
        let rows: Vec<_> = obs.chunks_exact(8 * frames).collect();
        let newest: Vec<_> = rows.iter().map(|row| &row[8 * (frames - 1)..]).collect();
        let mut chosen = best_allowed(&newest.concat());
        let forbids = |row: &&[f32]| row[8 * frames - 4..].contains(&0.0);
        let copy = (1..64).find(|copy| forbids(&rows[*copy])).unwrap();
        let mask = &rows[copy][8 * frames - 4..];
        chosen[copy] = mask.iter().position(|allowed| *allowed == 0.0).unwrap() as f32;
        let step = AssertUnwindSafe(|| env.step(actions(&chosen, 1)));
        let message = *catch_unwind(step)
            .err()
            .unwrap()
            .downcast::<String>()
            .unwrap();
        let expected = format!(
            "action {} is not allowed, the observation's mask is {mask:?}",
            chosen[copy]
        );
        assert_eq!(message, expected);
    }
}

#[test]
fn stop_pays_for_the_target_and_fines_the_stop() {
    let n = 8;
    let mut env = make("ProbeStop-v0", n, &device()).unwrap();
    let targets = floats(&env.reset(0));
    assert!(targets.contains(&0.9) && targets.contains(&-0.9));
    let step = env.step(actions(&targets, 1));
    assert_eq!(floats(&step.rewards), vec![1.0; n]);
    // Beyond the bound is at the stop: 0.1 off, and fined.
    let targets = floats(&step.obs);
    let beyond: Vec<f32> = targets.iter().map(|c| c.signum() * 3.0).collect();
    for reward in floats(&env.step(actions(&beyond, 1)).rewards) {
        assert!((reward + 0.1).abs() < 1e-6, "{reward}");
    }
}

#[test]
#[should_panic(expected = "discrete actions are indices below [3, 4]")]
fn digits_are_indices_below_their_own_number_of_choices() {
    let mut env = make("ProbeDigits-v0", 1, &device()).unwrap();
    env.step(actions(&[3.0, 0.0], 2));
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

#[test]
fn recall_asks_for_the_cue_when_it_is_gone() {
    let n = 64;
    let mut env = make("ProbeRecall-v0", n, &device()).unwrap();
    let first = floats(&env.reset(0));
    let cues: Vec<f32> = first.chunks(2).map(|obs| obs[0]).collect();
    assert!(cues.contains(&1.0) && cues.contains(&-1.0));
    let answers: Vec<f32> = cues.iter().map(|cue| (cue + 1.0) / 2.0).collect();
    for t in 1..=5 {
        let step = env.step(actions(&answers, 1));
        let (seen, last) = (floats(&step.next_obs), t == 5);
        assert_eq!(bools(&step.terminated), vec![last; n]);
        assert_eq!(
            floats(&step.rewards),
            vec![if last { 1.0 } else { 0.0 }; n],
            "step {t}"
        );
        // The cue is gone, and all copies look alike.
        let expected = [0.0, if t == 4 { 1.0 } else { 0.0 }];
        assert!(seen.chunks(2).all(|obs| obs == expected), "step {t}");
    }
    // The other answer costs as much.
    let cues = floats(&env.obs());
    let wrong: Vec<f32> = cues.chunks(2).map(|obs| (1.0 - obs[0]) / 2.0).collect();
    let steps: Vec<_> = (0..5).map(|_| env.step(actions(&wrong, 1))).collect();
    assert_eq!(floats(&steps[4].rewards), vec![-1.0; n]);
}
