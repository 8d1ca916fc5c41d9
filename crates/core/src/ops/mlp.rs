//! Perceptrons on the host: forward and backward, each one pass over blocks of rows that stay in the
//! cache.
//!
//! Rows are split over threads in chunks that depend on the batch alone, and partial gradients are
//! added in the order of the chunks, so a result does not depend on the number of threads.

use super::gemm::{Epilogue, Panels, add_gradient, padded, product};
use crate::nn::Activation;
use rayon::prelude::*;

/// Rows that pass through all layers together.
const BLOCK: usize = 128;
/// Most parts that a batch is split into.
const MAX_CHUNKS: usize = 16;

/// What a perceptron looks like inside its flat parameter vector: per layer the weights `[I, O]` and
/// the bias `[O]`, then any log standard deviations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MlpShape {
    /// Inputs, hidden widths, outputs.
    pub widths: Vec<usize>,
    /// Between layers.
    pub activation: Activation,
    /// Log standard deviations that are appended to every row of outputs
    /// ([`WithLogStd`](crate::network::WithLogStd)).
    pub log_stds: usize,
}

impl MlpShape {
    /// Number of parameters `P`.
    pub fn num_params(&self) -> usize {
        let layers = self.layers().map(|[i, o]| (i + 1) * o).sum::<usize>();
        layers + self.log_stds
    }

    /// Columns of the outputs `W`.
    pub fn outputs(&self) -> usize {
        self.widths[self.widths.len() - 1] + self.log_stds
    }

    /// Columns of the observations `O`.
    pub fn inputs(&self) -> usize {
        self.widths[0]
    }

    fn layers(&self) -> impl DoubleEndedIterator<Item = [usize; 2]> + ExactSizeIterator + '_ {
        self.widths.windows(2).map(|w| [w[0], w[1]])
    }
}

/// Parameters in the order in which the kernels read them.
#[derive(Clone, Debug)]
pub(crate) struct Weights {
    shape: MlpShape,
    layers: Vec<Layer>,
    log_stds: Vec<f32>,
}

#[derive(Clone, Debug)]
struct Layer {
    forward: Panels,
    /// Of the transpose, for the gradient by the layer's inputs. Empty in the first layer.
    backward: Panels,
    /// Padded.
    bias: Vec<f32>,
}

impl Weights {
    /// From a flat parameter vector `[P]`.
    pub(crate) fn new(shape: &MlpShape, params: &[f32]) -> Self {
        assert_eq!(params.len(), shape.num_params(), "length of params");
        let mut rest = params;
        let layers = shape.layers().enumerate().map(|(l, [inputs, outputs])| {
            let (weight, after) = rest.split_at(inputs * outputs);
            let (bias, after) = after.split_at(outputs);
            rest = after;
            let mut bias = bias.to_vec();
            bias.resize(padded(outputs), 0.0);
            Layer {
                forward: Panels::pack(weight, inputs, outputs),
                backward: if l == 0 {
                    Panels::default()
                } else {
                    Panels::pack_transposed(weight, outputs, inputs)
                },
                bias,
            }
        });
        let layers = layers.collect();
        Self {
            shape: shape.clone(),
            layers,
            log_stds: rest.to_vec(),
        }
    }
}

/// What a forward pass leaves for the passes after it.
#[derive(Clone, Debug)]
pub(crate) struct Pass {
    obs: Vec<f32>,
    blocks: Vec<Block>,
}

/// Outputs of each layer `[rows, padded(width)]` for some rows of the batch.
#[derive(Clone, Debug)]
struct Block {
    rows: usize,
    layers: Vec<Vec<f32>>,
}

/// Rows of each chunk, in order.
fn chunks(batch: usize) -> Vec<usize> {
    let rows = batch.div_ceil(MAX_CHUNKS).next_multiple_of(BLOCK);
    let starts = (0..batch).step_by(rows);
    starts.map(|start| rows.min(batch - start)).collect()
}

/// Applies `work` to each part, on all threads where there is more than one.
fn spread<T: Send, R: Send>(parts: Vec<T>, work: impl Fn(T) -> R + Sync + Send) -> Vec<R> {
    if parts.len() == 1 {
        parts.into_iter().map(work).collect()
    } else {
        parts.into_par_iter().with_max_len(1).map(work).collect()
    }
}

/// Outputs `[B, W]` for observations `[B, O]`, and what backward needs.
pub(crate) fn forward(weights: &Weights, obs: Vec<f32>) -> (Vec<f32>, Pass) {
    let (shape, inputs) = (&weights.shape, weights.shape.inputs());
    let batch = obs.len() / inputs;
    assert_eq!(obs.len(), batch * inputs, "shape of obs");
    let rows: Vec<&[f32]> = obs.chunks(BLOCK * inputs).collect();
    let blocks = spread_blocks(rows, batch, |rows| forward_block(weights, rows));

    let mut outputs = Vec::with_capacity(batch * shape.outputs());
    for block in &blocks {
        let last = &block.layers[block.layers.len() - 1];
        append_rows(&mut outputs, last, shape, &weights.log_stds);
    }
    (outputs, Pass { obs, blocks })
}

