//! A run that is interrupted or killed and resumed ends like one that was not.

use crate::{CARTPOLE, Done, PENDULUM, Sandbox, outcome};
use std::{
    fs,
    process::{Child, Stdio},
    thread::sleep,
    time::Duration,
};

fn start(sandbox: &Sandbox, args: &str) -> Child {
    let mut command = sandbox.command(args);
    command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Waits until the metrics have at least `rows` rows on disk; false if the run ended before.
fn wait_for_rows(sandbox: &Sandbox, child: &mut Child, rows: usize) -> bool {
    loop {
        let text = fs::read_to_string(sandbox.path("b/metrics.csv")).unwrap_or_default();
        if text.lines().count() > rows {
            return true;
        }
        if child.try_wait().unwrap().is_some() {
            return false;
        }
        sleep(Duration::from_millis(2));
    }
}

#[test]
fn killed_at_odd_moments_and_resumed_it_ends_in_the_same_bits() {
    for config in [CARTPOLE, PENDULUM] {
        let sandbox = Sandbox::new();
        sandbox.write("run.toml", config);
        sandbox
            .uphill("train run.toml --device flex --out a --quiet")
            .succeeds();

        let mut child = start(&sandbox, "train run.toml --device flex --out b");
        let mut kills = 0;
        // Where exactly the kill lands is up to the scheduler: between checkpoints, in the middle of
        // a row, or while a checkpoint is being written.
        for rows in [1, 3, 5, 7] {
            if wait_for_rows(&sandbox, &mut child, rows) && child.try_wait().unwrap().is_none() {
                sleep(Duration::from_millis(rows as u64));
                child.kill().unwrap();
                kills += 1;
            }
            child.wait().unwrap();
            child = start(&sandbox, "train --resume b");
        }
        let done = Done::of(&child.wait_with_output().unwrap());
        done.succeeds();
        assert!(kills > 0, "the run was never caught alive");
        assert!(
            outcome(&sandbox.path("a")) == outcome(&sandbox.path("b")),
            "after {kills} kills"
        );
    }
}

/// A directory with these files: of a whole run where it has them complete, else empty.
fn left_behind(sandbox: &Sandbox, run: &str, files: &[&str]) {
    for file in files {
        let path = sandbox.path(&format!("{run}/{file}"));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let text = match *file {
            "config.toml" | "meta.json" => sandbox.read(&format!("whole/{file}")),
            _ => String::new(),
        };
        fs::write(path, text).unwrap();
    }
}

/// Files in the order in which a run writes them; what a version before left is there as well.
#[test]
fn killed_before_its_first_checkpoint_it_is_resumed_from_the_start() {
    let sandbox = Sandbox::new();
    sandbox.write("run.toml", CARTPOLE);
    let train = "train run.toml --seed 5 --device flex --quiet --out";
    sandbox.uphill(&format!("{train} whole")).succeeds();
    let files = [
        "lock",
        "meta.json",
        "config.toml",
        "metrics.csv",
        "events.out.tfevents.1.here.1.0.uphill",
        "checkpoints/latest/run.partial",
    ];
    let kills = (3..=files.len()).map(|written| files[..written].to_vec());
    for (number, left) in kills
        .chain([vec!["config.toml", "meta.partial"]])
        .enumerate()
    {
        let run = format!("run{number}");
        left_behind(&sandbox, &run, &left);
        let go_on = format!("uphill train --resume {run}");
        let eval = sandbox.uphill(&format!("eval {run}"));
        eval.fails(1, &[&format!("start it with `{go_on}`")]);
        let again = sandbox.uphill(&format!("{train} {run}"));
        again.fails(2, &[&format!("or go on with it: {go_on}\n")]);

        let done = sandbox.uphill(&format!("train --resume {run}"));
        assert!(!done.succeeds().stderr.contains("going on"), "{done:?}");
        let (whole, run) = (sandbox.path("whole"), sandbox.path(&run));
        assert!(outcome(&whole) == outcome(&run), "{left:?}");
        assert!(run.join("meta.json").is_file());
    }
}

/// Without a configuration it is not a run yet.
#[test]
fn killed_before_its_configuration_it_is_started_elsewhere() {
    let sandbox = Sandbox::new();
    sandbox.write("run.toml", CARTPOLE);
    let train = "train run.toml --device flex --quiet --out";
    sandbox.uphill(&format!("{train} whole")).succeeds();
    fs::create_dir(sandbox.path("run0")).unwrap();
    left_behind(&sandbox, "run1", &["meta.partial"]);
    left_behind(&sandbox, "run2", &["meta.json"]);
    left_behind(&sandbox, "run3", &["meta.json", "config.partial"]);
    for number in 0..4 {
        let again = sandbox.uphill(&format!("{train} run{number}"));
        again.fails(2, &["is not a run directory; choose another --out"]);
        let resumed = sandbox.uphill(&format!("train --resume run{number}"));
        resumed.fails(2, &["no config.toml; runs are made by `uphill train"]);
    }
}

/// Rows that led nowhere are no fresh run: nobody's work is thrown away.
#[test]
fn a_lost_checkpoint_is_not_taken_for_a_fresh_run() {
    let sandbox = Sandbox::new();
    sandbox.write("run.toml", CARTPOLE);
    sandbox
        .uphill("train run.toml --device flex --quiet --out run")
        .succeeds();
    fs::remove_dir_all(sandbox.path("run/checkpoints")).unwrap();
    let metrics = sandbox.read("run/metrics.csv");
    sandbox
        .uphill("train --resume run")
        .fails(1, &["no such checkpoint", "start again with `uphill train"]);
    assert_eq!(sandbox.read("run/metrics.csv"), metrics);
}

#[test]
fn a_torn_row_and_rows_after_the_checkpoint_are_dropped() {
    let sandbox = Sandbox::new();
    sandbox.write("run.toml", PENDULUM);
    sandbox
        .uphill("train run.toml --device flex --out a --quiet")
        .succeeds();
    sandbox
        .uphill("train run.toml --device flex --out b --quiet --set total_steps=1024")
        .succeeds();
    let mut metrics = sandbox.read("b/metrics.csv");
    let row = metrics.lines().last().unwrap().replacen('8', "9", 1);
    metrics.push_str(&row);
    metrics.push('\n');
    metrics.push_str(&row[..row.len() / 2]);
    sandbox.write("b/metrics.csv", &metrics);
    let done = sandbox.uphill("train --resume b --quiet");
    // Finished as far as its own configuration goes: resuming changes nothing and says so by success.
    done.succeeds();
    assert_eq!(sandbox.read("b/metrics.csv").lines().count(), 9);
}

#[cfg(unix)]
fn ctrl_c(child: &Child) {
    let mut kill = std::process::Command::new("kill");
    let status = kill.args(["-INT", &child.id().to_string()]).status();
    assert!(status.unwrap().success());
}

#[cfg(unix)]
#[test]
fn ctrl_c_saves_and_says_how_to_go_on() {
    let sandbox = Sandbox::new();
    sandbox.write("run.toml", &PENDULUM.replace("2048", "1_000_000_000"));
    let mut child = start(&sandbox, "train run.toml --device flex --out b");
    assert!(wait_for_rows(&sandbox, &mut child, 3));
    ctrl_c(&child);
    let done = Done::of(&child.wait_with_output().unwrap());
    assert_eq!(done.code, 130, "{done:?}");
    assert!(
        done.stdout.contains("go on with: uphill train --resume b"),
        "{done:?}"
    );

    // What it saved is a whole run of exactly as many iterations.
    let rows = sandbox.read("b/metrics.csv").lines().count() - 1;
    let budget = (rows + 4) * 128;
    sandbox
        .uphill(&format!(
            "train --resume b --quiet --set total_steps={budget}"
        ))
        .succeeds();
    assert_eq!(sandbox.read("b/metrics.csv").lines().count(), rows + 5);
}

/// Starts a run, presses Ctrl-C at its first word and waits for its end.
#[cfg(unix)]
fn stopped_early(sandbox: &Sandbox, args: &str) -> Done {
    use std::io::{BufRead, BufReader};
    let mut child = start(sandbox, args);
    let mut word = String::new();
    let mut said = BufReader::new(child.stderr.take().unwrap());
    said.read_line(&mut word).unwrap();
    assert!(word.starts_with("ppo on "), "{word}");
    ctrl_c(&child);
    let done = Done::of(&child.wait_with_output().unwrap());
    assert_eq!(done.code, 130, "{done:?}");
    done
}

/// What a run says that was interrupted before it began.
#[cfg(unix)]
const NEVER: &str = "interrupted before it began; nothing was written\n";

/// Networks this large are still being built when the signal comes.
#[cfg(unix)]
#[test]
fn ctrl_c_while_networks_are_built_leaves_nothing() {
    let sandbox = Sandbox::new();
    sandbox.write("run.toml", &PENDULUM.replace("[16]", "[1024, 1024]"));
    for seeds in ["", " --seeds 2"] {
        let train = format!("train run.toml --device flex --out b{seeds}");
        assert_eq!(stopped_early(&sandbox, &train).stdout, NEVER);
        assert!(!sandbox.path("b").exists());
    }
}

/// With small ones it finds a run building, making directories or in its first iteration, as the scheduler will
/// have it: each has an end in order.
#[cfg(unix)]
#[test]
fn an_early_ctrl_c_ends_a_run_in_order() {
    let sandbox = Sandbox::new();
    sandbox.write("run.toml", &PENDULUM.replace("2048", "1_000_000_000"));
    let seeds = [("", "b0/checkpoints"), (" --seeds 3", "b1/seed-3")];
    for (number, (seeds, last_made)) in seeds.into_iter().enumerate() {
        let train = format!("train run.toml --device flex --out b{number}{seeds}");
        let done = stopped_early(&sandbox, &train);
        let begun = sandbox.path(&format!("b{number}")).exists();
        let go_on = format!("go on with: uphill train --resume b{number}\n");
        assert!(done.stdout.ends_with(if begun { &go_on } else { NEVER }));
        assert_eq!(begun, sandbox.path(last_made).exists());
    }
}

/// Two processes would write over each other.
#[test]
fn a_run_is_trained_by_one_process_at_a_time() {
    let sandbox = Sandbox::new();
    sandbox.write("run.toml", &PENDULUM.replace("2048", "1_000_000_000"));
    let mut child = start(&sandbox, "train run.toml --device flex --out b");
    assert!(wait_for_rows(&sandbox, &mut child, 6));
    sandbox
        .uphill("train --resume b")
        .fails(2, &["b: another process is training this run"]);
    // Looking at it is no trouble.
    sandbox
        .uphill("eval b --episodes 2 --device flex")
        .succeeds();
    child.kill().unwrap();
    child.wait().unwrap();
    sandbox
        .uphill("train --resume b --quiet --device flex --set total_steps=1")
        .fails(2, &["ask for more"]);
}

/// As on a full disk: what has been written stays, and the run can go on.
#[test]
fn a_checkpoint_that_cannot_be_written_ends_a_run_with_how_to_go_on() {
    let sandbox = Sandbox::new();
    sandbox.write("run.toml", &PENDULUM.replace("2048", "1_000_000_000"));
    let mut child = start(&sandbox, "train run.toml --device flex --out b");
    assert!(wait_for_rows(&sandbox, &mut child, 3));
    // Nothing can be written where a folder is; now and then the run is just writing there.
    let in_the_way = sandbox.path("b/checkpoints/latest/run.partial");
    while fs::create_dir(&in_the_way).is_err() {
        assert!(child.try_wait().unwrap().is_none(), "the run has ended");
        sleep(Duration::from_millis(1));
    }
    Done::of(&child.wait_with_output().unwrap()).fails(
        1,
        &[
            "stopped; go on with `uphill train --resume b` when this is mended",
            "checkpoint b/checkpoints/latest/run.safetensors: ",
        ],
    );
    fs::remove_dir(&in_the_way).unwrap();
    let budget = sandbox.read("b/metrics.csv").lines().count() * 128;
    sandbox
        .uphill(&format!(
            "train --resume b --quiet --set total_steps={budget}"
        ))
        .succeeds();
}
