//! Gauss–Hermite quadrature: expectations under a normal distribution.

/// Positive nodes and weights of the Gauss–Hermite rule of order 24 for the weight function exp(−z²/2)/√2π; the
/// negative nodes mirror them. Roots of He₂₄, weights 24!/(24 He₂₃(z))².
pub const HALF: [(f64, f64); 12] = [
    (0.317_370_096_629_452_3, 0.240_870_115_546_640_3),
    (0.953_421_922_932_109, 0.161_459_512_867_000_08),
    (1.593_480_429_816_42, 0.072_069_364_017_178_33),
    (2.240_467_851_691_752_4, 0.021_126_344_408_967_546),
    (2.897_728_643_223_313_6, 0.003_976_608_929_181_309),
    (3.569_306_764_073_56, 0.000_464_718_718_779_395_7),
    (4.260_383_605_019_905, 3.209_500_565_274_591_4e-05),
    (4.978_041_374_639_121, 1.217_659_745_442_581_3e-06),
    (5.732_747_175_251_201, 2.267_461_673_480_641_8e-08),
    (6.541_675_005_098_634, 1.718_664_927_964_858_2e-10),
    (7.437_890_666_021_663, 3.714_974_152_762_399e-13),
    (8.507_803_519_195_257, 9.390_193_689_041_956e-17),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// E z²ᵏ = (2k − 1)!!, up to degree 46.
    #[test]
    fn the_rule_has_the_moments_of_a_normal() {
        let mut expected = 1.0;
        for k in 0..=23 {
            let moment: f64 = HALF.iter().map(|(z, w)| 2.0 * w * z.powi(2 * k)).sum();
            assert!(
                (moment / expected - 1.0).abs() < 1e-13,
                "moment {}: {moment} is not {expected}",
                2 * k
            );
            expected *= f64::from(2 * k + 1);
        }
    }
}
