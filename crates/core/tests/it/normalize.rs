use crate::{assert_close, device::device, matrix, numbers};
use burn::tensor::{Int, Tensor, TensorData};
use proptest::prelude::*;
use uphill_core::{
    normalize::{Moments, ObsNorm, RewardScaler},
    peers::Alone,
};

#[test]
fn moments_of_one_batch_by_hand() {
    let moments = Moments::new(2, &device()).merge(matrix([[1.0, 0.0], [3.0, 0.0], [5.0, 6.0]]));
    assert_close(moments.mean, &[3.0, 2.0], 1e-6);
    assert_close(moments.variance, &[8.0 / 3.0, 8.0], 1e-6);
    assert_eq!(moments.count, 3.0);
}

#[test]
fn a_fresh_normaliser_changes_nothing() {
    let norm = ObsNorm::new(2, 0.0, &device());
    assert_close(norm.apply(matrix([[1.5, -2.0]])), &[1.5, -2.0], 1e-6);
}

#[test]
fn observations_are_centred_scaled_and_clipped() {
    let mut norm = ObsNorm::new(1, 1.2, &device());
    norm.moments = norm.moments.merge(matrix([[1.0], [3.0]]));
    // Mean 2, standard deviation 1.
    assert_close(
        norm.apply(matrix([[2.0], [3.0], [9.0], [-9.0]])),
        &[0.0, 1.0, 1.2, -1.2],
        1e-5,
    );
}

/// Two features, and a mask that is no feature.
#[test]
fn columns_without_moments_pass_through_and_are_not_counted() {
    let obs = matrix([[1.0, 10.0, 1.0], [3.0, 50.0, 0.0]]);
    let mut norm = ObsNorm::new(2, 0.0, &device());
    norm.merge(obs.clone());
    assert_close(norm.moments.mean.clone(), &[2.0, 30.0], 1e-6);
    assert_close(norm.moments.variance.clone(), &[1.0, 400.0], 1e-6);
    let seen = [-1.0, -1.0, 1.0, 1.0, 1.0, 0.0];
    assert_close(norm.apply(obs.clone()), &seen, 1e-5);
    let mut over = ObsNorm::new(2, 0.0, &device());
    over.merge_over(&Alone, obs);
    assert_eq!(numbers(over.moments.mean), [2.0, 30.0]);
    assert_eq!(over.moments.count, 2.0);
}

/// A floor of 1e-8 + 1e-10 · mean², with either part the larger one.
#[test]
fn the_floor_of_a_spread_has_two_parts() {
    let flat = |mean: f32, variance: f32| {
        let moments = Moments {
            mean: Tensor::from_floats([mean], &device()),
            variance: Tensor::from_floats([variance], &device()),
            count: 2.0,
            agents: 1,
        };
        moments.flat().into_data().iter::<bool>().next().unwrap()
    };
    assert!(flat(0.0, 0.9e-8) && !flat(0.0, 1.1e-8));
    assert!(flat(100.0, 1.0e-6) && !flat(100.0, 1.1e-6));
}

/// A run that diverges has to be seen to.
#[test]
fn what_is_no_number_is_not_clipped() {
    let mut norm = ObsNorm::new(1, 1.0, &device());
    norm.moments = norm.moments.merge(matrix([[1.0], [3.0]]));
    let found = numbers(norm.apply(matrix([[f32::NAN], [f32::INFINITY]])));
    assert!(found[0].is_nan(), "{found:?}");
    assert_eq!(found[1], 1.0);
}

/// Gym-like reference, one copy, one step at a time.
fn discounted(rewards: &[f64], ended: &[bool], gamma: f64) -> Vec<f64> {
    let mut g = 0.0;
    rewards
        .iter()
        .zip(ended)
        .map(|(r, e)| {
            let now = g * gamma + r;
            g = if *e { 0.0 } else { now };
            now
        })
        .collect()
}

