//! The metric families of DESIGN 7 and the handles that requests use.
//!
//! Handles are resolved when a snapshot is compiled; a request only adds to atomics. A series lives
//! as long as somebody holds its handle: when the last snapshot that names a route is gone,
//! [`Metrics::sweep`] (which every render does too) drops its series, so memory does not grow with
//! reloads and nothing must be told what to keep. The bad side: a route that is taken out and put
//! back starts from zero, which Prometheus reads as a counter reset.
//!
//! Series of routes and clusters are kept here and not in the `prometheus` crate's vectors: those
//! hash label values without a separator, so (listener `http`, route `shop`) and (`https`, `hop`)
//! would share one counter, and each of their series carries its own copy of name and help. The
//! crate does the unlabelled families, `process_*`, and the encoding of both.

pub mod breaker;
pub mod failover;
pub mod health;
pub mod histogram;
pub mod mirror;
pub mod os;
pub mod outlier;
pub mod register;
pub mod route;
pub mod scrape;
pub mod series;
mod shelf;
pub mod split;
pub mod tcp;
mod text;
mod tls;
pub mod upgraded;

#[cfg(test)]
mod tests;

use prometheus::core::Collector;
use prometheus::process_collector::ProcessCollector;
use prometheus::{Encoder, IntCounter, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder};

use self::breaker::Rejected;
use self::mirror::Mirrors;
use self::outlier::Outliers;
use self::route::Routes;
use self::series::Family;
use self::tcp::Tcp;
use self::text::Text;
use self::tls::Tls;
use self::upgraded::Tunnels;

pub use self::breaker::Bound;
pub use self::health::HealthMetrics;
pub use self::histogram::BUCKETS;
pub use self::mirror::MirrorMetrics;
pub use self::os::Os;
pub use self::outlier::OutlierMetrics;
pub use self::register::RegisterSample;
pub use self::route::RouteMetrics;
pub use self::scrape::{ClusterSample, EndpointSample, EndpointState, Scrape, SourceSample};
pub use self::series::Counter;
pub use self::split::{RatioSample, SplitSample, VariantSample};
pub use self::tcp::{Downstream, Upstream};
pub use self::tls::TlsMetrics;
pub use self::upgraded::{Upgraded, UpgradedMetrics};

/// Every family.
pub struct Metrics {
    registry: Registry,
    in_flight: IntGaugeVec,
    generation: IntGauge,
    last_reload: IntGauge,
    access_log_dropped: IntCounter,
    routes: Routes,
    mirrors: Mirrors,
    tunnels: Tunnels,
    reloads: Family,
    upgrades: Family,
    invalid: Family,
    turned_away: Family,
    late: Family,
    watchdog: Family,
    http2_ended: Family,
    retries: Family,
    panic: Family,
    assignments: Family,
    outliers: Outliers,
    health_checks: Family,
    crossings: Family,
    rejected: Family,
    failover: Family,
    tcp: Tcp,
    tls: Tls,
}

