//! Settings that cannot be: numbers that single precision does not hold, sizes that no memory holds, files that are
//! no configuration.

use crate::{CARTPOLE, PENDULUM, Sandbox};
use std::fs;

#[test]
fn settings_that_single_precision_does_not_hold_are_refused() {
    let sandbox = Sandbox::new();
    sandbox.write("small.toml", CARTPOLE);
    sandbox.write("pendulum.toml", PENDULUM);
    for (config, set, says) in [
        ("small.toml", "algo.adam_epsilon=1e-46", "single precision"),
        ("small.toml", "algo.value_clip=1e-300", "single precision"),
        ("small.toml", "algo.kl_coef=1e300", "single precision"),
        ("small.toml", "algo.value_coef=1e300", "single precision"),
        ("small.toml", "algo.entropy_coef=1e300", "single precision"),
        ("npg-cartpole", "algo.max_kl=1e300", "single precision"),
        ("npg-cartpole", "algo.cg_damping=1e300", "single precision"),
        ("pendulum.toml", "network.log_std=100", "between -10 and 10"),
        (
            "pendulum.toml",
            "network.log_std=-100",
            "between -10 and 10",
        ),
        (
            "pendulum.toml",
            "network.log_std=-1000",
            "between -10 and 10",
        ),
        (
            "pendulum.toml",
            "network.log_std=1e300",
            "between -10 and 10",
        ),
        (
            "pendulum.toml",
            "network.log_std=-1e300",
            "between -10 and 10",
        ),
    ] {
        let (key, _) = set.split_once('=').unwrap();
        let done = sandbox.uphill(&format!(
            "train {config} --set {set} --device flex --out run"
        ));
        done.fails(2, &[&format!("{config} --set {set}: {key}: is "), says]);
        assert!(!sandbox.path("run").exists());
    }
}

/// What is allowed at the edges trains.
#[test]
fn the_narrowest_and_the_widest_policy_train() {
    let sandbox = Sandbox::new();
    sandbox.write("pendulum.toml", PENDULUM);
    for log_std in ["-10", "10"] {
        let train = format!(
            "train pendulum.toml --quiet --device flex --set network.log_std={log_std} --out run{log_std}"
        );
        sandbox.uphill(&train).succeeds();
    }
}

#[test]
fn a_configuration_in_another_encoding_says_so() {
    let sandbox = Sandbox::new();
    let wide: Vec<u8> = "\u{feff}env = \"CartPole-v1\"\n"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    fs::write(sandbox.path("wide.toml"), wide).unwrap();
    let latin = [b"# f\xfcr CartPole\n".as_slice(), CARTPOLE.as_bytes()].concat();
    fs::write(sandbox.path("latin.toml"), latin).unwrap();
    for (file, found) in [
        ("wide.toml", "this is UTF-16"),
        ("latin.toml", "byte 0xfc in line 1 is not"),
    ] {
        let done = sandbox.uphill(&format!("train {file} --device flex"));
        let says = format!(
            "error: {file}: a configuration is text in UTF-8, and {found}; save the file as UTF-8\n"
        );
        assert_eq!((done.code, done.stderr), (2, says));
    }
}

#[test]
fn a_run_directory_in_place_of_a_configuration_says_how_to_go_on() {
    let sandbox = Sandbox::new();
    sandbox.write("small.toml", CARTPOLE);
    sandbox
        .uphill("train small.toml --device flex --quiet --out run --set total_steps=128")
        .succeeds();
    sandbox.uphill("train run").fails(
        2,
        &[
            "run is a run directory: `uphill train --resume run`",
            "`uphill train run/config.toml`",
        ],
    );
    fs::create_dir(sandbox.path("empty")).unwrap();
    sandbox
        .uphill("train empty")
        .fails(2, &["empty is a directory; give a TOML file"]);
}

/// Sizes that nothing has room for, with the key that each message names.
const TOO_LARGE: [(&str, &str, &str); 12] = [
    (
        "reinforce-cartpole",
        "num_envs=9223372036854775807",
        "num_envs 9223372036854775807",
    ),
    (
        "reinforce-cartpole",
        "frames=9223372036854775807",
        "frames: ",
    ),
    ("reinforce-cartpole", "frames=2000000000", "frames: "),
    (
        "ppo-cartpole",
        "network.hidden=[4000000000]",
        "network.hidden: ",
    ),
    (
        "ppo-cartpole",
        "network.hidden=[2000000000,2000000000]",
        "network.hidden: ",
    ),
    (
        "gru.toml",
        "network.memory_width=9223372036854775807",
        "network.memory_width: ",
    ),
    (
        "gru.toml",
        "network.memory_width=2000000000",
        "network.memory_width: ",
    ),
    (
        "a3c-cartpole",
        "algo.steps=9223372036854775807",
        "algo.steps: ",
    ),
    (
        "a3c-cartpole",
        "algo.updates=9223372036854775807",
        "algo.updates: ",
    ),
    (
        "vpg-cartpole",
        "algo.steps=9223372036854775807",
        "algo.steps: ",
    ),
    (
        "reinforce-cartpole",
        "algo.episodes=90000000000000",
        "algo.episodes: ",
    ),
    (
        "ppo-cartpole",
        "algo.epochs=9223372036854775807",
        "algo.epochs: ",
    ),
];

