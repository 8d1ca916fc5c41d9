use crate::{CARTPOLE, PENDULUM, Sandbox};
use std::fs;

/// Both forms of the command.
const TRAIN_USAGE: [&str; 1] = ["Usage: uphill train [OPTIONS] <CONFIG>
       uphill train [OPTIONS] --resume <RUN>
"];

/// The small configuration with one piece of text replaced.
fn with(from: &str, to: &str) -> String {
    assert!(CARTPOLE.contains(from));
    CARTPOLE.replacen(from, to, 1)
}

#[test]
fn mistakes_in_a_configuration_name_file_key_and_remedy() {
    for (config, parts) in [
        (
            with("epochs = 2", "epohcs = 2"),
            vec!["algo.epohcs: unknown key", "did you mean \"epochs\"?"],
        ),
        (
            with("num_envs = 4", "num_env = 4"),
            vec!["num_env: unknown key", "did you mean \"num_envs\"?"],
        ),
        (
            with("hidden = [16]", "hiden = [16]"),
            vec!["network.hiden: unknown key", "\"hidden\""],
        ),
        (
            with("epochs = 2", "epochs = \"two\""),
            vec!["algo.epochs: expected a whole number, found string \"two\""],
        ),
        (
            with("epochs = 2", "epochs = 2.5"),
            vec!["algo.epochs: expected a whole number, found float 2.5"],
        ),
        (
            with("epochs = 2", "epochs = -2"),
            vec!["algo.epochs: is -2, must not be negative"],
        ),
        (
            with("epochs = 2", "clip = { from = 0.2 }"),
            vec![
                "algo.clip: missing field `to`",
                "a schedule is written { from = 1e-3, to = 0 }",
            ],
        ),
        (
            with("epochs = 2", "gamma = { from = 0.9, to = 0.99 }"),
            vec!["algo.gamma: expected a number such as 0.99; this one takes no schedule"],
        ),
        (
            with("hidden = [16]", "hidden = [1.5]"),
            vec!["network.hidden: expected a list of whole numbers such as [64, 64], found [1.5]"],
        ),
        (
            with("epochs = 2", "objective = \"clipp\""),
            vec![
                "algo.objective: is \"clipp\", must be one of \"clip\", \"kl\"",
                "did you mean \"clip\"?",
            ],
        ),
        (
            with("epochs = 2", "normalize_advantages = true"),
            vec![
                "algo.normalize_advantages: is true, must be one of \"none\", \"minibatch\", \"batch\"",
            ],
        ),
        (
            with("hidden = [16]", "distribution = \"normal\""),
            vec![
                "network.distribution: is \"normal\", must be one of \"auto\", \"gaussian\", \
                 \"squashed-gaussian\", \"beta\"",
            ],
        ),
        (
            with("hidden = [16]", "memory_width = 32"),
            vec!["network.memory_width: is 32, but there is no memory; add memory = \"gru\""],
        ),
        (
            with("total_steps = 1024", "total_steps = 1e5"),
            vec!["total_steps: expected a whole number, found float 100000.0; write 100_000"],
        ),
        (
            with("epochs = 2", "gamma = 2.0"),
            vec!["algo.gamma: is 2, must lie between 0 and 1"],
        ),
        (
            with("num_envs = 4", "num_envs = 0"),
            vec!["num_envs: must be at least 1"],
        ),
        (
            with("minibatches = 2", "minibatches = 3"),
            vec!["algo.minibatches: 3 parts do not divide the batch of 128"],
        ),
        (
            with("total_steps = 1024", ""),
            vec!["total_steps: missing", "total_steps = 100_000"],
        ),
        (
            with("env = \"CartPole-v1\"", ""),
            vec!["env: missing", "env = \"CartPole-v1\""],
        ),
        (
            with("CartPole-v1", "CartPole-v2"),
            vec!["env: unknown environment", "did you mean `CartPole-v1`?"],
        ),
        (
            with("name = \"ppo\"", "name = \"ppp\""),
            vec![
                "algo.name: unknown algorithm \"ppp\"",
                "did you mean \"ppo\"?",
            ],
        ),
        (
            with("name = \"ppo\"", ""),
            vec!["algo.name: missing", "[algo]\nname = \"ppo\"\n", "trpo"],
        ),
        (
            with("name = \"ppo\"", "name = 3"),
            vec!["algo.name: expected a string such as \"ppo\", found integer 3"],
        ),
        (
            "env = \"CartPole-v1\"\nalgo = \"ppo\"\n".to_owned(),
            vec!["algo: expected a table such as [algo] with name = \"ppo\" in it, found string"],
        ),
        (
            with("env = ", "gamma = 0.9\nenv = "),
            vec!["gamma: unknown key, did you mean \"algo.gamma\"?"],
        ),
        (
            with("epochs = 2", "seed = 2"),
            vec!["algo.seed: unknown key, did you mean \"seed\"?"],
        ),
        (
            with("epochs = 2", "learning_rate = inf"),
            vec!["algo.learning_rate: is inf, must be a positive finite number"],
        ),
        (
            with("epochs = 2", "learning_rate = { from = -1.0, to = 0 }"),
            vec![
                "algo.learning_rate: is { from = -1, to = 0 }, must be a positive finite number (a schedule may end at 0)",
            ],
        ),
        (
            with("name = \"ppo\"", "name = \"trpo\""),
            vec!["algo.epochs: unknown key, did you mean \"algo.critic.epochs\"?"],
        ),
        (with("[algo]", "[algo"), vec!["TOML parse error at line"]),
    ] {
        let sandbox = Sandbox::new();
        sandbox.write("bad.toml", &config);
        let done = sandbox.uphill("train bad.toml --device flex --out run");
        done.fails(2, &parts);
        done.fails(2, &["bad.toml"]);
        assert!(
            !sandbox.path("run").exists(),
            "a refused run leaves nothing behind"
        );
    }
}

#[test]
fn a_policy_that_does_not_suit_the_actions_is_refused() {
    let sandbox = Sandbox::new();
    sandbox.write("small.toml", CARTPOLE);
    sandbox
        .uphill("train small.toml --set network.distribution=beta --device flex --out run")
        .fails(
            2,
            &["network.distribution: must be \"auto\", because CartPole-v1 has 2 choices"],
        );
    assert!(!sandbox.path("run").exists());
}

#[test]
fn mistakes_on_the_command_line_are_explained() {
    let sandbox = Sandbox::new();
    sandbox.write("small.toml", CARTPOLE);
    for (args, parts) in [
        (
            "train small.toml --set algo.clp=0.1",
            vec!["--set algo.clp=0.1", "did you mean \"clip\"?"],
        ),
        ("train small.toml --set clip", vec!["expected KEY=VALUE"]),
        ("train small.toml --set =3", vec!["expected KEY=VALUE"]),
        (
            "train small.toml --set total_steps=18446744073709551615",
            vec!["is more than 9223372036854775807, the largest whole number"],
        ),
        (
            "train small.toml --set seed=007",
            vec!["seed: expected a whole number, found string \"007\""],
        ),
        (
            "train small.toml --set algo.learning_rate={from=1}",
            vec!["a schedule has two ends, for example { from = 1e-3, to = 0 }"],
        ),
        (
            "train small.toml --set algo..clip=3",
            vec!["--set algo..clip=3: expected KEY=VALUE"],
        ),
        (
            "train small.toml --set clip=0.1",
            vec!["--set clip=0.1: clip: unknown key, did you mean \"algo.clip\"?"],
        ),
        (
            "train small.toml --set algo.name=3",
            vec!["--set algo.name=3: algo.name: expected a string such as \"ppo\""],
        ),
        (
            "train small.toml --set algo.clip=wide",
            vec!["--set algo.clip=wide", "expected a number"],
        ),
        (
            "train small.toml --set algo.optimizer=foo",
            vec![
                "--set algo.optimizer=foo: algo.optimizer: is \"foo\", must be one of \"shared\", \"separate\"",
            ],
        ),
        (
            "train small.toml --set algo.objective=",
            vec!["--set algo.objective=: algo.objective: is \"\", must be one of \"clip\", \"kl\""],
        ),
        (
            "train small.toml --set total_steps=2.5e6",
            vec!["--set total_steps=2.5e6: total_steps: ", "write 2_500_000"],
        ),
        (
            "train small.toml --set algo.gamma=2",
            vec!["small.toml --set algo.gamma=2: algo.gamma: is 2"],
        ),
        (
            "train small.toml --set network.distribution=beta",
            vec!["small.toml --set network.distribution=beta: network.distribution: must be"],
        ),
        (
            "train small.toml --set algo.name=trpo",
            vec![
                "--set algo.name=trpo: the [algo] table of small.toml is for ppo",
                "trpo cannot take its epochs, minibatches;",
                "start from a preset of trpo (trpo-cartpole, trpo-pendulum)",
            ],
        ),
        (
            "train small.toml --set algo.name=trop",
            vec![
                "--set algo.name=trop: algo.name: unknown algorithm",
                "\"trpo\"?",
            ],
        ),
        (
            "train small.toml --checkpoint best",
            vec!["cannot be used with", "--checkpoint"],
        ),
        (
            "train nowhere.toml",
            vec!["nowhere.toml", "uphill list presets"],
        ),
        (
            "train ppo-cartpol",
            vec!["did you mean the preset \"ppo-cartpole\"?"],
        ),
        ("train small.toml --device gpu", vec!["wgpu"]),
        (
            "train --resume nowhere",
            vec!["nowhere is not a run directory"],
        ),
        ("train", TRAIN_USAGE.to_vec()),
        ("train small.toml --resume run", TRAIN_USAGE.to_vec()),
        ("eval nowhere", vec!["nowhere is not a run directory"]),
        (
            "eval nowhere --episodes 0",
            vec!["'--episodes <EPISODES>': must be a whole number from 1 to 4294967295\n"],
        ),
        (
            "train small.toml --seed -1",
            vec!["'--seed <SEED>': must be a whole number from 0 to 9223372036854775807\n"],
        ),
        (
            "train small.toml --seeds -1",
            vec!["'--seeds <N>': must be a whole number from 1 to 10000\n"],
        ),
        (
            "eval nowhere --episodes -5",
            vec!["'--episodes <EPISODES>': must be a whole number from 1 to "],
        ),
        (
            "lab --gamma -0.5 --device flex",
            vec!["--gamma: is -0.5, must lie between 0 and 1"],
        ),
        ("bench --envs -2", vec!["'--envs <N,..>': must be a whole"]),
    ] {
        sandbox.uphill(args).fails(2, &parts);
    }
}

/// Another algorithm may be asked for where the file has nothing that only its own knows.
#[test]
fn a_file_that_suits_two_algorithms_runs_both() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "plain.toml",
        &with("steps = 32\nepochs = 2\nminibatches = 2\n", "steps = 32\n"),
    );
    let train = "train plain.toml --quiet --device flex --out run --set total_steps=128";
    let done = sandbox.uphill(&format!("{train} --set algo.name=a2c"));
    done.succeeds();
    assert!(sandbox.read("run/config.toml").contains("name = \"a2c\""));
}

