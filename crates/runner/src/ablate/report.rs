//! Report of an ablation: one line per variant, with confidence intervals.

use super::{rows::Row, variants::Variant};
use crate::{
    score::{score, signed_score},
    stats::{Sample, difference},
};
use serde::Serialize;

/// Result of comparing a variant with the reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Verdict {
    /// The variant is the reference.
    Reference,
    /// The returns are equal on every seed: the switched optimisation never had an effect.
    Identical,
    Better,
    Worse,
    /// The 95 % confidence interval of the difference contains 0.
    WithinNoise,
    /// There are too few runs for an interval.
    Unknown,
}

/// Results of a variant over its seeds.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Line {
    pub(crate) variant: String,
    pub(crate) about: String,
    pub(crate) seeds: usize,
    pub(crate) diverged: usize,
    /// Mean of the final return over the seeds that did not diverge, and half of its 95 % interval.
    pub(crate) final_return: Option<f64>,
    pub(crate) final_return_ci95: Option<f64>,
    /// Difference from the reference.
    pub(crate) difference: Option<f64>,
    pub(crate) difference_ci95: Option<f64>,
    pub(crate) verdict: Verdict,
    pub(crate) curve_mean: Option<f64>,
    pub(crate) approx_kl_mean: Option<f64>,
    pub(crate) approx_kl_max: Option<f64>,
    pub(crate) seconds: Option<f64>,
}

/// Contributions of the algorithm and of the code-level optimisations to PPO's improvement (arXiv:2005.12729 §5), or
/// the corresponding quantities for any four variants in the roles of PPO and TRPO with and without optimisations.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Improvements {
    /// max(|PPO − TRPO+|, |PPO-M − TRPO|): the paper's AAI.
    pub(crate) algorithmic: f64,
    /// max(|PPO − PPO-M|, |TRPO+ − TRPO|): the paper's ACLI.
    pub(crate) code_level: f64,
}

/// One line for each of `variants` that has runs with seeds up to `seeds`.
pub(crate) fn lines(variants: &[&Variant], reference: &str, rows: &[Row], seeds: u64) -> Vec<Line> {
    let of = |name: &str| -> Vec<&Row> {
        let mut rows: Vec<&Row> = rows
            .iter()
            .filter(|row| row.variant == name && row.seed <= seeds)
            .collect();
        rows.sort_by_key(|row| row.seed);
        rows
    };
    let others = of(reference);
    let with_runs = variants.iter().map(|variant| (variant, of(&variant.name)));
    with_runs
        .filter(|(_, runs)| !runs.is_empty())
        .map(|(variant, runs)| line((variant, reference), &runs, &others))
        .collect()
}

fn line((variant, reference_name): (&Variant, &str), runs: &[&Row], reference: &[&Row]) -> Line {
    let returns = |runs: &[&Row]| runs.iter().filter_map(|row| row.final_return).collect();
    let (sample, other): (Sample, Sample) = (returns(runs), returns(reference));
    let mean = |value: fn(&Row) -> Option<f64>| {
        let sample: Sample = runs.iter().filter_map(|row| value(row)).collect();
        sample.mean()
    };
    let is_reference = variant.name == reference_name;
    let same = runs.len() == reference.len()
        && (runs.iter().zip(reference)).all(|(a, b)| {
            (a.seed, a.final_return, a.curve_mean) == (b.seed, b.final_return, b.curve_mean)
        });
    // Identical runs are no measurement of chance.
    let compared = difference(&sample, &other).filter(|_| !is_reference && !same);
    let verdict = match compared {
        _ if is_reference => Verdict::Reference,
        _ if same => Verdict::Identical,
        None => Verdict::Unknown,
        Some((d, half)) if d > half => Verdict::Better,
        Some((d, half)) if d < -half => Verdict::Worse,
        Some(_) => Verdict::WithinNoise,
    };
    let largest = runs.iter().filter_map(|row| row.approx_kl_max);
    Line {
        variant: variant.name.clone(),
        about: variant.about.clone(),
        seeds: runs.len(),
        diverged: runs.iter().filter(|row| row.diverged).count(),
        final_return: sample.mean(),
        final_return_ci95: sample.interval(),
        difference: match verdict {
            Verdict::Identical => Some(0.0),
            _ => compared.map(|(d, _)| d),
        },
        difference_ci95: compared.map(|(_, half)| half),
        verdict,
        curve_mean: mean(|row| row.curve_mean),
        approx_kl_mean: mean(|row| row.approx_kl_mean),
        approx_kl_max: largest.reduce(f64::max),
        seconds: mean(|row| Some(row.seconds)),
    }
}

