//! Running moments, and normalisation by them of observations and rewards.

use crate::{
    peers::{self, Alone, Peers},
    scan,
};
use burn::tensor::{Bool, Device, Int, Tensor, assert_shape};
use uphill_gpu::{device::on_device, experience};

/// Mean and variance per feature of all samples so far.
///
/// Batches are merged with the parallel formula of Chan, Golub & LeVeque (1983), so one large batch and many small ones
/// give the same moments.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use uphill_core::normalize::Moments;
///
/// let device = Device::flex();
/// let seen = |x: [[f32; 1]; 2]| Tensor::<2>::from_floats(x, &device);
/// let moments = Moments::new(1, &device).merge(seen([[1.0], [3.0]])).merge(seen([[5.0], [7.0]]));
/// assert_eq!(moments.count, 4.0);
/// assert!((moments.mean.into_scalar::<f32>() - 4.0).abs() < 1e-6);
/// assert!((moments.variance.into_scalar::<f32>() - 5.0).abs() < 1e-5);
/// ```
#[derive(Clone, Debug)]
pub struct Moments {
    /// Mean `[F]`.
    pub mean: Tensor<1>,
    /// Population variance `[F]`.
    pub variance: Tensor<1>,
    /// Number of samples, of each agent.
    pub count: f64,
    /// Number of agents `S`, whose features are concatenated, `[S·F]`; several only on a GPU.
    pub agents: usize,
}

impl Moments {
    /// Moments before any sample: mean 0 and variance 1, so that normalising changes nothing.
    pub fn new(features: usize, device: &Device) -> Self {
        Self {
            mean: Tensor::zeros([features], device),
            variance: Tensor::ones([features], device),
            count: 0.0,
            agents: 1,
        }
    }

    /// Number of features `F`.
    pub fn features(&self) -> usize {
        self.mean.dims()[0] / self.agents
    }

    /// Moments after adding `samples` `[B, F]`, or `[S·B, F]` of several agents.
    ///
    /// # Panics
    ///
    /// If there are several agents and their samples are not on a GPU.
    pub fn merge(&self, samples: Tensor<2>) -> Self {
        assert_eq!(samples.dims()[1], self.features(), "columns of samples");
        self.merge_columns(samples)
    }

    /// [`merge`](Self::merge) of the first `F` columns of `samples`.
    fn merge_columns(&self, samples: Tensor<2>) -> Self {
        let agents = self.agents;
        let [rows, width] = samples.dims();
        let batch = rows / agents;
        let total = self.count + batch as f64;
        let (old, new) = (self.count / total, batch as f64 / total);
        if on_device(&samples) {
            let [mean, variance] =
                experience::merge_moments(samples, self.numbers(), [old, new], agents);
            return Self {
                mean,
                variance,
                count: total,
                agents,
            };
        }
        assert_eq!(agents, 1, "agents in host memory");
        let features = self.features();
        let samples = if width > features {
            samples.narrow(1, 0, features)
        } else {
            samples
        };
        // The sum of many equal numbers is rounded; their mean and variance need no sum.
        let first = samples.clone().narrow(0, 0, 1);
        let constant = samples.clone().max_dim(0).equal(first.clone());
        let constant = constant.bool_and(samples.clone().min_dim(0).equal(first.clone()));
        let (variance, mean) = samples.var_mean_bias(0);
        let mean = mean.mask_where(constant.clone(), first).squeeze_dim::<1>(0);
        let variance = variance.mask_fill(constant, 0.0).squeeze_dim::<1>(0);
        let delta = mean - self.mean.clone();
        Self {
            mean: self.mean.clone() + delta.clone() * new,
            variance: self.variance.clone() * old + variance * new + delta.square() * (old * new),
            count: total,
            agents,
        }
    }

