//! Where episodes begin, and what is shown of it: as the environments' pages state.

use uphill_envs::{CartPole, Env, Pendulum, Philox, Stream, probe};

/// Panics unless the components of a start state are uniform in ± their limits, and uncorrelated: by bounds, means,
/// mean squares and mean products over many episodes, within five standard errors.
fn starts_uniformly(env: &impl Env, limits: &[f32]) {
    let episodes = 4000;
    assert_eq!(env.state_size(), limits.len());
    let starts: Vec<Vec<f64>> = (0..episodes)
        .map(|episode| {
            let mut state = vec![f32::NAN; limits.len()];
            env.reset(&mut state, &mut Philox::new(1, Stream::Reset, episode, 0));
            // In units of the limits: uniform in [−1, 1].
            let unit = |(x, limit): (&f32, &f32)| f64::from(x / limit);
            state.iter().zip(limits).map(unit).collect()
        })
        .collect();
    let mean = |of: &dyn Fn(&[f64]) -> f64| {
        starts.iter().map(|state| of(state)).sum::<f64>() / f64::from(episodes)
    };
    let close = |found: f64, expected: f64, variance: f64, what: &str| {
        let off = (found - expected).abs();
        let error = (variance / f64::from(episodes)).sqrt();
        assert!(off < 5.0 * error, "{what}: {found} instead of {expected}");
    };
    let name = env.spec().name;
    for i in 0..limits.len() {
        assert!(starts.iter().all(|state| state[i].abs() <= 1.0 + 1e-6));
        close(
            mean(&|s| s[i]),
            0.0,
            1.0 / 3.0,
            &format!("{name}, mean {i}"),
        );
        // Var x² = E x⁴ − (E x²)² = 1/5 − 1/9.
        let what = format!("{name}, mean square {i}");
        close(mean(&|s| s[i] * s[i]), 1.0 / 3.0, 4.0 / 45.0, &what);
        for k in 0..i {
            let what = format!("{name}, mean product {i} {k}");
            close(mean(&|s| s[i] * s[k]), 0.0, 1.0 / 9.0, &what);
        }
    }
}

#[test]
fn states_at_the_start_are_uniform_within_their_limits() {
    starts_uniformly(&CartPole, &[0.05; 4]);
    starts_uniformly(&Pendulum, &[std::f32::consts::PI, 1.0]);
    starts_uniformly(&probe::ProbeLqr, &[1.0]);
    starts_uniformly(&probe::ProbeLqr17x6::default(), &[0.25; 17]);
}

/// Panics unless every component of an observation is written, whatever was there.
fn shows_all(env: &impl Env) {
    let mut state = vec![0.0; env.state_size()];
    env.reset(&mut state, &mut Philox::new(1, Stream::Reset, 0, 0));
    let mut obs = vec![f32::NAN; env.spec().obs.dim()];
    env.observe(&state, &mut obs);
    assert!(
        obs.iter().all(|x| !x.is_nan()),
        "{}: {obs:?}",
        env.spec().name
    );
}

#[test]
fn observations_are_written_whole() {
    shows_all(&CartPole);
    shows_all(&Pendulum);
    shows_all(&probe::ProbeAction);
    shows_all(&probe::ProbeConstant);
    shows_all(&probe::ProbeDigits);
    shows_all(&probe::ProbeIdentity);
    shows_all(&probe::ProbeLqr);
    shows_all(&probe::ProbeLqr17x6::default());
    shows_all(&probe::ProbeMask);
    shows_all(&probe::ProbeObservation);
    shows_all(&probe::ProbeRecall);
    shows_all(&probe::ProbeStop);
    shows_all(&probe::ProbeTwoStep);
}

#[test]
fn the_bounds_of_a_cart_s_observation_are_twice_those_of_its_episode() {
    // As in Gymnasium: 2 · 2.4 m and 2 · 12°.
    let obs = uphill_envs::spec("CartPole-v1").unwrap().obs;
    let expected = [4.8, f32::INFINITY, 24f32.to_radians(), f32::INFINITY];
    for ((low, high), expected) in obs.low.iter().zip(&obs.high).zip(expected) {
        assert!(*high == expected || (high - expected).abs() < 1e-6);
        assert_eq!(*low, -high);
    }
}
