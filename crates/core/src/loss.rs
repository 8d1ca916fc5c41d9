//! Objectives, losses and diagnostics of policy-gradient methods over a batch.
//!
//! A `surrogate` is maximised, a `*_loss` is minimised. Inputs are `[B]`, results are means `[1]`.

use crate::{
    advantage::standardize,
    ops,
    policy::{Actor, Critic},
    read_back,
    rollout::Batch,
};
use burn::tensor::{Tensor, TensorData};

/// Surrogate objective of a policy.
///
/// ```
/// use uphill_core::loss::Surrogate;
///
/// let surrogate = Surrogate::Penalised { kl_coef: 1.0, clip: 0.2 };
/// assert_eq!(surrogate.clip(), 0.2); // only for the reported clip fraction
/// ```
#[derive(Clone, Debug, PartialEq)]
pub enum Surrogate {
    /// [`policy_gradient_surrogate`].
    LogProb,
    /// [`clipped_surrogate`].
    Clipped {
        /// ε: ratios are clipped to 1 ± `clip`.
        clip: f64,
    },
    /// [`ratio_surrogate`] minus β times the mean KL(old ‖ new) (Schulman et al., arXiv:1707.06347 §4).
    Penalised {
        /// β.
        kl_coef: f64,
        /// Ratios further than this from 1 count towards the clip fraction; none is clipped.
        clip: f64,
    },
    /// [`own_surrogate`].
    Custom(ops::Custom),
}

impl Surrogate {
    /// ε of the [`clip_fraction`].
    pub fn clip(&self) -> f64 {
        match self {
            Self::LogProb => 0.0,
            Self::Clipped { clip } | Self::Penalised { clip, .. } => *clip,
            Self::Custom(custom) => custom.clip().into(),
        }
    }
}

/// Actor-critic loss c_V L_V − J − c_H H, which PPO, A2C and A3C share: value loss L_V, surrogate J, entropy H.
///
/// [`on`](Self::on) is the reference; fused loops and kernels compute the same from [`in_f32`](Self::in_f32).
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use rand::{SeedableRng, rngs::SmallRng};
/// use uphill_core::{dist::DistKind, nn::MlpConfig, policy::{Actor, Critic}, rollout::Batch};
/// use uphill_core::loss::{ActorCriticLoss, Surrogate};
///
/// let (device, mut rng) = (Device::flex(), SmallRng::seed_from_u64(1));
/// let mut network = |outputs| MlpConfig::default().build(1, outputs, 0.0, &mut rng, &device);
/// let actor = Actor::new(network(2), DistKind::Categorical { choices: 2 });
/// let critic = Critic::new(network(1));
/// let ones = Tensor::<1>::ones([4], &device);
/// let batch = Batch {
///     obs: Tensor::<2>::ones([4, 1], &device).into(),
///     actions: Tensor::zeros([4, 1], &device),
///     log_probs: ones.clone() * 0.5f64.ln(),
///     values: ones.clone() * 0.0,
///     advantages: ones.clone(),
///     returns: ones,
///     sequences: None,
///     agents: 1,
/// };
/// let loss = ActorCriticLoss {
///     surrogate: Surrogate::Clipped { clip: 0.2 },
///     value_clip: 0.0,
///     value_coef: 0.5,
///     entropy_coef: 0.0,
///     standardize: false,
/// };
/// // Ratios are 1 and values 0: ½ · ½ · 1² − 1.
/// let parts = loss.on((&actor, &critic), &actor, &batch);
/// assert!((parts.total.into_scalar::<f32>() + 0.75).abs() < 1e-6);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct ActorCriticLoss {
    /// J.
    pub surrogate: Surrogate,
    /// Clip range of the value function's change, see [`clipped_value_loss`]; 0 disables clipping.
    pub value_clip: f64,
    /// c_V.
    pub value_coef: f64,
    /// c_H.
    pub entropy_coef: f64,
    /// Whether advantages are first standardised to mean 0 and standard deviation 1 over the batch.
    pub standardize: bool,
}

