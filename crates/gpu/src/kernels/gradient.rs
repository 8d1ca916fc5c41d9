//! Kernel for the gradient of an actor-critic loss over a minibatch, in one launch.
//!
//! Each cube carries tiles of samples through one of the two networks and back, and writes its partial sums.

use super::losses::{policy_row, value_row};
use super::shuffle::{bits, shuffled};
use super::tile::{backward, forward, load_weights, store_gradient, write_ones};
use crate::layers::UNITS;
use crate::plan::{Plan, measured};
use cubecl::prelude::*;

/// A batch of each agent: observations `[S, B, O]`, actions `[S, B, A]`, the others `[S, B]`.
#[derive(CubeType, CubeLaunch)]
pub(super) struct Samples {
    pub(super) obs: Box<[f32]>,
    pub(super) actions: Box<[f32]>,
    pub(super) log_probs: Box<[f32]>,
    pub(super) values: Box<[f32]>,
    pub(super) advantages: Box<[f32]>,
    pub(super) returns: Box<[f32]>,
}

/// The network that a cube processes.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
enum Side {
    Actor,
    Critic,
}

/// Position of a minibatch, and data of all minibatches: the numbers at [`scalar`](crate::plan::scalar) of each agent,
/// mean and inverse standard deviation of the advantages of each minibatch in `spread` `[E, M, S, 2]`, and the two
/// halves of the key of each epoch's order in `keys` `[E, S, 2]`.
#[derive(CubeType, CubeLaunch)]
pub(super) struct Minibatch {
    pub(super) scalars: Box<[f32]>,
    pub(super) spread: Box<[f32]>,
    pub(super) keys: Box<[u32]>,
    pub(super) epoch: u32,
    pub(super) part: u32,
}

/// Shared memory of a cube.
#[derive(CubeType)]
pub(super) struct Room {
    weights: Shared<[f32]>,
    /// Inputs and outputs of every layer, see [`tile`](super::tile).
    pub(super) tile: Shared<[f32]>,
    /// Columns that are only summed over samples, `[rows, extra_stride]`.
    pub(super) extra: Shared<[f32]>,
    /// Indices of the samples in the tile, `[rows]`.
    pub(super) chosen: Shared<[u32]>,
}

/// Writes the partial gradients and measurements `[S, groups, partial]` of one minibatch. Cubes (g, 0, s) process the
/// actor of agent s, cubes (g, 1, s) its critic.
#[cube(launch)]
pub(super) fn gradient_kernel(
    samples: &Samples,
    actor: &[f32],
    critic: &[f32],
    minibatch: &Minibatch,
    partials: &mut [f32],
    #[comptime] plan: Plan,
) {
    let mut room = Room {
        weights: Shared::<[f32]>::new_slice(comptime!(plan.shared_weights())),
        tile: Shared::<[f32]>::new_slice(comptime!(plan.shared_values())),
        extra: Shared::<[f32]>::new_slice(comptime!(plan.rows * plan.extra_stride())),
        chosen: Shared::<[u32]>::new_slice(comptime!(plan.rows)),
    };
    if CUBE_POS_Y == 0 {
        network_gradient(
            samples,
            actor,
            minibatch,
            partials,
            &mut room,
            Side::Actor,
            plan,
        );
    } else {
        network_gradient(
            samples,
            critic,
            minibatch,
            partials,
            &mut room,
            Side::Critic,
            plan,
        );
    }
}

/// Work of one cube.
#[cube]
fn network_gradient(
    samples: &Samples,
    params: &[f32],
    minibatch: &Minibatch,
    partials: &mut [f32],
    room: &mut Room,
    #[comptime] side: Side,
    #[comptime] plan: Plan,
) {
    let is_actor = comptime!(side == Side::Actor);
    let layers = comptime!(if side == Side::Actor {
        plan.actor
    } else {
        plan.critic
    });
    let columns = comptime!(if side == Side::Actor { plan.extra() } else { 1 });
    let rows = comptime!(plan.rows);
    let len = comptime!(plan.len());
    let inputs = comptime!(layers.inputs(0));
    let stride = comptime!(layers.stride(0));
    let unit = UNIT_POS as usize;

    let agent = CUBE_POS_Z as usize;
    load_weights(
        params,
        agent * comptime!(layers.num_params()),
        &mut room.weights,
        layers,
    );
    write_ones(&mut room.tile, rows, layers);
    let mut sums = Array::<f32>::new(comptime!(layers.sums(layers.count)));
    #[unroll]
    for e in 0..comptime!(layers.sums(layers.count)) {
        sums[e] = 0.0f32;
    }
    let mut total = 0.0f32;
    let order = 2 * (minibatch.epoch as usize * plan.agents + agent);
    let key = minibatch.keys[order];
    let other_key = minibatch.keys[order + 1];
    let own = CUBE_POS_Z * comptime!(plan.batch as u32);

    let mut first = CUBE_POS_X as usize * rows;
    while first < len {
        sync_cube();
        if unit < rows {
            let mut row = own;
            if first + unit < len {
                let start = minibatch.part * comptime!(plan.len() as u32);
                let position = start + (first + unit) as u32;
                let batch = comptime!(plan.batch as u32);
                row += shuffled(position, batch, key, other_key, comptime!(bits(plan.batch)));
            }
            room.chosen[unit] = row;
        }
        sync_cube();
        let mut e = unit;
        while e < comptime!(rows * inputs) {
            let row = e / inputs;
            let mut x = 0.0f32;
            if first + row < len {
                x = samples.obs[room.chosen[row] as usize * inputs + e % inputs];
            }
            room.tile[row * stride + e % inputs] = x;
            e += UNITS;
        }
        forward(&room.weights, &mut room.tile, rows, layers);
        if unit < rows {
            let is_sample = first + unit < len;
            if is_actor {
                policy_row(samples, params, minibatch, room, unit, is_sample, plan);
            } else {
                value_row(samples, minibatch, room, unit, is_sample, plan);
            }
        }
        sync_cube();
        if unit < columns {
            for row in 0..rows {
                total += room.extra[row * comptime!(plan.extra_stride()) + unit];
            }
        }
        backward(&room.weights, &mut room.tile, &mut sums, rows, layers);
        first += comptime!(plan.groups() * plan.rows);
    }

    let group = agent * comptime!(plan.groups()) + CUBE_POS_X as usize;
    let to = group * comptime!(plan.partial());
    if is_actor {
        store_gradient(&sums, partials, to, layers);
        let log_stds = comptime!(layers.log_stds);
        if unit < log_stds {
            partials[to + comptime!(layers.params(layers.count)) + unit] = total;
        } else if unit < columns {
            partials[to + comptime!(plan.num_params()) + unit - log_stds] = total;
        }
    } else {
        store_gradient(
            &sums,
            partials,
            to + comptime!(plan.actor.num_params()),
            layers,
        );
        if unit < columns {
            partials[to + comptime!(plan.num_params() + measured::VALUE_LOSS)] = total;
        }
    }
}
