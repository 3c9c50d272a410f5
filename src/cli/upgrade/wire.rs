//! What goes over the socket: one JSON object a line.
//!
//! It is read more leniently than [`Report`](crate::upgrade::progress::Report), as which it is
//! written: steps and fields that are not known are passed over, and those that are missing are not
//! missed. The process that is asked is another version than the command as often as not.

use serde::Deserialize;

/// The request.
pub(super) const ASK: &[u8] = b"{\"upgrade\":{}}\n";

/// How far the hand-over is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Progress {
    pub(super) step: String,
    /// The process that was asked.
    pub(super) pid: Option<u32>,
    /// The one that it started.
    pub(super) heir_pid: Option<u32>,
    /// The heir's, once it is known.
    pub(super) version: Option<String>,
    /// Of the process that was asked.
    pub(super) old_version: Option<String>,
    pub(super) why: Option<String>,
    /// What the old process still has.
    pub(super) connections: Option<u64>,
    pub(super) requests: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upgrade::message::Asked;
    use crate::upgrade::progress::{Report, Step};

    #[test]
    fn what_is_written_is_read() {
        let report = Report { why: Some("no".into()), ..Report::left(Step::Draining, 3, 1) }.of(7, Some("9"));
        let read: Progress = serde_json::from_str(&serde_json::to_string(&report).unwrap()).unwrap();
        let expected = Progress {
            step: "draining".into(),
            pid: Some(report.pid),
            heir_pid: Some(7),
            version: Some("9".into()),
            old_version: report.old_version,
            why: Some("no".into()),
            connections: Some(3),
            requests: Some(1),
        };
        assert_eq!(read, expected);
        assert_eq!(serde_json::from_slice::<Asked>(ASK).unwrap(), Asked::Upgrade {});
    }
}
