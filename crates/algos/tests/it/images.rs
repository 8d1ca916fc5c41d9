//! Images are bytes until a network reads them, and nothing that is learnt depends on that.

use crate::{bytes, device::device, ppo, run};
use burn::tensor::{Bool, Tensor};
use std::sync::Once;
use uphill_algos::{
    AlgoConfig, RunConfig, Trainer,
    a2c::A2cConfig,
    a3c::A3cConfig,
    build_actor, build_critic,
    collect::{collect, collect_episodes, start},
    ppo::{Objective, PpoConfig},
    reinforce::ReinforceConfig,
    trpo::TrpoConfig,
};
use uphill_core::rollout::Rollout;
use uphill_envs::{
    BatchOptions, Described, Element, Env, EnvSpec, NoiseAt, ObsRef, Outcome, Philox, make_with,
    on_host, probe::ProbeImage, register,
};

/// The same pictures as floats, each number as a policy sees it.
#[derive(Clone)]
struct InFloats(ProbeImage);

impl Described for InFloats {
    fn spec(&self) -> EnvSpec {
        let mut spec = self.0.spec();
        spec.obs.element = Element::Float;
        spec
    }

    fn state_size(&self) -> usize {
        self.0.state_size()
    }
}

impl Env for InFloats {
    fn reset(&self, state: &mut [f32], rng: &mut Philox) {
        self.0.reset(state, rng);
    }

    fn step(&self, state: &mut [f32], action: &[f32], rng: &mut Philox) -> Outcome {
        self.0.step(state, action, rng)
    }

    fn observe(&self, state: &[f32], obs: &mut [f32]) {
        self.0.observe(state, obs);
        obs.iter_mut().for_each(|shade| *shade *= 1.0 / 255.0);
    }
}

/// The name of the environment of [`InFloats`].
fn in_floats() -> &'static str {
    static REGISTERED: Once = Once::new();
    REGISTERED.call_once(|| {
        let make = |config: &uphill_envs::EnvConfig| {
            let pictures = config.read::<ProbeImage>();
            pictures.map(|pictures| on_host(InFloats(pictures)))
        };
        register("InFloats-v0", make).unwrap();
    });
    "InFloats-v0"
}

/// What is learnt in a few iterations.
fn learnt(mut config: RunConfig, env: &str) -> Vec<u8> {
    config.env = env.into();
    // A kernel steps one of the two only.
    config.host_steps = true;
    let mut trainer = Trainer::new(config, &device()).unwrap();
    while !trainer.finished() {
        trainer.step().unwrap();
    }
    bytes(&trainer)
}

fn config(algo: impl Into<AlgoConfig>) -> RunConfig {
    let mut config = run("ProbeImage-v0", 4, 256, algo);
    config.network.hidden = vec![8];
    config
}

fn short() -> PpoConfig {
    PpoConfig {
        steps: 16,
        epochs: 2,
        minibatches: 2,
        ..Default::default()
    }
}

#[test]
fn bytes_teach_the_same_bits_as_floats() {
    type Change = fn(&mut RunConfig);
    let changes: [(&str, Change); 7] = [
        ("as it is", |_| ()),
        ("a penalty, which looks at the policy that acted", |c| {
            ppo(c).objective = Objective::Kl;
        }),
        ("Burn's operations", |c| c.network.fused = false),
        ("stacked frames", |c| c.frames = 3),
        ("normalised", |c| c.normalize.obs = true),
        ("clipped", |c| c.normalize.obs_clip = 0.5),
        ("memory", |c| {
            c.network.memory = uphill_algos::config::MemoryKind::Gru;
            c.network.memory_width = 4;
        }),
    ];
    for (name, change) in changes {
        let mut config = config(short());
        change(&mut config);
        let expected = learnt(config.clone(), in_floats());
        assert!(learnt(config, "ProbeImage-v0") == expected, "{name}");
    }
}

#[test]
fn every_kind_of_update_reads_bytes() {
    let trpo = TrpoConfig {
        steps: 16,
        ..Default::default()
    };
    let reinforce = ReinforceConfig {
        episodes: 4,
        ..Default::default()
    };
    // With one worker there is one order of gradients.
    let a3c = A3cConfig {
        workers: 1,
        updates: 4,
        ..Default::default()
    };
    let algos: [AlgoConfig; 4] = [
        A2cConfig::default().into(),
        trpo.into(),
        reinforce.into(),
        a3c.into(),
    ];
    for algo in algos {
        let config = config(algo);
        let expected = learnt(config.clone(), in_floats());
        let found = learnt(config.clone(), "ProbeImage-v0");
        assert!(found == expected, "{:?}", config.algo);
    }
}

/// Rollouts of 16 steps and of 4 episodes of 4 copies that see `frames` pictures.
fn rollouts(fused: bool, frames: usize) -> [Rollout; 2] {
    let mut config = config(short());
    (config.network.fused, config.frames) = (fused, frames);
    let options = BatchOptions {
        frames,
        host_steps: true,
        ..Default::default()
    };
    let mut env = make_with("ProbeImage-v0", 4, &device(), options).unwrap();
    let seen = env.on_host().unwrap().obs();
    assert!(matches!(seen, ObsRef::Bytes(bytes) if bytes.len() == 4 * 16 * frames));
    let actor = build_actor(&config, env.spec(), &device()).unwrap();
    let critic = build_critic(&config, env.spec(), &device());
    let agent = (&actor, &critic);
    let memory = &mut start(&actor, &critic, 4);
    let steps = collect(agent, env.as_mut(), memory, 16, NoiseAt::actions(1, 0));
    let episodes = collect_episodes(agent, env.as_mut(), 4, NoiseAt::actions(1, 16)).0;
    [steps, episodes]
}

#[test]
fn a_rollout_of_images_takes_a_byte_for_each_number() {
    for frames in [1, 3] {
        for rollout in [true, false].map(|fused| rollouts(fused, frames)) {
            for rollout in rollout {
                let [steps, copies] = rollout.dims();
                assert_eq!(rollout.obs.dims(), [steps, copies, 16 * frames]);
                assert_eq!(rollout.obs.bytes(), steps * copies * 16 * frames);

                // So do the batch that an update works on, and a minibatch.
                let zeros = || rollout.rewards.zeros_like();
                let batch = rollout.flatten(zeros(), zeros());
                assert_eq!(batch.obs.bytes(), batch.len() * 16 * frames);
                let part = batch.select(Tensor::from_data([3, 1], &device()));
                assert_eq!(part.obs.bytes(), 2 * 16 * frames);

                // Bright or dark, with one bright quarter of four: what was kept is a picture.
                let floats = rollout.flat_obs().floats();
                let bright: Tensor<2, Bool> = floats.greater_elem(0.5);
                let share = bright.float().mean().into_scalar::<f32>();
                assert_eq!(share, 0.25);
            }
        }
    }
}
