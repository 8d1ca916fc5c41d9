//! Optimisers on one flat parameter vector `[P]`: Adam, RMSProp, SGD, gradient clipping.

use crate::ops;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

/// Update rule of an optimiser.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use uphill_core::optim::{Rule, RuleKind};
///
/// let device = Device::flex();
/// let mut rule = Rule::new(RuleKind::Sgd, 1, 0.0, &device);
/// let number = |x: f32| Tensor::<1>::from_floats([x], &device);
/// assert_eq!(rule.step(number(1.0), number(2.0), 0.25).into_scalar::<f32>(), 0.5);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RuleKind {
    /// [`Adam`].
    #[default]
    Adam,
    /// [`RmsProp`].
    RmsProp,
    /// θ − α g.
    Sgd,
}

/// An update rule with its state.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use uphill_core::optim::{Rule, RuleKind};
///
/// // The first steps of Adam and RMSProp do not depend on the size of the gradient.
/// let device = Device::flex();
/// let number = |x: f32| Tensor::<1>::from_floats([x], &device);
/// for (kind, expected) in [(RuleKind::Adam, 0.9), (RuleKind::RmsProp, 0.0)] {
///     let mut rule = Rule::new(kind, 1, 0.0, &device);
///     let found = rule.step(number(1.0), number(8.0), 0.1).into_scalar::<f32>();
///     assert!((found - expected).abs() < 1e-5);
/// }
/// ```
#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant)] // tensor handles; there are one or two of these in a run
pub enum Rule {
    /// Adaptive moments.
    Adam(Adam),
    /// Steps divided by the root of a running mean square.
    RmsProp(RmsProp),
    /// Plain gradient descent, which has no state.
    Sgd,
}

impl Rule {
    /// A rule with fresh state for `len` parameters. `epsilon` is added to the denominator of Adam and RMSProp.
    pub fn new(kind: RuleKind, len: usize, epsilon: f64, device: &Device) -> Self {
        match kind {
            RuleKind::Adam => Self::Adam(Adam::new(len, epsilon, device)),
            RuleKind::RmsProp => Self::RmsProp(RmsProp::new(len, epsilon, device)),
            RuleKind::Sgd => Self::Sgd,
        }
    }

    /// Takes one descent step: new parameters `[P]` from parameters `[P]`, their gradient `[P]` and learning rate `lr`.
    pub fn step(&mut self, params: Tensor<1>, grad: Tensor<1>, lr: f64) -> Tensor<1> {
        match self {
            Self::Adam(adam) => adam.step(params, grad, lr),
            Self::RmsProp(rms_prop) => rms_prop.step(params, grad, lr),
            Self::Sgd => {
                assert_eq!(grad.dims(), params.dims(), "shape of grad");
                params - grad * lr
            }
        }
    }
}

/// Adam (Kingma & Ba, arXiv:1412.6980, algorithm 1).
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use uphill_core::optim::Adam;
///
/// let device = Device::flex();
/// let mut adam = Adam::new(1, 1e-8, &device);
/// // The first step is as long as the learning rate, whatever the gradient.
/// let params = adam.step(Tensor::zeros([1], &device), Tensor::full([1], 7.0, &device), 0.1);
/// assert!((params.into_scalar::<f32>() + 0.1).abs() < 1e-6);
/// ```
#[derive(Clone, Debug)]
pub struct Adam {
    /// Decay rate of the first moment.
    pub beta1: f64,
    /// Decay rate of the second moment.
    pub beta2: f64,
    /// Constant added to √v̂.
    pub epsilon: f64,
    /// First moments `[P]`.
    pub first: Tensor<1>,
    /// Second moments `[P]`.
    pub second: Tensor<1>,
    /// Number of steps taken.
    pub steps: u64,
}

impl Adam {
    /// Fresh state for `len` parameters, with β₁ = 0.9 and β₂ = 0.999.
    pub fn new(len: usize, epsilon: f64, device: &Device) -> Self {
        Self {
            beta1: 0.9,
            beta2: 0.999,
            epsilon,
            first: Tensor::zeros([len], device),
            second: Tensor::zeros([len], device),
            steps: 0,
        }
    }

    /// Takes one step: θ − α m̂ / (√v̂ + ε) for parameters θ `[P]`, gradient `[P]` and learning rate α.
    pub fn step(&mut self, params: Tensor<1>, grad: Tensor<1>, lr: f64) -> Tensor<1> {
        assert_eq!(params.dims(), self.first.dims(), "shape of params");
        assert_eq!(grad.dims(), self.first.dims(), "shape of grad");
        if ops::on_host(&params) {
            return ops::adam_step(self, params, grad, lr);
        }
        self.steps += 1;
        let (b1, b2) = (self.beta1, self.beta2);
        self.first = self.first.clone() * b1 + grad.clone() * (1.0 - b1);
        self.second = self.second.clone() * b2 + grad.square() * (1.0 - b2);
        let scale = (self.second.clone() * self.unbias(b2)).sqrt() + self.epsilon;
        params - self.first.clone() / scale * (lr * self.unbias(b1))
    }

