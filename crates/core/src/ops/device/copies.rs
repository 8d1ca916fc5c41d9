//! Copies of several tensors in one launch.

use super::gradient::Samples;
use super::layers::UNITS;
use cubecl::prelude::*;

/// What an update changes, see [`State`](super::backend::State).
#[derive(CubeType, CubeLaunch)]
pub(super) struct Changing {
    pub(super) actor: Box<[f32]>,
    pub(super) critic: Box<[f32]>,
    pub(super) first: Box<[f32]>,
    pub(super) second: Box<[f32]>,
    pub(super) scalars: Box<[f32]>,
}

/// Writes `from` over `to`.
#[cube(launch)]
pub(super) fn copy_state_kernel(to: &mut Changing, from: &Changing) {
    copy(&mut to.actor, &from.actor);
    copy(&mut to.critic, &from.critic);
    copy(&mut to.first, &from.first);
    copy(&mut to.second, &from.second);
    copy(&mut to.scalars, &from.scalars);
}

/// Writes `from` over `to`.
#[cube(launch)]
pub(super) fn copy_samples_kernel(to: &mut Samples, from: &Samples) {
    copy(&mut to.obs, &from.obs);
    copy(&mut to.actions, &from.actions);
    copy(&mut to.log_probs, &from.log_probs);
    copy(&mut to.values, &from.values);
    copy(&mut to.advantages, &from.advantages);
    copy(&mut to.returns, &from.returns);
}

/// Writes `from` over `to`.
#[cube(launch)]
pub(super) fn copy_keys_kernel(to: &mut [u32], from: &[u32]) {
    if ABSOLUTE_POS < from.len() {
        to[ABSOLUTE_POS] = from[ABSOLUTE_POS];
    }
}

/// The part of one thread; each takes every so many elements.
#[cube]
fn copy(to: &mut [f32], from: &[f32]) {
    let mut at = ABSOLUTE_POS;
    while at < from.len() {
        to[at] = from[at];
        at += CUBE_COUNT * UNITS;
    }
}
