use crate::{assert_close, device::device, matrix, numbers};
use burn::tensor::{Tensor, TensorData};
use proptest::prelude::*;
use rand::{Rng, SeedableRng};
use uphill_core::dist::{DistKind, NoiseKind};

const CHOICE: DistKind = DistKind::Categorical { choices: 3 };
const NORMAL: DistKind = DistKind::Gaussian { dim: 2 };

#[test]
fn categorical_log_prob_and_entropy_by_hand() {
    // Logits ln 1, ln 2, ln 5: probabilities 1/8, 2/8, 5/8.
    let logits = matrix([[0.0, 2f32.ln(), 5f32.ln()]; 3]);
    let dist = CHOICE.with_params(logits);
    let p = [0.125f64, 0.25, 0.625];
    let actions = matrix([[0.0], [1.0], [2.0]]);
    assert_close(dist.log_prob(actions), &p.map(f64::ln), 1e-5);
    let entropy = -p.iter().map(|p| p * p.ln()).sum::<f64>();
    assert_close(dist.entropy(), &[entropy; 3], 1e-5);
    assert_close(dist.mode(), &[2.0; 3], 0.0);
}

#[test]
fn categorical_kl_by_hand() {
    let p = CHOICE.with_params(matrix([[0.0, 2f32.ln(), 5f32.ln()]]));
    let q = CHOICE.with_params(matrix([[0.0, 0.0, 0.0]]));
    // Against a uniform distribution: ln 3 − H(p).
    let h: f64 = -[0.125f64, 0.25, 0.625]
        .iter()
        .map(|p| p * p.ln())
        .sum::<f64>();
    assert_close(p.kl(&q), &[3f64.ln() - h], 1e-5);
    assert_close(p.kl(&p), &[0.0], 1e-6);
}

#[test]
fn gaussian_by_hand() {
    // Means 1 and −2, standard deviations 1 and e.
    let dist = NORMAL.with_params(matrix([[1.0, -2.0, 0.0, 1.0]]));
    let half_log_tau = 0.5 * std::f64::consts::TAU.ln();
    // z = (2, 1): −½(4 + 1) − 0 − 1 − log 2π.
    let actions = matrix([[3.0, -2.0 + std::f32::consts::E]]);
    assert_close(
        dist.log_prob(actions),
        &[-2.5 - 1.0 - 2.0 * half_log_tau],
        1e-5,
    );
    assert_close(dist.entropy(), &[1.0 + 2.0 * (half_log_tau + 0.5)], 1e-5);
    assert_close(dist.mode(), &[1.0, -2.0], 0.0);
    assert_close(
        dist.sample(matrix([[1.0, 1.0]])),
        &[2.0, -2.0 + 1f64.exp()],
        1e-5,
    );
}

#[test]
fn gaussian_kl_by_hand() {
    // Textbook: log(σ₂/σ₁) + (σ₁² + (μ₁−μ₂)²)/2σ₂² − ½ with σ₁ = 1, σ₂ = 2, μ₁ − μ₂ = 1, once per component.
    let p = NORMAL.with_params(matrix([[1.0, 1.0, 0.0, 0.0]]));
    let q = NORMAL.with_params(matrix([[0.0, 0.0, 2f32.ln(), 2f32.ln()]]));
    let one = 2f64.ln() + (1.0 + 1.0) / 8.0 - 0.5;
    assert_close(p.kl(&q), &[2.0 * one], 1e-5);
    assert_close(q.kl(&q), &[0.0], 1e-6);
}

#[test]
fn fisher_products_by_hand() {
    // p = (1/8, 2/8, 5/8), u = (1, 2, 3): pᵀu = 20/8, p ∘ (u − pᵀu) = (−3/16, −1/8, 5/16).
    let choice = CHOICE.with_params(matrix([[0.0, 2f32.ln(), 5f32.ln()]]));
    assert_close(
        choice.fisher_mul(matrix([[1.0, 2.0, 3.0]])),
        &[-0.1875, -0.125, 0.3125],
        1e-6,
    );
    // σ = (1, 2): (u₁, u₂/4, 2u₃, 2u₄).
    let normal = NORMAL.with_params(matrix([[1.0, -2.0, 0.0, 2f32.ln()]]));
    assert_close(
        normal.fisher_mul(matrix([[1.0, 2.0, 3.0, 4.0]])),
        &[1.0, 0.5, 6.0, 8.0],
        1e-6,
    );
}

