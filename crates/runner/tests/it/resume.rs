//! Going on with a run: from which checkpoint, and how far.

use crate::{CARTPOLE, Sandbox, outcome};
use std::fs;

/// A run whose best checkpoint is far from its last: every episode of its environment is worth 1, so
/// that no mean over 100 of them is better than the first.
fn constant() -> String {
    CARTPOLE.replace("CartPole-v1", "ProbeConstant-v0")
}

#[test]
fn from_its_best_checkpoint_a_run_goes_on_as_it_did() {
    let sandbox = Sandbox::new();
    sandbox.write("run.toml", &constant());
    for out in ["a", "b"] {
        sandbox
            .uphill(&format!("train run.toml --device flex --quiet --out {out}"))
            .succeeds();
    }
    let latest = sandbox.path("b/checkpoints/latest/run.safetensors");
    let best = sandbox.path("b/checkpoints/best/run.safetensors");
    assert!(fs::read(&latest).unwrap() != fs::read(&best).unwrap());

    // What its message advises about a damaged checkpoint is what can be done.
    fs::write(&latest, "scratched").unwrap();
    for command in ["eval b", "train --resume b"] {
        sandbox.uphill(command).fails(
            1,
            &[
                "run.safetensors is damaged",
                "another checkpoint of the run: --checkpoint best",
            ],
        );
    }
    let done = sandbox.uphill("train --resume b --checkpoint best");
    assert!(
        done.succeeds().stderr.contains("going on at 128"),
        "{done:?}"
    );
    assert!(outcome(&sandbox.path("a")) == outcome(&sandbox.path("b")));
}

/// The latest checkpoint must not stay ahead of the rows that were dropped.
#[test]
fn after_going_back_the_latest_checkpoint_is_that_of_the_rows() {
    let sandbox = Sandbox::new();
    sandbox.write("run.toml", &constant());
    sandbox
        .uphill("train run.toml --device flex --quiet --out b")
        .succeeds();
    // Nothing is left to do from the best checkpoint, so that going back is all that happens.
    let config = sandbox
        .read("b/config.toml")
        .replace("total_steps = 1024", "total_steps = 128");
    sandbox.write("b/config.toml", &config);
    sandbox
        .uphill("train --resume b --checkpoint best --quiet")
        .succeeds();
    assert_eq!(sandbox.read("b/metrics.csv").lines().count(), 2);
    let checkpoint =
        |which| fs::read(sandbox.path(&format!("b/checkpoints/{which}/run.safetensors")));
    assert!(checkpoint("latest").unwrap() == checkpoint("best").unwrap());
}

/// The number before a word.
fn number(text: &str, word: &str) -> u64 {
    let words: Vec<&str> = text.split([' ', ';', ',', '\n']).collect();
    let at = words.iter().position(|w| *w == word).unwrap();
    words[at - 1].parse().unwrap()
}

#[test]
fn a_summary_tells_this_session_from_the_whole_run() {
    let sandbox = Sandbox::new();
    sandbox.write("small.toml", CARTPOLE);
    let first = sandbox.uphill("train small.toml --device flex --out run");
    let rest = sandbox.uphill("train --resume run --set total_steps=1536");
    let (first, rest) = (&first.succeeds().stdout, &rest.succeeds().stdout);
    let (now, whole) = rest.split_once("; ").unwrap();
    assert!(!first.contains("from before"), "{first}");
    for (word, of_first) in [("steps", 1024), ("episodes", number(first, "episodes"))] {
        assert_eq!(number(first, word), of_first);
        assert_eq!(number(whole, word), of_first + number(now, word), "{rest}");
    }
    assert_eq!(number(now, "steps"), 512);
}

#[test]
fn a_finished_run_says_so_and_how_to_train_on() {
    let sandbox = Sandbox::new();
    sandbox.write("small.toml", CARTPOLE);
    sandbox
        .uphill("train small.toml --device flex --quiet --out run")
        .succeeds();
    let (before, meta) = (outcome(&sandbox.path("run")), sandbox.read("run/meta.json"));
    for set in ["", " --set total_steps=1024"] {
        let done = sandbox.uphill(&format!("train --resume run{set}"));
        assert_eq!(
            done.succeeds().stdout,
            "run is finished: it is at step 1024 of 1024; to train on: \
             uphill train --resume run --set total_steps=2048\n"
        );
    }
    let less = sandbox.uphill("train --resume run --set total_steps=512");
    less.fails(
        2,
        &["--set total_steps=512: the run is at step 1024 already; ask for more"],
    );
    assert!(before == outcome(&sandbox.path("run")));
    assert_eq!(meta, sandbox.read("run/meta.json"));
}
