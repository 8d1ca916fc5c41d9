//! An environment with options, from the configuration to the checkpoint.

use crate::{CARTPOLE, Sandbox, device};

/// A picture of 6 lines and columns.
fn image() -> String {
    let table = "[env]\nname = \"ProbeImage-v0\"\nside = 6\n[network]";
    CARTPOLE
        .replace("env = \"CartPole-v1\"\n", "")
        .replace("[network]", table)
}

#[test]
fn options_are_kept_by_the_run_and_belong_to_it() {
    let sandbox = Sandbox::new();
    sandbox.write("a.toml", &image());
    let device = device();
    let train = format!("train a.toml --device {device} --out run");
    sandbox.uphill(&train).succeeds();
    let kept = sandbox.read("run/config.toml");
    assert!(
        kept.contains("[env]") && kept.contains("side = 6"),
        "{kept}"
    );
    let eval = format!("eval run --episodes 4 --device {device}");
    let said = sandbox.uphill(&eval);
    let shown = "ProbeImage-v0 (side = 6)";
    assert!(said.succeeds().stdout.contains(shown), "{said:?}");

    // Another size is another run.
    sandbox.write("run/config.toml", &kept.replace("side = 6", "side = 4"));
    let resume = format!("train --resume run --device {device}");
    let found = sandbox.uphill(&resume);
    found.fails(2, &["env.side = 6", "env.side = 4"]);
}

#[test]
fn options_are_set_one_by_one() {
    let sandbox = Sandbox::new();
    sandbox.write("a.toml", &image());
    sandbox.write("b.toml", CARTPOLE);
    let device = device();
    let train = |args: &str| sandbox.uphill(&format!("train {args} --device {device}"));
    train("a.toml --set env.side=8 --out a").succeeds();
    assert!(sandbox.read("a/config.toml").contains("side = 8"));
    // From a name alone, and back to one.
    train("b.toml --set env.name=ProbeImage-v0 --set env.side=2 --out b").succeeds();
    assert!(sandbox.read("b/config.toml").contains("side = 2"));
    train("a.toml --set env=CartPole-v1 --out c").succeeds();
    assert!(
        sandbox
            .read("c/config.toml")
            .contains("env = \"CartPole-v1\"")
    );

    let fails = |args: &str, parts: &[&str]| train(args).fails(2, parts);
    fails(
        "a.toml --set env.size=8",
        &[
            "a.toml --set env.size=8",
            "unknown field `size`, expected `side`",
        ],
    );
    fails(
        "a.toml --set env.side=3",
        &["side is 3, must be an even number"],
    );
    fails(
        "b.toml --set env.side=3",
        &["environment `CartPole-v1`: unknown option `side`; it has none"],
    );
    fails(
        "b.toml --set env.name=gym:Lake-v1",
        &["there is no scheme `gym:`"],
    );
    sandbox.write("c.toml", &image().replace("name = \"ProbeImage-v0\"\n", ""));
    fails("c.toml", &["c.toml", "env.name: missing"]);
}
