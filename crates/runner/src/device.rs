//! Which device a run computes on: the only file that names a backend.
//!
//! [`choose`] turns `--device` into a Burn device and says why; [`list`] shows what there is to
//! choose from. The decision itself ([`pick`]) is a pure function of the request, the work and the
//! [`Machine`], so it is tested without hardware. Hardware is looked at only when the decision
//! depends on it: `--device flex` never wakes a GPU driver.

use std::fmt;
use std::str::FromStr;

use anyhow::{Context as _, Result, bail};
use burn::tensor::Device;

/// Below this much arithmetic per minibatch a CPU core is done before a GPU has been handed its
/// kernels, so `auto` stays on the CPU.
///
/// A rule of thumb: a minibatch update takes a few hundred kernel launches, some milliseconds in
/// all, in which the CPU backend does one or two GFLOP.
const GPU_PAYS_FROM_FLOP: f64 = 2e9;

/// Forward and backward through a dense network cost about this many operations per parameter and
/// sample: two for the forward pass, four for the gradients of inputs and weights.
const FLOP_PER_PARAM: f64 = 6.0;

/// The Burn release in the workspace's `Cargo.toml`, which Burn does not export; a test keeps the
/// two equal.
const BURN_VERSION: &str = "0.22.1";

/// Every form `--device` takes, for error messages and help.
pub(crate) const FORMS: &str = "auto, flex, ndarray, wgpu[:N], cuda[:N]";

/// What `--device` asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DeviceArg {
    /// Whatever suits the work.
    Auto,
    /// Burn's pure-Rust CPU backend.
    Flex,
    /// Burn's older CPU backend, kept for comparison.
    Ndarray,
    /// The N-th adapter of `uphill list devices`, or the best one.
    Wgpu(Option<usize>),
    /// The N-th CUDA device, or the first one.
    Cuda(Option<usize>),
}

impl FromStr for DeviceArg {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let (name, index) = match text.split_once(':') {
            Some((name, index)) => (name, Some(index)),
            None => (text, None),
        };
        match (name, index) {
            ("auto", None) => Ok(Self::Auto),
            ("flex", None) => Ok(Self::Flex),
            ("ndarray", None) => Ok(Self::Ndarray),
            ("wgpu", index) => Ok(Self::Wgpu(parse_index(name, index)?)),
            ("cuda", index) => Ok(Self::Cuda(parse_index(name, index)?)),
            ("auto" | "flex" | "ndarray", Some(_)) => {
                bail!("`{name}` takes no number: use `{name}`")
            }
            _ => bail!("`{text}` is not one of {FORMS}{}", did_you_mean(name)),
        }
    }
}

impl fmt::Display for DeviceArg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Flex => f.write_str("flex"),
            Self::Ndarray => f.write_str("ndarray"),
            Self::Wgpu(None) => f.write_str("wgpu"),
            Self::Wgpu(Some(n)) => write!(f, "wgpu:{n}"),
            Self::Cuda(None) => f.write_str("cuda"),
            Self::Cuda(Some(n)) => write!(f, "cuda:{n}"),
        }
    }
}

fn parse_index(name: &str, index: Option<&str>) -> Result<Option<usize>> {
    index
        .map(|text| {
            text.parse()
                .with_context(|| format!("`{text}` is not a device number: use `{name}:0`"))
        })
        .transpose()
}

/// Helps with typing errors and with the names people know the backends by.
fn did_you_mean(name: &str) -> String {
    let known = match name.to_ascii_lowercase().as_str() {
        "cpu" => Some("flex"),
        "gpu" | "vulkan" | "metal" | "webgpu" => Some("wgpu"),
        "nvidia" => Some("cuda"),
        lower => ["auto", "flex", "ndarray", "wgpu", "cuda"]
            .into_iter()
            .map(|form| (strsim::damerau_levenshtein(lower, form), form))
            .min()
            .filter(|&(distance, _)| distance <= 2)
            .map(|(_, form)| form),
    };
    known.map_or(String::new(), |form| format!("; did you mean `{form}`?"))
}

/// The work `auto` weighs.
pub(crate) struct Workload {
    /// Parameters of actor and critic together.
    pub(crate) params: usize,
    /// Samples in one gradient step.
    pub(crate) minibatch: usize,
    /// Whether the environments step on the CPU, so that every step crosses to the device and back.
    pub(crate) host_env: bool,
}

impl Workload {
    fn flop(&self) -> f64 {
        FLOP_PER_PARAM * self.params as f64 * self.minibatch as f64
    }