impl ActorCriticLoss {
    /// Loss over a batch of experience collected by the policy `old`.
    pub fn on(&self, (actor, critic): (&Actor, &Critic), old: &Actor, batch: &Batch) -> Parts {
        let dist = actor.dist_on(batch);
        let values = critic.values_on(batch);
        let advantages = match self.standardize {
            true => standardize(batch.advantages.clone()),
            false => batch.advantages.clone(),
        };

        let log_probs = dist.log_prob(batch.actions.clone());
        let log_ratios = log_probs.clone() - batch.log_probs.clone();
        let surrogate = match &self.surrogate {
            Surrogate::LogProb => policy_gradient_surrogate(log_probs, advantages),
            Surrogate::Clipped { clip } => clipped_surrogate(log_ratios.clone(), advantages, *clip),
            Surrogate::Penalised { kl_coef, .. } => {
                let kl = old.dist_on(batch).kl(&dist).mean();
                ratio_surrogate(log_ratios.clone(), advantages) - kl * *kl_coef
            }
            Surrogate::Custom(custom) => own_surrogate(log_ratios.clone(), advantages, custom),
        };
        let entropy = dist.entropy().mean();
        let value_loss = value_loss_on(values, batch, self.value_clip);
        Parts {
            total: value_loss.clone() * self.value_coef
                - surrogate.clone()
                - entropy.clone() * self.entropy_coef,
            surrogate: surrogate.without_autodiff(),
            value_loss: value_loss.without_autodiff(),
            entropy: entropy.without_autodiff(),
            log_ratios: log_ratios.without_autodiff(),
        }
    }

    /// Settings of the same loss for fused loops and kernels, which compute in 32 bits.
    pub fn in_f32(&self) -> ops::ActorCriticLoss {
        let surrogate = match &self.surrogate {
            Surrogate::LogProb => ops::Surrogate::LogProb,
            Surrogate::Clipped { clip } => ops::Surrogate::Clipped { clip: *clip as f32 },
            Surrogate::Penalised { kl_coef, clip } => ops::Surrogate::Penalised {
                kl_coef: *kl_coef as f32,
                clip: *clip as f32,
            },
            Surrogate::Custom(custom) => ops::Surrogate::Custom(custom.clone()),
        };
        ops::ActorCriticLoss {
            surrogate,
            value_clip: self.value_clip as f32,
            value_coef: self.value_coef as f32,
            entropy_coef: self.entropy_coef as f32,
            standardize: self.standardize,
        }
    }
}

/// An [`ActorCriticLoss`] and its terms. Only the total records gradients.
#[derive(Clone, Debug)]
pub struct Parts {
    /// L `[1]`.
    pub total: Tensor<1>,
    /// J `[1]`.
    pub surrogate: Tensor<1>,
    /// L_V `[1]`.
    pub value_loss: Tensor<1>,
    /// H `[1]`, in nats.
    pub entropy: Tensor<1>,
    /// log ρ of each sample, `[B]`.
    pub log_ratios: Tensor<1>,
}

/// [`value_loss`] of values `[B]` over a batch, or [`clipped_value_loss`] if `clip` is above 0.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use uphill_core::{loss::value_loss_on, rollout::Batch};
///
/// let device = Device::flex();
/// let zeros = Tensor::<1>::zeros([2], &device);
/// let batch = Batch {
///     obs: Tensor::<2>::zeros([2, 1], &device).into(),
///     actions: Tensor::zeros([2, 1], &device),
///     log_probs: zeros.clone(),
///     values: zeros.clone(),
///     advantages: zeros.clone(),
///     returns: zeros.clone() + 2.0,
///     sequences: None,
///     agents: 1,
/// };
/// // Unclipped ½ (1 − 2)²; clipped at V_old ± ½ = ½ the loss is ½ (½ − 2)².
/// let loss = |clip| value_loss_on(zeros.clone() + 1.0, &batch, clip).into_scalar::<f32>();
/// assert_eq!([loss(0.0), loss(0.5)], [0.5, 1.125]);
/// ```
pub fn value_loss_on(values: Tensor<1>, batch: &Batch, clip: f64) -> Tensor<1> {
    let returns = batch.returns.clone();
    if clip > 0.0 {
        clipped_value_loss(values, batch.values.clone(), returns, clip)
    } else {
        value_loss(values, returns)
    }
}

