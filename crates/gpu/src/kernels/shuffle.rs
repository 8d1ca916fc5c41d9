//! Random orders of samples that are never stored: positions are computed from indices.

use cubecl::prelude::*;

/// Rounds of the permutation. Each half is mixed four times with a hash of the other.
const ROUNDS: u32 = 8;
/// 2³² divided by the golden ratio: the increment of the key per round.
const KEY_STEP: u32 = 0x9E37_79B9;

/// Number of bits of the indices below `len`; at least two, one for each half.
pub(super) fn bits(len: usize) -> u32 {
    len.next_power_of_two().trailing_zeros().max(2)
}

/// The image of `index` under a random permutation of the indices below `len`, chosen by the key `a`, `b`.
///
/// A Feistel network (Luby & Rackoff 1988) with halves of different lengths permutes the numbers of `bits` bits; images
/// that are not below `len` are permuted again until they are ("cycle walking", Black & Rogaway 2002), which takes
/// fewer than two steps on average.
#[cube]
pub(super) fn shuffled(index: u32, len: u32, a: u32, b: u32, #[comptime] bits: u32) -> u32 {
    let mut image = permuted(index, a, b, bits);
    while image >= len {
        image = permuted(image, a, b, bits);
    }
    image
}

/// One step of [`shuffled`], a permutation of the numbers of `bits` bits.
#[cube]
fn permuted(index: u32, a: u32, b: u32, #[comptime] bits: u32) -> u32 {
    let low_bits = comptime!(bits / 2);
    let low_mask = comptime!((1u32 << (bits / 2)) - 1);
    let high_mask = comptime!((1u32 << (bits - bits / 2)) - 1);
    let mut low = index & low_mask;
    let mut high = index >> low_bits;
    #[unroll]
    for round in 0..comptime!(ROUNDS / 2) {
        let step = comptime!(KEY_STEP.wrapping_mul(round + 1));
        high ^= hashed(low ^ (a + step)) & high_mask;
        low ^= hashed(high ^ (b + step)) & low_mask;
    }
    (high << low_bits) | low
}

/// The finaliser of MurmurHash3 (Appleby 2011): every bit of the result depends on every bit of `x`.
#[cube]
fn hashed(x: u32) -> u32 {
    let x = (x ^ (x >> 16u32)) * 0x85EB_CA6Bu32;
    let x = (x ^ (x >> 13u32)) * 0xC2B2_AE35u32;
    x ^ (x >> 16u32)
}

/// Writes the images of all indices below `len`.
#[cube(launch)]
pub(super) fn order_kernel(
    keys: &[u32],
    order: &mut [u32],
    epoch: u32,
    len: u32,
    #[comptime] bits: u32,
) {
    let index = ABSOLUTE_POS as u32;
    if index < len {
        let at = 2 * epoch as usize;
        order[ABSOLUTE_POS] = shuffled(index, len, keys[at], keys[at + 1], bits);
    }
}
