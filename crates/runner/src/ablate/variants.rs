//! Variants of an ablation, read from a file with a list of changes to one configuration for each.

use crate::{
    config::{
        changes::{Compared, changed, table, untable},
        did_you_mean, text_of,
    },
    failure::usage,
};
use anyhow::{Context, anyhow, ensure};
use serde::Deserialize;
use std::{fs, path::Path};
use toml::Table;
use uphill_algos::RunConfig;

/// Variants of PPO's code-level optimisations.
const PPO: &str = include_str!("ppo.toml");

/// Contents of a file of variants.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Variants {
    /// Conditions KEY=VALUE on the configuration.
    #[serde(default)]
    needs: Vec<String>,
    /// Names of four variants: an algorithm with and without something, and another with and without it.
    pub(crate) corners: Option<[String; 4]>,
    /// Variants in the order in which they run and are shown. All others are compared with the first.
    #[serde(rename = "variant")]
    pub(crate) all: Vec<Variant>,
}

/// One row of the ablation.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Variant {
    pub(crate) name: String,
    /// Description of its difference in one line.
    pub(crate) about: String,
    /// Earlier variant that it starts from; `None`: the configuration itself.
    of: Option<String>,
    #[serde(default)]
    changes: Vec<String>,
    #[serde(default)]
    when: Vec<When>,
}

/// Changes of a variant that apply to some configurations only.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct When {
    /// KEY=VALUE.
    is: String,
    changes: Vec<String>,
}

impl Variants {
    /// Reads the variants in the file at `path`, or the built-in ones.
    pub(crate) fn load(path: Option<&Path>) -> anyhow::Result<Self> {
        let Some(path) = path else {
            return Self::parse(PPO).context("the built-in variants");
        };
        let read = || {
            let text = text_of(fs::read(path)?)?;
            Self::parse(&text)
        };
        read().context(path.display().to_string()).map_err(usage)
    }

    fn parse(text: &str) -> anyhow::Result<Self> {
        let variants: Self = toml::from_str(text)?;
        ensure!(
            !variants.all.is_empty(),
            "variant: there is none; write for example:\n\n{EXAMPLE}"
        );
        for (number, variant) in variants.all.iter().enumerate() {
            let before = &variants.all[..number];
            (variant.check(before)).with_context(|| format!("variant {:?}", variant.name))?;
        }
        for name in variants.corners.iter().flatten() {
            among(&variants.all, name).context("corners")?;
        }
        Ok(variants)
    }

    /// Name of the variant that all others are compared with.
    pub(crate) fn reference(&self) -> &str {
        &self.all[0].name
    }

    /// Variants with these names in the order of the file; all of them if no names are given.
    pub(crate) fn chosen(&self, names: &[String]) -> anyhow::Result<Vec<&Variant>> {
        for name in names {
            among(&self.all, name)
                .context("--variants")
                .map_err(usage)?;
        }
        let wanted = |v: &&Variant| names.is_empty() || names.contains(&v.name);
        Ok(self.all.iter().filter(wanted).collect())
    }

    /// Configuration of a variant.
    ///
    /// # Errors
    /// If `base` does not meet the file's conditions, or the variant is not possible with it.
    pub(crate) fn config(&self, variant: &Variant, base: &RunConfig) -> anyhow::Result<RunConfig> {
        let base = table(base)?;
        for need in &self.needs {
            let compared = Compared::of(&base, need)?;
            let Compared { key, found, wanted } = &compared;
            ensure!(
                compared.holds(),
                "{key}: is {found}, the ablation starts from {wanted}"
            );
        }
        untable(self.table(variant, &base)?)
    }

    fn table(&self, variant: &Variant, base: &Table) -> anyhow::Result<Table> {
        let before = match &variant.of {
            None => base.clone(),
            Some(of) => self.table(among(&self.all, of)?, base)?,
        };
        let mut changes = variant.changes.clone();
        for when in &variant.when {
            if Compared::of(&before, &when.is)?.holds() {
                changes.extend_from_slice(&when.changes);
            }
        }
        changed(&before, &changes)
    }
}

const EXAMPLE: &str = "[[variant]]\nname = \"plain\"\nabout = \"as it is\"\n\n\
    [[variant]]\nname = \"wide\"\nabout = \"twice as many neurons\"\nchanges = [\"network.hidden=[128, 128]\"]";

impl Variant {
    /// Checks that it is valid after the variants `before`.
    fn check(&self, before: &[Self]) -> anyhow::Result<()> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-+_.".contains(c);
        let fits = self.name.chars().all(plain) && self.name.starts_with(|c| plain(c) && c != '.');
        ensure!(
            fits,
            "name: becomes the name of a file; use letters, digits, '-', '+', '_' and '.'"
        );
        let taken = before.iter().any(|other| other.name == self.name);
        ensure!(!taken, "name: there is another of that name");
        let one_line = !self.about.chars().any(char::is_control);
        ensure!(one_line, "about: must be one line");
        if let Some(of) = &self.of {
            among(before, of).context("of, which is an earlier variant")?;
        }
        Ok(())
    }
}

fn among<'a>(variants: &'a [Variant], name: &str) -> anyhow::Result<&'a Variant> {
    let found = variants.iter().find(|variant| variant.name == name);
    found.ok_or_else(|| {
        let names: Vec<&str> = variants.iter().map(|v| v.name.as_str()).collect();
        let hint = did_you_mean(name, names.iter().copied());
        match names.is_empty() {
            true => anyhow!("there is no {name:?}"),
            false => anyhow!(
                "there is no {name:?}{hint}; there are: {}",
                names.join(", ")
            ),
        }
    })
}

#[cfg(test)]
mod tests;
