//! `tidegate check`: every problem of a config file at once, each with its place and what to do.
//!
//! A problem is one line, `file:line:column: path: what; hint`, as compilers write them, so that
//! editors jump to it; under it stands the line of the file with a caret. Text goes to stderr, JSON
//! to stdout.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

use serde_json::json;

use crate::config::load::{self, Attempt};
use crate::config::{Config, Problem};
use crate::observe::count;

/// How the result is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// One line a problem, with the line of the file under it.
    #[default]
    Text,
    /// `{"ok": false, "problems": [...]}`
    Json,
}

/// So much of a line of the file is shown.
const WIDTH: usize = 160;

/// What a check found.
#[derive(Debug)]
pub struct Report {
    attempt: Attempt,
    warnings: Vec<Problem>,
    file: String,
}

/// Checks a file and prints the result. Exit code 1 if there is a problem.
///
/// `compile` looks for what only shows when the config is compiled, as `snapshot::compile` does. It
/// is also given what could be read of a file with problems, so that its own come in the same run.
/// `doubt` says what is valid and odd; it is asked only where there is no problem, and does not
/// change the exit code.
pub fn run(
    path: &Path,
    format: Format,
    compile: impl Fn(&Config) -> Vec<Problem>,
    doubt: impl Fn(&Config) -> Vec<Problem>,
) -> ExitCode {
    let report = Report::new(path, compile).doubted(doubt);
    // A reader that goes away early does not change what was found.
    let _ = match format {
        Format::Json => io::stdout().lock().write_all(format!("{:#}\n", report.json()).as_bytes()),
        Format::Text if report.ok() => io::stdout().lock().write_all(report.text().as_bytes()),
        Format::Text => io::stderr().lock().write_all(report.text().as_bytes()),
    };
    if report.ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

// === impl Report ===

impl Report {
    /// Reads, validates and compiles a file.
    pub fn new(path: &Path, compile: impl Fn(&Config) -> Vec<Problem>) -> Self {
        let mut attempt = load::attempt(path);
        if let Some(config) = &attempt.config {
            let problems = compile(config);
            attempt.add(problems);
        }
        Self { attempt, warnings: Vec::new(), file: path.display().to_string() }
    }

    /// Adds what is valid and odd.
    pub fn doubted(mut self, doubt: impl Fn(&Config) -> Vec<Problem>) -> Self {
        if let Some(config) = self.attempt.config.as_ref().filter(|_| self.ok()) {
            self.warnings = self.attempt.places.place(doubt(config));
        }
        self
    }

    /// Whether there is no problem.
    pub fn ok(&self) -> bool {
        self.attempt.problems.is_empty() && self.attempt.config.is_some()
    }

    /// Every problem, in the order of the file.
    pub fn problems(&self) -> &[Problem] {
        &self.attempt.problems
    }

    /// The problems with their lines, and their number; or what the file holds.
    pub fn text(&self) -> String {
        let mut out = String::new();
        let lines: Vec<&str> = self.attempt.text.lines().collect();
        for problem in self.problems() {
            let _ = writeln!(out, "{problem}");
            out.push_str(&excerpt(&lines, problem).unwrap_or_default());
        }
        for warning in &self.warnings {
            let _ = writeln!(out, "warning: {warning}");
        }
        let _ = match &self.attempt.config {
            Some(config) if self.ok() => writeln!(
                out,
                "{}: ok: {}, {}, {}",
                self.file,
                count(config.boot.listeners.len(), "listener"),
                count(config.live.clusters.len(), "cluster"),
                count(config.live.routes.len(), "route"),
            ),
            _ => writeln!(out, "{}: {}", self.file, count(self.problems().len(), "problem")),
        };
        out
    }

    /// The result for programs.
    pub fn json(&self) -> serde_json::Value {
        let mut result = json!({ "ok": self.ok(), "file": self.file, "problems": self.problems(), "warnings": self.warnings });
        if let (true, Some(config)) = (self.ok(), &self.attempt.config) {
            result["listeners"] = config.boot.listeners.len().into();
            result["clusters"] = config.live.clusters.len().into();
            result["routes"] = config.live.routes.len().into();
        }
        result
    }
}

/// The line of the file with a caret under the place. Tabs are kept in front of the caret, so that
/// it fits, and a long line is shown from near the place.
fn excerpt(lines: &[&str], problem: &Problem) -> Option<String> {
    let at = problem.at.as_ref()?;
    let line = lines.get(at.line.checked_sub(1)? as usize)?;
    if line.trim().is_empty() {
        return None;
    }
    let before = at.column.saturating_sub(1) as usize;
    let skipped = if before < WIDTH { 0 } else { before - WIDTH / 2 };
    let plain = |c: char| if c.is_control() && c != '\t' { '?' } else { c };
    let shown: String = line.chars().skip(skipped).take(WIDTH).map(plain).collect();
    let margin: String =
        shown.chars().take(before - skipped).map(|c| if c == '\t' { c } else { ' ' }).collect();
    let number = at.line.to_string();
    let gutter = " ".repeat(number.len());
    Some(format!("  {number} | {shown}\n  {gutter} | {margin}^\n"))
}
