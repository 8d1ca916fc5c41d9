//! The widest instruction set that this machine has and that the kernels are written for.

use pulp::{Scalar, Simd, WithSimd};

/// Runs `op` with AVX-512, with AVX2 and FMA or with NEON where the processor has them, in plain
/// arithmetic otherwise.
pub(crate) fn dispatch<W: WithSimd>(op: W) -> W::Output {
    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    {
        if let Some(simd) = pulp::x86::V4::try_new() {
            return Simd::vectorize(simd, op);
        }
        if let Some(simd) = pulp::x86::V3::try_new() {
            return Simd::vectorize(simd, op);
        }
    }
    #[cfg(target_arch = "aarch64")]
    if let Some(simd) = pulp::aarch64::Neon::try_new() {
        return Simd::vectorize(simd, op);
    }
    op.with_simd(Scalar)
}
