//! What was heard of a hand-over, put together: a line for each step, and how it ended.
//!
//! Pure: the times are told.

use std::time::Duration;

use serde_json::{Value, json};

use super::trouble::Trouble;
use super::wire::Progress;
use crate::observe::count;

/// A hand-over as far as it was told.
#[derive(Debug, Default)]
pub(super) struct Story {
    elder: Who,
    heir: Who,
    /// Each step and when it was heard.
    steps: Vec<(String, Duration)>,
    /// When the new process was in charge.
    settled: Option<Duration>,
    /// When the old one was gone.
    gone: Option<Duration>,
    /// What the old process has to finish.
    connections: Option<u64>,
    requests: Option<u64>,
}

/// One of the two processes.
#[derive(Debug, Default)]
struct Who {
    pid: Option<u32>,
    version: Option<String>,
}

/// What a word means for who listens.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// More is to come.
    Goes,
    /// The new process is in charge.
    Settled,
    /// So it is, and the old one is gone.
    Gone,
    Failed(Trouble),
}

// === impl Story ===

impl Story {
    /// Takes the next word. Gives the line for it, if it says anything new.
    pub(super) fn hear(&mut self, word: &Progress, at: Duration) -> (Option<String>, Turn) {
        self.learn(word);
        let failed = word.step == "failed";
        let again = self.steps.last().is_some_and(|(step, _)| *step == word.step);
        if !again {
            self.steps.push((word.step.clone(), at));
        }
        let turn = match word.step.as_str() {
            "settled" => {
                self.settled.get_or_insert(at);
                Turn::Settled
            }
            "drained" => {
                self.gone = Some(at);
                Turn::Gone
            }
            "failed" => Turn::Failed(self.failed(word)),
            // Between the two, the old process may say how much is left.
            _ if self.settled.is_some() => Turn::Settled,
            _ => Turn::Goes,
        };
        let line = (!failed && (!again || word.step == "draining"))
            .then(|| format!("{:>7.1} s  {}", at.as_secs_f64(), self.step(&word.step)));
        (line, turn)
    }

    /// The connection ended.
    pub(super) fn ended(&mut self, at: Duration) -> Turn {
        if self.settled.is_some() {
            self.gone = Some(at);
            return Turn::Gone;
        }
        let Some((step, _)) = self.steps.last() else {
            let hint = "the socket is for root and for the user that the service runs as; the log of the \
                        process may say more";
            return Turn::Failed(Trouble::new("the process closed the connection without a word").hint(hint));
        };
        let what = format!(
            "{} went away after step `{step}`, before the hand-over was done",
            self.elder.name("the old process")
        );
        let hint = "was it stopped or killed? Its log says what happened: journalctl -u tidegate";
        Turn::Failed(Trouble::new(what).now("who serves now is not known").hint(hint))
    }

    /// Whether anything was heard.
    pub(super) fn begun(&self) -> bool {
        !self.steps.is_empty()
    }

    /// Since when the new process is in charge.
    pub(super) fn in_charge(&self) -> Option<Duration> {
        self.settled
    }

    /// Whether it was told what the old process still has.
    pub(super) fn counted(&self) -> bool {
        self.connections.is_some() || self.gone.is_some()
    }

    /// The time is up and nobody is in charge yet.
    pub(super) fn late(&self, limit: Duration) -> Trouble {
        let step = self.steps.last().map_or("", |(step, _)| step);
        let what = format!("not done within {:.0} s: the last step was `{step}`", limit.as_secs_f64());
        let now = format!(
            "{} serves, and goes on with the hand-over by itself; its log will say how it ended",
            self.elder.name("the old process")
        );
        Trouble::new(what)
            .now(now)
            .hint("`server.upgrade_timeout` limits it; --timeout is how long this command looks on")
    }

    /// "upgraded: PID 1 (0.1.0) -> PID 2 (0.2.0) in 1.8 s; 3 connections still drain in 1".
    pub(super) fn upgraded(&self) -> String {
        let took = self.settled.unwrap_or_default().as_secs_f64();
        let (elder, heir) = (self.elder.full("the old process"), self.heir.full("the new process"));
        let pid = self.elder.pid.map_or_else(|| "it".to_owned(), |pid| pid.to_string());
        let left = match (self.gone, self.connections) {
            (Some(_), _) | (None, None) => String::new(),
            (None, Some(0)) => format!("; nothing is left in {pid}"),
            (None, Some(1)) => format!("; 1 connection still drains in {pid}"),
            (None, Some(n)) => format!("; {n} connections still drain in {pid}"),
        };
        format!("upgraded: {elder} -> {heir} in {took:.1} s{left}")
    }

