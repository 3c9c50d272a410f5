//! What a request carries from phase to phase. Each field names the phase that writes it.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use http::HeaderValue;
use prometheus::IntGauge;

use crate::cluster::Cluster;
use crate::endpoint::Lease;
use crate::filter::Memory;
use crate::observe::Flag;
use crate::observe::metrics::Upgraded;
use crate::proxy::forward::origin::Origin;
use crate::proxy::limits::Place;
use crate::proxy::link::Link;
use crate::proxy::tunnel::Tunnel;
use crate::proxy::{grpc, mirror, retry};
use crate::snapshot::table::Forward;
use crate::snapshot::{Action, Route, Snapshot, Target};
use crate::split::{Excluded, Reason, Variant};

/// The state of one request.
#[derive(Debug)]
pub struct RequestCtx {
    /// new: when the header was read.
    pub(crate) start: Instant,
    /// accept: the one snapshot of this request, kept through its retries.
    pub(crate) snapshot: Option<Arc<Snapshot>>,
    /// new, accept: the connection that it came on.
    pub(crate) link: Option<Arc<Link>>,
    /// accept: what a trusted proxy in front says of the client.
    pub(crate) origin: Option<Origin>,
    /// accept: the index of the route that won.
    pub(crate) route: Option<usize>,
    /// accept: counts the request in until it ends.
    pub(crate) in_flight: Option<InFlight>,
    /// accept: its place below the listener's limit.
    pub(crate) place: Option<Place>,
    /// accept, connect: the index of the cluster in use.
    pub(crate) cluster: Option<usize>,
    /// accept, connect: what the split decided, if there is one.
    pub(crate) variant: Option<Assigned>,
    /// accept: the cookie that was made for a client without one.
    pub(crate) minted: Option<HeaderValue>,
    /// accept: where it must be answered.
    pub(crate) deadline: Option<Instant>,
    /// accept: the host that was routed on, lower-cased, without port.
    pub(crate) host: String,
    /// accept: what is known of it as a gRPC call, if it is one.
    pub(crate) call: Option<grpc::Call>,
    /// accept, respond: what filters remember.
    pub(crate) memory: Memory,
    /// connect, outcome: the endpoint in use, counted in its state.
    pub(crate) lease: Option<Lease>,
    /// connect: its address.
    pub(crate) endpoint: Option<SocketAddr>,
    /// connect: endpoints that failed this request.
    pub(crate) tried: Vec<SocketAddr>,
    /// connect: tries so far.
    pub(crate) attempts: u32,
    /// connect, retry: its places in the cluster's counts, and the next try.
    pub(crate) tries: retry::Tries,
    /// connect: when the last try began.
    pub(crate) attempt_start: Option<Instant>,
    /// connect: the last failure was on a pooled connection, which says nothing of the endpoint.
    pub(crate) stale_connection: bool,
    /// connect: of a request that asks for a tunnel.
    pub(crate) tunnel: Option<Arc<Tunnel>>,
    /// respond: counts the tunnel until it ends.
    pub(crate) upgraded: Option<Upgraded>,
    /// mirror: how far its copy is.
    pub(crate) mirror: mirror::Stage,
    /// respond: seconds from the last try's start to the endpoint's header.
    pub(crate) ttfb: Option<f64>,
    /// any: why the answer is not simply the endpoint's own.
    pub(crate) flag: Option<Flag>,
    /// error: the status for log and metrics where none could be written.
    pub(crate) status: Option<u16>,
}

/// What a split decided.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Assigned {
    /// Of the variant.
    pub(crate) index: usize,
    pub(crate) reason: Reason,
    /// Who was assigned, for the sample-ratio check.
    pub(crate) unit: Option<u64>,
    /// The variants that turned out to be unusable.
    pub(crate) excluded: Excluded,
}

/// A request in a listener's gauge, until it is dropped.
#[derive(Debug)]
pub(crate) struct InFlight(IntGauge);

// === impl RequestCtx ===

impl RequestCtx {
    /// A request on the connection that the running task serves.
    pub(crate) fn new(link: Option<Arc<Link>>) -> Self {
        Self {
            link,
            start: now(),
            snapshot: None,
            origin: None,
            route: None,
            in_flight: None,
            place: None,
            cluster: None,
            variant: None,
            minted: None,
            deadline: None,
            host: String::new(),
            call: None,
            memory: Memory::default(),
            lease: None,
            endpoint: None,
            tried: Vec::new(),
            attempts: 0,
            tries: retry::Tries::default(),
            attempt_start: None,
            stale_connection: false,
            tunnel: None,
            upgraded: None,
            mirror: mirror::Stage::default(),
            ttfb: None,
            flag: None,
            status: None,
        }
    }

    /// The index of the listener.
    pub(crate) fn listener(&self) -> usize {
        self.link.as_ref().map_or(0, |link| link.listener)
    }

    /// The client's address, as far as it can be believed.
    pub(crate) fn client(&self) -> Option<IpAddr> {
        self.origin.map(|origin| origin.client).or_else(|| self.peer())
    }

    /// Whom the connection is from: the client, or a proxy in front.
    pub(crate) fn peer(&self) -> Option<IpAddr> {
        self.link.as_ref()?.ip()
    }

    /// Whether the client is spoken to over TLS, by us or by a proxy in front that is trusted.
    pub(crate) fn secure(&self) -> bool {
        let told = self.origin.and_then(|origin| origin.https);
        told.unwrap_or_else(|| self.link.as_ref().is_some_and(|link| link.secure.is_some()))
    }

    /// `http` or `https`, as the client sees it.
    pub(crate) fn scheme(&self) -> &'static str {
        if self.secure() { "https" } else { "http" }
    }

    /// The route that won.
    pub(crate) fn route(&self) -> Option<&Route> {
        let snapshot = self.snapshot.as_ref()?;
        snapshot.table.routes.get(self.route?).map(|route| &**route)
    }

    /// How it is sent on.
    pub(crate) fn forward(&self) -> Option<&Forward> {
        match &self.route()?.action {
            Action::Forward(forward) => Some(forward),
            Action::Redirect(_) | Action::Respond(_) => None,
        }
    }

    /// The cluster in use.
    pub(crate) fn cluster(&self) -> Option<&Arc<Cluster>> {
        self.snapshot.as_ref()?.clusters.get(self.cluster?)
    }

    /// The index of the cluster that the route or the variant in use names, whoever stands in for it.
    pub(crate) fn home(&self) -> Option<usize> {
        match &self.forward()?.target {
            Target::Cluster(index) => Some(*index),
            Target::Split { split, .. } => Some(split.variants.get(self.variant?.index)?.cluster),
        }
    }

    /// The variant in use.
    pub(crate) fn variant(&self) -> Option<&Variant> {
        match &self.forward()?.target {
            Target::Split { split, .. } => split.variants.get(self.variant?.index),
            Target::Cluster(_) => None,
        }
    }
}

// === impl InFlight ===

impl InFlight {
    pub(crate) fn new(gauge: &IntGauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// The time, where a request meets the clock.
#[expect(
    clippy::disallowed_methods,
    reason = "requests are timed by the real clock; their decisions take it as an argument"
)]
pub(crate) fn now() -> Instant {
    Instant::now()
}
