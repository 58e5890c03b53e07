//! What a campaign shows while it runs: one moving line on a terminal, otherwise a line every 10 s.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::time::{Duration, Instant};
use ulna_sim::campaign::Totals;

/// The display of one campaign; writes to standard error only.
pub struct Progress {
    bar: Option<ProgressBar>,
    planned: Option<u64>,
    limit: Option<Duration>,
    began: Instant,
    said: Duration,
}

const PERIOD: Duration = Duration::from_secs(10);

impl Progress {
    /// Begins with so many seeds planned, or for so long.
    pub fn begin(planned: Option<u64>, limit: Option<Duration>) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(planned, ProgressDrawTarget::stderr());
            bar.set_style(ProgressStyle::with_template("{msg}").expect("it is a template"));
            bar
        });
        #[expect(
            clippy::disallowed_methods,
            reason = "shows a person how long it takes; no decision of a run"
        )]
        let began = Instant::now();
        Progress { bar, planned, limit, began, said: Duration::ZERO }
    }

    /// How long it has been.
    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// Whether the time is up.
    pub fn is_over(&self) -> bool {
        self.limit.is_some_and(|limit| self.elapsed() >= limit)
    }

    /// Shows the sums so far.
    pub fn tell(&mut self, totals: &Totals) {
        let elapsed = self.elapsed();
        if let Some(bar) = &self.bar {
            bar.set_message(self.line(totals, elapsed));
            bar.inc(1);
        } else if elapsed >= self.said + PERIOD {
            self.said = elapsed;
            eprintln!("{}", self.line(totals, elapsed));
        }
    }

    /// Shows a line that stays.
    pub fn say(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.println(line),
            None => eprintln!("{line}"),
        }
    }

    /// Takes the moving line away.
    pub fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn line(&self, totals: &Totals, elapsed: Duration) -> String {
        let seconds = elapsed.as_secs().max(1);
        let left = match (self.planned, self.limit) {
            (_, Some(limit)) => limit.saturating_sub(elapsed).as_secs(),
            (Some(planned), None) => seconds * planned.saturating_sub(totals.seeds) / totals.seeds.max(1),
            (None, None) => 0,
        };
        let of = self.planned.map_or(String::new(), |planned| format!(" of {planned}"));
        format!(
            "{}{of} seeds, {} failures, {} simulated hours, {} transactions/s, {left} s left",
            totals.seeds,
            totals.failures,
            totals.simulated / 3_600_000_000_000,
            totals.transactions / seconds,
        )
    }
}
