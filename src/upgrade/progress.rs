//! How a hand-over goes, for those who asked for it: a report a line.
//!
//! The log says the same with more words; this is for programs, above all for `tidegate upgrade`.
//! Who asks hears what happens from then on. The bad side: a reader that is a hundred lines behind
//! misses the oldest.

use serde::{Deserialize, Serialize};
use tokio::sync::broadcast;

/// So many reports wait for a slow reader. A hand-over has less than ten, and then one a second.
const KEPT: usize = 128;

/// What happened. In this order, but for `failed`, which may come instead of any before `settled`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// The new process is started.
    Spawned,
    /// It spoke.
    Hello,
    /// It could serve.
    Ready,
    /// It has the sockets.
    Sockets,
    /// It serves; this process takes no new connection.
    Serving,
    /// It is the main process now.
    Settled,
    /// This process still has connections. Once a second.
    Draining,
    /// This process has nothing left, or its grace period is over; it exits.
    Drained,
    /// This process serves on as before. The last report.
    Failed,
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Report {
    pub step: Step,
    /// The old process.
    pub pid: u32,
    /// Its version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old_version: Option<String>,
    /// The new one, once it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heir_pid: Option<u32>,
    /// The new one's version, once it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Connections of clients that the old process still has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connections: Option<u64>,
    /// Requests that it still has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<u64>,
}

/// Where reports are made and heard. A clone is another handle on the same.
#[derive(Clone, Debug)]
pub struct Progress(broadcast::Sender<Report>);

// === impl Step ===

impl Step {
    /// Whether nothing follows.
    pub fn last(self) -> bool {
        matches!(self, Self::Drained | Self::Failed)
    }
}

// === impl Report ===

impl Report {
    /// What this process says of itself.
    pub fn new(step: Step) -> Self {
        let pid = std::process::id();
        let old_version = Some(env!("CARGO_PKG_VERSION").to_owned());
        Self {
            step,
            pid,
            old_version,
            heir_pid: None,
            version: None,
            why: None,
            connections: None,
            requests: None,
        }
    }

    /// That nothing comes of it.
    pub fn failed(why: impl Into<String>) -> Self {
        Self { why: Some(why.into()), ..Self::new(Step::Failed) }
    }

    /// What is left in this process.
    pub fn left(step: Step, connections: usize, requests: i64) -> Self {
        let (connections, requests) = (connections as u64, u64::try_from(requests).unwrap_or_default());
        Self { connections: Some(connections), requests: Some(requests), ..Self::new(step) }
    }

    /// Of this heir.
    pub fn of(mut self, heir: u32, version: Option<&str>) -> Self {
        self.heir_pid = Some(heir);
        self.version = version.map(str::to_owned);
        self
    }
}

// === impl Progress ===

impl Progress {
    /// Nobody listens yet.
    pub fn new() -> Self {
        Self(broadcast::Sender::new(KEPT))
    }

    /// Tells all who listen.
    pub fn tell(&self, report: Report) {
        let _ = self.0.send(report);
    }

    /// Hears what is told from now on.
    pub fn listen(&self) -> broadcast::Receiver<Report> {
        self.0.subscribe()
    }

    /// Whether somebody still listens.
    pub fn heard(&self) -> bool {
        self.0.receiver_count() > 0
    }
}

impl Default for Progress {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_says_only_what_is_known() {
        let ours = || Some("0.1.0".to_owned());
        let report = Report { pid: 1, old_version: ours(), ..Report::new(Step::Hello) }.of(2, Some("0.1.0"));
        let text = serde_json::to_string(&report).unwrap();
        assert_eq!(text, r#"{"step":"hello","pid":1,"old_version":"0.1.0","heir_pid":2,"version":"0.1.0"}"#);
        let report = Report { pid: 1, old_version: None, ..Report::left(Step::Draining, 3, -1) };
        let text = serde_json::to_string(&report).unwrap();
        assert_eq!(text, r#"{"step":"draining","pid":1,"connections":3,"requests":0}"#);
        assert_eq!(serde_json::from_str::<Report>(&text).unwrap(), report);
    }
}