    /// [`merge`](Self::merge) with the samples of all processes.
    pub fn merge_over(&self, peers: &dyn Peers, samples: Tensor<2>) -> Self {
        if peers.size() == 1 {
            return self.merge_columns(samples);
        }
        assert_eq!(self.agents, 1, "agents in several processes");
        let fresh = Self::new(self.features(), &self.mean.device()).merge_columns(samples);
        peers::merge(peers, self, &fresh)
    }

    fn numbers(&self) -> [Tensor<1>; 2] {
        [self.mean.clone(), self.variance.clone()]
    }

    /// Divisor of each feature, `[F]`: √(variance + 1e-8), or 1 if the feature is [without spread](Self::flat).
    pub fn std(&self) -> Tensor<1> {
        let std = (self.variance.clone() + FLAT).sqrt();
        std.mask_fill(self.flat(), 1.0)
    }

    /// Which features are without spread, `[F]`: their variance is at most 1e-8 + 1e-10 · mean², that is a standard
    /// deviation of 1e-4 or of 1e-5 of the mean. This may be the rounding error of a constant, which division would
    /// turn into a signal.
    pub fn flat(&self) -> Tensor<1, Bool> {
        let floor = self.mean.clone().square() * FLAT_BY_MEAN + FLAT;
        self.variance.clone().lower_equal(floor)
    }
}

pub use uphill_cpu::sample::{FLAT, FLAT_BY_MEAN};

/// Observation normaliser: (obs − mean) / [std](Moments::std), then clipped. It is a part of actor and critic, so that
/// it is saved with them and evaluation normalises as training did.
///
/// It applies to the first `F` columns of an observation, for which it has moments; the others (a mask of allowed
/// actions) pass through unchanged.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use uphill_core::normalize::ObsNorm;
///
/// let device = Device::flex();
/// let mut norm = ObsNorm::new(1, 0.0, &device);
/// let obs = Tensor::from_floats([[1.0], [3.0]], &device);
/// norm.merge(obs.clone());
/// let seen: Vec<f32> = norm.apply(obs).into_data().iter().collect();
/// assert!((seen[0] + 1.0).abs() < 1e-3 && (seen[1] - 1.0).abs() < 1e-3);
/// ```
#[derive(Clone, Debug)]
pub struct ObsNorm {
    /// Moments of the raw observations.
    pub moments: Moments,
    /// Normalised observations are clipped to ±`clip`; 0 disables clipping.
    pub clip: f64,
}

impl ObsNorm {
    /// A normaliser without samples, which only clips.
    pub fn new(features: usize, clip: f64, device: &Device) -> Self {
        Self {
            moments: Moments::new(features, device),
            clip,
        }
    }

    /// Normalises observations, `[B, O]` → `[B, O]`, or `[S·B, O]` → `[S·B, O]` of several agents.
    ///
    /// # Panics
    ///
    /// If there are several agents and their observations are not on a GPU.
    pub fn apply(&self, obs: Tensor<2>) -> Tensor<2> {
        let agents = self.moments.agents;
        if on_device(&obs) {
            return experience::scaled(obs, self.moments.numbers(), self.clip, true, agents);
        }
        assert_eq!(agents, 1, "agents in host memory");
        let ([_, width], features) = (obs.dims(), self.features());
        if width > features {
            let rest = obs.clone().narrow(1, features, width - features);
            return Tensor::cat(vec![self.apply(obs.narrow(1, 0, features)), rest], 1);
        }
        let mean = self.moments.mean.clone().unsqueeze();
        let scaled = (obs - mean) / self.moments.std().unsqueeze();
        if self.clip > 0.0 {
            scaled.clamp(-self.clip, self.clip)
        } else {
            scaled
        }
    }

    /// Adds raw observations `[B, O]` to the moments.
    pub fn merge(&mut self, obs: Tensor<2>) {
        self.moments = self.moments.merge_columns(obs);
    }

    /// Adds the raw observations `[B, O]` of all processes to the moments.
    pub fn merge_over(&mut self, peers: &dyn Peers, obs: Tensor<2>) {
        self.moments = self.moments.merge_over(peers, obs);
    }