/// Like [`spread`] over blocks, several of which make a chunk.
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

fn forward_block(weights: &Weights, obs: &[f32]) -> Block {
    let shape = &weights.shape;
    let rows = obs.len() / shape.inputs();
    let last = weights.layers.len() - 1;
    let mut layers: Vec<Vec<f32>> = Vec::with_capacity(last + 1);
    for (l, layer) in weights.layers.iter().enumerate() {
        let (input, stride) = layer_input(shape, obs, &layers, l);
        let mut output = vec![0.0; rows * layer.bias.len()];
        let epilogue = Epilogue::Layer {
            bias: &layer.bias,
            activation: (l < last).then_some(shape.activation),
        };
        product(input, stride, &layer.forward, epilogue, &mut output);
        layers.push(output);
    }
    Block { rows, layers }
}

/// What layer `l` reads, and the distance between its rows.
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

/// Appends rows without their padding, and the log standard deviations to each.
fn append_rows(outputs: &mut Vec<f32>, rows: &[f32], shape: &MlpShape, log_stds: &[f32]) {
    let width = shape.widths[shape.widths.len() - 1];
    for row in rows.chunks_exact(padded(width)) {
        outputs.extend_from_slice(&row[..width]);
        outputs.extend_from_slice(log_stds);
    }
}

/// Directional derivative of the outputs `[B, W]` by the parameters `[P]` along `direction` `[P]`, at
/// the observations of a forward pass.
///
/// With a dot for derivatives, ż = ẋ W + x Ẇ + ḃ is one product of rows (ẋ, x, 1) with W, Ẇ and ḃ on
/// top of each other.
pub(crate) fn jvp(shape: &MlpShape, params: &[f32], direction: &[f32], pass: &Pass) -> Vec<f32> {
    assert_eq!(params.len(), shape.num_params(), "length of params");
    assert_eq!(direction.len(), params.len(), "length of direction");
    let mut at = 0;
    let layers = shape.layers().enumerate().map(|(l, [inputs, outputs])| {
        let weight = at..at + inputs * outputs;
        at = weight.end + outputs;
        // Observations do not move, so the first layer has no ẋ.
        let still = if l == 0 { &[] } else { &params[weight.clone()] };
        let stacked = [still, &direction[weight.start..at]].concat();
        Panels::pack(&stacked, stacked.len() / outputs, outputs)
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
        product(
            &rows,
            rows.len() / block.rows,
            panels,
            epilogue,
            &mut tangent,
        );
    }
    tangent
}

/// Gradient by all parameters `[P]` from the gradient by the outputs `[B, W]`.
pub(crate) fn backward(weights: &Weights, pass: &Pass, grad_outputs: &[f32]) -> Vec<f32> {
    let shape = &weights.shape;
    let batch = pass.obs.len() / shape.inputs();
    assert_eq!(
        grad_outputs.len(),
        batch * shape.outputs(),
        "shape of grad_outputs"
    );
    let mut parts = Vec::new();
    let (mut blocks, mut obs, mut grads) = (&pass.blocks[..], &pass.obs[..], grad_outputs);
    for rows in chunks(batch) {
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
        let obs = obs.chunks(BLOCK * shape.inputs());
        let grads = grads.chunks(BLOCK * shape.outputs());
        for ((block, obs), grads) in blocks.iter().zip(obs).zip(grads) {
            backward_block(weights, block, obs, grads, &mut total);
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

fn backward_block(
    weights: &Weights,
    block: &Block,
    obs: &[f32],
    grad_outputs: &[f32],
    total: &mut [f32],
) {
    let shape = &weights.shape;
    let width = shape.widths[shape.widths.len() - 1];
    let layers = total.len() - shape.log_stds;
    let (mut total, log_stds) = total.split_at_mut(layers);
    let mut grad = vec![0.0; block.rows * padded(width)];
    let rows = grad.chunks_exact_mut(padded(width));
    for (row, from) in rows.zip(grad_outputs.chunks_exact(shape.outputs())) {
        row[..width].copy_from_slice(&from[..width]);
        for (sum, g) in log_stds.iter_mut().zip(&from[width..]) {
            *sum += g;
        }
    }
    for (l, [inputs, outputs]) in shape.layers().enumerate().rev() {
        let own = total.len() - (inputs + 1) * outputs;
        let (before, gradient) = total.split_at_mut(own);
        total = before;
        let (weight, bias) = gradient.split_at_mut(inputs * outputs);
        let (input, stride) = layer_input(shape, obs, &block.layers, l);
        add_gradient(input, stride, &grad, weight, bias);
        if l > 0 {
            let mut grad_input = vec![0.0; block.rows * padded(inputs)];
            let epilogue = Epilogue::Derivative {
                outputs: input,
                activation: shape.activation,
            };
            let stride = padded(outputs);
            let backward = &weights.layers[l].backward;
            product(&grad, stride, backward, epilogue, &mut grad_input);
            grad = grad_input;
        }
    }
}
