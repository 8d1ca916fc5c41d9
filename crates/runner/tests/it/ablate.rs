//! The ablation as its user meets it: rows, table, going on, mistakes.

use crate::{CARTPOLE, PENDULUM, Sandbox};
use serde_json::Value;
use std::{process::Stdio, thread::sleep, time::Duration};

/// Columns of each row that do not depend on the clock, nor their order, which is that in which runs end.
fn rows(sandbox: &Sandbox, dir: &str) -> Vec<Vec<String>> {
    let mut reader = csv::Reader::from_path(sandbox.path(&format!("{dir}/ablation.csv"))).unwrap();
    let seconds = (reader.headers().unwrap().iter())
        .position(|h| h == "seconds")
        .unwrap();
    let rows = reader.records().map(|row| {
        let row = row.unwrap();
        let cells = row.iter().enumerate().filter(|(i, _)| *i != seconds);
        cells.map(|(_, cell)| cell.to_owned()).collect()
    });
    let mut rows: Vec<Vec<String>> = rows.collect();
    rows.sort_by_key(|row| (row[1].parse::<u64>().unwrap(), row[0].clone()));
    rows
}

const TINY: &str = "ablate run.toml --variants ppo,trpo+ --device flex --out a";

#[test]
fn a_small_ablation_writes_its_rows_and_shows_its_table() {
    let sandbox = Sandbox::new();
    sandbox.write("run.toml", PENDULUM);
    let done = sandbox.uphill(&format!("{TINY} --seeds 2"));
    done.succeeds();
    let table: Vec<&str> = done.stdout.lines().collect();
    assert!(table[0].starts_with("variant"), "{}", done.stdout);
    assert!(table[1].starts_with("ppo "), "{}", done.stdout);
    assert!(table[2].starts_with("trpo+ "), "{}", done.stdout);
    assert!(table[2].contains('±'), "{}", done.stdout);
    for part in ["[1/4] ppo seed 1", "[4/4] trpo+ seed 2"] {
        assert!(done.stderr.contains(part), "{}", done.stderr);
    }

    let first = rows(&sandbox, "a");
    let names: Vec<[&str; 2]> = (first.iter())
        .map(|row| [row[0].as_str(), row[1].as_str()])
        .collect();
    let expected = [["ppo", "1"], ["trpo+", "1"], ["ppo", "2"], ["trpo+", "2"]];
    assert_eq!(names, expected);
    // Runs are what `uphill train` makes of the variant's file.
    let train = "train a/trpo+.toml --seed 2 --device flex --out t";
    let trained = sandbox.uphill(train).succeeds().stdout.clone();
    let mean: f64 = first[3][2].parse().unwrap();
    assert!(
        trained.contains(&format!("mean return {mean:.1}")),
        "{trained}"
    );

    // More seeds: what there is stays, and means the same as running all of them at once.
    sandbox.uphill(&format!("{TINY} --seeds 3")).succeeds();
    let more = rows(&sandbox, "a");
    assert_eq!((&more[..4], more.len()), (&first[..], 6));
    let again = sandbox.uphill(&format!("{TINY} --seeds 3 --json"));
    assert!(!again.succeeds().stderr.contains("[1/6]"), "{again:?}");
    assert_eq!(rows(&sandbox, "a"), more);

    let object: Value = serde_json::from_str(&again.stdout).unwrap();
    assert_eq!(object["variants"][1]["variant"], "trpo+");
    assert_eq!(object["variants"][1]["seeds"], 3);
    let returns: Vec<f64> = (more.iter().filter(|row| row[0] == "ppo"))
        .map(|row| row[2].parse().unwrap())
        .collect();
    let mean = returns.iter().sum::<f64>() / 3.0;
    let shown = object["variants"][0]["final_return"].as_f64().unwrap();
    assert!(
        (shown - mean).abs() < 1e-9 * mean.abs(),
        "{shown} is not {mean}"
    );
}

/// Variants of an algorithm that has no built-in ones.
const CHANGES: &str = "\
[[variant]]
name = \"plain\"
about = \"as it is\"

