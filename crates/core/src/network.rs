//! Policy and value networks: any Burn module as a type-erased network.
//!
//! Burn's `Module` cannot be a trait object, and a type parameter for it would spread through every algorithm. [`Net`]
//! erases the type once: algorithms see a forward pass and a flat parameter vector.

use crate::{
    ops::{DeviceMlp, FusedMlp, MlpShape, Weights, on_host},
    params::{self, ParamSpec},
    recurrent::RecurrentNetwork,
};
use burn::{
    module::{Module, ModuleDisplay, Param},
    tensor::{Device, Gradients, Tensor},
};
use std::sync::Arc;

/// Interface of a user's module that is to become an actor or a critic.
///
/// ```
/// use burn::{module::Module, tensor::{Device, Tensor}};
/// use rand::{SeedableRng, rngs::SmallRng};
/// use uphill_core::{network::{Net, Network}, nn::{Init, Linear, tanh}};
///
/// #[derive(Module, Debug)]
/// struct Two {
///     first: Linear,
///     second: Linear,
/// }
///
/// impl Network for Two {
///     fn forward(&self, obs: Tensor<2>) -> Tensor<2> {
///         self.second.forward(tanh(self.first.forward(obs)))
///     }
/// }
///
/// let (device, mut rng) = (Device::flex(), SmallRng::seed_from_u64(1));
/// let mut layer = |io| Linear::new(io, Init::Orthogonal, 1.0, &mut rng, &device);
/// let net = Net::new(Two { first: layer([4, 8]), second: layer([8, 2]) });
/// assert_eq!(net.num_params(), 5 * 8 + 9 * 2);
/// ```
pub trait Network: Module + ModuleDisplay + 'static {
    /// Maps observations `[B, O]` to outputs `[B, W]`: distribution parameters for an actor
    /// ([`DistKind::param_width`](crate::dist::DistKind::param_width)), one value for a critic.
    fn forward(&self, obs: Tensor<2>) -> Tensor<2>;

    /// Shape of the module, if it is a perceptron as [`MlpShape`] describes, with its parameters in that order: it then
    /// has much faster passes on the CPU. `None`, the default, means Burn's operations.
    ///
    /// The fast passes follow the shape and never call [`forward`](Self::forward); [`Net::check_shape`] checks that the
    /// two agree.
    fn mlp_shape(&self) -> Option<MlpShape> {
        None
    }

    /// Directional derivative of the outputs with respect to the parameters, `[B, W]`: d/dt f_{θ+tv}(obs) at t = 0,
    /// where `tangent` is a module of this shape that holds the direction v in place of θ.
    ///
    /// Second-order methods need it. With `None`, the default, [`Net::jvp`] takes a central difference.
    fn jvp(&self, tangent: &Self, obs: Tensor<2>) -> Option<Tensor<2>> {
        let _ = (tangent, obs);
        None
    }
}

/// A type-erased [`Network`].
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use rand::{SeedableRng, rngs::SmallRng};
/// use uphill_core::{network::Net, nn::MlpConfig};
///
/// let (device, mut rng) = (Device::flex(), SmallRng::seed_from_u64(1));
/// let net = Net::new(MlpConfig::default().build(4, 1, 1.0, &mut rng, &device));
///
/// // A gradient is recorded where it is asked for, and is one vector, like the parameters.
/// let tracked = net.tracked();
/// let loss = tracked.forward(Tensor::ones([8, 4], &device)).square().mean();
/// let grad = tracked.flat_grad(&loss.backward());
/// let net = net.with_flat(net.flat() - grad * 0.1);
/// assert_eq!(net.layout()[0].name, "layers.0.weight");
/// ```
#[derive(Debug)]
pub struct Net {
    network: Box<dyn ErasedNetwork>,
    /// Shape of the network, if fused passes may replace its own.
    perceptron: Option<Arc<MlpShape>>,
}

