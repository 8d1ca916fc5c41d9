//! Tests of the calls that sinks receive, and of their order.

#![allow(clippy::unwrap_used)]

use super::*;
use crate::device::{self, DeviceArg, Workload};
use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};
use uphill_algos::{RunConfig, ppo::PpoConfig};

/// A configuration with 64 steps in each iteration.
fn config(iterations: u64) -> RunConfig {
    let ppo = PpoConfig {
        steps: 16,
        epochs: 1,
        minibatches: 1,
        ..Default::default()
    };
    let mut config = RunConfig::new("CartPole-v1", 4, 64 * iterations, ppo.into());
    config.network.hidden = vec![8];
    config
}

fn chosen() -> Chosen {
    let work = Workload {
        params: 1,
        minibatch: 1,
        host_env: true,
    };
    device::choose(DeviceArg::Auto, &work).unwrap()
}

fn session(dir: &Path, config: &RunConfig) -> Session {
    let chosen = chosen();
    let run = RunDir::create(Some(dir), "").unwrap();
    let meta = run.begin(config, &chosen).unwrap();
    let trainer = Trainer::new(config.clone(), &chosen.device).unwrap();
    Session::create(run, meta, trainer).unwrap()
}

/// Sink that records its calls, with the state of the latest checkpoint at that time.
struct Recorder {
    heard: Arc<Mutex<Vec<String>>>,
    /// Run directory, for looking up what has been saved.
    dir: PathBuf,
    config: RunConfig,
    /// Number of the row that it rejects.
    refused: u64,
}

impl Recorder {
    fn hears(&self, what: String) {
        let mut trainer = Trainer::new(self.config.clone(), &chosen().device).unwrap();
        let latest = RunDir::open(&self.dir).unwrap().checkpoint(Which::Latest);
        trainer
            .restore(&Checkpoint::read(&latest).unwrap())
            .unwrap();
        let saved = trainer.iteration();
        self.heard
            .lock()
            .unwrap()
            .push(format!("{what}, saved {saved}"));
    }
}

impl Sink for Recorder {
    fn row(&mut self, row: &Row<'_>) -> anyhow::Result<()> {
        assert!(row.wall_s > 0.0 && row.env_steps_per_s > 0.0);
        let iteration = row.report.iteration;
        anyhow::ensure!(iteration != self.refused, "no room for row {iteration}");
        self.hears(format!("row {iteration}"));
        Ok(())
    }

    fn sync(&mut self) -> anyhow::Result<()> {
        self.hears("sync".to_owned());
        Ok(())
    }
}

/// A session of `config` in `dir`, and the recorded calls of its sink, which rejects row number `refused`.
fn recorded(dir: &Path, config: &RunConfig, refused: u64) -> (Session, Arc<Mutex<Vec<String>>>) {
    let mut session = session(dir, config);
    let heard = Arc::new(Mutex::new(vec![]));
    session.add(Box::new(Recorder {
        heard: heard.clone(),
        dir: dir.to_owned(),
        config: config.clone(),
        refused,
    }));
    (session, heard)
}

#[test]
fn rows_are_written_down_before_the_checkpoint_that_they_led_to() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(5);
    config.checkpoint_every = 128;
    let (mut session, heard) = recorded(&folder.path().join("run"), &config, 0);
    while !session.trainer().finished() {
        session.step(&NEVER).unwrap().unwrap();
    }
    let expected = [
        "row 1, saved 0",
        "row 2, saved 0",
        "sync, saved 0",
        "row 3, saved 2",
        "row 4, saved 2",
        "sync, saved 2",
        "row 5, saved 4",
        "sync, saved 4",
    ];
    assert_eq!(*heard.lock().unwrap(), expected);
}

#[test]
fn a_sink_that_fails_ends_the_run_at_its_last_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let (dir, mut config) = (folder.path().join("run"), config(5));
    config.checkpoint_every = 64;
    let (mut session, heard) = recorded(&dir, &config, 3);
    for _ in 0..2 {
        session.step(&NEVER).unwrap().unwrap();
    }
    let error = session.step(&NEVER).unwrap_err();
    assert_eq!(format!("{error:#}"), "no room for row 3");
    drop(session);
    assert_eq!(heard.lock().unwrap().last().unwrap(), "sync, saved 1");
    let run = RunDir::open(&dir).unwrap();
    let stopped = Stopped::read(run, Which::Latest, &[], &chosen()).unwrap();
    assert_eq!(stopped.trainer().iteration(), 2);
}
