//! Forward and backward passes of perceptrons on the CPU, over blocks of rows that stay in the cache.
//!
//! Rows are split over threads in chunks that depend on the batch size alone, and partial gradients are added in the
//! order of the chunks, so a result does not depend on the number of threads.

use crate::gemm::{self, Epilogue, Gradient, Panels, padded};
use crate::narrow::{self, NARROW, Narrow};
use crate::shape::MlpShape;
use rayon::prelude::*;
use std::ops::Range;

/// Rows that pass through all layers together.
pub(crate) const BLOCK: usize = 64;
/// Minimum number of rows per thread, in whole blocks.
const CHUNK: usize = 128;
/// Maximum number of chunks of a batch.
const MAX_CHUNKS: usize = 16;

/// Parameters in the order in which the kernels read them.
#[derive(Clone, Debug)]
pub struct Weights {
    shape: MlpShape,
    layers: Vec<Layer>,
    log_stds: Vec<f32>,
}

#[derive(Clone, Debug)]
struct Layer {
    forward: Forward,
    /// Panels of the transpose, for the gradient with respect to the layer's inputs. Empty in the first layer.
    backward: Panels,
    /// Bias, padded to whole panels.
    bias: Vec<f32>,
}

#[derive(Clone, Debug)]
enum Forward {
    Wide(Panels),
    /// A last layer with few outputs.
    Narrow(Narrow),
}

impl Weights {
    /// Weights from a flat parameter vector `[P]`.
    pub fn new(shape: &MlpShape, params: &[f32]) -> Self {
        let last = shape.layers().len() - 1;
        let layer = |(l, [_, outputs]): (usize, [usize; 2])| Layer {
            forward: if l > 0 && l == last && outputs <= NARROW {
                Forward::Narrow(Narrow::default())
            } else {
                Forward::Wide(Panels::default())
            },
            backward: Panels::default(),
            bias: vec![0.0; padded(outputs)],
        };
        let mut weights = Self {
            layers: shape.layers().enumerate().map(layer).collect(),
            log_stds: vec![0.0; shape.log_stds],
            shape: shape.clone(),
        };
        weights.refill(params);
        weights
    }

    /// Replaces the parameters `[P]`.
    pub fn refill(&mut self, params: &[f32]) {
        assert_eq!(params.len(), self.shape.num_params(), "length of params");
        let mut rest = params;
        for (l, [inputs, outputs]) in self.shape.layers().enumerate() {
            let (weight, after) = rest.split_at(inputs * outputs);
            let (bias, after) = after.split_at(outputs);
            rest = after;
            let layer = &mut self.layers[l];
            match &mut layer.forward {
                Forward::Wide(panels) => panels.pack(weight, inputs, outputs),
                Forward::Narrow(narrow) => narrow.pack(weight, inputs, outputs),
            }
            if l > 0 {
                layer.backward.pack_transposed(weight, outputs, inputs);
            }
            layer.bias[..outputs].copy_from_slice(bias);
        }
        self.log_stds.copy_from_slice(rest);
    }

    /// Shape of the perceptron.
    pub fn shape(&self) -> &MlpShape {
        &self.shape
    }

    /// The log standard deviations that are appended to every row of outputs.
    pub fn log_stds(&self) -> &[f32] {
        &self.log_stds
    }
}

/// Intermediate results of a forward pass, for the passes after it.
#[derive(Clone, Debug)]
pub struct Pass {
    obs: Vec<f32>,
    blocks: Vec<Block>,
}

/// Outputs of each layer `[rows, padded(width)]` for some rows of the batch.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    rows: usize,
    /// Number of rows that fit.
    room: usize,
    layers: Vec<Vec<f32>>,
}

impl Block {
    /// A block of at most `rows` rows; a pass may use fewer.
    pub(crate) fn new(shape: &MlpShape, rows: usize) -> Self {
        let layer = |[_, outputs]: [usize; 2]| vec![0.0; rows * padded(outputs)];
        Self {
            rows,
            room: rows,
            layers: shape.layers().map(layer).collect(),
        }
    }

    /// Mutable [`outputs`](Self::outputs).
    pub(crate) fn outputs_mut(&mut self) -> &mut [f32] {
        let (room, rows) = (self.room, self.rows);
        let last = self.layers.len() - 1;
        let last = &mut self.layers[last];
        let len = last.len() / room * rows;
        &mut last[..len]
    }

