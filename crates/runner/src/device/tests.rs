//! Tests of the choice of a device, its reasons and its messages.

#![allow(clippy::unwrap_used)]

use super::{
    arg::FORMS,
    machine::{Adapter, CudaGpu, Kind},
    measured::{Verdict, merge, read_from},
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
    measured: Vec::new,
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
        lacks: None,
    }]
}

fn one_cuda_without_a_toolkit() -> Vec<CudaGpu> {
    let lacks = Some("libdevice is not there".to_owned());
    one_cuda()
        .into_iter()
        .map(|gpu| CudaGpu {
            lacks: lacks.clone(),
            ..gpu
        })
        .collect()
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
        "network of 9.2 k parameters, batches of 256: 14 MFLOP each is too little to pay \
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

/// Parameters, minibatch, and whether the GPU won, with environments on the host.
type Cell = (usize, usize, bool);

fn measured(adapter: &str, cells: &[Cell]) -> Measured {
    let point = |&(params, minibatch, won): &Cell| Point {
        params,
        minibatch,
        host_env: true,
        cpu: 10.0,
        gpu: if won { 20.0 } else { 5.0 },
    };
    let cpu = Pick::Flex.describe();
    Measured::now(adapter, &cpu, cells.iter().map(point).collect())
}

fn of_this_gpu(cells: &[Cell]) -> Vec<Measured> {
    let adapter = Pick::Cuda(one_cuda().remove(0)).describe();
    vec![measured(&adapter, cells)]
}

fn verdicts<const N: usize>(cells: &[Cell], sizes: [(usize, usize); N]) -> [Option<Verdict>; N] {
    let measured = measured("GPU", cells);
    sizes.map(|(params, minibatch)| {
        measured.verdict(&Workload {
            params,
            minibatch,
            host_env: true,
        })
    })
}

const GPU: Option<Verdict> = Some(Verdict::Gpu);
const CPU: Option<Verdict> = Some(Verdict::Cpu);

#[test]
fn the_nearest_measurement_decides() {
    // A larger number of copies favours the GPU where a wider network, which is more arithmetic, does not.
    let cells = [
        (9_000, 500, false),
        (9_000, 4_000, true),
        (140_000, 500, false),
        (140_000, 4_000, true),
    ];
    let sizes = [
        (9_000, 4_000),
        (140_000, 500),
        (10_000, 3_000),
        (100_000, 800),
    ];
    assert_eq!(verdicts(&cells, sizes), [GPU, CPU, GPU, CPU]);
    // Distances are factors: 20 is nearer to 10 than to 100.
    let cells = [(10, 8, false), (100, 8, true)];
    assert_eq!(verdicts(&cells, [(20, 8), (40, 8)]), [CPU, GPU]);
    // Equally near.
    assert_eq!(verdicts(&[(10, 8, true), (10, 8, false)], [(10, 8)]), [CPU]);
}

#[test]
fn measurements_are_silent_about_what_they_do_not_cover() {
    let sizes = [(1, 8), (6, 8), (50, 8), (180, 8), (1000, 8)];
    let lost = [(10, 8, false), (100, 8, false)];
    assert_eq!(verdicts(&lost, sizes), [CPU, CPU, CPU, CPU, None]);
    let won = [(10, 8, true), (100, 8, true)];
    assert_eq!(verdicts(&won, sizes), [None, GPU, GPU, GPU, GPU]);
    let both = [(10, 8, false), (100, 8, true)];
    assert_eq!(verdicts(&both, sizes), [CPU, CPU, GPU, GPU, GPU]);
    // Each size counts.
    let sizes = [(10, 1), (10, 100)];
    assert_eq!(verdicts(&lost, sizes), [CPU, None]);
    assert_eq!(verdicts(&won, sizes), [None, GPU]);
    assert_eq!(verdicts(&[], sizes), [None; 2]);
}

#[test]
fn environments_on_the_host_are_another_matter() {
    let host = measured("GPU", &[(10, 8, true)]);
    let work = |host_env| Workload {
        params: 10,
        minibatch: 8,
        host_env,
    };
    assert_eq!(host.verdict(&work(true)), GPU);
    assert_eq!(host.verdict(&work(false)), None);
    let mut device = host.clone();
    device.points[0].host_env = false;
    // Both are kept.
    let points = &merge(vec![host], device)[0].points;
    assert_eq!(points.len(), 2);
    // Earlier versions measured copies that live on the GPU, without recording it.
    let earlier = r#"{"params": 10, "minibatch": 8, "cpu": 1.0, "gpu": 2.0}"#;
    assert!(!serde_json::from_str::<Point>(earlier).unwrap().host_env);
}

#[test]
fn auto_follows_what_bench_has_measured() {
    let machine = |measured: fn() -> Vec<Measured>| Machine {
        cuda: Some(one_cuda),
        measured,
        ..CPU_ONLY
    };
    // 14 MFLOP is little, but the GPU won with less.
    let quick: fn() -> Vec<Measured> = || of_this_gpu(&[(9_155, 128, true)]);
    let (name, reason) = picked(DeviceArg::Auto, &SMALL, &machine(quick));
    assert_eq!(name, "cuda:0");
    assert!(
        reason.ends_with(
            "`uphill bench` found RTX (CUDA, driver NVIDIA 550) faster than the CPU at the nearest size, \
             9.2 k parameters with batches of 128"
        ),
        "{reason}"
    );
    // 6 GFLOP is a lot, but the GPU lost with more.
    let slow: fn() -> Vec<Measured> = || of_this_gpu(&[(1_000_000, 2000, false)]);
    let (name, reason) = picked(DeviceArg::Auto, &LARGE, &machine(slow));
    assert_eq!(name, "flex");
    assert!(reason.contains("found the CPU faster than RTX"), "{reason}");
    // Measurements of another GPU say nothing about this one.
    let other: fn() -> Vec<Measured> = || vec![measured("another", &[(1, 1, true)])];
    assert_eq!(picked(DeviceArg::Auto, &SMALL, &machine(other)).0, "flex");
    assert_eq!(picked(DeviceArg::Auto, &LARGE, &machine(other)).0, "cuda:0");
    // Nor does another version of the program, or another CPU.
    let mut stale = of_this_gpu(&[(1, 1, true)]).remove(0);
    assert!(stale.holds_against(&Pick::Flex.describe()));
    assert!(!stale.holds_against("another CPU"));
    if let Some(model) = cpu_model() {
        assert!(stale.cpu.ends_with(&model), "{}", stale.cpu);
    }
    stale.version = "0.0.0".to_owned();
    assert!(!stale.holds_against(&Pick::Flex.describe()));
}

#[test]
fn auto_leaves_drivers_alone_where_measurements_speak_for_the_cpu() {
    let machine = Machine {
        wgpu: Some(must_not_look),
        cuda: Some(must_not_look),
        measured: || vec![measured("GPU", &[(1_000_000, 1000, false)])],
        ..CPU_ONLY
    };
    let (name, reason) = picked(DeviceArg::Auto, &SMALL, &machine);
    assert_eq!(name, "flex");
    assert!(
        reason.ends_with(
            "`uphill bench` found the CPU faster than GPU at the nearest size, 1.0 M parameters with batches of 1000"
        ),
        "{reason}"
    );
}

#[test]
fn new_measurements_replace_those_of_the_same_size() {
    let known = merge(vec![], measured("a", &[(1, 8, true), (2, 8, true)]));
    let known = merge(known, measured("b", &[(1, 8, true)]));
    let known = merge(known, measured("a", &[(2, 8, false), (3, 8, true)]));
    let expected = [
        measured("a", &[(1, 8, true), (2, 8, false), (3, 8, true)]),
        measured("b", &[(1, 8, true)]),
    ];
    assert_eq!(known, expected);
}

#[test]
fn a_damaged_file_of_measurements_is_as_good_as_none() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bench.json");
    assert_eq!(read_from(&path), []);
    let known = vec![measured("a", &[(1, 8, true)])];
    std::fs::write(&path, serde_json::to_string(&known).unwrap()).unwrap();
    assert_eq!(read_from(&path), known);
    std::fs::write(&path, "[{").unwrap();
    assert_eq!(read_from(&path), []);
}