/// What a request adds to for its cluster.
#[derive(Clone, Debug)]
pub struct ClusterMetrics {
    /// Tries after the first that got an answer which is no reason for another.
    pub retry_success: Counter,
    /// Tries after the first that failed too.
    pub retry_failure: Counter,
    /// Tries that were due, and not made because too many others were on their way.
    pub retry_budget: Counter,
    /// What the circuit breaker turned away.
    pub rejected: Rejected,
    /// Picks in panic mode: under half of the endpoints were available, so all were used.
    pub panic: Counter,
    /// Connections to its endpoints.
    pub upstream: Upstream,
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
        let in_flight = Opts::new("tidegate_http_requests_in_flight", "Requests that are being answered.");
        let gauge = |name, help| registered(&registry, IntGauge::new(name, help)?);
        let metrics = Self {
            in_flight: registered(&registry, IntGaugeVec::new(in_flight, &["listener"])?)?,
            generation: gauge("tidegate_config_generation", "The generation that serves.")?,
            last_reload: gauge(
                "tidegate_config_last_reload_success",
                "1 if the last reload was applied, or none was asked for.",
            )?,
            access_log_dropped: registered(
                &registry,
                IntCounter::new(
                    "tidegate_access_log_dropped_total",
                    "Lines of the access log that were not written: queue full, or the file failed.",
                )?,
            )?,
            routes: Routes::default(),
            mirrors: Mirrors::default(),
            tunnels: Tunnels::default(),
            reloads: Family::new("tidegate_config_reloads_total", "Reloads by result.", &["result"]),
            upgrades: Family::new(
                "tidegate_upgrades_total",
                "Upgrades: failed ones of this process, and the one that it came by (done).",
                &["result"],
            ),
            invalid: Family::new(
                "tidegate_http_requests_invalid_total",
                "Requests refused before routing because they are not valid HTTP.",
                &["listener", "reason"],
            ),
            turned_away: Family::new(
                "tidegate_listener_rejected_total",
                "Connections and requests answered 503 because their listener was full, by the limit.",
                &["listener", "limit"],
            ),
            late: Family::new(
                "tidegate_listener_timeouts_total",
                "Connections ended because the client was too slow, by the limit.",
                &["listener", "limit"],
            ),
            watchdog: Family::new(
                "tidegate_watchdog_missed_total",
                "Times that systemd was not told that this process is alive, by the part that hung.",
                &["part"],
            ),
            http2_ended: Family::new(
                "tidegate_http2_ended_total",
                "HTTP/2 streams and connections of clients that were ended for their own doing, by reason.",
                &["listener", "reason"],
            ),
            retries: Family::new(
                "tidegate_retries_total",
                "Tries after the first; `budget` are those that were not made because of it.",
                &["cluster", "result"],
            ),
            panic: Family::new(
                "tidegate_cluster_panic_total",
                "Picks while under half of a cluster's endpoints were available, so that all were used.",
                &["cluster"],
            ),
            assignments: split::assignments(),
            outliers: Outliers::default(),
            health_checks: health::checks(),
            crossings: split::crossings(),
            rejected: breaker::family(),
            failover: failover::family(),
            tcp: Tcp::new(&registry)?,
            tls: Tls::default(),
            registry,
        };
        metrics.start()?;
        Ok(metrics)
    }

    /// What has a value before anything happened.
    fn start(&self) -> Result<(), prometheus::Error> {
        registered(&self.registry, build_info()?)?.set(1);
        self.registry.register(Box::new(ProcessCollector::for_self()))?;
        self.last_reload.set(1);
        for result in ["success", "failure"] {
            self.reloads.counter(&[result]);
        }
        for result in ["done", "failed"] {
            self.upgrades.counter(&[result]);
        }
        for part in ["control", "workers", "accept"] {
            self.watchdog.counter(&[part]);
        }
        Ok(())
    }

    /// The handle of a (route, cluster, variant), for each of the listeners, in their order. A
    /// route without a cluster (redirect, fixed answer) or without a split has empty strings there.
    pub fn route(&self, listeners: &[&str], route: &str, cluster: &str, variant: &str) -> RouteMetrics {
        self.routes.handle(listeners, route, cluster, variant)
    }

    /// The handles of a cluster.
    pub fn cluster(&self, name: &str) -> ClusterMetrics {
        ClusterMetrics {
            retry_success: self.retries.counter(&[name, "success"]),
            retry_failure: self.retries.counter(&[name, "failure"]),
            retry_budget: self.retries.counter(&[name, "budget"]),
            rejected: self.rejected(name),
            panic: self.panic.counter(&[name]),
            upstream: self.upstream(name),
        }
    }

    /// The handle of a route's mirror.
    pub fn mirror(&self, route: &str, cluster: &str) -> MirrorMetrics {
        self.mirrors.handle(route, cluster)
    }

    /// The in-flight gauge of a listener.
    pub fn in_flight(&self, listener: &str) -> IntGauge {
        self.in_flight.with_label_values(&[listener])
    }

    /// Requests of a listener that are refused as malformed (400, before routing). `reason` is a
    /// short fixed word.
    pub fn invalid(&self, listener: &str, reason: &'static str) -> Counter {
        self.invalid.counter(&[listener, reason])
    }

    /// What a listener turns away since it is full. `limit` is the key of the config.
    pub fn turned_away(&self, listener: &str, limit: &'static str) -> Counter {
        self.turned_away.counter(&[listener, limit])
    }

    /// Connections that a listener ends since the client is too slow. `limit` is the key of the
    /// config.
    pub fn late(&self, listener: &str, limit: &'static str) -> Counter {
        self.late.counter(&[listener, limit])
    }

    /// HTTP/2 streams and connections of a listener that are ended for what the client does. `reason`
    /// is a short fixed word.
    pub fn http2_ended(&self, listener: &str, reason: &'static str) -> Counter {
        self.http2_ended.counter(&[listener, reason])
    }

    /// Lines of the access log that were lost; for
    /// [`AccessLog::new`](crate::observe::AccessLog::new).
    pub fn access_log_dropped(&self) -> IntCounter {
        self.access_log_dropped.clone()
    }

    /// Says which generation serves.
    pub fn set_generation(&self, generation: u64) {
        self.generation.set(i64::try_from(generation).unwrap_or(i64::MAX));
    }

    /// Counts one reload by its result.
    pub fn reloaded(&self, success: bool) {
        self.reloads.counter(&[if success { "success" } else { "failure" }]).inc();
        self.last_reload.set(i64::from(success));
    }

    /// Counts one upgrade by its result.
    pub fn handed_over(&self, done: bool) {
        self.upgrades.counter(&[if done { "done" } else { "failed" }]).inc();
    }

    /// Counts a look of the watchdog that found something hung: `control`, `workers` or `accept`.
    pub fn watchdog_missed(&self, part: &'static str) {
        self.watchdog.counter(&[part]).inc();
    }

    /// Drops the series of routes and clusters whose handles nobody holds any more.
    pub fn sweep(&self) {
        self.routes.sweep();
        self.mirrors.sweep();
        self.tunnels.sweep();
        for family in [&self.retries, &self.panic, &self.rejected] {
            family.sweep();
        }
        for family in [&self.assignments, &self.crossings, &self.health_checks, &self.failover] {
            family.sweep();
        }
        self.outliers.families().for_each(Family::sweep);
        self.tcp.sweep();
    }

    /// Everything in the Prometheus text format (version 0.0.4). `scrape` brings the facts that are
    /// read at the moment of asking.
    pub fn render(&self, scrape: &Scrape<'_>) -> Vec<u8> {
        self.sweep();
        let mut out = Vec::with_capacity(16 * 1024);
        // Cannot fail: it refuses families without name or samples, which `gather` leaves out.
        let _ = TextEncoder::new().encode(&self.registry.gather(), &mut out);
        let mut text = Text::new(out);
        self.routes.render(&mut text);
        self.mirrors.render(&mut text);
        self.tunnels.render(&mut text);
        for family in [&self.reloads, &self.upgrades, &self.invalid, &self.retries, &self.panic] {
            family.render(&mut text);
        }
        self.turned_away.render(&mut text);
        self.late.render(&mut text);
        self.watchdog.render(&mut text);
        self.http2_ended.render(&mut text);
        self.outliers.families().for_each(|family| family.render(&mut text));
        let split = [&self.assignments, &self.crossings];
        for family in [&self.health_checks, &self.rejected, &self.failover].into_iter().chain(split) {
            family.render(&mut text);
        }
        self.tcp.render(&mut text);
        self.tls.render(&mut text);
        scrape.render(&mut text);
        text.into_bytes()
    }
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Metrics")
    }
}

fn registered<C: Collector + Clone + 'static>(
    registry: &Registry,
    collector: C,
) -> Result<C, prometheus::Error> {
    registry.register(Box::new(collector.clone()))?;
    Ok(collector)
}

fn build_info() -> Result<IntGauge, prometheus::Error> {
    IntGauge::with_opts(
        Opts::new("tidegate_build_info", "Always 1; the labels say what runs.")
            .const_label("version", env!("CARGO_PKG_VERSION")),
    )
}