[[variant]]
name = \"narrow\"
about = \"a small network\"
changes = [\"network.hidden=[4]\", \"algo.gamma?=0.5\"]
";

const A2C: &str = "env = \"CartPole-v1\"\ntotal_steps = 64\n[algo]\nname = \"a2c\"\n";

#[test]
fn variants_of_ones_own_come_from_a_file() {
    let sandbox = Sandbox::new();
    sandbox.write("a2c.toml", A2C);
    sandbox.write("mine.toml", CHANGES);
    let args = "ablate a2c.toml --changes mine.toml --seeds 2 --device flex --out a";
    let done = sandbox.uphill(args);
    done.succeeds();
    let table: Vec<&str> = done.stdout.lines().collect();
    assert!(table[1].starts_with("plain "), "{}", done.stdout);
    assert!(
        table[2].starts_with("narrow   a small network"),
        "{}",
        done.stdout
    );
    assert!(!done.stdout.contains("improvement"), "{}", done.stdout);
    assert_eq!(rows(&sandbox, "a").len(), 4);
    let narrow = std::fs::read_to_string(sandbox.path("a/narrow.toml")).unwrap();
    assert!(
        narrow.starts_with("# narrow: a small network.\n"),
        "{narrow}"
    );
    assert!(narrow.contains("hidden = [4]") && narrow.contains("gamma = 0.99"));
    let object = sandbox.uphill(&format!("{args} --variants narrow --json"));
    let object: Value = serde_json::from_str(&object.succeeds().stdout).unwrap();
    assert_eq!(object["variants"][0]["about"], "a small network");
    assert_eq!(object["improvements"], Value::Null);
}

#[test]
fn mistakes_in_a_file_of_variants_are_explained() {
    let sandbox = Sandbox::new();
    sandbox.write("a2c.toml", A2C);
    for (text, parts) in [
        (
            CHANGES.replace("hidden", "hiden"),
            vec![
                "a2c.toml: mine.toml: variant narrow: network.hiden=[4]: network.hiden: unknown key",
                "\"hidden\"",
            ],
        ),
        (
            CHANGES.replace("[4]", "four"),
            vec!["variant narrow: network.hidden=four: network.hidden: expected"],
        ),
        (
            CHANGES.replace("changes", "change"),
            vec![
                "mine.toml: TOML parse error at line 8",
                "unknown field `change`",
            ],
        ),
        (
            CHANGES.replace("narrow", "plain"),
            vec!["mine.toml: variant \"plain\": name: there is another"],
        ),
        (
            String::new(),
            vec!["mine.toml: ", "missing field `variant`"],
        ),
    ] {
        sandbox.write("mine.toml", &text);
        sandbox
            .uphill("ablate a2c.toml --changes mine.toml --out out")
            .fails(2, &parts);
        assert!(!sandbox.path("out").exists(), "{text}");
    }
    sandbox
        .uphill("ablate a2c.toml --changes nowhere.toml --out out")
        .fails(2, &["nowhere.toml: No such file"]);
}

#[test]
fn mistakes_are_explained_and_leave_nothing_behind() {
    let sandbox = Sandbox::new();
    sandbox.write("run.toml", PENDULUM);
    sandbox.write("a2c.toml", A2C);
    for (args, parts) in [
        (
            "ablate run.toml --variants no-tahn",
            vec!["no \"no-tahn\"", "did you mean \"no-tanh\"?", "trpo+"],
        ),
        (
            "ablate a2c.toml",
            vec!["a2c.toml", "algo.name: is \"a2c\"", "starts from \"ppo\""],
        ),
        (
            "ablate run.toml --set algo.objective=kl",
            vec!["run.toml: variant ppo: algo.objective", "\"clip\""],
        ),
        (
            "ablate run.toml --seeds 0",
            vec!["must be a whole number from 1 to"],
        ),
        (
            "ablate run.toml --total-steps 0",
            vec!["must be a whole number from 1 to"],
        ),
        ("ablate run.toml --device gpu", vec!["wgpu"]),
        ("ablate nowhere", vec!["nowhere", "uphill list presets"]),
    ] {
        sandbox
            .uphill(&format!("{args} --out out"))
            .fails(2, &parts);
        assert!(!sandbox.path("out").exists(), "{args}");
    }
    // A place under a file cannot be written to, whoever asks.
    sandbox
        .uphill("ablate run.toml --variants ppo --device flex --out run.toml/out")
        .fails(1, &["run.toml/out"]);
}

#[test]
fn other_directories_are_left_alone() {
    let sandbox = Sandbox::new();
    sandbox.write("run.toml", PENDULUM);
    sandbox.write("small.toml", CARTPOLE);
    sandbox
        .uphill("train small.toml --device flex --quiet --out a")
        .succeeds();
    sandbox
        .uphill(TINY)
        .fails(2, &["a exists and holds no ablation"]);

    let tiny = "ablate run.toml --variants ppo --seeds 1 --device flex --out b";
    sandbox.uphill(tiny).succeeds();
    let before = rows(&sandbox, "b");
    sandbox
        .uphill(&format!("{tiny} --total-steps 256"))
        .fails(2, &["b/ppo.toml is of another configuration"]);
    assert_eq!(rows(&sandbox, "b"), before);
}

#[cfg(unix)]
#[test]
fn ctrl_c_keeps_the_runs_that_have_ended() {
    let sandbox = Sandbox::new();
    sandbox.write("run.toml", PENDULUM);
    let args = "ablate run.toml --variants ppo,ppo-m --seeds 1000 --device flex --out a";
    let mut command = sandbox.command(args);
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let path = sandbox.path("a/ablation.csv");
    while std::fs::read_to_string(&path)
        .unwrap_or_default()
        .lines()
        .count()
        < 4
    {
        sleep(Duration::from_millis(2));
    }
    let pid = child.id().to_string();
    let kill = std::process::Command::new("kill")
        .args(["-INT", &pid])
        .status();
    assert!(kill.unwrap().success());
    let done = crate::Done::of(&child.wait_with_output().unwrap());
    assert_eq!(done.code, 130, "{done:?}");
    assert!(done.stdout.contains("interrupted"), "{done:?}");

    // Every row is whole, and of the same runs those are made that have none.
    let kept = rows(&sandbox, "a");
    assert!(kept.len() >= 3 && kept.iter().all(|row| row.len() == kept[0].len()));
    let done = sandbox.uphill(&args.replace("1000", "5"));
    let said = &done.succeeds().stderr;
    for row in &kept {
        assert!(
            !said.contains(&format!("{} seed {}:", row[0], row[1])),
            "{said}"
        );
    }
    let mut expected: Vec<[String; 2]> = (1..=5)
        .flat_map(|seed| ["ppo", "ppo-m"].map(|name| [name.to_owned(), seed.to_string()]))
        .chain(kept.iter().map(|row| [row[0].clone(), row[1].clone()]))
        .collect();
    expected.sort_by_key(|[name, seed]| (seed.parse::<u64>().unwrap(), name.clone()));
    expected.dedup();
    let after = rows(&sandbox, "a");
    let names = after.iter().map(|row| [row[0].clone(), row[1].clone()]);
    assert_eq!(names.collect::<Vec<_>>(), expected);
    assert!(kept.iter().all(|row| after.contains(row)));
}