    /// The numbers behind a choice, as the start of its reason.
    fn in_words(&self) -> String {
        format!(
            "network of {} parameters, minibatch {}: {} per minibatch",
            with_unit(self.params as f64, ""),
            self.minibatch,
            with_unit(self.flop(), "FLOP"),
        )
    }

    fn env_in_words(&self) -> &'static str {
        if self.host_env {
            "environments step on the host"
        } else {
            "environments step on the device"
        }
    }
}

/// `9.2 k`, `14 MFLOP`: two digits say what an estimate can.
fn with_unit(value: f64, unit: &str) -> String {
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

/// The device a run uses.
pub(crate) struct Chosen {
    /// Burn's handle, without gradients: callers add `.autodiff()`.
    pub(crate) device: Device,
    /// As `--device` names it: `flex`, `wgpu:0`.
    pub(crate) name: String,
    /// What it is, for a person.
    pub(crate) adapter: String,
    /// Why this one; `asked for` when the user named it.
    pub(crate) reason: String,
}

/// One row of `uphill list devices`.
pub(crate) struct DeviceInfo {
    /// As `--device` names it.
    pub(crate) name: String,
    /// Backend and, where there are several, the graphics API under it.
    pub(crate) backend: String,
    /// `cpu`, `discrete`, `integrated`, `virtual`, `software`, `other`, `gpu`, or `-` where there
    /// is none.
    pub(crate) kind: String,
    /// The hardware's own name.
    pub(crate) adapter: String,
    /// Name and version.
    pub(crate) driver: String,
    /// How to get what is missing, or what to know before using it.
    pub(crate) note: String,
}

/// Picks a device for `work` and opens it.
pub(crate) fn choose(arg: DeviceArg, work: &Workload) -> Result<Chosen> {
    let machine = Machine::this();
    let (pick, reason) = pick(arg, work, &machine)?;
    Ok(Chosen {
        device: open(&pick)?,
        name: pick.name(),
        adapter: pick.describe(),
        reason,
    })
}

/// Every device of this machine and, for what this build or this machine lacks, how to get it.
pub(crate) fn list() -> Vec<DeviceInfo> {
    rows(&Machine::this())
}

/// What there is to choose from; `None` and `false` stand for a backend that is not compiled in.
struct Machine {
    flex: bool,
    ndarray: bool,
    wgpu: Option<fn() -> Vec<Adapter>>,
    cuda: Option<fn() -> Vec<CudaGpu>>,
}

impl Machine {
    fn this() -> Self {
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
        }
    }

    fn wgpu(&self) -> Vec<Adapter> {
        self.wgpu.map_or(Vec::new(), |probe| probe())
    }

    fn cuda(&self) -> Vec<CudaGpu> {
        self.cuda.map_or(Vec::new(), |probe| probe())
    }

    /// The first CUDA device, else the first GPU that wgpu sees.
    fn first_gpu(&self) -> Option<Pick> {
        if let Some(gpu) = self.cuda().into_iter().next() {
            return Some(Pick::Cuda(gpu));
        }
        let gpu = self.wgpu().into_iter().find(Adapter::is_gpu)?;
        Some(Pick::Wgpu(gpu))
    }

    fn cpu(&self) -> Option<Pick> {
        if self.flex {
            Some(Pick::Flex)
        } else if self.ndarray {
            Some(Pick::Ndarray)
        } else {
            None
        }
    }
}

/// What wgpu calls a device type. `Software` runs on the CPU: good for tests, no gain over a CPU
/// backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(feature = "wgpu"), allow(dead_code))]
enum Kind {
    Discrete,
    Integrated,
    Virtual,
    Software,
    Other,
}

impl Kind {
    fn name(self) -> &'static str {
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
struct Adapter {
    /// N of `wgpu:N`.
    index: usize,
    kind: Kind,
    /// Its position among adapters of the same kind, by which Burn addresses it.
    #[cfg_attr(not(feature = "wgpu"), allow(dead_code))]
    nth: usize,
    api: String,
    name: String,
    driver: String,
}

impl Adapter {
    fn is_gpu(&self) -> bool {
        matches!(self.kind, Kind::Discrete | Kind::Integrated | Kind::Virtual)
    }

    fn describe(&self) -> String {
        let Self {
            name, api, driver, ..
        } = self;
        format!("{name} ({api}, {}, driver {driver})", self.kind.name())
    }

    fn caution(&self) -> &'static str {
        match self.kind {
            Kind::Software => "runs on the CPU: for tests, slower than flex",
            _ => "",
        }
    }
}

/// A device that the CUDA driver sees.
#[derive(Clone, Debug)]
struct CudaGpu {
    index: usize,
    name: String,
    driver: String,
}

