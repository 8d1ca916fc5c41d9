#![allow(clippy::unwrap_used)]

use super::{
    arg::FORMS,
    machine::{Adapter, CudaGpu, Kind},
    messages::build_with,
    rows::{BURN_VERSION, not_compiled_note},
    work::with_unit,
    *,
};

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
    let lock = include_str!("../../../../Cargo.lock");
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
