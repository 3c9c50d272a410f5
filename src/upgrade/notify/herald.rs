//! What is new to systemd, given what holds and what it was told.
//!
//! | when | it is told |
//! |---|---|
//! | before the sockets are open | STATUS: what is awaited |
//! | they are open | READY=1. Not later: members that are not known yet must not hold a boot up, nor have a start fail and be tried again while Consul is away |
//! | a reload begins | RELOADING=1 |
//! | it serves, or was refused | READY=1, and STATUS says a refusal until a reload goes well. A refused reload is no failure of the service, which serves on as before |
//! | it drains | STOPPING=1, and time: [`MORE`] again and again until the grace period is over, so that `TimeoutStopSec=` need not know `server.grace_period` |
//! | another process is the main one | nothing |
//!
//! STATUS is told when its text changed and [`OFTEN`] has passed.

use std::time::Duration;

use tokio::time::Instant;

use super::Word;

/// The least time between two status lines of one state.
pub const OFTEN: Duration = Duration::from_secs(2);

/// What a draining process asks for at a time.
const MORE: Duration = Duration::from_secs(15);

/// After the grace period the last words are said; who takes longer than this is to be killed.
const MARGIN: Duration = Duration::from_secs(5);

/// What holds now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Whether this process is the one that systemd listens to.
    pub main: bool,
    /// The listening sockets take connections.
    pub open: bool,
    /// How many reloads have begun.
    pub reloads: u64,
    /// One is not over.
    pub reloading: bool,
    pub draining: bool,
    /// How long draining may take.
    pub grace: Duration,
    /// For people.
    pub status: String,
}

/// Remembers what was told.
#[derive(Debug)]
pub struct Herald {
    state: State,
    reloads: u64,
    status: String,
    said: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Starting,
    Ready,
    Reloading,
    Stopping { since: Instant },
}

// === impl Herald ===

impl Herald {
    pub fn new() -> Self {
        Self { state: State::Starting, reloads: 0, status: String::new(), said: None }
    }

    /// The next message, if there is something to tell. To be called until there is not.
    pub fn next(&mut self, now: Instant, facts: &Facts) -> Option<Vec<Word>> {
        if !facts.main {
            // Should it ever be the main one again, all is new.
            *self = Self::new();
            return None;
        }
        match self.state {
            State::Stopping { since } => self.go_on_stopping(now, since, facts),
            _ if facts.draining => {
                self.state = State::Stopping { since: now };
                Some(vec![Word::Stopping, self.say(now, facts), Word::Extend(MORE)])
            }
            State::Starting if facts.open => {
                self.reloads = facts.reloads;
                self.ready(now, facts)
            }
            State::Ready if facts.reloads != self.reloads => {
                self.reloads = facts.reloads;
                self.state = State::Reloading;
                Some(vec![Word::Reloading])
            }
            State::Reloading if !facts.reloading => self.ready(now, facts),
            State::Starting | State::Ready | State::Reloading => self.news(now, facts).map(|word| vec![word]),
        }
    }

    fn ready(&mut self, now: Instant, facts: &Facts) -> Option<Vec<Word>> {
        self.state = State::Ready;
        Some(vec![Word::Ready, self.say(now, facts)])
    }

    fn go_on_stopping(&mut self, now: Instant, since: Instant, facts: &Facts) -> Option<Vec<Word>> {
        if !self.due(now) {
            return None;
        }
        let in_time = now < since + facts.grace + MARGIN;
        let more = in_time.then_some(Word::Extend(MORE));
        let words: Vec<_> = self.news(now, facts).into_iter().chain(more).collect();
        self.said = Some(now);
        (!words.is_empty()).then_some(words)
    }

    /// The status line, if it is another one and not too soon.
    fn news(&mut self, now: Instant, facts: &Facts) -> Option<Word> {
        (self.due(now) && facts.status != self.status).then(|| self.say(now, facts))
    }

    fn due(&self, now: Instant) -> bool {
        self.said.is_none_or(|said| now >= said + OFTEN)
    }

    fn say(&mut self, now: Instant, facts: &Facts) -> Word {
        self.said = Some(now);
        self.status.clone_from(&facts.status);
        Word::Status(facts.status.clone())
    }
}

impl Default for Herald {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests;
