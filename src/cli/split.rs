//! `tidegate split`: how splits share requests out, seen and changed in a running process.
//!
//! Every change is one request that the process takes whole or not at all, and says who made it and
//! why. Weights that are not named stay as they *serve*, not as the file has them: the commands read
//! first, fill in what is missing, and make the change depend on the epoch that was read. So two
//! people who change at once do not undo each other unseen; the bad side is that the slower one is
//! told to look and ask again.

mod args;
mod change;
mod client;
mod list;
mod preview;
mod progress;
mod shift;
mod steps;
mod wire;
mod words;

use std::fmt::Display;
use std::io::{self, Write as _};
use std::process::ExitCode;

use crate::cli::admin::{Admin, Failure, block_on};

pub(super) use self::args::Args;
use self::args::Command;
use self::client::Client;

/// Runs the command.
pub(super) fn run(args: &Args) -> ExitCode {
    if let Some(wrong) = args.command.wrong() {
        // Its own words and its exit code are those of every other mistake in the arguments.
        let _ = wrong.print();
        return ExitCode::from(2);
    }
    let client = match Admin::new(&args.url(), args.token_file.as_deref()) {
        Ok(admin) => Client::new(admin, args.call()),
        Err(failure) => return failed(&failure),
    };
    let done = block_on(async {
        match &args.command {
            Command::List(args) => list::run(&client, args).await.map(|()| ExitCode::SUCCESS),
            Command::Set(args) => change::set(&client, args).await.map(|()| ExitCode::SUCCESS),
            Command::Reset(args) => change::reset(&client, args).await.map(|()| ExitCode::SUCCESS),
            Command::Preview(args) => preview::run(&client, args).await.map(|()| ExitCode::SUCCESS),
            Command::Shift(args) => shift::run(&client, args).await,
        }
    });
    done.unwrap_or_else(|failure| failed(&failure))
}

fn failed(failure: &Failure) -> ExitCode {
    say_wrong(failure);
    ExitCode::FAILURE
}

/// Says on stdout what was found or done. A reader that goes away early, as `head` does, is no failure.
fn say(text: &str) {
    let _ = io::stdout().lock().write_all(text.as_bytes());
}

/// Says on stderr what is wrong.
fn say_wrong(what: &impl Display) {
    eprintln!("tidegate split: {what}");
}
