//! Advantages and returns over a rollout: TD residuals, GAE, n-step and Monte-Carlo returns.
//!
//! All tensors are `[T, N]`. `next_values[t]` is V of the observation that followed step `t` *before* any reset, so a
//! truncated step bootstraps from the observation it really ended in, and the last row of a rollout needs no special
//! case. Termination zeroes the bootstrap; termination and truncation both cut the trace.
//!
//! Traces of several agents on a GPU are concatenated, `[S·T, N]`, and so are their advantages.

use crate::scan;
use burn::tensor::{Bool, Device, Int, Tensor, TensorData};
use uphill_gpu::{device::on_device, experience};

/// Rewards, values and episode ends of a rollout, `[T, N]` each.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use uphill_core::advantage::{Trace, td_residuals};
///
/// // One copy, one step that ended the episode: δ = r − V(s), without a bootstrap.
/// let device = Device::flex();
/// let number = |x: f32| Tensor::<2>::from_floats([[x]], &device);
/// let trace = Trace {
///     rewards: number(1.0),
///     values: number(0.25),
///     next_values: number(5.0),
///     terminated: number(1.0).bool(),
///     truncated: number(0.0).bool(),
///     agents: 1,
/// };
/// assert_eq!(td_residuals(&trace, 0.9).into_scalar::<f32>(), 0.75);
/// ```
#[derive(Clone, Debug)]
pub struct Trace {
    /// r_t.
    pub rewards: Tensor<2>,
    /// V(s_t).
    pub values: Tensor<2>,
    /// V of the observation after step t, before a reset.
    pub next_values: Tensor<2>,
    /// Whether the MDP ended at step t.
    pub terminated: Tensor<2, Bool>,
    /// Whether the episode was cut off at step t although the MDP went on.
    pub truncated: Tensor<2, Bool>,
    /// Number of agents `S`, whose rows are concatenated, `[S·T, N]`; several only on a GPU.
    pub agents: usize,
}

impl Trace {
    fn check(&self) {
        let dims = self.rewards.dims();
        assert_eq!(self.values.dims(), dims, "shape of values");
        assert_eq!(self.next_values.dims(), dims, "shape of next_values");
        assert_eq!(self.terminated.dims(), dims, "shape of terminated");
        assert_eq!(self.truncated.dims(), dims, "shape of truncated");
    }

    /// r_t + γ (1 − terminated_t) V(s_{t+1}).
    fn targets(&self, gamma: f64) -> Tensor<2> {
        let alive = not(self.terminated.clone());
        self.rewards.clone() + alive * self.next_values.clone() * gamma
    }

    /// 1 where step t+1 continues the episode of step t.
    fn continues(&self) -> Tensor<2> {
        not(self.terminated.clone().bool_or(self.truncated.clone()))
    }

    /// 1 where step t+1 continues the episode of step t and lies inside the rollout.
    fn inside(&self) -> Tensor<2> {
        assert_eq!(self.agents, 1, "agents of this estimator");
        let [steps, _] = self.rewards.dims();
        let row = Tensor::<1, Int>::arange(0..steps as i64, &self.rewards.device());
        let not_last = row.lower_elem(steps as i64 - 1).float();
        self.continues() * not_last.unsqueeze_dim(1)
    }
}

/// Advantage estimator. Ordered from low variance and high bias (with an imperfect V) to the reverse.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use uphill_core::advantage::{Estimator, Trace};
///
/// let device = Device::flex();
/// let (ones, never) = (Tensor::<2>::ones([2, 1], &device), Tensor::<2>::zeros([2, 1], &device).bool());
/// let trace = Trace {
///     rewards: ones.clone(),
///     values: ones.clone(),
///     next_values: ones * 2.0,
///     terminated: never.clone(),
///     truncated: never,
///     agents: 1,
/// };
/// // δ = 1 + ½ · 2 − 1 = 1 in both steps; λ = 1 adds γ δ_1 to the first.
/// let first = |e: Estimator| e.advantages(&trace, 0.5).iter_dim(0).next().unwrap().into_scalar::<f32>();
/// assert_eq!(first(Estimator::Td), 1.0);
/// assert_eq!(first(Estimator::Gae { lambda: 1.0 }), 1.5);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Estimator {
    /// [`td_residuals`].
    Td,
    /// [`n_step_returns`] minus V: `n` + 1 rewards before the bootstrap.
    NStep {
        /// Number of steps as in [`n_step_returns`], counted from 0.
        n: usize,
    },
    /// [`gae`].
    Gae {
        /// λ.
        lambda: f64,
    },
    /// [`discounted_returns`] minus V: all available rewards before the bootstrap.
    MonteCarlo,
}

