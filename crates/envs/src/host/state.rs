//! Saving and restoring a batch.
//!
//! | entry | numbers | meaning |
//! |---|---|---|
//! | `seed` | 1 | seed of the last reset |
//! | `steps` | 1 | steps since then |
//! | `age`, `start_age`, `episode` | N each | clocks of the copies |
//! | `episode_return` | N | return so far, bits of an f64 |
//! | `finished` | 4 per episode | not yet taken: copy, bits of the return, length, whether terminated |
//! | `state` (floats) | N · S | states of the copies |
//! | `frames` (floats) | N · F · O | stacked observations |
//! | `not_saved` | 1 | in the place of `state` if the copies could not be saved |

use std::collections::BTreeMap;

use crate::{EnvError, EnvState, Episode};

const SEED: &str = "seed";
const STEPS: &str = "steps";
const AGE: &str = "age";
const START_AGE: &str = "start_age";
const EPISODE: &str = "episode";
const EPISODE_RETURN: &str = "episode_return";
const FINISHED: &str = "finished";
const STATE: &str = "state";
const NOT_SAVED: &str = "not_saved";

/// Where one copy is in its episode.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Clock {
    /// Steps since the episode began; the time limit counts these.
    pub(crate) age: u32,
    /// Age at which this episode began: 0, but for a random one in a first episode.
    pub(crate) start_age: u32,
    /// Episodes of this copy that have ended.
    pub(crate) episode: u32,
    /// Rewards of this episode so far.
    pub(crate) episode_return: f64,
}

/// The clock of an episode that has ended.
pub(crate) struct Ended(Clock);

impl Clock {
    /// A first episode that begins at `age`.
    pub(super) fn at_age(age: u32) -> Self {
        Self {
            age,
            start_age: age,
            ..Self::default()
        }
    }

    /// Counts a step. If the episode ended by it, or `limit` was reached, the next one begins.
    pub(super) fn tick(&mut self, reward: f32, ended: bool, limit: Option<u32>) -> Option<Ended> {
        self.age = self.age.saturating_add(1);
        self.episode_return += f64::from(reward);
        if !ended && limit.is_none_or(|limit| self.age < limit) {
            return None;
        }
        let ended = self.clone();
        self.next_episode();
        Some(Ended(ended))
    }

    pub(super) fn next_episode(&mut self) {
        *self = Self {
            episode: self.episode.wrapping_add(1),
            ..Self::default()
        };
    }
}

impl Ended {
    /// What is reported of it for copy `env`: nothing if it began at a random age.
    pub(super) fn episode(&self, env: usize, terminated: bool) -> Option<Episode> {
        (self.0.start_age == 0).then_some(Episode {
            env,
            episode_return: self.0.episode_return,
            length: self.0.age,
            terminated,
        })
    }
}

/// A batch as numbers in host memory, wherever it lives, but for the states of its copies.
#[derive(Clone, Debug)]
pub(crate) struct Saved {
    /// Seed of the last reset.
    pub(crate) seed: u64,
    /// Steps since then.
    pub(crate) steps: u64,
    /// Of every copy, `[N]`.
    pub(crate) clocks: Vec<Clock>,
    /// Finished and not yet taken.
    pub(crate) episodes: Vec<Episode>,
}

impl Saved {
    /// Adds itself to the state of the copies.
    pub(crate) fn add_to(&self, state: &mut EnvState) {
        let clocks = |field: fn(&Clock) -> u64| self.clocks.iter().map(field).collect();
        let finished = self.episodes.iter().flat_map(pack);
        let ints = [
            (SEED, vec![self.seed]),
            (STEPS, vec![self.steps]),
            (AGE, clocks(|c| c.age.into())),
            (START_AGE, clocks(|c| c.start_age.into())),
            (EPISODE, clocks(|c| c.episode.into())),
            (EPISODE_RETURN, clocks(|c| c.episode_return.to_bits())),
            (FINISHED, finished.collect()),
        ];
        let ints = ints.into_iter();
        (state.ints).extend(ints.map(|(key, values)| (key.to_owned(), values)));
    }

