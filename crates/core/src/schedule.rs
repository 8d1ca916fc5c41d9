//! Schedules: settings that are constant or linear in training progress.

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error, MapAccess, Visitor},
    ser::SerializeMap,
};
use std::fmt;

/// A constant, or a linear function of training progress. In a configuration: `3e-4`, or `{ from = 3e-4, to = 0.0 }`.
///
/// ```
/// use uphill_core::schedule::Schedule;
///
/// let falling = Schedule::Linear { from: 1e-3, to: 0.0 };
/// assert_eq!(falling.at(0.5), 5e-4);
/// assert_eq!(Schedule::from(0.2).at(0.9), 0.2);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Schedule {
    /// The same value throughout.
    Constant(f64),
    /// Linear in progress.
    Linear {
        /// Value at the start.
        from: f64,
        /// Value at the end.
        to: f64,
    },
}

impl Schedule {
    /// Value at `progress`, clamped to 0..=1.
    pub fn at(self, progress: f64) -> f64 {
        match self {
            Self::Constant(value) => value,
            Self::Linear { from, to } => from + (to - from) * progress.clamp(0.0, 1.0),
        }
    }

    /// Smallest value over training.
    pub fn min(self) -> f64 {
        self.at(0.0).min(self.at(1.0))
    }

    /// Largest value over training.
    pub fn max(self) -> f64 {
        self.at(0.0).max(self.at(1.0))
    }
}

/// The notation of configurations.
impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Constant(value) => write!(f, "{value}"),
            Self::Linear { from, to } => write!(f, "{{ from = {from}, to = {to} }}"),
        }
    }
}

impl From<f64> for Schedule {
    fn from(value: f64) -> Self {
        Self::Constant(value)
    }
}

impl Serialize for Schedule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Constant(value) => serializer.serialize_f64(*value),
            Self::Linear { from, to } => {
                let mut map = serializer.serialize_map(Some(2))?;
                map.serialize_entry("from", from)?;
                map.serialize_entry("to", to)?;
                map.end()
            }
        }
    }
}

impl<'de> Deserialize<'de> for Schedule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ScheduleVisitor)
    }
}

/// Implemented manually, because serde's untagged enums report every mistake with the same uninformative message.
struct ScheduleVisitor;

impl<'de> Visitor<'de> for ScheduleVisitor {
    type Value = Schedule;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number, or a table { from = …, to = … }")
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Schedule, E> {
        Ok(Schedule::Constant(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Schedule, E> {
        Ok(Schedule::Constant(value as f64))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Schedule, E> {
        Ok(Schedule::Constant(value as f64))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Schedule, A::Error> {
        let (mut from, mut to) = (None, None);
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "from" => from = Some(map.next_value()?),
                "to" => to = Some(map.next_value()?),
                other => return Err(A::Error::unknown_field(other, &["from", "to"])),
            }
        }
        Ok(Schedule::Linear {
            from: from.ok_or_else(|| A::Error::missing_field("from"))?,
            to: to.ok_or_else(|| A::Error::missing_field("to"))?,
        })
    }
}
