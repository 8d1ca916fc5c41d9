//! Tests that run every example with a tiny budget.

#![allow(dead_code)] // their `main`

mod act;
mod by_hand;
mod costs;
mod custom_algorithm;
mod custom_distribution;
mod custom_env;
mod custom_network;
mod images;
mod own_program;
mod train_ppo;

use burn::tensor::Device;
use std::{
    fs::{self, File},
    io::{BufWriter, Write},
};
use tempfile::TempDir;
use uphill::{Row, Sink, SinkRequest, anyhow};
use uphill_algos::{RunConfig, Trainer, ppo::PpoConfig};

/// The files of `uphill train` that `act` reads.
fn trained_run() -> TempDir {
    let mut config = RunConfig::new("CartPole-v1", 4, 64, PpoConfig::default().into());
    config.frames = 2;
    let trainer = Trainer::new(config, &Device::flex()).expect("a trainer");
    let run = tempfile::tempdir().expect("a folder");
    let text = toml::to_string(trainer.config()).expect("TOML");
    fs::write(run.path().join("config.toml"), text).expect("writing");
    let checkpoint = run.path().join("checkpoints/latest/run.safetensors");
    trainer.save().write(&checkpoint).expect("writing");
    run
}

#[test]
fn every_example_runs() {
    train_ppo::run(512).expect("train_ppo");
    act::run(trained_run().path(), 2).expect("act");
    custom_env::run(512).expect("custom_env");
    custom_network::run(512).expect("custom_network");
    by_hand::run(4).expect("by_hand");
    custom_algorithm::run(2048).expect("custom_algorithm");
    custom_distribution::run(1024).expect("custom_distribution");
    costs::run(0, 1).expect("costs");
}

/// The optimum is a return of 1; the policy still explores a little.
#[test]
fn the_convolutional_policy_learns_to_see() {
    let mean = images::run(20_000).expect("images");
    assert!(mean > 0.9, "{mean}");
}

/// A custom sink: every row as a line of JSON.
struct JsonLines(BufWriter<File>);

impl JsonLines {
    fn of(run: SinkRequest<'_>) -> anyhow::Result<Box<dyn Sink>> {
        let path = run.dir.join("rows.jsonl");
        let text = fs::read_to_string(&path).unwrap_or_default();
        let kept = text.split_inclusive('\n').take(run.iteration as usize);
        fs::write(&path, kept.collect::<String>())?;
        let file = File::options().append(true).open(path)?;
        Ok(Box::new(Self(BufWriter::new(file))))
    }
}

impl Sink for JsonLines {
    fn row(&mut self, row: &Row<'_>) -> anyhow::Result<()> {
        serde_json::to_writer(&mut self.0, row)?;
        Ok(writeln!(self.0)?)
    }

    fn flush(&mut self) -> anyhow::Result<()> {
        Ok(self.0.flush()?)
    }
}

/// Trains, resumes and evaluates with the command line of your own program.
#[test]
fn the_own_program_has_the_whole_command_line() {
    own_program::registered();
    uphill::register_sink(JsonLines::of);
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name).display().to_string();
    let text = "env = \"Coin-v0\"\ntotal_steps = 512\nnum_envs = 8\n[network]\nmodule = \"own\"\n[algo]\nname = \"spo\"\nsteps = 16";
    fs::write(at("mine.toml"), text).expect("writing");
    let say = |args: &[&str], expected: u8| {
        let args = [&["own_program"], args].concat();
        let code = uphill::run(args.clone());
        let expected = format!("{:?}", std::process::ExitCode::from(expected));
        assert_eq!(format!("{code:?}"), expected, "{args:?}");
    };
    say(
        &["train", &at("mine.toml"), "--out", &at("run"), "--quiet"],
        0,
    );
    let resume = [
        "train",
        "--resume",
        &at("run"),
        "--set",
        "total_steps=1024",
        "--quiet",
    ];
    say(&resume, 0);
    say(&["eval", &at("run"), "--episodes", "2"], 0);
    say(&["list", "algos"], 0);
    // Errors are explained as for built-in parts.
    let wrong = [
        "train",
        &at("mine.toml"),
        "--set",
        "algo.epsilonn=1",
        "--quiet",
    ];
    say(&wrong, 2);
    let wrong = [
        "train",
        &at("mine.toml"),
        "--set",
        "network.module=onw",
        "--quiet",
    ];
    say(&wrong, 2);
    let written = fs::read_to_string(folder.path().join("run/config.toml")).expect("a config");
    assert!(written.contains("name = \"spo\"") && written.contains("module = \"own\""));
    let metrics = fs::read_to_string(folder.path().join("run/metrics.csv")).expect("metrics");
    assert_eq!(metrics.lines().count(), 1 + 1024 / (16 * 8), "{metrics}");
    // The rows of both sessions have reached the custom sink, and agree with metrics.csv.
    let rows = fs::read_to_string(folder.path().join("run/rows.jsonl")).expect("rows");
    let mut csv = metrics
        .lines()
        .map(|line| line.split(',').collect::<Vec<_>>());
    let columns = csv.next().expect("a heading");
    let rows: Vec<serde_json::Value> = (rows.lines())
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(rows.len(), 1024 / (16 * 8));
    for (row, cells) in rows.iter().zip(csv) {
        let object = row.as_object().expect("an object");
        assert_eq!(object.len(), columns.len() + 1, "and whether it improved");
        for (column, cell) in columns.iter().zip(cells) {
            let value = object.get(*column).expect(column);
            match cell.parse::<f64>() {
                Err(_) => assert!(value.is_null(), "{column}: {value} {cell:?}"),
                // These have fewer digits there.
                Ok(number) if *column == "wall_s" || *column == "env_steps_per_s" => {
                    assert!((value.as_f64().expect("a number") - number).abs() <= 0.5);
                }
                Ok(number) => assert_eq!(value.as_f64(), Some(number), "{column}"),
            }
        }
    }
}
