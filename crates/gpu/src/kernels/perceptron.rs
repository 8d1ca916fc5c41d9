//! Kernel for the outputs of a perceptron for a batch.

use super::tile::{forward, load_weights, write_ones};
use crate::layers::{Layers, UNITS};
use cubecl::prelude::*;

/// Observations `[S, B, O]` → outputs `[S, B, W]` of the networks `params` `[S, P]`, `B` = `batch`. Cubes (., s)
/// process every n-th tile of network s.
#[cube(launch)]
pub(super) fn perceptron_kernel(
    obs: &[f32],
    params: &[f32],
    outputs: &mut [f32],
    batch: usize,
    #[comptime] rows: usize,
    #[comptime] layers: Layers,
) {
    let mut weights = Shared::<[f32]>::new_slice(comptime!(layers.shared_weights()));
    let mut values = Shared::<[f32]>::new_slice(comptime!(layers.shared_values(rows)));
    let network = CUBE_POS_Y as usize;
    let start = network * comptime!(layers.num_params());
    load_weights(params, start, &mut weights, layers);
    write_ones(&mut values, rows, layers);

    let inputs = comptime!(layers.inputs(0));
    let stride = comptime!(layers.stride(0));
    let heads = comptime!(layers.heads());
    let width = comptime!(layers.heads() + layers.log_stds);
    let log_stds = start + comptime!(layers.params(layers.count));
    let own = network * batch;
    let results = comptime!(layers.values(layers.count, rows));
    let results_stride = comptime!(layers.stride(layers.count));
    let mut first = CUBE_POS_X as usize * rows;
    while first < batch {
        sync_cube();
        let mut e = UNIT_POS as usize;
        while e < comptime!(rows * inputs) {
            let row = first + e / inputs;
            let mut x = 0.0f32;
            if row < batch {
                x = obs[(own + first) * inputs + e];
            }
            values[e / inputs * stride + e % inputs] = x;
            e += UNITS;
        }
        forward(&weights, &mut values, rows, layers);
        let mut e = UNIT_POS as usize;
        while e < comptime!(rows * width) {
            let row = e / width;
            let column = e % width;
            if first + row < batch {
                let y = if column < heads {
                    values[results + row * results_stride + column]
                } else {
                    params[log_stds + column - heads]
                };
                outputs[(own + first) * width + e] = y;
            }
            e += UNITS;
        }
        first += CUBE_COUNT_X as usize * rows;
    }
}