/// The outcome of the decision, before anything is opened.
#[derive(Clone, Debug)]
enum Pick {
    Flex,
    Ndarray,
    Wgpu(Adapter),
    Cuda(CudaGpu),
}

impl Pick {
    fn name(&self) -> String {
        match self {
            Self::Flex => "flex".to_owned(),
            Self::Ndarray => "ndarray".to_owned(),
            Self::Wgpu(adapter) => format!("wgpu:{}", adapter.index),
            Self::Cuda(gpu) => format!("cuda:{}", gpu.index),
        }
    }

    fn describe(&self) -> String {
        match self {
            Self::Flex => format!("CPU, pure Rust (Burn flex), {}", cores()),
            Self::Ndarray => format!("CPU (Burn ndarray), {}", cores()),
            Self::Wgpu(adapter) => adapter.describe(),
            Self::Cuda(gpu) => format!("{} (CUDA, driver {})", gpu.name, gpu.driver),
        }
    }
}

/// Decides without touching a device beyond asking the machine what it has.
fn pick(arg: DeviceArg, work: &Workload, machine: &Machine) -> Result<(Pick, String)> {
    let pick = match arg {
        DeviceArg::Auto => return auto(work, machine),
        DeviceArg::Flex if machine.flex => Pick::Flex,
        DeviceArg::Ndarray if machine.ndarray => Pick::Ndarray,
        DeviceArg::Flex => bail!(not_compiled_in("flex")),
        DeviceArg::Ndarray => bail!(not_compiled_in("ndarray")),
        DeviceArg::Wgpu(index) => return pick_wgpu(index, machine),
        DeviceArg::Cuda(index) => pick_cuda(index, machine)?,
    };
    Ok((pick, "asked for".to_owned()))
}

fn auto(work: &Workload, machine: &Machine) -> Result<(Pick, String)> {
    let numbers = work.in_words();
    let Some(cpu) = machine.cpu() else {
        return auto_without_cpu(machine);
    };
    if work.flop() < GPU_PAYS_FROM_FLOP {
        let env = work.env_in_words();
        let reason = format!("{numbers} is too little to pay for GPU launches; {env}");
        return Ok((cpu, reason));
    }
    if let Some(gpu) = machine.first_gpu() {
        return Ok((gpu, format!("{numbers} is enough to pay for GPU launches")));
    }
    let lack = if machine.wgpu.is_none() && machine.cuda.is_none() {
        "no GPU backend is compiled in"
    } else {
        "this machine has no GPU that this build can use"
    };
    let reason = format!("{numbers} would pay for GPU launches, but {lack}");
    Ok((cpu, reason))
}

fn auto_without_cpu(machine: &Machine) -> Result<(Pick, String)> {
    if let Some(gpu) = machine.first_gpu() {
        return Ok((gpu, "no CPU backend is compiled in".to_owned()));
    }
    let Some(adapter) = machine.wgpu().into_iter().next() else {
        bail!(
            "no usable device: this build has no CPU backend and this machine no GPU for it; \
             build with `cargo build --release --features flex`"
        );
    };
    let reason = "no CPU backend is compiled in, and there is no other adapter".to_owned();
    Ok((Pick::Wgpu(adapter), reason))
}

fn pick_wgpu(index: Option<usize>, machine: &Machine) -> Result<(Pick, String)> {
    if machine.wgpu.is_none() {
        bail!(not_compiled_in("wgpu"));
    }
    let adapters = machine.wgpu();
    if adapters.is_empty() {
        bail!("device \"wgpu\" does not exist: {NO_ADAPTER}");
    }
    let found = match index {
        Some(index) => adapters.get(index),
        None => best(&adapters),
    };
    let Some(adapter) = found else {
        let there: Vec<_> = adapters.iter().cloned().map(Pick::Wgpu).collect();
        bail!(does_not_exist(DeviceArg::Wgpu(index), &there));
    };
    let reason = match (adapter.kind, index) {
        (Kind::Software, Some(_)) => {
            format!("asked for; a software adapter {}", adapter.caution())
        }
        (Kind::Software, None) => format!(
            "asked for; there is only a software adapter, which {}",
            adapter.caution()
        ),
        _ => "asked for".to_owned(),
    };
    Ok((Pick::Wgpu(adapter.clone()), reason))
}

/// The first GPU, else whatever is no software adapter, else the first adapter.
fn best(adapters: &[Adapter]) -> Option<&Adapter> {
    adapters.iter().min_by_key(|adapter| match adapter.kind {
        Kind::Discrete | Kind::Integrated | Kind::Virtual => 0,
        Kind::Other => 1,
        Kind::Software => 2,
    })
}

