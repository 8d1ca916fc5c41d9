use crate::Sandbox;

const QUICK: &str =
    "--repeats 4 --trajectories 1,2 --fit 8 --reference 8 --critic-steps 2 --device flex";

#[test]
fn the_laboratory_prints_tables_and_writes_numbers_and_a_picture() {
    let sandbox = Sandbox::new();
    let printed = &sandbox.uphill(&format!("lab --out found {QUICK}"));
    let printed = &printed.succeeds().stdout;
    for part in [
        "exact gradient",
        "reward-to-go optimal",
        "gae 0.95",
        "n-step 11",
        "halved",
    ] {
        assert!(printed.contains(part), "no {part:?} in {printed}");
    }
    let mut reader = csv::Reader::from_path(sandbox.path("found/lab.csv")).unwrap();
    let header = reader.headers().unwrap().clone();
    assert_eq!(header.get(0), Some("env"));
    // 2 × (3 baselines and 5 constants) without values, 2 + 6 + 5 with each of two, for each of two N.
    let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    assert_eq!(rows.len(), 2 * (2 * (3 + 5) + 2 * (2 + 6 + 5)));
    let variance = header.iter().position(|name| name == "variance").unwrap();
    for row in &rows {
        let variance: f64 = row[variance].parse().unwrap();
        assert!(variance > 0.0 && variance.is_finite(), "{row:?}");
    }
    let picture = sandbox.read("found/lab.svg");
    assert!(picture.starts_with("<svg") && picture.trim_end().ends_with("</svg>"));
}

#[test]
fn a_trained_policy_is_measured_where_it_was_trained() {
    let sandbox = Sandbox::new();
    sandbox.write("run.toml", crate::CARTPOLE);
    sandbox
        .uphill("train run.toml --quiet --device flex --out run")
        .succeeds();
    let printed = sandbox.uphill(&format!("lab run --json --out found {QUICK}"));
    let object: serde_json::Value = serde_json::from_str(&printed.succeeds().stdout).unwrap();
    assert_eq!(object["env"], "CartPole-v1");
    assert_eq!(object["reference"]["exact"], false);
    assert!(object["reference"]["standard_error"].as_f64().unwrap() > 0.0);
    let elsewhere = sandbox.uphill("lab run --env Pendulum-v1");
    elsewhere.fails(2, &["--env", "CartPole-v1"]);
}

/// Either kind of memory, fresh and from a checkpoint.
#[test]
fn policies_with_memory_are_measured() {
    for memory in [
        "frames = 3",
        "network = { memory = \"gru\", hidden = [8], memory_width = 8 }",
    ] {
        let sandbox = Sandbox::new();
        let config = format!(
            "env = \"ProbeRecall-v0\"\nnum_envs = 4\ntotal_steps = 256\n{memory}\n\
             [algo]\nname = \"a2c\"\nsteps = 16\n"
        );
        sandbox.write("recall.toml", &config);
        sandbox
            .uphill("train recall.toml --quiet --device flex --out run")
            .succeeds();
        for source in ["recall.toml", "run"] {
            let args = "--repeats 60 --trajectories 4 --reference 256 --fit 32 --critic-steps 2";
            let printed = sandbox.uphill(&format!(
                "lab {source} --json --out found --device flex {args}"
            ));
            let object: serde_json::Value =
                serde_json::from_str(&printed.succeeds().stdout).unwrap();
            assert_eq!(object["env"], "ProbeRecall-v0");
            let mut reader = csv::Reader::from_path(sandbox.path("found/lab.csv")).unwrap();
            let header = reader.headers().unwrap().clone();
            let column = |name: &str| header.iter().position(|h| h == name).unwrap();
            let (estimator, z) = (column("estimator"), column("z"));
            let rows = reader.records().map(Result::unwrap);
            let unbiased: Vec<f64> = rows
                .filter(|row| row[estimator].starts_with("reward-to-go"))
                .map(|row| row[z].parse().unwrap())
                .collect();
            assert!(unbiased.len() > 4, "{unbiased:?}");
            assert!(unbiased.iter().all(|z| *z < 4.0), "{memory}: {unbiased:?}");
        }
    }
}

#[test]
fn a_policy_that_sees_frames_is_measured_with_them() {
    let sandbox = Sandbox::new();
    sandbox.write("run.toml", &format!("frames = 3\n{}", crate::CARTPOLE));
    sandbox
        .uphill("train run.toml --quiet --device flex --out run")
        .succeeds();
    for source in ["run", "run.toml"] {
        let printed = sandbox.uphill(&format!("lab {source} --json --out found {QUICK}"));
        let object: serde_json::Value = serde_json::from_str(&printed.succeeds().stdout).unwrap();
        let rows = object["rows"].as_array().unwrap();
        assert!(
            rows.iter()
                .all(|row| row["variance"].as_f64().unwrap() > 0.0)
        );
    }
    sandbox.uphill("lab run --set network={hidden=[8]}").fails(
        2,
        &["--set of network.hidden: the policy of run was trained"],
    );
    let tiny = sandbox.uphill("lab run.toml --env TinyWalk");
    tiny.fails(2, &["frames", "without memory"]);
}

#[test]
fn a_folder_that_cannot_be_written_is_found_before_anything_is_measured() {
    let sandbox = Sandbox::new();
    sandbox.write("file", "");
    let printed = sandbox.uphill(&format!("lab --out file/found {QUICK}"));
    printed.fails(1, &["--out file/found"]);
}

#[test]
fn impossible_measurements_are_refused() {
    let sandbox = Sandbox::new();
    for (set, key) in [
        ("network.memory=gru", "network.memory: "),
        ("frames=2", "frames: "),
    ] {
        sandbox
            .uphill(&format!("lab ppo-cartpole --env TinyWalk --set {set}"))
            .fails(2, &[key, "is for environments"]);
    }
    sandbox.uphill("lab --repeats 1").fails(2, &["--repeats"]);
    sandbox
        .uphill("lab --gamma 1.5")
        .fails(2, &["--gamma", "between 0 and 1"]);
    sandbox
        .uphill("lab --env CartPole")
        .fails(2, &["CartPole-v1"]);
    sandbox
        .uphill("lab --set algo.gamma=0.5")
        .fails(2, &["--set"]);
}
