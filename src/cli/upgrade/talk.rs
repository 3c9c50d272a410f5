//! The talk with the running process: ask once, then listen until the end of the hand-over.

use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::time::{Instant, timeout, timeout_at};

use super::story::{Story, Turn};
use super::target::Target;
use super::trouble::Trouble;
use super::wire::{ASK, Progress};

/// So soon the first word comes: who is asked answers before it starts anything.
pub(super) const FIRST_WORD: Duration = Duration::from_secs(10);

/// What is left in the old process is told once a second; so long it is waited for.
const COUNT: Duration = Duration::from_millis(1_500);

/// More than any line of a process that speaks this has.
const LONGEST: u64 = 64 * 1024;

/// A connection to the running process.
#[derive(Debug)]
pub(super) struct Talk<'a> {
    target: &'a Target,
    stream: BufReader<UnixStream>,
    began: Instant,
    deadline: Instant,
}

/// What came next.
enum Heard {
    Word(Box<Progress>),
    End,
}

// === impl Talk ===

impl<'a> Talk<'a> {
    /// Connects and asks.
    pub(super) async fn begin(target: &'a Target, limit: Duration) -> Result<Self, Trouble> {
        let began = Instant::now();
        let connected = timeout(FIRST_WORD.min(limit), UnixStream::connect(&target.path)).await;
        let mut stream =
            connected.map_err(|_| silent(target, limit))?.map_err(|error| target.unreachable(&error))?;
        stream.write_all(ASK).await.map_err(|error| target.unreachable(&error))?;
        Ok(Self { target, stream: BufReader::new(stream), began, deadline: began + limit })
    }

    /// Listens until the new process is in charge; with `wait`, until the old one is gone. `show`
    /// gets a line for each step.
    pub(super) async fn follow(
        &mut self,
        story: &mut Story,
        wait: bool,
        show: &mut dyn FnMut(&str),
    ) -> Result<(), Trouble> {
        loop {
            let heard = match self.next(story, wait).await {
                Some(heard) => heard?,
                None => return Ok(()),
            };
            let at = self.began.elapsed();
            let turn = match heard {
                Heard::Word(progress) => {
                    let (line, turn) = story.hear(&progress, at);
                    if let Some(line) = line {
                        show(&line);
                    }
                    turn
                }
                Heard::End => story.ended(at),
            };
            match turn {
                Turn::Settled if !wait && story.counted() => return Ok(()),
                Turn::Settled if wait && story.in_charge() == Some(at) => show(&story.upgraded()),
                Turn::Goes | Turn::Settled => {}
                Turn::Gone => return Ok(()),
                Turn::Failed(trouble) => return Err(trouble),
            }
        }
    }

    /// The next word. None: all that was to be heard was heard.
    async fn next(&mut self, story: &Story, wait: bool) -> Option<Result<Heard, Trouble>> {
        if story.in_charge().is_some() {
            // What is in flight after the hand-over has the old process's grace period, which it
            // ends itself.
            return if wait { Some(self.read().await) } else { timeout(COUNT, self.read()).await.ok() };
        }
        let first = self.deadline.min(self.began + FIRST_WORD);
        let deadline = if story.begun() { self.deadline } else { first };
        Some(match timeout_at(deadline, self.read()).await {
            Ok(heard) => heard,
            Err(_) if story.begun() => Err(story.late(self.deadline - self.began)),
            Err(_) => Err(silent(self.target, deadline - self.began)),
        })
    }

    async fn read(&mut self) -> Result<Heard, Trouble> {
        let mut line = Vec::new();
        let read = (&mut self.stream).take(LONGEST).read_until(b'\n', &mut line).await;
        // A peer that was killed: the same as one that is gone.
        if read.is_err() || !line.ends_with(b"\n") && (line.len() as u64) < LONGEST {
            return Ok(Heard::End);
        }
        match serde_json::from_slice::<Progress>(&line) {
            Ok(progress) if !progress.step.is_empty() => Ok(Heard::Word(Box::new(progress))),
            _ => Err(odd(self.target, &line)),
        }
    }
}

fn silent(target: &Target, waited: Duration) -> Trouble {
    let text = format!(
        "{} was asked and said nothing for {:.0?}",
        target.path.display(),
        Duration::from_secs(waited.as_secs_f64().round() as u64)
    );
    Trouble::new(text).now("whoever listens there serves on").hint(
        "it may be an older version, or another program; restart it instead: systemctl restart tidegate",
    )
}

fn odd(target: &Target, line: &[u8]) -> Trouble {
    let shown: String = String::from_utf8_lossy(line).trim().chars().take(80).collect();
    Trouble::new(format!("{} says what this version does not understand: `{shown}`", target.path.display()))
        .now("whoever listens there serves on")
        .hint("is it tidegate's `server.upgrade_socket`?")
}