fn pick_cuda(index: Option<usize>, machine: &Machine) -> Result<Pick> {
    if machine.cuda.is_none() {
        bail!(not_compiled_in("cuda"));
    }
    let gpus = machine.cuda();
    if gpus.is_empty() {
        bail!("device \"cuda\" does not exist: {NO_CUDA}");
    }
    match gpus.get(index.unwrap_or(0)) {
        Some(gpu) => Ok(Pick::Cuda(gpu.clone())),
        None => {
            let there: Vec<_> = gpus.into_iter().map(Pick::Cuda).collect();
            bail!(does_not_exist(DeviceArg::Cuda(index), &there))
        }
    }
}

const NO_ADAPTER: &str = "no graphics driver offers an adapter; install the GPU's Vulkan driver \
    (NVIDIA: its own driver; AMD and Intel on Debian or Ubuntu: `apt install mesa-vulkan-drivers`, \
    which also brings a software adapter for tests)";

const NO_CUDA: &str = "the CUDA driver library (libcuda.so.1, nvcuda.dll) is not installed or sees no GPU; \
    install NVIDIA's driver, pass the GPU into the container (`--gpus all`), and check with `nvidia-smi`";

fn build_with(backend: &str) -> String {
    format!("build with `cargo build --release --features {backend}`")
}

fn not_compiled_in(backend: &str) -> String {
    let how = build_with(backend);
    format!("device \"{backend}\" is not compiled in: {how}")
}

fn does_not_exist(asked: DeviceArg, there: &[Pick]) -> String {
    let there: Vec<_> = there
        .iter()
        .map(|pick| format!("{} ({})", pick.name(), pick.describe()))
        .collect();
    let there = there.join(", ");
    format!("device \"{asked}\" does not exist: this machine has {there}")
}

fn cores() -> String {
    match std::thread::available_parallelism().map_or(1, usize::from) {
        1 => "1 core".to_owned(),
        n => format!("{n} cores"),
    }
}

fn rows(machine: &Machine) -> Vec<DeviceInfo> {
    let mut rows = vec![
        cpu_row(
            &Pick::Flex,
            machine.flex,
            "default for small networks on every machine",
        ),
        cpu_row(
            &Pick::Ndarray,
            machine.ndarray,
            "deprecated by Burn; for comparison",
        ),
    ];
    let adapters = machine.wgpu().into_iter().map(wgpu_row).collect();
    rows.extend(gpu_rows(
        "wgpu",
        machine.wgpu.is_some(),
        adapters,
        NO_ADAPTER,
    ));
    let gpus = machine.cuda().into_iter().map(cuda_row).collect();
    rows.extend(gpu_rows("cuda", machine.cuda.is_some(), gpus, NO_CUDA));
    rows
}

fn cpu_row(pick: &Pick, compiled_in: bool, note: &str) -> DeviceInfo {
    let name = pick.name();
    if !compiled_in {
        return missing_row(&name, not_compiled_note(&name));
    }
    DeviceInfo {
        kind: "cpu".to_owned(),
        adapter: format!("CPU, {}", cores()),
        driver: format!("Burn {name} {BURN_VERSION}"),
        note: note.to_owned(),
        backend: name.clone(),
        name,
    }
}

fn wgpu_row(adapter: Adapter) -> DeviceInfo {
    DeviceInfo {
        name: format!("wgpu:{}", adapter.index),
        backend: format!("wgpu, {}", adapter.api),
        kind: adapter.kind.name().to_owned(),
        note: adapter.caution().to_owned(),
        adapter: adapter.name,
        driver: adapter.driver,
    }
}

fn cuda_row(gpu: CudaGpu) -> DeviceInfo {
    DeviceInfo {
        name: format!("cuda:{}", gpu.index),
        backend: "cuda".to_owned(),
        kind: "gpu".to_owned(),
        adapter: gpu.name,
        driver: gpu.driver,
        note: String::new(),
    }
}

/// The rows of a GPU backend, or the one that says why there are none.
fn gpu_rows(
    backend: &str,
    compiled_in: bool,
    found: Vec<DeviceInfo>,
    how_to_get_one: &str,
) -> Vec<DeviceInfo> {
    if !compiled_in {
        vec![missing_row(backend, not_compiled_note(backend))]
    } else if found.is_empty() {
        vec![missing_row(
            backend,
            format!("not available: {how_to_get_one}"),
        )]
    } else {
        found
    }
}

fn not_compiled_note(backend: &str) -> String {
    format!("not compiled in: {}", build_with(backend))
}

