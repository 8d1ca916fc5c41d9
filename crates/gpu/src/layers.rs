//! Layout of a perceptron, for which kernels are specialised: widths and offsets.

use uphill_cpu::shape::{Activation, MlpShape};

/// Number of threads of a cube along each side of its grid.
pub(crate) const SIDE: usize = 16;
/// Number of threads of a cube.
pub(crate) const UNITS: usize = SIDE * SIDE;
/// Maximum number of layers of a network.
const MOST_LAYERS: usize = 5;

/// Layers of a perceptron. They are known when a kernel is compiled, so that every offset below is a constant in it.
///
/// A layer's weights `[I, O]` and bias `[O]` are adjacent in the flat vector, which makes them one matrix `[I + 1, O]`
/// for rows of inputs that end in a 1. In shared memory, rows of matrices are an odd number of floats apart, so that
/// threads that access a column use different banks.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub(crate) struct Layers {
    widths: [usize; MOST_LAYERS + 1],
    pub(crate) count: usize,
    pub(crate) relu: bool,
    pub(crate) log_stds: usize,
}

impl Layers {
    /// Layers of a shape; `None` for more layers than kernels support, and for masked outputs.
    pub(crate) fn new(shape: &MlpShape) -> Option<Self> {
        if shape.masked {
            return None;
        }
        let count = shape.widths.len() - 1;
        let mut widths = [0; MOST_LAYERS + 1];
        widths.get_mut(..=count)?.copy_from_slice(&shape.widths);
        Some(Self {
            widths,
            count,
            relu: shape.activation == Activation::Relu,
            log_stds: shape.log_stds,
        })
    }

    /// Columns of the inputs of layer `l`, without the 1.
    pub(crate) fn inputs(&self, l: usize) -> usize {
        self.widths[l]
    }

    /// Columns of the outputs of layer `l`.
    pub(crate) fn outputs(&self, l: usize) -> usize {
        self.widths[l + 1]
    }

    /// Columns of the last layer's outputs.
    pub(crate) fn heads(&self) -> usize {
        self.widths[self.count]
    }

    /// Offset of layer `l` in the flat vector; for `l` = `count`, of the log standard deviations.
    pub(crate) fn params(&self, l: usize) -> usize {
        (0..l).map(|l| (self.inputs(l) + 1) * self.outputs(l)).sum()
    }

    /// Offset of the bias of layer `l` in the flat vector.
    pub(crate) fn bias(&self, l: usize) -> usize {
        self.params(l) + self.inputs(l) * self.outputs(l)
    }

    /// Length of the flat vector.
    pub(crate) fn num_params(&self) -> usize {
        self.params(self.count) + self.log_stds
    }

    /// Floats between rows of layer `l`'s matrix in shared memory.
    pub(crate) fn weight_stride(&self, l: usize) -> usize {
        self.outputs(l) | 1
    }

    /// Offset of layer `l`'s matrix in shared memory.
    pub(crate) fn weights(&self, l: usize) -> usize {
        (0..l)
            .map(|l| (self.inputs(l) + 1) * self.weight_stride(l))
            .sum()
    }

    /// Floats of shared memory for all matrices. Threads whose rows or columns are past the end of a matrix read beyond
    /// it and discard the result.
    pub(crate) fn shared_weights(&self) -> usize {
        let end = |l| self.weights(l) + self.parts_in(l) * SIDE * self.weight_stride(l);
        (0..self.count).map(end).max().unwrap_or(0) + SIDE
    }

    /// Floats between rows of the inputs of layer `l`; for `l` = `count`, of the outputs.
    pub(crate) fn stride(&self, l: usize) -> usize {
        (self.widths[l] + 1) | 1
    }

    /// Offset of the inputs of layer `l` in shared memory, for tiles of `rows` samples.
    pub(crate) fn values(&self, l: usize, rows: usize) -> usize {
        (0..l).map(|l| rows * self.stride(l)).sum()
    }

    /// Floats of shared memory for the inputs and outputs of every layer, `rows` samples each. Threads whose columns
    /// are past the end of a row read beyond it and discard the result.
    pub(crate) fn shared_values(&self, rows: usize) -> usize {
        self.values(self.count + 1, rows) + SIDE
    }

    /// Number of parts of [`SIDE`] rows of layer `l`'s matrix.
    pub(crate) fn parts_in(&self, l: usize) -> usize {
        (self.inputs(l) + 1).div_ceil(SIDE)
    }

    /// Number of parts of [`SIDE`] columns of layer `l`'s matrix.
    pub(crate) fn parts_out(&self, l: usize) -> usize {
        self.outputs(l).div_ceil(SIDE)
    }

    /// Offset of a thread's sums for layer `l`'s gradient.
    pub(crate) fn sums(&self, l: usize) -> usize {
        (0..l).map(|l| self.parts_in(l) * self.parts_out(l)).sum()
    }
}
