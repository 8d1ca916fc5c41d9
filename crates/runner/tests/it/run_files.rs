use crate::{CARTPOLE, Sandbox, outcome};

#[test]
fn a_run_leaves_everything_needed_to_repeat_and_judge_it() {
    let sandbox = Sandbox::new();
    sandbox.write("small.toml", CARTPOLE);
    let done = sandbox.uphill("train small.toml --device flex --out runs/a");
    done.succeeds();
    assert!(done.stdout.contains("1024 steps in"), "{done:?}");
    assert!(done.stderr.contains("device flex: "), "{done:?}");
    assert_eq!(
        done.stderr.matches("1024/1024 steps").count(),
        1,
        "{done:?}"
    );

    let csv = sandbox.read("runs/a/metrics.csv");
    assert!(
        csv.starts_with(
            "iteration,env_steps,wall_s,env_steps_per_s,episodes,episode_return_mean,\
             episode_length_mean,policy_loss,value_loss,entropy,approx_kl,clip_fraction,\
             explained_variance,grad_norm,lr,"
        ),
        "{csv}"
    );
    assert_eq!(csv.lines().count(), 9);

    let meta: serde_json::Value = serde_json::from_str(&sandbox.read("runs/a/meta.json")).unwrap();
    assert_eq!(meta["device"], "flex");
    assert_eq!(meta["version"], env!("CARGO_PKG_VERSION"));
    assert!(meta["finished"].is_string());
    let events = std::fs::read_dir(sandbox.path("runs/a"))
        .unwrap()
        .filter(|entry| {
            let name = entry.as_ref().unwrap().file_name();
            name.to_string_lossy().starts_with("events.out.tfevents.")
        });
    assert_eq!(events.count(), 1);

    // The resolved configuration spells out defaults, and running it repeats the run.
    let config = sandbox.read("runs/a/config.toml");
    assert!(config.contains("gae_lambda = 0.95"), "{config}");
    sandbox
        .uphill("train runs/a/config.toml --device flex --out runs/b --quiet")
        .succeeds();
    assert!(outcome(&sandbox.path("runs/a")) == outcome(&sandbox.path("runs/b")));
}

#[test]
fn settings_seed_and_numbered_directories() {
    let sandbox = Sandbox::new();
    sandbox.write("small.toml", CARTPOLE);
    let train =
        "train small.toml --device flex --quiet --seed 7 --set total_steps=128 --set algo.clip=0.1";
    let done = sandbox.uphill(train);
    assert_eq!(
        (done.succeeds().stdout.as_str(), done.stderr.as_str()),
        ("", "")
    );
    sandbox.uphill(train).succeeds();
    let config = sandbox.read("runs/small-1/config.toml");
    for line in ["seed = 7", "total_steps = 128", "clip = 0.1"] {
        assert!(config.contains(line), "no {line} in {config}");
    }
    assert!(outcome(&sandbox.path("runs/small-1")) == outcome(&sandbox.path("runs/small-2")));
}

#[test]
fn a_trained_policy_is_evaluated() {
    let sandbox = Sandbox::new();
    sandbox.write("small.toml", CARTPOLE);
    sandbox
        .uphill("train small.toml --device flex --out run --quiet")
        .succeeds();
    let eval = "eval run --episodes 12 --seed 3 --device flex";
    let done = sandbox.uphill(eval);
    assert!(
        done.succeeds().stdout.contains("12 episodes from seed 3"),
        "{done:?}"
    );

    let json = sandbox.uphill(&format!("{eval} --stochastic --json"));
    let value: serde_json::Value = serde_json::from_str(&json.succeeds().stdout).unwrap();
    assert_eq!(value["episodes"], 12);
    assert_eq!(value["stochastic"], true);
    let (low, mean) = (
        value["return_min"].as_f64().unwrap(),
        value["return_mean"].as_f64().unwrap(),
    );
    assert!(1.0 <= low && low <= mean, "{value}");
    assert_eq!(
        json.stdout,
        sandbox
            .uphill(&format!("{eval} --stochastic --json"))
            .stdout
    );
}

/// The same program on whichever device `UPHILL_TEST_DEVICE` names.
#[test]
fn it_trains_on_the_device_under_test() {
    let device = crate::device();
    let sandbox = Sandbox::new();
    sandbox.write("small.toml", CARTPOLE);
    let train = format!("train small.toml --set total_steps=256 --out run --device {device}");
    let done = sandbox.uphill(&train);
    assert!(
        done.succeeds().stderr.contains(&format!("device {device}")),
        "{done:?}"
    );
    sandbox
        .uphill("train --resume run --set total_steps=384 --quiet")
        .succeeds();
    assert_eq!(sandbox.read("run/metrics.csv").lines().count(), 4);
}

#[test]
fn presets_run_by_name() {
    let sandbox = Sandbox::new();
    let done = sandbox.uphill("train ppo-cartpole --device flex --set total_steps=256 --quiet");
    done.succeeds();
    assert!(sandbox.path("runs/ppo-cartpole-1/config.toml").is_file());
}
