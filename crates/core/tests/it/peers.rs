use crate::{assert_close, device::device, numbers, threads::in_each, vector};
use burn::tensor::{Bool, Tensor, TensorData};
use uphill_core::{
    advantage,
    loss::explained_variance,
    normalize::{Moments, RewardScaler},
    peers::{self, Alone, Peers},
};

#[test]
fn ranks_gather_in_order_and_average() {
    for found in in_each(3, |peers| {
        let own = vector(&[peers.rank() as f32, 6.0]);
        let all = peers.gather(&[peers.rank() as f32, 7.0]);
        (
            all,
            numbers(peers::mean(peers, own.clone())),
            numbers(peers::max(peers, own.narrow(0, 0, 1))),
        )
    }) {
        assert_eq!(found.0, [0.0, 7.0, 1.0, 7.0, 2.0, 7.0]);
        assert_eq!((found.1, found.2), (vec![1.0, 6.0], vec![2.0]));
    }
}

#[test]
fn a_process_by_itself_changes_nothing() {
    let x = vector(&[1.0, -2.0, 5.0]);
    assert_eq!(numbers(peers::mean(&Alone, x.clone())), numbers(x.clone()));
    let expected = numbers(advantage::standardize(x.clone()));
    assert_eq!(numbers(peers::standardize(&Alone, x)), expected);
    assert_eq!(Alone.gather(&[3.0, 4.0]), [3.0, 4.0]);
}

/// Far from zero, where sums of squares would have lost everything.
const SAMPLES: [f32; 8] = [1000.5, 1003.0, 999.0, 1001.0, 1002.5, 1000.0, 998.0, 1006.0];

#[test]
fn parts_are_standardised_as_the_whole() {
    let whole = advantage::standardize(vector(&SAMPLES));
    let parts = in_each(2, |peers| {
        let own = vector(&SAMPLES[4 * peers.rank()..][..4]);
        numbers(peers::standardize(peers, own))
    });
    assert_close(whole, &parts.concat(), 1e-4);
}

/// From parts of unequal sizes, as episodes make them.
#[test]
fn variance_is_explained_as_of_the_whole() {
    let values = [1001.0, 1002.0, 999.5, 1000.0, 1003.0, 1000.5, 999.0, 1004.0];
    let whole = numbers(explained_variance(vector(&values), vector(&SAMPLES)))[0];
    assert!(whole > 0.1 && whole < 0.9, "{whole}");
    let explained = |returns: [f32; 8]| {
        in_each(2, move |peers| {
            let own = [0..3, 3..8][peers.rank()].clone();
            let (values, returns) = (vector(&values[own.clone()]), vector(&returns[own]));
            numbers(peers::explained_variance(peers, values, returns))[0]
        })
    };
    for found in explained(SAMPLES) {
        assert!((found - whole).abs() < 1e-4, "{found} instead of {whole}");
    }
    assert!(explained([7.0; 8]).iter().all(|found| found.is_nan()));
    // Spread that rounding may have made, beside large returns or a bad critic.
    let pairs = [
        ([1000.0, 1000.0001], [1000.0, 1000.0001]),
        ([100.0, -100.0], [1e-6, -1e-6]),
    ];
    for (values, returns) in pairs {
        for found in in_each(2, |peers| {
            let own = |x: [f32; 2]| vector(&[x[peers.rank()]]);
            numbers(peers::explained_variance(peers, own(values), own(returns)))[0]
        }) {
            assert!(found.is_nan(), "{found}");
        }
    }
}

/// Three samples in one process and one in the other.
#[test]
fn means_weigh_processes_by_their_samples() {
    let found = in_each(2, |peers| {
        let (own, samples) = [(2.0, 3), (6.0, 1)][peers.rank()];
        let mean = peers::mean_over(peers, vector(&[own]), samples);
        (peers::share(peers, samples), numbers(mean))
    });
    assert_eq!(found, [(1.5, vec![3.0]), (0.5, vec![3.0])]);
    assert_eq!(peers::share(&Alone, 7), 1.0);
    assert_eq!(numbers(peers::mean_over(&Alone, vector(&[2.0]), 7)), [2.0]);
}

/// The least that has a spread: one sample in each of two processes.
#[test]
fn two_samples_are_standardised() {
    let parts = in_each(2, |peers| {
        let own = vector(&[[1.0, 3.0][peers.rank()]]);
        numbers(peers::standardize(peers, own))[0]
    });
    let expected = 0.5f64.sqrt();
    assert!((parts[0] + expected).abs() < 1e-6 && (parts[1] - expected).abs() < 1e-6);
}

#[test]
fn moments_are_those_of_the_whole() {
    let earlier =
        Moments::new(1, &device()).merge(vector(&[990.0, 1010.0, 1004.0]).reshape([3, 1]));
    let whole = earlier.merge(vector(&SAMPLES).reshape([8, 1]));
    let parts = in_each(4, |peers| {
        let own = vector(&SAMPLES[2 * peers.rank()..][..2]).reshape([2, 1]);
        let moments = earlier.merge_over(peers, own);
        (
            moments.count,
            numbers(moments.mean),
            numbers(moments.variance),
        )
    });
    for (count, mean, variance) in &parts {
        assert_eq!(*count, whole.count);
        assert_close(whole.mean.clone(), mean, 1e-3);
        assert_close(whole.variance.clone(), variance, 1e-3);
    }
    assert!(
        parts.iter().all(|found| *found == parts[0]),
        "the same bits"
    );
}

#[test]
fn rewards_are_scaled_as_the_whole() {
    let flags = |flags: &[bool], width| {
        let data = TensorData::new(flags.to_vec(), [2, width]);
        Tensor::<2, Bool>::from_data(data, &device())
    };
    let rewards = vector(&[1.0, -3.0, 2.5, 7.0]).reshape([2, 2]);
    let ended = [false, true, true, false];
    let mut scaler = RewardScaler::new(2, &device());
    let whole = scaler.scale(rewards.clone(), flags(&ended, 2), 0.9);
    let parts = in_each(2, |peers| {
        let copy = peers.rank();
        let own = rewards.clone().narrow(1, copy, 1);
        let ended = flags(&[ended[copy], ended[2 + copy]], 1);
        let mut scaler = RewardScaler::new(1, &device());
        numbers(scaler.scale_over(peers, own, ended, 0.9))
    });
    for (copy, part) in parts.iter().enumerate() {
        let expected = whole.clone().narrow(1, copy, 1).reshape([2]);
        assert_close(expected, part, 1e-5);
    }
}

/// As small as the 1e-8 that is added to it.
#[test]
fn a_small_spread_is_standardised_as_the_whole() {
    let samples = SAMPLES.map(|x| 1e-8 * (x - 1000.0));
    let whole = advantage::standardize(vector(&samples));
    let parts = in_each(2, |peers| {
        let own = vector(&samples[4 * peers.rank()..][..4]);
        numbers(peers::standardize(peers, own))
    });
    assert_close(whole, &parts.concat(), 1e-4);
}
