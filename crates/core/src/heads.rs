//! Modules between a network and its distribution: state-dependent standard deviations, action masks.
//!
//! Each wraps a network and is a network itself, so everything that works on networks (flat parameters, gradients,
//! checkpoints) works on them. [`WithLogStd`](crate::network::WithLogStd) belongs to the same family.

use crate::{dist::mask_logits, network::Network, ops::MlpShape, recurrent::RecurrentNetwork};
use burn::{
    module::Module,
    tensor::{Tensor, activation::sigmoid},
};

/// Range of log σ in [`StateLogStd`], the usual one for state-dependent standard deviations: σ from 0.007 to 7.4.
pub const LOG_STD_RANGE: [f64; 2] = [-5.0, 2.0];

/// Means and log standard deviations that both depend on the observation, from a network with twice as many outputs as
/// there are action components: `[B, O]` → `[B, 2A]`.
///
/// The second half r of the outputs becomes log σ = −5 + 7 sigmoid(r + r₀), which is smooth and within
/// [`LOG_STD_RANGE`]; r₀ sets log σ at r = 0.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use rand::{SeedableRng, rngs::SmallRng};
/// use uphill_core::{heads::StateLogStd, network::Network, nn::MlpConfig};
///
/// let (device, mut rng) = (Device::flex(), SmallRng::seed_from_u64(1));
/// let net = MlpConfig::default().build(3, 2, 0.01, &mut rng, &device);
/// let params = StateLogStd::new(net, -0.5).forward(Tensor::zeros([1, 3], &device));
/// let log_std = params.into_data().iter::<f32>().nth(1).expect("a mean and log σ");
/// assert!((log_std + 0.5).abs() < 1e-5);
/// ```
#[derive(Module, Debug)]
pub struct StateLogStd<M: Module> {
    /// Network `[B, O]` → means, then r, `[B, 2A]`.
    pub net: M,
    /// r₀.
    #[module(skip)]
    pub offset: f64,
}

impl<M: Module> StateLogStd<M> {
    /// Wraps `net`; `log_std` is log σ where the network's outputs are 0.
    ///
    /// # Panics
    /// If `log_std` is not inside [`LOG_STD_RANGE`].
    pub fn new(net: M, log_std: f64) -> Self {
        let [low, high] = LOG_STD_RANGE;
        assert!(low < log_std && log_std < high, "log_std {log_std}");
        let offset = ((log_std - low) / (high - log_std)).ln();
        Self { net, offset }
    }

    /// Means `[B, A]` and r + r₀ `[B, A]` from the outputs of the network `[B, 2A]`.
    fn halves(&self, outputs: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
        let dim = outputs.dims()[1] / 2;
        let raw = outputs.clone().narrow(1, dim, dim) + self.offset;
        (outputs.narrow(1, 0, dim), raw)
    }

    /// Means and log σ from the outputs of the network, `[B, 2A]` → `[B, 2A]`.
    fn params(&self, outputs: Tensor<2>) -> Tensor<2> {
        let [low, high] = LOG_STD_RANGE;
        let (mean, raw) = self.halves(outputs);
        let log_std = sigmoid(raw) * (high - low) + low;
        Tensor::cat(vec![mean, log_std], 1)
    }

    /// Derivative of [`params`](Self::params) along a tangent of the outputs, `[B, 2A]`.
    fn params_jvp(&self, outputs: Tensor<2>, tangent: Tensor<2>) -> Tensor<2> {
        let [low, high] = LOG_STD_RANGE;
        let (_, raw) = self.halves(outputs);
        let dim = raw.dims()[1];
        let share = sigmoid(raw);
        let slope = share.clone() * (share.neg() + 1.0) * (high - low);
        let log_std = tangent.clone().narrow(1, dim, dim) * slope;
        Tensor::cat(vec![tangent.narrow(1, 0, dim), log_std], 1)
    }
}

impl<M: Network> Network for StateLogStd<M> {
    fn forward(&self, obs: Tensor<2>) -> Tensor<2> {
        self.params(self.net.forward(obs))
    }

    fn jvp(&self, tangent: &Self, obs: Tensor<2>) -> Option<Tensor<2>> {
        let outputs_tangent = self.net.jvp(&tangent.net, obs.clone())?;
        Some(self.params_jvp(self.net.forward(obs), outputs_tangent))
    }
}

impl<M: RecurrentNetwork> RecurrentNetwork for StateLogStd<M> {
    fn state_width(&self) -> usize {
        self.net.state_width()
    }

    fn step(&self, obs: Tensor<2>, state: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
        let (outputs, state) = self.net.step(obs, state);
        (self.params(outputs), state)
    }

