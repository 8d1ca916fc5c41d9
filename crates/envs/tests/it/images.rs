//! Observations of bytes: what a policy sees of them is what it would have seen of floats, stacked, saved and restored.

use burn::tensor::Tensor;
use std::panic::{AssertUnwindSafe, catch_unwind};
use uphill_envs::{
    ActionSpace, BatchEnv, Described, Element, Env, EnvSpec, HostBatch, ObsBuf, ObsRef, ObsSpace,
    Outcome, Philox, StepRows,
};

use crate::tools::{bools, device, floats};

/// Worth of a byte.
const UNIT: f32 = 1.0 / 255.0;

/// A picture of three shades that change with every step, of bytes or of floats, for up to seven steps.
#[derive(Clone)]
struct Shades {
    element: Element,
}

impl Described for Shades {
    fn spec(&self) -> EnvSpec {
        let mut obs = ObsSpace::image([1, 1, 3], 255, UNIT);
        obs.element = self.element;
        EnvSpec {
            name: "Shades-v0".to_owned(),
            obs,
            action: ActionSpace::Discrete { n: 2 },
            time_limit: Some(7),
            reward_threshold: None,
        }
    }

    fn state_size(&self) -> usize {
        1
    }
}

impl Env for Shades {
    fn reset(&self, state: &mut [f32], rng: &mut Philox) {
        state[0] = rng.below(256) as f32;
    }

    fn step(&self, state: &mut [f32], action: &[f32], rng: &mut Philox) -> Outcome {
        state[0] = (state[0] + 1.0 + 50.0 * action[0]) % 256.0;
        Outcome {
            reward: state[0],
            terminated: rng.below(4) == 0,
        }
    }

    fn observe(&self, state: &[f32], obs: &mut [f32]) {
        for (i, shade) in obs.iter_mut().enumerate() {
            let byte = (state[0] + 80.0 * i as f32) % 256.0;
            *shade = match self.element {
                Element::Float => byte * UNIT,
                Element::Byte { .. } => byte,
            };
        }
    }
}

/// Several times as many copies as one thread steps at a time.
const COPIES: usize = 2500;

fn batch(element: Element, frames: usize) -> HostBatch<Shades> {
    let batch = HostBatch::new(Shades { element }, COPIES, &device()).unwrap();
    batch.with_frames(frames)
}

fn both(frames: usize) -> [HostBatch<Shades>; 2] {
    [Element::Byte { unit: UNIT }, Element::Float].map(|element| batch(element, frames))
}

fn actions(t: usize) -> Tensor<2> {
    let choices: Vec<f32> = (0..COPIES).map(|i| ((i + t) % 2) as f32).collect();
    Tensor::<1>::from_floats(choices.as_slice(), &device()).unsqueeze_dim(1)
}

#[track_caller]
fn same_step(batches: &mut [HostBatch<Shades>; 2], t: usize) {
    let [bytes, numbers] = batches
        .each_mut()
        .map(|batch| BatchEnv::step(batch, actions(t)));
    assert_eq!(floats(&bytes.obs), floats(&numbers.obs), "step {t}");
    assert_eq!(
        floats(&bytes.next_obs),
        floats(&numbers.next_obs),
        "step {t}"
    );
    assert_eq!(floats(&bytes.rewards), floats(&numbers.rewards));
    assert_eq!(bools(&bytes.terminated), bools(&numbers.terminated));
    assert_eq!(bools(&bytes.truncated), bools(&numbers.truncated));
}

#[test]
fn bytes_look_like_floats_stacked_or_not() {
    for frames in [1, 3] {
        let mut batches = both(frames);
        for batch in &mut batches {
            batch.reset(5);
        }
        (0..20).for_each(|t| same_step(&mut batches, t));
    }
}

/// Files hold floats, as they did when batches did.
#[test]
fn saved_frames_are_what_the_policy_sees() {
    let mut batches = both(3);
    for batch in &mut batches {
        batch.reset(5);
    }
    (0..5).for_each(|t| same_step(&mut batches, t));
    let [bytes, numbers] = batches.each_ref().map(BatchEnv::save);
    assert_eq!(bytes, numbers);
    assert_eq!(bytes.floats["frames"], floats(&batches[0].obs()));
    // Either goes on from what the other has saved.
    let mut fresh = both(3);
    fresh[0].restore(&numbers).unwrap();
    fresh[1].restore(&bytes).unwrap();
    assert_eq!(floats(&fresh[0].obs()), floats(&batches[0].obs()));
    for t in 5..20 {
        same_step(&mut fresh, t);
        same_step(&mut batches, t);
        assert_eq!(floats(&fresh[0].obs()), floats(&batches[0].obs()));
    }
}

