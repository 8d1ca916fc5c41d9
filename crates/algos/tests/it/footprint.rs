//! The memory that a run will want, counted by hand.

use crate::{config::with, ppo, run, small};
use toml::{Table, Value};
use uphill_algos::{
    ALGORITHMS, AlgoConfig, Footprint, RunConfig, a3c::A3cConfig, footprint::Bytes, ppo::PpoConfig,
};

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

/// Images are kept as bytes; only what a network is reading is floats.
#[test]
fn images_by_hand() {
    let settings = PpoConfig {
        steps: 32,
        minibatches: 4,
        ..Default::default()
    };
    let mut config = run("ProbeImage-v0", 8, 1000, settings);
    let (samples, pixels) = (32 * 8, 2 * 16);
    config.frames = 2;
    let of_all = parts(&config);
    assert_eq!(of_all[0], ("environments", 8 * (3 * pixels + 4 * 32)));
    let sample = pixels + 4 * (1 + 8);
    assert_eq!(of_all[3], ("rollout", samples * sample));
    assert_eq!(of_all[4], ("minibatch", samples / 4 * sample));

    // Tensors: inputs, two hidden layers and outputs of both networks, and their gradients.
    config.network.fused = false;
    let units = (pixels + 64 + 64 + 4) + (pixels + 64 + 64 + 1);
    let minibatch = samples / 4 * (sample + 4 * 2 * units);
    assert_eq!(parts(&config)[4], ("minibatch", minibatch));

    let settings = A3cConfig {
        workers: 2,
        updates: 50,
        ..Default::default()
    };
    let config = run("ProbeImage-v0", 4, 1_000_000, settings);
    let kept = 5 * 4 * (16 + 4 * (1 + 8)) + 50 * 5 * 4 * 16 + 50 * 2 * 512;
    assert_eq!(parts(&config)[3], ("rollout", kept));
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
    // 2²⁶ samples of 52 bytes are 3.25 GiB, half of which a minibatch takes again.
    assert_eq!(
        error.problem,
        "with 16777216 the run needs at least 4.9 GiB of memory (rollout 3.2 GiB, minibatch 1.6 GiB), \
         and 4.9 GiB can be had; 8388608 would fit"
    );
    // What is said to fit does.
    ppo(&mut config).steps = 8_388_608;
    assert!(Footprint::within(&config, &spec, 1, needed - 1).is_ok());
}

/// Every setting that is a size, for every algorithm: counted without overflow up to what can be counted, and named
/// where it is too much.
#[test]
fn every_size_of_every_algorithm_is_named() {
    const LARGE: i64 = 1 << 25;
    let mut named = 0;
    for (name, _) in ALGORITHMS {
        let algo = AlgoConfig::default_for(name).unwrap();
        let config = RunConfig::new("CartPole-v1", 8, 1 << 40, algo);
        let spec = uphill_envs::spec(&config.env).unwrap();
        let table = Table::try_from(&config).unwrap();
        let own = ["steps", "episodes", "updates"];
        let own = own
            .into_iter()
            .filter(|key| table["algo"].get(key).is_some());
        let keys = own.map(|key| format!("algo.{key}"));
        for key in keys.chain(["num_envs", "frames", "network.hidden"].map(str::to_owned)) {
            let value = |number: i64| match key.as_str() {
                "network.hidden" => Value::from(vec![number]),
                _ => number.into(),
            };
            let large = with(&table, &key, value(LARGE));
            let error = Footprint::within(&large, &spec, 1, 1 << 30).unwrap_err();
            assert_eq!(error.key, key, "{name}: {error}");
            let huge = with(&table, &key, value(i64::from(i32::MAX)));
            assert!(
                Footprint::of(&huge, &spec).unwrap().total() > 1 << 33,
                "{name}: {key}"
            );
            named += 1;
        }
    }
    assert!(named > 30, "{named}");
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
