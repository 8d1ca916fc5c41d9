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

use std::collections::BTreeMap;

use crate::host::Clock;
use crate::{EnvError, EnvState, Episode};

const SEED: &str = "seed";
const STEPS: &str = "steps";
const AGE: &str = "age";
const START_AGE: &str = "start_age";
const EPISODE: &str = "episode";
const EPISODE_RETURN: &str = "episode_return";
const FINISHED: &str = "finished";
const STATE: &str = "state";

/// A batch as numbers in host memory, wherever it lives.
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
    /// `[N, S]`.
    pub(crate) states: Vec<f32>,
}

impl Saved {
    pub(crate) fn to_state(&self) -> EnvState {
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
        EnvState {
            ints: ints
                .into_iter()
                .map(|(key, values)| (key.to_owned(), values))
                .collect(),
            floats: BTreeMap::from([(STATE.to_owned(), self.states.clone())]),
        }
    }

    /// Reads and checks a state of `n` copies.
    pub(crate) fn read(saved: &EnvState, n: usize, state_size: usize) -> Result<Self, EnvError> {
        let seed = list(&saved.ints, SEED, 1)?[0];
        let steps = list(&saved.ints, STEPS, 1)?[0];
        let ages = counters(saved, AGE, n)?;
        let start_ages = counters(saved, START_AGE, n)?;
        let episodes = counters(saved, EPISODE, n)?;
        let returns = list(&saved.ints, EPISODE_RETURN, n)?;
        let finished = finished(saved, n)?;
        let states = list(&saved.floats, STATE, n * state_size)?;
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
            states: states.to_vec(),
        })
    }
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
