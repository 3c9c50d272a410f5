//! The metric families of DESIGN 7 and the handles that requests use. (Interface; more families are under construction.)
//!
//! Handles are resolved when a snapshot is compiled; a request only adds to atomics.

use prometheus::{
    HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, histogram_opts,
};

use crate::observe::Flag;

/// Bucket bounds of all latency histograms, in seconds.
pub const BUCKETS: &[f64] =
    &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

/// Every family, and the registry that holds them.
pub struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    duration: HistogramVec,
    ttfb: HistogramVec,
    flags: IntCounterVec,
    in_flight: IntGaugeVec,
    retries: IntCounterVec,
}

/// What a request adds to for its (route, cluster, variant).
#[derive(Clone, Debug)]
pub struct RouteMetrics {
    /// By listener index, then by status class 1xx..5xx (index 0: other).
    requests: Box<[[IntCounter; 6]]>,
    duration: prometheus::Histogram,
    ttfb: prometheus::Histogram,
    flags: Box<[IntCounter]>,
}

/// What a request adds to for its cluster.
#[derive(Clone, Debug)]
pub struct ClusterMetrics {
    pub retry_success: IntCounter,
    pub retry_failure: IntCounter,
}

// === impl Metrics ===

impl Metrics {
    /// Registers every family.
    ///
    /// # Errors
    ///
    /// Two families of one name: a mistake in this file.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let counter =
            |name: &str, help: &str, labels: &[&str]| IntCounterVec::new(Opts::new(name, help), labels);
        let seconds = |name: &str, help: &str| {
            HistogramVec::new(histogram_opts!(name, help, BUCKETS.to_vec()), &["route", "cluster", "variant"])
        };
        let metrics = Self {
            requests: counter(
                "tidegate_http_requests_total",
                "Requests answered.",
                &["listener", "route", "cluster", "variant", "code_class"],
            )?,
            duration: seconds(
                "tidegate_http_request_duration_seconds",
                "From the request's header to the end of the answer.",
            )?,
            ttfb: seconds(
                "tidegate_http_upstream_ttfb_seconds",
                "From the last attempt's start to the endpoint's first byte.",
            )?,
            flags: counter("tidegate_http_response_flags_total", "Responses by flag.", &["route", "flag"])?,
            in_flight: IntGaugeVec::new(
                Opts::new("tidegate_http_requests_in_flight", "Requests that are being answered."),
                &["listener"],
            )?,
            retries: counter("tidegate_retries_total", "Attempts after the first.", &["cluster", "result"])?,
            registry,
        };
        for family in [&metrics.requests, &metrics.flags, &metrics.retries] {
            metrics.registry.register(Box::new(family.clone()))?;
        }
        for family in [&metrics.duration, &metrics.ttfb] {
            metrics.registry.register(Box::new(family.clone()))?;
        }
        metrics.registry.register(Box::new(metrics.in_flight.clone()))?;
        Ok(metrics)
    }

    /// The handles of a (route, cluster, variant), for each of the listeners, in their order.
    pub fn route(&self, listeners: &[&str], route: &str, cluster: &str, variant: &str) -> RouteMetrics {
        const CLASSES: [&str; 6] = ["other", "1xx", "2xx", "3xx", "4xx", "5xx"];
        let of = |listener: &str| {
            CLASSES.map(|class| self.requests.with_label_values(&[listener, route, cluster, variant, class]))
        };
        RouteMetrics {
            requests: listeners.iter().map(|l| of(l)).collect(),
            duration: self.duration.with_label_values(&[route, cluster, variant]),
            ttfb: self.ttfb.with_label_values(&[route, cluster, variant]),
            flags: Flag::ALL.iter().map(|f| self.flags.with_label_values(&[route, f.as_str()])).collect(),
        }
    }

    /// The handles of a cluster.
    pub fn cluster(&self, name: &str) -> ClusterMetrics {
        ClusterMetrics {
            retry_success: self.retries.with_label_values(&[name, "success"]),
            retry_failure: self.retries.with_label_values(&[name, "failure"]),
        }
    }

    /// The in-flight gauge of a listener.
    pub fn in_flight(&self, listener: &str) -> IntGauge {
        self.in_flight.with_label_values(&[listener])
    }

    /// The registry, for rendering.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Metrics")
    }
}

// === impl RouteMetrics ===

impl RouteMetrics {
    /// Counts one finished request. `listener` is its index in the order given to [`Metrics::route`]; seconds.
    pub fn record(&self, listener: usize, status: u16, duration: f64, ttfb: Option<f64>, flag: Option<Flag>) {
        let class = if (100..600).contains(&status) { usize::from(status / 100) } else { 0 };
        if let Some(of_listener) = self.requests.get(listener) {
            of_listener[class].inc();
        }
        self.duration.observe(duration);
        if let Some(ttfb) = ttfb {
            self.ttfb.observe(ttfb);
        }
        if let Some(flag) = flag {
            self.flags[flag as usize].inc();
        }
    }
}
