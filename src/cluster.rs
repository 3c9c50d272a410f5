//! A cluster as requests use it: endpoints, their balancer, and a prepared peer.
//!
//! Compiled once per change of its own config or members; every other snapshot shares it by `Arc`,
//! so that a change of one cluster among thousands costs one.

pub mod announce;
mod identity;
pub mod peer;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use pingora::protocols::l4::socket::SocketAddr::Inet;
use pingora::upstreams::peer::HttpPeer;

use crate::balance::hash::HashPolicy;
use crate::balance::slow_start;
use crate::balance::{Balancer, Choice, Locality, Mode};
use crate::config::Name;
use crate::config::digest::digest;
use crate::config::live::{self, Policy};
use crate::endpoint::{Endpoint, Member, Members, Pool, Reason, Roster};
use crate::observe::metrics::{ClusterMetrics, Metrics};
use crate::outlier::Outlier;
use crate::priority;

pub use self::peer::Transport;

/// How long a connection to an endpoint may take to open, a TLS handshake included, where the config
/// says nothing.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// How long an unused connection to an endpoint is kept. Below the keep-alive of common servers
/// (nginx 75 s, Go and Java none), above that of Node (5 s) and gunicorn (2 s), whose closing is
/// noticed by a probe before each use.
pub const POOL_IDLE: Duration = Duration::from_secs(60);

/// No endpoint's address.
const NOWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// A compiled cluster.
#[derive(Debug)]
pub struct Cluster {
    pub name: Name,
    /// What it was compiled from, to see whether it can be kept.
    pub config: Arc<live::Cluster>,
    /// Which question its members answer; see [`live::Cluster::fingerprint`].
    pub fingerprint: u64,
    /// None: no source has answered yet.
    pub members: Option<Members>,
    pub endpoints: Arc<[Endpoint]>,
    pub hash: HashPolicy,
    /// What is on its way to it.
    pub pool: Arc<Pool>,
    pub metrics: ClusterMetrics,
    /// Who is taken out for its errors, if anybody is.
    pub outlier: Option<Outlier>,
    /// A hash of members and balancing, for the snapshot's digest.
    pub digest: u64,
    /// How much it is asked for at once.
    pub breaker: Breaker,
    /// How its endpoints are spoken to.
    pub transport: Transport,
    balancer: Balancer,
    /// None: nobody is preferred, or there is nobody to prefer.
    locality: Option<Locality>,
    peers: Peers,
    /// How many endpoints there would be if all were available.
    listed: u32,
}

/// What connections to the endpoints are asked for with.
#[derive(Debug)]
enum Peers {
    /// They differ in the address only. A peer is about a kilobyte.
    Alike(Box<HttpPeer>),
    /// By endpoint: each has the name of its address, for TLS.
    Each(Box<[HttpPeer]>),
}

/// The limits of a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Breaker {
    /// Connections in use.
    pub connections: u32,
    /// Requests on their way, their pauses included.
    pub requests: u32,
    /// Tries after the first. None: the budget of the route.
    pub retries: Option<u32>,
    /// Requests on their way to one endpoint.
    pub endpoint_requests: Option<u32>,
}

// === impl Cluster ===

impl Cluster {
    /// Compiles a cluster. `hash` and `transport` were compiled from `config` before, since that can
    /// fail and this cannot.
    pub fn compile(
        name: &Name,
        config: &Arc<live::Cluster>,
        fingerprint: u64,
        (hash, transport): (HashPolicy, Transport),
        members: Option<Members>,
        roster: &mut Roster,
        metrics: &Metrics,
    ) -> Self {
        let listed = members.as_deref().unwrap_or_default();
        let probed = config.health_check.is_some();
        let slow = config.load_balancing.slow_start.is_some();
        let joining: Vec<bool> = listed.iter().map(|m| slow && roster.joins(name, m.address)).collect();
        let endpoint = |(member, joins): (&Member, bool)| {
            let state = roster.state(name, member.address);
            if joins {
                state.set_share(slow_start::LEAST);
            }
            Endpoint { member: member.clone(), state, probed }
        };
        let endpoints: Arc<[Endpoint]> = listed.iter().zip(joining).map(endpoint).collect();
        let pool = roster.pool(name);
        let outlier = config.outlier_detection.as_ref().map(|rules| Outlier {
            rules: rules.clone(),
            pool: pool.clone(),
            metrics: metrics.outlier(name.as_str(), Reason::ALL.map(Reason::as_str)),
        });
        let connect = config.connect_timeout.map_or(CONNECT_TIMEOUT, |span| span.0);
        let peer = |address: SocketAddr| {
            let mut peer = transport.peer(address, connect);
            if let Some(version) = config.proxy_protocol {
                // Each request names its client over this.
                announce::local(&mut peer, version);
            }
            peer
        };
        let peers = if transport.by_host() {
            Peers::Each(listed.iter().map(|m| peer(m.address)).collect())
        } else {
            Peers::Alike(Box::new(peer(NOWHERE)))
        };
        let breaker = Breaker::from(&config.circuit_breaker);
        let policy = config.load_balancing.policy;
        let balancer = |endpoints: Arc<[Endpoint]>| {
            Balancer::new(policy, endpoints).slow_start(slow).limited(breaker.endpoint_requests)
        };
        Self {
            name: name.clone(),
            config: config.clone(),
            fingerprint,
            hash,
            pool,
            metrics: metrics.cluster(name.as_str()),
            outlier,
            // No members and no answer yet are two things: the admin API tells them apart.
            digest: digest(&(name, config, &members, transport.key())),
            breaker,
            transport,
            balancer: balancer(endpoints.clone()),
            locality: config
                .load_balancing
                .locality
                .as_ref()
                .and_then(|here| Locality::new(&endpoints, |endpoint| near(here, endpoint), balancer)),
            peers,
            listed: listed.iter().map(|m| u32::from(m.weight > 0)).sum(),
            endpoints,
            members,
        }
    }