    /// Number of normalised columns `F`.
    pub fn features(&self) -> usize {
        self.moments.features()
    }
}

/// Scaling of rewards by the running standard deviation of the discounted return, which keeps value targets near unit
/// size whatever the task's reward scale (arXiv:2005.12729 §3, "reward scaling"). Returns [without
/// spread](Moments::flat) leave rewards unchanged.
///
/// Differs: the statistics of a whole rollout are merged before it is scaled; wrappers that see one step at a time
/// scale each step by the statistics of the steps before it.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use uphill_core::normalize::RewardScaler;
///
/// let device = Device::flex();
/// let mut scaler = RewardScaler::new(2, &device);
/// let rewards = Tensor::<2>::ones([16, 2], &device) * 100.0;
/// let ended = rewards.clone().lower_elem(0.0);
/// let scaled = scaler.scale(rewards, ended, 0.99);
/// assert!(scaled.max().into_scalar::<f32>() < 100.0);
/// ```
#[derive(Clone, Debug)]
pub struct RewardScaler {
    /// Moments of the discounted return, one feature.
    pub moments: Moments,
    /// Discounted return of each copy's current episode, `[N]`, or `[S·N]` of several agents.
    pub discounted: Tensor<1>,
}

impl RewardScaler {
    /// A scaler for `envs` copies at the start of episodes.
    pub fn new(envs: usize, device: &Device) -> Self {
        Self {
            moments: Moments::new(1, device),
            discounted: Tensor::zeros([envs], device),
        }
    }

    /// Adds rewards `[T, N]`, or `[S·T, N]` of several agents, with the ends of episodes to the moments, and returns the
    /// scaled rewards.
    pub fn scale(&mut self, rewards: Tensor<2>, ended: Tensor<2, Bool>, gamma: f64) -> Tensor<2> {
        self.scale_over(&Alone, rewards, ended, gamma)
    }

    /// [`scale`](Self::scale) with the moments of all processes' rewards.
    ///
    /// # Panics
    ///
    /// If there are several agents and their rewards are not on a GPU.
    pub fn scale_over(
        &mut self,
        peers: &dyn Peers,
        rewards: Tensor<2>,
        ended: Tensor<2, Bool>,
        gamma: f64,
    ) -> Tensor<2> {
        let agents = self.moments.agents;
        let [steps, envs] = rewards.dims();
        assert_shape!(ended, [steps, envs]);
        assert_shape!(self.discounted, [agents * envs]);
        if on_device(&rewards) && peers.size() == 1 {
            let before = self.discounted.clone();
            let (discounted, after) =
                experience::discounted(rewards.clone(), ended, before, gamma, agents);
            let samples = discounted.reshape([steps * envs, 1]);
            self.moments = self.moments.merge(samples);
            self.discounted = after;
            let rows = rewards.reshape([steps * envs, 1]);
            let scaled = experience::scaled(rows, self.moments.numbers(), 0.0, false, agents);
            return scaled.reshape([steps, envs]);
        }
        assert_eq!(agents, 1, "agents in host memory");
        let continues = ended.float().neg() + 1.0;
        let row = Tensor::<1, Int>::arange(0..steps as i64, &rewards.device());
        let first: Tensor<2> = row.equal_elem(0).float().unsqueeze_dim(1);
        // The carried-over return acts like a value before the first step.
        let carried = first * self.discounted.clone().unsqueeze() * gamma;
        let inflow = rewards.clone() + carried;
        let decay = scan::previous(continues.clone()) * gamma;
        let discounted = scan::forward(inflow, decay);
        self.moments = self
            .moments
            .merge_over(peers, discounted.clone().reshape([steps * envs, 1]));
        let last = (discounted * continues).narrow(0, steps - 1, 1);
        self.discounted = last.squeeze_dim(0);
        rewards / self.moments.std().unsqueeze()
    }
}
