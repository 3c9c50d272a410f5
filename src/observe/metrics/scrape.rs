//! The facts that are read when a scrape asks: endpoints, sources and splits, as plain data.
//!
//! They live elsewhere (the snapshot, the roster, the keepers of sources); copying them into gauges
//! on every change would be a second truth. So whoever serves `/metrics` passes what holds now, and
//! what is gone is not named.

use std::net::SocketAddr;

use crate::observe::metrics::os::Os;
use crate::observe::metrics::register::RegisterSample;
use crate::observe::metrics::split::{self, SplitSample};
use crate::observe::metrics::text::{Kind, Text, labels};

/// What holds at the moment of a scrape. `default()`: nothing known yet.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scrape<'a> {
    pub clusters: &'a [ClusterSample<'a>],
    pub sources: &'a [SourceSample<'a>],
    pub splits: &'a [SplitSample<'a>],
    /// The machine. None: nobody looked.
    pub os: Option<&'a Os>,
    /// None: the config registers nothing.
    pub register: Option<RegisterSample<'a>>,
}

/// A cluster and its endpoints.
#[derive(Clone, Debug)]
pub struct ClusterSample<'a> {
    pub name: &'a str,
    pub endpoints: Vec<EndpointSample>,
}

/// One endpoint.
#[derive(Clone, Copy, Debug)]
pub struct EndpointSample {
    pub address: SocketAddr,
    pub state: EndpointState,
    /// Requests on their way to it now.
    pub in_flight: u32,
}

/// The `state` label of `cluster_endpoints`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EndpointState {
    /// Gets new requests.
    Available,
    /// The registry or the active check says no.
    Unhealthy,
    /// Taken out for its errors.
    Ejected,
    /// Taken out by an operator: drained, in maintenance, or of weight 0.
    Draining,
}

/// What the source of one cluster was last heard to say.
#[derive(Clone, Copy, Debug)]
pub struct SourceSample<'a> {
    /// `consul`, `dns`, `static`.
    pub source: &'a str,
    pub cluster: &'a str,
    /// Seconds since it last answered well. None: never.
    pub age: Option<f64>,
    /// Answers that brought another set.
    pub updates: u64,
    /// Failures to hear or understand it.
    pub errors: u64,
}

// === impl Scrape ===

impl Scrape<'_> {
    pub(super) fn render(&self, text: &mut Text) {
        self.cluster_endpoints(text);
        let up = |e: &EndpointSample| u32::from(e.state == EndpointState::Available);
        self.endpoint(text, "tidegate_endpoint_up", "1 if the endpoint gets new requests.", up);
        self.endpoint(
            text,
            "tidegate_endpoint_requests_in_flight",
            "Requests on their way to the endpoint.",
            |e| e.in_flight,
        );
        self.source(
            text,
            "tidegate_discovery_age_seconds",
            "Seconds since the source last answered well.",
            Kind::Gauge,
            |s| s.age,
        );
        self.source(
            text,
            "tidegate_discovery_updates_total",
            "Answers that changed the set of endpoints.",
            Kind::Counter,
            |s| Some(s.updates),
        );
        self.source(
            text,
            "tidegate_discovery_errors_total",
            "Failures to hear or understand the source.",
            Kind::Counter,
            |s| Some(s.errors),
        );
        split::render(self.splits, text);
        if let Some(os) = self.os {
            os.render(text);
        }
        if let Some(register) = self.register {
            register.render(text);
        }
    }

    fn cluster_endpoints(&self, text: &mut Text) {
        const NAME: &str = "tidegate_cluster_endpoints";
        text.family(NAME, "Endpoints of a cluster by state.", Kind::Gauge);
        for cluster in self.clusters {
            for state in EndpointState::ALL {
                let count = cluster.endpoints.iter().filter(|e| e.state == state).count();
                let labels = labels([("cluster", cluster.name), ("state", state.as_str())]);
                text.sample(NAME, "", &labels, count);
            }
        }
    }

    fn endpoint(&self, text: &mut Text, name: &str, help: &str, of: impl Fn(&EndpointSample) -> u32) {
        text.family(name, help, Kind::Gauge);
        for cluster in self.clusters {
            for endpoint in &cluster.endpoints {
                let address = endpoint.address.to_string();
                let labels = labels([("cluster", cluster.name), ("endpoint", &address)]);
                text.sample(name, "", &labels, of(endpoint));
            }
        }
    }

    fn source<V: std::fmt::Display>(
        &self,
        text: &mut Text,
        name: &str,
        help: &str,
        kind: Kind,
        of: impl Fn(&SourceSample<'_>) -> Option<V>,
    ) {
        text.family(name, help, kind);
        for source in self.sources {
            if let Some(value) = of(source) {
                let labels = labels([("source", source.source), ("cluster", source.cluster)]);
                text.sample(name, "", &labels, value);
            }
        }
    }
}

// === impl EndpointState ===

impl EndpointState {
    /// All states, in the order of DESIGN 7.
    pub const ALL: [Self; 4] = [Self::Available, Self::Unhealthy, Self::Ejected, Self::Draining];

    /// The label's value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Available => "available",
            Self::Unhealthy => "unhealthy",
            Self::Ejected => "ejected",
            Self::Draining => "draining",
        }
    }
}
