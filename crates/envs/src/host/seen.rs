//! Current observations of every copy, with stacked frames.

use crate::{Element, EnvError, EnvState, ObsBuf, ObsMut, ObsRef, ObsSpace};

/// Name under which stacked observations are saved.
const FRAMES: &str = "frames";

/// The observations of `N` copies, the last `F` of each in one row, oldest first.
pub(super) struct Seen {
    frames: usize,
    /// Width `O` of one observation.
    width: usize,
    element: Element,
    /// The newest observations `[N, O]`, as the copies write them, if frames are stacked; otherwise empty.
    newest: ObsBuf,
    /// Stacked observations `[N, F, O]`.
    stack: ObsBuf,
}

impl Seen {
    pub(super) fn new(obs: &ObsSpace, frames: usize, copies: usize) -> Self {
        let (width, element) = (obs.dim(), obs.element);
        let newest = if frames > 1 { copies * width } else { 0 };
        Self {
            frames,
            width,
            element,
            newest: ObsBuf::zeros(element, newest),
            stack: ObsBuf::zeros(element, copies * frames * width),
        }
    }

    /// Stacked observations `[N, F · O]`.
    pub(super) fn obs(&self) -> ObsRef<'_> {
        self.stack.as_ref()
    }

    /// Number of elements, `N · F · O`.
    pub(super) fn len(&self) -> usize {
        self.stack.len()
    }

    /// Buffer for the observations of copies that are reset or restored, `[N, O]`.
    pub(super) fn newest(&mut self) -> ObsMut<'_> {
        if self.frames > 1 {
            self.newest.as_mut()
        } else {
            self.stack.as_mut()
        }
    }

    /// Buffer for the copies' observations after a step, `[N, O]`; `next_obs` is the buffer for the policy's, `[N, F ·
    /// O]`.
    pub(super) fn after_step<'a>(&'a mut self, next_obs: &'a mut ObsMut<'_>) -> ObsMut<'a> {
        if self.frames > 1 {
            self.newest.as_mut()
        } else {
            next_obs.reborrow()
        }
    }

    /// Appends the newest observation of every copy, drops the oldest, and writes the stacked observations to
    /// `next_obs` `[N, F · O]`.
    pub(super) fn push(&mut self, next_obs: &mut ObsMut<'_>) {
        if self.frames == 1 {
            return self.stack.as_mut().copy_from(next_obs.as_ref());
        }
        self.push_newest();
        next_obs.copy_from(self.stack.as_ref());
    }

    fn push_newest(&mut self) {
        let sizes = [self.frames, self.width];
        match (&mut self.stack, &self.newest) {
            (ObsBuf::Floats(stack), ObsBuf::Floats(newest)) => push(stack, newest, sizes),
            (ObsBuf::Bytes(stack), ObsBuf::Bytes(newest)) => push(stack, newest, sizes),
            _ => unreachable!("both are of the type of the specification"),
        }
    }

    /// Fills the stacks of the copies that `which` `[N]` names with their newest observation.
    pub(super) fn begin(&mut self, which: &[bool]) {
        if self.frames == 1 {
            return;
        }
        let sizes = [self.frames, self.width];
        match (&mut self.stack, &self.newest) {
            (ObsBuf::Floats(stack), ObsBuf::Floats(newest)) => fill(stack, newest, which, sizes),
            (ObsBuf::Bytes(stack), ObsBuf::Bytes(newest)) => fill(stack, newest, which, sizes),
            _ => unreachable!("both are of the type of the specification"),
        }
    }

    /// The last `n` components of copy `copy`'s observation: its mask of allowed actions.
    pub(super) fn mask(&self, copy: usize, n: usize) -> Vec<f32> {
        let end = (copy + 1) * self.frames * self.width;
        self.obs().part(end - n, n).to_floats(self.element)
    }

    /// Whether the mask in copy `copy`'s observation allows `action` of `n`.
    pub(super) fn allows(&self, copy: usize, n: usize, action: usize) -> bool {
        let at = (copy + 1) * self.frames * self.width - n + action;
        match &self.stack {
            ObsBuf::Floats(floats) => floats[at] == 1.0,
            ObsBuf::Bytes(bytes) => self.element.worth(bytes[at]) == 1.0,
        }
    }

    /// Adds stacked observations to a saved state, as the policy sees them; a single one follows from the states of the
    /// copies.
    pub(super) fn add_to(&self, state: &mut EnvState) {
        if self.frames > 1 {
            let frames = self.obs().to_floats(self.element);
            state.floats.insert(FRAMES.to_owned(), frames);
        }
    }

    /// The stacked observations in a saved state.
    pub(super) fn stack_in<'a>(&self, state: &'a EnvState) -> Result<Option<&'a [f32]>, EnvError> {
        if self.frames == 1 {
            return Ok(None);
        }
        let found = state.floats.get(FRAMES).map_or(&[][..], Vec::as_slice);
        if found.len() != self.len() {
            return Err(EnvError::BadState {
                key: FRAMES.to_owned(),
                expected: format!("{} numbers", self.len()),
                found: format!("{} numbers", found.len()),
            });
        }
        Ok(Some(found))
    }

    /// Restores saved observations; `None` if there are no stacked frames.
    pub(super) fn restore(&mut self, saved: Option<&[f32]>) {
        let Some(saved) = saved else { return };
        match &mut self.stack {
            ObsBuf::Floats(stack) => stack.copy_from_slice(saved),
            ObsBuf::Bytes(stack) => {
                for (byte, worth) in stack.iter_mut().zip(saved) {
                    *byte = self.element.byte(*worth);
                }
            }
        }
    }
}

fn push<T: Copy>(stack: &mut [T], newest: &[T], [frames, width]: [usize; 2]) {
    let rows = newest.chunks_exact(width);
    for (stack, newest) in stack.chunks_exact_mut(frames * width).zip(rows) {
        stack.copy_within(width.., 0);
        stack[(frames - 1) * width..].copy_from_slice(newest);
    }
}

fn fill<T: Copy>(stack: &mut [T], newest: &[T], which: &[bool], [frames, width]: [usize; 2]) {
    let rows = newest.chunks_exact(width).zip(which);
    for (stack, (newest, which)) in stack.chunks_exact_mut(frames * width).zip(rows) {
        if *which {
            (stack.chunks_exact_mut(width)).for_each(|frame| frame.copy_from_slice(newest));
        }
    }
}
