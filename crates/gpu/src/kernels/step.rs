//! Kernels for an optimiser step: sums of partial gradients, clipping, Adam.

use super::shuffle::{bits, shuffled};
use super::sums::{AHEAD, sum_up, total};
use crate::layers::UNITS;
use crate::plan::{COLUMNS, Plan, SLICES, measured, reported, scalar};
use cubecl::prelude::*;

/// This thread's part of Σ (A − `mean`)ᵖ over the minibatch of agent `CUBE_POS_Z` that begins at `start` in the order
/// of `epoch`, with p = 2 if `squared`, else 1.
#[cube]
fn part(
    advantages: &[f32],
    keys: &[u32],
    epoch: usize,
    start: usize,
    mean: f32,
    #[comptime] squared: bool,
    #[comptime] plan: Plan,
) -> f32 {
    let len = comptime!(plan.len());
    let batch = comptime!(plan.batch as u32);
    let bits = comptime!(bits(plan.batch));
    let order = 2 * (epoch * plan.agents + CUBE_POS_Z as usize);
    let key = keys[order];
    let other_key = keys[order + 1];
    let own = CUBE_POS_Z as usize * plan.batch;
    let mut sum = 0.0f32;
    let mut first = UNIT_POS as usize;
    while first < len {
        let mut chosen = Array::<f32>::new(AHEAD);
        #[unroll]
        for k in 0..AHEAD {
            // Beyond the end this reads the last one, which is excluded below.
            let at = min(first + comptime!(k * UNITS), len - 1);
            let row = shuffled((start + at) as u32, batch, key, other_key, bits);
            chosen[k] = advantages[own + row as usize];
        }
        #[unroll]
        for k in 0..AHEAD {
            let mut x = chosen[k] - mean;
            if comptime!(squared) {
                x *= x;
            }
            sum += select(first + comptime!(k * UNITS) < len, x, 0.0f32);
        }
        first += comptime!(AHEAD * UNITS);
    }
    sum
}

/// Mean and inverse standard deviation of the advantages of each minibatch, as in
/// `uphill_core::advantage::standardize`. Cube (m, e, s) processes minibatch m of epoch e of agent s.
#[cube(launch)]
pub(super) fn spread_kernel(
    advantages: &[f32],
    keys: &[u32],
    spread: &mut [f32],
    #[comptime] plan: Plan,
) {
    let mut terms = Shared::<[f32]>::new_slice(UNITS);
    let len = comptime!(plan.len());
    let epoch = CUBE_POS_Y as usize;
    let start = CUBE_POS_X as usize * len;
    let minibatch = epoch * comptime!(plan.minibatches) + CUBE_POS_X as usize;
    let minibatch = minibatch * plan.agents + CUBE_POS_Z as usize;

    let sum = part(advantages, keys, epoch, start, 0.0f32, false, plan);
    let mean = total(sum, &mut terms) / comptime!(plan.len() as f32);
    let squares = part(advantages, keys, epoch, start, mean, true, plan);
    let squares = total(squares, &mut terms);
    if UNIT_POS == 0 {
        let std = (squares / comptime!(plan.len() as f32 - 1.0)).sqrt();
        spread[2 * minibatch] = mean;
        spread[2 * minibatch + 1] = 1.0f32 / (std + 1e-8f32);
    }
}

/// Sums the groups' partial gradients and measurements, and each block's squares, separately for actor and critic.
/// Counts the step in the scalars. Cubes (b, s) process block b of agent s.
#[cube(launch)]
pub(super) fn reduce_kernel(
    partials: &[f32],
    totals: &mut [f32],
    squares: &mut [f32],
    scalars: &mut [f32],
    #[comptime] plan: Plan,
) {
    let mut parts = Shared::<[f32]>::new_slice(UNITS);
    let unit = UNIT_POS as usize;
    let column = unit % COLUMNS;
    let at = CUBE_POS_X as usize * COLUMNS + column;
    let len = comptime!(plan.partial());
    let agent = CUBE_POS_Y as usize;
    let groups = agent * comptime!(plan.groups());
    let mut sum = 0.0f32;
    if at < len {
        let mut group = unit / COLUMNS;
        while group < comptime!(plan.groups()) {
            sum += partials[(groups + group) * len + at];
            group += SLICES;
        }
    }
    parts[unit] = sum;
    sync_cube();
    if unit < COLUMNS {
        #[unroll]
        for slice in 1..SLICES {
            sum += parts[column + comptime!(slice * COLUMNS)];
        }
        if at < len {
            totals[agent * len + at] = sum;
        }
        parts[unit] = sum * sum;
    }
    sync_cube();
    if unit == 0 {
        let mut of_actor = 0.0f32;
        let mut of_critic = 0.0f32;
        for column in 0..COLUMNS {
            let at = CUBE_POS_X as usize * COLUMNS + column;
            if at < comptime!(plan.actor.num_params()) {
                of_actor += parts[column];
            } else if at < comptime!(plan.num_params()) {
                of_critic += parts[column];
            }
        }
        let block = agent * comptime!(plan.blocks()) + CUBE_POS_X as usize;
        squares[2 * block] = of_actor;
        squares[2 * block + 1] = of_critic;
        if CUBE_POS_X == 0 {
            let own = agent * scalar::COUNT;
            let beta1 = scalars[own + scalar::BETA1];
            let beta2 = scalars[own + scalar::BETA2];
            let unbias1 = own + scalar::UNBIAS1;
            let unbias2 = own + scalar::UNBIAS2;
            scalars[unbias1] = beta1 * scalars[unbias1] + (1.0f32 - beta1);
            scalars[unbias2] = beta2 * scalars[unbias2] + (1.0f32 - beta2);
        }
    }
}

