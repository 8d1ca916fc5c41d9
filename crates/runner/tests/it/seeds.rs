//! Several agents at once: each is the run that its seed makes alone.

use crate::{CARTPOLE, Done, PENDULUM, Sandbox, device, outcome};
use serde_json::Value;
use std::{fs, process::Stdio, thread::sleep, time::Duration};

/// Nothing of these is fused: gradients come from autodiff, several at a time.
const ON_TENSORS: [&str; 3] = [
    r#"
env = "Pendulum-v1"
num_envs = 4
total_steps = 1536
[network]
hidden = [16]
distribution = "beta"
[normalize]
obs = true
[algo]
name = "ppo"
steps = 32
epochs = 2
minibatches = 2
"#,
    r#"
env = "CartPole-v1"
num_envs = 4
total_steps = 1024
[network]
hidden = [16]
memory = "gru"
memory_width = 8
[algo]
name = "ppo"
steps = 32
epochs = 2
minibatches = 2
"#,
    r#"
env = "CartPole-v1"
num_envs = 4
total_steps = 1024
[network]
hidden = [16]
[algo]
name = "trpo"
steps = 64
"#,
];

fn summary(sandbox: &Sandbox, set: &str) -> Value {
    serde_json::from_str(&sandbox.read(&format!("{set}/summary.json"))).unwrap()
}

/// Panics unless the runs of these seeds in `set` are those that `config` makes one by one.
#[track_caller]
fn are_single_runs(
    sandbox: &Sandbox,
    on: &str,
    (set, config): (&str, &str),
    seeds: std::ops::Range<u64>,
) {
    for seed in seeds {
        let alone = format!("{set}-alone-{seed}");
        let args = format!("train {config} --device {on} --quiet --seed {seed} --out {alone}");
        sandbox.uphill(&args).succeeds();
        let (alone, together) = (
            outcome(&sandbox.path(&alone)),
            outcome(&sandbox.path(&format!("{set}/seed-{seed}"))),
        );
        assert!(alone == together, "{config}: seed {seed}");
    }
}

#[test]
fn each_agent_is_bit_for_bit_the_run_of_its_seed() {
    let sandbox = Sandbox::new();
    for (name, config) in [("choices", CARTPOLE), ("real", PENDULUM)] {
        sandbox.write(&format!("{name}.toml"), config);
        let on = device();
        let args =
            format!("train {name}.toml --device {on} --quiet --seed 5 --seeds 4 --out {name}");
        sandbox.uphill(&args).succeeds();
        are_single_runs(&sandbox, &on, (name, &format!("{name}.toml")), 5..9);
    }
}

#[test]
fn agents_that_learn_by_autodiff_do_not_disturb_each_other() {
    let sandbox = Sandbox::new();
    for (number, config) in ON_TENSORS.iter().enumerate() {
        let name = format!("run{number}");
        sandbox.write(&format!("{name}.toml"), config);
        let args = format!("train {name}.toml --device flex --quiet --seeds 6 --out {name}");
        sandbox
            .command(&args)
            // More at a time than there may be cores here.
            .env("RAYON_NUM_THREADS", "6")
            .status()
            .unwrap();
        are_single_runs(&sandbox, "flex", (&name, &format!("{name}.toml")), 1..7);
    }
}

#[test]
fn a_summary_says_what_the_seeds_came_to() {
    let sandbox = Sandbox::new();
    sandbox.write("small.toml", CARTPOLE);
    let done = sandbox.uphill("train small.toml --device flex --seeds 3 --out set");
    assert_eq!(
        done.succeeds().stderr.matches("3072/3072 steps").count(),
        1,
        "one progress for all: {done:?}"
    );
    let summary = summary(&sandbox, "set");
    let returns: Vec<f64> = (1..=3)
        .map(|seed| {
            let csv = sandbox.read(&format!("set/seed-{seed}/metrics.csv"));
            let last = csv.lines().last().unwrap().split(',').nth(5);
            last.unwrap().parse().unwrap()
        })
        .collect();
    for (i, mean) in returns.iter().enumerate() {
        let seed = &summary["seeds"][i];
        assert_eq!(seed["seed"], i as u64 + 1);
        assert_eq!(seed["final_return"], *mean);
        assert_eq!(
            (&seed["state"], &seed["solved"]),
            (&"finished".into(), &false.into())
        );
    }
    // Student's t for two degrees of freedom is 4.303.
    let mean = returns.iter().sum::<f64>() / 3.0;
    let squares: f64 = returns.iter().map(|x| (x - mean).powi(2)).sum();
    let half = 4.303 * (squares / 2.0 / 3.0).sqrt();
    for (i, bound) in [mean - half, mean + half].into_iter().enumerate() {
        let told = summary["return_ci95"][i].as_f64().unwrap();
        assert!((told - bound).abs() < 1e-9, "{told} is not {bound}");
    }
    let said = format!(
        "3 seeds: mean final return {mean:.1}, 95 % confidence interval {:.1} to {:.1}; 0 of 3 solved",
        mean - half,
        mean + half
    );
    assert!(done.stdout.contains(&said), "no {said:?} in {done:?}");
    assert!(done.stdout.contains("3072 steps in"), "{done:?}");
    assert_eq!(summary["env_steps"], 3072);

    // Each is a run like any other.
    let eval = "eval set/seed-2 --episodes 2 --device flex";
    sandbox.uphill(eval).succeeds();
    let done = sandbox.uphill("eval set");
    done.fails(
        2,
        &[
            "set is not a run directory but holds those of several seeds",
            "set/seed-1",
        ],
    );
}

