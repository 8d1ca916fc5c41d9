//! Observations on slices: floats, or the bytes of images.

use crate::Element;

/// Observations, row-major, of the type that the [`EnvSpec`](crate::EnvSpec) says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ObsRef<'a> {
    /// Numbers.
    Floats(&'a [f32]),
    /// Bytes.
    Bytes(&'a [u8]),
}

/// Room for observations, row-major, of the type that the [`EnvSpec`](crate::EnvSpec) says.
#[derive(Debug)]
pub enum ObsMut<'a> {
    /// Numbers.
    Floats(&'a mut [f32]),
    /// Bytes.
    Bytes(&'a mut [u8]),
}

/// Observations that somebody keeps, row-major.
#[derive(Clone, Debug, PartialEq)]
pub enum ObsBuf {
    /// Numbers.
    Floats(Vec<f32>),
    /// Bytes.
    Bytes(Vec<u8>),
}

impl Element {
    /// Of an environment's number from 0 to 255: what the policy sees of it.
    #[must_use]
    pub fn worth(self, byte: u8) -> f32 {
        match self {
            Self::Float => f32::from(byte),
            Self::Byte { unit } => f32::from(byte) * unit,
        }
    }

    /// The reverse of [`worth`](Self::worth).
    pub(crate) fn byte(self, worth: f32) -> u8 {
        match self {
            Self::Float => worth as u8,
            Self::Byte { unit } => (worth / unit).round() as u8,
        }
    }
}

impl<'a> ObsRef<'a> {
    /// The elements from `start` on, `len` of them.
    ///
    /// # Panics
    ///
    /// If there are not so many.
    #[must_use]
    pub fn part(self, start: usize, len: usize) -> Self {
        match self {
            Self::Floats(floats) => Self::Floats(&floats[start..][..len]),
            Self::Bytes(bytes) => Self::Bytes(&bytes[start..][..len]),
        }
    }

    /// As the policy sees them, of elements like `element`.
    #[must_use]
    pub fn to_floats(self, element: Element) -> Vec<f32> {
        match self {
            Self::Floats(floats) => floats.to_vec(),
            Self::Bytes(bytes) => bytes.iter().map(|byte| element.worth(*byte)).collect(),
        }
    }
}

impl ObsMut<'_> {
    /// The same room for a while.
    pub fn reborrow(&mut self) -> ObsMut<'_> {
        match self {
            Self::Floats(floats) => ObsMut::Floats(floats),
            Self::Bytes(bytes) => ObsMut::Bytes(bytes),
        }
    }

    /// What is in it.
    #[must_use]
    pub fn as_ref(&self) -> ObsRef<'_> {
        match self {
            Self::Floats(floats) => ObsRef::Floats(floats),
            Self::Bytes(bytes) => ObsRef::Bytes(bytes),
        }
    }

    /// Copies as many elements of the same type.
    ///
    /// # Panics
    ///
    /// If type or number differ.
    pub fn copy_from(&mut self, from: ObsRef<'_>) {
        match (self, from) {
            (Self::Floats(to), ObsRef::Floats(from)) => to.copy_from_slice(from),
            (Self::Bytes(to), ObsRef::Bytes(from)) => to.copy_from_slice(from),
            (Self::Floats(_), _) => panic!("bytes, where the specification says floats"),
            (Self::Bytes(_), _) => panic!("floats, where the specification says bytes"),
        }
    }
}

impl ObsBuf {
    /// Zeros.
    #[must_use]
    pub fn zeros(element: Element, len: usize) -> Self {
        match element {
            Element::Float => Self::Floats(vec![0.0; len]),
            Element::Byte { .. } => Self::Bytes(vec![0; len]),
        }
    }

    /// Nothing, with room for `len` elements.
    #[must_use]
    pub fn with_capacity(element: Element, len: usize) -> Self {
        match element {
            Element::Float => Self::Floats(Vec::with_capacity(len)),
            Element::Byte { .. } => Self::Bytes(Vec::with_capacity(len)),
        }
    }

    /// Number of elements.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Floats(floats) => floats.len(),
            Self::Bytes(bytes) => bytes.len(),
        }
    }

    /// True without elements.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What is kept.
    #[must_use]
    pub fn as_ref(&self) -> ObsRef<'_> {
        match self {
            Self::Floats(floats) => ObsRef::Floats(floats),
            Self::Bytes(bytes) => ObsRef::Bytes(bytes),
        }
    }

    /// Its room.
    pub fn as_mut(&mut self) -> ObsMut<'_> {
        match self {
            Self::Floats(floats) => ObsMut::Floats(floats),
            Self::Bytes(bytes) => ObsMut::Bytes(bytes),
        }
    }

    /// Removes all elements.
    pub fn clear(&mut self) {
        match self {
            Self::Floats(floats) => floats.clear(),
            Self::Bytes(bytes) => bytes.clear(),
        }
    }

    /// Adds elements of the same type at the end.
    ///
    /// # Panics
    ///
    /// If the type differs.
    pub fn extend(&mut self, more: ObsRef<'_>) {
        match (self, more) {
            (Self::Floats(to), ObsRef::Floats(from)) => to.extend_from_slice(from),
            (Self::Bytes(to), ObsRef::Bytes(from)) => to.extend_from_slice(from),
            (Self::Floats(_), _) => panic!("bytes after floats"),
            (Self::Bytes(_), _) => panic!("floats after bytes"),
        }
    }
}