/// Mean of a user-defined surrogate, a function of log ρ `[B]` and A `[B]` with its slope.
///
/// On tensors, log-ratios and advantages are read back and the surrogate is computed in host memory in 32 bits;
/// autodiff sees a linear function with the slopes that the surrogate returns. Fused loops on a CPU call it directly on
/// the samples.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use uphill_core::{loss::own_surrogate, ops::Custom};
///
/// // ρ A with its slope, which is the same.
/// let device = Device::flex();
/// let plain = Custom::new(0.2, |log_ratio, advantage| {
///     let value = log_ratio.exp() * advantage;
///     (value, value)
/// });
/// let log_ratios = Tensor::from_floats([2f32.ln(), 0.0], &device);
/// let mean = own_surrogate(log_ratios, Tensor::from_floats([3.0, 1.0], &device), &plain);
/// assert!((mean.into_scalar::<f32>() - 3.5).abs() < 1e-6);
/// ```
pub fn own_surrogate(
    log_ratios: Tensor<1>,
    advantages: Tensor<1>,
    custom: &ops::Custom,
) -> Tensor<1> {
    assert_eq!(advantages.dims(), log_ratios.dims(), "shape of advantages");
    let at = log_ratios.clone().without_autodiff();
    let narrow = |tensor: Tensor<1>| -> Vec<f32> {
        let numbers = read_back::read(tensor);
        numbers.into_iter().map(|x| x as f32).collect()
    };
    let (shape, device) = (at.dims(), at.device());
    let [values, slopes] = custom
        .evaluate(&narrow(at.clone()), &narrow(advantages))
        .map(|column| Tensor::<1>::from_data(TensorData::new(column, shape), &device));
    (values + (log_ratios - at) * slopes).mean()
}

/// mean(log π(a|s) · A), whose gradient is the policy gradient (Williams 1992; Sutton et al. 1999).
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use uphill_core::loss::policy_gradient_surrogate;
///
/// let device = Device::flex();
/// let log_probs = Tensor::from_floats([-1.0, -2.0], &device);
/// let mean = policy_gradient_surrogate(log_probs, Tensor::from_floats([3.0, 1.0], &device));
/// assert_eq!(mean.into_scalar::<f32>(), -2.5);
/// ```
pub fn policy_gradient_surrogate(log_probs: Tensor<1>, advantages: Tensor<1>) -> Tensor<1> {
    assert_eq!(advantages.dims(), log_probs.dims(), "shape of advantages");
    (log_probs * advantages).mean()
}

/// mean(ρ A) with ρ = exp `log_ratios`: the objective at a nearby policy, estimated from samples of the old one
/// (Schulman et al., arXiv:1502.05477 eq. 14; arXiv:1707.06347 eq. 6). At ρ = 1 its gradient is the policy gradient.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use uphill_core::loss::ratio_surrogate;
///
/// let device = Device::flex();
/// let log_ratios = Tensor::from_floats([2f32.ln(), 0.0], &device);
/// let mean = ratio_surrogate(log_ratios, Tensor::from_floats([3.0, 1.0], &device));
/// assert!((mean.into_scalar::<f32>() - 3.5).abs() < 1e-6);
/// ```
pub fn ratio_surrogate(log_ratios: Tensor<1>, advantages: Tensor<1>) -> Tensor<1> {
    assert_eq!(advantages.dims(), log_ratios.dims(), "shape of advantages");
    (log_ratios.exp() * advantages).mean()
}

