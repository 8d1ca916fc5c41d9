//! Values of `--device`.

use anyhow::{Context as _, Result, bail};
use std::{fmt, str::FromStr};

/// All forms of `--device`, for error messages and help.
pub(crate) const FORMS: &str = "auto, flex, ndarray, wgpu[:N], cuda[:N]";

/// The requested device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DeviceArg {
    /// The device that suits the work.
    Auto,
    /// Burn's pure-Rust CPU backend.
    Flex,
    /// Burn's older CPU backend, kept for comparison.
    Ndarray,
    /// The N-th adapter of `uphill list devices`, or the best one.
    Wgpu(Option<usize>),
    /// The N-th CUDA device, or the first one.
    Cuda(Option<usize>),
}

impl FromStr for DeviceArg {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let (name, index) = match text.split_once(':') {
            Some((name, index)) => (name, Some(index)),
            None => (text, None),
        };
        match (name, index) {
            ("auto", None) => Ok(Self::Auto),
            ("flex", None) => Ok(Self::Flex),
            ("ndarray", None) => Ok(Self::Ndarray),
            ("wgpu", index) => Ok(Self::Wgpu(parse_index(name, index)?)),
            ("cuda", index) => Ok(Self::Cuda(parse_index(name, index)?)),
            ("auto" | "flex" | "ndarray", Some(_)) => {
                bail!("`{name}` takes no number: use `{name}`")
            }
            _ => bail!("`{text}` is not one of {FORMS}{}", did_you_mean(name)),
        }
    }
}

impl fmt::Display for DeviceArg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Flex => f.write_str("flex"),
            Self::Ndarray => f.write_str("ndarray"),
            Self::Wgpu(None) => f.write_str("wgpu"),
            Self::Wgpu(Some(n)) => write!(f, "wgpu:{n}"),
            Self::Cuda(None) => f.write_str("cuda"),
            Self::Cuda(Some(n)) => write!(f, "cuda:{n}"),
        }
    }
}

fn parse_index(name: &str, index: Option<&str>) -> Result<Option<usize>> {
    index
        .map(|text| {
            text.parse()
                .with_context(|| format!("`{text}` is not a device number: use `{name}:0`"))
        })
        .transpose()
}

/// Suggestion for typing errors and for common names of the backends.
fn did_you_mean(name: &str) -> String {
    let known = match name.to_ascii_lowercase().as_str() {
        "cpu" => Some("flex"),
        "gpu" | "vulkan" | "metal" | "webgpu" => Some("wgpu"),
        "nvidia" => Some("cuda"),
        lower => ["auto", "flex", "ndarray", "wgpu", "cuda"]
            .into_iter()
            .map(|form| (strsim::damerau_levenshtein(lower, form), form))
            .min()
            .filter(|&(distance, _)| distance <= 2)
            .map(|(_, form)| form),
    };
    known.map_or(String::new(), |form| format!("; did you mean `{form}`?"))
}
