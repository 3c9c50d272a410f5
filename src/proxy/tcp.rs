//! Connections that are passed through as bytes: `tcp` listeners.
//!
//! 1. [`course`]: to which cluster, by the listener's config, the name that a TLS client asks for, or
//!    the client's address.
//! 2. [`connect`]: an endpoint of it, by the rules of requests: balancing, failover, circuit breaker,
//!    and another endpoint where one can't be reached. Nothing was sent, so that repeats nothing.
//! 3. [`relay`]: bytes in both directions.
//! 4. [`record`]: counted and logged when it is over.
//!
//! A connection reads one snapshot, as a request does, until it is connected. Then it lets go of it: it
//! may live for days, and a snapshot of a thousand clusters must not live with it. What it keeps is
//! its endpoint's lease and its cluster. So a drain lets it be, and so does a reload; on SIGTERM it
//! lives until the grace period is over.
//!
//! The bad side: an endpoint that is taken out for its failures keeps the connections it has, and a
//! client without a byte to say holds a place until the idle timeout.

mod connect;
mod course;
mod record;
mod relay;

use std::sync::Arc;

use pingora::protocols::Stream;

use self::connect::Opened;
use self::relay::{Ending, Watch, relay};
use crate::cluster::Cluster;
use crate::endpoint::Lease;
use crate::observe::Flag;
use crate::proxy::link::Link;
use crate::proxy::{Listener, Proxy};
use crate::snapshot::Snapshot;

use self::record::Record;

/// Passes a connection through, and logs it when it is over: in the log of the snapshot that serves
/// then.
pub(super) async fn pass(proxy: &Proxy, stream: Stream, link: &Link) {
    let listener = &proxy.listeners[link.listener];
    let record = serve(proxy.cell.load(), listener, link, stream).await;
    record.write(&proxy.cell.load(), &listener.name, link);
}

/// What became of it.
async fn serve(snapshot: Arc<Snapshot>, listener: &Listener, link: &Link, mut client: Stream) -> Record {
    let mut record = Record::new();
    let Some(tcp) = snapshot.table.tcp(link.listener) else { return record };
    let idle = tcp.idle_timeout;
    let limit = listener.bounds.handshake_timeout;
    let mut rng = fastrand::Rng::new();
    let (course, first) = match course::find(tcp, &mut client, link, limit, &mut record, &mut rng).await {
        Ok(found) => found,
        Err(astray) => {
            record.astray(astray, &listener.downstream);
            return record;
        }
    };
    let opened = connect::open(&snapshot, course, link, &mut record, &mut rng).await;
    drop(snapshot);
    let Some(Opened { mut stream, lease, cluster, permit }) = opened else { return record };
    let mut traffic = Traffic { cluster, lease, record: &mut record };
    let ending = relay(&mut client, &mut stream, first, idle, &mut traffic).await;
    traffic.end(ending);
    drop(permit);
    record
}

/// Counts what goes through, and says what the endpoint makes of it.
struct Traffic<'a> {
    cluster: Arc<Cluster>,
    lease: Lease,
    record: &'a mut Record,
}

// === impl Traffic ===

impl Traffic<'_> {
    /// A connection that breaks before a byte came from the endpoint counts as one that could not be
    /// opened. One that breaks later says nothing: servers do end connections by a reset.
    fn end(mut self, ending: Ending) {
        self.record.flag = match ending {
            Ending::Closed => None,
            Ending::Client => Some(Flag::DC),
            Ending::Endpoint => Some(Flag::UC),
            Ending::Idle => Some(Flag::UT),
        };
        let Some(outlier) = &self.cluster.outlier else { return };
        match ending {
            Ending::Endpoint => {
                outlier.failed(&self.cluster.endpoints, &mut self.lease, crate::endpoint::Failure::Broken);
            }
            Ending::Closed => outlier.succeeded(&mut self.lease),
            Ending::Client | Ending::Idle => {}
        }
    }
}

impl Watch for Traffic<'_> {
    fn sent(&mut self, bytes: usize) {
        self.record.bytes_in += bytes as u64;
        self.cluster.metrics.upstream.sent.inc_by(bytes as u64);
    }

    fn received(&mut self, bytes: usize) {
        self.record.bytes_out += bytes as u64;
        self.cluster.metrics.upstream.received.inc_by(bytes as u64);
    }

    fn answered(&mut self) {
        self.record.answered();
        if let Some(outlier) = &self.cluster.outlier {
            outlier.succeeded(&mut self.lease);
        }
    }
}
