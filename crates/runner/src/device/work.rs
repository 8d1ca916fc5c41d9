//! Amount of arithmetic in a minibatch.

/// Arithmetic per minibatch below which a CPU core finishes before a GPU has received its kernels, so that `auto` stays
/// on the CPU.
///
/// A rule of thumb, for machines that `uphill bench` has not measured: a minibatch update takes a few hundred kernel
/// launches, several milliseconds in total, in which the CPU backend does one or two GFLOP.
pub(super) const GPU_PAYS_FROM_FLOP: f64 = 2e9;

/// Operations per parameter and sample of forward and backward passes through a dense network: two for the forward
/// pass, four for the gradients with respect to inputs and weights.
pub(super) const FLOP_PER_PARAM: f64 = 6.0;

/// Work for which `auto` chooses a device.
pub(crate) struct Workload {
    /// Number of parameters of actor and critic together.
    pub(crate) params: usize,
    /// Number of samples in one gradient step.
    pub(crate) minibatch: usize,
    /// Whether the environments are stepped on the CPU even for a GPU, so that data crosses to it and back in every
    /// step.
    pub(crate) host_env: bool,
}

impl Workload {
    /// Arithmetic of one gradient step, in floating-point operations.
    pub(super) fn flop(&self) -> f64 {
        FLOP_PER_PARAM * self.params as f64 * self.minibatch as f64
    }

    /// The numbers behind a choice, as the start of its reason.
    pub(super) fn in_words(&self) -> String {
        format!(
            "network of {} parameters, batches of {}: {} each",
            with_unit(self.params as f64, ""),
            self.minibatch,
            with_unit(self.flop(), "FLOP"),
        )
    }

    pub(super) fn env_in_words(&self) -> &'static str {
        if self.host_env {
            "environments step on the host"
        } else {
            "environments could step on a GPU"
        }
    }
}

/// A number with a unit prefix: `9.2 k`, `14 MFLOP`; two digits suffice for an estimate.
pub(crate) fn with_unit(value: f64, unit: &str) -> String {
    let (scaled, prefix) = match value {
        v if v < 999.5 => (v, ""),
        v if v < 999.5e3 => (v / 1e3, "k"),
        v if v < 999.5e6 => (v / 1e6, "M"),
        v if v < 999.5e9 => (v / 1e9, "G"),
        v => (v / 1e12, "T"),
    };
    let digits = if scaled < 9.95 && !prefix.is_empty() {
        format!("{scaled:.1}")
    } else {
        format!("{scaled:.0}")
    };
    format!("{digits} {prefix}{unit}").trim_end().to_owned()
}
