//! Tables of `uphill bench`.

use super::{
    CAREFUL_ROUNDS, Findings, Kept, Measurement,
    crossover::{Crossover, Size},
    document::cores,
    phases::Phases,
    spread::Spread,
    throughput::{WARM_UP, WARM_UP_ITERATIONS, whole_episodes},
};
use crate::{
    device::{BURN_VERSION, Processor, cpu_model},
    list::table,
};

/// Method, all measurements, and the sizes at which GPUs start to win.
pub(super) fn text(findings: &Findings) -> String {
    let mut parts = vec![heading(findings), measurements(&findings.measurements)];
    parts.push(crossovers(findings));
    parts.extend(notes(findings));
    parts.join("\n")
}

fn heading(findings: &Findings) -> String {
    let config = &findings.works[0].config;
    let name = findings.name.as_deref().unwrap_or("built-in work");
    let agents = match findings.works[0].agents {
        1 => String::new(),
        n => format!(", {n} agents at once"),
    };
    let episodes = match whole_episodes(config) {
        true => {
            "an iteration is whole episodes, which change as the policy learns: all devices make as many, those of \
             the slowest\n"
        }
        false => "",
    };
    format!(
        "{name}: {} on {}{agents}\n\
         uphill {} ({}), Burn {BURN_VERSION}; {}, {}\n\
         warm-up of at least {WARM_UP_ITERATIONS} iterations and {} s not counted; devices take turns in {}; \
         medians, steps/s also least to greatest\n{episodes}",
        config.algo.name(),
        config.env,
        env!("CARGO_PKG_VERSION"),
        env!("UPHILL_COMMIT"),
        cpu_model().unwrap_or_else(|| "unknown CPU".to_owned()),
        cores().map_or("? cores".to_owned(), |n| counted(n, "core", "cores")),
        WARM_UP.as_secs_f64(),
        counted(findings.rounds as usize, "round", "rounds"),
    )
}

fn measurements(measurements: &[Measurement]) -> String {
    let heading = [
        "copies",
        "network",
        "minibatch",
        "device",
        "env steps/s",
        "",
        "ms/iteration",
        "inference ms",
        "environment ms",
        "advantage ms",
        "update ms",
        "resident MiB",
        "device MiB",
    ];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    rows.extend(measurements.iter().map(|m| {
        let phases = m.phases_ms.as_ref();
        let phase = |spread: Option<Spread>| spread.map_or("-".to_owned(), |s| ms(s.median));
        vec![
            m.num_envs.to_string(),
            network(&m.network),
            m.minibatch.to_string(),
            m.device.clone(),
            rate(m.env_steps_per_s.median),
            format!(
                "({} to {})",
                rate(m.env_steps_per_s.min),
                rate(m.env_steps_per_s.max)
            ),
            ms(m.iteration_ms.median),
            phase(phases.map(|p| p.inference)),
            phase(phases.and_then(|p| p.environment)),
            phase(phases.and_then(|p| p.advantage)),
            phase(phases.map(|p| p.update)),
            mib(m.memory_bytes.resident),
            mib(m.memory_bytes.device_reserved),
        ]
    }));
    align_right(&mut rows, |column| !matches!(column, 1 | 3 | 5));
    table(&rows)
}

/// One line per network and number of copies, or the reason why there is none.
fn crossovers(findings: &Findings) -> String {
    if findings.crossovers.is_empty() {
        let has = |processor| findings.devices.iter().any(|d| d.processor == processor);
        let missing = if has(Processor::Cpu) {
            "GPU"
        } else {
            "CPU backend"
        };
        return format!("Where a GPU starts to win: no {missing} was measured\n");
    }
    let against = &findings.crossovers[0].against;
    let heading = ["device", "with", "faster", "at best"];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    rows.extend(findings.crossovers.iter().map(|crossover| {
        let Crossover {
            device,
            at,
            from,
            best,
            best_ratio,
            ..
        } = crossover;
        let from = from.as_ref().map_or_else(
            || "never within this grid".to_owned(),
            |from| format!("from {} on", size(from)),
        );
        let best = format!("{} × {against}, with {}", ratio(*best_ratio), size(best));
        vec![device.clone(), size(at), from, best]
    }));
    format!(
        "Where a GPU starts to win against {against}\n{}",
        table(&rows)
    )
}

fn notes(findings: &Findings) -> Vec<String> {
    let mut notes = missing_phases(&findings.measurements);
    if findings
        .measurements
        .iter()
        .all(|m| m.memory_bytes.resident.is_none())
    {
        notes.push("Resident memory is known on Linux only".to_owned());
    }
    for left_out in &findings.left_out {
        notes.push(format!("Left out unless named with --devices: {left_out}"));
    }
    for device in &findings.devices {
        if device.processor == Processor::Software {
            let (name, adapter) = (&device.name, &device.adapter);
            notes.push(format!("{name} is no GPU, it runs on the CPU: {adapter}"));
        }
    }
    match &findings.kept {
        Kept::Nothing => {}
        Kept::In(path) => notes.push(format!("Kept for --device auto: {}", path.display())),
        Kept::TooQuick => notes.push(format!(
            "Not kept for --device auto: that takes {CAREFUL_ROUNDS} rounds or more, without --iterations"
        )),
    }
    notes
}

