//! Passes of a tile of samples through a perceptron, in shared memory.
//!
//! The threads of a cube form a square grid. In a matrix product each thread computes the elements whose row and column
//! are its own plus multiples of the grid's side, and keeps them in registers.

use super::activation::activated;
use crate::layers::{Layers, SIDE, UNITS};
use cubecl::prelude::*;

/// Copies all matrices of the network whose parameters begin at `start` of `params` to shared memory.
#[cube]
pub(super) fn load_weights(
    params: &[f32],
    start: usize,
    weights: &mut [f32],
    #[comptime] layers: Layers,
) {
    #[unroll]
    for l in 0..layers.count {
        let columns = comptime!(layers.outputs(l));
        let len = comptime!((layers.inputs(l) + 1) * layers.outputs(l));
        let from = start + comptime!(layers.params(l));
        let to = comptime!(layers.weights(l));
        let stride = comptime!(layers.weight_stride(l));
        let mut e = UNIT_POS as usize;
        while e < len {
            weights[to + e / columns * stride + e % columns] = params[from + e];
            e += UNITS;
        }
    }
}

/// Writes the 1 that follows every row of a layer's inputs, for tiles of `rows` samples.
#[cube]
pub(super) fn write_ones(values: &mut [f32], #[comptime] rows: usize, #[comptime] layers: Layers) {
    let row = UNIT_POS as usize;
    if row < rows {
        #[unroll]
        for l in 0..layers.count {
            let at = comptime!(layers.values(l, rows) + layers.inputs(l));
            let stride = comptime!(layers.stride(l));
            values[at + row * stride] = 1.0f32;
        }
    }
}

/// Outputs of all layers for the tile whose observations are in place. All threads may read them afterwards.
#[cube]
pub(super) fn forward(
    weights: &[f32],
    values: &mut [f32],
    #[comptime] rows: usize,
    #[comptime] layers: Layers,
) {
    let row = UNIT_POS as usize / SIDE;
    let column = UNIT_POS as usize % SIDE;
    #[unroll]
    for l in 0..layers.count {
        let parts = comptime!(layers.parts_out(l));
        let terms = comptime!(layers.inputs(l) + 1);
        let stride = comptime!(layers.stride(l));
        let weight_stride = comptime!(layers.weight_stride(l));
        let from = comptime!(layers.values(l, rows)) + row * stride;
        let matrix = comptime!(layers.weights(l)) + column;
        let mut sums = Array::<f32>::new(comptime!(rows / SIDE * parts));
        #[unroll]
        for e in 0..comptime!(rows / SIDE * parts) {
            sums[e] = 0.0f32;
        }
        sync_cube();
        for k in 0..terms {
            let mut w = Array::<f32>::new(parts);
            #[unroll]
            for j in 0..parts {
                w[j] = weights[matrix + k * weight_stride + comptime!(j * SIDE)];
            }
            #[unroll]
            for i in 0..comptime!(rows / SIDE) {
                let x = values[from + comptime!(i * SIDE * stride) + k];
                #[unroll]
                for j in 0..parts {
                    sums[comptime!(i * parts + j)] += x * w[j];
                }
            }
        }
        let outputs = comptime!(layers.outputs(l));
        let to_stride = comptime!(layers.stride(l + 1));
        let to = comptime!(layers.values(l + 1, rows)) + row * to_stride + column;
        #[unroll]
        for j in 0..parts {
            if column + comptime!(j * SIDE) < outputs {
                #[unroll]
                for i in 0..comptime!(rows / SIDE) {
                    let z = sums[comptime!(i * parts + j)];
                    let at = to + comptime!(i * SIDE * to_stride + j * SIDE);
                    if comptime!(l + 1 == layers.count) {
                        values[at] = z;
                    } else {
                        values[at] = activated(z, layers.relu);
                    }
                }
            }
        }
    }
    sync_cube();
}

/// Adds the gradient with respect to all matrices over the tile to `sums`, from the gradient with respect to the
/// outputs, which has replaced them. Overwrites the inputs of all layers but the first.
#[cube]
pub(super) fn backward(
    weights: &[f32],
    values: &mut [f32],
    sums: &mut Array<f32>,
    #[comptime] rows: usize,
    #[comptime] layers: Layers,
) {
    #[unroll]
    for back in 0..layers.count {
        let l = comptime!(layers.count - 1 - back);
        sync_cube();
        matrix_gradient(&*values, sums, rows, l, layers);
        if comptime!(l > 0) {
            input_gradient(weights, values, rows, l, layers);
        }
    }
}

