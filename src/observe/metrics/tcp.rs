//! The families of connections: what comes in by listener, what goes out by cluster.
//!
//! Listeners count every connection, of HTTP too, below TLS: these are the bytes of the wire. Clusters
//! count the connections that are opened to their endpoints; the bytes only of those that are passed
//! through, since Pingora shows nobody the bytes of a pooled HTTP connection.

use prometheus::{IntGauge, IntGaugeVec, Opts, Registry};

use crate::observe::metrics::Metrics;
use crate::observe::metrics::series::{Counter, Family};
use crate::observe::metrics::text::Text;

/// What a listener's connections add to.
#[derive(Clone, Debug)]
pub struct Downstream {
    pub connections: Counter,
    pub active: IntGauge,
    /// Bytes from clients.
    pub received: Counter,
    /// Bytes to clients.
    pub sent: Counter,
    /// PROXY headers that were refused, in the order of [`HEADER_REASONS`].
    pub headers: [Counter; HEADER_REASONS.len()],
    /// Passed-through connections that went nowhere, in the order of [`UNROUTED_REASONS`].
    pub unrouted: [Counter; UNROUTED_REASONS.len()],
}

/// What connections to a cluster's endpoints add to.
#[derive(Clone, Debug)]
pub struct Upstream {
    pub connections: Counter,
    /// Those that could not be opened.
    pub failures: Counter,
    /// Bytes from endpoints.
    pub received: Counter,
    /// Bytes to endpoints.
    pub sent: Counter,
}

/// Why a PROXY header is refused: there is none; it is no good; it is not whole in time; the
/// connection ended amid it.
pub const HEADER_REASONS: [&str; 4] = ["missing", "malformed", "timeout", "closed"];

/// Why a TLS connection is not passed through: no route for the name; none asked for and no
/// default; not a readable ClientHello; not whole in time; the connection ended amid it.
pub const UNROUTED_REASONS: [&str; 5] = ["unknown_name", "no_name", "malformed", "timeout", "closed"];

/// The families.
pub(super) struct Tcp {
    active: IntGaugeVec,
    downstream: Family,
    downstream_received: Family,
    downstream_sent: Family,
    upstream: Family,
    upstream_failures: Family,
    upstream_received: Family,
    upstream_sent: Family,
    headers: Family,
    unrouted: Family,
    assignments: Family,
}

// === impl Metrics ===

impl Metrics {
    /// The handles of a listener.
    pub fn downstream(&self, listener: &str) -> Downstream {
        let tcp = &self.tcp;
        Downstream {
            connections: tcp.downstream.counter(&[listener]),
            active: tcp.active.with_label_values(&[listener]),
            received: tcp.downstream_received.counter(&[listener]),
            sent: tcp.downstream_sent.counter(&[listener]),
            headers: HEADER_REASONS.map(|reason| tcp.headers.counter(&[listener, reason])),
            unrouted: UNROUTED_REASONS.map(|reason| tcp.unrouted.counter(&[listener, reason])),
        }
    }

    /// The handles of a cluster.
    pub(super) fn upstream(&self, cluster: &str) -> Upstream {
        let tcp = &self.tcp;
        Upstream {
            connections: tcp.upstream.counter(&[cluster]),
            failures: tcp.upstream_failures.counter(&[cluster]),
            received: tcp.upstream_received.counter(&[cluster]),
            sent: tcp.upstream_sent.counter(&[cluster]),
        }
    }

    /// The counters of a variant of a listener's split, in the order of `reasons`.
    pub fn tcp_split<const N: usize>(
        &self,
        listener: &str,
        variant: &str,
        reasons: [&str; N],
    ) -> [Counter; N] {
        reasons.map(|reason| self.tcp.assignments.counter(&[listener, variant, reason]))
    }
}

// === impl Tcp ===

impl Tcp {
    pub(super) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let active =
            Opts::new("tidegate_tcp_downstream_connections_active", "Open connections from clients.");
        let active = super::registered(registry, IntGaugeVec::new(active, &["listener"])?)?;
        let by_listener = |name, help| Family::new(name, help, &["listener"]);
        let by_cluster = |name, help| Family::new(name, help, &["cluster"]);
        Ok(Self {
            active,
            downstream: by_listener(
                "tidegate_tcp_downstream_connections_total",
                "Connections from clients that were taken.",
            ),
            downstream_received: by_listener(
                "tidegate_tcp_downstream_received_bytes_total",
                "Bytes from clients, as they came over the wire.",
            ),
            downstream_sent: by_listener(
                "tidegate_tcp_downstream_sent_bytes_total",
                "Bytes to clients, as they went over the wire.",
            ),
            upstream: by_cluster(
                "tidegate_tcp_upstream_connections_total",
                "Connections to endpoints that were opened.",
            ),
            upstream_failures: by_cluster(
                "tidegate_tcp_upstream_connect_failures_total",
                "Connections to endpoints that could not be opened.",
            ),
            upstream_received: by_cluster(
                "tidegate_tcp_upstream_received_bytes_total",
                "Bytes from endpoints, of connections that are passed through.",
            ),
            upstream_sent: by_cluster(
                "tidegate_tcp_upstream_sent_bytes_total",
                "Bytes to endpoints, of connections that are passed through.",
            ),
            headers: Family::new(
                "tidegate_proxy_protocol_refused_total",
                "Connections closed for their PROXY protocol header, by what was wrong with it.",
                &["listener", "reason"],
            ),
            unrouted: Family::new(
                "tidegate_tcp_unrouted_total",
                "TLS connections closed since their server name leads nowhere, by why.",
                &["listener", "reason"],
            ),
            assignments: Family::new(
                "tidegate_tcp_split_assignments_total",
                "Passed-through connections that were given a variant, by what decided it.",
                &["listener", "variant", "reason"],
            ),
        })
    }

    pub(super) fn sweep(&self) {
        self.families().for_each(Family::sweep);
    }

    pub(super) fn render(&self, text: &mut Text) {
        self.families().for_each(|family| family.render(text));
    }

    fn families(&self) -> impl Iterator<Item = &Family> {
        let downstream = [&self.downstream, &self.downstream_received, &self.downstream_sent];
        let upstream =
            [&self.upstream, &self.upstream_failures, &self.upstream_received, &self.upstream_sent];
        let rest = [&self.headers, &self.unrouted, &self.assignments];
        downstream.into_iter().chain(upstream).chain(rest)
    }
}
