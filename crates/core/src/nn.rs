//! Multi-layer perceptron and its initialisation.

use burn::{
    module::{Module, Param},
    tensor::{Device, Tensor, TensorData},
};
use rand::Rng;
use serde::{Deserialize, Serialize};

pub use crate::ops::{layer_norm, tanh};
use crate::{
    network::Network,
    ops::{MlpShape, affine},
};
use uphill_cpu::orthogonal::orthogonal;

pub use uphill_cpu::shape::Activation;

/// Application of an [`Activation`] to tensors.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use uphill_core::nn::{Activate, Activation};
///
/// // d tanh(z) = (1 − tanh² z) ż, which is ż at 0.
/// let (device, point) = (Device::flex(), [[0.0]]);
/// let z = Tensor::<2>::from_floats(point, &device);
/// let (value, slope) = Activation::Tanh.jvp(z, Tensor::from_floats([[3.0]], &device));
/// assert_eq!([value.into_scalar::<f32>(), slope.into_scalar::<f32>()], [0.0, 3.0]);
/// ```
pub trait Activate {
    /// f(x) of each element; gradients are recorded as by Burn's own operations. See [`tanh`].
    ///
    /// ```
    /// use burn::tensor::{Device, Tensor};
    /// use uphill_core::nn::{Activate, Activation};
    ///
    /// let x = Tensor::<2>::from_floats([[-2.0, 3.0]], &Device::flex());
    /// let y: Vec<f32> = Activation::Relu.apply(x).into_data().iter().collect();
    /// assert_eq!(y, [0.0, 3.0]);
    /// ```
    fn apply<const D: usize>(self, x: Tensor<D>) -> Tensor<D>;

    /// f(z) and its derivative f'(z) ż along ż.
    fn jvp(self, z: Tensor<2>, tangent: Tensor<2>) -> (Tensor<2>, Tensor<2>);
}

impl Activate for Activation {
    fn apply<const D: usize>(self, x: Tensor<D>) -> Tensor<D> {
        match self {
            Self::Tanh => tanh(x),
            Self::Relu => burn::tensor::activation::relu(x),
        }
    }

    fn jvp(self, z: Tensor<2>, tangent: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
        let y = self.apply(z);
        let slope = match self {
            Self::Tanh => y.clone().square().neg() + 1.0,
            Self::Relu => y.clone().greater_elem(0.0).float(),
        };
        (y, slope * tangent)
    }
}

/// Initialisation of weights; with [`Orthogonal`](Init::Orthogonal), biases start at zero.
///
/// ```
/// use burn::tensor::Device;
/// use rand::{SeedableRng, rngs::SmallRng};
/// use uphill_core::nn::{Init, Linear};
///
/// // Orthonormal columns, times the gain: WᵀW = 2² I.
/// let mut rng = SmallRng::seed_from_u64(1);
/// let layer = Linear::new([3, 2], Init::Orthogonal, 2.0, &mut rng, &Device::flex());
/// let weight = layer.weight.val();
/// let products: Vec<f32> = weight.clone().transpose().matmul(weight).into_data().iter().collect();
/// for (product, expected) in products.into_iter().zip([4.0, 0.0, 0.0, 4.0]) {
///     assert!((product - expected).abs() < 1e-5);
/// }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Init {
    /// Orthogonal matrices scaled by a gain per layer (Saxe et al., arXiv:1312.6120): √2 for hidden layers, a chosen
    /// gain for the last.
    #[default]
    Orthogonal,
    /// U(−1/√I, 1/√I) for weights and biases of a layer with `I` inputs.
    Uniform,
}