/// Contributions from the four corners of the comparison, if all are present.
pub(crate) fn improvements(lines: &[Line], corners: Option<&[String; 4]>) -> Option<Improvements> {
    let at = |name: &String| lines.iter().find(|l| l.variant == *name)?.final_return;
    let [ppo, ppo_m, trpo_plus, trpo] = corners?;
    let (ppo, ppo_m, trpo_plus, trpo) = (at(ppo)?, at(ppo_m)?, at(trpo_plus)?, at(trpo)?);
    Some(Improvements {
        algorithmic: (ppo - trpo_plus).abs().max((ppo_m - trpo).abs()),
        code_level: (ppo - ppo_m).abs().max((trpo_plus - trpo).abs()),
    })
}

/// Cells of the table, with the headings first.
pub(crate) fn cells(lines: &[Line]) -> Vec<Vec<String>> {
    let headings = [
        "variant",
        "what",
        "seeds",
        "final return",
        "difference",
        "verdict",
        "curve",
        "KL mean",
        "KL max",
        "s",
    ];
    let mut cells = vec![headings.map(str::to_owned).to_vec()];
    cells.extend(lines.iter().map(|l| {
        vec![
            l.variant.clone(),
            l.about.clone(),
            match l.diverged {
                0 => l.seeds.to_string(),
                diverged => format!("{} ({diverged} diverged)", l.seeds),
            },
            with_interval(l.final_return, l.final_return_ci95, false),
            with_interval(l.difference, l.difference_ci95, true),
            match l.verdict {
                Verdict::Reference => "",
                Verdict::Identical => "same runs",
                Verdict::Better => "better",
                Verdict::Worse => "worse",
                Verdict::WithinNoise => "within noise",
                Verdict::Unknown => "too few runs",
            }
            .to_owned(),
            l.curve_mean.map_or_else(String::new, score),
            number(l.approx_kl_mean, 4),
            number(l.approx_kl_max, 4),
            number(l.seconds, 1),
        ]
    }));
    cells
}

/// Notes that explain the table.
pub(crate) fn notes(lines: &[Line], corners: Option<&[String; 4]>) -> Vec<String> {
    let mut notes = vec![
        "final return: mean return of the last 100 training episodes, over the seeds; curve: mean height of the \
         learning curve; ± is a 95 % confidence interval, of differences Welch's"
            .to_owned(),
    ];
    let compared = lines.iter().filter(|line| line.difference_ci95.is_some());
    let comparisons = compared.count();
    if comparisons > 0 {
        notes.push(format!(
            "of {comparisons} differences that are all chance, {:.1} would be called better or worse",
            0.05 * comparisons as f64
        ));
    }
    if lines.iter().any(|line| line.diverged > 0) {
        notes.push("diverged runs are counted and are in no mean".to_owned());
    }
    if let Some(([a, a_off, b, b_off], improvements)) = corners.zip(improvements(lines, corners)) {
        notes.push(format!(
            "code-level improvement max(|{a} − {a_off}|, |{b} − {b_off}|) {}, algorithmic improvement \
             max(|{a} − {b}|, |{a_off} − {b_off}|) {}",
            score(improvements.code_level),
            score(improvements.algorithmic)
        ));
    }
    notes
}

fn with_interval(value: Option<f64>, half: Option<f64>, signed: bool) -> String {
    let value = match value {
        Some(x) if signed => signed_score(x),
        Some(x) => score(x),
        None => String::new(),
    };
    half.map_or(value.clone(), |half| format!("{value} ± {}", score(half)))
}

