//! Kernels that copy several tensors in one launch.

use super::gradient::Samples;
use crate::layers::UNITS;
use cubecl::prelude::*;

/// State that an update changes, see [`State`](crate::ops::State).
#[derive(CubeType, CubeLaunch)]
pub(super) struct Changing {
    pub(super) actor: Box<[f32]>,
    pub(super) critic: Box<[f32]>,
    pub(super) first: Box<[f32]>,
    pub(super) second: Box<[f32]>,
    pub(super) scalars: Box<[f32]>,
}

/// Copies `from` to `to`, for networks with these numbers of parameters and this number of scalars.
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

/// Copies `from` to `to`, for `batch` samples with these numbers of columns of observations and actions.
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

/// Copies the `len` elements of `from` to `to`.
#[cube(launch)]
pub(super) fn copy_keys_kernel(to: &mut [u32], from: &[u32], len: usize) {
    if ABSOLUTE_POS < len {
        to[ABSOLUTE_POS] = from[ABSOLUTE_POS];
    }
}

/// Copies the part of one thread: every n-th of `len` elements for n threads.
#[cube]
fn copy(to: &mut [f32], from: &[f32], len: usize) {
    let mut at = ABSOLUTE_POS;
    while at < len {
        to[at] = from[at];
        at += CUBE_COUNT * UNITS;
    }
}
