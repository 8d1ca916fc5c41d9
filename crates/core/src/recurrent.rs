//! Recurrent networks: gated recurrent unit, and the interface of modules with memory.

use crate::{
    network::{Network, WithLogStd},
    nn::{Activate, Activation, Init, Linear, Mlp, MlpConfig, tanh},
};
use burn::{
    module::{Module, ModuleDisplay},
    tensor::{Device, Tensor, activation::sigmoid},
};
use rand::Rng;

/// Interface of a user's module with memory that is to become an actor or a critic.
///
/// ```
/// use burn::module::Module;
/// use burn::tensor::{Device, Tensor};
/// use uphill_core::{network::Net, nn::Linear, recurrent::RecurrentNetwork};
/// use uphill_core::nn::Init;
/// use rand::{SeedableRng, rngs::SmallRng};
///
/// /// Scales the sum of all observations of an episode.
/// #[derive(Module, Debug)]
/// struct Total {
///     scale: Linear,
/// }
///
/// impl RecurrentNetwork for Total {
///     fn state_width(&self) -> usize {
///         1
///     }
///     fn step(&self, obs: Tensor<2>, state: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
///         let state = state + obs;
///         (self.scale.forward(state.clone()), state)
///     }
/// }
///
/// let (device, mut rng) = (Device::flex(), SmallRng::seed_from_u64(1));
/// let net = Net::recurrent(Total { scale: Linear::new([1, 1], Init::Orthogonal, 1.0, &mut rng, &device) });
/// let net = net.with_flat(Tensor::from_floats([10.0, 0.0], &device));
/// let (_, state) = net.step(Tensor::ones([1, 1], &device), net.start(1));
/// let (output, _) = net.step(Tensor::ones([1, 1], &device), state);
/// assert_eq!(output.into_scalar::<f32>(), 20.0);
/// ```
pub trait RecurrentNetwork: Module + ModuleDisplay + 'static {
    /// Width of the state `H`. Episodes begin with a state of zeros.
    fn state_width(&self) -> usize;

    /// Takes one step: observations `[N, O]` and states `[N, H]` → outputs `[N, W]` and next states `[N, H]`.
    fn step(&self, obs: Tensor<2>, state: Tensor<2>) -> (Tensor<2>, Tensor<2>);

    /// Takes `T` steps from `state` `[N, H]` over observations `[T, N, O]` → outputs `[T·N, W]` and the states after
    /// each step `[T·N, H]`. States are multiplied by `keep` `[T, N]` after each step, which is 0 where an episode
    /// ended.
    ///
    /// The default loops over [`step`](Self::step); override it if a whole sequence can be computed faster.
    fn unroll(&self, obs: Tensor<3>, state: Tensor<2>, keep: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
        let (mut state, mut outputs, mut states) = (state, vec![], vec![]);
        for (obs, keep) in obs.iter_dim(0).zip(keep.iter_dim(0)) {
            let (output, next) = self.step(obs.squeeze_dim(0), state);
            outputs.push(output);
            states.push(next.clone());
            state = next * keep.transpose();
        }
        (Tensor::cat(outputs, 0), Tensor::cat(states, 0))
    }

    /// Directional derivative of the outputs of [`unroll`](Self::unroll) with respect to the parameters, `[T·N, W]`,
    /// through the states of all earlier steps: d/dt at θ + tv, where `tangent` is a module of this shape that holds
    /// the direction v in place of θ. The first state is constant.
    ///
    /// Second-order methods need it. With `None`, the default, [`Net::unroll_jvp`] takes a central difference.
    ///
    /// [`Net::unroll_jvp`]: crate::network::Net::unroll_jvp
    fn unroll_jvp(
        &self,
        tangent: &Self,
        obs: Tensor<3>,
        state: Tensor<2>,
        keep: Tensor<2>,
    ) -> Option<Tensor<2>> {
        let _ = (tangent, obs, state, keep);
        None
    }
}

/// Gated recurrent unit (Cho et al., arXiv:1406.1078), with the reset gate after the product with the state (Chung et
/// al., arXiv:1412.3555, in the form of cuDNN and PyTorch):
///
/// r = σ(x W_r + h U_r), z = σ(x W_z + h U_z), n = tanh(x W_n + r ∘ (h U_n)), h′ = n + z ∘ (h − n), biases omitted.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use rand::{SeedableRng, rngs::SmallRng};
/// use uphill_core::recurrent::Gru;
///
/// // With x W + b = 0 and a state of zeros, n = tanh(0) = 0 and the state stays 0.
/// let (device, mut rng) = (Device::flex(), SmallRng::seed_from_u64(1));
/// let cell = Gru::new(3, 2, &mut rng, &device);
/// let next = cell.next(Tensor::zeros([1, 6], &device), Tensor::zeros([1, 2], &device));
/// assert_eq!(next.abs().sum().into_scalar::<f32>(), 0.0);
/// ```
#[derive(Module, Debug)]
pub struct Gru {
    /// Layer of the inputs: `[I, 3H]` for r, z, n.
    pub input: Linear,
    /// Layer of the state: `[H, 3H]` for r, z, n.
    pub hidden: Linear,
}