#[test]
fn slices_are_bytes() {
    let mut batch = batch(Element::Byte { unit: UNIT }, 2);
    let seen = floats(&batch.obs());
    let len = COPIES * 2 * 3;
    let host = batch.on_host().unwrap();
    let ObsRef::Bytes(bytes) = host.obs() else {
        panic!("floats")
    };
    assert_eq!(bytes.len(), len);
    let scaled: Vec<f32> = bytes.iter().map(|byte| f32::from(*byte) * UNIT).collect();
    assert_eq!(scaled, seen);
    let mut next_obs = ObsBuf::Bytes(vec![0; len]);
    let [mut terminated, mut truncated] = [(); 2].map(|()| vec![false; COPIES]);
    let into = StepRows {
        next_obs: next_obs.as_mut(),
        rewards: &mut [0.0; COPIES],
        terminated: &mut terminated,
        truncated: &mut truncated,
    };
    host.step(&mut [1.0; COPIES], into);
    // Where no episode ended, the policy sees next what came of the step.
    let ObsRef::Bytes(seen) = host.obs() else {
        panic!("floats")
    };
    let ended = terminated.iter().zip(&truncated).map(|(a, b)| *a || *b);
    let mut compared = 0;
    for (i, _) in ended.enumerate().filter(|(_, ended)| !ended) {
        let row = next_obs.as_ref().part(6 * i, 6);
        assert_eq!(row, ObsRef::Bytes(&seen[6 * i..][..6]));
        compared += 1;
    }
    assert!((1..COPIES).contains(&compared), "{compared}");
}

/// Two doors, of which the first byte of the pair is open in even states and the second in odd ones.
struct Doors;

impl Described for Doors {
    fn spec(&self) -> EnvSpec {
        EnvSpec {
            name: "Doors-v0".to_owned(),
            obs: ObsSpace::image([1, 1, 2], 255, UNIT),
            action: ActionSpace::MaskedDiscrete { n: 2 },
            time_limit: None,
            reward_threshold: None,
        }
    }

    fn state_size(&self) -> usize {
        1
    }
}

impl Env for Doors {
    fn reset(&self, state: &mut [f32], _: &mut Philox) {
        state[0] = 0.0;
    }

    fn step(&self, state: &mut [f32], action: &[f32], _: &mut Philox) -> Outcome {
        state[0] += 1.0;
        Outcome {
            reward: action[0],
            terminated: false,
        }
    }

    fn observe(&self, state: &[f32], obs: &mut [f32]) {
        let open = state[0] as usize % 2;
        obs.fill(0.0);
        obs[open] = 255.0;
    }
}

#[test]
fn a_byte_that_is_worth_one_allows_an_action() {
    let mut doors = HostBatch::new(Doors, 2, &device()).unwrap();
    let through = |door: f32| Tensor::<2>::full([2, 1], door, &device());
    BatchEnv::step(&mut doors, through(0.0));
    BatchEnv::step(&mut doors, through(1.0));
    let step = AssertUnwindSafe(|| BatchEnv::step(&mut doors, through(1.0)));
    let message = *catch_unwind(step)
        .err()
        .unwrap()
        .downcast::<String>()
        .unwrap();
    assert!(
        message.ends_with("the observation's mask is [1.0, 0.0]"),
        "{message}"
    );
}

#[test]
fn buffers_of_either_type_grow_and_empty() {
    for element in [Element::Float, Element::Byte { unit: UNIT }] {
        let ones = match element {
            Element::Float => ObsBuf::Floats(vec![1.0; 3]),
            Element::Byte { .. } => ObsBuf::Bytes(vec![1; 3]),
        };
        let mut buffer = ObsBuf::with_capacity(element, 8);
        assert!(buffer.is_empty());
        buffer.extend(ones.as_ref());
        assert_eq!(buffer, ones);
        buffer.extend(ones.as_ref());
        assert_eq!((buffer.len(), buffer.is_empty()), (6, false));
        buffer.clear();
        assert_eq!((buffer.len(), buffer.is_empty()), (0, true));
    }
}
