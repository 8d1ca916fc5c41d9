//! Probe of image observations: the bright quarter of an image to name.

#[allow(clippy::wildcard_imports)] // the vocabulary of kernels, whichever of the two it is
use crate::kernel::*;
use crate::{ActionSpace, Described, EnvSpec, ObsSpace, Outcome, Philox, in_kernels};
use serde::Deserialize;

/// Shades below this count as dark.
const DARK: u32 = 128;

/// ProbeImage-v0: one step, rewarded for naming the bright quarter of an image.
///
/// **Option**: `side`, the number of rows and columns, an even number from 2 to 256; default 4.
///
/// **Action**: index 0 to 3 of a quarter, in reading order. **Observation**: an image of bytes, 1 × `side` × `side`,
/// with one quarter in one shade and the rest in another, seen as byte/255. **Reward**: 1 if the action names the
/// bright quarter, else 0. **Start state**: each quarter with probability 1/4, its shade uniform in 128 to 255, that of
/// the rest in 0 to 127. **Episode end**: terminated after one step. **Time limit**: none. **Solved** at a mean return
/// of 0.9.
///
/// **Optimum**: the bright quarter, return 1; any policy that does not see the image gets 1/4.
///
/// **Localises**: images: unscaled bytes, rows, columns or channels in the wrong order, images of another copy.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "Options")]
#[cfg_attr(feature = "gpu", derive(CubeType))]
pub struct ProbeImage {
    /// Number of rows and columns.
    #[cfg_attr(feature = "gpu", cube(comptime))]
    side: u32,
}

/// Options as a configuration gives them.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Options {
    side: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self { side: 4 }
    }
}

impl TryFrom<Options> for ProbeImage {
    type Error = String;

    fn try_from(Options { side }: Options) -> Result<Self, String> {
        if (2..=256).contains(&side) && side.is_multiple_of(2) {
            return Ok(Self { side });
        }
        Err(format!(
            "side is {side}, must be an even number from 2 to 256"
        ))
    }
}

impl Described for ProbeImage {
    fn spec(&self) -> EnvSpec {
        EnvSpec {
            name: "ProbeImage-v0".to_owned(),
            obs: ObsSpace::image(
                [1, self.side as usize, self.side as usize],
                u8::MAX,
                1.0 / 255.0,
            ),
            action: ActionSpace::Discrete { n: 4 },
            time_limit: None,
            reward_threshold: Some(0.9),
        }
    }

    /// The bright quarter, its shade, and that of the rest.
    fn state_size(&self) -> usize {
        3
    }
}

#[cfg_attr(feature = "gpu", cube)]
impl Env for ProbeImage {
    fn reset(&self, state: &mut [f32], rng: &mut Philox) {
        state[0] = rng.below(4u32) as f32;
        state[1] = (rng.below(DARK) + DARK) as f32;
        state[2] = rng.below(DARK) as f32;
    }

    fn step(&self, state: &mut [f32], action: &[f32], _rng: &mut Philox) -> Outcome {
        Outcome {
            reward: select(action[0] == state[0], 1.0f32, 0.0f32),
            terminated: true,
        }
    }

    fn observe(&self, state: &[f32], obs: &mut [f32]) {
        let half = self.side / 2u32;
        for line in 0..self.side {
            for column in 0..self.side {
                let quarter = line / half * 2u32 + column / half;
                let at = (line * self.side + column) as usize;
                obs[at] = select(quarter as f32 == state[0], state[1], state[2]);
            }
        }
    }
}

in_kernels!(ProbeImage => ProbeImageExpand { side });

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quarters_are_in_reading_order() {
        let mut obs = [0.0; 16];
        ProbeImage { side: 4 }.observe(&[1.0, 200.0, 3.0], &mut obs);
        #[rustfmt::skip]
        let expected = [
            3.0, 3.0, 200.0, 200.0,
            3.0, 3.0, 200.0, 200.0,
            3.0, 3.0, 3.0, 3.0,
            3.0, 3.0, 3.0, 3.0,
        ];
        assert_eq!(obs, expected);
    }
}