#[test]
fn what_is_not_a_run_directory_gets_a_hint() {
    let sandbox = Sandbox::new();
    sandbox.write("small.toml", CARTPOLE);
    sandbox
        .uphill("eval ppo-cartpole")
        .fails(2, &["train it first, with `uphill train ppo-cartpole`"]);
    let train = "train small.toml --quiet --device flex --set total_steps=128";
    for _ in 0..2 {
        sandbox.uphill(train).succeeds();
    }
    for (given, hint) in [
        ("small.toml", "did you mean runs/small-2?"),
        ("small-1", "did you mean runs/small-1?"),
        (
            "runs/small-1/checkpoints/best",
            "give runs/small-1 --checkpoint best",
        ),
        (
            "runs/small-1/checkpoints/latest/run.safetensors",
            "give runs/small-1\n",
        ),
        ("runs/small-1/config.toml", "give runs/small-1\n"),
        ("runs", "it has no config.toml"),
    ] {
        for command in ["eval", "train --resume"] {
            let done = sandbox.uphill(&format!("{command} {given}"));
            done.fails(2, &[&format!("{given} is not a run directory"), hint]);
        }
    }
}

#[test]
fn a_best_checkpoint_comes_with_a_hundred_episodes() {
    let sandbox = Sandbox::new();
    sandbox.write("small.toml", CARTPOLE);
    sandbox
        .uphill("train small.toml --quiet --device flex --out run --set total_steps=128")
        .succeeds();
    for command in ["eval", "train --resume"] {
        sandbox
            .uphill(&format!("{command} run --checkpoint best"))
            .fails(2, &["100 episodes", "use --checkpoint latest"]);
    }
}

