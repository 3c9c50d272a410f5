//! Telling a client that its request is refused, and noting that.

use std::time::SystemTime;

use http::StatusCode;
use tokio::io::{AsyncWrite, AsyncWriteExt};

use super::refusal::{Kind, Refusal};
use crate::observe::Flag;
use crate::observe::access::Record;
use crate::observe::metrics::Counter;
use crate::proxy::link::Link;
use crate::proxy::{Invalid, Proxy};

/// What is served here, for those who asked for something else (RFC 9110 15.5.6).
const ALLOW: &str = "allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n";

/// A request that never reached a phase of the proxy.
#[derive(Debug)]
pub(in crate::proxy) struct Lost<'a> {
    /// 0: none was sent.
    pub(in crate::proxy) status: u16,
    pub(in crate::proxy) flag: Flag,
    pub(in crate::proxy) method: &'a str,
    pub(in crate::proxy) path: &'a [u8],
}

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

/// Counts and logs it.
pub(in crate::proxy) fn record(proxy: &Proxy, link: &Link, lost: &Lost<'_>) {
    let snapshot = proxy.cell.load();
    snapshot.table.unrouted.record(link.listener, lost.status, 0.0, None, Some(lost.flag));
    #[expect(clippy::disallowed_methods, reason = "log lines carry the calendar's time")]
    let time = SystemTime::now();
    snapshot.access_log.write(&Record {
        time,
        listener: &proxy.listeners[link.listener].name,
        client: link.ip(),
        method: lost.method,
        host: b"",
        path: lost.path,
        protocol: "HTTP/1.1",
        status: lost.status,
        flag: Some(lost.flag),
        route: "",
        cluster: "",
        variant: "",
        endpoint: None,
        attempts: 0,
        bytes_in: 0,
        bytes_out: 0,
        duration_ms: 0.0,
        ttfb_ms: None,
        request_id: b"",
        user_agent: b"",
        generation: snapshot.generation,
        tls: link.tls_record(),
    });
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
