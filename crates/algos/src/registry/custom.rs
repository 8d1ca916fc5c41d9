//! Registry of user-defined algorithms for `[algo]`.

use super::{ALGORITHMS, AlgoConfig, algorithms};
use crate::Settings;
use serde::{Serialize, de::DeserializeOwned};
use std::{
    any::Any,
    fmt,
    sync::{PoisonError, RwLock},
};
use toml::{Table, Value};

/// The settings of a user-defined algorithm: a plain struct with defaults and the common
/// [`Settings`](crate::settings::Settings).
///
/// [`AlgoConfig::custom`] makes it the algorithm of a run. After [`register_algorithm`](crate::register_algorithm),
/// configurations select it by `name = "…"` in the `[algo]` table, and checkpoints can be read.
pub trait CustomSettings:
    Settings
    + Clone
    + fmt::Debug
    + Default
    + PartialEq
    + Serialize
    + DeserializeOwned
    + Send
    + Sync
    + 'static
{
    /// Name of the algorithm in configurations.
    const NAME: &'static str;
    /// One-line description.
    const ABOUT: &'static str;
}

/// Functions and names of a registered algorithm.
#[derive(Clone, Copy)]
struct Entry {
    name: &'static str,
    about: &'static str,
    read: fn(Table) -> Result<Custom, String>,
    default: fn() -> Custom,
}

static ENTRIES: RwLock<Vec<Entry>> = RwLock::new(Vec::new());

/// Registers a user-defined algorithm for configurations and checkpoints. Registering it again changes nothing.
///
/// # Panics
/// If another algorithm has the same name.
pub fn register_algorithm<S: CustomSettings>() {
    let name = S::NAME;
    let built_in = ALGORITHMS.iter().any(|(known, _)| *known == name);
    assert!(!built_in, "there is a built-in algorithm called {name:?}");
    let entry = Entry {
        name,
        about: S::ABOUT,
        read: |table| {
            Ok(Custom::new(
                Value::Table(table).try_into::<S>().map_err(said)?,
            ))
        },
        default: || Custom::new(S::default()),
    };
    let mut entries = ENTRIES.write().unwrap_or_else(PoisonError::into_inner);
    match entries.iter().find(|entry| entry.name == name) {
        Some(known) => assert!(
            (known.default)().is::<S>(),
            "two algorithms are called {name:?}"
        ),
        None => entries.push(entry),
    }
}

/// Names and descriptions of the registered algorithms.
pub(super) fn registered() -> Vec<(&'static str, &'static str)> {
    let entries = ENTRIES.read().unwrap_or_else(PoisonError::into_inner);
    entries
        .iter()
        .map(|entry| (entry.name, entry.about))
        .collect()
}

/// A registered algorithm with its default settings.
pub(super) fn default_for(name: &str) -> Option<Custom> {
    find(name).map(|entry| (entry.default)())
}

/// Reads an `[algo]` table; `None` if its algorithm is not registered.
pub(super) fn read(table: &mut Table) -> Option<Result<Custom, String>> {
    let entry = find(table.get("name")?.as_str()?)?;
    table.remove("name");
    Some((entry.read)(std::mem::take(table)))
}

/// An error in serde's wording, including the registered names, if an `[algo]` table names an unknown algorithm.
pub(super) fn known(table: &Table) -> Result<(), String> {
    let algorithms = algorithms();
    match table.get("name").and_then(Value::as_str) {
        Some(name) if algorithms.iter().all(|(known, _)| *known != name) => {
            let names: Vec<String> = (algorithms.iter())
                .map(|(known, _)| format!("`{known}`"))
                .collect();
            let names = names.join(", ");
            Err(format!("unknown variant `{name}`, expected one of {names}"))
        }
        _ => Ok(()),
    }
}

fn find(name: &str) -> Option<Entry> {
    let entries = ENTRIES.read().unwrap_or_else(PoisonError::into_inner);
    entries.iter().find(|entry| entry.name == name).copied()
}

/// Message of a deserialisation error.
pub(super) fn said(error: toml::de::Error) -> String {
    error.message().to_owned()
}

/// Type-erased settings of a user-defined algorithm.
pub struct Custom {
    name: &'static str,
    settings: Box<dyn AnySettings>,
}

impl Custom {
    fn new<S: CustomSettings>(settings: S) -> Self {
        Self {
            name: S::NAME,
            settings: Box::new(settings),
        }
    }

    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    pub(super) fn settings(&self) -> &dyn Settings {
        self.settings.settings()
    }

    fn is<S: CustomSettings>(&self) -> bool {
        self.settings.any().is::<S>()
    }

    /// The complete `[algo]` table.
    pub(super) fn table(&self) -> Result<Table, String> {
        let mut table = self.settings.table()?;
        table.insert("name".to_owned(), Value::String(self.name.to_owned()));
        Ok(table)
    }
}

impl AlgoConfig {
    /// A user-defined algorithm with these settings; registers it.
    ///
    /// # Panics
    /// Under the conditions of [`register_algorithm`].
    pub fn custom<S: CustomSettings>(settings: S) -> Self {
        register_algorithm::<S>();
        Self::Custom(Custom::new(settings))
    }

    /// The settings of a user-defined algorithm, if they are of this type.
    pub fn custom_settings<S: CustomSettings>(&self) -> Option<&S> {
        match self {
            Self::Custom(custom) => custom.settings.any().downcast_ref(),
            _ => None,
        }
    }
}

impl Clone for Custom {
    fn clone(&self) -> Self {
        Self {
            name: self.name,
            settings: self.settings.boxed(),
        }
    }
}

impl fmt::Debug for Custom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.settings.fmt(f)
    }
}

impl PartialEq for Custom {
    fn eq(&self, other: &Self) -> bool {
        self.settings.same(other.settings.any())
    }
}

/// [`CustomSettings`] with the type erased.
trait AnySettings: fmt::Debug + Send + Sync {
    fn settings(&self) -> &dyn Settings;
    fn any(&self) -> &dyn Any;
    fn same(&self, other: &dyn Any) -> bool;
    fn boxed(&self) -> Box<dyn AnySettings>;
    fn table(&self) -> Result<Table, String>;
}

impl<S: CustomSettings> AnySettings for S {
    fn settings(&self) -> &dyn Settings {
        self
    }

    fn any(&self) -> &dyn Any {
        self
    }

    fn same(&self, other: &dyn Any) -> bool {
        other.downcast_ref::<S>() == Some(self)
    }

    fn boxed(&self) -> Box<dyn AnySettings> {
        Box::new(self.clone())
    }

    fn table(&self) -> Result<Table, String> {
        Table::try_from(self).map_err(|error| error.to_string())
    }
}