impl Net {
    /// Wraps a module. Its parameters are detached from autodiff; gradients are recorded only between
    /// [`tracked`](Net::tracked) and [`flat_grad`](Net::flat_grad).
    ///
    /// A perceptron gets fused passes if there are any for its device, see [`ops`](crate::ops).
    ///
    /// # Panics
    /// If the module's [`mlp_shape`](Network::mlp_shape) has a different number of parameters from the module.
    pub fn new(module: impl Network) -> Self {
        let shape = module.mlp_shape();
        let stock = Self::stock(module).network;
        if let Some(shape) = &shape {
            let described = shape.num_params();
            let found: usize = stock.layout().iter().map(ParamSpec::len).sum();
            assert!(
                described == found,
                "mlp_shape describes a perceptron with {described} parameters, the module has {found}"
            );
        }
        let network = match &shape {
            Some(shape) if on_host(&stock.flat()) => {
                Box::new(FusedMlp::new(shape.clone(), stock)) as Box<dyn ErasedNetwork>
            }
            Some(shape) => DeviceMlp::over(shape, stock),
            _ => stock,
        };
        Self {
            network,
            perceptron: shape.map(Arc::new),
        }
    }

    /// Like [`new`](Net::new), but always on Burn's own operations: the reference that fused passes are compared with.
    pub fn stock(module: impl Network) -> Self {
        Self::other(Box::new(params::plain(module)))
    }

    /// A network without fused passes.
    fn other(network: Box<dyn ErasedNetwork>) -> Self {
        Self {
            network,
            perceptron: None,
        }
    }

    /// The same network with another inner network.
    fn with(&self, network: Box<dyn ErasedNetwork>) -> Self {
        Self {
            network,
            perceptron: self.perceptron.clone(),
        }
    }

    /// Shape of a perceptron whose passes can be fused, on any device; its parameters are [`flat`](Net::flat).
    pub fn perceptron(&self) -> Option<&MlpShape> {
        self.perceptron.as_deref()
    }

    /// Whether passes through this network are fused; otherwise they are several times slower on small networks.
    pub fn fused(&self) -> bool {
        self.mlp_shape().is_some()
    }

    /// Shape of the network, if its passes are fused.
    pub(crate) fn mlp_shape(&self) -> Option<&MlpShape> {
        self.network.fused_shape()
    }

    /// Wraps a module with memory.
    pub fn recurrent(module: impl RecurrentNetwork) -> Self {
        Self::other(Box::new(Recurrent(params::plain(module))))
    }

    /// Outputs `[B, W]` for observations `[B, O]`; with memory, at the first step of an episode.
    pub fn forward(&self, obs: Tensor<2>) -> Tensor<2> {
        let start = self.start(obs.dims()[0]);
        self.step(obs, start).0
    }

    /// States `[N, H]` at the beginning of episodes; `None` without memory.
    pub fn start(&self, envs: usize) -> Option<Tensor<2>> {
        let memory = self.network.memory()?;
        Some(Tensor::zeros([envs, memory.state_width()], &self.device()))
    }

    /// Takes one step: observations `[N, O]` and states `[N, H]` → outputs `[N, W]` and next states.
    pub fn step(&self, obs: Tensor<2>, state: Option<Tensor<2>>) -> (Tensor<2>, Option<Tensor<2>>) {
        match (self.network.memory(), state) {
            (Some(memory), Some(state)) => {
                let (outputs, state) = memory.step(obs, state);
                (outputs, Some(state))
            }
            (None, None) => (self.network.forward(obs), None),
            (memory, _) => wrong_state(memory.is_some()),
        }
    }

    /// Takes `T` steps over observations `[T, N, O]` from states `[N, H]` → outputs `[T·N, W]` and the states after
    /// each step `[T·N, H]`. `keep` `[T, N]` is 0 where an episode ended and 1 elsewhere.
    pub fn unroll(
        &self,
        obs: Tensor<3>,
        state: Option<Tensor<2>>,
        keep: Tensor<2>,
    ) -> (Tensor<2>, Option<Tensor<2>>) {
        match (self.network.memory(), state) {
            (Some(memory), Some(state)) => {
                let (outputs, states) = memory.unroll(obs, state, keep);
                (outputs, Some(states))
            }
            (_, state) => {
                let [steps, envs, width] = obs.dims();
                self.step(obs.reshape([steps * envs, width]), state)
            }
        }
    }

    /// J v: directional derivative of the outputs `[B, W]` with respect to the parameters along `direction` `[P]`.
    ///
    /// Exact if the module implements [`Network::jvp`]. Otherwise the central difference (f(θ + hv) − f(θ − hv)) / 2h
    /// with h = ε^⅓ (1 + ‖θ‖) / ‖v‖, where ε is the rounding error of the float type: this step balances truncation,
    /// O(h²), with rounding, O(ε / h).
    pub fn jvp(&self, obs: Tensor<2>, direction: Tensor<1>) -> Tensor<2> {
        self.network.jvp(obs, direction)
    }