impl Estimator {
    /// A_t, `[T, N]`. Adding V(s_t) gives the value targets.
    pub fn advantages(self, trace: &Trace, gamma: f64) -> Tensor<2> {
        let values = trace.values.clone();
        match self {
            Self::Td => td_residuals(trace, gamma),
            Self::NStep { n } => n_step_returns(trace, gamma, n) - values,
            Self::Gae { lambda } => gae(trace, gamma, lambda),
            Self::MonteCarlo => discounted_returns(trace, gamma) - values,
        }
    }
}

fn not(flag: Tensor<2, Bool>) -> Tensor<2> {
    flag.float().neg() + 1.0
}

/// δ_t = r_t + γ (1 − terminated_t) V(s_{t+1}) − V(s_t), `[T, N]`.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use uphill_core::advantage::{Trace, td_residuals};
///
/// let device = Device::flex();
/// let number = |x: f32| Tensor::<2>::from_floats([[x]], &device);
/// let trace = Trace {
///     rewards: number(1.0),
///     values: number(2.0),
///     next_values: number(4.0),
///     terminated: number(0.0).bool(),
///     truncated: number(1.0).bool(),
///     agents: 1,
/// };
/// // A truncated step bootstraps: 1 + ½ · 4 − 2.
/// assert_eq!(td_residuals(&trace, 0.5).into_scalar::<f32>(), 1.0);
/// ```
pub fn td_residuals(trace: &Trace, gamma: f64) -> Tensor<2> {
    trace.check();
    trace.targets(gamma) - trace.values.clone()
}

/// A_t = Σ_l (γλ)^l δ_{t+l} within the episode, `[T, N]`.
///
/// Schulman et al., arXiv:1506.02438 eq. 16. λ = 0 is the TD residual, λ = 1 the discounted return
/// minus V.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use uphill_core::advantage::{Trace, gae};
///
/// let device = Device::flex();
/// let ones = || Tensor::<2>::ones([2, 1], &device);
/// let flags = |x| Tensor::<2>::from_floats([[0.0], [x]], &device).greater_elem(0.5);
/// let trace = Trace {
///     rewards: ones(),
///     values: ones() * 0.0,
///     next_values: ones() * 0.0,
///     terminated: flags(1.0),
///     truncated: flags(0.0),
///     agents: 1,
/// };
/// // Two rewards of 1 before the end: A_0 = 1 + γ λ, A_1 = 1.
/// let advantages: Vec<f32> = gae(&trace, 0.5, 0.5).into_data().iter().collect();
/// assert_eq!(advantages, [1.25, 1.0]);
/// ```
pub fn gae(trace: &Trace, gamma: f64, gae_lambda: f64) -> Tensor<2> {
    let [advantages, _] = gae_with_returns(trace, gamma, gae_lambda);
    advantages
}

/// [`gae`], and the matching value targets A_t + V(s_t). Both `[T, N]`.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use uphill_core::advantage::{Trace, gae_with_returns};
///
/// let device = Device::flex();
/// let number = |x: f32| Tensor::<2>::from_floats([[x]], &device);
/// let trace = Trace {
///     rewards: number(1.0),
///     values: number(0.25),
///     next_values: number(0.0),
///     terminated: number(1.0).bool(),
///     truncated: number(0.0).bool(),
///     agents: 1,
/// };
/// let [advantages, returns] = gae_with_returns(&trace, 0.99, 0.95);
/// assert_eq!([advantages.into_scalar::<f32>(), returns.into_scalar::<f32>()], [0.75, 1.0]);
/// ```
///
/// # Panics
///
/// If there are several agents and their traces are not on a GPU.
pub fn gae_with_returns(trace: &Trace, gamma: f64, gae_lambda: f64) -> [Tensor<2>; 2] {
    trace.check();
    if on_device(&trace.rewards) {
        let Trace {
            rewards,
            values,
            next_values,
            terminated,
            truncated,
            agents,
        } = trace.clone();
        let numbers = [rewards, values, next_values];
        return experience::gae(numbers, [terminated, truncated], gamma, gae_lambda, agents);
    }
    assert_eq!(trace.agents, 1, "agents in host memory");
    let decay = trace.continues() * (gamma * gae_lambda);
    let advantages = scan::reverse(td_residuals(trace, gamma), decay);
    let returns = advantages.clone() + trace.values.clone();
    [advantages, returns]
}

