//! What the documentation says about the program is so.

use crate::Sandbox;
use std::{collections::BTreeMap, fs};
use toml::{Table, Value};
use uphill_algos::{ALGORITHMS, AlgoConfig, RunConfig};

const CONFIGURATION: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configuration.md");

/// Values by dotted key; a schedule is one value.
fn flat(table: &Table) -> BTreeMap<String, Value> {
    let mut values = BTreeMap::new();
    for (key, value) in table {
        match value {
            Value::Table(inner) if !inner.contains_key("from") => {
                let inner = flat(inner).into_iter();
                values.extend(inner.map(|(k, v)| (format!("{key}.{k}"), v)));
            }
            value => {
                values.insert(key.clone(), value.clone());
            }
        }
    }
    values
}

/// All keys of a configuration of this algorithm with their defaults, without `algo.name`.
fn defaults(algorithm: &str) -> BTreeMap<String, Value> {
    let algo = AlgoConfig::default_for(algorithm).unwrap();
    let table = Table::try_from(RunConfig::new("", 8, 1, algo)).unwrap();
    let mut values = flat(&table);
    values.remove("algo.name");
    values
}

/// The cells of every row of every table, code marks taken off.
fn rows(text: &str) -> Vec<Vec<String>> {
    let lines = text.lines().filter(|line| line.starts_with('|'));
    let cells = |line: &str| {
        let line = line.trim_matches('|');
        line.split('|').map(|c| c.trim().replace('`', "")).collect()
    };
    lines.map(cells).collect()
}

/// The part of a page under a heading.
fn section<'a>(page: &'a str, heading: &str) -> &'a str {
    let (_, rest) = page.split_once(&format!("\n## {heading}\n")).unwrap();
    rest.split("\n## ").next().unwrap()
}

/// A default as the page writes it: `3e-4 → 0` is a schedule.
fn value(cell: &str) -> Value {
    let text = match cell.split_once(" → ") {
        Some((from, to)) => format!("x = {{ from = {from}, to = {to}.0 }}"),
        None => format!("x = {cell}"),
    };
    toml::from_str::<Table>(&text).unwrap()["x"].clone()
}

#[test]
fn the_page_of_the_configuration_has_every_key_with_its_default() {
    let page = fs::read_to_string(CONFIGURATION).unwrap();
    let mut expected = defaults("ppo");
    expected.retain(|key, _| !key.starts_with("algo."));
    let mut told = BTreeMap::new();
    for heading in ["The run", "`[network]`", "`[normalize]`"] {
        for row in rows(section(&page, heading)).into_iter().skip(2) {
            // Keys without a default have what the configuration under test has.
            let default = match row[2].as_str() {
                "–" => expected[&row[0]].clone(),
                cell => value(cell),
            };
            told.insert(row[0].clone(), default);
        }
    }
    assert_eq!(told, expected);
}

#[test]
fn the_page_of_the_configuration_has_every_key_of_every_algorithm() {
    let page = fs::read_to_string(CONFIGURATION).unwrap();
    let table = rows(section(&page, "`[algo]`"));
    let names = &table[0][1..];
    assert_eq!(names.len(), ALGORITHMS.len());
    for (column, name) in names.iter().enumerate() {
        let told = table[2..].iter().filter(|row| !row[column + 1].is_empty());
        let told = told.map(|row| (format!("algo.{}", row[0]), value(&row[column + 1])));
        let mut expected = defaults(name);
        expected.retain(|key, _| key.starts_with("algo."));
        assert_eq!(told.collect::<BTreeMap<_, _>>(), expected, "{name}");
    }
}

#[test]
fn every_setting_is_on_the_page_of_its_algorithm() {
    for (name, _) in ALGORITHMS {
        let page = |name: &str| {
            let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/algorithms");
            fs::read_to_string(format!("{folder}/{name}.md")).unwrap()
        };
        let mut text = page(name);
        // Shared with others, whose pages it refers to.
        for other in ["trpo", "ppo-kl"] {
            if text.contains(&format!("{other}.md")) {
                text.push_str(&page(other));
            }
        }
        for key in defaults(name).keys() {
            if let Some(key) = key.strip_prefix("algo.") {
                let key = key.trim_start_matches("critic.");
                assert!(text.contains(&format!("`{key}`")), "{name}.md: no `{key}`");
            }
        }
    }
}

/// A block that begins with `$ uphill` shows a command and all that it prints.
#[test]
fn messages_are_printed_as_they_are_shown() {
    let page = fs::read_to_string(CONFIGURATION).unwrap();
    let blocks = page.split("```text\n$ uphill ").skip(1);
    let mut shown = 0;
    for block in blocks {
        let (args, rest) = block.split_once('\n').unwrap();
        let (message, _) = rest.split_once("```").unwrap();
        let done = Sandbox::new().uphill(args);
        assert_eq!((done.code, done.stderr.as_str()), (2, message), "{args}");
        shown += 1;
    }
    assert!(shown > 3);
}
