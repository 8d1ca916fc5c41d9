//! Observations on slices: floats, or the bytes of images.

use crate::Element;

/// Observations, row-major, of the element type in the [`EnvSpec`](crate::EnvSpec).
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ObsRef<'a> {
    /// Floats.
    Floats(&'a [f32]),
    /// Bytes.
    Bytes(&'a [u8]),
}

/// Buffer for observations, row-major, of the element type in the [`EnvSpec`](crate::EnvSpec).
#[derive(Debug)]
pub enum ObsMut<'a> {
    /// Floats.
    Floats(&'a mut [f32]),
    /// Bytes.
    Bytes(&'a mut [u8]),
}

/// Owned observations, row-major.
#[derive(Clone, Debug, PartialEq)]
pub enum ObsBuf {
    /// Floats.
    Floats(Vec<f32>),
    /// Bytes.
    Bytes(Vec<u8>),
}

impl Element {
    /// Number that the policy sees for a byte from an environment.
    #[must_use]
    pub fn worth(self, byte: u8) -> f32 {
        match self {
            Self::Float => f32::from(byte),
            Self::Byte { unit } => f32::from(byte) * unit,
        }
    }

    /// The inverse of [`worth`](Self::worth).
    pub(crate) fn byte(self, worth: f32) -> u8 {
        match self {
            Self::Float => worth as u8,
            Self::Byte { unit } => (worth / unit).round() as u8,
        }
    }
}

impl<'a> ObsRef<'a> {
    /// `len` elements starting at `start`.
    ///
    /// # Panics
    ///
    /// If there are fewer elements.
    #[must_use]
    pub fn part(self, start: usize, len: usize) -> Self {
        match self {
            Self::Floats(floats) => Self::Floats(&floats[start..][..len]),
            Self::Bytes(bytes) => Self::Bytes(&bytes[start..][..len]),
        }
    }

    /// Floats as the policy sees them, for elements of type `element`.
    #[must_use]
    pub fn to_floats(self, element: Element) -> Vec<f32> {
        match self {
            Self::Floats(floats) => floats.to_vec(),
            Self::Bytes(bytes) => bytes.iter().map(|byte| element.worth(*byte)).collect(),
        }
    }
}

impl ObsMut<'_> {
    /// The same buffer for a shorter lifetime.
    pub fn reborrow(&mut self) -> ObsMut<'_> {
        match self {
            Self::Floats(floats) => ObsMut::Floats(floats),
            Self::Bytes(bytes) => ObsMut::Bytes(bytes),
        }
    }

    /// The contents.
    #[must_use]
    pub fn as_ref(&self) -> ObsRef<'_> {
        match self {
            Self::Floats(floats) => ObsRef::Floats(floats),
            Self::Bytes(bytes) => ObsRef::Bytes(bytes),
        }
    }

    /// Copies all elements from `from`, which must have the same type and number.
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
    /// `len` zeros.
    #[must_use]
    pub fn zeros(element: Element, len: usize) -> Self {
        match element {
            Element::Float => Self::Floats(vec![0.0; len]),
            Element::Byte { .. } => Self::Bytes(vec![0; len]),
        }
    }

    /// No elements, with capacity for `len`.
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

    /// Whether there are no elements.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The contents.
    #[must_use]
    pub fn as_ref(&self) -> ObsRef<'_> {
        match self {
            Self::Floats(floats) => ObsRef::Floats(floats),
            Self::Bytes(bytes) => ObsRef::Bytes(bytes),
        }
    }

    /// The contents as a buffer.
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

    /// Appends elements of the same type.
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