/// Adds Xᵀ G for the inputs X and the gradient G with respect to the outputs of layer `l`.
#[cube]
fn matrix_gradient(
    values: &[f32],
    sums: &mut Array<f32>,
    #[comptime] rows: usize,
    #[comptime] l: usize,
    #[comptime] layers: Layers,
) {
    let row = UNIT_POS as usize / SIDE;
    let column = UNIT_POS as usize % SIDE;
    let parts_in = comptime!(layers.parts_in(l));
    let parts_out = comptime!(layers.parts_out(l));
    let stride = comptime!(layers.stride(l));
    let grad_stride = comptime!(layers.stride(l + 1));
    let from = comptime!(layers.values(l, rows)) + row;
    let grads = comptime!(layers.values(l + 1, rows)) + column;
    let first = comptime!(layers.sums(l));
    let inputs = comptime!(layers.inputs(l) + 1);
    for s in 0..rows {
        let mut g = Array::<f32>::new(parts_out);
        #[unroll]
        for j in 0..parts_out {
            g[j] = values[grads + s * grad_stride + comptime!(j * SIDE)];
        }
        #[unroll]
        for i in 0..parts_in {
            // Most threads have no row in the last part, which may contain only the bias.
            if row + comptime!(i * SIDE) < inputs {
                let x = values[from + s * stride + comptime!(i * SIDE)];
                #[unroll]
                for j in 0..parts_out {
                    sums[comptime!(first + i * parts_out + j)] += x * g[j];
                }
            }
        }
    }
}

/// Replaces the inputs X of layer `l` by the gradient with respect to the arguments of the preceding nonlinearity: (G
/// Wᵀ) ∘ f'(X).
#[cube]
fn input_gradient(
    weights: &[f32],
    values: &mut [f32],
    #[comptime] rows: usize,
    #[comptime] l: usize,
    #[comptime] layers: Layers,
) {
    let row = UNIT_POS as usize / SIDE;
    let column = UNIT_POS as usize % SIDE;
    let inputs = comptime!(layers.inputs(l));
    let outputs = comptime!(layers.outputs(l));
    let parts = comptime!(layers.inputs(l).div_ceil(SIDE));
    let stride = comptime!(layers.stride(l));
    let grad_stride = comptime!(layers.stride(l + 1));
    let weight_stride = comptime!(layers.weight_stride(l));
    let grads = comptime!(layers.values(l + 1, rows)) + row * grad_stride;
    let matrix = comptime!(layers.weights(l)) + column * weight_stride;
    let mut sums = Array::<f32>::new(comptime!(rows / SIDE * parts));
    #[unroll]
    for e in 0..comptime!(rows / SIDE * parts) {
        sums[e] = 0.0f32;
    }
    for o in 0..outputs {
        let mut w = Array::<f32>::new(parts);
        #[unroll]
        for j in 0..parts {
            w[j] = weights[matrix + comptime!(j * SIDE * weight_stride) + o];
        }
        #[unroll]
        for i in 0..comptime!(rows / SIDE) {
            let g = values[grads + comptime!(i * SIDE * grad_stride) + o];
            #[unroll]
            for j in 0..parts {
                sums[comptime!(i * parts + j)] += g * w[j];
            }
        }
    }
    // All threads have read X for the gradient with respect to the matrix.
    sync_cube();
    let to = comptime!(layers.values(l, rows)) + row * stride + column;
    #[unroll]
    for j in 0..parts {
        if column + comptime!(j * SIDE) < inputs {
            #[unroll]
            for i in 0..comptime!(rows / SIDE) {
                let at = to + comptime!(i * SIDE * stride + j * SIDE);
                let y = values[at];
                let g = sums[comptime!(i * parts + j)];
                if comptime!(layers.relu) {
                    values[at] = select(y > 0.0f32, g, 0.0f32);
                } else {
                    values[at] = g * (1.0f32 - y * y);
                }
            }
        }
    }
}

/// Writes a thread's `sums` to `gradient`; the gradient of the whole network begins at `to`.
#[cube]
pub(super) fn store_gradient(
    sums: &Array<f32>,
    gradient: &mut [f32],
    to: usize,
    #[comptime] layers: Layers,
) {
    let row = UNIT_POS as usize / SIDE;
    let column = UNIT_POS as usize % SIDE;
    #[unroll]
    for l in 0..layers.count {
        let parts_in = comptime!(layers.parts_in(l));
        let parts_out = comptime!(layers.parts_out(l));
        let inputs = comptime!(layers.inputs(l) + 1);
        let outputs = comptime!(layers.outputs(l));
        let first = comptime!(layers.sums(l));
        let start = to + comptime!(layers.params(l));
        #[unroll]
        for i in 0..parts_in {
            #[unroll]
            for j in 0..parts_out {
                let k = row + comptime!(i * SIDE);
                let o = column + comptime!(j * SIDE);
                if k < inputs && o < outputs {
                    gradient[start + k * outputs + o] = sums[comptime!(first + i * parts_out + j)];
                }
            }
        }
    }
}
