//! The request path: Pingora's `ProxyHttp`, phase by phase, as a table of contents.
//!
//! | phase | file | what happens |
//! |---|---|---|
//! | a connection opens | [`door`] | HTTP/1.1 or h2c |
//! | an HTTP/1 request comes in | [`http1`] | where it ends, whether it is one, all deadlines of the client's |
//! | meanwhile | [`tap`] | what the phases and the connection below tell each other |
//! | HTTP/2 | `http2` | our own accept loop and sessions: deadlines, floods, memory |
//! | it is a TLS one | `secure` | the handshake; who the client is |
//! | either is one too many | `limits` | 503 and `retry-after`, before anything is spent on it |
//! | `request_filter` | [`accept`] | snapshot, validity, route, filters, variant; redirects and fixed answers end here |
//! | `upstream_peer`, `fail_to_connect` | [`connect`] | pick an endpoint; on failure another |
//! | these and `response_filter` | [`retry`] | whether there is another try; places in the cluster's counts |
//! | `request_body_filter` | [`connect`] | the time of a large upload's answer begins |
//! | `upstream_request_filter` | [`forward`] | host, path, `x-forwarded-*`, header edits |
//! | both of these | [`mirror`] | a copy for another cluster, if the route asks for it |
//! | `response_filter`, body filter | [`respond`] | hop-by-hop out, header edits, the deadline |
//! | these, the trailers, and `fail_to_proxy` | `grpc` | deadlines, outcomes and errors of gRPC calls; gRPC-Web |
//! | `fail_to_proxy` | [`error`] | status and flag of what went wrong |
//! | `logging` | [`finish`] | metrics, access log |
//! | those of an upgrade | `tunnel` | waits for the request before the 101 is read; idle time |
//! | of each try | `outcome` | what became of it, for passive detection |
//!
//! The phases are Pingora's (see `pingora_proxy::ProxyHttp`); only as few of its async hooks are
//! used as needed, since each costs an allocation a request. What crosses phases is in
//! [`ctx::RequestCtx`], and nowhere else.

pub mod accept;
mod announced;
pub mod authority;
pub mod connect;
pub mod ctx;
pub mod door;
pub mod error;
mod failover;
pub mod finish;
pub mod forward;
mod grpc;
mod hop;
pub(crate) mod http1;
mod http2;
mod limits;
mod linger;
pub(crate) mod link;
mod lost;
#[doc(hidden)]
pub mod measured;
mod metered;
mod mirror;
mod outcome;
pub mod respond;
mod retry;
mod secure;
pub mod tap;
mod tcp;
mod tunnel;
mod variant;

use std::net::SocketAddr;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::HeaderMap;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::modules::http::HttpModules;
use pingora::protocols::Digest;
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, Result};
use pingora_proxy::{FailToProxy, ProxyHttp, ProxyWarnLogContext, Session};
use prometheus::IntGauge;

use crate::config::Boot;
use crate::config::boot::Bounds;
use crate::control::ready::Ready;
use crate::observe::metrics::{Counter, Downstream, Metrics};
use crate::snapshot::Cell;
use crate::tls::Terminator;

use self::ctx::RequestCtx;
use self::limits::Limits;

/// The proxy of all listeners of a process. A clone is another handle on the same.
#[derive(Clone, Debug)]
pub struct Proxy {
    pub(crate) cell: Arc<Cell>,
    pub(crate) ready: Arc<Ready>,
    pub(crate) listeners: Arc<[Listener]>,
    /// Where the listeners listen, in their order.
    addresses: Arc<[SocketAddr]>,
    /// True: nobody is let in any more, and connections end as they answer.
    leaving: Arc<AtomicBool>,
    /// Open connections from clients, on all listeners.
    pub(crate) connections: Arc<AtomicUsize>,
}

/// What the request path knows of a listener. Its index is its place in the config.
#[derive(Debug)]
pub struct Listener {
    pub(crate) name: String,
    address: SocketAddr,
    /// Connections that were taken from the kernel, also those that are turned away at once.
    accepted: AtomicU64,
    in_flight: IntGauge,
    pub(crate) limits: Limits,
    pub(crate) bounds: Bounds,
    /// Who must begin with a PROXY header.
    pub(crate) proxy_protocol: Option<crate::config::boot::ProxyProtocol>,
    /// Whether it passes connections on as bytes.
    pub(crate) tcp: bool,
    pub(crate) downstream: Arc<Downstream>,
    pub(crate) http2: http2::Counters,
    /// Whether TRACE is passed on.
    pub(crate) allow_trace: bool,
    /// Ends TLS.
    pub(crate) tls: Option<Arc<Terminator>>,
    /// Requests that were refused before routing, by reason.
    pub(crate) invalid: Invalid,
    /// Connections that ended since the client was too slow.
    pub(crate) late: Late,
}