/// mean((ρ − 1) A) with ρ = exp `log_ratios`: the improvement of the surrogate E[ρ A] over the policy that acted, for
/// which every ratio is 1. There its gradient is the policy gradient.
///
/// Schulman et al., arXiv:1502.05477 eq. 14.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use uphill_core::loss::surrogate_improvement;
///
/// let device = Device::flex();
/// let log_ratios = Tensor::from_floats([2f32.ln(), 0.0], &device);
/// let mean = surrogate_improvement(log_ratios, Tensor::from_floats([3.0, 1.0], &device));
/// assert!((mean.into_scalar::<f32>() - 1.5).abs() < 1e-6);
/// ```
pub fn surrogate_improvement(log_ratios: Tensor<1>, advantages: Tensor<1>) -> Tensor<1> {
    assert_eq!(advantages.dims(), log_ratios.dims(), "shape of advantages");
    ((log_ratios.exp() - 1.0) * advantages).mean()
}

/// mean(min(ρ A, clip(ρ, 1−ε, 1+ε) A)) with ρ = exp `log_ratios`.
///
/// Schulman et al., arXiv:1707.06347 eq. 7.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use uphill_core::loss::clipped_surrogate;
///
/// let device = Device::flex();
/// let vector = |x: [f32; 2]| Tensor::<1>::from_floats(x, &device);
/// // Ratios of 2 with advantages 1 and −1: the gain is clipped to 1.2, the loss of 2 counts in full.
/// let ratios = vector([2.0, 2.0]).log();
/// let surrogate = clipped_surrogate(ratios, vector([1.0, -1.0]), 0.2).into_scalar::<f32>();
/// assert!((surrogate - (1.2 - 2.0) / 2.0).abs() < 1e-6);
/// ```
pub fn clipped_surrogate(log_ratios: Tensor<1>, advantages: Tensor<1>, clip: f64) -> Tensor<1> {
    assert_eq!(advantages.dims(), log_ratios.dims(), "shape of advantages");
    let ratios = log_ratios.exp();
    let unclipped = ratios.clone() * advantages.clone();
    let clipped = ratios.clamp(1.0 - clip, 1.0 + clip) * advantages;
    unclipped.min_pair(clipped).mean()
}

/// ½ mean((V − R)²). The factor ½ is that of OpenAI Baselines and CleanRL; Stable-Baselines3 omits it.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use uphill_core::loss::value_loss;
///
/// let device = Device::flex();
/// let loss = value_loss(Tensor::from_floats([1.0, 0.0], &device), Tensor::from_floats([3.0, 0.0], &device));
/// assert_eq!(loss.into_scalar::<f32>(), 1.0); // ½ (2² + 0²) / 2
/// ```
pub fn value_loss(values: Tensor<1>, returns: Tensor<1>) -> Tensor<1> {
    assert_eq!(returns.dims(), values.dims(), "shape of returns");
    (values - returns).square().mean() * 0.5
}

/// ½ mean(max((V − R)², (V_old + clip(V − V_old, ±ε) − R)²)).
///
/// A code-level optimisation of PPO (arXiv:2005.12729 §3, "value function clipping").
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use uphill_core::loss::clipped_value_loss;
///
/// // V moved from 0 to 2, its target; clipped it would be at ½: ½ max((2 − 2)², (½ − 2)²).
/// let number = |x: f32| Tensor::from_floats([x], &Device::flex());
/// let loss = clipped_value_loss(number(2.0), number(0.0), number(2.0), 0.5);
/// assert_eq!(loss.into_scalar::<f32>(), 1.125);
/// ```
pub fn clipped_value_loss(
    values: Tensor<1>,
    old_values: Tensor<1>,
    returns: Tensor<1>,
    clip: f64,
) -> Tensor<1> {
    assert_eq!(old_values.dims(), values.dims(), "shape of old_values");
    assert_eq!(returns.dims(), values.dims(), "shape of returns");
    let moved = (values.clone() - old_values.clone()).clamp(-clip, clip);
    let unclipped = (values - returns.clone()).square();
    let clipped = (old_values + moved - returns).square();
    unclipped.max_pair(clipped).mean() * 0.5
}

