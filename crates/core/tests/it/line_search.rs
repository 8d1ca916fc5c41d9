use uphill_core::line_search::{acceptable, backtrack};

#[test]
fn it_shrinks_until_a_step_is_taken() {
    let mut scales = vec![];
    let found = backtrack(0.5, 10, |scale| {
        scales.push(scale);
        (scale < 0.3).then_some(scale)
    });
    assert_eq!(found, Some((2, 0.25)));
    assert_eq!(scales, [1.0, 0.5, 0.25]);
}

#[test]
fn it_gives_up_after_the_tries_it_has() {
    let mut tries = 0;
    let found = backtrack(0.8, 10, |_| {
        tries += 1;
        None::<()>
    });
    assert_eq!((found, tries), (None, 10));
}

#[test]
fn a_step_has_to_improve_within_the_constraint_and_be_finite() {
    assert!(acceptable(1e-6, 0.01, 0.01));
    assert!(!acceptable(1e-6, 0.010_001, 0.01), "KL too large");
    assert!(!acceptable(0.0, 0.001, 0.01), "nothing gained");
    assert!(!acceptable(-1.0, 0.001, 0.01), "worse");
    for broken in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        assert!(!acceptable(broken, 0.001, 0.01), "improvement {broken}");
        assert!(!acceptable(1.0, broken, 0.01), "KL {broken}");
    }
}