/// Counters of deadlines that passed, named as the keys of their limits.
#[derive(Debug)]
pub(crate) struct Late {
    pub(crate) idle: Counter,
    pub(crate) header: Counter,
    pub(crate) body: Counter,
    pub(crate) rate: Counter,
    pub(crate) write: Counter,
}

/// Counters of requests that are not valid.
#[derive(Debug)]
pub(crate) struct Invalid {
    /// A line that is none, or holds what it must not: 400.
    pub(crate) malformed: Counter,
    /// Host missing, repeated or not a host: 400.
    pub(crate) host: Counter,
    /// A target that is not a path: 400.
    pub(crate) target: Counter,
    /// CONNECT, TRACE: 405; too long: 501; none: 400.
    pub(crate) method: Counter,
    /// Neither HTTP/1.1 nor HTTP/1.0: 505.
    pub(crate) version: Counter,
    /// Where the body ends can't be known for certain: 400, 501.
    pub(crate) framing: Counter,
    /// More header than is taken: 414, 431.
    pub(crate) large: Counter,
    /// A body that breaks its framing: 400.
    pub(crate) body: Counter,
    /// Header or body were not there in time: 408.
    pub(crate) timeout: Counter,
}

// === impl Listener ===

impl Listener {
    /// Resolves the metrics of a listener.
    pub fn new(
        boot: &Boot,
        config: &crate::config::boot::Listener,
        tls: Option<Arc<Terminator>>,
        metrics: &Metrics,
    ) -> Self {
        let name = config.name.to_string();
        let bounds = boot.bounds_of(config);
        let limits = Limits::new(&bounds, &name, metrics);
        let reason = |reason| metrics.invalid(&name, reason);
        let invalid = Invalid {
            malformed: reason("malformed"),
            host: reason("host"),
            target: reason("target"),
            method: reason("method"),
            version: reason("version"),
            framing: reason("framing"),
            large: reason("large"),
            body: reason("body"),
            timeout: reason("timeout"),
        };
        let late = |limit| metrics.late(&name, limit);
        let late = Late {
            idle: late("idle_timeout"),
            header: late("header_timeout"),
            body: late("body_timeout"),
            rate: late("min_body_rate"),
            write: late("write_timeout"),
        };
        Self {
            in_flight: metrics.in_flight(&name),
            limits,
            bounds,
            http2: http2::Counters::new(&name, metrics),
            invalid,
            late,
            address: config.address,
            accepted: AtomicU64::new(0),
            allow_trace: config.allow_trace,
            proxy_protocol: config.proxy_protocol.clone(),
            tcp: config.tcp.is_some(),
            downstream: Arc::new(metrics.downstream(&name)),
            tls,
            name,
        }
    }

    fn in_flight(&self) -> i64 {
        if self.tcp { self.downstream.active.get() } else { self.in_flight.get() }
    }
}

/// Whether a connection to `local` came through a socket with this address.
fn takes(address: SocketAddr, local: SocketAddr) -> bool {
    address.port() == local.port()
        && (address.ip().is_unspecified() || address.ip() == local.ip().to_canonical())
}

// === impl Proxy ===

impl Proxy {
    /// A proxy that serves what `cell` holds.
    pub fn new(cell: Arc<Cell>, ready: Arc<Ready>, listeners: Vec<Listener>) -> Self {
        let addresses = listeners.iter().map(|listener| listener.address).collect();
        let (listeners, leaving, connections) = (listeners.into(), Arc::default(), Arc::default());
        Self { cell, ready, listeners, addresses, leaving, connections }
    }

    /// The same, for one term of accepting: where its sockets are bound, and what turns true when it
    /// is over.
    #[must_use]
    pub fn term(&self, addresses: Arc<[SocketAddr]>, leaving: Arc<AtomicBool>) -> Self {
        Self { addresses, leaving, ..self.clone() }
    }

    /// Whether connections are to end as they answer.
    pub(crate) fn leaving(&self) -> bool {
        self.leaving.load(Relaxed) || self.ready.draining()
    }

    /// Requests in flight and connections that are passed through, on all listeners.
    pub fn in_flight(&self) -> i64 {
        self.listeners.iter().map(Listener::in_flight).sum()
    }

    /// The listeners with their addresses, and how many connections each has taken.
    pub fn accepted(&self) -> impl Iterator<Item = (&str, SocketAddr, u64)> {
        self.listeners.iter().map(|l| (l.name.as_str(), l.address, l.accepted.load(Relaxed)))
    }