fn number(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(String::new, |x| format!("{x:.digits$}"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::{super::variants::Variants, *};

    fn rows(variant: &str, returns: &[Option<f64>]) -> Vec<Row> {
        let row = |(i, x): (usize, &Option<f64>)| Row {
            variant: variant.to_owned(),
            seed: i as u64 + 1,
            final_return: *x,
            curve_mean: *x,
            approx_kl_mean: Some(0.01),
            approx_kl_max: Some(0.01 * i as f64),
            env_steps: 1,
            episodes: 1,
            diverged: x.is_none(),
            seconds: 2.0,
            device: "flex".to_owned(),
        };
        returns.iter().enumerate().map(row).collect()
    }

    fn report(all: &[Vec<Row>]) -> Vec<Line> {
        let built_in = Variants::load(None).unwrap();
        lines(&built_in.chosen(&[]).unwrap(), "ppo", &all.concat(), 5)
    }

    fn corners() -> [String; 4] {
        Variants::load(None).unwrap().corners.unwrap()
    }

    fn verdict(lines: &[Line], name: &str) -> Verdict {
        lines.iter().find(|l| l.variant == name).unwrap().verdict
    }

    #[test]
    fn verdicts_follow_the_interval_of_the_difference() {
        let at = |shift: f64| [1.0, 2.0, 3.0].map(|x| Some(x + shift)).to_vec();
        // s² / n = 1/3 each: half of the interval is t(4) √(2/3) = 2.27.
        let lines = report(&[
            rows("ppo", &at(0.0)),
            rows("no-anneal", &at(2.2)),
            rows("no-tanh", &at(2.3)),
            rows("no-obs-norm", &at(-2.3)),
            rows("no-obs-clip", &at(0.0)),
            rows("ppo-m", &[Some(1.0)]),
        ]);
        for (name, expected) in [
            ("ppo", Verdict::Reference),
            ("no-anneal", Verdict::WithinNoise),
            ("no-tanh", Verdict::Better),
            ("no-obs-norm", Verdict::Worse),
            ("no-obs-clip", Verdict::Identical),
            ("ppo-m", Verdict::Unknown),
        ] {
            assert_eq!(verdict(&lines, name), expected, "{name}");
        }
        assert_eq!(lines.len(), 6, "a variant without runs has no line");
        let differences: Vec<String> = cells(&lines)
            .into_iter()
            .map(|row| row[4].clone())
            .collect();
        let shown = ["+2.2 ± 2.3", "-2.3 ± 2.3", "+0.0", "+2.3 ± 2.3", ""];
        assert_eq!(differences[2..], shown);
    }

    #[test]
    fn diverged_runs_are_counted_and_not_averaged() {
        let lines = report(&[rows("ppo", &[Some(1.0), None, Some(3.0)])]);
        assert_eq!((lines[0].seeds, lines[0].diverged), (3, 1));
        assert_eq!(lines[0].final_return, Some(2.0));
        assert_eq!(lines[0].approx_kl_max, Some(0.02));
        assert!(
            notes(&lines, None)
                .iter()
                .any(|note| note.contains("diverged"))
        );
    }

    #[test]
    fn improvements_by_hand() {
        let four = |ppo, ppo_m, plus, trpo| {
            let lines = report(&[
                rows("ppo", &[Some(ppo)]),
                rows("ppo-m", &[Some(ppo_m)]),
                rows("trpo+", &[Some(plus)]),
                rows("trpo", &[Some(trpo)]),
            ]);
            assert_eq!(improvements(&lines, None), None);
            improvements(&lines, Some(&corners())).unwrap()
        };
        let expected = |algorithmic, code_level| Improvements {
            algorithmic,
            code_level,
        };
        // |10 − 8| and |3 − 4|; |10 − 3| and |8 − 4|.
        assert_eq!(four(10.0, 3.0, 8.0, 4.0), expected(2.0, 7.0));
        assert_eq!(four(10.0, 9.0, 1.0, 9.0), expected(9.0, 8.0));
        let one = report(&[rows("ppo", &[Some(1.0)])]);
        assert_eq!(improvements(&one, Some(&corners())), None);
    }
}
