//! Current observations of every copy, with stacked frames.

use crate::{Element, EnvError, EnvState, ObsMut, ObsSpace};

/// Name under which stacked observations are saved.
const FRAMES: &str = "frames";

/// The observations of `N` copies, the last `F` of each in one row, oldest first.
pub(super) struct Seen {
    frames: usize,
    /// Width `O` of one observation.
    width: usize,
    newest: Newest,
    /// Stacked observations `[N, F, O]`.
    stack: Vec<f32>,
}

/// The newest observations `[N, O]`, in the type that the copies write.
enum Newest {
    Floats(Vec<f32>),
    /// Bytes, and the factor from a byte to a number.
    Bytes(Vec<u8>, f32),
}

impl Newest {
    fn write(&self, row: usize, width: usize, to: &mut [f32]) {
        let row = row * width..(row + 1) * width;
        match self {
            Self::Floats(values) => to.copy_from_slice(&values[row]),
            Self::Bytes(values, unit) => {
                for (to, byte) in to.iter_mut().zip(&values[row]) {
                    *to = f32::from(*byte) * unit;
                }
            }
        }
    }
}

impl Seen {
    pub(super) fn new(obs: &ObsSpace, frames: usize, copies: usize) -> Self {
        let width = obs.dim();
        Self {
            frames,
            width,
            newest: match obs.element {
                Element::Float => Newest::Floats(vec![0.0; copies * width]),
                Element::Byte { unit } => Newest::Bytes(vec![0; copies * width], unit),
            },
            stack: vec![0.0; copies * frames * width],
        }
    }

    /// Stacked observations `[N, F · O]`.
    pub(super) fn floats(&self) -> &[f32] {
        &self.stack
    }

    /// Buffer for the next observations `[N, O]`.
    pub(super) fn newest(&mut self) -> ObsMut<'_> {
        match &mut self.newest {
            Newest::Floats(values) => ObsMut::Floats(values),
            Newest::Bytes(values, _) => ObsMut::Bytes(values),
        }
    }

    /// Appends the newest observation of every copy and drops the oldest.
    pub(super) fn push(&mut self) {
        let Self { frames, width, .. } = *self;
        if let (1, Newest::Floats(values)) = (frames, &self.newest) {
            return self.stack.copy_from_slice(values);
        }
        for (row, stack) in self.stack.chunks_exact_mut(frames * width).enumerate() {
            stack.copy_within(width.., 0);
            (self.newest).write(row, width, &mut stack[(frames - 1) * width..]);
        }
    }

    /// Fills the stacks of the copies selected by `which` `[N]` with their newest observation.
    pub(super) fn begin(&mut self, which: &[bool]) {
        let Self { frames, width, .. } = *self;
        let stacks = self.stack.chunks_exact_mut(frames * width);
        for (row, (stack, _)) in stacks
            .zip(which)
            .enumerate()
            .filter(|(_, (_, which))| **which)
        {
            for frame in stack.chunks_exact_mut(width) {
                self.newest.write(row, width, frame);
            }
        }
    }

    /// Writes the stacked observations to `to` `[N, F · O]`.
    pub(super) fn write(&self, to: &mut [f32]) {
        to.copy_from_slice(&self.stack);
    }

    /// The last `n` components of copy `copy`'s observation: its mask of allowed actions.
    pub(super) fn mask(&self, copy: usize, n: usize) -> &[f32] {
        let end = (copy + 1) * self.frames * self.width;
        &self.stack[end - n..end]
    }

    /// Adds stacked observations to a saved state; a single one follows from the states of the copies.
    pub(super) fn add_to(&self, state: &mut EnvState) {
        if self.frames > 1 {
            (state.floats).insert(FRAMES.to_owned(), self.stack.clone());
        }
    }

    /// The stacked observations in a saved state.
    pub(super) fn stack_in<'a>(&self, state: &'a EnvState) -> Result<Option<&'a [f32]>, EnvError> {
        if self.frames == 1 {
            return Ok(None);
        }
        let found = state.floats.get(FRAMES).map_or(&[][..], Vec::as_slice);
        if found.len() != self.stack.len() {
            return Err(EnvError::BadState {
                key: FRAMES.to_owned(),
                expected: format!("{} numbers", self.stack.len()),
                found: format!("{} numbers", found.len()),
            });
        }
        Ok(Some(found))
    }

    /// Restores saved observations; `None` if there are no stacked frames.
    pub(super) fn restore(&mut self, stack: Option<&[f32]>) {
        match stack {
            Some(stack) => self.stack.copy_from_slice(stack),
            None => self.push(),
        }
    }
}
