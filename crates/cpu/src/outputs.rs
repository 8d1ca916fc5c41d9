//! Loss of networks that compute elsewhere: from their outputs to its gradient with respect to the outputs.

use crate::block_loss::{PolicyBlock, ValueBlock};
use crate::descent::StepDiagnostics;
use crate::dist::{Choices, RowDist};
use crate::loss::{ActorCriticLoss, Surrogate};
use crate::minibatch::{Minibatch, Problem, Samples, Sums, put_columns, take_columns};
use crate::mlp::BLOCK;

/// Gradient of a loss with respect to the outputs of actor and critic.
#[derive(Clone, Debug)]
pub struct OutputGradient {
    /// With respect to the logits, `[B, W]`.
    pub logits: Vec<f32>,
    /// With respect to the values, `[B]`.
    pub values: Vec<f32>,
    /// Means over the samples; the norm is that of both gradients above together.
    pub means: StepDiagnostics,
}

/// Gradient of `loss` with respect to logits `[B, W]` of a categorical policy and values `[B]`. The observations of the
/// samples are not read and may be missing. `None` with a KL penalty, which needs the policy that acted.
pub fn output_gradient(
    choices: Choices,
    samples: Samples,
    loss: &ActorCriticLoss,
    [logits, values]: [&[f32]; 2],
) -> Option<OutputGradient> {
    if matches!(loss.surrogate, Surrogate::Penalised { .. }) {
        return None;
    }
    let (dist, action_width) = (RowDist::Categorical(choices), samples.action_width);
    let problem = Problem::of_outputs(dist, samples, loss);
    let len = problem.len();
    let width = logits.len() / len;
    let rows: Vec<i32> = (0..len as i32).collect();
    let minibatch = Minibatch::new(&problem, &rows);
    let mut policy = PolicyBlock::new(dist, [width, 0], action_width);
    let mut value = ValueBlock::new();
    let mut sums = Sums::default();
    let mut gradient = [vec![0.0; len * width], vec![0.0; len]];
    for rows in rows.chunks(BLOCK) {
        let (first, len) = (rows[0] as usize, rows.len());
        let (of_logits, of_values) = (first * width..(first + len) * width, first..first + len);
        problem.gather_policy(rows, &minibatch, &mut policy);
        take_columns(&mut policy.outputs, &logits[of_logits.clone()], len);
        policy.run(loss, minibatch.share, &[], &mut sums);
        put_columns(&policy.outputs, &mut gradient[0][of_logits], len, width);

        problem.gather_values(rows, &mut value);
        value.values[..len].copy_from_slice(&values[of_values.clone()]);
        sums.value_loss += value.run(loss, minibatch.share);
        gradient[1][of_values].copy_from_slice(&value.values[..len]);
    }
    let [logits, values] = gradient;
    let norms = [&logits, &values].map(|gradient| crate::adam::norm(gradient));
    Some(OutputGradient {
        logits,
        values,
        means: StepDiagnostics::of(sums, len, norms),
    })
}