    /// Splits the state into one for the first `len` parameters of each of `agents` and one for the rest.
    pub fn split(&self, len: usize, agents: usize) -> [Self; 2] {
        let rest = self.first.dims()[0] / agents - len;
        let part = |x: &Tensor<1>, start, len| {
            let rows = x.clone().reshape([agents as i32, -1]);
            rows.narrow(1, start, len).reshape([agents * len])
        };
        [(0, len), (len, rest)].map(|(start, len)| Self {
            first: part(&self.first, start, len),
            second: part(&self.second, start, len),
            ..self.clone()
        })
    }

    /// The inverse of [`split`](Self::split): both states must have taken the same number of steps.
    pub fn joined([head, tail]: [Self; 2], agents: usize) -> Self {
        let both = |x: &Tensor<1>, y: &Tensor<1>| {
            let rows = [x, y].map(|x| x.clone().reshape([agents as i32, -1]));
            Tensor::<2>::cat(rows.into(), 1).reshape([-1])
        };
        Self {
            first: both(&head.first, &tail.first),
            second: both(&head.second, &tail.second),
            ..head
        }
    }

    /// States of several agents in one, `[S·P]`, which must have taken the same number of steps.
    ///
    /// # Panics
    ///
    /// If `all` is empty.
    pub fn of_agents(all: Vec<Self>) -> Self {
        let joined = |of: fn(&Self) -> &Tensor<1>| {
            Tensor::cat(all.iter().map(|one| of(one).clone()).collect(), 0)
        };
        Self {
            first: joined(|one| &one.first),
            second: joined(|one| &one.second),
            ..all[0].clone()
        }
    }

    /// 1 / (1 − βᵗ), the bias correction for moments that started at zero.
    fn unbias(&self, beta: f64) -> f64 {
        1.0 / (1.0 - beta.powf(self.steps as f64))
    }
}

/// RMSProp (Tieleman & Hinton 2012, lecture 6e): the step of each parameter is divided by the root of a running mean of
/// its squared gradients.
///
/// ε is added outside the root, as in PyTorch; TensorFlow, with which A2C's settings were found, adds it inside.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use uphill_core::optim::RmsProp;
///
/// // The mean square is 0.01 g² after one step, so the step is 10 times the learning rate.
/// let device = Device::flex();
/// let number = |x: f32| Tensor::<1>::from_floats([x], &device);
/// let params = RmsProp::new(1, 0.0, &device).step(number(1.0), number(8.0), 0.05);
/// assert!((params.into_scalar::<f32>() - 0.5).abs() < 1e-5);
/// ```
#[derive(Clone, Debug)]
pub struct RmsProp {
    /// Decay rate α of the mean square.
    pub decay: f64,
    /// Constant added to √v.
    pub epsilon: f64,
    /// Mean square v, `[P]`.
    pub second: Tensor<1>,
}

impl RmsProp {
    /// Fresh state for `len` parameters, with a decay rate of 0.99.
    pub fn new(len: usize, epsilon: f64, device: &Device) -> Self {
        Self {
            decay: 0.99,
            epsilon,
            second: Tensor::zeros([len], device),
        }
    }

    /// Takes one step: v ← α v + (1−α) g², θ − lr · g / (√v + ε), for parameters θ `[P]` and gradient `[P]`.
    pub fn step(&mut self, params: Tensor<1>, grad: Tensor<1>, lr: f64) -> Tensor<1> {
        assert_eq!(params.dims(), self.second.dims(), "shape of params");
        assert_eq!(grad.dims(), self.second.dims(), "shape of grad");
        let fresh = grad.clone().square() * (1.0 - self.decay);
        self.second = self.second.clone() * self.decay + fresh;
        params - grad / (self.second.clone().sqrt() + self.epsilon) * lr
    }
}

/// Scales the gradient `[P]` down to norm `max_norm` if it is longer (0: never). Returns it with its norm `[1]` before
/// scaling.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use uphill_core::optim::clip_grad_norm;
///
/// let (grad, norm) = clip_grad_norm(Tensor::from_floats([3.0, 4.0], &Device::flex()), 1.0);
/// assert_eq!(norm.into_scalar::<f32>(), 5.0);
/// assert!((grad.square().sum().into_scalar::<f32>() - 1.0).abs() < 1e-5);
/// ```
pub fn clip_grad_norm(grad: Tensor<1>, max_norm: f64) -> (Tensor<1>, Tensor<1>) {
    if ops::on_host(&grad) {
        return ops::clip_grad_norm(grad, max_norm);
    }
    let norm = grad.clone().square().sum().sqrt();
    if max_norm <= 0.0 {
        return (grad, norm);
    }
    let scale = ((norm.clone() + 1e-6).recip() * max_norm).clamp_max(1.0);
    (grad * scale, norm)
}
