//! `uphill list`: tables of environments, algorithms, devices and presets.

use crate::{
    cli::{ListArgs, Listing},
    config,
    console::print,
    device,
    presets::PRESETS,
};
use std::process::ExitCode;
use uphill_algos::algorithms;

/// Maximum width of tables, in columns of a terminal.
const WIDTH: usize = 100;
/// Minimum width of the last column of a table.
const NARROWEST: usize = 40;

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
    print(text.trim_end())?;
    Ok(ExitCode::SUCCESS)
}

fn envs() -> anyhow::Result<Vec<Vec<String>>> {
    let mut rows = vec![row(["name", "obs", "action", "time limit", "solved at"])];
    for name in uphill_envs::names() {
        let spec = uphill_envs::spec(&name)?;
        rows.push(vec![
            name,
            spec.obs.to_string(),
            spec.action.to_string(),
            spec.time_limit.map_or("-".to_owned(), |t| t.to_string()),
            spec.reward_threshold
                .map_or("-".to_owned(), |t| t.to_string()),
        ]);
    }
    Ok(rows)
}

fn algos() -> Vec<Vec<String>> {
    let rows = algorithms()
        .into_iter()
        .map(|(name, about)| row([name, about]));
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

/// The comments in the presets name algorithm and environment.
fn presets() -> anyhow::Result<Vec<Vec<String>>> {
    let mut rows = vec![row(["name", "steps", "what to expect"])];
    for preset in PRESETS {
        let config = config::load(preset.name, &[])?.config;
        rows.push(vec![
            preset.name.to_owned(),
            config.total_steps.to_string(),
            preset.about(),
        ]);
    }
    Ok(rows)
}

fn row<const C: usize>(cells: [&str; C]) -> Vec<String> {
    cells.map(str::to_owned).to_vec()
}

/// Aligned columns with two spaces between them; the first row is the heading. The last column is wrapped over several
/// lines if it is too wide.
pub(crate) fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |c: usize| rows.iter().map(|r| r[c].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns.saturating_sub(1)).map(width).collect();
    let indent = widths.iter().map(|w| w + 2).sum();
    let rest = WIDTH.saturating_sub(indent).max(NARROWEST);
    let mut text = String::new();
    for row in rows {
        let cells = row
            .iter()
            .zip(&widths)
            .map(|(cell, w)| format!("{cell:w$}  "));
        let mut start = cells.collect::<String>();
        let last = row.last().map_or("", String::as_str);
        for line in wrapped(last, rest) {
            text.push_str(format!("{start}{line}").trim_end());
            text.push('\n');
            start = " ".repeat(indent);
        }
    }
    text
}

/// The words of a text in lines of at most `width` characters, except for longer words; at least one line.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.len() - 1;
        let longer = lines[line].chars().count() + 1 + word.chars().count();
        if lines[line].is_empty() {
            lines[line].push_str(word);
        } else if longer <= width {
            lines[line].push(' ');
            lines[line].push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_cells_go_on_below_themselves() {
        let long = ["word"; 30].join(" ");
        let text = table(&[
            row(["name", "about"]),
            row(["a", &long]),
            row(["b", "short"]),
        ]);
        let lines: Vec<&str> = text.lines().collect();
        // 6 columns before it leave 94, which 19 words of 4 letters fill with the blanks between them.
        assert_eq!(lines[1], format!("a     {}", ["word"; 19].join(" ")));
        assert_eq!(lines[2], format!("      {}", ["word"; 11].join(" ")));
        assert_eq!(lines[3], "b     short");
        assert_eq!(lines.len(), 4);
    }

    #[test]
    fn wide_first_columns_leave_room_for_the_last() {
        let wide = "x".repeat(120);
        let text = table(&[row([&wide, "one two three"])]);
        assert_eq!(text, format!("{wide}  one two three\n"));
        assert_eq!(table(&[row(["a", ""])]), "a\n");
    }
}
