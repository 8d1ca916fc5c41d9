//! Copies of several tensors in one launch.

use super::gradient::Samples;
use crate::layers::UNITS;
use cubecl::prelude::*;

/// What an update changes, see [`State`](crate::ops::State).
#[derive(CubeType, CubeLaunch)]
pub(super) struct Changing {
    pub(super) actor: Box<[f32]>,
    pub(super) critic: Box<[f32]>,
    pub(super) first: Box<[f32]>,
    pub(super) second: Box<[f32]>,
    pub(super) scalars: Box<[f32]>,
}

/// Writes `from` over `to`, whose networks have so many parameters, and so many scalars.
#[cube(launch)]
pub(super) fn copy_state_kernel(
    to: &mut Changing,
    from: &Changing,
    actor: usize,
    critic: usize,
    scalars: usize,
) {
    copy(&mut to.actor, &from.actor, actor);
    copy(&mut to.critic, &from.critic, critic);
    copy(&mut to.first, &from.first, actor + critic);
    copy(&mut to.second, &from.second, actor + critic);
    copy(&mut to.scalars, &from.scalars, scalars);
}

/// Writes `from` over `to`, for `batch` samples with so many columns of observations and actions.
#[cube(launch)]
pub(super) fn copy_samples_kernel(
    to: &mut Samples,
    from: &Samples,
    batch: usize,
    obs: usize,
    actions: usize,
) {
    copy(&mut to.obs, &from.obs, batch * obs);
    copy(&mut to.actions, &from.actions, batch * actions);
    copy(&mut to.log_probs, &from.log_probs, batch);
    copy(&mut to.values, &from.values, batch);
    copy(&mut to.advantages, &from.advantages, batch);
    copy(&mut to.returns, &from.returns, batch);
}

/// Writes the `len` elements of `from` over `to`.
#[cube(launch)]
pub(super) fn copy_keys_kernel(to: &mut [u32], from: &[u32], len: usize) {
    if ABSOLUTE_POS < len {
        to[ABSOLUTE_POS] = from[ABSOLUTE_POS];
    }
}

/// The part of one thread; each takes every so many of `len` elements.
#[cube]
fn copy(to: &mut [f32], from: &[f32], len: usize) {
    let mut at = ABSOLUTE_POS;
    while at < len {
        to[at] = from[at];
        at += CUBE_COUNT * UNITS;
    }
}
