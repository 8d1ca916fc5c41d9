use crate::Sandbox;

#[test]
fn everything_there_is_is_listed() {
    let sandbox = Sandbox::new();
    let listed = |what: &str| {
        sandbox
            .uphill(&format!("list {what}"))
            .succeeds()
            .stdout
            .clone()
    };
    for name in uphill_envs::NAMES {
        assert!(listed("envs").contains(name), "{name}");
    }
    for (name, _) in uphill_algos::ALGORITHMS {
        assert!(listed("algos").contains(name), "{name}");
    }
    for name in ["flex", "ndarray", "wgpu", "cuda"] {
        assert!(
            listed("devices").lines().any(|line| line.starts_with(name)),
            "{name}"
        );
    }
    let all = listed("");
    for title in ["Environments", "Algorithms", "Devices", "Presets"] {
        assert!(all.contains(title), "{title}");
    }
}

#[test]
fn tables_fit_a_terminal_and_have_no_holes() {
    let sandbox = Sandbox::new();
    for what in ["envs", "algos", "presets"] {
        let listed = sandbox.uphill(&format!("list {what}"));
        let lines: Vec<&str> = listed.succeeds().stdout.lines().collect();
        for line in &lines {
            assert!(line.chars().count() <= 100, "{line}");
        }
        let columns = |line: &str| line.split("  ").filter(|cell| !cell.is_empty()).count();
        let rows = lines.iter().filter(|line| !line.starts_with(' '));
        for row in rows {
            assert_eq!(columns(row), columns(lines[0]), "{row}");
        }
    }
}

#[test]
fn every_configuration_file_is_a_preset_and_short() {
    let sandbox = Sandbox::new();
    let listed = sandbox.uphill("list presets").succeeds().stdout.clone();
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../configs");
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        assert!(
            listed.lines().any(|line| line.starts_with(&name)),
            "{name} is not listed"
        );
        let lines = std::fs::read_to_string(&path).unwrap().lines().count();
        assert!(
            lines <= 30,
            "{name} has {lines} lines: keep what differs from the defaults"
        );
    }
}

/// Fixed workloads are there to be timed and say so.
#[test]
fn every_preset_says_what_to_expect() {
    let sandbox = Sandbox::new();
    let listed = sandbox.uphill("list presets").succeeds().stdout.clone();
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../configs");
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let (_, rest) = listed.split_once(&format!("\n{name} ")).unwrap();
        // What is too long for one line goes on below, indented.
        let mut lines = rest.lines();
        let first = lines.next().unwrap();
        let others = lines.take_while(|line| line.starts_with(' '));
        let words = std::iter::once(first)
            .chain(others)
            .flat_map(str::split_whitespace);
        let text = words.collect::<Vec<_>>().join(" ");
        let expected: &[&str] = if name.starts_with("bench-") {
            &["timing only"]
        } else {
            &["mean return of", "processor time"]
        };
        for part in expected {
            assert!(text.contains(part), "{name}: no {part:?} in {text:?}");
        }
    }
}
