//! `tidegate upgrade`: has the running process hand over to a new one, and says how it went.
//!
//! The command does nothing itself. It asks over `server.upgrade_socket` and shows what it is told:
//! the process starts its heir, watches it, and takes everything back if anything is wrong. So a
//! command that is interrupted, or that gives up after `--timeout`, changes nothing about the
//! hand-over, which ends by itself. The bad side: a hand-over that nobody watched is told only by
//! the log, the metrics and the pid file. SIGUSR2 begins the same hand-over, for those who have a
//! PID and no path; nobody answers to a signal, so scripts should prefer the command.
//!
//! Where it goes: each step is a line on stderr, what came of it is one on stdout. With
//! `--format json` there is one object on stdout and nothing else.

mod story;
mod talk;
mod target;
mod trouble;
mod wire;

#[cfg(test)]
mod tests;

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use crate::config::value::Span;

use self::story::Story;
use self::talk::Talk;
use self::target::Target;
use self::trouble::Trouble;

/// The command's arguments.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The process starts the binary it was started from, with the same arguments; put the new one there first.\nIf that does not load its config, find its endpoints and serve, the old process serves on as before,\nand the exit code is 1. `kill -USR2 PID` begins the same; the log then says how it went.\n\nExamples:\n  tidegate upgrade -c /etc/tidegate/tidegate.yaml\n  tidegate upgrade -c /etc/tidegate/tidegate.yaml --wait   until the old process is gone\n  tidegate upgrade --socket /run/tidegate/upgrade.sock --format json"
)]
pub(super) struct Args {
    /// The config file of the running process, which names its `server.upgrade_socket`
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The socket itself [default: /run/tidegate/upgrade.sock]
    #[arg(long, value_name = "PATH", conflicts_with = "config")]
    socket: Option<PathBuf>,
    /// Stay until the old process has finished what is in flight and is gone
    #[arg(long)]
    wait: bool,
    /// How long the hand-over may take; what drains after it is not counted
    #[arg(long, value_name = "TIME", default_value = "90s", value_parser = limit)]
    timeout: Span,
    /// For people, or for programs
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// How the result is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// A line a step
    #[default]
    Text,
    /// One object, at the end
    Json,
}

/// Runs the command.
pub(super) fn run(args: &Args) -> ExitCode {
    let (story, trouble) = ask(args);
    match &trouble {
        trouble if args.format == Format::Json => say(&format!("{:#}\n", story.json(trouble.as_ref()))),
        Some(trouble) => eprintln!("tidegate upgrade: {trouble}"),
        None => say(&story.end()),
    }
    if trouble.is_none() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Gives what was heard, and what went wrong if anything did.
fn ask(args: &Args) -> (Story, Option<Trouble>) {
    let mut story = Story::default();
    let mut follow = || {
        let target = Target::new(args.config.as_deref(), args.socket.as_deref())?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|e| Trouble::new(format!("cannot start: {e}")))?;
        runtime.block_on(async {
            let mut talk = Talk::begin(&target, args.timeout.0).await?;
            talk.follow(&mut story, args.wait, &mut |text| {
                if args.format == Format::Text {
                    line(text);
                }
            })
            .await
        })
    };
    let trouble = follow().err();
    (story, trouble)
}

/// Says on stdout what came of it. A reader that goes away early is no failure.
fn say(text: &str) {
    let _ = io::stdout().lock().write_all(text.as_bytes());
}

/// A step, on stderr. That nobody reads it does not end anything.
fn line(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

fn limit(text: &str) -> Result<Span, String> {
    let span: Span = text.parse().map_err(|e| format!("{e}"))?;
    if span.0.is_zero() {
        return Err("a hand-over takes some time; write it as 30s or 2m".to_owned());
    }
    Ok(span)
}