    /// Reads and checks a state of `n` copies.
    pub(crate) fn read(saved: &EnvState, n: usize) -> Result<Self, EnvError> {
        let seed = list(&saved.ints, SEED, 1)?[0];
        let steps = list(&saved.ints, STEPS, 1)?[0];
        let ages = counters(saved, AGE, n)?;
        let start_ages = counters(saved, START_AGE, n)?;
        let episodes = counters(saved, EPISODE, n)?;
        let returns = list(&saved.ints, EPISODE_RETURN, n)?;
        let finished = finished(saved, n)?;
        let clock = |i: usize| Clock {
            age: ages[i],
            start_age: start_ages[i],
            episode: episodes[i],
            episode_return: f64::from_bits(returns[i]),
        };
        Ok(Self {
            seed,
            steps,
            clocks: (0..n).map(clock).collect(),
            episodes: finished,
        })
    }
}

/// The states of copies that are slices of numbers, one behind the other.
pub(crate) fn of_states(states: Vec<f32>) -> EnvState {
    EnvState {
        floats: BTreeMap::from([(STATE.to_owned(), states)]),
        ..EnvState::default()
    }
}

/// The same, read and checked.
pub(crate) fn states_in(saved: &EnvState, len: usize) -> Result<&[f32], EnvError> {
    list(&saved.floats, STATE, len)
}

/// In the place of states that could not be saved.
pub(super) fn not_saved() -> EnvState {
    EnvState {
        ints: BTreeMap::from([(NOT_SAVED.to_owned(), vec![1])]),
        ..EnvState::default()
    }
}

/// Whether a state is of copies that could not be saved.
pub(super) fn is_not_saved(saved: &EnvState) -> bool {
    saved.ints.contains_key(NOT_SAVED)
}

/// An episode as four numbers.
fn pack(episode: &Episode) -> [u64; 4] {
    [
        episode.env as u64,
        episode.episode_return.to_bits(),
        episode.length.into(),
        episode.terminated.into(),
    ]
}

/// The entry `key`, of exactly `len` numbers.
fn list<'a, T>(
    entries: &'a BTreeMap<String, Vec<T>>,
    key: &str,
    len: usize,
) -> Result<&'a [T], EnvError> {
    let numbers = |len: usize| format!("{len} number{}", if len == 1 { "" } else { "s" });
    match entries.get(key) {
        Some(values) if values.len() == len => Ok(values),
        Some(values) => Err(bad(key, numbers(len), numbers(values.len()))),
        None => Err(bad(key, numbers(len), "missing".to_owned())),
    }
}

/// The entry `key`, of `len` numbers that fit into 32 bits.
fn counters(saved: &EnvState, key: &str, len: usize) -> Result<Vec<u32>, EnvError> {
    list(&saved.ints, key, len)?
        .iter()
        .map(|&value| counter(key, value))
        .collect()
}

fn counter(key: &str, value: u64) -> Result<u32, EnvError> {
    value
        .try_into()
        .map_err(|_| bad(key, "below 2³²".to_owned(), value.to_string()))
}

fn finished(saved: &EnvState, n: usize) -> Result<Vec<Episode>, EnvError> {
    let len = saved
        .ints
        .get(FINISHED)
        .map_or(0, |values| values.len() / 4 * 4);
    let unpack = |packed: &[u64]| {
        if packed[0] >= n as u64 {
            return Err(bad(
                FINISHED,
                format!("of copies below {n}"),
                format!("of copy {}", packed[0]),
            ));
        }
        Ok(Episode {
            env: packed[0] as usize,
            episode_return: f64::from_bits(packed[1]),
            length: counter(FINISHED, packed[2])?,
            terminated: packed[3] != 0,
        })
    };
    list(&saved.ints, FINISHED, len)?
        .chunks_exact(4)
        .map(unpack)
        .collect()
}

fn bad(key: &str, expected: String, found: String) -> EnvError {
    EnvError::BadState {
        key: key.to_owned(),
        expected,
        found,
    }
}