    /// Picks an endpoint that is not in `tried`. `key`: what the hash policy found in the request.
    pub fn pick(&self, key: Option<u64>, tried: &[SocketAddr], rng: &mut fastrand::Rng) -> Option<Choice> {
        self.pick_in(Mode::Usual, key, tried, rng)
    }

    /// As [`pick`](Self::pick), with a say in who may be used.
    pub fn pick_in(
        &self,
        mode: Mode,
        key: Option<u64>,
        tried: &[SocketAddr],
        rng: &mut fastrand::Rng,
    ) -> Option<Choice> {
        if let Some(locality) = &self.locality
            && let Some(choice) = locality.pick(tried, rng)
        {
            return Some(choice);
        }
        self.balancer.pick_in(mode, key, tried, rng)
    }

    /// How well it is, from 0 to 1: see [`priority`]. As far as is known: a large cluster is looked at
    /// in pieces, a piece with each question.
    pub fn score(&self, rng: &mut fastrand::Rng) -> f64 {
        let available = match &self.locality {
            Some(locality) => locality.available(rng),
            None => self.balancer.available(rng),
        };
        priority::score(available, self.listed)
    }

    /// The same by a look at everybody, for people.
    pub fn exact_score(&self) -> f64 {
        let available = self.endpoints.iter().map(|e| u32::from(e.available())).sum();
        priority::score(available, self.listed)
    }

    /// Whether requests with the same key belong together.
    pub fn keyed(&self) -> bool {
        matches!(self.config.load_balancing.policy, Policy::RingHash | Policy::Maglev)
    }

    /// Whether somebody who is available has no place left.
    pub fn crowded(&self) -> bool {
        self.balancer.crowded()
    }

    /// Whether a pick may have found nobody because endpoints have no place left.
    pub fn full(&self) -> bool {
        self.balancer.full()
    }

    /// As [`pick`](Self::pick), for people who ask: where a request with this key would go now.
    pub fn probe(&self, mode: Mode, key: Option<u64>) -> Option<Choice> {
        // A try of nobody makes it a second one, which takes no turn from the requests'.
        self.pick_in(mode, key, &[NOWHERE], &mut fastrand::Rng::with_seed(0))
    }

    /// How long a connection to an endpoint may take to open.
    pub fn connect_timeout(&self) -> Duration {
        self.config.connect_timeout.map_or(CONNECT_TIMEOUT, |span| span.0)
    }

    /// The peer of an endpoint, by its index.
    pub fn peer(&self, index: usize) -> HttpPeer {
        match &self.peers {
            Peers::Each(peers) => peers[index].clone(),
            Peers::Alike(peer) => {
                let mut peer = HttpPeer::clone(peer);
                peer._address = Inet(self.endpoints[index].member.address);
                peer
            }
        }
    }
}

// === impl Breaker ===

impl From<&live::CircuitBreaker> for Breaker {
    fn from(config: &live::CircuitBreaker) -> Self {
        let live::CircuitBreaker { max_connections, max_requests, max_retries, max_requests_per_endpoint } =
            config;
        Self {
            connections: *max_connections,
            requests: *max_requests,
            retries: *max_retries,
            endpoint_requests: *max_requests_per_endpoint,
        }
    }
}

/// Whether an endpoint is where this node is.
fn near(here: &live::Locality, endpoint: &Endpoint) -> bool {
    let labels = &endpoint.member.labels;
    let live::Locality { datacenter, zone } = here;
    datacenter.as_ref().is_none_or(|own| *own == labels.datacenter)
        && zone.as_ref().is_none_or(|own| labels.meta.get("zone") == Some(own))
}