fn missing_row(backend: &str, note: String) -> DeviceInfo {
    DeviceInfo {
        name: backend.to_owned(),
        backend: backend.to_owned(),
        kind: "-".to_owned(),
        adapter: "-".to_owned(),
        driver: "-".to_owned(),
        note,
    }
}

/// Turns the decision into Burn's device, on which a tensor operation then works.
fn open(pick: &Pick) -> Result<Device> {
    match pick {
        #[cfg(feature = "flex")]
        Pick::Flex => Ok(Device::flex()),
        #[cfg(feature = "ndarray")]
        #[allow(deprecated)] // offered for comparison until Burn removes it
        Pick::Ndarray => Ok(Device::ndarray()),
        #[cfg(feature = "wgpu")]
        Pick::Wgpu(adapter) => wgpu_probe::open(adapter),
        #[cfg(feature = "cuda")]
        Pick::Cuda(gpu) => Ok(Device::cuda(gpu.index)),
        #[allow(unreachable_patterns)] // reachable unless every backend is compiled in
        other => bail!(not_compiled_in(&other.name())),
    }
}

/// wgpu's adapters in the order and on the graphics API that Burn uses, so that indices mean the
/// same hardware.
#[cfg(feature = "wgpu")]
mod wgpu_probe {
    use std::sync::OnceLock;

    use anyhow::{Context as _, Result, bail};
    use burn::tensor::wgpu::WgpuInitError;
    // The very wgpu that Burn runs on: a version of our own could enumerate differently.
    use burn::tensor::wgpu::wgpu;
    use burn::tensor::{Device, DeviceKind, read_sync};

    use super::{Adapter, Kind};

    /// The graphics APIs Burn tries, in its order (`AutoGraphicsApi::chain` of `cubecl-wgpu`).
    const APIS: &[wgpu::Backend] = if cfg!(target_os = "macos") {
        &[wgpu::Backend::Metal]
    } else {
        &[
            wgpu::Backend::Vulkan,
            wgpu::Backend::Dx12,
            wgpu::Backend::Gl,
        ]
    };

    /// Asks the drivers once per process: it takes tens of milliseconds, and the Vulkan loader
    /// dislikes instances that come and go.
    pub(super) fn adapters() -> Vec<Adapter> {
        static ADAPTERS: OnceLock<Vec<Adapter>> = OnceLock::new();
        ADAPTERS.get_or_init(|| number(settle())).clone()
    }

    /// The adapters of the first API with a GPU, else of the first with any adapter, as Burn
    /// settles it.
    fn settle() -> Vec<wgpu::AdapterInfo> {
        let mut software_only = Vec::new();
        for &api in APIS {
            let found = on_api(api);
            if found
                .iter()
                .any(|info| info.device_type != wgpu::DeviceType::Cpu)
            {
                return found;
            }
            if software_only.is_empty() {
                software_only = found;
            }
        }
        software_only
    }

    fn on_api(api: wgpu::Backend) -> Vec<wgpu::AdapterInfo> {
        let instance = wgpu::Instance::new(wgpu::InstanceDescriptor {
            backends: api.into(),
            ..wgpu::InstanceDescriptor::new_without_display_handle()
        });
        read_sync(instance.enumerate_adapters(api.into()))
            .iter()
            .map(wgpu::Adapter::get_info)
            .collect()
    }

    fn number(infos: Vec<wgpu::AdapterInfo>) -> Vec<Adapter> {
        let mut adapters: Vec<Adapter> = Vec::with_capacity(infos.len());
        for (index, info) in infos.into_iter().enumerate() {
            let kind = kind_of(info.device_type);
            let nth = adapters.iter().filter(|other| other.kind == kind).count();
            adapters.push(Adapter {
                index,
                kind,
                nth,
                api: format!("{:?}", info.backend),
                driver: driver_of(&info),
                name: info.name,
            });
        }
        adapters
    }

    fn kind_of(device_type: wgpu::DeviceType) -> Kind {
        match device_type {
            wgpu::DeviceType::DiscreteGpu => Kind::Discrete,
            wgpu::DeviceType::IntegratedGpu => Kind::Integrated,
            wgpu::DeviceType::VirtualGpu => Kind::Virtual,
            wgpu::DeviceType::Cpu => Kind::Software,
            wgpu::DeviceType::Other => Kind::Other,
        }
    }

    fn driver_of(info: &wgpu::AdapterInfo) -> String {
        let driver = format!("{} {}", info.driver, info.driver_info);
        match driver.trim() {
            "" => "unknown".to_owned(),
            driver => driver.to_owned(),
        }
    }

