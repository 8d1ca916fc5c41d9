//! Stub of the cohort for builds without GPU backends.

use crate::{Report, StepError, Trainer, checkpoint::Checkpoint};
use std::convert::Infallible;

/// Agents trained together on a GPU; uninhabited in this build.
#[derive(Debug)]
pub struct Cohort(Infallible);

impl Cohort {
    /// Always `None`.
    pub fn of(_: &mut [&mut Trainer]) -> Option<Self> {
        None
    }

    /// Cannot be called.
    pub fn step(&mut self, _: &mut [&mut Trainer]) -> Vec<Result<Report, StepError>> {
        match self.0 {}
    }

    /// Cannot be called.
    pub fn save(&mut self, _: &Trainer) -> Checkpoint {
        match self.0 {}
    }
}
