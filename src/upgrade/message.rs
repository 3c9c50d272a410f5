//! What elder, heir and those who ask for an upgrade say to each other: one JSON object a line, with
//! one key, which names the message.
//!
//! Both sides may be of different versions, since that is what an upgrade is for. So fields that are
//! not known are ignored, and new fields have defaults; what would change the meaning of an old one
//! needs another [`PROTOCOL`], and two processes whose numbers differ do not hand over at all: the
//! elder serves on and says why. The bad side: such a version can only be reached by a restart.
//!
//! A line is bounded, so that a peer that is none of ours costs no memory. The bound of an elder is
//! generous, since a heritage lists every endpoint with its state.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::control::heritage::Heritage;
use crate::upgrade::sockets::Claim;

/// Must be equal on both sides.
pub const PROTOCOL: u32 = 1;

/// The longest line that is taken from an heir, or from somebody who asks, in bytes.
pub const MAX_ASKED: usize = 1 << 20;

/// The longest line that is taken from an elder, in bytes: some hundred thousand endpoints.
pub const MAX_TOLD: usize = 64 << 20;

/// Said by the new process, or by somebody who wants one.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Asked {
    /// The heir is there. Its first word.
    Hello(Peer),
    /// Its config is good, its first snapshot and first probes are done: it could serve.
    Ready {
        /// What it wants to listen on.
        claims: Vec<Claim>,
    },
    /// Its accept loops run.
    Serving {},
    /// It heard nothing for so long that it goes on as the main process.
    Main {},
    /// It gives up. It exits on its own.
    Failed { why: String },
    /// Start an heir of your own, and tell me how it goes. Answered by
    /// [`Report`](super::progress::Report)s.
    Upgrade {},
}

/// Said by the old process.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Told {
    /// The answer to `hello`.
    Welcome {
        protocol: u32,
        version: String,
        pid: u32,
        #[serde(default)]
        heritage: Box<Heritage>,
    },
    /// The sockets are yours; they came just before this line, in this order.
    Sockets {
        #[serde(default)]
        heritage: Box<Heritage>,
        held: Vec<SocketAddr>,
        /// Those of which systemd has a descriptor too.
        #[serde(default)]
        lent: Vec<SocketAddr>,
    },
    /// The heir is the main process now; the elder finishes what it has.
    Settled {},
    /// There is no hand-over, or no more.
    Refused { why: String },
}

/// Who speaks.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Peer {
    pub protocol: u32,
    pub version: String,
    pub pid: u32,
}

// === impl Asked ===

impl Asked {
    /// The message's name, for logs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Hello(_) => "hello",
            Self::Ready { .. } => "ready",
            Self::Serving {} => "serving",
            Self::Main {} => "main",
            Self::Failed { .. } => "failed",
            Self::Upgrade {} => "upgrade",
        }
    }
}

// === impl Told ===

impl Told {
    /// The message's name, for logs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Welcome { .. } => "welcome",
            Self::Sockets { .. } => "sockets",
            Self::Settled {} => "settled",
            Self::Refused { .. } => "refused",
        }
    }
}

// === impl Peer ===

impl Peer {
    /// This process.
    pub fn ours() -> Self {
        Self { protocol: PROTOCOL, version: env!("CARGO_PKG_VERSION").to_owned(), pid: std::process::id() }
    }

    /// Why there can be no hand-over with this peer, as said of `whose`: `the new process`.
    pub fn mismatch(&self, whose: &str) -> Option<String> {
        (self.protocol != PROTOCOL).then(|| {
            format!(
                "{whose} ({}) speaks version {} of the hand-over, this one ({}) version {PROTOCOL}; \
                 restart instead",
                self.version,
                self.protocol,
                env!("CARGO_PKG_VERSION"),
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Asked, serde_json::Error> {
        serde_json::from_str(line)
    }

    #[test]
    fn a_message_is_an_object_with_its_name_as_key() {
        let hello = Asked::Hello(Peer { protocol: 1, version: "0.1.0".into(), pid: 7 });
        let line = r#"{"hello":{"protocol":1,"version":"0.1.0","pid":7}}"#;
        assert_eq!(serde_json::to_string(&hello).unwrap(), line);
        assert_eq!(read(line).unwrap(), hello);
        assert_eq!(serde_json::to_string(&Asked::Serving {}).unwrap(), r#"{"serving":{}}"#);
        let settled = serde_json::to_string(&Told::Settled {}).unwrap();
        assert_eq!(settled, r#"{"settled":{}}"#);
    }

    #[test]
    fn what_is_not_known_is_ignored_and_what_is_missing_is_not() {
        let line = r#"{"hello":{"protocol":1,"version":"9","pid":7,"mood":"new","more":{"x":[]}}}"#;
        assert!(read(line).is_ok());
        assert_eq!(read(r#"{"serving":{"since":3}}"#).unwrap(), Asked::Serving {});
        assert!(read(r#"{"hello":{"protocol":1}}"#).is_err());
        assert!(read(r#"{"dance":{}}"#).is_err());
        assert!(read(r#"[]"#).is_err());
    }

    #[test]
    fn a_welcome_without_a_heritage_is_one() {
        let line = r#"{"welcome":{"protocol":1,"version":"9","pid":7}}"#;
        let Told::Welcome { pid, .. } = serde_json::from_str(line).unwrap() else { panic!("{line}") };
        assert_eq!(pid, 7);
    }

    #[test]
    fn another_protocol_is_told_with_both_versions() {
        assert_eq!(Peer::ours().mismatch("the new process"), None);
        let other = Peer { protocol: 2, version: "2.0.0".into(), pid: 1 };
        let why = other.mismatch("the new process").unwrap();
        assert!(why.starts_with("the new process (2.0.0) speaks version 2 "), "{why}");
    }
}
