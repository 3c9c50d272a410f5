//! Telling a client that its request is refused.

use http::StatusCode;
use tokio::io::{AsyncWrite, AsyncWriteExt};

use super::refusal::{Kind, Refusal};
use crate::observe::metrics::Counter;
use crate::proxy::Invalid;

/// What is served here, for those who asked for something else (RFC 9110 15.5.6).
const ALLOW: &str = "allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n";

/// Answers, and says that the connection ends. A client that is not there any more need not know.
pub(in crate::proxy) async fn answer<S: AsyncWrite + Unpin>(stream: &mut S, refusal: Refusal, method: &str) {
    let text = text(refusal, method == "HEAD");
    if stream.write_all(text.as_bytes()).await.is_ok() {
        let _ = stream.flush().await;
    }
}

fn text(refusal: Refusal, headless: bool) -> String {
    let Refusal { status, why, .. } = refusal;
    let reason = StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
    let date = pingora::protocols::http::date::get_cached_date();
    let body = if headless { String::new() } else { format!("{why}\n") };
    format!(
        "HTTP/1.1 {status} {}\r\ndate: {}\r\ncontent-type: text/plain; charset=utf-8\r\ncache-control: no-store\r\n\
         {}content-length: {}\r\nconnection: close\r\n\r\n{body}",
        reason.unwrap_or_default(),
        date.to_str().unwrap_or_default(),
        if status == 405 { ALLOW } else { "" },
        why.len() + 1,
    )
}

// === impl Invalid ===

impl Invalid {
    /// What counts a refusal.
    pub(in crate::proxy) fn of(&self, kind: Kind) -> &Counter {
        match kind {
            Kind::Malformed => &self.malformed,
            Kind::Host => &self.host,
            Kind::Target => &self.target,
            Kind::Method => &self.method,
            Kind::Version => &self.version,
            Kind::Framing => &self.framing,
            Kind::Large => &self.large,
            Kind::Body => &self.body,
            Kind::Timeout => &self.timeout,
        }
    }
}
