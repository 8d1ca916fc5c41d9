//! `lab.svg`: figure of the measurements in four panels.

use super::{Findings, Row};
use anyhow::anyhow;
use plotters::{coord::Shift, prelude::*};
use std::path::Path;
use uphill_algos::{
    lab::{
        estimator::{GradientEstimator, credit_name},
        problem::Values,
    },
    reinforce::{Baseline, Credit},
};
use uphill_core::advantage::Estimator;

const SIZE: (u32, u32) = (1200, 900);
const BLUE: RGBColor = RGBColor(31, 119, 180);
const ORANGE: RGBColor = RGBColor(255, 127, 14);
const GREEN: RGBColor = RGBColor(44, 160, 44);
const RED: RGBColor = RGBColor(214, 39, 40);
const GREY: RGBColor = RGBColor(120, 120, 120);

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// A line over positions 0, 1, 2, … of a panel's horizontal axis.
struct Line {
    label: String,
    color: RGBColor,
    dashed: bool,
    points: Vec<f64>,
}

/// One panel: lines over named positions, on a logarithmic axis.
struct Panel {
    title: String,
    across: &'static str,
    positions: Vec<String>,
    lines: Vec<Line>,
}

pub(super) fn draw(findings: &Findings, path: &Path) -> anyhow::Result<()> {
    let fail = |error: String| anyhow!("writing {}: {error}", path.display());
    let root = SVGBackend::new(path, SIZE).into_drawing_area();
    root.fill(&WHITE).map_err(|e| fail(e.to_string()))?;
    let panels = [
        baselines(findings),
        constants(findings),
        advantages(findings, "GAE", "λ", |e| match e {
            Estimator::Gae { lambda } => Some(lambda.to_string()),
            _ => None,
        }),
        advantages(findings, "n-step", "rewards before V", |e| match e {
            Estimator::NStep { n } => Some((n + 1).to_string()),
            _ => None,
        }),
    ];
    for (area, panel) in root.split_evenly((2, 2)).iter().zip(&panels) {
        draw_panel(area, panel).map_err(fail)?;
    }
    root.present().map_err(|e| fail(e.to_string()))
}

/// Variance against N for every baseline, with a 1/N line.
fn baselines(findings: &Findings) -> Panel {
    let line = |(credit, baseline, color): (Credit, Baseline, RGBColor)| {
        let wanted = GradientEstimator::Reinforce { credit, baseline };
        let of = |row: &&Row| row.estimator == wanted && row.values != Some(Values::Poor);
        Line {
            label: wanted.to_string(),
            color,
            dashed: credit == Credit::Trajectory,
            points: relative(findings, of, |row| row.measured.variance),
        }
    };
    let mut lines: Vec<Line> = [Credit::Trajectory, Credit::RewardToGo]
        .into_iter()
        .flat_map(|credit| {
            [
                (credit, Baseline::None, RED),
                (credit, Baseline::Average, ORANGE),
                (credit, Baseline::Optimal, GREEN),
                (credit, Baseline::Value, BLUE),
            ]
        })
        .map(line)
        .collect();
    let n = |i: usize| findings.trajectories[i] as f64;
    let start = lines[0].points.first().copied().unwrap_or(1.0) * 1.6;
    lines.push(Line {
        label: "1/N".to_owned(),
        color: GREY,
        dashed: false,
        points: (0..findings.trajectories.len())
            .map(|i| start * n(0) / n(i))
            .collect(),
    });
    Panel {
        title: "REINFORCE: variance against trajectories".to_owned(),
        across: "N",
        positions: findings.trajectories.iter().map(usize::to_string).collect(),
        lines,
    }
}

/// Variance against a constant baseline.
fn constants(findings: &Findings) -> Panel {
    let most = findings.trajectories.last().copied().unwrap_or(1);
    let mut positions: Vec<f64> = uphill_algos::lab::study::MULTIPLES.to_vec();
    positions.push(0.0);
    positions.sort_by(f64::total_cmp);
    let line = |(wanted, color): (Credit, RGBColor)| {
        let of = |row: &&Row| row.trajectories == most && constant(row.estimator, wanted).is_some();
        let mut found: Vec<&Row> = findings.rows.iter().filter(of).collect();
        let order = |row: &Row| constant(row.estimator, wanted).unwrap_or(0.0);
        found.sort_by(|a, b| order(a).total_cmp(&order(b)));
        // A negative optimum reverses the order of its multiples.
        if found
            .last()
            .is_some_and(|row| order(row) < -order(found[0]))
        {
            found.reverse();
        }
        let norm = findings.reference.norm().powi(2);
        Line {
            label: credit_name(wanted).to_owned(),
            color,
            dashed: wanted == Credit::Trajectory,
            points: found
                .iter()
                .map(|row| row.measured.variance / norm)
                .collect(),
        }
    };
    Panel {
        title: format!("Constant baselines: variance, N = {most}"),
        across: "multiple of the optimal constant",
        positions: positions.iter().map(f64::to_string).collect(),
        lines: [(Credit::Trajectory, RED), (Credit::RewardToGo, BLUE)]
            .map(line)
            .into(),
    }
}

