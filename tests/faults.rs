//! One of two backends turns bad under a steady load of GETs, in each of the ways that backends do:
//! what it costs with the defaults, what with retries that fit, and how long until it is out.
//!
//! Every case prints its figures; what is asserted is what the contract promises. Ejections last 1 s
//! here and not 30 s, so that a case sees the return as well: it is the harder of the two, since each
//! return is a trial. The checks pass all the while, unless the backend is dead, so it is real requests
//! that must find the fault. `TIDEGATE_LONG=1` repeats each case ten times.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

#[path = "faults/bad.rs"]
mod bad;
#[path = "faults/dead.rs"]
mod dead;

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use self::support::probe::long;
use self::support::{Backend, Load, Report, Tidegate, TidegateProcess, eventually};

/// Longer than anything takes that works.
const SOON: Duration = Duration::from_secs(12);

/// What a user may have written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Config {
    /// A check, and nothing else but the defaults.
    Plain,
    /// A check and outlier detection.
    Default,
    /// And retries for all that can be repeated.
    Guarded,
}

impl Config {
    fn live(self, endpoints: &[SocketAddr], interval: &str) -> String {
        let list: Vec<_> = endpoints.iter().map(|e| format!("{{ address: '{e}' }}")).collect();
        let retry = match self {
            Self::Plain | Self::Default => "",
            Self::Guarded => {
                ", retry: { attempts: 3, on: [ connect_failure, reset, timeout, gateway_error, 5xx ], per_try_timeout: 500ms }"
            }
        };
        let outlier = if self == Self::Plain { "" } else { ", outlier_detection: { base_ejection: 1s }" };
        format!(
            "clusters: {{ web: {{ static: {{ endpoints: [ {} ] }}, health_check: {{ http: {{ path: /healthz }}, interval: {interval} }}{outlier} }} }}\nroutes: [ {{ name: all, cluster: web{retry} }} ]\n",
            list.join(", ")
        )
    }
}

/// Two backends behind a Tidegate.
struct Pair {
    good: Backend,
    bad: Backend,
    tidegate: TidegateProcess,
    config: Config,
}

impl Pair {
    async fn start(config: Config) -> Self {
        let (good, bad) = (Backend::start("good").await, Backend::start("bad").await);
        let tidegate = Tidegate::new(&config.live(&[good.addr(), bad.addr()], "500ms")).start().await;
        for backend in [&good, &bad] {
            shows(&tidegate, backend.addr(), |e| e["checked"] == "up").await;
        }
        Self { good, bad, tidegate, config }
    }

    /// 16 connections; a client waits 3 s for its answer.
    fn load(&self) -> Load {
        load(&self.tidegate, Duration::from_secs(3))
    }

    /// Since now, until the admin API shows it out.
    async fn out(&self) -> Duration {
        let begin = Instant::now();
        shows(&self.tidegate, self.bad.addr(), is_out).await;
        begin.elapsed()
    }

    /// Waits until it gets requests again that it answers.
    async fn back(&self) {
        shows(&self.tidegate, self.bad.addr(), |e| !is_out(e) && e["standing"] == "in").await;
        let before = self.bad.requests();
        support::until(SOON, "requests to who was bad", || self.bad.requests() > before + 20).await;
    }

    async fn told(&self, case: &str, report: &Report, out: Option<Duration>) {
        told(&self.tidegate, case, &format!("{:?}", self.config), report, out).await;
        assert!(self.good.requests() > 0);
    }
}

fn load(tidegate: &TidegateProcess, deadline: Duration) -> Load {
    Load::new(tidegate.addr("http")).connections(16).pause(Duration::from_millis(5)).deadline(deadline)
}

fn runs() -> usize {
    if long() { 10 } else { 1 }
}

fn is_out(endpoint: &Value) -> bool {
    endpoint["checked"] == "down" || endpoint["standing"] != "in"
}

/// Waits until the admin API says so of an endpoint.
async fn shows(tidegate: &TidegateProcess, address: SocketAddr, fits: impl Fn(&Value) -> bool) {
    eventually(SOON, async || {
        let cluster = tidegate.admin_json("/v1/clusters/web").await;
        let endpoints = cluster["endpoints"].as_array().unwrap();
        let found = endpoints.iter().find(|e| e["address"] == address.to_string()).unwrap();
        if fits(found) { Ok(()) } else { Err(found.to_string()) }
    })
    .await;
}

/// The line of figures.
async fn told(tidegate: &TidegateProcess, case: &str, config: &str, report: &Report, out: Option<Duration>) {
    let retries = tidegate.metric("tidegate_retries_total", &[]).await;
    let no_budget = tidegate.metric("tidegate_retries_total", &["result=\"budget\""]).await;
    let ejections = tidegate.metric("tidegate_outlier_ejections_total", &[]).await;
    let out = out.map_or_else(|| "-".into(), |out| format!("{} ms", out.as_millis()));
    eprintln!(
        "FIGURE {case} | {config} | {} requests | {} failed {:?} | out after {out} | {retries} retries, {no_budget} without budget | {ejections} ejections | slowest {} ms",
        report.total(),
        report.failed(),
        report.failures,
        report.slowest.as_millis()
    );
}
