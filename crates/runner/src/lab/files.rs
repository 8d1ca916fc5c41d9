//! `lab.csv`: one row per measurement, in the units of the gradient.

use super::Findings;
use anyhow::Context;
use std::path::Path;

/// Names and values of a measurement's numbers, for files and JSON.
pub(super) fn columns(row: &super::Row) -> [(&'static str, f64); 11] {
    let m = &row.measured;
    let params = m.params as f64;
    [
        ("distance", m.distance),
        ("standard_error", m.standard_error),
        ("z", m.z()),
        ("bias_squared", m.bias_squared),
        ("bias_squared_per_param", m.bias_squared / params),
        ("variance", m.variance),
        ("variance_error", m.variance_error),
        ("variance_per_param", m.variance / params),
        ("mean_squared_error", m.bias_squared + m.variance),
        ("cosine", m.cosine),
        ("cosine_of_mean", m.cosine_of_mean),
    ]
}

pub(super) fn write_csv(findings: &Findings, path: &Path) -> anyhow::Result<()> {
    let write = || -> Result<(), csv::Error> {
        let mut file = csv::Writer::from_path(path)?;
        let mut header = vec!["env", "estimator", "values", "trajectories", "repeats"];
        header.extend(["params", "reference_norm", "reference_error"]);
        let first = findings.rows.first().map(columns);
        header.extend(first.iter().flatten().map(|(name, _)| *name));
        file.write_record(&header)?;
        for row in &findings.rows {
            let mut record = vec![
                findings.env.clone(),
                row.estimator.to_string(),
                findings.values_name(row).to_owned(),
                row.trajectories.to_string(),
                row.measured.repeats.to_string(),
                row.measured.params.to_string(),
                findings.reference.norm().to_string(),
                findings.reference.standard_error.to_string(),
            ];
            record.extend(columns(row).map(|(_, value)| value.to_string()));
            file.write_record(&record)?;
        }
        Ok(file.flush()?)
    };
    write().with_context(|| format!("writing {}", path.display()))
}