    /// [`jvp`](Net::jvp) of the outputs `[T·N, W]` of [`unroll`](Net::unroll); the states before the first step do not
    /// depend on the parameters. Exact if the module implements [`RecurrentNetwork::unroll_jvp`].
    pub fn unroll_jvp(
        &self,
        obs: Tensor<3>,
        state: Option<Tensor<2>>,
        keep: Tensor<2>,
        direction: Tensor<1>,
    ) -> Tensor<2> {
        match (self.network.memory(), state) {
            (Some(memory), Some(state)) => memory.unroll_jvp((obs, state, keep), direction),
            (None, None) => {
                let [steps, envs, width] = obs.dims();
                self.jvp(obs.reshape([steps * envs, width]), direction)
            }
            (memory, _) => wrong_state(memory.is_some()),
        }
    }

    /// All parameters, `[P]`.
    pub fn flat(&self) -> Tensor<1> {
        self.network.flat()
    }

    /// This network with other parameters `[P]`.
    pub fn with_flat(&self, flat: Tensor<1>) -> Self {
        self.with(self.network.with_flat(flat))
    }

    /// Several networks like this one in one, with parameters `flat` `[S·P]`, concatenated by agent; `None` unless it is a
    /// perceptron with kernels on a GPU. [`forward`](Self::forward) then takes observations `[S·B, O]`, each agent's part
    /// through its own network, in one launch; [`flat`](Self::flat) and [`with_flat`](Self::with_flat) have `[S·P]`;
    /// everything else is that of one.
    ///
    /// # Panics
    ///
    /// If the length of `flat` is no multiple of `P`.
    pub fn of_agents(&self, flat: Tensor<1>) -> Option<Self> {
        Some(self.with(self.network.of_agents(flat)?))
    }

    /// This network, recording gradients.
    pub fn tracked(&self) -> Self {
        self.with(self.network.tracked())
    }

    /// Gradient with respect to all parameters `[P]`, after the backward pass of a loss that used a
    /// [`tracked`](Net::tracked) network.
    pub fn flat_grad(&self, grads: &Gradients) -> Tensor<1> {
        self.network.flat_grad(grads)
    }

    /// The module itself with other parameters `[P]`, on Burn's operations.
    pub(crate) fn stock_with(&self, flat: Tensor<1>) -> Self {
        Self::other(self.network.stock().with_flat(flat))
    }

    /// Parameters in the layout of fused passes, if this network has any.
    pub(crate) fn host_weights(&self) -> Option<Arc<Weights>> {
        self.network.host_weights()
    }

    /// Names and shapes of the parameters inside the flat vector.
    pub fn layout(&self) -> Vec<ParamSpec> {
        self.network.layout()
    }

    /// Number of parameters `P`.
    pub fn num_params(&self) -> usize {
        self.layout().iter().map(ParamSpec::len).sum()
    }

    /// Device of the parameters.
    pub fn device(&self) -> Device {
        self.flat().device()
    }
}

/// Panics for a caller that has confused networks with and without memory.
fn wrong_state(memory: bool) -> ! {
    panic!(
        "a network {} memory was given {} state",
        if memory { "with" } else { "without" },
        if memory { "no" } else { "a" },
    )
}

impl Clone for Net {
    fn clone(&self) -> Self {
        self.with(self.network.boxed_clone())
    }
}

/// A [`Network`] without its type.
pub(crate) trait ErasedNetwork: Send + std::fmt::Debug {
    fn forward(&self, obs: Tensor<2>) -> Tensor<2>;
    fn jvp(&self, obs: Tensor<2>, direction: Tensor<1>) -> Tensor<2>;
    fn flat(&self) -> Tensor<1>;
    fn with_flat(&self, flat: Tensor<1>) -> Box<dyn ErasedNetwork>;
    /// See [`Net::of_agents`].
    fn of_agents(&self, _: Tensor<1>) -> Option<Box<dyn ErasedNetwork>> {
        None
    }
    fn tracked(&self) -> Box<dyn ErasedNetwork>;
    fn flat_grad(&self, grads: &Gradients) -> Tensor<1>;
    fn layout(&self) -> Vec<ParamSpec>;
    fn boxed_clone(&self) -> Box<dyn ErasedNetwork>;
    /// The original module; its parameters may be out of date.
    fn stock(&self) -> Box<dyn ErasedNetwork> {
        self.boxed_clone()
    }
    /// Shape of the network, if its passes are fused.
    fn fused_shape(&self) -> Option<&MlpShape> {
        None
    }
    fn host_weights(&self) -> Option<Arc<Weights>> {
        None
    }
    fn memory(&self) -> Option<&dyn ErasedMemory> {
        None
    }
}