    /// Outputs of the last layer, padded, without log standard deviations.
    pub(crate) fn outputs(&self) -> &[f32] {
        let last = &self.layers[self.layers.len() - 1];
        &last[..last.len() / self.room * self.rows]
    }
}

/// Gradients with respect to the outputs of a layer, and a buffer for those of the layer below.
#[derive(Clone, Debug)]
pub(crate) struct BlockGrad {
    /// `[rows, padded(width)]` of the layer that comes next.
    pub(crate) grad: Vec<f32>,
    below: Vec<f32>,
}

impl BlockGrad {
    /// Buffers for `rows` rows of any layer.
    pub(crate) fn new(shape: &MlpShape, rows: usize) -> Self {
        let widest = shape.widths[1..].iter().max().copied().unwrap_or(0);
        let room = vec![0.0; rows * padded(widest)];
        Self {
            grad: room.clone(),
            below: room,
        }
    }
}

/// The rows of each chunk of a batch, in order.
pub(crate) fn chunks(batch: usize) -> impl ExactSizeIterator<Item = Range<usize>> {
    let rows = batch.div_ceil(MAX_CHUNKS).next_multiple_of(CHUNK);
    let starts = (0..batch).step_by(rows);
    starts.map(move |start| start..batch.min(start + rows))
}

/// Maximum number of chunks of a batch of at most this size.
pub(crate) fn max_chunks(batch: usize) -> usize {
    batch.div_ceil(CHUNK).min(MAX_CHUNKS)
}

/// Applies `work` to each part, on all threads if there are several parts.
pub(crate) fn spread<T: Send, R: Send>(
    parts: Vec<T>,
    work: impl Fn(T) -> R + Sync + Send,
) -> Vec<R> {
    if parts.len() == 1 {
        parts.into_iter().map(work).collect()
    } else {
        parts.into_par_iter().with_max_len(1).map(work).collect()
    }
}

/// Outputs `[B, W]` for observations `[B, O]`, and the intermediate results for the backward pass.
pub fn forward(weights: &Weights, obs: Vec<f32>) -> (Vec<f32>, Pass) {
    let (shape, inputs) = (&weights.shape, weights.shape.inputs());
    let batch = obs.len() / inputs;
    assert_eq!(obs.len(), batch * inputs, "shape of obs");
    let rows: Vec<&[f32]> = obs.chunks(BLOCK * inputs).collect();
    let blocks = spread_blocks(rows, batch, |rows| {
        let mut block = Block::new(shape, rows.len() / inputs);
        forward_block(weights, rows, &mut block);
        block
    });

    let mut outputs = Vec::with_capacity(batch * shape.outputs());
    for block in &blocks {
        append_rows(&mut outputs, block.outputs(), shape, &weights.log_stds);
    }
    (outputs, Pass { obs, blocks })
}

/// Outputs `[B, W]` for observations `[B, O]`, without intermediate results for another pass.
pub fn infer(weights: &Weights, obs: &[f32]) -> Vec<f32> {
    let shape = &weights.shape;
    let batch = obs.len() / shape.inputs();
    assert_eq!(obs.len(), batch * shape.inputs(), "shape of obs");
    let rows = chunks(batch).next().map_or(1, |rows| rows.len());
    let mut outputs = vec![0.0; batch * shape.outputs()];
    let obs = obs.chunks(rows * shape.inputs());
    let parts = obs.zip(outputs.chunks_mut(rows * shape.outputs()));
    spread(parts.collect(), |(obs, outputs)| {
        let mut block = Block::new(shape, rows.min(BLOCK));
        let obs = obs.chunks(BLOCK * shape.inputs());
        for (obs, outputs) in obs.zip(outputs.chunks_mut(BLOCK * shape.outputs())) {
            forward_block(weights, obs, &mut block);
            let width = shape.outputs() - shape.log_stds;
            let from = block.outputs().chunks_exact(padded(width));
            for (to, from) in outputs.chunks_exact_mut(shape.outputs()).zip(from) {
                let (means, log_stds) = to.split_at_mut(width);
                means.copy_from_slice(&from[..width]);
                log_stds.copy_from_slice(&weights.log_stds);
            }
        }
    });
    outputs
}

/// Like [`spread`], over blocks, several of which make a chunk.
fn spread_blocks<T: Send, R: Send>(
    blocks: Vec<T>,
    batch: usize,
    work: impl Fn(T) -> R + Sync + Send,
) -> Vec<R> {
    if chunks(batch).len() == 1 {
        blocks.into_iter().map(work).collect()
    } else {
        blocks.into_par_iter().map(work).collect()
    }
}