/// Noise `[B, W]` as `kind` wants it.
fn noise(kind: DistKind, batch: usize, seed: u64) -> Tensor<2> {
    let mut rng = rand::rngs::SmallRng::seed_from_u64(seed);
    let mut unit = || ((rng.next_u32() >> 9) as f32 + 0.5) / (1u32 << 23) as f32;
    let (width, noise) = kind.noise();
    let mut draw = || match noise {
        NoiseKind::Gumbel => -(-unit().ln()).ln(),
        NoiseKind::Normal => (-2.0 * unit().ln()).sqrt() * (std::f32::consts::TAU * unit()).cos(),
    };
    let values: Vec<f32> = (0..batch * width).map(|_| draw()).collect();
    Tensor::from_data(TensorData::new(values, [batch, width]), &device())
}

#[test]
fn categorical_samples_have_the_probabilities() {
    let batch = 20_000;
    let dist = CHOICE.with_params(matrix([[0.0, 2f32.ln(), 5f32.ln()]]).repeat(&[batch, 1]));
    let samples = numbers(dist.sample(noise(CHOICE, batch, 1)));
    for (k, p) in [0.125, 0.25, 0.625].into_iter().enumerate() {
        let share = samples.iter().filter(|a| **a == k as f64).count() as f64 / batch as f64;
        // Four standard deviations.
        assert!(
            (share - p).abs() < 4.0 * (p * (1.0 - p) / batch as f64).sqrt(),
            "{k}: {share}"
        );
    }
}

#[test]
fn entropy_is_the_mean_of_minus_log_prob() {
    let batch = 20_000;
    for (kind, params) in [
        (CHOICE, vec![0.3, -0.4, 1.1]),
        (NORMAL, vec![1.0, -2.0, 0.5, -0.7]),
    ] {
        let row =
            Tensor::<1>::from_data(TensorData::new(params.clone(), [params.len()]), &device());
        let dist = kind.with_params(row.unsqueeze::<2>().repeat(&[batch, 1]));
        let log_probs = numbers(dist.log_prob(dist.sample(noise(kind, batch, 2))));
        let mean = -log_probs.iter().sum::<f64>() / batch as f64;
        let entropy = numbers(dist.entropy())[0];
        assert!(
            (mean - entropy).abs() < 0.03,
            "{kind:?}: {mean} against {entropy}"
        );
    }
}

#[test]
#[should_panic(expected = "assert_shape")]
fn parameters_of_the_wrong_width_are_refused() {
    NORMAL.with_params(matrix([[0.0; 3]]));
}

proptest! {
    // One device round trip per case: few cases keep this quick on a GPU too.
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn kl_is_never_negative(p in prop::array::uniform4(-3f32..3.0), q in prop::array::uniform4(-3f32..3.0)) {
        for kind in [DistKind::Categorical { choices: 4 }, NORMAL] {
            let (p, q) = (kind.with_params(matrix([p])), kind.with_params(matrix([q])));
            let kl = numbers(p.kl(&q))[0];
            prop_assert!(kl >= -1e-5, "{kind:?}: {kl}");
            prop_assert!(numbers(p.kl(&p))[0].abs() < 1e-5);
        }
    }

    #[test]
    fn probabilities_sum_to_one(logits in prop::array::uniform4(-30f32..30.0)) {
        let kind = DistKind::Categorical { choices: 4 };
        let dist = kind.with_params(matrix([logits; 4]));
        let log_probs = numbers(dist.log_prob(matrix([[0.0], [1.0], [2.0], [3.0]])));
        let sum: f64 = log_probs.iter().map(|l| l.exp()).sum();
        prop_assert!((sum - 1.0).abs() < 1e-5, "{sum}");
    }
}
