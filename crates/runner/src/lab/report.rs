//! Tables and JSON of `uphill lab`.

use super::{Findings, Row, files::columns};
use crate::list::table;
use serde_json::{Map, Value, json};
use std::path::Path;

/// Three parts: the reference, bias and variance for the largest number of trajectories, and variance against the
/// number of trajectories.
pub(super) fn text(findings: &Findings) -> String {
    let most = findings.trajectories.last().copied().unwrap_or(1);
    format!(
        "{}\n\nN = {most}: bias and variance in units of the gradient's norm\n{}\n\
         N × variance, in the same units: constant where variance falls as 1/N\n{}",
        heading(findings),
        table(&accuracy(findings, most)),
        table(&scaling(findings)),
    )
}

fn heading(findings: &Findings) -> String {
    let (config, norm) = (&findings.config, findings.reference.norm());
    let reference = if findings.exact {
        format!("exact gradient, norm {norm:.4}")
    } else {
        let error = findings.reference.standard_error;
        let count = config.reference;
        format!("gradient of {count} trajectories, norm {norm:.4} ± {error:.4}")
    };
    let [good, poor] = &findings.values;
    let params = findings.rows.first().map_or(0, |row| row.measured.params);
    format!(
        "{}: {reference}; gamma {}, {params} parameters, {} estimates each, seed {}\n\
         values explain of the returns' variance: {} {:.3}, {} {:.3}",
        findings.env, config.gamma, config.repeats, config.seed, good.0, good.1, poor.0, poor.1
    )
}

fn accuracy(findings: &Findings, most: usize) -> Vec<Vec<String>> {
    let norm = findings.reference.norm();
    let mut rows = vec![cells([
        "estimator",
        "values",
        "bias",
        "error",
        "z",
        "",
        "variance",
        "error",
        "cosine",
    ])];
    for row in findings.rows.iter().filter(|row| row.trajectories == most) {
        let m = &row.measured;
        rows.push(vec![
            row.estimator.to_string(),
            findings.values_name(row).to_owned(),
            format!("{:.4}", m.bias_squared.max(0.0).sqrt() / norm),
            format!("± {:.4}", m.standard_error / norm),
            format!("{:.1}", m.z()),
            if m.is_biased() { "biased" } else { "" }.to_owned(),
            format!("{:.4}", m.variance / norm.powi(2)),
            format!("± {:.4}", m.variance_error / norm.powi(2)),
            format!("{:.3}", m.cosine),
        ]);
    }
    rows
}

fn scaling(findings: &Findings) -> Vec<Vec<String>> {
    let norm = findings.reference.norm();
    let mut heading = cells(["estimator", "values"]);
    heading.extend(findings.trajectories.iter().map(|n| format!("N = {n}")));
    let mut rows = vec![heading];
    let most = findings.trajectories.last();
    let is_same = |a: &Row, b: &Row| a.estimator == b.estimator && a.values == b.values;
    for first in findings
        .rows
        .iter()
        .filter(|row| Some(&row.trajectories) == most)
    {
        let mut row = vec![
            first.estimator.to_string(),
            findings.values_name(first).to_owned(),
        ];
        let same = findings.rows.iter().filter(|row| is_same(row, first));
        row.extend(same.map(|row| {
            let scaled = row.measured.variance * row.trajectories as f64;
            format!("{:.3}", scaled / norm.powi(2))
        }));
        rows.push(row);
    }
    rows
}

fn cells<const C: usize>(texts: [&str; C]) -> Vec<String> {
    texts.map(str::to_owned).to_vec()
}

/// All results in one JSON object.
pub(super) fn object(findings: &Findings, out: &Path) -> Value {
    let config = &findings.config;
    let row = |row: &Row| {
        let mut object = Map::from_iter([
            ("estimator".to_owned(), json!(row.estimator.to_string())),
            (
                "values".to_owned(),
                json!(row.values.map(|_| findings.values_name(row))),
            ),
            ("trajectories".to_owned(), json!(row.trajectories)),
        ]);
        let numbers = columns(row).map(|(name, value)| (name.to_owned(), json!(value)));
        object.extend(numbers);
        Value::Object(object)
    };
    let values = findings
        .values
        .map(|(name, explained)| json!({ "name": name, "explained_variance": explained }));
    json!({
        "env": findings.env,
        "gamma": config.gamma,
        "seed": config.seed,
        "repeats": config.repeats,
        "params": findings.rows.first().map(|row| row.measured.params),
        "reference": {
            "exact": findings.exact,
            "trajectories": (!findings.exact).then_some(config.reference),
            "norm": findings.reference.norm(),
            "standard_error": findings.reference.standard_error,
        },
        "values": values,
        "out": out.to_string_lossy(),
        "rows": findings.rows.iter().map(row).collect::<Vec<_>>(),
    })
}
