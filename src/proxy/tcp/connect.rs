//! An endpoint for a connection that is passed through.
//!
//! Who is asked is decided as for requests: [`Seek`] picks in the cluster or in those that stand in for
//! it; a split turns to its next variant where the one that is due has nobody available. An endpoint
//! that can't be reached is not asked twice, and up to [`CONNECT_TRIES`] are asked.
//!
//! A connection has a place in its cluster's circuit breaker among the connections (requests of HTTP
//! count there too, as one each) and in that of its endpoint; `max_requests` and `max_retries` are
//! for HTTP alone.

use std::net::SocketAddr;
use std::sync::Arc;

use http::HeaderMap;
use pingora::protocols::l4::ext::set_tcp_keepalive;
use tokio::net::TcpStream;
use tracing::debug;

use super::Record;
use super::course::Course;
use crate::balance::Choice;
use crate::cluster::{Cluster, announce};
use crate::endpoint::{Failure, Lease, Permit};
use crate::observe::Flag;
use crate::observe::metrics::Bound;
use crate::proxy::connect::ROUNDS;
use crate::proxy::failover::{self, Seek};
use crate::proxy::link::Link;
use crate::proxy::outcome;
use crate::proxy_protocol::Header;
use crate::retry::CONNECT_TRIES;
use crate::snapshot::Snapshot;
use crate::snapshot::tcp::{Share, Shares};
use crate::split::Excluded;

/// A connection to an endpoint, with all that it holds.
pub(super) struct Opened {
    pub(super) stream: TcpStream,
    pub(super) lease: Lease,
    pub(super) cluster: Arc<Cluster>,
    pub(super) permit: Permit,
}

/// A connection in search of an endpoint.
struct Search<'a> {
    snapshot: &'a Snapshot,
    link: &'a Link,
    home: usize,
    split: Option<(&'a Shares, Share)>,
    excluded: Excluded,
    /// The cluster in use.
    current: usize,
    tried: Vec<SocketAddr>,
    /// Its place in a cluster's count.
    permit: Option<(usize, Permit)>,
}

/// Opens a connection. None: the record says why.
pub(super) async fn open(
    snapshot: &Snapshot,
    course: Course<'_>,
    link: &Link,
    record: &mut Record,
    rng: &mut fastrand::Rng,
) -> Option<Opened> {
    let Course { home, split } = course;
    let (excluded, current, tried) = (Excluded::default(), home, Vec::new());
    let mut search = Search { snapshot, link, home, split, excluded, current, tried, permit: None };
    let opened = search.open(record, rng).await;
    let cluster = &snapshot.clusters[search.current];
    record.cluster = Some(cluster.clone());
    if let Some((shares, share)) = search.split {
        shares.count(share);
        record.variant = Some(shares.name(share).clone());
    }
    if record.attempts > 0 {
        failover::count_served(snapshot, search.home, search.current);
    }
    let (stream, lease) = opened?;
    let (_, permit) = search.permit?;
    Some(Opened { stream, lease, cluster: cluster.clone(), permit })
}

// === impl Search ===