impl Gru {
    /// A cell from `inputs` features to a state of `width`; state weights are orthogonal per gate.
    pub fn new(inputs: usize, width: usize, rng: &mut impl Rng, device: &Device) -> Self {
        let mut gates = |rows| {
            let gate = |_| Linear::new([rows, width], Init::Orthogonal, 1.0, rng, device);
            joined([0, 1, 2].map(gate))
        };
        Self {
            input: gates(inputs),
            hidden: gates(width),
        }
    }

    /// Next state `[N, H]`, from x W + b `[N, 3H]` and the state `[N, H]`.
    pub fn next(&self, input: Tensor<2>, state: Tensor<2>) -> Tensor<2> {
        let [_, width] = state.dims();
        let hidden = self.hidden.forward(state.clone());
        let gate = |x: &Tensor<2>, i: usize| x.clone().narrow(1, i * width, width);
        let r = sigmoid(gate(&input, 0) + gate(&hidden, 0));
        let z = sigmoid(gate(&input, 1) + gate(&hidden, 1));
        let n = tanh(gate(&input, 2) + r * gate(&hidden, 2));
        n.clone() + z * (state - n)
    }

    /// [`next`](Self::next) and its derivative ṅ + ż ∘ (h − n) + z ∘ (ḣ − ṅ), from pairs of a value and its derivative,
    /// along the parameters of the state's layer in `tangent`.
    fn next_jvp(
        &self,
        tangent: &Self,
        (input, input_tangent): (Tensor<2>, Tensor<2>),
        (state, state_tangent): (Tensor<2>, Tensor<2>),
    ) -> (Tensor<2>, Tensor<2>) {
        let [_, width] = state.dims();
        let (layer, along) = (&self.hidden, &tangent.hidden);
        let hidden = layer.forward(state.clone());
        let hidden_tangent = layer.jvp(along, state.clone(), state_tangent.clone());
        let gate = |x: &Tensor<2>, i: usize| x.clone().narrow(1, i * width, width);
        let sum = |i| {
            let value = gate(&input, i) + gate(&hidden, i);
            (value, gate(&input_tangent, i) + gate(&hidden_tangent, i))
        };
        let [(r, dr), (z, dz)] = [0, 1].map(|i| {
            let (value, tangent) = sum(i);
            let share = sigmoid(value);
            let slope = share.clone() * (share.clone().neg() + 1.0);
            (share, slope * tangent)
        });
        let (h, dh) = (gate(&hidden, 2), gate(&hidden_tangent, 2));
        let inner = gate(&input, 2) + r.clone() * h.clone();
        let inner_tangent = gate(&input_tangent, 2) + dr * h + r * dh;
        let (n, dn) = Activation::Tanh.jvp(inner, inner_tangent);
        let next_tangent =
            dn.clone() + dz * (state.clone() - n.clone()) + z.clone() * (state_tangent - dn);
        (n.clone() + z * (state - n), next_tangent)
    }
}

/// Concatenates three layers, `[I, O]` each, into one `[I, 3O]`.
fn joined(layers: [Linear; 3]) -> Linear {
    let weights = layers.iter().map(|l| l.weight.val()).collect();
    let biases = layers.iter().map(|l| l.bias.val()).collect();
    let [first, ..] = layers;
    Linear {
        weight: first.weight.map(|_| Tensor::cat(weights, 1)),
        bias: first.bias.map(|_| Tensor::cat(biases, 0)),
    }
}

/// A perceptron, a [`Gru`] and a linear head.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use rand::{SeedableRng, rngs::SmallRng};
/// use uphill_core::{network::Net, nn::MlpConfig, recurrent::GruNet};
///
/// let (device, mut rng) = (Device::flex(), SmallRng::seed_from_u64(1));
/// let net = Net::recurrent(GruNet::new([4, 2], &MlpConfig::default(), 16, 0.01, &mut rng, &device));
/// let (outputs, state) = net.step(Tensor::zeros([8, 4], &device), net.start(8));
/// assert_eq!((outputs.dims(), state.map(|s| s.dims())), ([8, 2], Some([8, 16])));
/// ```
#[derive(Module, Debug)]
pub struct GruNet {
    /// Encoder `[B, O]` → `[B, E]`; its last layer is followed by the nonlinearity too.
    pub encoder: Mlp,
    /// Recurrent cell, `E` → `H`.
    pub cell: Gru,
    /// Linear head, `H` → `W`.
    pub head: Linear,
}

