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

/// With vectors of every width that processors have, whatever this one has, and with those that it has: makes a
/// result, runs an operation that writes there, and checks it. One number at a time stands for processors
/// without vectors, and is what multiplies and adds in two roundings.
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

/// Compiled once for each operation, however many tests run it.
#[cfg(test)]
#[inline(never)]
pub(crate) fn on<S: Simd, W: WithSimd>(simd: S, op: W) -> W::Output {
    op.with_simd(simd)
}
