//! The loss of an actor and a critic as settings.

/// What a policy climbs, sample by sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Surrogate {
    /// log π(a|s) · A.
    LogProb,
    /// min(ρ A, clip(ρ, 1 ± `clip`) A).
    Clipped {
        /// ε of the ratios.
        clip: f32,
    },
    /// ρ A − `kl_coef` · KL(old ‖ new).
    Penalised {
        /// β.
        kl_coef: f32,
        /// Ratios further than this from 1 count in the clip fraction, and are not clipped.
        clip: f32,
    },
}

/// The loss of an actor and a critic: `value_coef` · L_V − surrogate − `entropy_coef` · H, means over samples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ActorCriticLoss {
    /// What the policy climbs.
    pub surrogate: Surrogate,
    /// The value function's move from V_old is clipped to ±this (Schulman's implementation of PPO); 0: never.
    pub value_clip: f32,
    /// Weight of the value loss.
    pub value_coef: f32,
    /// Weight of the entropy bonus.
    pub entropy_coef: f32,
    /// Advantages are brought to mean 0 and standard deviation 1 over the samples.
    pub standardize: bool,
}
