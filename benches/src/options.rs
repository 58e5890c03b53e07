//! What a benchmark that measures processes may be told on its command line.

use std::time::Duration;

/// How much is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// How often.
    pub rounds: u64,
    /// How long each time.
    pub span: Duration,
    /// Whether it only has to be shown that everything works.
    pub quick: bool,
}

impl Options {
    /// Reads `--quick`, `--rounds N` and `--seconds S` over these defaults; `cargo test --benches` runs benchmarks, too,
    /// without the argument that `cargo bench` gives, and quick ones do. Any other argument `own` is asked for, with
    /// those behind it.
    ///
    /// # Errors
    /// A sentence about an argument that `own` does not know.
    pub fn read(
        rounds: u64,
        span: Duration,
        quick_span: Duration,
        mut own: impl FnMut(&str, &mut dyn Iterator<Item = String>) -> bool,
    ) -> Result<Options, String> {
        let quick = !std::env::args().any(|argument| argument == "--bench");
        let mut options = Options { rounds, span, quick };
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            let number =
                |value: Option<String>| value.and_then(|value| value.parse::<u64>().ok()).filter(|n| *n > 0);
            match argument.as_str() {
                "--bench" => {}
                "--quick" => options.quick = true,
                "--rounds" => options.rounds = number(arguments.next()).unwrap_or(rounds),
                "--seconds" => {
                    let seconds = arguments.next().and_then(|value| value.parse().ok());
                    let span = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
                    options.span = span.filter(|span| !span.is_zero()).unwrap_or(options.span);
                }
                other if own(other, &mut arguments) => {}
                other => return Err(format!("{other} is no option of this benchmark")),
            }
        }
        if options.quick {
            (options.rounds, options.span) = (1, quick_span);
        }
        Ok(options)
    }
}
