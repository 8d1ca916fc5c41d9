//! What the kernel is compiled for.

use burn::tensor::Device;
use uphill_core::{dist::DistKind, nn::Activation, ops::shared_memory, policy::Actor};
use uphill_envs::device::Sizes;

/// Hidden layers, at most.
const LAYERS: usize = 3;
/// Neurons of a hidden layer, at most: one thread each.
const WIDEST: usize = 128;
/// Weights that a thread keeps in registers, at most.
const REGISTERS: usize = 160;
/// Outputs of the network, at most.
const OUTPUTS: usize = 32;
/// Cubes of a launch along one dimension, at most.
const CUBES: usize = 65_535;
/// Numbers in a buffer of several agents' rollouts, at most, 1 GiB: GPUs limit the size of a buffer.
const MOST_NUMBERS: usize = 1 << 28;
/// Buffers of the kernel.
const BUFFERS: u32 = 16;

/// Shape of the work: everything that the kernel takes for a constant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Plan {
    /// Of the environment.
    pub(super) sizes: Sizes,
    /// Widths of the hidden layers; 0 where there is none.
    hidden: [usize; LAYERS],
    /// Number of hidden layers.
    pub(super) layers: usize,
    /// Logits, or means.
    pub(super) outputs: usize,
    /// Rectifiers instead of tanh.
    pub(super) relu: bool,
    /// A categorical policy instead of a Gaussian one.
    pub(super) categorical: bool,
    /// Observations are normalised.
    pub(super) normalize: bool,
    /// And clipped.
    pub(super) clip: bool,
    /// Copies of the environment that a cube serves.
    pub(super) copies: usize,
    /// Threads of a cube.
    pub(super) units: usize,
}

impl Plan {
    /// For `steps` of `envs` copies of each of `agents` on a device. `None` if the policy is of another kind than the kernel knows, or
    /// too large for it or for the device.
    pub(super) fn new(
        actor: &Actor,
        sizes: Sizes,
        [agents, steps, envs]: [usize; 3],
        device: &Device,
    ) -> Option<Self> {
        let shape = actor.net.perceptron().filter(|shape| !shape.masked)?;
        let categorical = match &actor.kind {
            DistKind::Categorical { .. } if shape.log_stds == 0 => true,
            DistKind::Gaussian { dim } if shape.log_stds == *dim => false,
            _ => return None,
        };
        let norm = actor.obs_norm.as_ref();
        let (inputs, hidden, outputs) = match &shape.widths[..] {
            [inputs, hidden @ .., outputs] => (*inputs, hidden, *outputs),
            _ => return None,
        };
        let widest = hidden.iter().copied().max()?;
        let kept: usize = inputs + hidden[..hidden.len() - 1].iter().sum::<usize>();
        let copies = (envs / 256).next_power_of_two().min(8);
        let widest_row = sizes.obs.max(sizes.action);
        // Actions of another width are for the environment to complain about.
        let acts = categorical || outputs == sizes.action;
        let fits = acts
            && hidden.len() <= LAYERS
            && widest <= WIDEST
            && kept <= REGISTERS
            && outputs <= OUTPUTS
            && agents.max(envs.div_ceil(copies)) <= CUBES
            && (agents == 1 || agents * steps * envs * widest_row <= MOST_NUMBERS)
            && u32::try_from(steps * envs * widest_row).is_ok()
            && inputs == sizes.obs
            && norm.is_none_or(|norm| norm.features() == inputs);
        let mut widths = [0; LAYERS];
        if !fits {
            return None;
        }
        widths[..hidden.len()].copy_from_slice(hidden);
        let plan = Self {
            sizes,
            hidden: widths,
            layers: hidden.len(),
            outputs,
            relu: shape.activation == Activation::Relu,
            categorical,
            normalize: norm.is_some(),
            clip: norm.is_some_and(|norm| norm.clip > 0.0),
            copies,
            units: widest.max(copies).next_multiple_of(32),
        };
        let shared = shared_memory(device, BUFFERS, plan.units)?;
        (plan.shared() * size_of::<f32>() <= shared).then_some(plan)
    }

    /// Floats of shared memory that a cube needs.
    fn shared(&self) -> usize {
        self.head_size() + self.copies * (2 * self.stride() + self.outputs)
    }

    /// Weights of the last layer.
    pub(super) fn head_size(&self) -> usize {
        self.inputs(self.layers) * self.outputs
    }

    /// Outputs of a layer.
    pub(super) fn width(&self, layer: usize) -> usize {
        if layer == self.layers {
            self.outputs
        } else {
            self.hidden[layer]
        }
    }

    /// Inputs of a layer.
    pub(super) fn inputs(&self, layer: usize) -> usize {
        if layer == 0 {
            self.sizes.obs
        } else {
            self.hidden[layer - 1]
        }
    }

    /// Where the weights `[I, O]` of a layer begin in the flat parameters.
    pub(super) fn weights_at(&self, layer: usize) -> usize {
        (0..layer)
            .map(|l| (self.inputs(l) + 1) * self.width(l))
            .sum()
    }

    /// Where its bias begins.
    pub(super) fn bias_at(&self, layer: usize) -> usize {
        self.weights_at(layer) + self.inputs(layer) * self.width(layer)
    }

    /// Where the log standard deviations begin.
    pub(super) fn log_stds_at(&self) -> usize {
        self.weights_at(self.layers + 1)
    }

    /// Parameters of the policy.
    pub(super) fn num_params(&self) -> usize {
        let log_stds = if self.categorical { 0 } else { self.outputs };
        self.log_stds_at() + log_stds
    }

    /// Where a thread keeps its column of a hidden layer's weights.
    pub(super) fn column_at(&self, layer: usize) -> usize {
        (0..layer).map(|l| self.inputs(l)).sum()
    }

    /// Numbers between the activations of one copy and the next.
    pub(super) fn stride(&self) -> usize {
        let widest = (0..self.layers).map(|l| self.width(l)).max().unwrap_or(0);
        widest.max(self.sizes.obs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_found_where_a_perceptron_keeps_them() {
        let sizes = Sizes {
            state: 2,
            action: 1,
            obs: 3,
        };
        let plan = Plan {
            sizes,
            hidden: [5, 4, 0],
            layers: 2,
            outputs: 2,
            relu: false,
            categorical: false,
            normalize: false,
            clip: false,
            copies: 1,
            units: 32,
        };
        // 3·5 weights, 5 biases, 5·4, 4, 4·2, 2, then log σ.
        let at: Vec<_> = (0..3)
            .map(|l| (plan.weights_at(l), plan.bias_at(l)))
            .collect();
        assert_eq!(at, [(0, 15), (20, 40), (44, 52)]);
        assert_eq!((plan.log_stds_at(), plan.num_params()), (54, 56));
        assert_eq!((plan.column_at(0), plan.column_at(1)), (0, 3));
        assert_eq!(plan.stride(), 5);
        // 4·2 weights of the last layer, twice 5 activations and 2 outputs.
        assert_eq!(plan.shared(), 20);
    }
}
