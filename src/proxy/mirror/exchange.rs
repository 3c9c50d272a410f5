//! One copy on its way: sent, its answer read and thrown away, its end counted. Never tried again.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::HOST;
use pingora::connectors::http::Connector;
use pingora::http::RequestHeader;
use pingora::protocols::http::client::HttpSession;
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorType, OkOrErr, Result};
use tokio::time::timeout;
use tracing::debug;

use crate::cluster::peer::{for_http2, refused};
use crate::cluster::{Cluster, POOL_IDLE};
use crate::endpoint::Lease;
use crate::observe::metrics::MirrorMetrics;
use crate::observe::metrics::mirror::{Flight, Lost};
use crate::proxy::ctx::now;
use crate::snapshot::mirror::Connections;

/// How much of an answer is read so that its connection can be used again, in bytes. To open
/// another costs less than to read more.
const ANSWER: usize = 1024 * 1024;

/// Everything that the task of a copy holds.
pub(super) struct Exchange {
    pub(super) connections: Arc<Connections>,
    pub(super) cluster: Arc<Cluster>,
    /// Its index in the cluster.
    pub(super) endpoint: usize,
    pub(super) lease: Lease,
    pub(super) head: Box<RequestHeader>,
    pub(super) body: Bytes,
    pub(super) limit: Duration,
    pub(super) metrics: MirrorMetrics,
    pub(super) flight: Flight,
}

// === impl Exchange ===

impl Exchange {
    pub(super) async fn run(self) {
        let Self { connections, cluster, endpoint, lease, head, body, limit, metrics, flight } = self;
        let start = now();
        let peer = peer(&cluster, endpoint, &head);
        let asked = timeout(limit, ask(connections.get(), &peer, head, body, &lease, &cluster)).await;
        match asked {
            Ok(Ok(status)) => {
                metrics.answered(status, now().saturating_duration_since(start).as_secs_f64());
            }
            Ok(Err(error)) => {
                debug!(cluster = %cluster.name, %error, "a mirrored request failed");
                metrics.lost(if timed_out(&error) { Lost::Timeout } else { Lost::Failed });
            }
            Err(_) => metrics.lost(Lost::Timeout),
        }
        // Held up to here.
        drop((lease, flight));
    }
}

/// The endpoint's peer; over TLS, by the name that the copy asks for.
fn peer(cluster: &Cluster, endpoint: usize, head: &RequestHeader) -> HttpPeer {
    let mut peer = cluster.peer(endpoint);
    if cluster.transport.by_host()
        && let Some(host) = head.headers.get(HOST).and_then(|host| host.to_str().ok())
    {
        cluster.transport.name(&mut peer, host);
    }
    peer
}

/// The status of the answer, once it is read.
async fn ask(
    connector: &Connector,
    peer: &HttpPeer,
    mut head: Box<RequestHeader>,
    body: Bytes,
    lease: &Lease,
    cluster: &Cluster,
) -> Result<u16> {
    let connected = connector.get_http_session(peer).await;
    let (mut session, _reused) = connected.inspect_err(|_| {
        lease.state().connect_failed();
        cluster.metrics.upstream.failures.inc();
    })?;
    let tls = session.digest().and_then(|digest| digest.ssl_digest.as_deref());
    if let Some(why) = refused(tls) {
        return Err(Error::explain(ErrorType::InvalidCert, why));
    }
    if matches!(session, HttpSession::H2(_)) {
        for_http2(&mut head, cluster.transport.secure()).or_err(ErrorType::InvalidHTTPHeader, "no host")?;
    }
    session.write_request_header(head).await?;
    if !body.is_empty() {
        session.write_request_body(body, true).await?;
    }
    session.finish_request_body().await?;
    let status = status(&mut session).await?;
    // Nobody asked for a switch of protocols: what follows it is no answer.
    if status != 101 && read(&mut session).await? {
        connector.release_http_session(session, peer, Some(POOL_IDLE)).await;
    } else {
        session.shutdown().await;
    }
    Ok(status)
}

/// The status of the final answer; interim ones are passed over.
async fn status(session: &mut HttpSession) -> Result<u16> {
    loop {
        session.read_response_header().await?;
        let header = session.response_header().or_err(ErrorType::InternalError, "no header")?;
        match header.status.as_u16() {
            status @ 100..200 if status != 101 => {}
            status => return Ok(status),
        }
    }
}

/// Reads the answer's body. False: there is more than is worth reading.
async fn read(session: &mut HttpSession) -> Result<bool> {
    let mut length = 0;
    while let Some(bytes) = session.read_response_body().await? {
        length += bytes.len();
        if length > ANSWER {
            return Ok(false);
        }
    }
    Ok(true)
}

fn timed_out(error: &Error) -> bool {
    matches!(error.etype(), ErrorType::ConnectTimedout | ErrorType::ReadTimedout | ErrorType::WriteTimedout)
}
