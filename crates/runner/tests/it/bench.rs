use crate::{CARTPOLE, Sandbox};
use serde_json::Value;

/// The JSON of a measurement with these arguments.
fn measured(sandbox: &Sandbox, args: &str) -> Value {
    let done = sandbox.uphill(&format!("bench --json --quiet {args}"));
    assert_eq!(done.succeeds().stderr, "", "quiet");
    serde_json::from_str(&done.stdout).unwrap()
}

/// Median, least and greatest are numbers in this order.
#[track_caller]
fn is_spread(value: &Value) {
    let [min, median, max] = ["min", "median", "max"].map(|key| value[key].as_f64().unwrap());
    assert!(
        0.0 <= min && min <= median && median <= max && max.is_finite(),
        "{value}"
    );
}

#[test]
fn every_size_is_measured_on_every_device() {
    let sandbox = Sandbox::new();
    let found = measured(
        &sandbox,
        "--devices flex --envs 4,2 --widths 8,16 --iterations 2 --rounds 3",
    );
    assert_eq!(found["workload"]["env"], "CartPole-v1");
    assert_eq!(found["workload"]["algo"]["name"], "ppo");
    assert_eq!(found["workload"]["network"]["activation"], "tanh");
    assert_eq!(found["workload"]["network"]["hidden"], Value::Null);
    assert_eq!(found["workload"]["normalize"]["obs"], false);
    assert_eq!(found["workload"]["frames"], 1);
    assert_eq!(found["workload"]["seed"], 1);
    assert_eq!(found["program"]["version"], env!("CARGO_PKG_VERSION"));
    assert!(found["machine"]["cores"].as_u64().unwrap() >= 1);
    assert_eq!(found["devices"].as_array().unwrap().len(), 1);
    assert_eq!(found["devices"][0]["processor"], "cpu");
    assert_eq!(found["method"]["rounds"], 3);
    assert_eq!(found["method"]["warm_up"]["counted"], false);
    let warm_up = found["method"]["warm_up"]["iterations_at_least"].as_u64();

    let rows = found["measurements"].as_array().unwrap();
    let sizes = rows.iter().map(|row| {
        let number = |key: &str| row[key].as_u64().unwrap();
        (
            number("num_envs"),
            row["network"][0].as_u64().unwrap(),
            number("minibatch"),
        )
    });
    // 32 steps of every copy in 4 minibatches.
    let expected = [(2, 8, 16), (4, 8, 32), (2, 16, 16), (4, 16, 32)];
    assert_eq!(sizes.collect::<Vec<_>>(), expected);
    for row in rows {
        assert_eq!(row["device"], "flex");
        assert_eq!(row["iterations"], 2);
        assert!(row["warm_up_iterations"].as_u64() >= warm_up, "{row}");
        is_spread(&row["env_steps_per_s"]);
        is_spread(&row["iteration_ms"]);
        for phase in ["inference", "environment", "advantage", "update"] {
            is_spread(&row["phases_ms"][phase]);
        }
        assert_eq!(row["memory_bytes"]["device_reserved"], Value::Null);
        if cfg!(target_os = "linux") {
            let bytes = |key: &str| row["memory_bytes"][key].as_u64().unwrap();
            assert!(0 < bytes("resident") && bytes("resident") <= bytes("peak"));
        }
    }
    // There is no GPU to compare with, and nothing about one to keep.
    assert_eq!(found["crossovers"].as_array().unwrap().len(), 0);
    assert_eq!(found["kept_for_auto"], Value::Null);
    assert!(!sandbox.path("cache").exists());
}

#[test]
fn a_configuration_is_measured_as_it_is() {
    let sandbox = Sandbox::new();
    sandbox.write("small.toml", CARTPOLE);
    let tiny = "small.toml --devices flex --iterations 1 --rounds 1";
    let found = measured(&sandbox, tiny);
    assert_eq!(found["workload"]["name"], "small.toml");
    let rows = found["measurements"].as_array().unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0]["num_envs"], 4);
    assert_eq!(rows[0]["network"], serde_json::json!([16]));
    assert_eq!(rows[0]["minibatch"], 64);
    // Actor 4·16 + 16 + 16·2 + 2, critic 4·16 + 16 + 16·1 + 1.
    assert_eq!(rows[0]["params"], 114 + 97);

    let wider = measured(&sandbox, &format!("{tiny} --envs 8 --set algo.steps=16"));
    assert_eq!(wider["measurements"][0]["minibatch"], 64);
    assert_eq!(wider["measurements"][0]["num_envs"], 8);
}

#[test]
fn whole_episodes_have_phases_and_asynchronous_workers_have_none() {
    let sandbox = Sandbox::new();
    let phases = |preset: &str| {
        let tiny = "--devices flex --iterations 1 --rounds 1";
        measured(&sandbox, &format!("{preset} {tiny}"))["measurements"][0]["phases_ms"].clone()
    };
    let episodes = phases("reinforce-cartpole");
    is_spread(&episodes["inference"]);
    is_spread(&episodes["environment"]);
    is_spread(&episodes["update"]);
    assert_eq!(episodes["advantage"], Value::Null);
    assert_eq!(phases("a3c-cartpole"), Value::Null);
}

