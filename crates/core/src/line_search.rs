//! Backtracking line search under a constraint.

/// Whether a step of the policy is acceptable: it improves the objective, its mean KL is at most `max_kl`, and both are
/// finite.
///
/// Schulman et al., arXiv:1502.05477 appendix C.
///
/// ```
/// use uphill_core::line_search::acceptable;
///
/// assert!(acceptable(0.1, 0.009, 0.01));
/// assert!(!acceptable(0.1, 0.011, 0.01)); // too far
/// assert!(!acceptable(f64::NAN, 0.009, 0.01));
/// ```
pub fn acceptable(improvement: f64, mean_kl: f64, max_kl: f64) -> bool {
    improvement.is_finite() && mean_kl.is_finite() && improvement > 0.0 && mean_kl <= max_kl
}

/// Tries the scales 1, s, s², … with s = `shrink`, at most `tries` of them, until `attempt` returns a result. Returns
/// that result and the number of shrinks before it, or `None` if every trial failed.
///
/// ```
/// use uphill_core::line_search::backtrack;
///
/// // The largest of 1, ½, ¼, … that is below 0.3.
/// let found = backtrack(0.5, 10, |scale| (scale < 0.3).then_some(scale));
/// assert_eq!(found, Some((2, 0.25)));
/// ```
pub fn backtrack<T>(
    shrink: f64,
    tries: usize,
    mut attempt: impl FnMut(f64) -> Option<T>,
) -> Option<(usize, T)> {
    (0..tries).find_map(|shrinks| Some((shrinks, attempt(shrink.powi(shrinks as i32))?)))
}