/// A [`RecurrentNetwork`] without its type.
pub(crate) trait ErasedMemory {
    fn state_width(&self) -> usize;
    fn step(&self, obs: Tensor<2>, state: Tensor<2>) -> (Tensor<2>, Tensor<2>);
    fn unroll(&self, obs: Tensor<3>, state: Tensor<2>, keep: Tensor<2>) -> (Tensor<2>, Tensor<2>);
    fn unroll_jvp(&self, sequences: Unrolled, direction: Tensor<1>) -> Tensor<2>;
}

/// Arguments of [`RecurrentNetwork::unroll`].
type Unrolled = (Tensor<3>, Tensor<2>, Tensor<2>);

impl<M: RecurrentNetwork> ErasedMemory for M {
    fn state_width(&self) -> usize {
        RecurrentNetwork::state_width(self)
    }
    fn step(&self, obs: Tensor<2>, state: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
        RecurrentNetwork::step(self, obs, state)
    }
    fn unroll(&self, obs: Tensor<3>, state: Tensor<2>, keep: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
        RecurrentNetwork::unroll(self, obs, state, keep)
    }
    fn unroll_jvp(&self, (obs, state, keep): Unrolled, direction: Tensor<1>) -> Tensor<2> {
        let tangent = params::unflatten(self.clone(), direction.clone());
        let inputs = (obs.clone(), state.clone(), keep.clone());
        RecurrentNetwork::unroll_jvp(self, &tangent, obs, state, keep).unwrap_or_else(|| {
            central_difference(params::flatten(self), direction, |flat| {
                let (obs, state, keep) = inputs.clone();
                params::unflatten(self.clone(), flat)
                    .unroll(obs, state, keep)
                    .0
            })
        })
    }
}

/// Marks a module with memory, which the compiler could not tell from one without.
#[derive(Clone, Debug)]
struct Recurrent<M>(M);

impl<M: RecurrentNetwork> ErasedNetwork for Recurrent<M> {
    fn forward(&self, obs: Tensor<2>) -> Tensor<2> {
        let start = Tensor::zeros([obs.dims()[0], self.0.state_width()], &obs.device());
        self.0.step(obs, start).0
    }
    fn jvp(&self, obs: Tensor<2>, direction: Tensor<1>) -> Tensor<2> {
        let [envs, _] = obs.dims();
        let start = Tensor::zeros([envs, self.0.state_width()], &obs.device());
        let keep = Tensor::ones([1, envs], &obs.device());
        ErasedMemory::unroll_jvp(&self.0, (obs.unsqueeze(), start, keep), direction)
    }
    fn flat(&self) -> Tensor<1> {
        params::flatten(&self.0)
    }
    fn with_flat(&self, flat: Tensor<1>) -> Box<dyn ErasedNetwork> {
        Box::new(Self(params::unflatten(self.0.clone(), flat)))
    }
    fn tracked(&self) -> Box<dyn ErasedNetwork> {
        Box::new(Self(params::tracked(self.0.clone())))
    }
    fn flat_grad(&self, grads: &Gradients) -> Tensor<1> {
        params::flat_grad(&self.0, grads)
    }
    fn layout(&self) -> Vec<ParamSpec> {
        params::layout(&self.0)
    }
    fn boxed_clone(&self) -> Box<dyn ErasedNetwork> {
        Box::new(self.clone())
    }
    fn memory(&self) -> Option<&dyn ErasedMemory> {
        Some(&self.0)
    }
}