/// Estimate of KL(old ‖ new) from samples of the old policy: mean(ρ − 1 − log ρ), nonnegative and of low variance (the
/// k3 estimator, <http://joschu.net/blog/kl-approx.html>).
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use uphill_core::loss::approx_kl;
///
/// // ρ − 1 − ln ρ for ratios of 2 and 1.
/// let kl = approx_kl(Tensor::from_floats([2f32.ln(), 0.0], &Device::flex()));
/// assert!((kl.into_scalar::<f32>() - (1.0 - 2f32.ln()) / 2.0).abs() < 1e-6);
/// ```
pub fn approx_kl(log_ratios: Tensor<1>) -> Tensor<1> {
    (log_ratios.clone().exp() - 1.0 - log_ratios).mean()
}

/// Fraction of samples whose ratio is outside [1−ε, 1+ε].
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use uphill_core::loss::clip_fraction;
///
/// let log_ratios = Tensor::from_floats([1.1f32.ln(), 1.3f32.ln(), 0.7f32.ln(), 0.0], &Device::flex());
/// assert_eq!(clip_fraction(log_ratios, 0.2).into_scalar::<f32>(), 0.5);
/// ```
pub fn clip_fraction(log_ratios: Tensor<1>, clip: f64) -> Tensor<1> {
    (log_ratios.exp() - 1.0)
        .abs()
        .greater_elem(clip)
        .float()
        .mean()
}

/// 1 − Var(R − V) / Var(R): 1 for a perfect critic, 0 for one as good as a constant, negative for a worse one.
///
/// Not finite if the returns vary by no more than rounding, that is if none differs from the first by more than 1e-5 of
/// √(mean(R)² + mean((R − V)²)).
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use uphill_core::loss::explained_variance;
///
/// let returns = Tensor::<1>::from_floats([1.0, 2.0, 3.0], &Device::flex());
/// assert_eq!(explained_variance(returns.clone(), returns).into_scalar::<f32>(), 1.0);
/// ```
pub fn explained_variance(values: Tensor<1>, returns: Tensor<1>) -> Tensor<1> {
    assert_eq!(returns.dims(), values.dims(), "shape of returns");
    let residuals = returns.clone() - values;
    let size = returns.clone().mean().square() + residuals.clone().square().mean();
    // A variance would not do: the sum in its mean is rounded.
    let apart = (returns.clone() - returns.clone().narrow(0, 0, 1)).square();
    let flat = apart.max().lower_equal(size * ROUNDING);
    let ratio = residuals.var_bias(0) / returns.var_bias(0);
    (ratio.neg() + 1.0).mask_fill(flat, f64::NAN)
}

/// Square of the relative error of numbers computed in f32.
pub(crate) const ROUNDING: f64 = 1e-10;

/// The coefficient β of a KL penalty after an update that moved the policy by `kl`: halved if that is less than
/// `target` / 1.5, doubled if it is more than 1.5 · `target`.
///
/// Schulman et al., arXiv:1707.06347 §4. Differs: clamped to between 1e-10 and 1e10, so that it recovers however long
/// the policy has not moved.
///
/// ```
/// use uphill_core::loss::adapt_kl_coef;
///
/// assert_eq!(adapt_kl_coef(1.0, 0.02, 0.01), 2.0); // too far
/// assert_eq!(adapt_kl_coef(1.0, 0.01, 0.01), 1.0);
/// assert_eq!(adapt_kl_coef(1.0, 0.005, 0.01), 0.5); // not far enough
/// ```
pub fn adapt_kl_coef(kl_coef: f64, kl: f64, target: f64) -> f64 {
    let adapted = if kl < target / 1.5 {
        kl_coef * 0.5
    } else if kl > target * 1.5 {
        kl_coef * 2.0
    } else {
        kl_coef
    };
    adapted.clamp(1e-10, 1e10)
}
