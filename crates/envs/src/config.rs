//! Name and options of an environment, as a configuration gives them.

use std::fmt;

use serde::de::{DeserializeOwned, Error as _, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use crate::EnvError;

/// Key of the name in a table of options.
const NAME: &str = "name";

/// Name and options of an environment.
///
/// In a file it is the name alone, `env = "CartPole-v1"`, or a table with the name and the options of this environment:
///
/// ```toml
/// [env]
/// name = "gym:FrozenLake-v1"
/// map_name = "8x8"
/// ```
///
/// Every function of this crate that takes an environment accepts this or the name alone.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EnvConfig {
    /// Name with its scheme, if it has one: `gym:FrozenLake-v1`.
    pub name: String,
    /// Options without the name.
    pub options: Map<String, Value>,
}

impl EnvConfig {
    /// The configuration with an option added or replaced.
    ///
    /// ```
    /// use uphill_envs::{EnvConfig, spec};
    ///
    /// let env = EnvConfig::from("ProbeImage-v0").with("side", 12);
    /// assert_eq!(spec(env).map(|spec| spec.obs.shape), Ok(vec![1, 12, 12]));
    /// ```
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.options.insert(key.to_owned(), value.into());
        self
    }

    /// The parts of the name before and after its first colon; `None` without a colon.
    #[must_use]
    pub fn scheme(&self) -> Option<(&str, &str)> {
        self.name.split_once(':')
    }

    /// Deserialises the options into a struct with `#[serde(default, deny_unknown_fields)]`, often the environment
    /// itself.
    ///
    /// # Errors
    ///
    /// [`EnvError::Options`] for an unknown option or an invalid value.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, EnvError> {
        let options = Value::Object(self.options.clone());
        serde_json::from_value(options).map_err(|problem| self.bad(problem.to_string()))
    }

    /// Checks that there are no options.
    ///
    /// # Errors
    ///
    /// [`EnvError::Options`] with the first option, if there is one.
    pub fn no_options(&self) -> Result<(), EnvError> {
        match self.options.keys().next() {
            None => Ok(()),
            Some(key) => Err(self.bad(format!("unknown option `{key}`; it has none"))),
        }
    }

    /// An error about the options.
    #[must_use]
    pub fn bad(&self, problem: String) -> EnvError {
        EnvError::Options {
            name: self.name.clone(),
            problem,
        }
    }
}

impl From<&str> for EnvConfig {
    fn from(name: &str) -> Self {
        name.to_owned().into()
    }
}

impl From<&&str> for EnvConfig {
    fn from(name: &&str) -> Self {
        (*name).to_owned().into()
    }
}

impl From<&String> for EnvConfig {
    fn from(name: &String) -> Self {
        name.clone().into()
    }
}

impl From<String> for EnvConfig {
    fn from(name: String) -> Self {
        Self {
            name,
            options: Map::new(),
        }
    }
}

impl From<&EnvConfig> for EnvConfig {
    fn from(env: &EnvConfig) -> Self {
        env.clone()
    }
}

impl fmt::Display for EnvConfig {
    /// The name, followed by the options in brackets if there are any.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.options.is_empty() {
            return f.pad(&self.name);
        }
        let options = self.options.iter();
        let options: Vec<_> = options
            .map(|(key, value)| format!("{key} = {value}"))
            .collect();
        f.pad(&format!("{} ({})", self.name, options.join(", ")))
    }
}

impl Serialize for EnvConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.options.is_empty() {
            return serializer.serialize_str(&self.name);
        }
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry(NAME, &self.name)?;
        for (key, value) in &self.options {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for EnvConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NameOrTable)
    }
}

struct NameOrTable;

impl<'de> Visitor<'de> for NameOrTable {
    type Value = EnvConfig;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of an environment, or a table with `name` and its options")
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<EnvConfig, E> {
        Ok(name.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<EnvConfig, A::Error> {
        let mut env = EnvConfig::default();
        let mut name = None;
        while let Some(key) = map.next_key::<String>()? {
            if key == NAME {
                name = Some(map.next_value()?);
            } else {
                env.options.insert(key, map.next_value()?);
            }
        }
        env.name = name.ok_or_else(|| A::Error::missing_field(NAME))?;
        Ok(env)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<EnvConfig, String> {
        serde_json::from_str(json).map_err(|error| error.to_string())
    }

    #[test]
    fn a_name_alone_and_a_table_are_read_and_written_as_they_were() {
        for (json, shown) in [
            (r#""CartPole-v1""#, "CartPole-v1"),
            (r#"{"name":"A","side":8}"#, "A (side = 8)"),
        ] {
            let env = read(json).unwrap();
            assert_eq!(serde_json::to_string(&env).unwrap(), json);
            assert_eq!(env.to_string(), shown);
        }
        assert_eq!(read(r#"{"name":"A"}"#), Ok("A".into()));
        let error = read("8").unwrap_err();
        assert!(error.contains("the name of an environment"), "{error}");
        let error = read(r#"{"side":8}"#).unwrap_err();
        assert!(error.contains("missing field `name`"), "{error}");
    }

    #[test]
    fn options_are_read_into_a_struct_that_knows_them() {
        #[derive(Debug, Default, PartialEq, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        struct Lake {
            side: u32,
            slippery: bool,
        }
        let lake = |json: &str| read(json).unwrap().read::<Lake>();
        assert_eq!(lake(r#""Lake""#), Ok(Lake::default()));
        let expected = Lake {
            side: 4,
            slippery: true,
        };
        let json = r#"{"name":"Lake","side":4,"slippery":true}"#;
        assert_eq!(lake(json), Ok(expected));
        let built = EnvConfig::from("Lake")
            .with("side", 4)
            .with("slippery", true);
        assert_eq!(built, read(json).unwrap());
        let error = |json| lake(json).unwrap_err().to_string();
        assert_eq!(
            error(r#"{"name":"Lake","sidee":4}"#),
            "environment `Lake`: unknown field `sidee`, expected `side` or `slippery`"
        );
        let wrong = error(r#"{"name":"Lake","side":-1}"#);
        assert!(wrong.starts_with("environment `Lake`: invalid value: integer `-1`"));
        let none = read(json).unwrap().no_options().unwrap_err().to_string();
        assert_eq!(
            none,
            "environment `Lake`: unknown option `side`; it has none"
        );
    }
}
