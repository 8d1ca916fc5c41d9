//! The tables.

use super::{
    Findings, Measurement,
    crossover::{Crossover, Size},
    document::{cores, cpu},
    spread::Spread,
    throughput::{WARM_UP, WARM_UP_ITERATIONS},
};
use crate::{
    device::{BURN_VERSION, Processor},
    list::table,
};

/// What was measured and how, every measurement, where GPUs start to win.
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
    format!(
        "{name}: {} on {}{agents}\n\
         uphill {} ({}), Burn {BURN_VERSION}; {}, {} cores\n\
         warm-up of at least {WARM_UP_ITERATIONS} iterations and {} s not counted; devices take turns in {} rounds; \
         medians, steps/s also least to greatest\n",
        config.algo.name(),
        config.env,
        env!("CARGO_PKG_VERSION"),
        env!("UPHILL_COMMIT"),
        cpu().unwrap_or_else(|| "unknown CPU".to_owned()),
        cores().map_or("?".to_owned(), |n| n.to_string()),
        WARM_UP.as_secs_f64(),
        findings.rounds,
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
        "inference",
        "environment",
        "advantage",
        "update",
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
            phase(phases.map(|p| p.environment)),
            phase(phases.and_then(|p| p.advantage)),
            phase(phases.map(|p| p.update)),
            mib(m.memory_bytes.resident),
            mib(m.memory_bytes.device_reserved),
        ]
    }));
    align_right(&mut rows, |column| !matches!(column, 1 | 3 | 5));
    table(&rows)
}

/// One line per network and number of copies, or why there is none.
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
        let best = format!("{best_ratio:.2} × {against}, with {}", size(best));
        vec![device.clone(), size(at), from, best]
    }));
    format!(
        "Where a GPU starts to win against {against}\n{}",
        table(&rows)
    )
}

fn notes(findings: &Findings) -> Vec<String> {
    let mut notes = vec![];
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
    if let Some(path) = &findings.kept {
        notes.push(format!("Kept for --device auto: {}", path.display()));
    }
    notes
}

/// `64×64`.
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
        Size::NumEnvs(1) => "1 copy".to_owned(),
        Size::NumEnvs(n) => format!("{n} copies"),
        Size::Network(hidden) => network(hidden),
    }
}

/// Three digits: `812`, `41.2k`, `1.23M`.
fn rate(per_s: f64) -> String {
    match per_s {
        x if x < 999.5 => format!("{x:.0}"),
        x if x < 999.5e3 => format!("{}k", three_digits(x / 1e3)),
        x => format!("{}M", three_digits(x / 1e6)),
    }
}

/// `0.0123`, `4.56`, `789`.
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

/// Numbers line up at their ends.
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
            [812.4, 41_239.0, 999_600.0].map(rate),
            ["812", "41.2k", "1.00M"]
        );
        assert_eq!([0.01234, 4.557, 99.96].map(ms), ["0.0123", "4.56", "100"]);
    }

    #[test]
    fn networks_are_their_widths() {
        assert_eq!(network(&[64, 32]), "64×32");
        assert_eq!(network(&[]), "linear");
    }
}