#[test]
fn a_device_that_is_not_there_says_how_to_get_it() {
    let sandbox = Sandbox::new();
    sandbox.write("small.toml", CARTPOLE);
    let done = sandbox.uphill("train small.toml --device cuda:7 --out run");
    if cfg!(feature = "cuda") {
        done.fails(2, &["does not exist"]);
    } else {
        done.fails(
            2,
            &[
                "\"cuda\" is not compiled in",
                "cargo build --release --features cuda",
            ],
        );
    }
    assert!(!sandbox.path("run").exists());
}

#[test]
fn run_directories_are_never_overwritten() {
    let sandbox = Sandbox::new();
    sandbox.write("small.toml", CARTPOLE);
    sandbox
        .uphill("train small.toml --device flex --quiet --out run")
        .succeeds();
    let done = sandbox.uphill("train small.toml --device flex --out run");
    done.fails(2, &["run already exists", "--resume run"]);
    // What is not a run cannot be resumed.
    fs::create_dir(sandbox.path("empty")).unwrap();
    fs::create_dir(sandbox.path("site")).unwrap();
    sandbox.write("site/config.toml", "title = \"My blog\"\n");
    for taken in ["empty", "site", "small.toml"] {
        let done = sandbox.uphill(&format!("train small.toml --device flex --out {taken}"));
        let message = "already exists and is not a run directory; choose another --out\n";
        done.fails(2, &[&format!("error: {taken} {message}")]);
    }
    // A place under a file cannot be written to, whoever asks.
    let done = sandbox.uphill("train small.toml --device flex --out small.toml/run");
    done.fails(1, &["small.toml/run", "choose a writable --out"]);
}

