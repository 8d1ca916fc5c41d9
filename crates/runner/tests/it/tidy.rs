//! The rules of ARCHITECTURE.md that a machine can check.

use std::{
    fs,
    path::{Path, PathBuf},
};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .unwrap()
}

/// Every Rust file under `folder`, with its path relative to the workspace.
fn sources(folder: &str) -> Vec<(String, String)> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|e| e == "rs") {
                found.push(path);
            }
        }
    }
    let mut found = vec![];
    walk(&root().join(folder), &mut found);
    found
        .into_iter()
        .map(|path| {
            let name = path
                .strip_prefix(root())
                .unwrap()
                .to_string_lossy()
                .into_owned();
            (name, fs::read_to_string(path).unwrap())
        })
        .collect()
}

fn manifest(krate: &str) -> toml::Table {
    let path = root().join("crates").join(krate).join("Cargo.toml");
    toml::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn dependencies_point_one_way() {
    for (krate, forbidden) in [
        (
            "cpu",
            vec![
                "burn",
                "uphill-gpu",
                "uphill-core",
                "uphill-envs",
                "uphill-algos",
                "uphill",
            ],
        ),
        (
            "gpu",
            vec!["uphill-core", "uphill-envs", "uphill-algos", "uphill"],
        ),
        ("core", vec!["uphill-envs", "uphill-algos", "uphill"]),
        ("envs", vec!["uphill-core", "uphill-algos", "uphill"]),
        ("algos", vec!["uphill"]),
    ] {
        let manifest = manifest(krate);
        let dependencies = manifest["dependencies"].as_table().unwrap();
        for name in forbidden {
            assert!(
                !dependencies.contains_key(name),
                "{krate} depends on {name}"
            );
        }
        assert!(
            !dependencies.contains_key("anyhow"),
            "{krate}: anyhow is for the runner"
        );
    }
}

#[test]
fn only_the_device_room_names_a_backend() {
    let constructors = [
        "Device::flex(",
        "Device::ndarray(",
        "Device::wgpu",
        "Device::cuda(",
    ];
    for folder in [
        "crates/cpu/src",
        "crates/gpu/src",
        "crates/core/src",
        "crates/envs/src",
        "crates/algos/src",
        "crates/runner/src",
    ] {
        for (name, text) in sources(folder) {
            // The fused operations have to know which backends keep tensors in host memory.
            if name.contains("runner/src/device") || name == "crates/core/src/ops/mod.rs" {
                continue;
            }
            // Documentation may show a device; code may not choose one.
            let code = text
                .lines()
                .filter(|line| !line.trim_start().starts_with("//"));
            for line in code {
                let named = constructors.iter().find(|c| line.contains(**c));
                assert!(named.is_none(), "{name}: {line}");
            }
        }
    }
}

#[test]
fn host_read_backs_happen_in_known_places() {
    let allowed = [
        "crates/algos/src/a3c.rs",
        "crates/algos/src/checkpoint.rs",
        // For checkpoints, those of all agents at once.
        "crates/algos/src/cohort.rs",
        "crates/algos/src/lab/measure.rs",
        "crates/core/src/lbfgs.rs",
        "crates/core/src/ops/slices.rs",
        "crates/core/src/read_back.rs",
        "crates/envs/src/device/batch.rs",
        "crates/envs/src/device/episodes.rs",
        "crates/envs/src/finished.rs",
        "crates/envs/src/frame_stack.rs",
        "crates/envs/src/host.rs",
    ];
    let readers = [
        "into_data",
        "to_data",
        "into_scalar",
        "try_into_vec",
        "execute()",
    ];
    for folder in [
        "crates/gpu/src",
        "crates/core/src",
        "crates/envs/src",
        "crates/algos/src",
    ] {
        for (name, text) in sources(folder) {
            let code = text.split("#[cfg(test)]").next().unwrap_or_default();
            // Documentation may show numbers.
            let code = code
                .lines()
                .filter(|line| !line.trim_start().starts_with("//"));
            let reads = code
                .flat_map(|line| readers.iter().map(move |reader| (line, reader)))
                .any(|(line, reader)| line.contains(&format!(".{reader}")));
            assert!(
                !reads || allowed.contains(&name.as_str()),
                "{name} reads back from the device"
            );
        }
    }
}

/// Of CubeCL the other crates know the attribute of formulas and dynamics that are in kernels as well.
#[test]
fn kernels_are_in_a_crate_of_their_own() {
    for krate in ["cpu", "core", "envs", "algos", "runner"] {
        let manifest = manifest(krate);
        let dependencies = manifest["dependencies"].as_table().unwrap();
        assert!(!dependencies.contains_key("burn-cubecl"), "{krate}");
        let vocabulary = krate == "cpu";
        assert_eq!(dependencies.contains_key("cubecl"), vocabulary, "{krate}");
        for (name, text) in sources(&format!("crates/{krate}/src")) {
            for launch in ["cube(launch", "backend_extension(Cube"] {
                assert!(!text.contains(launch), "{name}: {launch}");
            }
        }
    }
}

/// Everything else is compiled with and without kernels, so that nothing has to be written twice.
#[test]
fn each_crate_asks_in_one_place_whether_there_are_kernels() {
    let doors = [
        "crates/cpu/src/kernel.rs",
        // What stands in for the kernels, and which backend has their operations.
        "crates/gpu/src/lib.rs",
        "crates/gpu/src/ops.rs",
        // What an author's `in_kernels!` comes to.
        "crates/envs/src/kernel.rs",
    ];
    for krate in ["cpu", "gpu", "core", "envs", "algos", "runner"] {
        for (name, text) in sources(&format!("crates/{krate}/src")) {
            let asks = |line: &str| {
                let line = line.trim_start();
                // The attribute of formulas, and documentation.
                let known = line.contains("cfg_attr(") || line.starts_with("//");
                line.contains("feature = \"gpu\"") && !known
            };
            let here = text.lines().any(asks);
            assert_eq!(here, doors.contains(&name.as_str()), "{name}");
        }
    }
}

/// A buffer may be longer than what is in it: CUDA's end at a multiple of 512 bytes.
#[test]
fn kernels_are_told_how_long_buffers_are() {
    for folder in ["crates/cpu/src", "crates/gpu/src", "crates/envs/src"] {
        let kernels = sources(folder).into_iter().filter(|(_, text)| {
            text.contains("#[cube") || text.contains("#[cfg_attr(feature = \"gpu\", cube)]")
        });
        for (name, text) in kernels {
            let known = ["plan.len()", "self."];
            for line in text.lines().filter(|line| line.contains(".len()")) {
                assert!(known.iter().any(|k| line.contains(k)), "{name}: {line}");
            }
        }
    }
}

/// Methods are left out: the example of their type shows how to get one.
#[test]
fn public_items_of_core_have_examples() {
    let exceptions = [
        "struct Custom",     // made by `DistKind::custom`
        "struct CustomDist", // made by `DistKind::with_params`
        "struct Parts",      // made by `ActorCriticLoss::on`
    ];
    let files = sources("crates/core/src");
    // Users meet these through networks, policies and losses.
    let files = files.iter().filter(|(name, _)| !name.contains("src/ops/"));
    let mut found = 0;
    for (name, text) in files {
        let (mut documented, mut example) = (false, false);
        for line in text.lines() {
            if line.starts_with("///") {
                example = example && documented || line.contains("```");
                documented = true;
                continue;
            }
            let item = ["fn ", "struct ", "enum ", "trait "]
                .iter()
                .find_map(|kind| Some((kind, line.strip_prefix("pub ")?.strip_prefix(*kind)?)));
            if let Some((kind, rest)) = item {
                let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_');
                let item = format!("{kind}{}", &rest[..end.unwrap_or(rest.len())]);
                found += 1;
                assert!(
                    example || exceptions.contains(&item.as_str()),
                    "{name}: {item} has no example in its documentation"
                );
            }
            // Attributes, on one line or several, may stand between an item and its documentation.
            let attribute =
                line.starts_with("#[") || line.starts_with(")]") || line.starts_with("    ");
            if !attribute {
                documented = false;
            }
        }
    }
    assert!(found > 90, "only {found} items found");
}

#[test]
fn nothing_is_called_done() {
    for folder in [
        "crates/cpu/src",
        "crates/gpu/src",
        "crates/core/src",
        "crates/envs/src",
        "crates/algos/src",
    ] {
        for (name, text) in sources(folder) {
            for field in ["done:", "dones:", "pub done"] {
                assert!(
                    !text.contains(field),
                    "{name}: say terminated or truncated, not {field}"
                );
            }
        }
    }
}

#[test]
fn every_algorithm_has_its_page() {
    for (name, _) in uphill_algos::ALGORITHMS {
        let page = root().join(format!("docs/algorithms/{name}.md"));
        assert!(page.is_file(), "{} is missing", page.display());
    }
}

#[test]
fn every_preset_shows_its_results() {
    let pages = ["docs/algorithms", "docs"].map(|folder| root().join(folder));
    let pages = pages
        .iter()
        .flat_map(|folder| fs::read_dir(folder).unwrap())
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "md"))
        .map(|path| fs::read_to_string(path).unwrap());
    let pages: String = pages.collect();
    for entry in fs::read_dir(root().join("configs")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_string_lossy();
        // Fixed workloads are there to be timed.
        if name.starts_with("bench-") {
            continue;
        }
        let block = pages.split(&format!("<!-- results: {name} -->")).nth(1);
        let block = block.and_then(|rest| rest.split("<!-- end of results -->").next());
        assert!(
            block.is_some_and(|text| text.contains(&format!("img/{name}.png"))),
            "{name} has no results: run scripts/results.py"
        );
        let picture = root().join(format!("docs/algorithms/img/{name}.png"));
        assert!(picture.is_file(), "{} is missing", picture.display());
    }
}
