//! Conversion between a module's parameters and one flat vector `[P]`.
//!
//! Optimisers, global-norm clipping, natural gradients and line searches work on one vector instead of looping over
//! layers. The order is that in which Burn visits the module's float parameters. Every float parameter is trained; a
//! constant belongs in a field marked `#[module(skip)]`.

use burn::{
    module::{Module, ModuleMapper, ModuleVisitor, Param},
    tensor::{Gradients, Tensor},
};

/// Name and shape of one parameter inside the flat vector.
///
/// ```
/// use burn::tensor::Device;
/// use rand::{SeedableRng, rngs::SmallRng};
/// use uphill_core::{nn::MlpConfig, params::layout};
///
/// let mut rng = SmallRng::seed_from_u64(1);
/// let specs = layout(&MlpConfig::default().build(4, 2, 1.0, &mut rng, &Device::flex()));
/// assert_eq!((specs[0].name.as_str(), &*specs[0].shape), ("layers.0.weight", &[4, 64][..]));
/// assert_eq!(specs[0].len(), 256);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParamSpec {
    /// Path inside the module, for example `layers.0.weight`.
    pub name: String,
    /// Shape of the tensor; its elements are stored row-major.
    pub shape: Vec<usize>,
}

impl ParamSpec {
    /// Number of elements.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// True for a tensor without elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// All parameters, `[P]`.
///
/// ```
/// use burn::tensor::Device;
/// use rand::{SeedableRng, rngs::SmallRng};
/// use uphill_core::{nn::{Init, Linear}, params::{flatten, unflatten}};
///
/// let (device, mut rng) = (Device::flex(), SmallRng::seed_from_u64(1));
/// let layer = Linear::new([3, 2], Init::Orthogonal, 1.0, &mut rng, &device);
/// let flat = flatten(&layer);
/// assert_eq!(flat.dims(), [3 * 2 + 2]);
/// assert_eq!(flatten(&unflatten(layer, flat.clone() * 2.0)).sum().into_scalar::<f32>(), 2.0 * flat.sum().into_scalar::<f32>());
/// ```
pub fn flatten<M: Module>(module: &M) -> Tensor<1> {
    struct Flatten(Vec<Tensor<1>>);
    impl ModuleVisitor for Flatten {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.0.push(as_vector(param.val().without_autodiff()));
        }
    }
    let mut parts = Flatten(Vec::new());
    module.visit(&mut parts);
    Tensor::cat(parts.0, 0)
}

/// The module with its parameters taken from `flat` `[P]`, without gradients.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use rand::{SeedableRng, rngs::SmallRng};
/// use uphill_core::{nn::{Init, Linear}, params::unflatten};
///
/// // y = x W + b with W = 3 and b = 1.
/// let (device, mut rng) = (Device::flex(), SmallRng::seed_from_u64(1));
/// let layer = Linear::new([1, 1], Init::Uniform, 1.0, &mut rng, &device);
/// let layer = unflatten(layer, Tensor::from_floats([3.0, 1.0], &device));
/// let y = layer.forward(Tensor::from_floats([[2.0]], &device));
/// assert_eq!(y.into_scalar::<f32>(), 7.0);
/// ```
///
/// # Panics
/// If the length of `flat` is not the module's number of parameters.
pub fn unflatten<M: Module>(module: M, flat: Tensor<1>) -> M {
    struct Unflatten {
        flat: Tensor<1>,
        at: usize,
    }
    impl ModuleMapper for Unflatten {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            let shape = param.lazy_shape();
            let length = shape.num_elements();
            let values = self.flat.clone().narrow(0, self.at, length).reshape(shape);
            self.at += length;
            param.map(|_| values)
        }
    }
    let length = flat.dims()[0];
    let mut cut = Unflatten { flat, at: 0 };
    let module = module.map(&mut cut);
    assert_eq!(cut.at, length, "flat vector does not fit the module");
    module
}