impl GruNet {
    /// A network from `inputs` to `outputs` features: the hidden layers of `mlp`, then a state of `width`.
    /// `output_gain` scales the head's orthogonal initialisation.
    ///
    /// # Panics
    /// If `mlp` has no hidden layer.
    pub fn new(
        [inputs, outputs]: [usize; 2],
        mlp: &MlpConfig,
        width: usize,
        output_gain: f64,
        rng: &mut impl Rng,
        device: &Device,
    ) -> Self {
        let Some((&encoded, hidden)) = mlp.hidden.split_last() else {
            panic!("a recurrent network needs a hidden layer before its state");
        };
        let encoder = MlpConfig {
            hidden: hidden.to_vec(),
            ..mlp.clone()
        };
        Self {
            encoder: encoder.build(inputs, encoded, 2f64.sqrt(), rng, device),
            cell: Gru::new(encoded, width, rng, device),
            head: Linear::new([width, outputs], mlp.init, output_gain, rng, device),
        }
    }

    /// x W + b of the cell, `[B, 3H]`.
    fn encode(&self, obs: Tensor<2>) -> Tensor<2> {
        let encoded = self.encoder.activation.apply(self.encoder.forward(obs));
        self.cell.input.forward(encoded)
    }

    /// [`encode`](Self::encode) and its derivative along parameters.
    fn encode_jvp(&self, tangent: &Self, obs: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
        let (z, z_tangent) = self.encoder.value_and_jvp(&tangent.encoder, obs);
        let (x, x_tangent) = self.encoder.activation.jvp(z, z_tangent);
        let input = &self.cell.input;
        let input_tangent = input.jvp(&tangent.cell.input, x.clone(), x_tangent);
        (input.forward(x), input_tangent)
    }
}

impl RecurrentNetwork for GruNet {
    fn state_width(&self) -> usize {
        self.cell.hidden.weight.lazy_shape()[0]
    }

    fn step(&self, obs: Tensor<2>, state: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
        let state = self.cell.next(self.encode(obs), state);
        (self.head.forward(state.clone()), state)
    }

    /// Only the product with the state depends on the previous step; everything else is one batch.
    fn unroll(&self, obs: Tensor<3>, state: Tensor<2>, keep: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
        let [steps, envs, width] = obs.dims();
        let inputs = self.encode(obs.reshape([steps * envs, width]));
        let (mut state, mut states) = (state, vec![]);
        for (t, keep) in keep.iter_dim(0).enumerate() {
            let next = self
                .cell
                .next(inputs.clone().narrow(0, t * envs, envs), state);
            states.push(next.clone());
            state = next * keep.transpose();
        }
        let states = Tensor::cat(states, 0);
        (self.head.forward(states.clone()), states)
    }

    fn unroll_jvp(
        &self,
        tangent: &Self,
        obs: Tensor<3>,
        state: Tensor<2>,
        keep: Tensor<2>,
    ) -> Option<Tensor<2>> {
        let [steps, envs, width] = obs.dims();
        let (inputs, input_tangents) = self.encode_jvp(tangent, obs.reshape([steps * envs, width]));
        let at = |x: &Tensor<2>, t: usize| x.clone().narrow(0, t * envs, envs);
        let (mut states, mut state_tangents) = (vec![], vec![]);
        let (mut last, mut last_tangent) = (state.clone(), state.zeros_like());
        for (t, keep) in keep.iter_dim(0).enumerate() {
            let input = (at(&inputs, t), at(&input_tangents, t));
            let (next, next_tangent) =
                self.cell
                    .next_jvp(&tangent.cell, input, (last, last_tangent));
            states.push(next.clone());
            state_tangents.push(next_tangent.clone());
            let keep = keep.transpose();
            (last, last_tangent) = (next * keep.clone(), next_tangent * keep);
        }
        let (states, tangents) = (Tensor::cat(states, 0), Tensor::cat(state_tangents, 0));
        Some(self.head.jvp(&tangent.head, states, tangents))
    }
}

impl<M: RecurrentNetwork> RecurrentNetwork for WithLogStd<M> {
    fn state_width(&self) -> usize {
        self.mean.state_width()
    }

    fn step(&self, obs: Tensor<2>, state: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
        let (mean, state) = self.mean.step(obs, state);
        (self.append(mean), state)
    }

    fn unroll(&self, obs: Tensor<3>, state: Tensor<2>, keep: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
        let (mean, states) = self.mean.unroll(obs, state, keep);
        (self.append(mean), states)
    }

    fn unroll_jvp(
        &self,
        tangent: &Self,
        obs: Tensor<3>,
        state: Tensor<2>,
        keep: Tensor<2>,
    ) -> Option<Tensor<2>> {
        let mean = self.mean.unroll_jvp(&tangent.mean, obs, state, keep)?;
        Some(tangent.append(mean))
    }
}
