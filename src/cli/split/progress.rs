//! How far a shift is: a bar for people, lines for logs. Both go to stderr; what was reached in the
//! end goes to stdout.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::Instant;

/// Where there is no terminal, a line is printed at most this often.
const QUIET: Duration = Duration::from_secs(5);

/// What a shift is shown on.
pub(super) trait Show {
    /// A step serves.
    fn step(&mut self, step: u32, of: u32, text: &str);
    /// Something that is not a step.
    fn say(&mut self, text: &str);
}

/// A bar, or lines.
#[derive(Debug)]
pub(super) enum Progress {
    Bar(ProgressBar),
    Lines { last: Option<Instant> },
}

/// A line on stderr. That nobody reads it any more does not stop a shift.
fn line(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

// === impl Progress ===

impl Progress {
    /// What fits where stderr goes.
    pub(super) fn new(steps: u32) -> Self {
        if !io::stderr().is_terminal() {
            return Self::Lines { last: None };
        }
        let bar = ProgressBar::new(steps.into());
        let style = ProgressStyle::with_template("[{bar:24}] {percent:>3} %  {wide_msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> "));
        bar.tick();
        Self::Bar(bar)
    }
}

impl Show for Progress {
    fn step(&mut self, step: u32, of: u32, text: &str) {
        match self {
            Self::Bar(bar) => {
                bar.set_position(step.into());
                bar.set_message(text.to_owned());
            }
            Self::Lines { last } => {
                if step == of || last.is_none_or(|last| last.elapsed() >= QUIET) {
                    *last = Some(Instant::now());
                    line(&format!("{step}/{of}  {text}"));
                }
            }
        }
    }

    fn say(&mut self, text: &str) {
        match self {
            Self::Bar(bar) => bar.println(text),
            Self::Lines { .. } => line(text),
        }
    }
}

impl Drop for Progress {
    /// The bar stays as it is, and what follows begins on a line of its own.
    fn drop(&mut self) {
        if let Self::Bar(bar) = self {
            bar.abandon();
        }
    }
}