#[test]
fn killed_and_resumed_every_agent_ends_in_the_same_bits() {
    let sandbox = Sandbox::new();
    sandbox.write("run.toml", &PENDULUM.replace("2048", "4096"));
    let on = device();
    let mut command = sandbox.command(&format!("train run.toml --device {on} --seeds 4 --out set"));
    let mut kills = 0;
    for rows in [2, 6, 12] {
        let mut child = (command.stdout(Stdio::null()).stderr(Stdio::null()))
            .spawn()
            .unwrap();
        let rows_of = |seed| {
            let csv = fs::read_to_string(sandbox.path(&format!("set/seed-{seed}/metrics.csv")));
            csv.unwrap_or_default().lines().count()
        };
        let ended = loop {
            if child.try_wait().unwrap().is_some() {
                break true;
            }
            if (1..=4).any(|seed| rows_of(seed) > rows)
                && sandbox.path("set/summary.json").is_file()
            {
                break false;
            }
            sleep(Duration::from_millis(1));
        };
        if !ended {
            child.kill().unwrap();
            kills += 1;
        }
        child.wait().unwrap();
        command = sandbox.command("train --resume set");
    }
    assert!(kills > 0, "it was never caught alive");
    sandbox.uphill("train --resume set").succeeds();
    are_single_runs(&sandbox, &on, ("set", "run.toml"), 1..5);

    // A larger budget is one for all of them.
    let done = sandbox.uphill("train --resume set");
    assert_eq!(
        done.succeeds().stdout,
        "set is finished: its 4 seeds have made their 4096 steps; to train on: \
         uphill train --resume set --set total_steps=8192\n"
    );
    let more = "train --resume set --quiet --set total_steps=4224";
    sandbox.uphill(more).succeeds();
    for seed in 1..=4 {
        let (_, rows) = outcome(&sandbox.path(&format!("set/seed-{seed}")));
        assert_eq!(rows.len(), 33);
    }
    assert_eq!(summary(&sandbox, "set")["env_steps"], 4 * 4224);
}

/// Killed while the first checkpoints were written, of which some are there and some are not.
#[test]
fn agents_that_had_not_begun_begin_on_resuming() {
    let sandbox = Sandbox::new();
    sandbox.write("run.toml", CARTPOLE);
    let on = device();
    sandbox
        .uphill(&format!(
            "train run.toml --device {on} --quiet --seeds 3 --out set"
        ))
        .succeeds();
    for seed in [2, 3] {
        let path = |file: &str| sandbox.path(&format!("set/seed-{seed}/{file}"));
        fs::remove_dir_all(path("checkpoints")).unwrap();
        fs::remove_file(path("metrics.csv")).unwrap();
    }
    sandbox.uphill("train --resume set --quiet").succeeds();
    are_single_runs(&sandbox, &on, ("set", "run.toml"), 1..4);
}

#[cfg(unix)]
#[test]
fn ctrl_c_saves_every_agent() {
    let sandbox = Sandbox::new();
    sandbox.write("run.toml", &PENDULUM.replace("2048", "1_000_000_000"));
    let child = sandbox
        .command(&format!(
            "train run.toml --device {} --seeds 3 --out set",
            device()
        ))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let rows = |seed: u64| {
        let csv = fs::read_to_string(sandbox.path(&format!("set/seed-{seed}/metrics.csv")));
        csv.unwrap_or_default().lines().count().saturating_sub(1)
    };
    while rows(3) < 3 {
        sleep(Duration::from_millis(2));
    }
    let pid = child.id().to_string();
    let kill = std::process::Command::new("kill")
        .args(["-INT", &pid])
        .status();
    assert!(kill.unwrap().success());
    let done = Done::of(&child.wait_with_output().unwrap());
    assert_eq!(done.code, 130, "{done:?}");
    assert!(
        done.stdout
            .contains("go on with: uphill train --resume set"),
        "{done:?}"
    );
    // Every agent stopped where its checkpoint is, and goes on from there.
    let before = [1, 2, 3].map(rows);
    let most = before.into_iter().max().unwrap();
    let summary = summary(&sandbox, "set");
    assert_eq!(summary["seeds"][0]["state"], "unfinished");
    assert_eq!(summary["env_steps"], 128 * before.iter().sum::<usize>());
    let budget = (most + 2) * 128;
    let args = format!("train --resume set --quiet --set total_steps={budget}");
    sandbox.uphill(&args).succeeds();
    assert_eq!([1, 2, 3].map(rows), [most + 2; 3]);
}