/// Affine map x W + b.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use rand::{SeedableRng, rngs::SmallRng};
/// use uphill_core::nn::{Init, Linear};
///
/// let (device, mut rng) = (Device::flex(), SmallRng::seed_from_u64(1));
/// let layer = Linear::new([3, 5], Init::Uniform, 1.0, &mut rng, &device);
/// assert_eq!(layer.forward(Tensor::zeros([2, 3], &device)).dims(), [2, 5]);
/// ```
#[derive(Module, Debug)]
pub struct Linear {
    /// Weights `[I, O]`.
    pub weight: Param<Tensor<2>>,
    /// Bias `[O]`.
    pub bias: Param<Tensor<1>>,
}

impl Linear {
    /// A layer from `inputs` to `outputs` features.
    pub fn new(
        [inputs, outputs]: [usize; 2],
        init: Init,
        gain: f64,
        rng: &mut impl Rng,
        device: &Device,
    ) -> Self {
        let (weight, bias) = match init {
            Init::Orthogonal => (
                orthogonal(inputs, outputs, gain, || normal(rng)),
                vec![0.0; outputs],
            ),
            Init::Uniform => {
                let bound = 1.0 / (inputs as f64).sqrt();
                let mut draw = |n| (0..n).map(|_| (2.0 * unit(rng) - 1.0) * bound).collect();
                (draw(inputs * outputs), draw(outputs))
            }
        };
        Self {
            weight: Param::from_data(TensorData::new(weight, [inputs, outputs]), device),
            bias: Param::from_data(TensorData::new(bias, [outputs]), device),
        }
    }

    /// Outputs for inputs, `[B, I]` → `[B, O]`.
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        affine(x, self.weight.val(), self.bias.val())
    }

    /// ẋ W + x Ẇ + ḃ: derivative of the outputs `[B, O]` along parameters (Ẇ, ḃ) and inputs ẋ `[B, I]`.
    pub fn jvp(&self, tangent: &Self, x: Tensor<2>, x_tangent: Tensor<2>) -> Tensor<2> {
        x_tangent.matmul(self.weight.val()) + tangent.forward(x)
    }
}

/// Rows normalised to mean 0 and standard deviation 1, then scaled and shifted by element: see [`layer_norm`].
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use uphill_core::nn::LayerNorm;
///
/// let device = Device::flex();
/// let x = Tensor::<2>::from_floats([[1.0, 3.0]], &device);
/// let y: Vec<f32> = LayerNorm::new(2, &device).forward(x).into_data().iter().collect();
/// assert!((y[1] - 1.0).abs() < 1e-4 && y[0] == -y[1]);
/// ```
#[derive(Module, Debug)]
pub struct LayerNorm {
    /// Scale γ `[W]`.
    pub gamma: Param<Tensor<1>>,
    /// Shift β `[W]`.
    pub beta: Param<Tensor<1>>,
}

impl LayerNorm {
    /// A layer for rows of `width` elements that neither scales nor shifts yet.
    pub fn new(width: usize, device: &Device) -> Self {
        Self {
            gamma: Param::from_tensor(Tensor::ones([width], device)),
            beta: Param::from_tensor(Tensor::zeros([width], device)),
        }
    }

    /// Normalised rows, `[B, W]` → `[B, W]`, with ε = 1e-5.
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        layer_norm(x, self.gamma.val(), self.beta.val(), 1e-5)
    }
}

/// Fully connected network: hidden layers with one nonlinearity, then a linear layer.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use rand::{SeedableRng, rngs::SmallRng};
/// use uphill_core::{network::Network, nn::MlpConfig};
///
/// // Biases start at 0, so zeros stay zeros.
/// let (device, mut rng) = (Device::flex(), SmallRng::seed_from_u64(1));
/// let mlp = MlpConfig::default().build(4, 1, 1.0, &mut rng, &device);
/// assert_eq!(mlp.layers.len(), 3);
/// assert_eq!(mlp.forward(Tensor::zeros([1, 4], &device)).into_scalar::<f32>(), 0.0);
/// ```
#[derive(Module, Debug)]
pub struct Mlp {
    /// Layers in the order of evaluation.
    pub layers: Vec<Linear>,
    /// Nonlinearity between layers; the last layer is linear.
    #[module(skip)]
    pub activation: Activation,
}

