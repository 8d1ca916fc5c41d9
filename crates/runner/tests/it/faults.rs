//! What happens around a run: its directory is moved, its files are changed, the system refuses what it needs.

use crate::{CARTPOLE, Done, PENDULUM, Sandbox, outcome};
use std::fs;

/// A run that does not end by itself.
#[cfg(unix)]
fn endless() -> String {
    PENDULUM.replace("2048", "1_000_000_000")
}

/// A run is begun, `act` is done to its directory, and it has to end by itself.
#[cfg(unix)]
fn while_it_runs(args: &str, wait_for: &str, act: impl Fn(&Sandbox)) -> (Sandbox, Done) {
    use std::{process::Stdio, thread::sleep, time::Duration};
    let sandbox = Sandbox::new();
    sandbox.write("run.toml", &endless());
    let mut command = sandbox.command(args);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    while !sandbox.path(wait_for).exists() {
        assert!(child.try_wait().unwrap().is_none(), "it has ended");
        sleep(Duration::from_millis(2));
    }
    act(&sandbox);
    let done = Done::of(&child.wait_with_output().unwrap());
    (sandbox, done)
}

#[cfg(unix)]
const MOVED: &str = "was moved or deleted, or another is in its place";

#[cfg(unix)]
#[test]
fn a_run_whose_directory_is_moved_deleted_or_replaced_ends_and_makes_no_other() {
    let acts: [fn(&Sandbox); 3] = [
        |sandbox| fs::rename(sandbox.path("r"), sandbox.path("moved")).unwrap(),
        // While files are written there, not all of it may go at once.
        |sandbox| while fs::remove_dir_all(sandbox.path("r")).is_err() {},
        |sandbox| {
            fs::rename(sandbox.path("r"), sandbox.path("moved")).unwrap();
            fs::create_dir_all(sandbox.path("r/checkpoints/latest")).unwrap();
            fs::write(sandbox.path("r/metrics.csv"), "another's").unwrap();
        },
    ];
    for (seeds, first) in [
        ("", "r/checkpoints/latest/run.safetensors"),
        (" --seeds 3", "r/seed-3/checkpoints/latest/run.safetensors"),
    ] {
        for (number, act) in acts.into_iter().enumerate() {
            let train = format!("train run.toml --device flex --out r{seeds}");
            let (sandbox, done) = while_it_runs(&train, first, act);
            // What is being deleted goes file by file, and one of these may be missed first.
            let missed: &[&str] = if number == 1 {
                &["r"]
            } else {
                &[MOVED, "directory r"]
            };
            done.fails(1, missed);
            assert!(!done.stdout.contains("uphill"), "{done:?}");
            if number < 2 {
                assert!(!sandbox.path("r").exists());
            } else {
                assert_eq!(sandbox.read("r/metrics.csv"), "another's");
                assert!(
                    !sandbox
                        .path("r/checkpoints/latest/run.safetensors")
                        .exists()
                );
            }
            if number == 0 && seeds.is_empty() {
                // All of it is there, and goes on.
                let rows = sandbox.read("moved/metrics.csv").lines().count();
                let budget = (rows + 10) * 128;
                sandbox
                    .uphill(&format!(
                        "train --resume moved --quiet --set total_steps={budget}"
                    ))
                    .succeeds();
            }
        }
    }
}

#[cfg(unix)]
#[test]
fn a_seed_whose_directory_is_moved_ends_them_all() {
    let last = "r/seed-3/checkpoints/latest/run.safetensors";
    let (sandbox, done) = while_it_runs(
        "train run.toml --device flex --out r --seeds 3",
        last,
        |sandbox| {
            fs::rename(sandbox.path("r/seed-2"), sandbox.path("moved")).unwrap();
        },
    );
    done.fails(1, &[MOVED, "seed 2", "directory r/seed-2"]);
    assert!(!sandbox.path("r/seed-2").exists());
}

