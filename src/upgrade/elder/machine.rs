//! What an elder does next: (state, event) to (state, actions), without I/O and without a clock.
//!
//! ```text
//! Hello --hello--> Ready --ready--> Freezing --frozen--> Handed --serving--> Probation --late-->
//!     Settling --sent--> Settled
//! ```
//!
//! Whatever else happens in any of these states but the last ends in `Failed`, by way of the actions that
//! undo what was done: the heir is killed first, since one that has the sockets and is only slow
//! would serve beside us; then the gate opens, then operators may change things again.

use std::time::Duration;

use crate::upgrade::message::{Asked, Peer};
use crate::upgrade::sockets::Claim;
use crate::upgrade::{FREEZE, HELLO, PROBATION, SERVING};

/// What is awaited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Hello,
    Ready,
    Freezing,
    Handed,
    Probation,
    Settling,
    Settled,
    /// As before.
    Failed,
    /// This process was told to stop.
    Stopped,
}

#[derive(Clone, Debug)]
pub(super) enum Event {
    Said(Asked),
    /// The channel can't be used any more, or something could not be done.
    Broken(String),
    /// The heir is no more.
    Ended(String),
    /// The writer takes no changes now, and the last heritage is at hand.
    Frozen,
    /// `settled` is said.
    Sent,
    /// The deadline passed.
    Late,
    /// This process was told to stop; `now`: at once.
    Stop {
        now: bool,
    },
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Action {
    /// `Late` comes after so long, and no more by the deadline before it.
    Await(Duration),
    Welcome(Peer),
    Freeze,
    Hand(Vec<Claim>),
    Shut,
    /// Tell systemd who is main.
    Main,
    Settle,
    Release,
    // What undoes.
    /// Tell it why, and give it a moment to end by itself.
    Refuse(String),
    Kill,
    Terminate,
    OwnMain,
    Open,
    Thaw,
    Fail(String),
}

/// One hand-over.
#[derive(Debug)]
pub(super) struct Machine {
    pub(super) state: State,
    patience: Duration,
    /// The process that was started, or that connected.
    pid: u32,
    claims: Vec<Claim>,
}

// === impl Machine ===

impl Machine {
    /// A hand-over to a process that was just started. Awaits its hello for [`HELLO`].
    pub(super) fn new(pid: u32, patience: Duration) -> Self {
        Self { state: State::Hello, patience, pid, claims: Vec::new() }
    }

    /// Whether nothing more is to be done.
    pub(super) fn over(&self) -> bool {
        matches!(self.state, State::Settled | State::Failed | State::Stopped)
    }

    pub(super) fn step(&mut self, event: Event) -> Vec<Action> {
        if self.over() {
            return Vec::new();
        }
        match event {
            Event::Said(Asked::Failed { why }) => self.fail(why),
            Event::Said(message) => self.said(message),
            Event::Broken(why) | Event::Ended(why) => self.fail(format!("{why} {}", self.when())),
            Event::Late if self.state == State::Probation => {
                self.to(State::Settling, vec![Action::Await(SERVING), Action::Main, Action::Settle])
            }
            Event::Late => self.fail(self.late()),
            Event::Frozen if self.state == State::Freezing => {
                let claims = std::mem::take(&mut self.claims);
                self.to(State::Handed, vec![Action::Await(SERVING), Action::Hand(claims)])
            }
            Event::Sent if self.state == State::Settling => self.to(State::Settled, vec![Action::Release]),
            Event::Frozen | Event::Sent => Vec::new(),
            Event::Stop { now } => {
                let end = if now { Action::Kill } else { Action::Terminate };
                self.to(State::Stopped, vec![end])
            }
        }
    }

    fn said(&mut self, message: Asked) -> Vec<Action> {
        match (self.state, message) {
            (State::Hello, Asked::Hello(peer)) => {
                if let Some(why) = peer.mismatch("the new process") {
                    return self.fail(why);
                }
                if peer.pid != self.pid {
                    let what = "a script that starts the binary must `exec` it";
                    let (pid, other) = (self.pid, peer.pid);
                    return self.fail(format!("process {pid} was started, and {other} spoke; {what}"));
                }
                self.to(State::Ready, vec![Action::Await(self.patience), Action::Welcome(peer)])
            }
            (State::Ready, Asked::Ready { claims }) => {
                self.claims = claims;
                self.to(State::Freezing, vec![Action::Await(FREEZE), Action::Freeze])
            }
            (State::Handed, Asked::Serving {}) => {
                self.to(State::Probation, vec![Action::Await(PROBATION), Action::Shut])
            }
            // This process was stopped, or hung, and wakes.
            (State::Probation, Asked::Main {}) => {
                self.to(State::Settled, vec![Action::Main, Action::Release])
            }
            (_, message) => self.fail(format!("it said `{}` {}", message.name(), self.when())),
        }
    }

    fn to(&mut self, state: State, actions: Vec<Action>) -> Vec<Action> {
        self.state = state;
        actions
    }

    /// Undoes all that was done, in the order that lets nobody wait.
    fn fail(&mut self, why: String) -> Vec<Action> {
        let mut actions = Vec::new();
        // One that has no sockets can do no harm.
        if matches!(self.state, State::Hello | State::Ready | State::Freezing) {
            actions.push(Action::Refuse(why.clone()));
        }
        actions.push(Action::Kill);
        if self.state == State::Settling {
            actions.push(Action::OwnMain);
        }
        if matches!(self.state, State::Probation | State::Settling) {
            actions.push(Action::Open);
        }
        if matches!(self.state, State::Freezing | State::Handed | State::Probation | State::Settling) {
            actions.push(Action::Thaw);
        }
        actions.push(Action::Fail(why));
        self.to(State::Failed, actions)
    }

    /// When it went wrong, for people.
    fn when(&self) -> &'static str {
        match self.state {
            State::Hello => "before it said hello",
            State::Ready => "while it loaded its config and filled its first snapshot",
            State::Freezing => "while the last state was written",
            State::Handed => "when it had the sockets, before it served",
            State::Probation | State::Settling => "just after it began to serve",
            State::Settled | State::Failed | State::Stopped => "at the end",
        }
    }

    fn late(&self) -> String {
        let seconds = |span: Duration| span.as_secs_f64();
        match self.state {
            State::Hello => format!("it said nothing for {} s; is it a Tidegate?", seconds(HELLO)),
            State::Ready => format!(
                "it was not ready after {} s, which is `server.upgrade_timeout`",
                seconds(self.patience)
            ),
            State::Freezing => {
                format!("the state of this process was not on disk after {} s", seconds(FREEZE))
            }
            _ => format!("it did not serve {} s after it had the sockets", seconds(SERVING)),
        }
    }
}

#[cfg(test)]
mod tests;
