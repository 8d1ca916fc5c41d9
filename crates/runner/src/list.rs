//! `uphill list`: what there is.

use crate::{
    cli::{ListArgs, Listing},
    config, device,
    presets::PRESETS,
};
use std::{
    io::{ErrorKind, Write},
    process::ExitCode,
};
use uphill_algos::ALGORITHMS;
use uphill_envs::NAMES;

pub(crate) fn list(args: &ListArgs) -> anyhow::Result<ExitCode> {
    let everything = [
        Listing::Envs,
        Listing::Algos,
        Listing::Devices,
        Listing::Presets,
    ];
    let wanted = args.what.map_or(everything.to_vec(), |what| vec![what]);
    let mut text = String::new();
    for what in &wanted {
        let (title, rows) = match what {
            Listing::Envs => ("Environments", envs()?),
            Listing::Algos => ("Algorithms", algos()),
            Listing::Devices => ("Devices", devices()),
            Listing::Presets => ("Presets (uphill train NAME)", presets()?),
        };
        if wanted.len() > 1 {
            text.push_str(&format!("{title}\n"));
        }
        text.push_str(&table(&rows));
        if wanted.len() > 1 {
            text.push('\n');
        }
    }
    match std::io::stdout()
        .write_all(text.trim_end().as_bytes())
        .and_then(|()| std::io::stdout().write_all(b"\n"))
    {
        // The reader of a pipe may have seen enough.
        Err(e) if e.kind() != ErrorKind::BrokenPipe => Err(e.into()),
        _ => Ok(ExitCode::SUCCESS),
    }
}

fn envs() -> anyhow::Result<Vec<Vec<String>>> {
    let mut rows = vec![row(["name", "obs", "action", "time limit", "solved at"])];
    for name in NAMES {
        let spec = uphill_envs::spec(name)?;
        rows.push(vec![
            spec.name.clone(),
            spec.obs.dim().to_string(),
            spec.action.to_string(),
            spec.time_limit.map_or("none".to_owned(), |t| t.to_string()),
            spec.reward_threshold
                .map_or(String::new(), |t| t.to_string()),
        ]);
    }
    Ok(rows)
}

fn algos() -> Vec<Vec<String>> {
    let rows = ALGORITHMS.iter().map(|(name, about)| row([name, about]));
    std::iter::once(row(["name", "what it is"]))
        .chain(rows)
        .collect()
}

fn devices() -> Vec<Vec<String>> {
    let rows = device::list()
        .into_iter()
        .map(|d| vec![d.name, d.backend, d.kind, d.adapter, d.driver, d.note]);
    std::iter::once(row([
        "name", "backend", "kind", "adapter", "driver", "note",
    ]))
    .chain(rows)
    .collect()
}

fn presets() -> anyhow::Result<Vec<Vec<String>>> {
    let mut rows = vec![row([
        "name",
        "environment",
        "algorithm",
        "steps",
        "what to expect",
    ])];
    for preset in PRESETS {
        let config = config::load(preset.name, &[])?.config;
        rows.push(vec![
            preset.name.to_owned(),
            config.env.clone(),
            config.algo.name().to_owned(),
            config.total_steps.to_string(),
            preset.about(),
        ]);
    }
    Ok(rows)
}

fn row<const C: usize>(cells: [&str; C]) -> Vec<String> {
    cells.map(str::to_owned).to_vec()
}

/// Columns aligned, two spaces between them; the first row is the heading.
pub(crate) fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |c: usize| rows.iter().map(|r| r[c].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let cells = row
            .iter()
            .zip(&widths)
            .map(|(cell, w)| format!("{cell:w$}"));
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}