/// Runs observations `[rows, O]` through all layers, into a block large enough for them.
pub(crate) fn forward_block(weights: &Weights, obs: &[f32], block: &mut Block) {
    let shape = &weights.shape;
    let last = weights.layers.len() - 1;
    block.rows = obs.len() / shape.inputs();
    for (l, layer) in weights.layers.iter().enumerate() {
        let (below, own) = block.layers.split_at_mut(l);
        let (input, stride) = layer_input(shape, obs, below, l);
        let output = &mut own[0][..block.rows * layer.bias.len()];
        match &layer.forward {
            Forward::Wide(panels) => {
                let epilogue = Epilogue::Layer {
                    bias: &layer.bias,
                    activation: (l < last).then_some(shape.activation),
                };
                gemm::product(input, stride, panels, epilogue, output);
            }
            Forward::Narrow(columns) => {
                narrow::product(input, stride, columns, &layer.bias, output);
            }
        }
    }
}

/// Inputs of layer `l`, and the distance between their rows.
fn layer_input<'a>(
    shape: &MlpShape,
    obs: &'a [f32],
    layers: &'a [Vec<f32>],
    l: usize,
) -> (&'a [f32], usize) {
    if l == 0 {
        (obs, shape.inputs())
    } else {
        (&layers[l - 1], padded(shape.widths[l]))
    }
}

/// Appends rows without their padding, each followed by the log standard deviations.
fn append_rows(outputs: &mut Vec<f32>, rows: &[f32], shape: &MlpShape, log_stds: &[f32]) {
    let width = shape.widths[shape.widths.len() - 1];
    for row in rows.chunks_exact(padded(width)) {
        outputs.extend_from_slice(&row[..width]);
        outputs.extend_from_slice(log_stds);
    }
}

/// Directional derivative of the outputs `[B, W]` with respect to the parameters `[P]` along `direction` `[P]`, at the
/// observations of a forward pass.
///
/// With a dot for derivatives, ż = ẋ W + x Ẇ + ḃ is one product of rows (ẋ, x, 1) with W, Ẇ and ḃ stacked on top of
/// each other.
pub fn jvp(shape: &MlpShape, params: &[f32], direction: &[f32], pass: &Pass) -> Vec<f32> {
    assert_eq!(params.len(), shape.num_params(), "length of params");
    assert_eq!(direction.len(), params.len(), "length of direction");
    let mut at = 0;
    let layers = shape.layers().enumerate().map(|(l, [inputs, outputs])| {
        let weight = at..at + inputs * outputs;
        at = weight.end + outputs;
        // Observations are constant, so the first layer has no ẋ.
        let still = if l == 0 { &[] } else { &params[weight.clone()] };
        let stacked = [still, &direction[weight.start..at]].concat();
        Panels::packed(&stacked, stacked.len() / outputs, outputs)
    });
    let layers: Vec<Panels> = layers.collect();
    let log_stds = &direction[at..];

    let batch = pass.obs.len() / shape.inputs();
    let obs = pass.obs.chunks(BLOCK * shape.inputs());
    let blocks: Vec<_> = pass.blocks.iter().zip(obs).collect();
    let tangents = spread_blocks(blocks, batch, |(block, obs)| {
        jvp_block(shape, &layers, block, obs)
    });
    let mut outputs = Vec::with_capacity(batch * shape.outputs());
    for rows in tangents {
        append_rows(&mut outputs, &rows, shape, log_stds);
    }
    outputs
}

fn jvp_block(shape: &MlpShape, layers: &[Panels], block: &Block, obs: &[f32]) -> Vec<f32> {
    let last = layers.len() - 1;
    let none = vec![0.0; padded(shape.widths[last + 1])];
    let mut tangent: Vec<f32> = Vec::new();
    for ((l, [inputs, outputs]), panels) in shape.layers().enumerate().zip(layers) {
        let (input, stride) = layer_input(shape, obs, &block.layers, l);
        let mut rows = Vec::with_capacity(block.rows * (2 * inputs + 1));
        for row in 0..block.rows {
            if l > 0 {
                rows.extend_from_slice(&tangent[row * stride..][..inputs]);
            }
            rows.extend_from_slice(&input[row * stride..][..inputs]);
            rows.push(1.0);
        }
        let epilogue = if l < last {
            Epilogue::Derivative {
                outputs: &block.layers[l],
                activation: shape.activation,
            }
        } else {
            Epilogue::Layer {
                bias: &none,
                activation: None,
            }
        };
        tangent = vec![0.0; block.rows * padded(outputs)];
        gemm::product(
            &rows,
            rows.len() / block.rows,
            panels,
            epilogue,
            &mut tangent,
        );
    }
    tangent
}