#[test]
fn sizes_that_nothing_has_room_for_are_refused_by_name() {
    let sandbox = Sandbox::new();
    let memory = CARTPOLE.replacen("hidden = [16]", "hidden = [16]\nmemory = \"gru\"", 1);
    sandbox.write("gru.toml", &memory);
    for (config, set, says) in TOO_LARGE {
        for seeds in ["", "--seeds 2"] {
            let train = format!("train {config} --set {set} --device flex --out run {seeds}");
            sandbox.uphill(&train).fails(2, &[set, says]);
            assert!(!sandbox.path("run").exists(), "{set}");
        }
    }
}

/// The laboratory builds networks too.
#[test]
fn a_study_that_no_memory_can_hold_is_refused() {
    let sandbox = Sandbox::new();
    sandbox.write("small.toml", CARTPOLE);
    let done =
        sandbox.uphill("lab small.toml --set network.hidden=[2000000000] --device flex --out lab");
    done.fails(2, &["network.hidden: with [2000000000]", "networks"]);
    assert!(!sandbox.path("lab").exists());
}

/// What would fit elsewhere does not fit under a limit of this process.
#[cfg(target_os = "linux")]
#[test]
fn a_run_that_a_limit_leaves_no_room_for_is_refused() {
    let sandbox = Sandbox::new();
    sandbox.write("small.toml", CARTPOLE);
    for (set, parts) in [
        (
            "algo.steps=20000000",
            [
                "algo.steps: with 20000000 the run needs at least",
                "rollout",
            ],
        ),
        (
            "network.hidden=[100000,100000]",
            ["network.hidden: with [100000, 100000]", "optimiser"],
        ),
        ("frames=50000000", ["frames: with 50000000", "networks"]),
        (
            "num_envs=40000000",
            ["num_envs: with 40000000", "environments"],
        ),
    ] {
        // 1.5 GiB of addresses.
        let program = env!("CARGO_BIN_EXE_uphill");
        let line = format!(
            "ulimit -v 1572864; exec '{program}' train small.toml --set '{set}' --device flex --out run"
        );
        let output = std::process::Command::new("sh")
            .current_dir(sandbox.path(""))
            .args(["-c", &line])
            .output()
            .unwrap();
        let done = crate::Done::of(&output);
        done.fails(2, &parts);
        done.fails(2, &["GiB of memory (", " can be had; ", " would fit"]);
        assert!(!sandbox.path("run").exists(), "{set}");
    }
}

#[test]
fn a_dry_run_says_what_a_run_would_be_and_writes_nothing() {
    let sandbox = Sandbox::new();
    sandbox.write("small.toml", CARTPOLE);
    let done = sandbox.uphill("train small.toml --dry-run --device flex --out run");
    done.succeeds();
    for part in [
        "8 iterations of up to 128 environment steps",
        "of memory (",
        "environments ",
        "rollout ",
        "minibatch ",
        "networks ",
        "optimiser and gradient ",
        "nothing was written",
    ] {
        assert!(done.stdout.contains(part), "no {part:?} in {}", done.stdout);
    }
    assert!(!sandbox.path("run").exists() && !sandbox.path("runs").exists());
    let done = sandbox
        .uphill("train small.toml --dry-run --device flex --seeds 3 --set algo.minibatches=3");
    done.fails(2, &["algo.minibatches: 3 parts do not divide"]);
}

#[test]
fn an_iteration_that_is_more_than_the_budget_is_said_so() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "minimal.toml",
        "env = \"CartPole-v1\"\ntotal_steps = 10_000\n[algo]\nname = \"ppo\"\n",
    );
    let warning = "warning: one iteration is 16384 steps (algo.steps 2048 × num_envs 8), more than total_steps 10000\n";
    let dry = "train minimal.toml --dry-run --quiet --device flex";
    let done = sandbox.uphill(dry);
    assert_eq!(done.succeeds().stderr, warning);
    let done = sandbox.uphill(&format!("{dry} --set total_steps=16384"));
    assert_eq!(done.succeeds().stderr, "");
}