/// Notes on phases that are included in other phases.
fn missing_phases(measurements: &[Measurement]) -> Vec<String> {
    let without = |missing: fn(&Phases<Spread>) -> bool| {
        let lacks = |m: &&Measurement| m.phases_ms.as_ref().is_some_and(missing);
        let mut devices: Vec<&str> = vec![];
        for m in measurements.iter().filter(lacks) {
            if !devices.contains(&m.device.as_str()) {
                devices.push(&m.device);
            }
        }
        devices.join(", ")
    };
    let environment = without(|phases| phases.environment.is_none());
    let advantage = without(|phases| phases.advantage.is_none());
    let mut notes = vec![];
    if !environment.is_empty() {
        notes.push(format!(
            "The environment is a part of inference where one kernel does both: {environment}"
        ));
    }
    if !advantage.is_empty() {
        notes.push("The advantage is a part of this algorithm's update".to_owned());
    }
    notes
}

/// For example `64×64`.
pub(super) fn network(hidden: &[usize]) -> String {
    match hidden {
        [] => "linear".to_owned(),
        hidden => hidden
            .iter()
            .map(usize::to_string)
            .collect::<Vec<_>>()
            .join("×"),
    }
}

fn size(size: &Size) -> String {
    match size {
        Size::NumEnvs(n) => copies(*n),
        Size::Network(hidden) => network(hidden),
    }
}

/// `1 copy`, `8 copies`.
pub(super) fn copies(n: usize) -> String {
    counted(n, "copy", "copies")
}

fn counted(n: usize, one: &str, many: &str) -> String {
    match n {
        1 => format!("1 {one}"),
        n => format!("{n} {many}"),
    }
}

/// At least two significant digits: `0.0037`, `0.37`, `1.25`, `12.5`.
fn ratio(x: f64) -> String {
    if x > 0.0 && x < 0.995 {
        let decimals = 1 - x.log10().floor() as i32;
        return format!("{x:.*}", decimals.clamp(2, 9) as usize);
    }
    three_digits(x)
}

/// Three digits: `8.12`, `812`, `41.2k`, `1.23M`.
fn rate(per_s: f64) -> String {
    match per_s {
        x if x < 99.95 => three_digits(x),
        x if x < 999.5 => format!("{x:.0}"),
        x if x < 999.5e3 => format!("{}k", three_digits(x / 1e3)),
        x => format!("{}M", three_digits(x / 1e6)),
    }
}

/// For example `0.0123`, `4.56`, `789`.
fn ms(ms: f64) -> String {
    if ms < 0.1 {
        format!("{ms:.4}")
    } else {
        three_digits(ms)
    }
}

fn three_digits(x: f64) -> String {
    match x {
        x if x < 9.995 => format!("{x:.2}"),
        x if x < 99.95 => format!("{x:.1}"),
        x => format!("{x:.0}"),
    }
}

fn mib(bytes: Option<u64>) -> String {
    bytes.map_or("-".to_owned(), |bytes| (bytes >> 20).to_string())
}

/// Pads cells on the left, so that numbers line up at their ends.
fn align_right(rows: &mut [Vec<String>], chosen: impl Fn(usize) -> bool) {
    let columns = rows.first().map_or(0, Vec::len);
    for column in (0..columns).filter(|column| chosen(*column)) {
        let widths = rows.iter().map(|row| row[column].chars().count());
        let width = widths.max().unwrap_or(0);
        for row in rows.iter_mut() {
            row[column] = format!("{:>width$}", row[column]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits() {
        assert_eq!(
            [0.4, 41.24, 812.4, 41_239.0, 999_600.0].map(rate),
            ["0.40", "41.2", "812", "41.2k", "1.00M"]
        );
        assert_eq!([0.01234, 4.557, 99.96].map(ms), ["0.0123", "4.56", "100"]);
    }

    #[test]
    fn small_ratios_have_two_digits() {
        assert_eq!(
            [0.003_74, 0.037_4, 0.374, 0.996, 12.49].map(ratio),
            ["0.0037", "0.037", "0.37", "1.00", "12.5"]
        );
    }

    #[test]
    fn one_is_singular() {
        assert_eq!([1, 8].map(copies), ["1 copy", "8 copies"]);
    }

    #[test]
    fn networks_are_their_widths() {
        assert_eq!(network(&[64, 32]), "64×32");
        assert_eq!(network(&[]), "linear");
    }
}