    fn unroll(&self, obs: Tensor<3>, state: Tensor<2>, keep: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
        let (outputs, states) = self.net.unroll(obs, state, keep);
        (self.params(outputs), states)
    }

    fn unroll_jvp(
        &self,
        tangent: &Self,
        obs: Tensor<3>,
        state: Tensor<2>,
        keep: Tensor<2>,
    ) -> Option<Tensor<2>> {
        let (outputs, _) = self.net.unroll(obs.clone(), state.clone(), keep.clone());
        let outputs_tangent = self.net.unroll_jvp(&tangent.net, obs, state, keep)?;
        Some(self.params_jvp(outputs, outputs_tangent))
    }
}

/// Logits some of which the observation forbids: `[B, O]` → `[B, K]`.
///
/// The last K columns of the observation are 1 where an action is allowed and 0 where it is not; the network sees them
/// too. An observation normaliser must leave them unchanged, as an [`ObsNorm`](crate::normalize::ObsNorm) over the
/// other O − K columns does.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use rand::{SeedableRng, rngs::SmallRng};
/// use uphill_core::{dist::DistKind, heads::Masked, nn::MlpConfig, policy::Actor};
///
/// let (device, mut rng) = (Device::flex(), SmallRng::seed_from_u64(1));
/// let net = Masked::new(MlpConfig::default().build(5, 2, 0.01, &mut rng, &device));
/// let actor = Actor::new(net, DistKind::Categorical { choices: 2 });
/// // The last two columns allow the second action alone.
/// let obs = Tensor::from_floats([[0.3, 0.1, 0.2, 0.0, 1.0]], &device);
/// assert_eq!(actor.dist(obs).mode().into_scalar::<f32>(), 1.0);
/// ```
#[derive(Module, Debug)]
pub struct Masked<M: Module> {
    /// Network `[B, O]` → logits `[B, K]`.
    pub net: M,
}

impl<M: Module> Masked<M> {
    /// Masks the logits of `net`.
    pub fn new(net: M) -> Self {
        Self { net }
    }
}

impl<M: Network> Network for Masked<M> {
    fn forward(&self, obs: Tensor<2>) -> Tensor<2> {
        masked(self.net.forward(obs.clone()), obs)
    }

    fn mlp_shape(&self) -> Option<MlpShape> {
        let logits = self.net.mlp_shape().filter(MlpShape::is_bare)?;
        Some(MlpShape {
            masked: true,
            ..logits
        })
    }

    fn jvp(&self, tangent: &Self, obs: Tensor<2>) -> Option<Tensor<2>> {
        let logits = self.net.jvp(&tangent.net, obs.clone())?;
        Some(masked_jvp(logits, obs))
    }
}

impl<M: RecurrentNetwork> RecurrentNetwork for Masked<M> {
    fn state_width(&self) -> usize {
        self.net.state_width()
    }

    fn step(&self, obs: Tensor<2>, state: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
        let (logits, state) = self.net.step(obs.clone(), state);
        (masked(logits, obs), state)
    }

    fn unroll(&self, obs: Tensor<3>, state: Tensor<2>, keep: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
        let [steps, envs, width] = obs.dims();
        let (logits, states) = self.net.unroll(obs.clone(), state, keep);
        (masked(logits, obs.reshape([steps * envs, width])), states)
    }

    fn unroll_jvp(
        &self,
        tangent: &Self,
        obs: Tensor<3>,
        state: Tensor<2>,
        keep: Tensor<2>,
    ) -> Option<Tensor<2>> {
        let [steps, envs, width] = obs.dims();
        let logits = self
            .net
            .unroll_jvp(&tangent.net, obs.clone(), state, keep)?;
        Some(masked_jvp(logits, obs.reshape([steps * envs, width])))
    }
}

/// Logits `[B, K]` under the mask in the last columns of observations `[B, O]`.
pub(crate) fn masked(logits: Tensor<2>, obs: Tensor<2>) -> Tensor<2> {
    let ([_, width], [_, choices]) = (obs.dims(), logits.dims());
    mask_logits(logits, obs.narrow(1, width - choices, choices))
}

/// Derivative of [`masked`] along a tangent of the logits: it is zero for forbidden actions.
pub(crate) fn masked_jvp(tangent: Tensor<2>, obs: Tensor<2>) -> Tensor<2> {
    let ([_, width], [_, choices]) = (obs.dims(), tangent.dims());
    let mask = obs.narrow(1, width - choices, choices);
    tangent.mask_fill(mask.lower_elem(0.5), 0.0)
}
