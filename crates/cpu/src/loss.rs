//! Settings of the actor-critic loss, including user-defined surrogates.

use crate::{block_loss::Column, mlp::BLOCK, simd::dispatch};
use pulp::{Simd, WithSimd};
use std::{fmt, sync::Arc};

/// Surrogate objective of the policy for one sample; maximised.
#[derive(Clone, Debug, PartialEq)]
pub enum Surrogate {
    /// log π(a|s) · A.
    LogProb,
    /// min(ρ A, clip(ρ, 1 ± `clip`) A).
    Clipped {
        /// Clip range ε of the ratios.
        clip: f32,
    },
    /// A function of log ρ and A.
    Custom(Custom),
    /// ρ A − `kl_coef` · KL(old ‖ new).
    Penalised {
        /// Penalty coefficient β.
        kl_coef: f32,
        /// Ratios further than this from 1 count towards the clip fraction; they are not clipped.
        clip: f32,
    },
}

/// Loss of an actor and a critic: `value_coef` · L_V − surrogate − `entropy_coef` · H, means over samples.
#[derive(Clone, Debug, PartialEq)]
pub struct ActorCriticLoss {
    /// Surrogate objective of the policy.
    pub surrogate: Surrogate,
    /// The change of the value function from V_old is clipped to ±this (Schulman's implementation of PPO); 0 disables
    /// clipping.
    pub value_clip: f32,
    /// Weight of the value loss.
    pub value_coef: f32,
    /// Weight of the entropy bonus.
    pub entropy_coef: f32,
    /// Whether advantages are standardised to mean 0 and standard deviation 1 over the samples.
    pub standardize: bool,
}

/// A user-defined surrogate: a function from the log ρ and the advantage of a sample to its value and its derivative
/// with respect to log ρ.
///
/// Loops call it for 64 samples at a time and are compiled together with it, to vector instructions if it has no
/// branches and no calls: [`exp`](crate::kernel::exp()), [`select`](crate::kernel::select()) and
/// [`bounded`](crate::kernel::bounded()) have none.
///
/// Dual clipping (Ye et al., arXiv:1912.09729) bounds the surrogate from below by c A where A < 0:
///
/// ```
/// use uphill_cpu::{kernel::select, loss::{Custom, Surrogate}, sample::clipped_surrogate};
///
/// let (clip, c) = (0.2, 3.0);
/// let dual = move |log_ratio: f32, advantage: f32| {
///     let (value, slope) = clipped_surrogate(log_ratio, advantage, clip);
///     let held = advantage < 0.0 && value < c * advantage;
///     (select(held, c * advantage, value), select(held, 0.0, slope))
/// };
/// let surrogate = Surrogate::Custom(Custom::new(clip, dual));
/// # assert_eq!(dual(2.0, -1.0), (-3.0, 0.0));
/// # assert_eq!(dual(2.0, 1.0), (1.2, 0.0));
/// # assert!(matches!(surrogate, Surrogate::Custom(custom) if custom.clip() == 0.2));
/// ```
#[derive(Clone)]
pub struct Custom {
    clip: f32,
    of_block: Arc<OfBlock>,
}

/// Computes values and slopes from log-ratios and advantages.
type OfBlock = dyn Fn(&Column, &Column) -> [Column; 2] + Send + Sync;

impl Custom {
    /// A surrogate from a function. Ratios further than `clip` from 1 count towards the clip fraction, which is only
    /// reported.
    pub fn new(
        clip: f32,
        of_sample: impl Fn(f32, f32) -> (f32, f32) + Send + Sync + 'static,
    ) -> Self {
        let of_block = move |log_ratios: &Column, advantages: &Column| {
            dispatch(Each {
                log_ratios,
                advantages,
                of_sample: &of_sample,
            })
        };
        Self {
            clip,
            of_block: Arc::new(of_block),
        }
    }

    /// Threshold of the clip fraction.
    pub fn clip(&self) -> f32 {
        self.clip
    }

    /// Values and derivatives with respect to log ρ, `[B]` each, for log-ratios and advantages `[B]`.
    ///
    /// # Panics
    /// If these differ in length.
    pub fn evaluate(&self, log_ratios: &[f32], advantages: &[f32]) -> [Vec<f32>; 2] {
        assert_eq!(log_ratios.len(), advantages.len(), "number of advantages");
        let mut found = [vec![], vec![]];
        for (log_ratios, advantages) in log_ratios.chunks(BLOCK).zip(advantages.chunks(BLOCK)) {
            let len = log_ratios.len();
            let column = |from: &[f32]| {
                let mut column = [0.0; BLOCK];
                column[..len].copy_from_slice(from);
                column
            };
            let columns = self.of_block(&column(log_ratios), &column(advantages));
            for (found, column) in found.iter_mut().zip(columns) {
                found.extend_from_slice(&column[..len]);
            }
        }
        found
    }

    pub(crate) fn of_block(&self, log_ratios: &Column, advantages: &Column) -> [Column; 2] {
        (self.of_block)(log_ratios, advantages)
    }
}

struct Each<'a, F> {
    log_ratios: &'a Column,
    advantages: &'a Column,
    of_sample: &'a F,
}

impl<F: Fn(f32, f32) -> (f32, f32)> WithSimd for Each<'_, F> {
    type Output = [Column; 2];

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> [Column; 2] {
        let (mut values, mut slopes) = ([0.0; BLOCK], [0.0; BLOCK]);
        for i in 0..BLOCK {
            (values[i], slopes[i]) = (self.of_sample)(self.log_ratios[i], self.advantages[i]);
        }
        [values, slopes]
    }
}

impl fmt::Debug for Custom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Custom")
            .field("clip", &self.clip)
            .finish_non_exhaustive()
    }
}

/// Equality means the same function object, not one that computes the same.
impl PartialEq for Custom {
    fn eq(&self, other: &Self) -> bool {
        self.clip == other.clip && Arc::ptr_eq(&self.of_block, &other.of_block)
    }
}