    /// Opens the adapter now, so that a driver that refuses is an error here and no panic at the
    /// first tensor.
    pub(super) fn open(adapter: &Adapter) -> Result<Device> {
        let kind = burn_kind(adapter)?;
        let opened = Device::wgpu_options().device_kind(kind.clone()).init();
        match opened {
            Ok(device) => Ok(device),
            // Opened before in this process, as `bench` does.
            Err(WgpuInitError::Registration { .. }) => Ok(Device::wgpu(kind)),
            Err(error) => Err(error)
                .with_context(|| format!("cannot open wgpu:{} {}", adapter.index, adapter.name)),
        }
    }

    /// How Burn addresses an adapter. It has no number for software adapters and no name at all for
    /// unclassified ones, which only the default of a machine without other adapters reaches.
    pub(super) fn burn_kind(adapter: &Adapter) -> Result<DeviceKind> {
        match (adapter.kind, adapter.nth) {
            (Kind::Discrete, n) => Ok(DeviceKind::DiscreteGpu(n)),
            (Kind::Integrated, n) => Ok(DeviceKind::IntegratedGpu(n)),
            (Kind::Virtual, n) => Ok(DeviceKind::VirtualGpu(n)),
            (Kind::Software, 0) => Ok(DeviceKind::Cpu),
            (Kind::Other, 0) if adapters().len() == 1 => Ok(DeviceKind::DefaultDevice),
            _ => bail!(
                "wgpu:{} {} cannot be addressed: Burn reaches only the first software adapter and \
                 numbered GPUs",
                adapter.index,
                adapter.describe()
            ),
        }
    }
}

/// CUDA devices by name, without opening them: a context costs hundreds of megabytes.
#[cfg(feature = "cuda")]
mod cuda_probe {
    use burn::tensor::{Device, DeviceType};
    use cudarc::driver::result::device;

    use super::CudaGpu;

    /// Burn looks for the driver library before it calls it, so the count is zero, and no panic,
    /// where there is none; only then is it safe to ask the driver more.
    pub(super) fn gpus() -> Vec<CudaGpu> {
        let count = Device::enumerate(DeviceType::Cuda).into_iter().count();
        (0..count)
            .map(|index| CudaGpu {
                index,
                name: name(index).unwrap_or_else(|| "NVIDIA GPU".to_owned()),
                driver: driver_version(),
            })
            .collect()
    }

    fn name(index: usize) -> Option<String> {
        let handle = device::get(i32::try_from(index).ok()?).ok()?;
        device::get_name(handle).ok()
    }

    fn driver_version() -> String {
        std::fs::read_to_string("/proc/driver/nvidia/version")
            .ok()
            .and_then(|text| super::version_in(&text))
            .map_or("NVIDIA".to_owned(), |version| format!("NVIDIA {version}"))
    }
}

