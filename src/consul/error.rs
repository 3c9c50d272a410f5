//! Why a request to Consul did not give an answer, and how long to leave it alone.
//!
//! The kinds are few and fixed: they are metric labels. What a human needs (the status text, the
//! path, the operating system's words) is in the message. A status says nothing about the catalog:
//! no error carries an index.

use std::error::Error as StdError;
use std::io;
use std::time::Duration;

/// A request that gave no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The address, TLS files or service name cannot be used, or Consul says that the question is
    /// wrong.
    #[error("{0}")]
    Config(String),
    /// A token is configured and none could be read. The request was not sent: without a token a
    /// Consul that denies by default answers `[]` with status 200.
    #[error("the ACL token is missing: {0}")]
    NoToken(String),
    #[error("connection refused: {0}")]
    Refused(String),
    /// Nothing within the deadline: connecting, or the whole answer.
    #[error("timed out: {0}")]
    Timeout(String),
    /// The connection was closed or reset before an answer. Right after connecting it is how Consul
    /// 1.8 enforces `limits.http_max_conns_per_client`.
    #[error("connection reset: {0}")]
    Reset(String),
    #[error("cannot resolve: {0}")]
    Resolve(String),
    #[error("TLS: {0}")]
    Tls(String),
    #[error("{0}")]
    Io(String),
    /// Any status but 200.
    #[error("status {code}: {text}")]
    Status { code: u16, text: String, retry_after: Option<Duration> },
    #[error("not JSON: {0}")]
    NotJson(String),
    #[error("the answer ends early: {0}")]
    Truncated(String),
    /// In bytes.
    #[error("the answer is larger than {0} bytes")]
    TooLarge(usize),
    /// JSON, and none of the instances in it is one.
    #[error("none of the {count} instances can be read: {first}")]
    Unreadable { count: usize, first: String },
    #[error("no usable X-Consul-Index: {0}")]
    BadIndex(String),
}

/// How long to wait after an error before the next try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pause {
    /// As the back-off says.
    Backoff,
    /// As the back-off says, but not less than this.
    AtLeast(Duration),
}

// === impl Error ===

impl Error {
    /// A short word for the `kind` label and the status page.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Config(_) => "config",
            Self::NoToken(_) => "no_token",
            Self::Refused(_) => "refused",
            Self::Timeout(_) => "timeout",
            Self::Reset(_) => "reset",
            Self::Resolve(_) => "resolve",
            Self::Tls(_) => "tls",
            Self::Io(_) => "io",
            Self::Status { code, .. } => status_word(*code),
            Self::NotJson(_) => "not_json",
            Self::Truncated(_) => "truncated",
            Self::TooLarge(_) => "too_large",
            Self::Unreadable { .. } => "unreadable",
            Self::BadIndex(_) => "bad_index",
        }
    }

    /// The error of a status other than 200. Two of Consul's 500s are about the question, not the
    /// server: they are [`Error::Config`], so that nobody asks them again four times a second.
    pub fn status(code: u16, body: &str, retry_after: Option<Duration>) -> Self {
        let text: String =
            body.trim().chars().take(200).map(|c| if c.is_control() { ' ' } else { c }).collect();
        let permanent = ["boolean expression", "No path to datacenter"].iter().any(|t| text.contains(t));
        match code {
            400 => Self::Config(format!("status 400: {text}")),
            500 if permanent => Self::Config(format!("status 500: {text}")),
            _ => Self::Status { code, text, retry_after },
        }
    }

    /// What to do before the next try. Retry-After is honoured up to five minutes.
    pub fn pause(&self) -> Pause {
        let secs = |s| Pause::AtLeast(Duration::from_secs(s));
        match self {
            Self::Config(_) => secs(30),
            Self::NoToken(_) | Self::Status { code: 401 | 403, .. } => secs(10),
            Self::Status { retry_after: Some(after), .. } => {
                Pause::AtLeast((*after).min(Duration::from_secs(300)))
            }
            Self::Status { code: 429, .. } => secs(1),
            _ => Pause::Backoff,
        }
    }

    /// Of a request that failed before its header came.
    pub(crate) fn sending(error: &reqwest::Error) -> Self {
        let text = chain(error);
        if error.is_timeout() {
            return Self::Timeout(text);
        }
        if let Some(kind) = io_kind(error) {
            match kind {
                io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound => return Self::Refused(text),
                io::ErrorKind::ConnectionReset
                | io::ErrorKind::ConnectionAborted
                | io::ErrorKind::BrokenPipe
                | io::ErrorKind::UnexpectedEof => return Self::Reset(text),
                io::ErrorKind::TimedOut => return Self::Timeout(text),
                _ => {}
            }
        }
        let says = |words: &[&str]| words.iter().any(|w| text.contains(w));
        if says(&["connection closed", "connection reset", "message completed", "broken pipe"]) {
            Self::Reset(text)
        } else if says(&["dns error", "failed to lookup", "name resolution"]) {
            Self::Resolve(text)
        } else if says(&["SSL", "ssl", "TLS", "tls", "certificate"]) {
            Self::Tls(text)
        } else if error.is_builder() {
            Self::Config(text)
        } else {
            Self::Io(text)
        }
    }

    /// Of a body that broke off or does not decode.
    pub(crate) fn reading(error: &reqwest::Error) -> Self {
        if error.is_timeout() { Self::Timeout(chain(error)) } else { Self::Truncated(chain(error)) }
    }

    /// Of a body that is whole but does not parse.
    pub(crate) fn parsing(error: &serde_json::Error) -> Self {
        if error.is_eof() { Self::Truncated(error.to_string()) } else { Self::NotJson(error.to_string()) }
    }
}