/// The constant that an estimator subtracts, if it has the `wanted` credit.
fn constant(estimator: GradientEstimator, wanted: Credit) -> Option<f64> {
    match estimator {
        GradientEstimator::Constant { credit, constant } if credit == wanted => Some(constant),
        GradientEstimator::Reinforce {
            credit,
            baseline: Baseline::None,
        } if credit == wanted => Some(0.0),
        _ => None,
    }
}

/// Squared bias and variance of one kind of advantage, with both value functions.
fn advantages(
    findings: &Findings,
    kind: &str,
    across: &'static str,
    position: impl Fn(Estimator) -> Option<String>,
) -> Panel {
    let most = findings.trajectories.last().copied().unwrap_or(1);
    let position = |row: &Row| match row.estimator {
        GradientEstimator::Advantage(estimator) => position(estimator),
        _ => None,
    };
    let of = |values: Values| {
        let position = &position;
        move |row: &&Row| {
            row.trajectories == most && row.values == Some(values) && position(row).is_some()
        }
    };
    let mut lines = vec![];
    for (values, color) in [(Values::Poor, RED), (Values::Good, BLUE)] {
        let name = findings.values[values as usize].0;
        lines.push(Line {
            label: format!("variance, {name} values"),
            color,
            dashed: false,
            points: relative(findings, of(values), |row| row.measured.variance),
        });
        let bias = |row: &Row| {
            let m = &row.measured;
            m.bias_squared.max(m.standard_error.powi(2))
        };
        lines.push(Line {
            label: format!("bias², {name} values (at least its error)"),
            color,
            dashed: true,
            points: relative(findings, of(values), bias),
        });
    }
    let rows = findings.rows.iter().filter(of(Values::Good));
    Panel {
        title: format!("{kind}: bias for variance, N = {most}"),
        across,
        positions: rows.filter_map(position).collect(),
        lines,
    }
}

/// A value from the selected rows, in units of the squared norm of the gradient.
fn relative(
    findings: &Findings,
    of: impl Fn(&&Row) -> bool,
    number: impl Fn(&Row) -> f64,
) -> Vec<f64> {
    let norm = findings.reference.norm().powi(2);
    let rows = findings.rows.iter().filter(of);
    rows.map(|row| number(row) / norm).collect()
}

fn draw_panel(area: &Area<'_>, panel: &Panel) -> Result<(), String> {
    let text = |e: DrawingAreaErrorKind<_>| e.to_string();
    let all = panel.lines.iter().flat_map(|line| &line.points);
    let positive = all.copied().filter(|y| *y > 0.0 && y.is_finite());
    let (low, high) = positive.fold((f64::INFINITY, 0.0_f64), |(l, h), y| (l.min(y), h.max(y)));
    let (low, high) = if low < high { (low, high) } else { (1e-3, 1.0) };
    // Space for the legend, below where it does not hide the lines.
    let (low, high) = (low / (high / low).powf(0.45), high * 1.3);
    let last = panel.positions.len() as f64 - 1.0;
    let mut chart = ChartBuilder::on(area)
        .caption(&panel.title, ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(70)
        .build_cartesian_2d(-0.2..last + 0.2, (low..high).log_scale())
        .map_err(text)?;
    let name = |x: &f64| {
        let whole = (x - x.round()).abs() < 1e-6 && *x > -0.1;
        let name = whole.then(|| panel.positions.get(x.round() as usize));
        name.flatten().cloned().unwrap_or_default()
    };
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .x_labels(panel.positions.len() + 1)
        .x_label_formatter(&name)
        .x_desc(panel.across)
        .y_desc("in units of ‖g‖²")
        .y_label_formatter(&|y| format!("{y:.0e}"))
        .draw()
        .map_err(text)?;
    for line in &panel.lines {
        let points = line
            .points
            .iter()
            .enumerate()
            .map(|(i, &y)| (i as f64, y.max(low)));
        let style = line.color.stroke_width(2);
        let (color, dashed) = (line.color, line.dashed);
        let drawn = if dashed {
            chart.draw_series(DashedLineSeries::new(points.clone(), 6, 4, style))
        } else {
            chart.draw_series(LineSeries::new(points.clone(), style))
        };
        let legend = move |(x, y): (i32, i32)| {
            // A dashed line in the legend: two short strokes instead of one long.
            let strokes = if dashed {
                vec![(x, x + 7), (x + 12, x + 19)]
            } else {
                vec![(x, x + 19)]
            };
            let strokes = strokes.into_iter().map(|(a, b)| vec![(a, y), (b, y)]);
            let strokes: Vec<_> = strokes.collect();
            let (first, rest) = (
                strokes[0].clone(),
                strokes.get(1).cloned().unwrap_or_default(),
            );
            EmptyElement::at((0, 0))
                + PathElement::new(first, style)
                + PathElement::new(rest, style)
        };
        drawn.map_err(text)?.label(&line.label).legend(legend);
        let dots = points.map(|at| Circle::new(at, 3, color.filled()));
        chart.draw_series(dots).map_err(text)?;
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::LowerLeft)
        .background_style(WHITE.mix(0.8))
        .border_style(GREY.mix(0.4))
        .label_font(("sans-serif", 12))
        .draw()
        .map_err(text)
}