impl<M: Network> ErasedNetwork for M {
    fn forward(&self, obs: Tensor<2>) -> Tensor<2> {
        Network::forward(self, obs)
    }
    fn jvp(&self, obs: Tensor<2>, direction: Tensor<1>) -> Tensor<2> {
        let tangent = params::unflatten(self.clone(), direction.clone());
        Network::jvp(self, &tangent, obs.clone()).unwrap_or_else(|| {
            central_difference(params::flatten(self), direction, |flat| {
                params::unflatten(self.clone(), flat).forward(obs.clone())
            })
        })
    }
    fn flat(&self) -> Tensor<1> {
        params::flatten(self)
    }
    fn with_flat(&self, flat: Tensor<1>) -> Box<dyn ErasedNetwork> {
        Box::new(params::unflatten(self.clone(), flat))
    }
    fn tracked(&self) -> Box<dyn ErasedNetwork> {
        Box::new(params::tracked(self.clone()))
    }
    fn flat_grad(&self, grads: &Gradients) -> Tensor<1> {
        params::flat_grad(self, grads)
    }
    fn layout(&self) -> Vec<ParamSpec> {
        params::layout(self)
    }
    fn boxed_clone(&self) -> Box<dyn ErasedNetwork> {
        Box::new(self.clone())
    }
}

/// Derivative of `outputs` `[B, W]`, a function of parameters `[P]`, when no exact one is known.
fn central_difference(
    params: Tensor<1>,
    direction: Tensor<1>,
    outputs: impl Fn(Tensor<1>) -> Tensor<2>,
) -> Tensor<2> {
    let rounding = params.dtype().finfo().map_or(0.0, |info| info.epsilon);
    let norm = |x: &Tensor<1>| x.clone().square().sum().sqrt();
    let length = (norm(&params) + 1.0) * rounding.cbrt();
    let speed = norm(&direction);
    let step = direction * (length.clone() / speed.clone().clamp_min(1e-30));
    let difference = outputs(params.clone() + step.clone()) - outputs(params - step);
    difference * (speed / (length * 2.0)).unsqueeze()
}

/// A network for the means of a Gaussian policy, together with log standard deviations that do not depend on the
/// observation: `[B, O]` → `[B, 2A]`.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use rand::{SeedableRng, rngs::SmallRng};
/// use uphill_core::{dist::DistKind, network::WithLogStd, nn::MlpConfig, policy::Actor};
///
/// let (device, mut rng) = (Device::flex(), SmallRng::seed_from_u64(1));
/// let means = MlpConfig::default().build(3, 2, 0.01, &mut rng, &device);
/// let actor = Actor::new(WithLogStd::new(means, 2, -0.5, &device), DistKind::Gaussian { dim: 2 });
/// assert_eq!(actor.dist_params(Tensor::zeros([8, 3], &device)).dims(), [8, 4]);
/// ```
#[derive(Module, Debug)]
pub struct WithLogStd<M: Module> {
    /// Network for the means, `[B, O]` → `[B, A]`.
    pub mean: M,
    /// Log standard deviations `[A]`.
    pub log_std: Param<Tensor<1>>,
}

impl<M: Module> WithLogStd<M> {
    /// Adds `dim` log standard deviations with initial value `log_std`.
    pub fn new(mean: M, dim: usize, log_std: f64, device: &Device) -> Self {
        let log_std = Param::from_tensor(Tensor::full([dim], log_std, device));
        Self { mean, log_std }
    }

    /// Appends the log standard deviations to means, `[B, A]` → `[B, 2A]`.
    pub(crate) fn append(&self, mean: Tensor<2>) -> Tensor<2> {
        let [batch, dim] = mean.dims();
        let log_std = self.log_std.val().unsqueeze::<2>().expand([batch, dim]);
        Tensor::cat(vec![mean, log_std], 1)
    }
}

impl<M: Network> Network for WithLogStd<M> {
    fn forward(&self, obs: Tensor<2>) -> Tensor<2> {
        self.append(self.mean.forward(obs))
    }

    fn mlp_shape(&self) -> Option<MlpShape> {
        let mean = self.mean.mlp_shape().filter(MlpShape::is_bare)?;
        Some(MlpShape {
            log_stds: self.log_std.lazy_shape().num_elements(),
            ..mean
        })
    }

    fn jvp(&self, tangent: &Self, obs: Tensor<2>) -> Option<Tensor<2>> {
        Some(tangent.append(self.mean.jvp(&tangent.mean, obs)?))
    }
}
