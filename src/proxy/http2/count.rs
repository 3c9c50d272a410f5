//! What is counted and logged of HTTP/2 beside requests that ran their course.

use h2::RecvStream;
use http::Request;

use super::valid::Reason;
use crate::observe::Flag;
use crate::observe::metrics::{Counter, Metrics};
use crate::proxy::Proxy;
use crate::proxy::link::Link;
use crate::proxy::lost::{self, Lost};

/// The counters of a listener.
#[derive(Clone, Debug)]
pub(crate) struct Counters {
    /// Requests that are not valid, by the reason.
    pub(super) malformed: Counter,
    host: Counter,
    target: Counter,
    method: Counter,
    large: Counter,
    /// A body that did not come in time.
    pub(super) body_timeout: Counter,
    /// An answer that was not taken in time.
    pub(super) write_timeout: Counter,
    /// Streams that were one too many.
    pub(super) streams: Counter,
    /// Connections that said no whole preface, or no SETTINGS, or another preface.
    pub(super) handshake: Counter,
    /// Connections that had no stream.
    pub(super) idle: Counter,
    /// Connections that reset or chattered too much.
    pub(super) flood: Counter,
    /// Connections that broke the protocol.
    pub(super) protocol: Counter,
}

// === impl Counters ===

impl Counters {
    pub(crate) fn new(listener: &str, metrics: &Metrics) -> Self {
        let invalid = |reason| metrics.invalid(listener, reason);
        let ended = |reason| metrics.http2_ended(listener, reason);
        Self {
            malformed: invalid("malformed"),
            host: invalid("host"),
            target: invalid("target"),
            method: invalid("method"),
            large: invalid("large"),
            body_timeout: ended("body_timeout"),
            write_timeout: ended("write_timeout"),
            streams: ended("max_streams"),
            handshake: ended("handshake"),
            idle: ended("idle"),
            flood: ended("flood"),
            protocol: ended("protocol"),
        }
    }

    /// Of requests that are refused for it.
    pub(crate) fn of(&self, reason: Reason) -> &Counter {
        match reason {
            Reason::Malformed => &self.malformed,
            Reason::Host => &self.host,
            Reason::Target => &self.target,
            Reason::Method => &self.method,
            Reason::Large => &self.large,
        }
    }
}

/// Logs a stream that was given up before anybody looked at it.
pub(super) fn gone(proxy: &Proxy, link: &Link, request: &Request<RecvStream>) {
    let uri = request.uri();
    let host = uri.authority().map_or("", http::uri::Authority::as_str).as_bytes();
    let path = uri.path_and_query().map_or("", http::uri::PathAndQuery::as_str).as_bytes();
    let method = request.method().as_str();
    lost::record(proxy, link, &Lost { method, host, path, ..Lost::new("HTTP/2", 499, Flag::DC) });
}

/// Counts and logs what never reached a phase of the proxy. `request`: as far as there was one.
pub(super) fn log(proxy: &Proxy, link: &Link, request: Option<&Request<RecvStream>>, status: u16) {
    let host = request.and_then(|request| request.uri().authority()).map_or("", http::uri::Authority::as_str);
    let method = request.map_or("", |request| request.method().as_str());
    let (flag, host) = (Flag::DPE, host.as_bytes());
    lost::record(proxy, link, &Lost { protocol: "HTTP/2", status, flag, method, host, path: b"" });
}