#[test]
fn a_diverged_run_stops_and_keeps_its_last_good_checkpoint() {
    let sandbox = Sandbox::new();
    sandbox.write("small.toml", CARTPOLE);
    let wild = "--set algo.learning_rate=1e38 --set algo.max_grad_norm=0 --set total_steps=100000";
    let done = sandbox.uphill(&format!("train small.toml --device flex --out run {wild}"));
    done.fails(
        3,
        &[
            "diverged in iteration",
            "run/checkpoints/latest/run.safetensors",
        ],
    );
    sandbox
        .uphill("eval run --episodes 2 --device flex")
        .succeeds();
}

#[test]
fn damaged_and_foreign_checkpoints_are_refused() {
    let sandbox = Sandbox::new();
    sandbox.write("small.toml", CARTPOLE);
    sandbox.write("other.toml", PENDULUM);
    for (config, out) in [("small.toml", "run"), ("other.toml", "other")] {
        sandbox
            .uphill(&format!("train {config} --device flex --quiet --out {out}"))
            .succeeds();
    }
    let path = sandbox.path("run/checkpoints/latest/run.safetensors");
    let whole = fs::read(&path).unwrap();
    let metrics = sandbox.read("run/metrics.csv");

    fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    let resume = "train --resume run --set total_steps=2048";
    sandbox
        .uphill(resume)
        .fails(1, &["run.safetensors is damaged"]);
    let again = "start again with `uphill train run/config.toml`";
    sandbox
        .uphill("eval run")
        .fails(1, &["run.safetensors is damaged", again]);

    fs::copy(
        sandbox.path("other/checkpoints/latest/run.safetensors"),
        &path,
    )
    .unwrap();
    for command in [
        resume,
        "eval run --device flex",
        "lab run --device flex --out lab",
    ] {
        let parts = [
            "run/checkpoints/latest/run.safetensors: made with env = \"Pendulum-v1\"",
            "but run/config.toml has env = \"CartPole-v1\"",
        ];
        sandbox.uphill(command).fails(2, &parts);
    }

    fs::remove_file(&path).unwrap();
    sandbox.uphill(resume).fails(1, &["no such checkpoint"]);
    assert_eq!(
        sandbox.read("run/metrics.csv"),
        metrics,
        "nothing already written was lost"
    );

    fs::write(&path, &whole).unwrap();
    sandbox.uphill(resume).succeeds();
}