impl Search<'_> {
    async fn open(&mut self, record: &mut Record, rng: &mut fastrand::Rng) -> Option<(TcpStream, Lease)> {
        while record.attempts < CONNECT_TRIES {
            let Some((choice, lease)) = self.place(rng) else {
                // What the last try met says more than that nobody is left.
                let flag =
                    if self.cluster().full() { self.turned_away(Bound::EndpointRequests) } else { Flag::UH };
                record.flag = record.flag.or(Some(flag));
                return None;
            };
            if !self.admit() {
                record.flag = Some(self.turned_away(Bound::Connections));
                return None;
            }
            if choice.panic {
                self.cluster().metrics.panic.inc();
            }
            if let Some(opened) = self.connect(choice, lease, record).await {
                return Some(opened);
            }
        }
        None
    }

    async fn connect(
        &mut self,
        choice: Choice,
        mut lease: Lease,
        record: &mut Record,
    ) -> Option<(TcpStream, Lease)> {
        let cluster = self.cluster().clone();
        let address = cluster.endpoints[choice.index].member.address;
        record.attempts += 1;
        record.endpoint = Some(address);
        let client = Header::of(self.link.client, self.link.local);
        let first = cluster.config.proxy_protocol.map(|version| announce::header(version, &client));
        let opened =
            announce::open(address, Some(cluster.connect_timeout()), &first.unwrap_or_default()).await;
        match opened {
            Ok(stream) => {
                settle(&stream);
                record.flag = None;
                cluster.metrics.upstream.connections.inc();
                // Of a trial, this is the answer.
                outcome::answered_by(&cluster, &mut lease, 200);
                Some((stream, lease))
            }
            Err(error) => {
                debug!(cluster = %cluster.name, %address, %error, "a connection could not be opened");
                lease.state().connect_failed();
                cluster.metrics.upstream.failures.inc();
                if let Some(outlier) = &cluster.outlier {
                    outlier.failed(&cluster.endpoints, &mut lease, Failure::Connect);
                }
                record.flag = Some(Flag::UF);
                self.tried.push(address);
                None
            }
        }
    }

    fn cluster(&self) -> &Arc<Cluster> {
        &self.snapshot.clusters[self.current]
    }

    /// Takes a place among the cluster's connections, unless it has one.
    fn admit(&mut self) -> bool {
        if self.permit.as_ref().is_none_or(|(cluster, _)| *cluster != self.current) {
            let cluster = self.cluster();
            self.permit =
                cluster.pool.request(cluster.breaker.connections).map(|permit| (self.current, permit));
        }
        self.permit.is_some()
    }

    fn turned_away(&self, bound: Bound) -> Flag {
        self.cluster().metrics.rejected.inc(bound);
        Flag::UO
    }

    /// Picks an endpoint and takes a place of it: as in `connect::first`, one is only ours if the
    /// count says so after we are in it.
    fn place(&mut self, rng: &mut fastrand::Rng) -> Option<(Choice, Lease)> {
        for _ in 0..ROUNDS {
            let choice = self.pick(rng)?;
            let cluster = self.cluster();
            let lease = cluster.endpoints[choice.index].state.lease();
            if cluster.breaker.endpoint_requests.is_none_or(|most| lease.state().in_flight() <= most) {
                return Some((choice, lease));
            }
        }
        None
    }

    /// Picks in the cluster of the listener, or in those of its variants, by the rule of requests: see
    /// `proxy::variant`.
    fn pick(&mut self, rng: &mut fastrand::Rng) -> Option<Choice> {
        let choice = self.seek(rng);
        let serves = |choice: &Choice| !choice.none;
        if choice.as_ref().is_some_and(serves) || (choice.is_none() && self.cluster().full()) {
            return choice;
        }
        let mut last_resort = (self.split, self.home, self.current, choice);
        while self.shift(rng) {
            let choice = self.seek(rng);
            if choice.as_ref().is_some_and(serves) {
                return choice;
            }
            if last_resort.3.is_none() && choice.is_some() {
                last_resort = (self.split, self.home, self.current, choice);
            }
        }
        let (split, home, current, choice) = last_resort;
        (self.split, self.home, self.current) = (split, home, current);
        choice
    }

    fn seek(&mut self, rng: &mut fastrand::Rng) -> Option<Choice> {
        let (client, nothing) = (self.link.ip(), HeaderMap::new());
        let mut seek = Seek {
            home: self.home,
            current: Some(self.current),
            attempts: u32::try_from(self.tried.len()).unwrap_or(u32::MAX),
            tried: &self.tried,
            stale: false,
            key: |cluster: &Cluster| cluster.hash.key(&nothing, None, client),
        };
        let choice = seek.pick(self.snapshot, rng);
        self.current = seek.current.unwrap_or(self.home);
        choice
    }

    /// Turns to the next variant. False: there is none.
    fn shift(&mut self, rng: &mut fastrand::Rng) -> bool {
        let Some((shares, share)) = self.split else { return false };
        self.excluded.add(share.index);
        let Some(next) = shares.assign(self.link.ip(), self.excluded, rng) else { return false };
        self.split = Some((shares, next));
        (self.home, self.current) = (next.cluster, next.cluster);
        true
    }
}

/// Small pieces are sent at once; a host that is gone without a word is noticed.
fn settle(stream: &TcpStream) {
    let _ = stream.set_nodelay(true);
    let _ = set_tcp_keepalive(stream, &announce::keepalive());
}
