//! The memory that a run will want, counted by hand.

use crate::{ppo, run, small};
use uphill_algos::{Footprint, RunConfig, a3c::A3cConfig, footprint::Bytes, ppo::PpoConfig};

fn footprint(config: &RunConfig) -> Footprint {
    Footprint::of(config, &uphill_envs::spec(&config.env).unwrap()).unwrap()
}

fn parts(config: &RunConfig) -> Vec<(&'static str, u128)> {
    let parts = footprint(config).parts;
    parts.iter().map(|part| (part.name, part.bytes)).collect()
}

#[test]
fn by_hand() {
    let settings = PpoConfig {
        steps: 32,
        minibatches: 4,
        ..Default::default()
    };
    // Observations of 4 numbers, one action, two networks of 64 × 64:
    // (5·64 + 65·64 + 65·2) + (5·64 + 65·64 + 65·1) = 9155 parameters.
    let config = run("CartPole-v1", 8, 1000, settings);
    let samples = 32 * 8;
    assert_eq!(
        parts(&config),
        [
            ("environments", 4 * 8 * (3 * 4 + 32)),
            ("networks", 4 * 2 * 9155),
            ("optimiser and gradient", 4 * 3 * 9155),
            ("rollout", 4 * samples * (4 + 1 + 8)),
            ("minibatch", 4 * samples / 4 * (4 + 1 + 8)),
        ]
    );
}

/// Three frames are three times the observation; tensors keep what every unit puts out, and its gradient.
#[test]
fn frames_and_unfused_passes_by_hand() {
    let mut config = small();
    config.frames = 3;
    config.network.fused = false;
    let parts = parts(&config);
    let samples = 16 * 4;
    // Inputs, 8 units, outputs, of both networks.
    let units = 12 + 8 + 2 + 12 + 8 + 1;
    assert_eq!(parts[3], ("rollout", 4 * samples * (12 + 1 + 8)));
    assert_eq!(parts[4].1, 4 * samples / 2 * (12 + 1 + 8 + 2 * units));
}

/// A3C's workers keep all observations of an iteration, which ends at the budget.
#[test]
fn a3c_by_hand() {
    let settings = A3cConfig {
        workers: 2,
        updates: 50,
        ..Default::default()
    };
    let kept = |updates: u128| 4 * (5 * 4 * (4 + 1 + 8) + updates * 5 * 4 * 4) + updates * 2 * 512;
    for (budget, updates) in [(1_000_000, 50), (100, 5)] {
        let config = run("CartPole-v1", 4, budget, settings.clone());
        assert_eq!(parts(&config)[3], ("rollout", kept(updates)));
    }
}

#[test]
fn what_does_not_fit_is_named_with_what_would() {
    let mut config = small();
    config.total_steps = 1 << 40;
    ppo(&mut config).steps = 1 << 24;
    let spec = uphill_envs::spec(&config.env).unwrap();
    let within = |agents, available| Footprint::within(&config, &spec, agents, available);
    let needed = footprint(&config).total();
    assert!(within(1, needed).is_ok() && within(2, needed).is_err());
    let error = within(1, needed - 1).unwrap_err();
    assert_eq!(error.key, "algo.steps");
    // 2²⁶ samples of 52 bytes are 3.25 GiB, half of them a minibatch.
    assert_eq!(
        error.problem,
        "with 16777216 the run needs at least 4.9 GiB of memory (rollout 3.3 GiB, minibatch 1.6 GiB), \
         and 4.9 GiB can be had; 8388608 would fit"
    );
    // What is said to fit does.
    ppo(&mut config).steps = 8_388_608;
    assert!(Footprint::within(&config, &spec, 1, needed - 1).is_ok());
}

#[test]
fn bytes_have_two_digits_and_a_unit() {
    for (bytes, text) in [
        (0, "0.0 KiB"),
        (1536, "1.5 KiB"),
        (10 << 20, "10 MiB"),
        ((1 << 30) - 1, "1.0 GiB"),
        (3 << 40, "3.0 TiB"),
        (1 << 75, "32768 EiB"),
    ] {
        assert_eq!(Bytes(bytes).to_string(), text);
    }
}
