//! Vectorisable exp and ln: no branches, tables or calls.

use std::f32::consts::{FRAC_1_SQRT_2, LOG2_E};

/// 1.5 · 2²³: adding it to a number rounds that to an integer, which then occupies the lowest bits.
const ROUND: f32 = 12_582_912.0;
/// ln 2 in two parts; the first has few digits, so that integer multiples of it are exact.
const LN_2_HIGH: f32 = 0.693_359_4;
const LN_2_LOW: f32 = -2.121_944_4e-4;

/// eˣ within 2 units in the last place; 0 below −87, ∞ above 88.5. NaN stays NaN.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    // Comparisons with NaN are false, so NaN passes through.
    let held = if x > 88.5 { 88.5 } else { x };
    let held = if held < -87.0 { -87.0 } else { held };
    // eˣ = 2ⁿ eʳ with |r| ≤ ½ ln 2.
    let shifted = held * LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = held - n * LN_2_HIGH - n * LN_2_LOW;
    // Taylor series with the last coefficients adjusted to the interval (Cephes, expf).
    let p = 1.987_569_2e-4;
    let p = p * r + 1.398_199_9e-3;
    let p = p * r + 8.333_452e-3;
    let p = p * r + 4.166_579_6e-2;
    let p = p * r + 1.666_666_5e-1;
    let p = p * r + 0.5;
    let p = p * (r * r) + r + 1.0;
    // Multiplication by 2ⁿ: n is added to the exponent.
    let y = f32::from_bits(p.to_bits().wrapping_add(shifted.to_bits() << 23));
    let y = if x < -87.0 { 0.0 } else { y };
    if x > 88.5 { f32::INFINITY } else { y }
}

/// ln x for normal numbers, within 2 units in the last place (1e-7 absolute around 1).
#[inline(always)]
pub(crate) fn ln(x: f32) -> f32 {
    // x = 2ⁿ m with m from √½ to √2.
    let bits = x.to_bits();
    let offset = bits.wrapping_sub(FRAC_1_SQRT_2.to_bits()) as i32 >> 23;
    let m = f32::from_bits(bits.wrapping_sub((offset << 23) as u32)) - 1.0;
    let n = offset as f32;
    // Polynomial from Cephes, logf.
    let square = m * m;
    let p = 7.037_683_6e-2;
    let p = p * m - 1.151_461e-1;
    let p = p * m + 1.167_699_9e-1;
    let p = p * m - 1.242_014_1e-1;
    let p = p * m + 1.424_932_3e-1;
    let p = p * m - 1.666_805_8e-1;
    let p = p * m + 2.000_071_5e-1;
    let p = p * m - 2.499_999_4e-1;
    let p = p * m + 3.333_333e-1;
    let p = p * m * square + n * LN_2_LOW - 0.5 * square;
    m + p + n * LN_2_HIGH
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Distance from the exact value, in units in the last place.
    fn units(found: f32, exact: f64) -> f64 {
        let nearest = (exact as f32).abs().max(f32::MIN_POSITIVE);
        let unit = f64::from(f32::from_bits(nearest.to_bits() + 1)) - f64::from(nearest);
        (f64::from(found) - exact).abs() / unit
    }

    #[test]
    fn exp_within_two_units() {
        let bits = (1e-30f32.to_bits()..88.5f32.to_bits()).step_by(1009);
        for x in bits.map(f32::from_bits).flat_map(|x| [x, -x]) {
            if x > -87.0 {
                let off = units(exp(x), f64::from(x).exp());
                assert!(off <= 2.0, "exp({x}) = {}, {off} units off", exp(x));
            }
        }
    }

    #[test]
    fn ends_of_exp() {
        assert_eq!(exp(0.0), 1.0);
        assert!(exp(-87.0) > 0.0 && exp(88.5).is_finite());
        assert_eq!([exp(-200.0), exp(f32::NEG_INFINITY)], [0.0; 2]);
        assert_eq!([exp(89.0), exp(f32::INFINITY)], [f32::INFINITY; 2]);
        assert!(exp(f32::NAN).is_nan());
    }

    #[test]
    fn ln_within_two_units() {
        let bits = (f32::MIN_POSITIVE.to_bits()..f32::MAX.to_bits()).step_by(10_007);
        for x in bits.map(f32::from_bits) {
            let (found, exact) = (ln(x), f64::from(x).ln());
            let near = (f64::from(found) - exact).abs() <= 1e-7;
            let off = units(found, exact);
            assert!(near || off <= 2.0, "ln({x}) = {found}, {off} units off");
        }
        assert_eq!(ln(1.0), 0.0);
    }
}
