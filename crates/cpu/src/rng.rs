//! Counter-based random words (Philox), and the purposes for which they are drawn.
//!
//! Source: Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3", SC'11 (Random123).

/// Number of rounds of Philox.
pub const ROUNDS: u32 = 10;
/// Multiplier of the first word in each round.
pub const MULTIPLIER_A: u32 = 0xD251_1F53;
/// Multiplier of the third word in each round.
pub const MULTIPLIER_B: u32 = 0xCD9E_8D57;
/// Increment of the first word of the key per round: the golden ratio.
pub const KEY_STEP_A: u32 = 0x9E37_79B9;
/// Increment of the second word of the key per round: √3 − 1.
pub const KEY_STEP_B: u32 = 0xBB67_AE85;

/// Philox4x32-10: four random words, a pure function of a position (`counter`) and a seed (`key`).
///
/// Ten rounds; each multiplies two of the words by constants and mixes their high and low halves with the other two
/// words and the key, which is incremented by the golden ratio and √3 − 1 between rounds.
#[must_use]
pub const fn philox4x32(counter: [u32; 4], key: [u32; 2]) -> [u32; 4] {
    let [mut c0, mut c1, mut c2, mut c3] = counter;
    let [mut k0, mut k1] = key;
    let mut round = 0;
    while round < ROUNDS {
        let a = MULTIPLIER_A as u64 * c0 as u64;
        let b = MULTIPLIER_B as u64 * c2 as u64;
        (c0, c2) = ((b >> 32) as u32 ^ c1 ^ k0, (a >> 32) as u32 ^ c3 ^ k1);
        (c1, c3) = (b as u32, a as u32);
        k0 = k0.wrapping_add(KEY_STEP_A);
        k1 = k1.wrapping_add(KEY_STEP_B);
        round += 1;
    }
    [c0, c1, c2, c3]
}

/// Purposes of random numbers. Streams of one seed are independent of each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Stream {
    /// Initial parameters of networks.
    Init = 0,
    /// Start states of episodes.
    Reset = 1,
    /// Noise in the dynamics of environments.
    Step = 2,
    /// Ages at which the copies of a batch start.
    Age = 3,
    /// Actions sampled during training.
    Action = 4,
    /// Order of samples in minibatches.
    Shuffle = 5,
    /// Actions sampled during evaluation.
    EvalAction = 6,
    /// Anything else that a user draws.
    User = 7,
    /// Seeds of rollouts that restart every copy.
    FreshStart = 8,
    /// Seeds of workers with their own environments.
    Worker = 9,
    /// Seeds and small decision processes of the estimator laboratory.
    Lab = 10,
}

/// Position in the stream of the random numbers of consecutive steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoiseAt {
    /// The run's seed.
    pub seed: u64,
    /// Purpose of the numbers.
    pub stream: Stream,
    /// Number of the first step.
    pub first_step: u64,
}

impl NoiseAt {
    /// Position of `first_step`.
    #[must_use]
    pub const fn new(seed: u64, stream: Stream, first_step: u64) -> Self {
        Self {
            seed,
            stream,
            first_step,
        }
    }

    /// Position of the actions sampled during training.
    #[must_use]
    pub const fn actions(seed: u64, first_step: u64) -> Self {
        Self::new(seed, Stream::Action, first_step)
    }

    /// Position `steps` steps later.
    #[must_use]
    pub fn after(self, steps: usize) -> Self {
        Self {
            first_step: self.first_step + steps as u64,
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Known answers published with Random123 for philox4x32 with 10 rounds.
    #[test]
    fn known_answers() {
        let check = |counter, key, expected| assert_eq!(philox4x32(counter, key), expected);
        check(
            [0; 4],
            [0; 2],
            [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8],
        );
        check(
            [u32::MAX; 4],
            [u32::MAX; 2],
            [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd],
        );
        check(
            [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
            [0xa409_3822, 0x299f_31d0],
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1],
        );
    }
}
