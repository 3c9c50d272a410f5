//! When everything fails, retries do not multiply the load.

use std::time::Duration;

use super::{rejected, retries, to};
use crate::support::{Backend, Fault, Load, RawClient, Report, Tidegate, TidegateProcess};

const RETRY: &str = "retry: { attempts: 3, on: [ 5xx ] }";

async fn all_fail(backends: &[Backend], cluster: &str, route: &str) -> (Report, u64, TidegateProcess) {
    for backend in backends {
        backend.set_fault(Fault::Status(500));
    }
    let addresses: Vec<_> = backends.iter().map(Backend::addr).collect();
    let tidegate = Tidegate::new(&to(&addresses, cluster, route)).start().await;
    let load = Load::new(tidegate.addr("http")).connections(40).pause(Duration::ZERO);
    let report = load.run_for(Duration::from_secs(2)).await;
    let upstream = backends.iter().map(Backend::requests).sum();
    (report, upstream, tidegate)
}

async fn four() -> Vec<Backend> {
    let mut backends = Vec::new();
    for name in ["a", "b", "c", "d"] {
        backends.push(Backend::start(name).await);
    }
    backends
}

#[tokio::test]
async fn upstream_requests_stay_under_a_quarter_more() {
    let backends = four().await;
    let (report, upstream, tidegate) = all_fail(&backends, "", RETRY).await;
    let downstream = report.total();
    assert_eq!(report.failures.keys().collect::<Vec<_>>(), ["status 500"], "the endpoints' own answer");
    let ratio = upstream as f64 / downstream as f64;
    eprintln!("{downstream} requests, {upstream} upstream: {ratio:.3}");
    assert!(downstream > 500 && ratio < 1.25, "{downstream} became {upstream}: {ratio:.3}");
    let (failed, refused) = (retries(&tidegate, "failure").await, retries(&tidegate, "budget").await);
    assert!(failed > 0.0 && refused > 0.0, "{failed} made, {refused} not");
    assert_eq!(failed, (upstream - downstream) as f64, "each try is counted once");
    assert_eq!(retries(&tidegate, "success").await, 0.0);
}

/// Even where pauses do not slow them down.
#[tokio::test]
async fn that_holds_without_pauses_too() {
    let backends = four().await;
    let route = "retry: { attempts: 3, on: [ 5xx ], backoff: { base: 1ms, max: 1ms } }";
    let (report, upstream, _tidegate) = all_fail(&backends, "", route).await;
    let ratio = upstream as f64 / report.total() as f64;
    eprintln!("{} requests, {upstream} upstream: {ratio:.3}", report.total());
    // A quarter is the bound of a steady state; this begins and ends.
    assert!(ratio < 1.27, "{ratio:.3}");
}

#[tokio::test]
async fn the_number_of_the_breaker_counts_where_the_route_has_no_budget() {
    let backends = four().await;
    let breaker = "circuit_breaker: { max_retries: 0 }";
    let (report, upstream, tidegate) = all_fail(&backends, breaker, RETRY).await;
    assert_eq!(upstream, report.total());
    assert!(rejected(&tidegate, "retries").await >= report.total() as f64);
    // Room for all: at exactly as many as are on their way, one that just ends may still have its place.
    let own = "retry: { attempts: 3, on: [ 5xx ], budget: { percent: 100, min: 1000 } }";
    let (report, upstream, tidegate) = all_fail(&four().await, breaker, own).await;
    assert_eq!(upstream, 3 * report.total());
    assert_eq!(rejected(&tidegate, "retries").await, 0.0);
}

/// A stream of hours that began with a second try must not keep others from having one.
#[tokio::test]
async fn a_place_is_free_as_soon_as_the_answer_begins() {
    let (bad, good) = (Backend::start("bad").await, Backend::start("good").await);
    bad.set_fault(Fault::ResetBeforeAnswer);
    let text = to(&[bad.addr(), good.addr()], "circuit_breaker: { max_retries: 1 }", "");
    let tidegate = Tidegate::new(&text).start().await;
    let mut streams = Vec::new();
    for _ in 0..4 {
        let mut raw = RawClient::connect(tidegate.addr("http")).await;
        raw.send("GET /drip?n=100&ms=100 HTTP/1.1\r\nhost: h\r\n\r\n").await;
        assert_eq!(raw.head().await.unwrap().status, 200);
        streams.push(raw);
    }
    assert!(bad.requests() >= 2, "{}", bad.requests());
    assert_eq!(rejected(&tidegate, "retries").await, 0.0);
}
