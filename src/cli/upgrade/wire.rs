//! What goes over the socket: one JSON object a line.
//!
//! Fields that are not known are passed over, and those that are missing are not missed: the
//! process that is asked is an older version than the command as often as not.

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
