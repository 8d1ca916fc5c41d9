//! Dispatch to the widest instruction set that the processor and the kernels support.

use pulp::{Scalar, Simd, WithSimd};

/// Runs `op` with AVX-512, AVX2 and FMA, or NEON if the processor has them, and in plain arithmetic otherwise.
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

/// Repeats a test with vectors of every width that processors have, whatever this processor has, and with its own:
/// makes a result, runs an operation that writes to it, and checks it. Vectors of a single number stand for processors
/// without vector instructions, and multiply and add in two roundings.
#[cfg(test)]
macro_rules! on_every_width {
    ($result:ident in $new:expr, $op:expr => $check:expr) => {{
        use pulp::{Scalar, Scalar128b, Scalar256b, Scalar512b};
        use $crate::simd::{dispatch, on, on_every_width};
        on_every_width!(@one $result, $new, $op, $check, |op| on(Scalar, op));
        on_every_width!(@one $result, $new, $op, $check, |op| on(Scalar128b, op));
        on_every_width!(@one $result, $new, $op, $check, |op| on(Scalar256b, op));
        on_every_width!(@one $result, $new, $op, $check, |op| on(Scalar512b, op));
        on_every_width!(@one $result, $new, $op, $check, |op| dispatch(op));
    }};
    (@one $result:ident, $new:expr, $op:expr, $check:expr, |$name:ident| $run:expr) => {{
        let mut $result = $new;
        let $name = $op;
        $run;
        $check;
    }};
}
#[cfg(test)]
pub(crate) use on_every_width;

/// Compiled once per operation, however many tests run it.
#[cfg(test)]
#[inline(never)]
pub(crate) fn on<S: Simd, W: WithSimd>(simd: S, op: W) -> W::Output {
    op.with_simd(simd)
}
