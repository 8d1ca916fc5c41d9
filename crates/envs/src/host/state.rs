//! Format of a saved batch: clocks, episodes, states.
//!
//! | entry | numbers | meaning |
//! |---|---|---|
//! | `seed` | 1 | seed of the last reset |
//! | `steps` | 1 | steps since then |
//! | `age`, `start_age`, `episode` | N each | clocks of the copies |
//! | `episode_return` | N | return so far, bits of an f64 |
//! | `finished` | 4 per episode | episodes not yet taken: copy, bits of the return, length, whether terminated |
//! | `state` (floats) | N · S | states of the copies |
//! | `frames` (floats) | N · F · O | stacked observations |
//! | `not_saved` | 1 | replaces `state` if the copies could not be saved |

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

/// Position of one copy in its episode.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Clock {
    /// Steps since the episode began; the time limit counts these.
    pub(crate) age: u32,
    /// Age at which this episode began: 0, except in a first episode with a random age.
    pub(crate) start_age: u32,
    /// Number of finished episodes of this copy.
    pub(crate) episode: u32,
    /// Sum of the rewards of this episode so far.
    pub(crate) episode_return: f64,
}

/// The clock of an episode that has ended.
pub(crate) struct Ended(Clock);

impl Clock {
    /// Clock of a first episode that begins at `age`.
    pub(super) fn at_age(age: u32) -> Self {
        Self {
            age,
            start_age: age,
            ..Self::default()
        }
    }

    /// Counts a step. If the episode ended in it, or reached `limit`, the next one begins.
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
    /// Report of the episode for copy `env`: `None` if it began at a random age.
    pub(super) fn episode(&self, env: usize, terminated: bool) -> Option<Episode> {
        (self.0.start_age == 0).then_some(Episode {
            env,
            episode_return: self.0.episode_return,
            length: self.0.age,
            terminated,
        })
    }
}

/// State of a batch in host memory, wherever the batch lives, except the states of its copies.
#[derive(Clone, Debug)]
pub(crate) struct Saved {
    /// Seed of the last reset.
    pub(crate) seed: u64,
    /// Number of steps since then.
    pub(crate) steps: u64,
    /// Clocks of all copies, `[N]`.
    pub(crate) clocks: Vec<Clock>,
    /// Finished episodes that have not been taken.
    pub(crate) episodes: Vec<Episode>,
}

impl Saved {
    /// Adds its entries to the state of the copies.
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

    /// Reads and validates the state of `n` copies.
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

/// A state of copies whose states are rows of numbers, concatenated.
pub(crate) fn of_states(states: Vec<f32>) -> EnvState {
    EnvState {
        floats: BTreeMap::from([(STATE.to_owned(), states)]),
        ..EnvState::default()
    }
}

/// Reads and validates such states.
pub(crate) fn states_in(saved: &EnvState, len: usize) -> Result<&[f32], EnvError> {
    list(&saved.floats, STATE, len)
}

/// Marker in place of states that could not be saved.
pub(super) fn not_saved() -> EnvState {
    EnvState {
        ints: BTreeMap::from([(NOT_SAVED.to_owned(), vec![1])]),
        ..EnvState::default()
    }
}

/// Whether the copies of a saved state could not be saved.
pub(super) fn is_not_saved(saved: &EnvState) -> bool {
    saved.ints.contains_key(NOT_SAVED)
}

/// Encodes an episode as four numbers.
fn pack(episode: &Episode) -> [u64; 4] {
    [
        episode.env as u64,
        episode.episode_return.to_bits(),
        episode.length.into(),
        episode.terminated.into(),
    ]
}

/// The entry `key`, with exactly `len` numbers.
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

/// The entry `key`, with `len` numbers that fit into 32 bits.
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
