//! Check that a module computes the perceptron that its `mlp_shape` describes.

use crate::{heads::masked, network::Net, nn::Activate, ops::MlpShape, read_back::read};
use burn::tensor::{Device, Tensor, TensorData};

/// Largest difference, relative to 1 + |output|, that products in reduced precision may cause. A wrong nonlinearity
/// causes far more.
const TOLERANCE: f64 = 1e-2;
/// Number of test observations.
const ROWS: usize = 5;

impl Net {
    /// Checks that the module's own forward pass computes the perceptron that its
    /// [`mlp_shape`](crate::network::Network::mlp_shape) describes, on generated parameters and observations. `Ok` for
    /// a module without a shape.
    ///
    /// Fused passes and kernels follow the shape and never call the module, so a shape with another activation would
    /// compute another network.
    ///
    /// # Errors
    /// A description of the difference, for the author of the module.
    pub fn check_shape(&self) -> Result<(), String> {
        let Some(shape) = self.perceptron() else {
            return Ok(());
        };
        let device = self.device();
        let obs = made_up([ROWS, shape.inputs()], 2.0, &device);
        let widest = shape.widths.iter().copied().fold(1, usize::max);
        let scale = 2.0 / (widest as f64).sqrt();
        let params = made_up([1, shape.num_params()], scale, &device).flatten(0, 1);
        let own = self.stock_with(params.clone()).forward(obs.clone());
        let claimed = outputs(shape, params, obs);
        if own.dims() != claimed.dims() {
            return Err(format!(
                "mlp_shape describes outputs {:?} for {ROWS} observations, forward makes {:?}",
                claimed.dims(),
                own.dims()
            ));
        }
        let excess = (own - claimed.clone()).abs() / (claimed.abs() + 1.0);
        let excess = read(excess);
        // NaN does not count as agreement.
        if excess.iter().all(|excess| *excess <= TOLERANCE) {
            return Ok(());
        }
        let worst = excess.into_iter().fold(0.0, f64::max);
        Err(format!(
            "mlp_shape describes a perceptron {:?} with {:?} that computes something else than forward (outputs differ \
             by {worst:.2}); mend the shape, or leave mlp_shape out",
            shape.widths, shape.activation
        ))
    }
}

/// Outputs `[B, W]` of the perceptron of this shape, with parameters `flat` `[P]`, for observations `[B, O]`.
fn outputs(shape: &MlpShape, flat: Tensor<1>, obs: Tensor<2>) -> Tensor<2> {
    let mut at = 0;
    let mut next = |length| {
        at += length;
        flat.clone().narrow(0, at - length, length)
    };
    let last = shape.widths.len() - 2;
    let mut x = obs.clone();
    for (layer, io) in shape.widths.windows(2).enumerate() {
        let weight = next(io[0] * io[1]).reshape([io[0], io[1]]);
        x = x.matmul(weight) + next(io[1]).unsqueeze();
        if layer < last {
            x = shape.activation.apply(x);
        }
    }
    if shape.log_stds > 0 {
        let [batch, _] = x.dims();
        let log_stds = next(shape.log_stds).unsqueeze::<2>();
        x = Tensor::cat(vec![x, log_stds.expand([batch, shape.log_stds])], 1);
    }
    if shape.masked { masked(x, obs) } else { x }
}

/// Numbers in [−`scale`, `scale`] without a pattern that could hide a difference between layers.
fn made_up(dims: [usize; 2], scale: f64, device: &Device) -> Tensor<2> {
    let numbers = (0..dims[0] * dims[1]).map(|k| scale * (0.3 + 12.9898 * k as f64).sin());
    Tensor::from_data(TensorData::new(numbers.collect::<Vec<_>>(), dims), device)
}
