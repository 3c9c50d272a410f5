//! `tidegate split shift`: to new weights little by little, and what is said when it ends early.
//!
//! The shift lives in this command, not in the proxy: there is no plan on the server that goes on
//! while nobody looks, and Ctrl-C is the end of it. The bad side: who closes the laptop stops it too.
//! The weights then stay as the last step left them, which is a state like any other.

mod walk;

#[cfg(test)]
mod tests;

use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use tokio::signal::unix::{SignalKind, signal};

use self::walk::{Desk, End};
use crate::cli::admin::Failure;
use crate::cli::split::args::Shift;
use crate::cli::split::client::{Client, filled};
use crate::cli::split::progress::{Progress, Show as _};
use crate::cli::split::steps::{NoPath, Path};
use crate::cli::split::wire::{Changed, Split, Weights, Wish};
use crate::cli::split::{list, say, say_wrong, words};
use crate::config::value::{Name, Span};

/// What a shell reports of a command that Ctrl-C ended.
const INTERRUPTED: u8 = 130;

/// The split of one route, at the admin API.
struct Live<'a> {
    client: &'a Client,
    route: &'a Name,
    why: String,
}

/// Runs the command.
pub(super) async fn run(client: &Client, args: &Shift) -> Result<ExitCode, Failure> {
    let split = client.one(&args.route).await?;
    let (weights, kept) = filled(&split, &args.targets)?;
    let path = match Path::new(&split.weights(), &weights, steps(args.over.0, args.every.0)) {
        Ok(path) => path,
        Err(NoPath::Same) => {
            say(&format!("{}: already at {}\n", args.route, words::weights(&split, &weights)));
            return Ok(ExitCode::SUCCESS);
        }
        Err(why) => return Err(Failure::Odd(no_path(why, args))),
    };
    // So that the last step is on time.
    let every = args.over.0 / path.steps();
    let live = Live { client, route: &args.route, why: why(args) };
    let mut stop = std::pin::pin!(stopped()?);
    let (end, done) = {
        let mut progress = Progress::new(path.steps());
        progress.say(&plan(&split, &weights, &path, args));
        if !kept.is_empty() {
            progress.say(&words::kept(&kept));
        }
        walk::walk(&live, &split, &path, every, stop.as_mut(), &mut progress).await
    };
    if let End::Done(Changed { generation, epoch, warnings }) = end {
        let serving = words::weights(&split, &weights);
        say(&format!("{}: {serving}\ngeneration {generation}, epoch {epoch}\n", args.route));
        warnings.iter().for_each(|warning| say(&format!("note: {warning}\n")));
        return Ok(ExitCode::SUCCESS);
    }
    let now = live.look().await;
    let left = every * (path.steps() - done);
    let text = told(client, &end, &split, &weights, now, left);
    Ok(match end {
        End::Stopped => {
            say(&text);
            ExitCode::from(INTERRUPTED)
        }
        _ => {
            say_wrong(&text.trim_end());
            ExitCode::FAILURE
        }
    })
}

/// Ends at Ctrl-C, or when somebody ends the process politely. Heard from now on, so that one that
/// comes in the middle of a change waits for its answer.
fn stopped() -> Result<impl Future<Output = ()>, Failure> {
    let hear = |kind| signal(kind).map_err(|e| Failure::Odd(format!("cannot listen for Ctrl-C: {e}")));
    let (mut interrupt, mut terminate) = (hear(SignalKind::interrupt())?, hear(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

/// What is about to happen.
fn plan(split: &Split, weights: &[u64], path: &Path, args: &Shift) -> String {
    let (from, to) = (words::weights(split, &split.weights()), words::weights(split, weights));
    format!("{}: from {from}\n  to {to}\n  in {} steps over {}", split.route, path.steps(), args.over)
}

/// How many steps there are, at least one.
fn steps(over: Duration, every: Duration) -> u32 {
    u32::try_from(over.as_millis().div_ceil(every.as_millis().max(1))).unwrap_or(u32::MAX).max(1)
}

fn no_path(why: NoPath, args: &Shift) -> String {
    match why {
        NoPath::EmptyStart => format!(
            "all weights of {} are 0 now, so there is no share to move from; use `tidegate split set`",
            args.route
        ),
        NoPath::EmptyEnd => {
            "all weights would be 0, so no request could be assigned; give one a weight above 0".into()
        }
        NoPath::Same => "it is there already".into(),
    }
}

/// The reason that each step gives.
fn why(args: &Shift) -> String {
    let targets = args.targets.iter().map(|target| format!("{}={}", target.name, target.weight));
    let what = targets.collect::<Vec<_>>().join(" ");
    args.why.clone().unwrap_or_else(|| format!("shift to {what} over {}", args.over))
}

/// What is said when it ended before its end: why, what serves, how to go on and how to go back.
fn told(
    client: &Client,
    end: &End,
    before: &Split,
    weights: &[u64],
    now: Result<Split, Failure>,
    left: Duration,
) -> String {
    let route = &before.route;
    let mut out = match end {
        End::Stopped | End::Done(_) => "stopped\n".to_owned(),
        End::Overtaken => format!(
            "the split of {route} is not as the shift left it, so the shift stops: somebody else changed it, or \
             the process lost its state; nothing was overwritten\n"
        ),
        End::Failed(failure) => format!("the shift of {route} stops: {failure}\n"),
    };
    match now {
        Ok(now) => {
            let serving = words::weights(&now, &now.weights());
            _ = writeln!(out, "  {route} serves: {serving}; {}", list::standing(&now, wall_clock()));
        }
        Err(failure) => {
            _ = writeln!(out, "  what {route} serves now is not known: {failure}");
        }
    }
    let left = Span(Duration::from_secs(left.as_secs().max(1)));
    let (call, end) = (&client.call, words::typed(before, weights));
    _ = writeln!(out, "  to go on:    {call} shift {route} {end} --over {left}");
    _ = writeln!(out, "  to go back:  {call} set {route} {}", words::typed(before, &before.weights()));
    out
}

#[expect(clippy::disallowed_methods, reason = "only to say how long ago something was")]
pub(super) fn wall_clock() -> SystemTime {
    SystemTime::now()
}

// === impl Live ===

impl Desk for Live<'_> {
    async fn look(&self) -> Result<Split, Failure> {
        self.client.one(self.route).await
    }

    async fn put(&self, weights: &Weights, if_epoch: u64) -> Result<Changed, Failure> {
        let (author, why) = (self.client.author.as_str(), Some(self.why.as_str()));
        let wish = Wish { weights: Some(weights), if_epoch: Some(if_epoch), author, why };
        self.client.put(self.route, &wish).await
    }

    fn author(&self) -> &str {
        &self.client.author
    }
}