/// The module with no parameter recording gradients.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use rand::{SeedableRng, rngs::SmallRng};
/// use uphill_core::{nn::{Init, Linear}, params::{plain, tracked}};
///
/// let mut rng = SmallRng::seed_from_u64(1);
/// let layer = Linear::new([1, 1], Init::Uniform, 1.0, &mut rng, &Device::flex());
/// assert!(!plain(tracked(layer)).weight.val().is_require_grad());
/// ```
pub fn plain<M: Module>(module: M) -> M {
    struct Plain;
    impl ModuleMapper for Plain {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            param.map(|value| value.without_autodiff())
        }
    }
    module.map(&mut Plain)
}

/// The module with every parameter recording gradients. Tensors without autodiff that are combined with its parameters
/// are constants.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use rand::{SeedableRng, rngs::SmallRng};
/// use uphill_core::{nn::{Init, Linear}, params::tracked};
///
/// let mut rng = SmallRng::seed_from_u64(1);
/// let layer = Linear::new([1, 1], Init::Uniform, 1.0, &mut rng, &Device::flex());
/// assert!(tracked(layer).weight.val().is_require_grad());
/// ```
pub fn tracked<M: Module>(module: M) -> M {
    struct Track;
    impl ModuleMapper for Track {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            param.map(|value| value.without_autodiff().autodiff().require_grad())
        }
    }
    module.map(&mut Track)
}

/// Gradient of a loss with respect to all parameters of a [`tracked`] module, `[P]`; zero for a parameter that was not
/// used.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use rand::{SeedableRng, rngs::SmallRng};
/// use uphill_core::{nn::{Init, Linear}, params::{flat_grad, tracked}};
///
/// // ∂(x W + b)/∂W = x and ∂(x W + b)/∂b = 1 at x = 2.
/// let (device, mut rng) = (Device::flex(), SmallRng::seed_from_u64(1));
/// let layer = tracked(Linear::new([1, 1], Init::Uniform, 1.0, &mut rng, &device));
/// let output = layer.forward(Tensor::from_floats([[2.0]], &device));
/// let grad: Vec<f32> = flat_grad(&layer, &output.backward()).into_data().iter().collect();
/// assert_eq!(grad, [2.0, 1.0]);
/// ```
pub fn flat_grad<M: Module>(module: &M, grads: &Gradients) -> Tensor<1> {
    struct Collect<'a> {
        grads: &'a Gradients,
        parts: Vec<Tensor<1>>,
    }
    impl ModuleVisitor for Collect<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let value = param.val();
            let grad = value.grad(self.grads);
            let grad = grad.unwrap_or_else(|| value.without_autodiff().zeros_like());
            self.parts.push(as_vector(grad));
        }
    }
    let mut collect = Collect {
        grads,
        parts: Vec::new(),
    };
    module.visit(&mut collect);
    Tensor::cat(collect.parts, 0)
}

/// Names and shapes in the order of the flat vector.
///
/// ```
/// use burn::tensor::Device;
/// use rand::{SeedableRng, rngs::SmallRng};
/// use uphill_core::{nn::{Init, Linear}, params::layout};
///
/// let mut rng = SmallRng::seed_from_u64(1);
/// let layer = Linear::new([3, 2], Init::Uniform, 1.0, &mut rng, &Device::flex());
/// let names: Vec<_> = layout(&layer).into_iter().map(|spec| (spec.name, spec.shape)).collect();
/// assert_eq!(names, [("weight".into(), vec![3, 2]), ("bias".into(), vec![2])]);
/// ```
pub fn layout<M: Module>(module: &M) -> Vec<ParamSpec> {
    #[derive(Default)]
    struct Layout {
        path: Vec<String>,
        specs: Vec<ParamSpec>,
    }
    impl ModuleVisitor for Layout {
        fn enter_module(&mut self, name: &str, _container: &str) {
            self.path.push(name.to_owned());
        }
        fn exit_module(&mut self, _name: &str, _container: &str) {
            self.path.pop();
        }
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.specs.push(ParamSpec {
                name: self.path.join("."),
                shape: param.lazy_shape().to_vec(),
            });
        }
    }
    let mut layout = Layout::default();
    module.visit(&mut layout);
    layout.specs
}

fn as_vector<const D: usize>(tensor: Tensor<D>) -> Tensor<1> {
    let length = tensor.shape().num_elements();
    tensor.reshape([length])
}