#[test]
fn rewards_are_scaled_by_the_spread_of_the_discounted_return_across_rollouts() {
    let rewards = [1.0, 2.0, -1.0, 0.5, 3.0, 1.0];
    let ended = [false, true, false, false, false, true];
    let mut scaler = RewardScaler::new(1, &device());
    let part = |range: std::ops::Range<usize>| {
        let len = range.len();
        let r: Vec<f32> = rewards[range.clone()].iter().map(|x| *x as f32).collect();
        let e: Vec<i32> = ended[range].iter().map(|x| i32::from(*x)).collect();
        (
            Tensor::<2>::from_data(TensorData::new(r, [len, 1]), &device()),
            Tensor::<2, Int>::from_data(TensorData::new(e, [len, 1]), &device()).equal_elem(1),
        )
    };
    let (r, e) = part(0..4);
    scaler.scale(r, e, 0.9);
    // A rollout of a single step carries over as well.
    let (r, e) = part(4..5);
    scaler.scale(r, e, 0.9);
    let (r, e) = part(5..6);
    let scaled = scaler.scale(r, e, 0.9);

    let all = discounted(&rewards, &ended, 0.9);
    let mean = all.iter().sum::<f64>() / 6.0;
    let std = (all.iter().map(|g| (g - mean).powi(2)).sum::<f64>() / 6.0).sqrt();
    assert_close(scaled, &[1.0 / std], 1e-4);
    assert_close(scaler.discounted, &[0.0], 1e-6);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn merging_parts_equals_one_batch(values in prop::collection::vec(-5f32..5.0, 8..40), cut in 1..7usize) {
        let column = |v: &[f32]| Tensor::<2>::from_data(TensorData::new(v.to_vec(), [v.len(), 1]), &device());
        let parts = Moments::new(1, &device()).merge(column(&values[..cut])).merge(column(&values[cut..]));
        let whole = Moments::new(1, &device()).merge(column(&values));
        prop_assert_eq!(parts.count, whole.count);
        assert_close(parts.mean, &numbers(whole.mean), 1e-5);
        assert_close(parts.variance, &numbers(whole.variance), 1e-4);
    }
}

/// Constants of any size, as many as a rollout may hold, seen several times.
fn constants(value: f32, times: usize) -> Moments {
    let column = Tensor::<2>::full([16_384, 1], value, &device());
    (0..times).fold(Moments::new(1, &device()), |moments, _| {
        moments.merge(column.clone())
    })
}

#[test]
fn rounding_of_a_constant_is_no_spread() {
    for value in [0.0, 0.1, -1.0, 3.3, 1234.5, -7e6] {
        for times in [1, 2, 5] {
            let mut norm = ObsNorm::new(1, 0.0, &device());
            norm.moments = constants(value, times);
            let what = format!("{value}, {times} times: {}", norm.moments.variance);
            assert_eq!(numbers(norm.moments.flat().float()), [1.0], "{what}");
            assert_close(norm.moments.std(), &[1.0], 0.0);
            // Centred, in its own unit.
            let size = f64::from(value.abs().max(1.0));
            let found = numbers(norm.apply(matrix([[value + 0.5]])))[0];
            assert!((found - 0.5).abs() < 1e-5 * size, "{what}: {found}");
        }
    }
}

#[test]
fn small_spread_is_spread() {
    // Standard deviations of 2e-4 around zero, and of 1 around 50,000.
    for (mean, std) in [(0.0, 2e-4), (50_000.0, 1.0)] {
        let moments = Moments::new(1, &device()).merge(matrix([[mean - std], [mean + std]]));
        assert_eq!(numbers(moments.flat().float()), [0.0]);
        let expected = (f64::from(std).powi(2) + 1e-8).sqrt();
        assert_close(moments.std(), &[expected], 1e-5);
    }
}

#[test]
fn a_divergence_is_not_taken_for_a_constant() {
    let mut moments = Moments::new(1, &device()).merge(matrix([[1.0], [3.0]]));
    moments.variance = moments.variance * f64::NAN;
    assert!(numbers(moments.std())[0].is_nan());
}

#[test]
fn rewards_without_spread_stay_as_they_are() {
    for reward in [1.0f32, 0.1, -250.0] {
        let rewards = Tensor::<2>::full([64, 4], reward, &device());
        // Without a future every return is its reward.
        let never = rewards.clone().equal_elem(f32::MAX);
        let scaled = RewardScaler::new(4, &device()).scale(rewards.clone(), never, 0.0);
        assert_eq!(numbers(scaled), numbers(rewards));
    }
}
