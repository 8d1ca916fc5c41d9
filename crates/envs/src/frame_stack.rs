//! Frame stacking on tensors: the last few observations as one.

use burn::tensor::{Bool, Tensor, TensorData};

use crate::{BatchEnv, EnvError, EnvSpec, EnvState, Episode, Finished, Step};

/// A batch whose observations are the last `frames` ones of another batch, oldest first: `[N, frames · O]`. It works on
/// tensors, for batches that live on a device; on the host a [`Batch`](crate::Batch) stacks frames itself.
///
/// Stacked frames are the simplest form of memory: two positions reveal a velocity. An episode begins with `frames`
/// copies of its first observation.
pub struct FrameStack {
    inner: Box<dyn BatchEnv>,
    spec: EnvSpec,
    frames: usize,
    /// Stacked observations `[N, frames · O]`.
    obs: Tensor<2>,
}

impl FrameStack {
    /// Stacks the observations of `inner`.
    ///
    /// # Panics
    ///
    /// If `frames` is zero.
    #[must_use]
    pub fn new(inner: Box<dyn BatchEnv>, frames: usize) -> Self {
        assert!(frames > 0, "no frames");
        Self {
            spec: stacked_spec(inner.spec(), frames),
            obs: inner.obs().repeat(&[1, frames]),
            inner,
            frames,
        }
    }

    /// The stack `[N, frames · O]` after appending observations `[N, O]`.
    fn pushed(&self, newest: Tensor<2>) -> Tensor<2> {
        let [_, width] = newest.dims();
        let kept = (self.frames - 1) * width;
        if kept == 0 {
            return newest;
        }
        Tensor::cat(vec![self.obs.clone().narrow(1, width, kept), newest], 1)
    }
}

/// The specification of an environment whose observations are stacked.
pub(crate) fn stacked_spec(spec: &EnvSpec, frames: usize) -> EnvSpec {
    let mut stacked = spec.clone();
    stacked.obs.low = spec.obs.low.repeat(frames);
    stacked.obs.high = spec.obs.high.repeat(frames);
    // Frames of images become further channels.
    stacked.obs.shape[0] *= frames;
    stacked
}

impl BatchEnv for FrameStack {
    fn spec(&self) -> &EnvSpec {
        &self.spec
    }

    fn num_envs(&self) -> usize {
        self.inner.num_envs()
    }

    fn reset(&mut self, seed: u64) -> Tensor<2> {
        self.obs = self.inner.reset(seed).repeat(&[1, self.frames]);
        self.obs.clone()
    }

    fn obs(&self) -> Tensor<2> {
        self.obs.clone()
    }

    fn step(&mut self, actions: Tensor<2>) -> Step {
        let step = self.inner.step(actions);
        let next_obs = self.pushed(step.next_obs);
        let ended: Tensor<1, Bool> = step.terminated.clone().bool_or(step.truncated.clone());
        let fresh = step.obs.repeat(&[1, self.frames]);
        let ended = ended.unsqueeze_dim::<2>(1).expand(fresh.dims());
        self.obs = next_obs.clone().mask_where(ended, fresh);
        Step {
            obs: self.obs.clone(),
            next_obs,
            ..step
        }
    }

    fn failure(&self) -> Option<&EnvError> {
        self.inner.failure()
    }

    fn saves_copies(&self) -> bool {
        self.inner.saves_copies()
    }

    fn take_episodes(&mut self) -> Vec<Episode> {
        self.inner.take_episodes()
    }

    fn take_finished(&mut self, most: usize) -> Finished {
        self.inner.take_finished(most)
    }

    fn save(&self) -> EnvState {
        let mut state = self.inner.save();
        let frames = self.obs.to_data().iter::<f32>().collect();
        state.floats.insert("frames".to_owned(), frames);
        state
    }

    fn restore(&mut self, state: &EnvState) -> Result<(), EnvError> {
        let mut inner = state.clone();
        let frames = inner.floats.remove("frames").unwrap_or_default();
        let dims = self.obs.dims();
        if frames.len() != dims[0] * dims[1] {
            return Err(EnvError::BadState {
                key: "frames".to_owned(),
                expected: format!("{} numbers", dims[0] * dims[1]),
                found: format!("{} numbers", frames.len()),
            });
        }
        self.inner.restore(&inner)?;
        if !self.inner.saves_copies() {
            self.obs = self.inner.obs().repeat(&[1, self.frames]);
            return Ok(());
        }
        self.obs = Tensor::from_data(TensorData::new(frames, dims), &self.obs.device());
        Ok(())
    }
}