#[test]
fn a_resumed_run_changes_only_its_budget() {
    let sandbox = Sandbox::new();
    sandbox.write("small.toml", CARTPOLE);
    sandbox
        .uphill("train small.toml --device flex --quiet --out run")
        .succeeds();
    let done = sandbox.uphill("train --resume run --set algo.clip=0.1");
    done.fails(2, &["may change only total_steps and checkpoint_every"]);
    sandbox
        .uphill("train --resume run --quiet --set total_steps=1280")
        .succeeds();
    assert_eq!(sandbox.read("run/metrics.csv").lines().count(), 11);
}

/// What `--set` may not do an editor may not either.
#[test]
fn a_configuration_edited_after_the_fact_is_refused() {
    let sandbox = Sandbox::new();
    sandbox.write("small.toml", CARTPOLE);
    sandbox
        .uphill("train small.toml --device flex --quiet --out run")
        .succeeds();
    let config = sandbox.read("run/config.toml");
    let edit = |from: &str, to: &str| {
        assert!(config.contains(from), "{from} in {config}");
        sandbox.write("run/config.toml", &config.replacen(from, to, 1));
    };
    let resume = "train --resume run --set total_steps=2048";
    let eval = "eval run --episodes 2 --device flex";
    let remedy = "put that back, or start a new run with `uphill train run/config.toml`";

    // Of no concern to the policy as it is, unlike the other two.
    edit("gamma = 0.99", "gamma = 0.9");
    let parts = ["made with algo.gamma = 0.99; but run/config.toml has algo.gamma = 0.9: "];
    sandbox.uphill(resume).fails(2, &[parts[0], remedy]);
    sandbox.uphill(eval).succeeds();

    edit("num_envs = 4", "num_envs = 8");
    sandbox.uphill(resume).fails(2, &["made with num_envs = 4"]);
    for (from, to) in [
        ("hidden = [16]", "hidden = [32]"),
        ("activation = \"tanh\"", "activation = \"relu\""),
    ] {
        edit(from, to);
        for command in [resume, eval] {
            sandbox
                .uphill(command)
                .fails(2, &["made with network.", remedy]);
        }
    }

    // How the policy began, or is computed, does not matter to it as it is.
    edit("init = \"orthogonal\"", "init = \"uniform\"");
    sandbox.uphill(resume).fails(2, &["network.init"]);
    sandbox.uphill(eval).succeeds();

    edit("total_steps = 1024", "total_steps = 1536");
    sandbox.uphill("train --resume run --quiet").succeeds();
    assert_eq!(sandbox.read("run/metrics.csv").lines().count(), 13);
}

#[test]
fn damaged_facts_about_a_run_can_be_done_without() {
    let sandbox = Sandbox::new();
    sandbox.write("small.toml", CARTPOLE);
    sandbox
        .uphill("train small.toml --device flex --quiet --out run")
        .succeeds();
    let resume = "train --resume run --quiet --set total_steps=1152";
    sandbox.write("run/meta.json", "{");
    sandbox
        .uphill(resume)
        .fails(1, &["run/meta.json is damaged; delete it"]);
    fs::remove_file(sandbox.path("run/meta.json")).unwrap();
    sandbox.uphill(resume).succeeds();
}
