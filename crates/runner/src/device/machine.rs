//! Devices of a machine: CPU backends, GPUs and their measurements.

#[cfg(feature = "cuda")]
use super::cuda_probe;
use super::measured::{self, Measured};
use super::pick::Pick;
#[cfg(feature = "wgpu")]
use super::wgpu_probe;

/// The available devices; `None` and `false` stand for a backend that is not compiled in.
pub(super) struct Machine {
    pub(super) flex: bool,
    pub(super) ndarray: bool,
    pub(super) wgpu: Option<fn() -> Vec<Adapter>>,
    pub(super) cuda: Option<fn() -> Vec<CudaGpu>>,
    /// Measurements of GPUs kept by `uphill bench`.
    pub(super) measured: fn() -> Vec<Measured>,
}

impl Machine {
    pub(super) fn this() -> Self {
        Self {
            flex: cfg!(feature = "flex"),
            ndarray: cfg!(feature = "ndarray"),
            #[cfg(feature = "wgpu")]
            wgpu: Some(wgpu_probe::adapters),
            #[cfg(not(feature = "wgpu"))]
            wgpu: None,
            #[cfg(feature = "cuda")]
            cuda: Some(cuda_probe::gpus),
            #[cfg(not(feature = "cuda"))]
            cuda: None,
            measured: measured::read,
        }
    }

    pub(super) fn wgpu(&self) -> Vec<Adapter> {
        self.wgpu.map_or(Vec::new(), |probe| probe())
    }

    pub(super) fn cuda(&self) -> Vec<CudaGpu> {
        self.cuda.map_or(Vec::new(), |probe| probe())
    }

    /// The first usable CUDA device, else the first GPU that wgpu sees.
    pub(super) fn first_gpu(&self) -> Option<Pick> {
        if let Some(gpu) = self.cuda().into_iter().find(|gpu| gpu.lacks.is_none()) {
            return Some(Pick::Cuda(gpu));
        }
        let gpu = self.wgpu().into_iter().find(Adapter::is_gpu)?;
        Some(Pick::Wgpu(gpu))
    }

    pub(super) fn cpu(&self) -> Option<Pick> {
        if self.flex {
            Some(Pick::Flex)
        } else if self.ndarray {
            Some(Pick::Ndarray)
        } else {
            None
        }
    }
}

/// wgpu's device types. `Software` runs on the CPU: good for tests, but no faster than a CPU backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(feature = "wgpu"), allow(dead_code))]
pub(super) enum Kind {
    Discrete,
    Integrated,
    Virtual,
    Software,
    Other,
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Discrete => "discrete",
            Self::Integrated => "integrated",
            Self::Virtual => "virtual",
            Self::Software => "software",
            Self::Other => "other",
        }
    }
}

/// A device that wgpu can compute on.
#[derive(Clone, Debug)]
pub(super) struct Adapter {
    /// N of `wgpu:N`.
    pub(super) index: usize,
    pub(super) kind: Kind,
    /// Position among adapters of the same kind, by which Burn addresses it.
    #[cfg_attr(not(feature = "wgpu"), allow(dead_code))]
    pub(super) nth: usize,
    pub(super) api: String,
    pub(super) name: String,
    pub(super) driver: String,
}

impl Adapter {
    pub(super) fn is_gpu(&self) -> bool {
        matches!(self.kind, Kind::Discrete | Kind::Integrated | Kind::Virtual)
    }

    pub(super) fn describe(&self) -> String {
        let Self {
            name, api, driver, ..
        } = self;
        format!("{name} ({api}, {}, driver {driver})", self.kind.name())
    }

    pub(super) fn caution(&self) -> &'static str {
        match self.kind {
            Kind::Software => "runs on the CPU: for tests, slower than flex",
            _ => "",
        }
    }
}

/// A device that the CUDA driver sees.
#[derive(Clone, Debug)]
pub(super) struct CudaGpu {
    pub(super) index: usize,
    pub(super) name: String,
    pub(super) driver: String,
    /// What is missing to compile kernels for it, and how to install it.
    pub(super) lacks: Option<String>,
}
