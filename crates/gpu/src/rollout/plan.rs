//! Sizes of a rollout, for which its kernel is specialised.

use super::{Policy, Size};
use crate::device::shared_memory;
use crate::envs::Sizes;
use crate::layers::Layers;
use burn::tensor::Device;

/// Maximum number of hidden layers.
const LAYERS: usize = 3;
/// Maximum number of neurons of a hidden layer: one thread each.
const WIDEST: usize = 128;
/// Maximum number of weights that a thread keeps in registers.
const REGISTERS: usize = 160;
/// Maximum number of outputs of the network.
const OUTPUTS: usize = 32;
/// Maximum number of cubes of a launch along one dimension.
const CUBES: usize = 65_535;
/// Maximum number of elements in a buffer of several agents' rollouts, 1 GiB: GPUs limit the size of a buffer.
const MOST_NUMBERS: usize = 1 << 28;
/// Number of buffers of the kernel.
const BUFFERS: u32 = 16;

/// Constants of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Plan {
    /// Row widths of the environment.
    pub(crate) sizes: Sizes,
    /// Network of the policy; its outputs are logits or means.
    pub(crate) layers: Layers,
    /// A categorical policy instead of a Gaussian one.
    pub(crate) categorical: bool,
    /// Whether observations are normalised.
    pub(crate) normalize: bool,
    /// Whether normalised observations are clipped.
    pub(crate) clip: bool,
    /// Number of copies of the environment that a cube processes.
    pub(crate) copies: usize,
    /// Number of threads of a cube.
    pub(crate) units: usize,
}

impl Plan {
    /// `None` if the policy is too large for the kernel or for the device, or has a different width from the
    /// environment.
    pub(super) fn new(
        policy: &Policy<'_>,
        sizes: Sizes,
        size: Size,
        device: &Device,
    ) -> Option<Self> {
        let Size {
            agents,
            steps,
            envs,
        } = size;
        let layers = Layers::new(policy.shape)?;
        let widths = &policy.shape.widths;
        let hidden = widths.get(1..widths.len() - 1)?;
        let widest = hidden.iter().copied().max()?;
        let copies = (envs / 256).next_power_of_two().min(8);
        let widest_row = sizes.obs.max(sizes.action);
        let plan = Self {
            sizes,
            layers,
            categorical: policy.categorical,
            normalize: policy.norm_clip.is_some(),
            clip: policy.norm_clip.is_some_and(|clip| clip > 0.0),
            copies,
            units: widest.max(copies).next_multiple_of(32),
        };
        // Actions of a different width are reported by the environment.
        let acts = policy.categorical || layers.heads() == sizes.action;
        let fits = acts
            && hidden.len() <= LAYERS
            && widest <= WIDEST
            && plan.column(hidden.len()) <= REGISTERS
            && layers.heads() <= OUTPUTS
            && agents.max(envs.div_ceil(copies)) <= CUBES
            && (agents == 1 || agents * steps * envs * widest_row <= MOST_NUMBERS)
            && u32::try_from(steps * envs * widest_row).is_ok()
            && layers.inputs(0) == sizes.obs;
        let shared = shared_memory(device, BUFFERS, plan.units)?;
        (fits && plan.shared() * size_of::<f32>() <= shared).then_some(plan)
    }

    /// Number of hidden layers, which is also the index of the layer after them.
    pub(crate) fn hidden(&self) -> usize {
        self.layers.count - 1
    }

    /// Floats of shared memory that a cube needs.
    fn shared(&self) -> usize {
        self.head_size() + self.copies * (2 * self.stride() + self.layers.heads())
    }

    /// Number of weights of the last layer.
    pub(crate) fn head_size(&self) -> usize {
        self.layers.inputs(self.hidden()) * self.layers.heads()
    }

    /// Offset of hidden layer `l`'s column in a thread's registers.
    pub(crate) fn column(&self, l: usize) -> usize {
        (0..l).map(|l| self.layers.inputs(l)).sum()
    }

    /// Distance between the activations of one copy and the next, in floats.
    pub(crate) fn stride(&self) -> usize {
        let widths = (0..self.layers.count).map(|l| self.layers.inputs(l));
        widths.max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uphill_cpu::shape::{Activation, MlpShape};

    #[test]
    fn parameters_are_found_where_a_perceptron_keeps_them() {
        let shape = MlpShape {
            widths: vec![3, 5, 4, 2],
            activation: Activation::Tanh,
            log_stds: 2,
            masked: false,
        };
        let layers = Layers::new(&shape).expect("three layers");
        let plan = Plan {
            sizes: Sizes {
                state: 2,
                action: 1,
                obs: 3,
            },
            layers,
            categorical: false,
            normalize: false,
            clip: false,
            copies: 1,
            units: 32,
        };
        // 3·5 weights, 5 biases, 5·4, 4, 4·2, 2, then log σ.
        let at: Vec<_> = (0..3).map(|l| (layers.params(l), layers.bias(l))).collect();
        assert_eq!(at, [(0, 15), (20, 40), (44, 52)]);
        assert_eq!((layers.params(3), layers.num_params()), (54, 56));
        assert_eq!((plan.hidden(), plan.head_size()), (2, 8));
        assert_eq!((plan.column(0), plan.column(1), plan.column(2)), (0, 3, 8));
        assert_eq!(plan.stride(), 5);
        // 4·2 weights of the last layer, twice 5 activations and 2 outputs.
        assert_eq!(plan.shared(), 20);
    }
}
