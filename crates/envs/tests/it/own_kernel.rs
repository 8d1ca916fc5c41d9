//! An environment that this crate does not know, with options and with chance in every step, in a kernel.

use uphill_envs::{
    ActionSpace, BatchEnv, BatchOptions, Described, EnvSpec, IntoTask, ObsSpace, Outcome, Philox,
    in_kernels, kernel::*,
};

use crate::device::device as device_under_test;
use crate::tools::{bools, device, floats, random_actions};

/// A walk on a ring whose walls are drawn anew in every episode: more random numbers at the start than a block has, and
/// some in each step.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "gpu", derive(CubeType))]
struct Ring {
    #[cfg_attr(feature = "gpu", cube(comptime))]
    places: u32,
    /// Of a hundred steps, those that lead the other way.
    #[cfg_attr(feature = "gpu", cube(comptime))]
    slips: u32,
}

impl Described for Ring {
    fn spec(&self) -> EnvSpec {
        EnvSpec {
            name: "Ring-v0".to_owned(),
            obs: ObsSpace::between(-1.0, 1.0, 3),
            action: ActionSpace::Discrete { n: 2 },
            time_limit: Some(30),
            reward_threshold: None,
        }
    }

    /// The place, then the walls.
    fn state_size(&self) -> usize {
        1 + self.places as usize
    }
}

#[cfg_attr(feature = "gpu", cube)]
impl Env for Ring {
    fn reset(&self, state: &mut [f32], rng: &mut Philox) {
        for i in 0..self.places {
            state[i as usize + 1] = select(rng.below(4u32) == 0u32, 1.0f32, 0.0f32);
        }
        state[0] = rng.below(self.places) as f32;
    }

    fn step(&self, state: &mut [f32], action: &[f32], rng: &mut Philox) -> Outcome {
        let slipped = rng.below(100u32) < self.slips;
        let forward = (action[0] == 1.0f32) != slipped;
        let places = self.places as f32;
        let mut next = state[0] + select(forward, 1.0f32, -1.0f32);
        if next < 0.0f32 {
            next += places;
        }
        if next >= places {
            next -= places;
        }
        let hit = state[next as usize + 1] == 1.0f32;
        if !hit {
            state[0] = next;
        }
        Outcome {
            reward: select(hit, -1.0f32, rng.uniform()),
            terminated: hit && rng.below(3u32) == 0u32,
        }
    }

    fn observe(&self, state: &[f32], obs: &mut [f32]) {
        let place = state[0] as usize;
        obs[0] = state[0] / self.places as f32;
        obs[1] = state[place + 1];
        obs[2] = state[1];
    }
}

in_kernels!(Ring => RingExpand { places, slips });

fn pair(ring: &Ring, options: BatchOptions) -> [Box<dyn BatchEnv>; 2] {
    [device_under_test(), device()].map(|device| {
        let mut env = ring
            .clone()
            .into_task()
            .batch(17, &device, options)
            .unwrap();
        env.reset(1 << 33 | 5);
        env
    })
}

/// Steps both under the same actions; returns how many episodes ended.
fn compare([on_device, on_host]: &mut [Box<dyn BatchEnv>; 2], steps: u32) -> usize {
    let mut ended = 0;
    for t in 0..steps {
        let [found, expected] = [&mut *on_device, &mut *on_host].map(|env| {
            let actions = random_actions(env.as_ref(), t);
            env.step(actions)
        });
        assert_eq!(bools(&found.terminated), bools(&expected.terminated), "{t}");
        assert_eq!(bools(&found.truncated), bools(&expected.truncated), "{t}");
        for (found, expected) in [
            (floats(&found.obs), floats(&expected.obs)),
            (floats(&found.next_obs), floats(&expected.next_obs)),
            (floats(&found.rewards), floats(&expected.rewards)),
        ] {
            for (f, e) in found.iter().zip(&expected) {
                assert!((f - e).abs() < 1e-6, "step {t}: device {f}, host {e}");
            }
        }
        let flags = [bools(&expected.terminated), bools(&expected.truncated)];
        ended += flags.iter().flatten().filter(|ended| **ended).count();
    }
    ended
}

#[test]
fn an_environment_of_one_s_own_does_the_same_in_a_kernel() {
    let ring = Ring {
        places: 7,
        slips: 20,
    };
    let mut both = pair(&ring, BatchOptions::default());
    let ended = compare(&mut both, 100);
    assert!(ended > 50, "{ended} episodes ended");
    // The saved states are the same too, walls included.
    let [on_device, on_host] = both.each_ref().map(|env| env.save());
    assert_eq!(on_device.floats["state"], on_host.floats["state"]);
    assert_eq!(on_device.ints["episode"], on_host.ints["episode"]);

    let frames = BatchOptions {
        frames: 3,
        random_ages: true,
        ..BatchOptions::default()
    };
    compare(&mut pair(&ring, frames), 40);
}

#[test]
fn options_are_constants_of_a_kernel_of_their_own() {
    for (places, slips) in [(5, 0), (12, 0), (12, 100)] {
        compare(
            &mut pair(&Ring { places, slips }, BatchOptions::default()),
            40,
        );
    }
}

#[cfg(feature = "gpu")]
#[test]
fn it_is_a_kernel_where_there_are_kernels() {
    let ring = Ring {
        places: 5,
        slips: 0,
    };
    let [mut on_device, mut on_host] = pair(&ring, BatchOptions::default());
    assert_eq!(
        on_device.on_device().is_some(),
        device_under_test() != device()
    );
    assert!(on_host.on_device().is_none());
}