#[cfg(unix)]
#[test]
fn an_ablation_whose_directory_is_moved_ends() {
    let train =
        "ablate run.toml --device flex --out r --seeds 20 --variants ppo,ppo-m --total-steps 20000";
    let (sandbox, done) = while_it_runs(train, "r/ablation.csv", |sandbox| {
        fs::rename(sandbox.path("r"), sandbox.path("moved")).unwrap();
    });
    done.fails(1, &[MOVED, "directory r"]);
    assert!(!sandbox.path("r").exists());
}

/// Every command that is suggested does in a shell what it says.
#[cfg(unix)]
#[test]
fn commands_can_be_pasted_and_json_is_whole_whatever_a_directory_is_called() {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt, process::Command};
    let paste = |sandbox: &Sandbox, said: &str, before: &str, more: &str| {
        let command = said.split(before).nth(1).unwrap().lines().next().unwrap();
        let program = env!("CARGO_BIN_EXE_uphill");
        let command = command.replacen("uphill", program, 1);
        let mut shell = Command::new("bash");
        shell.args(["-c", &format!("{command}{more}")]);
        let output = shell.current_dir(sandbox.path(".")).output().unwrap();
        Done::of(&output).succeeds().stdout.clone()
    };
    let names: [&[u8]; 6] = [
        b"a b'\"c",
        b"$HOME;x&",
        b"-dash",
        b"~*!",
        b"new\nline\x1b[31m",
        b"latin\xe9",
    ];
    for name in names {
        let name = OsStr::from_bytes(name);
        let sandbox = Sandbox::new();
        sandbox.write("run.toml", CARTPOLE);
        let with_out = |args: &str| {
            let mut out = OsStr::new("--out=").to_owned();
            out.push(name);
            Done::of(&sandbox.command(args).arg(out).output().unwrap())
        };
        let train = "train run.toml --device flex --set total_steps=256";
        let done = with_out(train);
        assert!(!done.succeeds().stderr.contains('\x1b'), "{done:?}");
        paste(
            &sandbox,
            &done.stdout,
            "evaluate: ",
            " --device flex --episodes 2",
        );
        let again = with_out(train);
        assert_eq!(again.code, 2, "{again:?}");
        let finished = paste(&sandbox, &again.stderr, "or go on with it: ", "");
        paste(&sandbox, &finished, "to train on: ", " --quiet");

        let json = |args: &str, name: Option<&OsStr>| {
            let mut command = sandbox.command(args);
            let done = Done::of(&command.args(name).output().unwrap());
            let value: serde_json::Value = serde_json::from_str(&done.succeeds().stdout).unwrap();
            value
        };
        let run = json("eval --json --device flex --episodes 2 --", Some(name));
        assert_eq!(run["run"], *name.to_string_lossy());
        let mut out = OsStr::new("--out=ablate-").to_owned();
        out.push(name);
        let ablation = json(
            "ablate run.toml --json --device flex --seeds 1 --variants ppo --total-steps 128",
            Some(&out),
        );
        assert_eq!(
            ablation["dir"],
            *format!("ablate-{}", name.to_string_lossy())
        );
        let mut out = OsStr::new("--out=lab-").to_owned();
        out.push(name);
        let lab = json(
            "lab --env TinyMdp --json --device flex --trajectories 1 --repeats 2 --fit 2 --critic-steps 1",
            Some(&out),
        );
        assert_eq!(lab["out"], *format!("lab-{}", name.to_string_lossy()));
    }
}

#[test]
fn a_run_from_a_device_that_is_not_there_says_what_asks_for_it_and_goes_on_elsewhere() {
    for (seeds, run) in [("", "r"), (" --seeds 2", "r/seed-1")] {
        let sandbox = Sandbox::new();
        sandbox.write("run.toml", CARTPOLE);
        sandbox
            .uphill(&format!(
                "train run.toml --device flex --quiet --out r{seeds}"
            ))
            .succeeds();
        for device in ["cuda:1", "wgpu:99", "abacus"] {
            let path = format!("{run}/meta.json");
            let meta = sandbox.read(&path);
            let mut value: serde_json::Value = serde_json::from_str(&meta).unwrap();
            value["device"] = device.into();
            sandbox.write(&path, &value.to_string());
            let resume = "train --resume r --quiet --set total_steps=1152";
            sandbox.uphill(resume).fails(
                2,
                &[
                    &format!("{run}/meta.json asks for device \"{device}\""),
                    "--device flex",
                ],
            );
        }
        let resume = "train --resume r --quiet --set total_steps=1152 --device flex";
        sandbox.uphill(resume).succeeds();
    }
}