/// The first word of digits and dots, as in `NVRM version: NVIDIA UNIX x86_64 Kernel Module
/// 550.54.15  Tue …`.
#[cfg(any(feature = "cuda", test))]
fn version_in(text: &str) -> Option<String> {
    text.split_whitespace()
        .find(|word| word.contains('.') && word.chars().all(|c| c.is_ascii_digit() || c == '.'))
        .map(str::to_owned)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const SMALL: Workload = Workload {
        params: 9_155,
        minibatch: 256,
        host_env: true,
    };
    /// 6 · 1e6 · 1000 = 6 GFLOP.
    const LARGE: Workload = Workload {
        params: 1_000_000,
        minibatch: 1000,
        host_env: true,
    };
    const CPU_ONLY: Machine = Machine {
        flex: true,
        ndarray: false,
        wgpu: None,
        cuda: None,
    };

    fn adapter(index: usize, kind: Kind, name: &str) -> Adapter {
        Adapter {
            index,
            kind,
            nth: 0,
            api: "Vulkan".to_owned(),
            name: name.to_owned(),
            driver: "test 1.0".to_owned(),
        }
    }

    fn software() -> Vec<Adapter> {
        vec![adapter(0, Kind::Software, "llvmpipe")]
    }

    fn software_and_gpu() -> Vec<Adapter> {
        let gpu = adapter(1, Kind::Integrated, "Iris");
        [software(), vec![gpu]].concat()
    }

    fn one_cuda() -> Vec<CudaGpu> {
        vec![CudaGpu {
            index: 0,
            name: "RTX".to_owned(),
            driver: "NVIDIA 550".to_owned(),
        }]
    }

    fn must_not_look<T>() -> Vec<T> {
        panic!("the hardware does not matter here")
    }

    fn picked(arg: DeviceArg, work: &Workload, machine: &Machine) -> (String, String) {
        let (pick, reason) = pick(arg, work, machine).unwrap();
        (pick.name(), reason)
    }

    fn error(arg: DeviceArg, machine: &Machine) -> String {
        pick(arg, &SMALL, machine).unwrap_err().to_string()
    }

    fn parse_error(text: &str) -> String {
        format!("{:#}", text.parse::<DeviceArg>().unwrap_err())
    }

    #[test]
    fn every_form_parses_and_prints_back() {
        let forms = [
            ("auto", DeviceArg::Auto),
            ("flex", DeviceArg::Flex),
            ("ndarray", DeviceArg::Ndarray),
            ("wgpu", DeviceArg::Wgpu(None)),
            ("wgpu:2", DeviceArg::Wgpu(Some(2))),
            ("cuda", DeviceArg::Cuda(None)),
            ("cuda:0", DeviceArg::Cuda(Some(0))),
        ];
        for (text, arg) in forms {
            assert_eq!(text.parse::<DeviceArg>().unwrap(), arg);
            assert_eq!(arg.to_string(), text);
        }
    }

    #[test]
    fn a_bad_form_is_explained() {
        assert_eq!(
            parse_error("gpu"),
            format!("`gpu` is not one of {FORMS}; did you mean `wgpu`?")
        );
        assert!(parse_error("cpu").ends_with("did you mean `flex`?"));
        assert!(parse_error("CUDA").ends_with("did you mean `cuda`?"));
        assert!(parse_error("flx").ends_with("did you mean `flex`?"));
        assert!(parse_error("tensorcore").ends_with(FORMS));
        assert!(parse_error("").ends_with(FORMS));
        assert!(parse_error("wgpu:x").starts_with("`x` is not a device number: use `wgpu:0`"));
        assert!(parse_error("cuda:-1").starts_with("`-1` is not a device number"));
        assert!(parse_error("cuda:").starts_with("`` is not a device number"));
        assert_eq!(parse_error("flex:0"), "`flex` takes no number: use `flex`");
    }

    #[test]
    fn auto_keeps_small_work_on_the_cpu_without_looking_at_gpus() {
        let machine = Machine {
            wgpu: Some(must_not_look),
            cuda: Some(must_not_look),
            ..CPU_ONLY
        };
        let (name, reason) = picked(DeviceArg::Auto, &SMALL, &machine);
        assert_eq!(name, "flex");
        // 6 · 9155 · 256 = 14.06 MFLOP
        assert_eq!(
            reason,
            "network of 9.2 k parameters, minibatch 256: 14 MFLOP per minibatch is too little to pay \
             for GPU launches; environments step on the host"
        );
    }

    #[test]
    fn auto_gives_large_work_to_cuda_else_to_a_gpu_of_wgpu() {
        let both = Machine {
            wgpu: Some(software_and_gpu),
            cuda: Some(one_cuda),
            ..CPU_ONLY
        };
        assert_eq!(picked(DeviceArg::Auto, &LARGE, &both).0, "cuda:0");
        let no_cuda_gpu = Machine {
            cuda: Some(Vec::new),
            ..both
        };
        let (name, reason) = picked(DeviceArg::Auto, &LARGE, &no_cuda_gpu);
        assert_eq!(name, "wgpu:1");
        assert!(reason.contains("6.0 GFLOP"), "{reason}");
    }

    #[test]
    fn auto_never_picks_a_software_adapter_over_a_cpu_backend() {
        let machine = Machine {
            wgpu: Some(software),
            ..CPU_ONLY
        };
        let (name, reason) = picked(DeviceArg::Auto, &LARGE, &machine);
        assert_eq!(name, "flex");
        assert!(reason.ends_with("this machine has no GPU that this build can use"));
        let (_, reason) = picked(DeviceArg::Auto, &LARGE, &CPU_ONLY);
        assert!(reason.ends_with("no GPU backend is compiled in"));
    }

    #[test]
    fn auto_takes_what_is_compiled_in() {
        let ndarray = Machine {
            flex: false,
            ndarray: true,
            ..CPU_ONLY
        };
        assert_eq!(picked(DeviceArg::Auto, &SMALL, &ndarray).0, "ndarray");
        let wgpu = Machine {
            flex: false,
            wgpu: Some(software_and_gpu),
            ..CPU_ONLY
        };
        assert_eq!(picked(DeviceArg::Auto, &SMALL, &wgpu).0, "wgpu:1");
        let software = Machine {
            wgpu: Some(software),
            ..wgpu
        };
        assert_eq!(picked(DeviceArg::Auto, &SMALL, &software).0, "wgpu:0");
        let nothing = Machine {
            flex: false,
            ..CPU_ONLY
        };
        assert!(error(DeviceArg::Auto, &nothing).contains("--features flex"));
    }

    #[test]
    fn wgpu_prefers_a_gpu_and_warns_of_software() {
        let machine = Machine {
            wgpu: Some(software_and_gpu),
            ..CPU_ONLY
        };
        let asked = |index, machine: &Machine| picked(DeviceArg::Wgpu(index), &SMALL, machine);
        assert_eq!(asked(None, &machine), ("wgpu:1".into(), "asked for".into()));
        let (name, reason) = asked(Some(0), &machine);
        assert_eq!(name, "wgpu:0");
        assert!(reason.contains("software"), "{reason}");
        let machine = Machine {
            wgpu: Some(software),
            ..CPU_ONLY
        };
        let (name, reason) = asked(None, &machine);
        assert_eq!(name, "wgpu:0");
        assert!(reason.contains("only a software adapter"), "{reason}");
    }

    #[test]
    fn what_is_not_compiled_in_names_the_build_command() {
        assert_eq!(
            error(DeviceArg::Cuda(None), &CPU_ONLY),
            "device \"cuda\" is not compiled in: build with `cargo build --release --features cuda`"
        );
        for (arg, backend) in [
            (DeviceArg::Wgpu(Some(1)), "wgpu"),
            (DeviceArg::Ndarray, "ndarray"),
        ] {
            let message = error(arg, &CPU_ONLY);
            assert!(message.contains(&build_with(backend)), "{message}");
        }
    }

    #[test]
    fn what_does_not_exist_says_what_does() {
        let machine = Machine {
            wgpu: Some(software),
            cuda: Some(one_cuda),
            ..CPU_ONLY
        };
        assert_eq!(
            error(DeviceArg::Wgpu(Some(3)), &machine),
            "device \"wgpu:3\" does not exist: this machine has wgpu:0 (llvmpipe (Vulkan, software, \
             driver test 1.0))"
        );
        assert!(error(DeviceArg::Cuda(Some(1)), &machine).contains("cuda:0 (RTX"));
        let bare = Machine {
            wgpu: Some(Vec::new),
            cuda: Some(Vec::new),
            ..CPU_ONLY
        };
        assert!(error(DeviceArg::Wgpu(None), &bare).contains("mesa-vulkan-drivers"));
        assert!(error(DeviceArg::Cuda(None), &bare).contains("nvidia-smi"));
    }

    #[test]
    fn the_list_has_a_row_for_every_backend() {
        let names = |machine: &Machine| -> Vec<String> {
            rows(machine).into_iter().map(|row| row.name).collect()
        };
        assert_eq!(names(&CPU_ONLY), ["flex", "ndarray", "wgpu", "cuda"]);
        let machine = Machine {
            wgpu: Some(software_and_gpu),
            cuda: Some(one_cuda),
            ..CPU_ONLY
        };
        assert_eq!(
            names(&machine),
            ["flex", "ndarray", "wgpu:0", "wgpu:1", "cuda:0"]
        );
        assert_eq!(rows(&machine)[2].kind, "software");
        assert_eq!(rows(&CPU_ONLY)[3].note, not_compiled_note("cuda"));
    }

    #[test]
    fn estimates_have_two_digits() {
        assert_eq!(with_unit(812.0, ""), "812");
        assert_eq!(with_unit(9_155.0, ""), "9.2 k");
        assert_eq!(with_unit(2e9, "FLOP"), "2.0 GFLOP");
        assert_eq!(with_unit(999.9e6, "FLOP"), "1.0 GFLOP");
    }

    #[test]
    fn the_version_shown_is_the_one_linked() {
        let lock = include_str!("../../../Cargo.lock");
        assert!(lock.contains(&format!("name = \"burn\"\nversion = \"{BURN_VERSION}\"")));
    }

    #[test]
    fn a_driver_version_is_found_in_the_kernel_s_words() {
        let text =
            "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue Mar  5\nGCC version:";
        assert_eq!(version_in(text).as_deref(), Some("550.54.15"));
        assert_eq!(version_in("nothing here"), None);
    }

    /// Burn lists the adapters it can open; ours must be the same ones in the same order, whatever
    /// this machine has.
    #[cfg(feature = "wgpu")]
    #[test]
    fn our_adapters_are_those_that_burn_sees() {
        use burn::tensor::DeviceType;
        let ours: Vec<Device> = wgpu_probe::adapters()
            .iter()
            .filter_map(|adapter| wgpu_probe::burn_kind(adapter).ok())
            .map(Device::wgpu)
            .collect();
        let burns: Vec<Device> = Device::enumerate(DeviceType::Wgpu).into_iter().collect();
        assert_eq!(ours, burns);
    }
}