#[test]
fn several_agents_are_measured_together() {
    let sandbox = Sandbox::new();
    sandbox.write("small.toml", CARTPOLE);
    let tiny = "small.toml --seeds 3 --devices flex --iterations 2 --rounds 2";
    let row = measured(&sandbox, tiny)["measurements"][0].clone();
    assert_eq!((&row["agents"], &row["num_envs"]), (&3.into(), &4.into()));
    assert_eq!(row["phases_ms"], Value::Null);
    // An iteration is one of all agents: 3 × 4 copies × 32 steps.
    let [ms, rate] = ["iteration_ms", "env_steps_per_s"].map(|key| row[key]["max"].as_f64());
    let slowest = row["env_steps_per_s"]["min"].as_f64().unwrap();
    assert!((slowest * ms.unwrap() / 1e3 - 384.0).abs() < 1e-6 && rate.unwrap() >= slowest);
    let done = sandbox.uphill(&format!("bench --quiet {tiny}"));
    assert!(
        done.succeeds().stdout.contains(", 3 agents at once"),
        "{done:?}"
    );
}

#[test]
fn the_tables_say_how_and_where() {
    let sandbox = Sandbox::new();
    let args = "bench --devices flex --envs 2 --widths 8 --iterations 1 --rounds 2";
    let done = sandbox.uphill(args);
    let printed = &done.succeeds().stdout;
    for part in [
        "ppo on CartPole-v1",
        "warm-up of at least 3 iterations",
        "devices take turns in 2 rounds",
        "env steps/s",
        "advantage ms",
        "8×8",
        "no GPU was measured",
    ] {
        assert!(printed.contains(part), "no {part:?} in {printed}");
    }
    assert!(done.stderr.contains("flex: CPU"), "{}", done.stderr);
    // Actor 4·8 + 8 + 8·8 + 8 + 8·2 + 2, critic 4·8 + 8 + 8·8 + 8 + 8·1 + 1.
    let begun = "2 copies, 8×8, 251 parameters ...";
    assert!(done.stderr.contains(begun), "{}", done.stderr);
}

#[test]
fn whole_episodes_are_equal_work_on_all_devices() {
    let sandbox = Sandbox::new();
    let bench = |args: &str| {
        let done = sandbox.uphill(&format!("bench {args} --devices flex --rounds 1"));
        done.succeeds().stdout.clone()
    };
    let printed = bench("reinforce-cartpole --iterations 1");
    for part in [
        "devices take turns in 1 round;",
        "all devices make as many",
        "The advantage is a part of this algorithm's update",
    ] {
        assert!(printed.contains(part), "no {part:?} in {printed}");
    }
    let printed = bench("--envs 1 --widths 8 --iterations 1");
    assert!(!printed.contains("all devices make as many"), "{printed}");
    assert!(!printed.contains("is a part of"), "{printed}");
}

#[test]
fn impossible_measurements_are_refused() {
    let sandbox = Sandbox::new();
    sandbox.write("small.toml", CARTPOLE);
    for (args, parts) in [
        ("--devices flx", vec!["flx", "did you mean `flex`?"]),
        (
            "--devices flex,auto",
            vec!["auto is a choice and no device"],
        ),
        (
            "--envs 0",
            vec!["--envs", "must be a whole number from 1 to"],
        ),
        ("--envs 8,many", vec!["--envs", "many"]),
        (
            "--widths 0",
            vec!["--widths", "must be a whole number from 1 to"],
        ),
        ("--iterations 0", vec!["--iterations"]),
        ("--rounds 0", vec!["--rounds"]),
        ("--set algo.clip=0.1", vec!["CONFIG"]),
        ("--seeds 2", vec!["CONFIG"]),
        ("small.toml --seeds 0", vec!["--seeds"]),
        ("nowhere.toml", vec!["nowhere.toml", "uphill list presets"]),
        (
            "small.toml --set algo.minibatches=64 --envs 8,3",
            // 32 steps of 3 copies; the file's 4 copies fit, and so do 8.
            vec!["algo.minibatches", "do not divide the batch of 96"],
        ),
        ("small.toml --set env=CartPole", vec!["CartPole-v1"]),
    ] {
        let done = sandbox.uphill(&format!("bench {args}"));
        done.fails(2, &parts);
        assert_eq!(done.stdout, "", "nothing is measured");
    }
}

#[test]
fn a_device_that_is_not_compiled_in_is_refused() {
    let sandbox = Sandbox::new();
    let done = sandbox.uphill("bench --devices flex,cuda:7");
    if cfg!(feature = "cuda") {
        done.fails(2, &["does not exist"]);
    } else {
        done.fails(2, &["\"cuda\" is not compiled in", "--features cuda"]);
    }
}

#[test]
fn auto_is_told_where_measurements_are_damaged() {
    let sandbox = Sandbox::new();
    sandbox.write("small.toml", CARTPOLE);
    std::fs::create_dir(sandbox.path("cache")).unwrap();
    sandbox.write("cache/bench.json", "{");
    let done = sandbox.uphill("train small.toml --out run");
    let said = &done.succeeds().stderr;
    assert!(said.contains("bench.json is damaged"), "{said}");
    assert!(said.contains("it may be deleted"), "{said}");
}
