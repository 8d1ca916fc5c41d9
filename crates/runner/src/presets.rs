//! Presets: configurations that are built into the program.

/// Maps names to files in `configs/`.
macro_rules! presets {
    ($($name:literal,)+) => {
        &[$(Preset {
            name: $name,
            text: include_str!(concat!("../../../configs/", $name, ".toml")),
        }),+]
    };
}

/// Name and text of every file in `configs/`.
pub(crate) const PRESETS: &[Preset] = presets![
    "reinforce-cartpole",
    "reinforce-pendulum",
    "vpg-cartpole",
    "vpg-pendulum",
    "a2c-cartpole",
    "a2c-pendulum",
    "a3c-cartpole",
    "a3c-pendulum",
    "trust-region-cartpole",
    "trust-region-pendulum",
    "npg-cartpole",
    "npg-pendulum",
    "trpo-cartpole",
    "trpo-pendulum",
    "ppo-cartpole",
    "ppo-pendulum",
    "ppo-kl-cartpole",
    "ppo-kl-pendulum",
    "ppo-positions-frames",
    "ppo-positions",
    "bench-a",
    "bench-b",
    "bench-c",
    "bench-d",
    "bench-e",
];

/// A configuration file built into the program.
pub(crate) struct Preset {
    pub(crate) name: &'static str,
    pub(crate) text: &'static str,
}

impl Preset {
    /// Description and expected result: the comment at the top of the file.
    pub(crate) fn about(&self) -> String {
        let comments = self.text.lines().map_while(|line| line.strip_prefix('#'));
        comments.map(str::trim).collect::<Vec<_>>().join(" ")
    }
}

/// The preset with this name.
pub(crate) fn find(name: &str) -> Option<&'static Preset> {
    PRESETS.iter().find(|preset| preset.name == name)
}

/// Names of the presets of an algorithm.
pub(crate) fn of_algorithm(algorithm: &str) -> Vec<&'static str> {
    let of = |preset: &&Preset| {
        let table = toml::from_str::<toml::Table>(preset.text).ok();
        let name = table
            .as_ref()
            .and_then(|t| t.get("algo")?.get("name")?.as_str());
        name == Some(algorithm)
    };
    PRESETS
        .iter()
        .filter(of)
        .map(|preset| preset.name)
        .collect()
}