    /// Open connections from clients, on all listeners.
    pub fn connections(&self) -> usize {
        self.connections.load(Relaxed)
    }

    /// The index of the listener that a connection to `local` came through.
    pub(crate) fn listener(&self, local: Option<SocketAddr>) -> usize {
        let found = local.and_then(|local| self.addresses.iter().position(|of| takes(*of, local)));
        found.unwrap_or_default()
    }
}

#[async_trait]
impl ProxyHttp for Proxy {
    type CTX = RequestCtx;

    fn new_ctx(&self) -> RequestCtx {
        RequestCtx::new(link::current())
    }

    /// No module: the default adds a compression module to every request, in use or not.
    fn init_downstream_modules(&self, _modules: &mut HttpModules) {}

    async fn request_filter(&self, session: &mut Session, ctx: &mut RequestCtx) -> Result<bool> {
        self.accept(session, ctx).await
    }

    async fn upstream_peer(&self, session: &mut Session, ctx: &mut RequestCtx) -> Result<Box<HttpPeer>> {
        connect::peer(session, ctx).await
    }

    fn fail_to_connect(
        &self,
        session: &mut Session,
        _peer: &HttpPeer,
        ctx: &mut RequestCtx,
        error: Box<Error>,
    ) -> Box<Error> {
        connect::failed(session, ctx, error)
    }

    async fn connected_to_upstream(
        &self,
        _session: &mut Session,
        reused: bool,
        _peer: &HttpPeer,
        _fd: RawFd,
        digest: Option<&Digest>,
        ctx: &mut RequestCtx,
    ) -> Result<()> {
        if let Some(cluster) = ctx.cluster().filter(|_| !reused) {
            cluster.metrics.upstream.connections.inc();
        }
        connect::connected(digest)
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        request: &mut RequestHeader,
        ctx: &mut RequestCtx,
    ) -> Result<()> {
        forward::request(request, session.req_header().version, ctx)?;
        mirror::header(session, request, ctx);
        Ok(())
    }

    async fn request_body_filter(
        &self,
        session: &mut Session,
        body: &mut Option<Bytes>,
        end: bool,
        ctx: &mut RequestCtx,
    ) -> Result<()> {
        mirror::body(session, body.as_ref(), end, ctx);
        if end {
            // HTTP/2 may end a body with an empty piece. Pingora would write that as a chunk, which ends
            // the body, and end it once more: five bytes of what the endpoint takes for a next request.
            *body = body.take().filter(|piece| !piece.is_empty());
            tunnel::asked(ctx);
            connect::uploaded(session, ctx);
        }
        Ok(())
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        ctx: &mut RequestCtx,
    ) -> Result<()> {
        // Again: the process may have begun to drain since the request came.
        self.settle_keepalive(session);
        respond::header(session, response, ctx)
    }

    fn upstream_response_body_filter(
        &self,
        session: &mut Session,
        _body: &mut Option<Bytes>,
        end: bool,
        ctx: &mut RequestCtx,
    ) -> Result<Option<Duration>> {
        respond::body(session, end, ctx)
    }

    fn upstream_response_trailer_filter(
        &self,
        _session: &mut Session,
        trailers: &mut HeaderMap,
        ctx: &mut RequestCtx,
    ) -> Result<()> {
        grpc::trailers(trailers, ctx);
        Ok(())
    }

    async fn response_trailer_filter(
        &self,
        _session: &mut Session,
        trailers: &mut HeaderMap,
        ctx: &mut RequestCtx,
    ) -> Result<Option<Bytes>> {
        grpc::trailers_as_body(trailers, ctx)
    }

    fn error_while_proxy(
        &self,
        _peer: &HttpPeer,
        session: &mut Session,
        error: Box<Error>,
        ctx: &mut RequestCtx,
        reused: bool,
    ) -> Box<Error> {
        connect::broke(session, ctx, error, reused)
    }

    async fn fail_to_proxy(&self, session: &mut Session, error: &Error, ctx: &mut RequestCtx) -> FailToProxy {
        error::answer(session, error, ctx).await
    }

    async fn logging(&self, session: &mut Session, _error: Option<&Error>, ctx: &mut RequestCtx) {
        self.finish(session, ctx);
    }

    /// Errors are in the access log with their flag; a line each would let clients flood the log.
    fn suppress_error_log(&self, _session: &Session, _ctx: &RequestCtx, _error: &Error) -> bool {
        true
    }

    fn suppress_proxy_warn_log(
        &self,
        _session: &Session,
        _ctx: &RequestCtx,
        _error: &Error,
        _context: ProxyWarnLogContext,
    ) -> bool {
        true
    }
}
