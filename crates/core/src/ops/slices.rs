//! Conversion between tensors in host memory and slices, for the loops of `uphill-cpu`.

use crate::{dist::DistKind, network::Net, normalize::ObsNorm, optim::Adam, rollout::Batch};
use burn::tensor::{Device, Int, Tensor, TensorData};
use uphill_cpu::{
    acting::RowNorm,
    adam,
    descent::Learner,
    dist::{Choices, RowDist},
    minibatch::Samples,
    rows::Rows,
};

/// The elements in row-major order; moved out if nobody else holds the tensor.
pub(super) fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    let data = tensor.into_data();
    data.try_into_vec()
        .unwrap_or_else(|e| unreachable!("a tensor of 32-bit floats: {e:?}"))
}

/// [`values`] for 32-bit integers.
pub(crate) fn host_words<const D: usize>(tensor: Tensor<D, Int>) -> Vec<i32> {
    let data = tensor.into_data();
    data.try_into_vec()
        .unwrap_or_else(|e| unreachable!("a tensor of 32-bit integers: {e:?}"))
}

pub(super) fn tensor<const D: usize>(
    values: Vec<f32>,
    shape: [usize; D],
    device: &Device,
) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values, shape), device)
}

/// The distribution of a policy whose network appends `log_stds` log standard deviations to every row, if loops and
/// kernels support it.
pub(crate) fn row_dist(kind: &DistKind, log_stds: usize) -> Option<RowDist> {
    match kind {
        DistKind::Categorical { choices } if log_stds == 0 => {
            Choices::new(&[*choices]).map(RowDist::Categorical)
        }
        DistKind::MultiDiscrete { choices } if log_stds == 0 => {
            Choices::new(choices).map(RowDist::Categorical)
        }
        DistKind::Gaussian { dim } if log_stds == *dim => Some(RowDist::Gaussian),
        DistKind::SquashedGaussian { bounds } if log_stds == bounds.dim() => {
            let ln_scale = bounds.ln_scale() as f32;
            Some(RowDist::SquashedGaussian { ln_scale })
        }
        _ => None,
    }
}

/// A batch for networks that normalise its observations by `norm`.
pub(super) fn samples(norm: &Option<ObsNorm>, batch: &Batch) -> Samples {
    let normalized = norm.as_ref().map(|norm| |obs| norm.apply(obs));
    with_obs(batch.obs.clone().rows(normalized), batch)
}

/// A batch with these rows in place of its observations.
pub(super) fn with_obs(obs: Rows, batch: &Batch) -> Samples {
    let [_, action_width] = batch.actions.dims();
    Samples {
        obs,
        actions: values(batch.actions.clone()),
        action_width,
        log_probs: values(batch.log_probs.clone()),
        values: values(batch.values.clone()),
        advantages: values(batch.advantages.clone()),
        returns: values(batch.returns.clone()),
    }
}

/// A network and its optimiser. `None` if passes through the network are not fused.
pub(super) fn learner(net: &Net, mut adam: Adam) -> Option<Learner> {
    let shape = net.mlp_shape()?;
    Some(Learner::new(
        shape,
        values(net.flat()),
        take_adam(&mut adam),
    ))
}

/// A normaliser with its moments as slices.
pub(super) fn row_norm(norm: &ObsNorm) -> RowNorm {
    RowNorm {
        mean: values(norm.moments.mean.clone()),
        std: values(norm.moments.std()),
        clip: norm.clip as f32,
    }
}

/// Moves the moments out, leaving none behind.
pub(super) fn take_adam(adam: &mut Adam) -> adam::Adam {
    let device = adam.first.device();
    let [first, second] = [&mut adam.first, &mut adam.second]
        .map(|moment| values(std::mem::replace(moment, Tensor::empty([0], &device))));
    adam::Adam {
        beta1: adam.beta1,
        beta2: adam.beta2,
        epsilon: adam.epsilon,
        first,
        second,
        steps: adam.steps,
    }
}

/// The inverse of [`take_adam`].
pub(super) fn adam(adam: adam::Adam, device: &Device) -> Adam {
    let len = [adam.first.len()];
    Adam {
        beta1: adam.beta1,
        beta2: adam.beta2,
        epsilon: adam.epsilon,
        first: tensor(adam.first, len, device),
        second: tensor(adam.second, len, device),
        steps: adam.steps,
    }
}