/// G_t = Σ_l γ^l r_{t+l} within the episode, `[T, N]`, plus the bootstrap γ^k V where a truncation or the end of the
/// rollout cuts an episode that the MDP did not end.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use uphill_core::advantage::{Trace, discounted_returns};
///
/// let device = Device::flex();
/// let (ones, never) = (Tensor::<2>::ones([2, 1], &device), Tensor::<2>::zeros([2, 1], &device).bool());
/// let trace = Trace {
///     rewards: ones.clone(),
///     values: ones.clone(),
///     next_values: ones * 4.0,
///     terminated: never.clone(),
///     truncated: never,
///     agents: 1,
/// };
/// // G_1 = 1 + ½ · 4, bootstrapped at the end of the rollout, and G_0 = 1 + ½ G_1.
/// let returns: Vec<f32> = discounted_returns(&trace, 0.5).into_data().iter().collect();
/// assert_eq!(returns, [2.5, 3.0]);
/// ```
pub fn discounted_returns(trace: &Trace, gamma: f64) -> Tensor<2> {
    trace.check();
    let inside = trace.inside();
    let cut = inside.clone().neg() + 1.0;
    let inflow = inside.clone() * trace.rewards.clone() + cut * trace.targets(gamma);
    scan::reverse(inflow, inside * gamma)
}

/// n-step return `[T, N]`: Σ_{i=0..k} γ^i r_{t+i} + γ^{k+1} V(s_{t+k+1}), where k is n, or less if the episode or the
/// rollout ends first (n counts from 0; n = 0 is the TD target).
///
/// Sutton & Barto (2018) eq. 7.1, counting steps from zero. Subtracting V(s_t) gives the advantage.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use uphill_core::advantage::{Trace, n_step_returns};
///
/// let device = Device::flex();
/// let (ones, never) = (Tensor::<2>::ones([3, 1], &device), Tensor::<2>::zeros([3, 1], &device).bool());
/// let trace = Trace {
///     rewards: ones.clone(),
///     values: ones.clone(),
///     next_values: ones * 4.0,
///     terminated: never.clone(),
///     truncated: never,
///     agents: 1,
/// };
/// // n = 1: 1 + ½ + ¼ · 4 for the first two steps; the last one bootstraps after one reward.
/// let returns: Vec<f32> = n_step_returns(&trace, 0.5, 1).into_data().iter().collect();
/// assert_eq!(returns, [2.5, 2.5, 3.0]);
/// ```
pub fn n_step_returns(trace: &Trace, gamma: f64, n: usize) -> Tensor<2> {
    trace.check();
    let [steps, _] = trace.rewards.dims();
    let bootstrap = trace.targets(gamma);
    let inside = trace.inside();
    let cut = inside.clone().neg() + 1.0;
    let past_the_end = trace.rewards.clone().narrow(0, 0, 1).zeros_like();
    let mut returns = bootstrap.clone();
    for _ in 0..n.min(steps - 1) {
        let later = Tensor::cat(
            vec![returns.narrow(0, 1, steps - 1), past_the_end.clone()],
            0,
        );
        let through = trace.rewards.clone() + later * gamma;
        returns = inside.clone() * through + cut.clone() * bootstrap.clone();
    }
    returns
}

/// γᵗ for the rows of a rollout, `[T, 1]`.
///
/// These are the weights of the steps in the gradient of the *discounted* return of episodes that begin at row 0
/// (Sutton & Barto 2018, §13.3).
///
/// ```
/// use burn::tensor::Device;
/// use uphill_core::advantage::discounts;
///
/// let weights: Vec<f32> = discounts(3, 0.5, &Device::flex()).into_data().iter().collect();
/// assert_eq!(weights, [1.0, 0.5, 0.25]);
/// ```
pub fn discounts(steps: usize, gamma: f64, device: &Device) -> Tensor<2> {
    let powers: Vec<f64> = (0..steps).map(|t| gamma.powi(t as i32)).collect();
    Tensor::from_data(TensorData::new(powers, [steps, 1]), device)
}

/// (A − mean) / (std + 1e-8) over all elements `[B]`, with the unbiased standard deviation. A batch of fewer than two
/// elements is returned unchanged: its standard deviation is undefined.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use uphill_core::advantage::standardize;
///
/// let x = standardize(Tensor::from_floats([1.0, 2.0, 6.0], &Device::flex()));
/// assert!(x.mean().into_scalar::<f32>().abs() < 1e-6);
/// ```
pub fn standardize(advantages: Tensor<1>) -> Tensor<1> {
    if advantages.dims()[0] < 2 {
        return advantages;
    }
    let (variance, mean) = advantages.clone().var_mean(0);
    (advantages - mean) / (variance.sqrt() + 1e-8)
}