/// Adam's moments of both networks of an agent, concatenated, `[S, P]`.
#[derive(CubeType, CubeLaunch)]
pub(super) struct Moments {
    pub(super) first: Box<[f32]>,
    pub(super) second: Box<[f32]>,
}

/// Takes a step of Adam along the totals, clipped to the maximum norm, and writes row `step` of `rows` `[M, S, COUNT]`,
/// see [`reported`]. Cubes (., s) process agent s.
#[cube(launch)]
pub(super) fn adam_kernel(
    totals: &[f32],
    squares: &[f32],
    scalars: &[f32],
    actor: &mut [f32],
    critic: &mut [f32],
    moments: &mut Moments,
    rows: &mut [f32],
    step: u32,
    #[comptime] plan: Plan,
) {
    let mut of_actor = Shared::<[f32]>::new_slice(UNITS);
    let mut of_critic = Shared::<[f32]>::new_slice(UNITS);
    let unit = UNIT_POS as usize;
    let mut sum = 0.0f32;
    let mut critic_sum = 0.0f32;
    let agent = CUBE_POS_Y as usize;
    let scalars_at = agent * scalar::COUNT;
    let blocks = agent * comptime!(plan.blocks());
    let mut block = unit;
    while block < comptime!(plan.blocks()) {
        sum += squares[2 * (blocks + block)];
        critic_sum += squares[2 * (blocks + block) + 1];
        block += UNITS;
    }
    of_actor[unit] = sum;
    of_critic[unit] = critic_sum;
    sum_up(&mut of_actor);
    sum_up(&mut of_critic);
    let joint = (of_actor[0] + of_critic[0]).sqrt();

    let of_actor_only = comptime!(plan.actor.num_params());
    let totals_at = agent * comptime!(plan.partial());
    let place = CUBE_POS_X as usize * UNITS + unit;
    if place < comptime!(plan.num_params()) {
        let is_actor = place < of_actor_only;
        let mut norm = joint;
        if scalars[scalars_at + scalar::JOINT_NORM] == 0.0f32 {
            norm = select(is_actor, of_actor[0], of_critic[0]).sqrt();
        }
        let largest = scalars[scalars_at + scalar::MAX_GRAD_NORM];
        let mut scale = 1.0f32;
        if largest > 0.0f32 {
            let shorter = largest / (norm + 1e-6f32);
            let short_enough = shorter >= 1.0f32;
            // The comparison is false for NaN, which is thus propagated.
            scale = select(short_enough, 1.0f32, shorter);
        }
        let g = totals[totals_at + place] * scale;
        let beta1 = scalars[scalars_at + scalar::BETA1];
        let beta2 = scalars[scalars_at + scalar::BETA2];
        let moment = agent * comptime!(plan.num_params()) + place;
        let first = moments.first[moment] * beta1 + g * (1.0f32 - beta1);
        let second = moments.second[moment] * beta2 + g * g * (1.0f32 - beta2);
        moments.first[moment] = first;
        moments.second[moment] = second;
        let spread = (second / scalars[scalars_at + scalar::UNBIAS2]).sqrt()
            + scalars[scalars_at + scalar::EPSILON];
        let rate = select(
            is_actor,
            scalars[scalars_at + scalar::RATE],
            scalars[scalars_at + scalar::CRITIC_RATE],
        );
        let change = first / spread * (rate / scalars[scalars_at + scalar::UNBIAS1]);
        if is_actor {
            actor[agent * of_actor_only + place] -= change;
        } else {
            critic[agent * comptime!(plan.critic.num_params()) + place - of_actor_only] -= change;
        }
    }

    if place == 0 {
        let to = (step as usize * plan.agents + agent) * reported::COUNT;
        let from = totals_at + comptime!(plan.num_params());
        let share = comptime!(1.0f32 / plan.len() as f32);
        rows[to + reported::POLICY_LOSS] = -totals[from + measured::SURROGATE] * share;
        rows[to + reported::VALUE_LOSS] = totals[from + measured::VALUE_LOSS] * share;
        rows[to + reported::ENTROPY] = totals[from + measured::ENTROPY] * share;
        rows[to + reported::APPROX_KL] = totals[from + measured::APPROX_KL] * share;
        rows[to + reported::CLIP_FRACTION] = totals[from + measured::CLIPPED] * share;
        rows[to + reported::GRAD_NORM] = joint;
    }
}
