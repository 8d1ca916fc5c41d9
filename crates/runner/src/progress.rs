//! Live progress on standard error: a bar on a terminal, plain lines elsewhere, nothing when quiet.
//!
//! Log lines do not tear the bar when the subscriber writes through [`log_writer`]:
//! `tracing_subscriber::fmt().with_writer(progress::log_writer)`.

use std::collections::VecDeque;
use std::io::{self, IsTerminal as _, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::console::note;
use indicatif::{ProgressBar, ProgressStyle};

/// A plain line is due after this fraction of the whole run, so that a short run prints at most 20 lines …
const LINE_SHARE: f64 = 0.05;

/// … and after this long without one, so that a long run shows signs of life.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Window of the displayed rate: long enough to be steady, short enough to forget the compilation of GPU kernels.
const RATE_WINDOW: Duration = Duration::from_secs(15);

/// Spacing of the samples within [`RATE_WINDOW`], which bounds their number however often `update` is called.
const RATE_SAMPLE: Duration = Duration::from_millis(250);

/// Interval at which the bar's clock advances during long iterations.
const TICK: Duration = Duration::from_millis(500);

const BAR_TEMPLATE: &str =
    "{wide_bar:.cyan/dim} {pos}/{len}  {prefix}  {elapsed} elapsed, eta {msg}";

/// The bar that log lines must avoid; at most one run is displayed in a process.
static LIVE_BAR: Mutex<Option<ProgressBar>> = Mutex::new(None);

/// Display of a run in training.
pub(crate) struct Progress {
    output: Output,
    total: u64,
    start: u64,
    begun: Instant,
    rate: Rate,
    env_steps: u64,
    episode_return: Option<f64>,
}

/// Destination of the progress, chosen once.
enum Output {
    Quiet,
    Bar(ProgressBar),
    Lines(LineClock),
}

impl Progress {
    /// Starts the clock of a run that goes to `total_steps` and, when resumed, begins at `start`.
    ///
    /// Rates count only the steps of this process, so a resumed run is not credited with earlier ones.
    pub(crate) fn new(total_steps: u64, start: u64, quiet: bool) -> Self {
        Self {
            output: Output::choose(total_steps, start, quiet),
            total: total_steps,
            start,
            begun: Instant::now(),
            rate: Rate::starting_at(start),
            env_steps: start,
            episode_return: None,
        }
    }

    /// Shows the state after an iteration; cheap enough to be called after every one.
    pub(crate) fn update(&mut self, env_steps: u64, episode_return_mean: Option<f64>) {
        let elapsed = self.begun.elapsed();
        self.env_steps = env_steps;
        self.episode_return = episode_return_mean;
        self.rate.record(elapsed, env_steps);
        let per_second = self.rate.per_second(elapsed, env_steps);
        let status = self.status(per_second);
        match &mut self.output {
            Output::Quiet => {}
            Output::Bar(bar) => {
                bar.set_position(env_steps);
                bar.set_prefix(status.speed_and_return("  "));
                bar.set_message(status.eta());
            }
            Output::Lines(clock) => {
                // The last line is left to `finish`.
                if env_steps < self.total && clock.is_due(elapsed, env_steps) {
                    note(status.line());
                    clock.printed(elapsed, env_steps);
                }
            }
        }
    }

    /// Replaces the bar by a last line with the average rate and the time of the whole run. Further calls do nothing.
    pub(crate) fn finish(&mut self) {
        let elapsed = self.begun.elapsed();
        let steps = self.env_steps.saturating_sub(self.start);
        let status = self.status(Some(steps as f64 / elapsed.as_secs_f64().max(1e-9)));
        match std::mem::replace(&mut self.output, Output::Quiet) {
            Output::Quiet => return,
            Output::Bar(bar) => remove(&bar),
            Output::Lines(_) => {}
        }
        note(status.last_line(elapsed));
    }

    fn status(&self, per_second: Option<f64>) -> Status {
        Status {
            env_steps: self.env_steps,
            total: self.total,
            per_second,
            episode_return: self.episode_return,
        }
    }
}

impl Drop for Progress {
    /// A run that ends in an error must leave a clean terminal for the message.
    fn drop(&mut self) {
        if let Output::Bar(bar) = &self.output {
            remove(bar);
        }
    }
}

impl Output {
    fn choose(total: u64, start: u64, quiet: bool) -> Self {
        if quiet {
            return Self::Quiet;
        }
        if io::stderr().is_terminal() {
            let bar = ProgressBar::new(total)
                .with_position(start)
                .with_prefix("starting")
                .with_message("-");
            if !bar.is_hidden() {
                return Self::Bar(show(bar));
            }
        }
        Self::Lines(LineClock::new(total, start))
    }
}

fn show(bar: ProgressBar) -> ProgressBar {
    let style =
        ProgressStyle::with_template(BAR_TEMPLATE).unwrap_or_else(|_| ProgressStyle::default_bar());
    bar.set_style(style);
    // Its clock is a thread; if the thread were refused, indicatif would panic.
    if std::thread::Builder::new()
        .spawn(|| {})
        .is_ok_and(|thread| thread.join().is_ok())
    {
        bar.enable_steady_tick(TICK);
    }
    *live_bar() = Some(bar.clone());
    bar
}

fn remove(bar: &ProgressBar) {
    *live_bar() = None;
    bar.finish_and_clear();
}

/// A panic elsewhere must not silence the log.
fn live_bar() -> MutexGuard<'static, Option<ProgressBar>> {
    LIVE_BAR.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A writer to standard error that moves the bar out of the way; a function of this kind is a `MakeWriter`.
pub(crate) fn log_writer() -> LogWriter {
    LogWriter
}

/// See [`log_writer`].
pub(crate) struct LogWriter;

impl Write for LogWriter {
    /// Always succeeds: after a failure the subscriber would complain on the same standard error, and panic.
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        let write = || io::stderr().write_all(text);
        let bar = live_bar().clone();
        let _ = match bar {
            Some(bar) => bar.suspend(write),
            None => write(),
        };
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Decides when a plain line is due.
struct LineClock {
    total: u64,
    last_steps: u64,
    last_time: Duration,
}

impl LineClock {
    fn new(total: u64, start: u64) -> Self {
        Self {
            total,
            last_steps: start,
            last_time: Duration::ZERO,
        }
    }

    fn is_due(&self, elapsed: Duration, env_steps: u64) -> bool {
        let steps = env_steps.saturating_sub(self.last_steps);
        steps as f64 >= LINE_SHARE * self.total as f64
            || elapsed.saturating_sub(self.last_time) >= LINE_EVERY
    }

    fn printed(&mut self, elapsed: Duration, env_steps: u64) {
        self.last_steps = env_steps;
        self.last_time = elapsed;
    }
}

/// Steps per second over the last [`RATE_WINDOW`].
struct Rate {
    samples: VecDeque<(Duration, u64)>,
}

impl Rate {
    fn starting_at(steps: u64) -> Self {
        Self {
            samples: VecDeque::from([(Duration::ZERO, steps)]),
        }
    }

    fn record(&mut self, elapsed: Duration, steps: u64) {
        let newest = self
            .samples
            .back()
            .map_or(Duration::ZERO, |sample| sample.0);
        if elapsed >= newest + RATE_SAMPLE {
            self.samples.push_back((elapsed, steps));
        }
        // The oldest sample kept is the last one at or before the window's edge.
        while self
            .samples
            .get(1)
            .is_some_and(|second| second.0 + RATE_WINDOW <= elapsed)
        {
            self.samples.pop_front();
        }
    }

    fn per_second(&self, elapsed: Duration, steps: u64) -> Option<f64> {
        let &(time, before) = self.samples.front()?;
        let seconds = elapsed.saturating_sub(time).as_secs_f64();
        (seconds > 0.0).then(|| steps.saturating_sub(before) as f64 / seconds)
    }
}

/// State of a run for display.
struct Status {
    env_steps: u64,
    total: u64,
    per_second: Option<f64>,
    episode_return: Option<f64>,
}

impl Status {
    /// `  40960/100000 steps   18.2k steps/s   return 213.4   eta 3s`
    fn line(&self) -> String {
        let numbers = self.speed_and_return("   ");
        format!("  {} steps   {numbers}   eta {}", self.count(), self.eta())
    }

    /// [`line`](Self::line), with the time that the run took in place of the estimated time.
    fn last_line(&self, elapsed: Duration) -> String {
        let numbers = self.speed_and_return("   ");
        let took = in_words(elapsed);
        format!("  {} steps   {numbers}   took {took}", self.count())
    }

    /// Padded to the width of the total, so that lines stay aligned.
    fn count(&self) -> String {
        let width = self.total.to_string().len();
        format!("{:>width$}/{}", self.env_steps, self.total)
    }

    fn speed_and_return(&self, gap: &str) -> String {
        let speed = self.per_second.map_or("-".to_owned(), short);
        let score = match self.episode_return {
            None => "-".to_owned(),
            Some(score) if score.abs() < 10.0 => format!("{score:.2}"),
            Some(score) => format!("{score:.1}"),
        };
        format!("{speed} steps/s{gap}return {score}")
    }

    /// `-` while nothing is known.
    fn eta(&self) -> String {
        match self.per_second {
            Some(rate) if rate > 0.0 => {
                let seconds = self.total.saturating_sub(self.env_steps) as f64 / rate;
                Duration::try_from_secs_f64(seconds).map_or("-".to_owned(), in_words)
            }
            _ => "-".to_owned(),
        }
    }
}

/// Three digits and a unit: `0.50`, `812`, `18.2k`, `1.25M`.
fn short(value: f64) -> String {
    let (scaled, unit) = match value {
        // Limits at which rounding would otherwise print four digits.
        v if v < 999.5 => (v, ""),
        v if v < 999.5e3 => (v / 1e3, "k"),
        v if v < 999.5e6 => (v / 1e6, "M"),
        v => (v / 1e9, "G"),
    };
    match scaled {
        s if s < 9.995 => format!("{s:.2}{unit}"),
        s if s < 99.95 => format!("{s:.1}{unit}"),
        s => format!("{s:.0}{unit}"),
    }
}

/// The two largest units: `3s`, `2m05s`, `1h02m`, `3d04h`.
pub(crate) fn in_words(duration: Duration) -> String {
    let seconds = duration.as_secs_f64().round() as u64;
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{minutes}m{:02}s", seconds % 60),
        3600..86_400 => format!("{hours}h{:02}m", minutes % 60),
        _ => format!("{days}d{:02}h", hours % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_line_says_steps_rate_return_and_time_left() {
        let status = Status {
            env_steps: 40_960,
            total: 100_000,
            per_second: Some(18_150.0),
            episode_return: Some(213.42),
        };
        // (100000 − 40960) / 18150 = 3.25 s
        assert_eq!(
            status.line(),
            "   40960/100000 steps   18.1k steps/s   return 213.4   eta 3s"
        );
        assert_eq!(
            status.last_line(seconds(65)),
            "   40960/100000 steps   18.1k steps/s   return 213.4   took 1m05s"
        );
    }

    #[test]
    fn unknown_values_are_dashes() {
        let mut status = Status {
            env_steps: 0,
            total: 10,
            per_second: None,
            episode_return: None,
        };
        let unknown = "   0/10 steps   - steps/s   return -   eta -";
        assert_eq!(status.line(), unknown);
        status.episode_return = Some(-0.125);
        assert!(status.line().contains("return -0.12 "), "{}", status.line());
        status.per_second = Some(0.0);
        assert_eq!(status.eta(), "-", "a rate of zero never arrives");
    }

    #[test]
    fn lines_come_by_share_of_the_run_or_by_time() {
        let mut clock = LineClock::new(1000, 200);
        assert!(!clock.is_due(seconds(9), 249));
        assert!(clock.is_due(seconds(1), 250), "5 % of 1000 after 200");
        assert!(clock.is_due(seconds(10), 201), "ten seconds of silence");
        clock.printed(seconds(10), 250);
        assert!(!clock.is_due(seconds(19), 299));
        assert!(clock.is_due(seconds(20), 251));
        assert!(clock.is_due(seconds(11), 300));
    }

    #[test]
    fn the_rate_counts_this_process_and_forgets_its_slow_start() {
        let mut rate = Rate::starting_at(5000);
        assert_eq!(rate.per_second(Duration::ZERO, 5000), None);
        // 40 s of compiling kernels, then 100 steps per second.
        rate.record(seconds(40), 5010);
        assert_eq!(rate.per_second(seconds(40), 5010), Some(0.25));
        for second in 1..=30 {
            rate.record(seconds(40 + second), 5010 + 100 * second);
        }
        assert_eq!(rate.per_second(seconds(70), 8010), Some(100.0));
        assert!(rate.samples.len() <= 17, "{}", rate.samples.len());
    }

    #[test]
    fn updates_in_quick_succession_do_not_pile_up() {
        let mut rate = Rate::starting_at(0);
        for millisecond in 0..10_000 {
            rate.record(Duration::from_millis(millisecond), millisecond);
        }
        assert_eq!(rate.samples.len(), 40);
    }

    #[test]
    fn numbers_have_three_digits() {
        let cases = [
            (0.0, "0.00"),
            (9.99, "9.99"),
            (812.3, "812"),
            (999.7, "1.00k"),
            (18_150.0, "18.1k"),
            (123_456.0, "123k"),
            (1_250_000.0, "1.25M"),
            (2.5e9, "2.50G"),
        ];
        for (value, text) in cases {
            assert_eq!(short(value), text);
        }
    }

    #[test]
    fn durations_have_two_units() {
        let cases = [
            (0, "0s"),
            (59, "59s"),
            (125, "2m05s"),
            (3600 + 120, "1h02m"),
            (3 * 86_400 + 4 * 3600, "3d04h"),
        ];
        for (value, text) in cases {
            assert_eq!(in_words(seconds(value)), text);
        }
    }
}
