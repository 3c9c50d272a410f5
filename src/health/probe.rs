//! Probes: each kind is a `HealthCheck` of Pingora, over Pingora's connectors.
//!
//! Pingora's own `HttpHealthCheck` is not used: it holds one fixed Host for all backends, cannot
//! see the body, bounds each read but not the whole, and its failures do not say what was wrong.
//! The trait is the same, so either can stand in for the other. All probes share one set of
//! connectors, apart from those of requests: a probe that takes a kept connection never takes it
//! from a request, and what it finds says nothing about the requests' pool.
//!
//! A probe is not bounded in time here; [`service`](crate::health::service) drops it when its time
//! is up. What failed is said in words: [`failed`] makes such an error, [`why`] reads any.

pub mod grpc;
pub mod http;
mod look;
pub mod tcp;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use pingora::connectors::ConnectorOptions;
use pingora::connectors::TransportConnector;
use pingora::connectors::http::Connector as HttpConnector;
use pingora::protocols::tls::SslDigest;
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorType, Result};
use pingora_load_balancing::health_check::HealthCheck;
use pingora_load_balancing::{Backend, Extensions};

use crate::cluster::{Transport, announce, peer};
use crate::config::live::{self, Protocol};

/// Who the probes say they are.
pub const USER_AGENT: &str = "tidegate-health";

/// Connections that are kept for the next probe, over all endpoints.
const KEPT: usize = 1024;

/// Longer than most intervals, and shorter than the keep-alive of common servers.
const IDLE: Duration = Duration::from_secs(60);

/// Marks errors whose context says what was wrong with the answer.
const WRONG: ErrorType = ErrorType::Custom("wrong answer");

/// A probe of any kind.
pub type Probe = Arc<dyn HealthCheck + Send + Sync>;

/// The connections of all probes.
pub struct Connectors {
    http: HttpConnector,
    tcp: TransportConnector,
}

// === impl Connectors ===

impl std::fmt::Debug for Connectors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Connectors")
    }
}

impl Default for Connectors {
    fn default() -> Self {
        let options = ConnectorOptions::new(KEPT);
        Self { http: HttpConnector::new(Some(options)), tcp: TransportConnector::new(None) }
    }
}

/// The probe that a config asks for, to be sent this way.
pub fn probe(check: &Arc<live::HealthCheck>, way: &Transport, connectors: &Arc<Connectors>) -> Probe {
    let (check, way, connectors) = (check.clone(), way.clone(), connectors.clone());
    if check.tcp.is_some() {
        Arc::new(tcp::Tcp::new(check, way, connectors))
    } else if check.grpc.is_some() {
        Arc::new(grpc::Grpc::new(check, way, connectors))
    } else {
        Arc::new(http::Http::new(check, way, connectors))
    }
}

/// The way that probes go: that of the cluster's requests, as far as the check does not say otherwise.
pub fn way(check: &live::HealthCheck, of_cluster: &Transport) -> Transport {
    let said = check.http.as_ref().and_then(|http| http.protocol);
    let protocol = match (&check.grpc, &check.tcp) {
        (Some(_), _) => Protocol::Http2,
        // Whatever is spoken is in the check.
        (None, Some(_)) => Protocol::Http1,
        (None, None) => said.unwrap_or_else(|| of_cluster.protocol()),
    };
    of_cluster.with(protocol, check.tls.unwrap_or_else(|| of_cluster.secure()))
}

/// The address that is probed, as Pingora wants it.
pub fn target(check: &live::HealthCheck, endpoint: SocketAddr) -> Backend {
    let address = SocketAddr::new(endpoint.ip(), check.port.unwrap_or_else(|| endpoint.port()));
    Backend { addr: address.into(), weight: 1, ext: Extensions::new() }
}

/// A probe that failed for what the answer was.
pub fn failed(why: impl Into<String>) -> Box<Error> {
    Error::explain(WRONG, why.into())
}

/// What went wrong, in words.
pub fn why(error: &Error) -> String {
    let context = || error.context.as_ref().map_or("", |context| context.as_str()).to_owned();
    match error.root_etype() {
        kind if *kind == WRONG => context(),
        ErrorType::ConnectRefused => "connection refused".into(),
        ErrorType::ConnectNoRoute => "no route to it".into(),
        ErrorType::ConnectTimedout => "the connection did not open in time".into(),
        ErrorType::ConnectionClosed => "the connection was closed before the answer".into(),
        ErrorType::InvalidHTTPHeader | ErrorType::H1Error => format!("not an HTTP answer: {}", cause(error)),
        ErrorType::H2Error | ErrorType::InvalidH2 => format!("not an HTTP/2 answer: {}", cause(error)),
        // Below it is but the local address.
        ErrorType::TLSHandshakeFailure | ErrorType::InvalidCert if !context().is_empty() => context(),
        _ => cause(error),
    }
}

/// The innermost cause that has words of its own.
fn cause(error: &Error) -> String {
    let io = error.root_cause();
    if let Some(io) = io.downcast_ref::<std::io::Error>() {
        return match io.kind() {
            std::io::ErrorKind::ConnectionReset => "connection reset".into(),
            std::io::ErrorKind::UnexpectedEof | std::io::ErrorKind::BrokenPipe => {
                "the connection was closed before the answer".into()
            }
            _ => io.to_string(),
        };
    }
    match io.downcast_ref::<Error>() {
        Some(last) => match &last.context {
            Some(context) => context.as_str().to_owned(),
            None => last.reason_str().to_owned(),
        },
        None => io.to_string(),
    }
}

/// A peer for this target. `host`: who is asked for there, if not the address.
fn peer(target: &Backend, check: &live::HealthCheck, way: &Transport, host: Option<&str>) -> HttpPeer {
    // Always an IP address: see `target`.
    let address = target.addr.as_inet().copied().unwrap_or_else(|| SocketAddr::from(([0, 0, 0, 0], 1)));
    let mut peer = way.peer(address, check.timeout.0);
    if let Some(host) = host
        && way.by_host()
    {
        way.name(&mut peer, host);
    }
    peer.options.idle_timeout = Some(IDLE);
    // Who wants a new connection each time must not find one that another check has kept.
    peer.group_key ^= u64::from(check.reuse_connection);
    if !check.reuse_connection {
        // Of HTTP/2 nor one that has room for another stream.
        peer.options.max_h2_streams = 1;
    }
    if let Some(version) = check.announce {
        announce::local(&mut peer, version);
    }
    peer
}

/// Refuses a connection that requests would not be sent on.
fn usable(digest: Option<&SslDigest>) -> Result<()> {
    match peer::refused(digest) {
        None => Ok(()),
        Some(why) => Err(failed(why)),
    }
}

/// For whoever uses a probe as Pingora would; [`verdict`](crate::health::verdict) decides here.
fn threshold(check: &live::HealthCheck, success: bool) -> usize {
    let rows = if success { check.healthy_threshold } else { check.unhealthy_threshold };
    usize::try_from(rows).unwrap_or(usize::MAX)
}