#[test]
fn without_its_rows_an_intact_checkpoint_goes_on_and_a_line_says_so() {
    type Damage = fn(&Sandbox);
    let damages: [(Damage, &str); 2] = [
        (
            |sandbox| fs::remove_file(sandbox.path("b/metrics.csv")).unwrap(),
            "metrics.csv: it is gone; the log begins anew",
        ),
        (
            |sandbox| {
                let text = sandbox.read("b/metrics.csv").replace(',', ";");
                sandbox.write("b/metrics.csv", &text);
            },
            "metrics.csv: it was changed; the log begins anew; what there was is in b/metrics.1.csv",
        ),
    ];
    for (damage, line) in damages {
        let sandbox = Sandbox::new();
        sandbox.write("run.toml", CARTPOLE);
        // The same at every step, so that a budget of half as much makes half of the run.
        let train = "train run.toml --device flex --quiet --set algo.learning_rate=1e-3";
        sandbox.uphill(&format!("{train} --out a")).succeeds();
        let half = format!("{train} --out b --set total_steps=512");
        sandbox.uphill(&half).succeeds();
        damage(&sandbox);
        let done = sandbox.uphill("train --resume b --quiet --set total_steps=768");
        assert!(done.succeeds().stderr.contains(line), "{done:?}");
        // The new log can be gone on with, and the run is the one it would have been.
        let done = sandbox.uphill("train --resume b --quiet --set total_steps=1024");
        assert_eq!(done.succeeds().stderr, "");
        let (whole, rest) = (outcome(&sandbox.path("a")), outcome(&sandbox.path("b")));
        assert!(whole.0 == rest.0, "the checkpoints differ");
        assert_eq!(whole.1[4..], rest.1);
    }
}

#[test]
fn more_threads_than_are_of_use_are_not_started() {
    let sandbox = Sandbox::new();
    sandbox.write("run.toml", CARTPOLE);
    let mut command = sandbox.command("train run.toml --device flex --quiet --out r");
    command.env("RAYON_NUM_THREADS", "100000");
    let done = Done::of(&command.output().unwrap());
    let line = "RAYON_NUM_THREADS=100000: ";
    assert!(done.succeeds().stderr.contains(line), "{done:?}");
}

/// Each has several files, of which none stays open.
#[cfg(unix)]
#[test]
fn more_agents_are_trained_than_files_may_be_open() {
    let sandbox = Sandbox::new();
    sandbox.write("run.toml", &CARTPOLE.replace("1024", "256"));
    let program = env!("CARGO_BIN_EXE_uphill");
    let train = "train run.toml --device flex --quiet --seeds 70 --out r";
    let output = std::process::Command::new("sh")
        .args(["-c", &format!("ulimit -n 40; exec {program} {train}")])
        .current_dir(sandbox.path("."))
        .output();
    Done::of(&output.unwrap()).succeeds();
    assert_eq!(sandbox.read("r/seed-70/metrics.csv").lines().count(), 3);
}

/// The first iteration takes longer than anyone waits without a word, and than this test.
#[test]
fn what_takes_long_before_there_is_progress_is_named() {
    use std::io::{BufRead, BufReader};
    let sandbox = Sandbox::new();
    let slow = CARTPOLE.replace("epochs = 2", "epochs = 1_000_000");
    sandbox.write("run.toml", &slow);
    let mut command = sandbox.command("train run.toml --device flex --out r");
    let mut child = command
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let said = BufReader::new(child.stderr.take().unwrap()).lines();
    let named = said
        .map_while(Result::ok)
        .any(|line| line == "the first iteration: 2s so far");
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(named);
}