#[test]
fn an_agent_that_diverges_does_not_stop_the_others() {
    let sandbox = Sandbox::new();
    sandbox.write("small.toml", CARTPOLE);
    sandbox
        .uphill("train small.toml --device flex --quiet --seeds 3 --out set")
        .succeeds();
    // One of the three becomes a run that cannot go well.
    let wild = "--set algo.learning_rate=1e38 --set algo.max_grad_norm=0";
    let alone = format!("train small.toml --seed 2 {wild} --device flex --quiet --out wild");
    sandbox.uphill(&alone).fails(3, &["diverged"]);
    fs::remove_dir_all(sandbox.path("set/seed-2")).unwrap();
    fs::rename(sandbox.path("wild"), sandbox.path("set/seed-2")).unwrap();
    let kept = fs::read(sandbox.path("set/seed-2/checkpoints/latest/run.safetensors")).unwrap();

    let args = "train --resume set --set total_steps=2048";
    let done = sandbox.uphill(args);
    done.fails(
        3,
        &[
            "1 of 3 seeds diverged; seed 2: stopped",
            "set/seed-2/checkpoints/latest/run.safetensors is from before",
            "diverged in iteration",
        ],
    );
    assert!(done.stdout.contains("of 3 solved"), "{done:?}");
    let summary = summary(&sandbox, "set");
    let states: Vec<_> = (0..3).map(|i| &summary["seeds"][i]["state"]).collect();
    assert_eq!(states, ["finished", "diverged", "finished"]);
    assert_eq!(summary["seeds"][1]["final_return"], Value::Null);
    assert_eq!(summary["diverged"], 1);
    let after = fs::read(sandbox.path("set/seed-2/checkpoints/latest/run.safetensors")).unwrap();
    assert!(kept == after);
    sandbox
        .uphill("eval set/seed-2 --episodes 2 --device flex")
        .succeeds();
}

/// However many seeds there are, one file locks them: a process may open only so many.
#[test]
fn several_seeds_are_locked_together() {
    let sandbox = Sandbox::new();
    sandbox.write("run.toml", &PENDULUM.replace("2048", "1_000_000_000"));
    let mut child = sandbox
        .command("train run.toml --device flex --quiet --seeds 2 --out set")
        .spawn()
        .unwrap();
    while !sandbox.path("set/seed-2/metrics.csv").exists() {
        sleep(Duration::from_millis(2));
    }
    for run in ["set", "set/seed-1"] {
        sandbox.uphill(&format!("train --resume {run}")).fails(
            2,
            &[&format!("{run}: another process is training this run")],
        );
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!sandbox.path("set/seed-1/lock").exists());
}

#[test]
fn impossible_sets_are_refused() {
    let sandbox = Sandbox::new();
    sandbox.write("small.toml", CARTPOLE);
    let train =
        |more: &str| sandbox.uphill(&format!("train small.toml --device flex --out set {more}"));
    train("--seeds 0").fails(2, &["--seeds", "0"]);
    train("--seeds many").fails(2, &["--seeds", "many"]);
    train("--seeds 2 --resume set").fails(2, &["cannot be used with"]);
    train("--seeds 2 --seed 9223372036854775807").fails(
        2,
        &[
            "--seeds",
            "seed: is 9223372036854775808, must be at most 9223372036854775807",
        ],
    );
    assert!(!sandbox.path("set").exists());

    train("--seeds 2 --quiet").succeeds();
    train("--seeds 2").fails(2, &["set already exists", "--resume set"]);
    let before = [1, 2].map(|seed| outcome(&sandbox.path(&format!("set/seed-{seed}"))));
    for (args, parts) in [
        ("--seeds 2", vec!["cannot be used with"]),
        ("--set algo.clip=0.1", vec!["may change only total_steps"]),
        (
            "--set total_steps=512",
            vec!["set/seed-1", "at step 1024 already"],
        ),
        (
            "--checkpoint best",
            vec!["set/seed-1 has no best checkpoint"],
        ),
    ] {
        let done = sandbox.uphill(&format!("train --resume set {args}"));
        done.fails(2, &parts);
    }
    // One that is missing is found before anything is changed.
    fs::rename(sandbox.path("set/seed-2"), sandbox.path("away")).unwrap();
    let done = sandbox.uphill("train --resume set --set total_steps=2048");
    done.fails(2, &["set/seed-2 is not a run directory"]);
    fs::rename(sandbox.path("away"), sandbox.path("set/seed-2")).unwrap();
    let after = [1, 2].map(|seed| outcome(&sandbox.path(&format!("set/seed-{seed}"))));
    assert!(before == after);
}