/// Gradient with respect to all parameters `[P]`, from the gradient with respect to the outputs `[B, W]`.
pub fn backward(weights: &Weights, pass: &Pass, grad_outputs: &[f32]) -> Vec<f32> {
    let shape = &weights.shape;
    let batch = pass.obs.len() / shape.inputs();
    assert_eq!(
        grad_outputs.len(),
        batch * shape.outputs(),
        "shape of grad_outputs"
    );
    let mut parts = Vec::new();
    let (mut blocks, mut obs, mut grads) = (&pass.blocks[..], &pass.obs[..], grad_outputs);
    for rows in chunks(batch).map(|rows| rows.len()) {
        let part = (
            blocks.split_off(..rows.div_ceil(BLOCK)).unwrap_or_default(),
            obs.split_off(..rows * shape.inputs()).unwrap_or_default(),
            grads
                .split_off(..rows * shape.outputs())
                .unwrap_or_default(),
        );
        parts.push(part);
    }
    let partial = spread(parts, |(blocks, obs, grads)| {
        let mut total = vec![0.0; shape.num_params()];
        let rows = blocks.first().map_or(0, |block| block.rows);
        let mut grad = BlockGrad::new(shape, rows);
        let obs = obs.chunks(BLOCK * shape.inputs());
        let grads = grads.chunks(BLOCK * shape.outputs());
        for ((block, obs), grads) in blocks.iter().zip(obs).zip(grads) {
            split_outputs(shape, grads, &mut grad.grad, &mut total);
            backward_block(weights, block, obs, &mut grad, (&mut total, false));
        }
        total
    });
    partial
        .into_iter()
        .reduce(|mut sum, part| {
            sum.iter_mut().zip(part).for_each(|(s, p)| *s += p);
            sum
        })
        .unwrap_or_default()
}

/// Splits gradients with respect to rows of outputs `[rows, W]`: those of the last layer go to `grad`, padded; those of
/// the log standard deviations are added to their place in `total` `[P]`.
fn split_outputs(shape: &MlpShape, grads: &[f32], grad: &mut [f32], total: &mut [f32]) {
    let width = shape.widths[shape.widths.len() - 1];
    let log_stds = &mut total[shape.num_params() - shape.log_stds..];
    let rows = grad.chunks_exact_mut(padded(width));
    for (row, from) in rows.zip(grads.chunks_exact(shape.outputs())) {
        let (means, rest) = from.split_at(width);
        row[..width].copy_from_slice(means);
        row[width..].fill(0.0);
        log_stds.iter_mut().zip(rest).for_each(|(sum, g)| *sum += g);
    }
}

/// Adds the gradient with respect to the layers' parameters to `total` `[P]`, or overwrites it if `fresh`. The gradient
/// with respect to the outputs of the last layer is taken from `grad`, which is overwritten.
pub(crate) fn backward_block(
    weights: &Weights,
    block: &Block,
    obs: &[f32],
    BlockGrad { grad, below }: &mut BlockGrad,
    (total, fresh): (&mut [f32], bool),
) {
    let shape = &weights.shape;
    let mut total = &mut total[..shape.num_params() - shape.log_stds];
    for (l, [inputs, outputs]) in shape.layers().enumerate().rev() {
        let own = total.len() - (inputs + 1) * outputs;
        let (before, gradient) = total.split_at_mut(own);
        total = before;
        let (weight, bias) = gradient.split_at_mut(inputs * outputs);
        let (input, stride) = layer_input(shape, obs, &block.layers, l);
        let input = &input[..block.rows * stride];
        let of_outputs = &grad[..block.rows * padded(outputs)];
        let into = Gradient {
            weights: weight,
            bias,
            fresh,
        };
        match &weights.layers[l].forward {
            Forward::Wide(_) => gemm::gradient(input, stride, of_outputs, into),
            Forward::Narrow(_) => narrow::gradient(input, stride, of_outputs, into),
        }
        if l > 0 {
            let epilogue = Epilogue::Derivative {
                outputs: input,
                activation: shape.activation,
            };
            let of_inputs = &mut below[..block.rows * padded(inputs)];
            let backward = &weights.layers[l].backward;
            gemm::product(of_outputs, padded(outputs), backward, epilogue, of_inputs);
            std::mem::swap(grad, below);
        }
    }
}