fn status_word(code: u16) -> &'static str {
    match code {
        300..=399 => "redirect",
        401 | 403 => "forbidden",
        404 => "status_404",
        429 => "status_429",
        500 => "status_500",
        502 => "status_502",
        503 => "status_503",
        504 => "status_504",
        _ => "status_other",
    }
}

/// The error and its causes in one line, without the URL (it may be long, and the log line names
/// the service).
fn chain(error: &reqwest::Error) -> String {
    let mut text = String::new();
    let mut next = error.source();
    while let Some(cause) = next {
        let words = cause.to_string();
        if !text.contains(&words) {
            text.push_str(if text.is_empty() { "" } else { ": " });
            text.push_str(&words);
        }
        next = cause.source();
    }
    if text.is_empty() { error.to_string() } else { text }
}

fn io_kind(error: &(dyn StdError + 'static)) -> Option<io::ErrorKind> {
    let mut next = Some(error);
    while let Some(cause) = next {
        if let Some(io) = cause.downcast_ref::<io::Error>() {
            let inner = io.get_ref().and_then(|e| e.downcast_ref::<io::Error>());
            return Some(inner.map_or_else(|| io.kind(), io::Error::kind));
        }
        next = cause.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_question_is_not_asked_fast() {
        let half_minute = Pause::AtLeast(Duration::from_secs(30));
        for (code, body) in [
            (400, "Invalid index"),
            (500, "Failed to create boolean expression evaluator: x"),
            (500, "No path to datacenter"),
        ] {
            let error = Error::status(code, body, None);
            assert_eq!((error.kind(), error.pause()), ("config", half_minute), "{body}");
        }
    }

    #[test]
    fn statuses_have_kinds_and_pauses() {
        let leader = Error::status(500, "No cluster leader", None);
        assert_eq!((leader.kind(), leader.pause()), ("status_500", Pause::Backoff));
        let denied = Error::status(403, "ACL not found", None);
        assert_eq!((denied.kind(), denied.pause()), ("forbidden", Pause::AtLeast(Duration::from_secs(10))));
        let later = Error::status(503, "", Some(Duration::from_secs(7)));
        assert_eq!(later.pause(), Pause::AtLeast(Duration::from_secs(7)));
        let never = Error::status(429, "", Some(Duration::from_secs(1_000_000)));
        assert_eq!(never.pause(), Pause::AtLeast(Duration::from_secs(300)));
        assert_eq!(Error::status(301, "", None).kind(), "redirect");
    }
}