    /// What is said when all is well.
    pub(super) fn end(&self) -> String {
        let Some(gone) = self.gone else { return format!("{}\n", self.upgraded()) };
        let later = gone.saturating_sub(self.settled.unwrap_or_default()).as_secs_f64();
        let cut = self
            .requests
            .filter(|n| *n > 0)
            .map_or_else(String::new, |n| format!("; {n} of its requests were cut"));
        let elder = self.elder.name("the old process");
        format!("{}\n{elder} is gone, {later:.1} s after it{cut}\n", self.upgraded())
    }

    /// The same for programs.
    pub(super) fn json(&self, trouble: Option<&Trouble>) -> Value {
        let seconds = |at: Duration| (at.as_secs_f64() * 1e3).round() / 1e3;
        let steps: Vec<_> =
            self.steps.iter().map(|(step, at)| json!({ "step": step, "at": seconds(*at) })).collect();
        let who = |who: &Who| json!({ "pid": who.pid, "version": who.version });
        let mut all = json!({
            "ok": trouble.is_none(),
            "old": who(&self.elder),
            "new": who(&self.heir),
            "seconds": self.settled.map(seconds),
            "connections": self.connections,
            "requests": self.requests,
            "gone_after": self.gone.zip(self.settled).map(|(gone, settled)| seconds(gone.saturating_sub(settled))),
            "steps": steps,
        });
        if let Some(trouble) = trouble {
            all["why"] = trouble.what.clone().into();
            all["now"] = trouble.now.clone().into();
            all["hint"] = trouble.hint.clone().into();
        }
        all
    }

    fn learn(&mut self, word: &Progress) {
        self.elder.pid = word.pid.or(self.elder.pid);
        self.heir.pid = word.heir_pid.or(self.heir.pid);
        for (who, told) in [(&mut self.elder, &word.old_version), (&mut self.heir, &word.version)] {
            if told.is_some() {
                who.version.clone_from(told);
            }
        }
        self.connections = word.connections.or(self.connections);
        self.requests = word.requests.or(self.requests);
    }

    fn failed(&self, word: &Progress) -> Trouble {
        let before = self.steps.iter().rev().find(|(step, _)| step != "failed");
        let after = before.map_or_else(String::new, |(step, _)| format!(" (the last step was `{step}`)"));
        let why = word.why.as_deref().unwrap_or("no reason was given; see the log");
        let elder = self.elder.name("the old process");
        let trouble = Trouble::new(format!("{why}{after}")).now(format!("{elder} serves on as before"));
        // Before there is a heir nothing was tried: the reason says all.
        if self.heir.pid.is_none() {
            return trouble;
        }
        trouble.hint("what the new process said itself is in the log: journalctl -u tidegate")
    }

    fn step(&self, step: &str) -> String {
        let (elder, heir) = (self.elder.name("the old process"), self.heir.name("the new process"));
        match step {
            "spawned" => format!("{elder} has started {heir}"),
            "hello" => format!("{} is there", self.heir.full("the new process")),
            "ready" => format!("{heir} has its config and its endpoints, and is ready"),
            "sockets" => format!("{heir} has the listening sockets"),
            "serving" => format!("{heir} serves; {elder} lets nobody in any more, and watches it"),
            "settled" => format!("{heir} is in charge"),
            "drained" => format!("{elder} has finished"),
            "draining" => format!("{elder} has {} left", left(self.connections, self.requests)),
            other => other.to_owned(),
        }
    }
}

// === impl Who ===

impl Who {
    fn name(&self, else_: &str) -> String {
        self.pid.map_or_else(|| else_.to_owned(), |pid| format!("PID {pid}"))
    }

    fn full(&self, else_: &str) -> String {
        let version = self.version.as_ref().map_or_else(String::new, |version| format!(" ({version})"));
        format!("{}{version}", self.name(else_))
    }
}

fn left(connections: Option<u64>, requests: Option<u64>) -> String {
    let both = [connections.map(|n| count(n, "connection")), requests.map(|n| count(n, "request"))];
    both.into_iter().flatten().collect::<Vec<_>>().join(", ")
}