/// Shape and initialisation of an [`Mlp`].
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use rand::{SeedableRng, rngs::SmallRng};
/// use uphill_core::{network::Network, nn::MlpConfig};
///
/// let (device, mut rng) = (Device::flex(), SmallRng::seed_from_u64(1));
/// let mlp = MlpConfig::default().build(4, 2, 0.01, &mut rng, &device);
/// assert_eq!(mlp.forward(Tensor::zeros([8, 4], &device)).dims(), [8, 2]);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MlpConfig {
    /// Widths of the hidden layers.
    pub hidden: Vec<usize>,
    /// Nonlinearity between layers.
    pub activation: Activation,
    /// Initialisation of the weights.
    pub init: Init,
}

impl Default for MlpConfig {
    fn default() -> Self {
        Self {
            hidden: vec![64, 64],
            activation: Activation::Tanh,
            init: Init::Orthogonal,
        }
    }
}

impl MlpConfig {
    /// Builds a network from `inputs` to `outputs` features. `output_gain` scales the last layer's orthogonal
    /// initialisation: 0.01 for a policy head, 1 for a value head.
    pub fn build(
        &self,
        inputs: usize,
        outputs: usize,
        output_gain: f64,
        rng: &mut impl Rng,
        device: &Device,
    ) -> Mlp {
        let widths: Vec<usize> = [&[inputs], self.hidden.as_slice(), &[outputs]].concat();
        let last = widths.len() - 2;
        let layers = widths.windows(2).enumerate().map(|(i, io)| {
            let gain = if i == last { output_gain } else { 2f64.sqrt() };
            Linear::new([io[0], io[1]], self.init, gain, rng, device)
        });
        Mlp {
            layers: layers.collect(),
            activation: self.activation,
        }
    }
}

impl Network for Mlp {
    fn forward(&self, obs: Tensor<2>) -> Tensor<2> {
        let last = self.layers.len() - 1;
        self.layers.iter().enumerate().fold(obs, |x, (i, layer)| {
            let z = layer.forward(x);
            if i == last {
                z
            } else {
                self.activation.apply(z)
            }
        })
    }

    fn mlp_shape(&self) -> Option<MlpShape> {
        let shapes = self.layers.iter().map(|layer| layer.weight.lazy_shape());
        let mut widths: Vec<usize> = shapes.clone().map(|shape| shape[0]).take(1).collect();
        widths.extend(shapes.map(|shape| shape[1]));
        Some(MlpShape {
            widths,
            activation: self.activation,
            log_stds: 0,
            masked: false,
        })
    }

    fn jvp(&self, tangent: &Self, obs: Tensor<2>) -> Option<Tensor<2>> {
        Some(self.value_and_jvp(tangent, obs).1)
    }
}

impl Mlp {
    /// Outputs `[B, O]` and their derivative along parameters, for constant inputs `[B, I]`.
    pub(crate) fn value_and_jvp(&self, tangent: &Self, x: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
        let last = self.layers.len() - 1;
        let still = x.zeros_like();
        let layers = self.layers.iter().zip(&tangent.layers).enumerate();
        layers.fold((x, still), |(x, x_tangent), (i, (layer, tangent))| {
            let z = layer.forward(x.clone());
            let z_tangent = layer.jvp(tangent, x, x_tangent);
            if i == last {
                (z, z_tangent)
            } else {
                self.activation.jvp(z, z_tangent)
            }
        })
    }
}

/// Uniform on the open interval (0, 1).
fn unit(rng: &mut impl Rng) -> f64 {
    ((rng.next_u64() >> 12) as f64 + 0.5) / (1u64 << 52) as f64
}

/// Standard normal (Box–Muller).
fn normal(rng: &mut impl Rng) -> f64 {
    (-2.0 * unit(rng).ln()).sqrt() * (std::f64::consts::TAU * unit(rng)).cos()
}
