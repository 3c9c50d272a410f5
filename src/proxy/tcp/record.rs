//! What is told of a passed-through connection when it is over: one line of the access log, in the
//! fields of requests as far as they make sense. There is no status, so it is 0; the host is the name
//! that a TLS client asked for.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use super::course::Astray;
use crate::cluster::Cluster;
use crate::config::Name;
use crate::observe::Flag;
use crate::observe::access;
use crate::observe::metrics::Downstream;
use crate::proxy::ctx::now;
use crate::proxy::finish::date;
use crate::proxy::link::Link;
use crate::snapshot::Snapshot;

/// What is known of a connection.
#[derive(Debug)]
pub(in crate::proxy) struct Record {
    start: Instant,
    /// The server name that was asked for.
    pub(super) name: Option<Box<str>>,
    pub(super) cluster: Option<Arc<Cluster>>,
    pub(super) variant: Option<Name>,
    pub(super) endpoint: Option<SocketAddr>,
    pub(super) attempts: u32,
    pub(super) flag: Option<Flag>,
    /// From the client.
    pub(super) bytes_in: u64,
    /// To the client.
    pub(super) bytes_out: u64,
    /// Seconds until the endpoint's first byte.
    first: Option<f64>,
    /// Nothing has happened.
    silent: bool,
}

// === impl Record ===

impl Record {
    pub(super) fn new() -> Self {
        Self {
            start: now(),
            name: None,
            cluster: None,
            variant: None,
            endpoint: None,
            attempts: 0,
            flag: None,
            bytes_in: 0,
            bytes_out: 0,
            first: None,
            silent: false,
        }
    }

    /// The endpoint's first byte has come.
    pub(super) fn answered(&mut self) {
        self.first = Some(self.seconds());
    }

    /// It goes nowhere.
    pub(super) fn astray(&mut self, why: Astray, metrics: &Downstream) {
        let (reason, flag) = match why {
            Astray::Nothing => {
                self.silent = true;
                return;
            }
            Astray::UnknownName => (0, Flag::NR),
            Astray::NoName => (1, Flag::NR),
            Astray::Unreadable(_) => (2, Flag::DPE),
            Astray::Late => (3, Flag::DPE),
            Astray::Closed => (4, Flag::DC),
        };
        metrics.unrouted[reason].inc();
        self.flag = Some(flag);
    }

    /// Writes the line. `snapshot`: the one that serves now, whose log it is.
    pub(in crate::proxy) fn write(&self, snapshot: &Snapshot, listener: &str, link: &Link) {
        if self.silent || !snapshot.access_log.enabled() {
            return;
        }
        let seconds = self.seconds();
        snapshot.access_log.write(&access::Record {
            protocol: "TCP",
            client: link.ip(),
            host: self.name.as_deref().unwrap_or_default().as_bytes(),
            flag: self.flag,
            cluster: self.cluster.as_ref().map_or("", |cluster| Name::as_str(&cluster.name)),
            variant: self.variant.as_ref().map_or("", Name::as_str),
            endpoint: self.endpoint,
            attempts: self.attempts,
            bytes_in: self.bytes_in,
            bytes_out: self.bytes_out,
            duration_ms: seconds * 1e3,
            ttfb_ms: self.first.map(|seconds| seconds * 1e3),
            ..access::Record::new(date(seconds), listener, snapshot.generation)
        });
    }

    fn seconds(&self) -> f64 {
        now().saturating_duration_since(self.start).as_secs_f64()
    }
}
