//! What a listener takes at most, and how long it waits for a client.
//!
//! The counts of connections and requests are off by default, as in Envoy: the open files of the
//! process are the only limit, and a number that fits nobody would surprise somebody. The rest have
//! defaults, since without them one client can hold a connection, a stream or memory for ever; no
//! honest client comes near them.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::value::{Size, Span};

/// What one listener takes at most. A key that is not set is as in the `limits` at the top, and if it
/// is not set there either, its default. Each listener counts for itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Open connections from clients, idle ones too. The next one is answered 503 and closed before
    /// its request is read. Default: no limit.
    #[schemars(range(min = 1))]
    pub max_connections: Option<u32>,
    /// Requests that are being answered. The next one is answered 503 at once; its connection stays.
    /// Default: no limit.
    #[schemars(range(min = 1))]
    pub max_in_flight: Option<u32>,
    /// A request's whole header. More is answered 431. Against memory and parsing spent on nonsense.
    /// Default 64KiB.
    pub max_header_bytes: Option<Size>,
    /// Fields of a header. More is answered 431. Default 100.
    #[schemars(range(min = 1, max = 250))]
    pub max_headers: Option<u32>,
    /// Path and query. More is answered 414. Default 8KiB.
    pub max_target_bytes: Option<Size>,
    /// How long the whole header may take from its first byte; then 408. Against slowloris. Default
    /// 10s.
    pub header_timeout: Option<Span>,
    /// How long a connection may be idle between two requests. Default 75s.
    pub idle_timeout: Option<Span>,
    /// How long a TLS handshake, a PROXY header or HTTP/2's preface may take. Default 10s.
    pub handshake_timeout: Option<Span>,
    /// How long the body of a request may bring nothing; then 408. Default 60s.
    pub body_timeout: Option<Span>,
    /// How fast a request's body must come on the average, from ten seconds after it began, in bytes
    /// a second; then 408. Against clients that send a byte now and then. 0: however slow. Default 240.
    pub min_body_rate: Option<u32>,
    /// How long a client may take nothing of an answer that waits for it. Default 60s.
    pub write_timeout: Option<Span>,
    /// Open streams of one HTTP/2 connection. Default 100.
    #[schemars(range(min = 1))]
    pub h2_max_streams: Option<u32>,
    /// Streams of one HTTP/2 connection that the client takes back within 30 s after they were sent on
    /// to an endpoint; then the connection ends. Against rapid reset. Default 250.
    #[schemars(range(min = 1))]
    pub h2_max_resets: Option<u32>,
    /// How long an HTTP/2 connection may be without a stream. Default 300s.
    pub h2_idle_timeout: Option<Span>,
}

/// The same with every default in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    pub max_connections: Option<u32>,
    pub max_in_flight: Option<u32>,
    /// Bytes.
    pub max_header: usize,
    pub max_headers: usize,
    /// Bytes.
    pub max_target: usize,
    pub header_timeout: Duration,
    pub idle_timeout: Duration,
    pub handshake_timeout: Duration,
    pub body_timeout: Duration,
    /// Bytes a second. 0: none.
    pub min_body_rate: u32,
    pub write_timeout: Duration,
    pub h2_max_streams: u32,
    pub h2_max_resets: u32,
    pub h2_idle_timeout: Duration,
}

// === impl Limits ===

impl Limits {
    /// These, and where they say nothing, `all`.
    pub fn over(self, all: Self) -> Self {
        Self {
            max_connections: self.max_connections.or(all.max_connections),
            max_in_flight: self.max_in_flight.or(all.max_in_flight),
            max_header_bytes: self.max_header_bytes.or(all.max_header_bytes),
            max_headers: self.max_headers.or(all.max_headers),
            max_target_bytes: self.max_target_bytes.or(all.max_target_bytes),
            header_timeout: self.header_timeout.or(all.header_timeout),
            idle_timeout: self.idle_timeout.or(all.idle_timeout),
            handshake_timeout: self.handshake_timeout.or(all.handshake_timeout),
            body_timeout: self.body_timeout.or(all.body_timeout),
            min_body_rate: self.min_body_rate.or(all.min_body_rate),
            write_timeout: self.write_timeout.or(all.write_timeout),
            h2_max_streams: self.h2_max_streams.or(all.h2_max_streams),
            h2_max_resets: self.h2_max_resets.or(all.h2_max_resets),
            h2_idle_timeout: self.h2_idle_timeout.or(all.h2_idle_timeout),
        }
    }

    /// With the defaults.
    pub fn bounds(self) -> Bounds {
        let size = |size: Option<Size>, default: usize| {
            size.map_or(default, |size| usize::try_from(size.0).unwrap_or(usize::MAX))
        };
        let span = |span: Option<Span>, seconds| span.unwrap_or_else(|| Span::secs(seconds)).0;
        Bounds {
            max_connections: self.max_connections,
            max_in_flight: self.max_in_flight,
            max_header: size(self.max_header_bytes, 64 * 1024),
            max_headers: self.max_headers.map_or(100, |most| most as usize),
            max_target: size(self.max_target_bytes, 8 * 1024),
            header_timeout: span(self.header_timeout, 10),
            idle_timeout: span(self.idle_timeout, 75),
            handshake_timeout: span(self.handshake_timeout, 10),
            body_timeout: span(self.body_timeout, 60),
            min_body_rate: self.min_body_rate.unwrap_or(240),
            write_timeout: span(self.write_timeout, 60),
            h2_max_streams: self.h2_max_streams.unwrap_or(100),
            h2_max_resets: self.h2_max_resets.unwrap_or(250),
            h2_idle_timeout: span(self.h2_idle_timeout, 300),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listeners_own_key_wins_then_the_tops_then_the_default() {
        let own = Limits { max_headers: Some(7), ..Limits::default() };
        let top = Limits { max_headers: Some(9), idle_timeout: Some(Span::secs(3)), ..Limits::default() };
        let bounds = own.over(top).bounds();
        assert_eq!((bounds.max_headers, bounds.idle_timeout.as_secs()), (7, 3));
        assert_eq!((bounds.max_header, bounds.max_connections), (65_536, None));
    }
}