#[test]
fn bench_measures_every_device_but_software_adapters() {
    let machine = Machine {
        ndarray: true,
        wgpu: Some(software_and_gpu),
        cuda: Some(one_cuda),
        ..CPU_ONLY
    };
    let (found, left_out) = present::present(&machine);
    let names: Vec<_> = found.iter().map(DeviceArg::to_string).collect();
    assert_eq!(names, ["flex", "ndarray", "wgpu:1", "cuda:0"]);
    assert_eq!(left_out.len(), 1);
    assert!(left_out[0].starts_with("wgpu:0, llvmpipe"), "{left_out:?}");
}

#[test]
fn a_gpu_for_which_no_kernel_can_be_compiled_is_left_out_and_says_why() {
    let machine = Machine {
        wgpu: Some(software_and_gpu),
        cuda: Some(one_cuda_without_a_toolkit),
        ..CPU_ONLY
    };
    let message = "device \"cuda\" cannot be used: libdevice is not there";
    assert_eq!(error(DeviceArg::Cuda(None), &machine), message);
    assert_eq!(picked(DeviceArg::Auto, &LARGE, &machine).0, "wgpu:1");
    let (found, left_out) = present::present(&machine);
    assert!(!found.contains(&DeviceArg::Cuda(Some(0))), "{found:?}");
    assert_eq!(left_out[1], "cuda:0, RTX: libdevice is not there");
    let note = rows(&machine).pop().unwrap().note;
    assert_eq!(note, "cannot be used: libdevice is not there");
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

/// Burn lists the adapters that it can open; ours must be the same in the same order, whatever this machine has.
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
