//! What a process tells systemd: the states of `Type=notify`, and the watchdog with real hangs.
//! The other end is a socket of the test; a real systemd is in `tests/systemd`.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "a test's own clock and lock")]

mod support;

#[path = "notify/ear.rs"]
mod ear;
#[path = "notify/hang.rs"]
mod hang;

use std::time::Duration;

use self::ear::Ear;
use self::support::{Backend, RawClient, Tidegate, until};

/// Longer than anything takes that works.
const SOON: Duration = Duration::from_secs(20);

/// Two routes to one endpoint.
fn live(addr: std::net::SocketAddr) -> String {
    format!(
        "clusters:\n  web: {{ static: {{ endpoints: [ {{ address: '{addr}' }} ] }} }}\nroutes:\n  - {{ name: slow, match: {{ path: {{ prefix: /slow }} }}, cluster: web }}\n  - {{ name: all, cluster: web }}\n"
    )
}

#[tokio::test]
async fn ready_reloads_and_the_end_are_told() {
    let (ear, backend) = (Ear::open(), Backend::start("a").await);
    let good = live(backend.addr());
    let tidegate = Tidegate::new(&good).env("NOTIFY_SOCKET", &ear.path()).server("grace_period: 20s");
    let mut tidegate = tidegate.start().await;
    let serving = "STATUS=serving generation 1: 1 listener, 2 routes, 1 cluster\n";
    let ready = ear.hears(0, &["READY=1\n", serving]).await;

    tidegate.write_live(&good.replace("routes:", "ruotes:"));
    tidegate.hup();
    let begun = ear.hears(ready, &["RELOADING=1\nMONOTONIC_USEC="]).await;
    let refused = ear.hears(begun, &["READY=1\nSTATUS=reload refused: ", "tidegate.yaml:", "ruotes"]).await;
    assert!(ear.said()[refused - 1].contains("; serving generation 1: 1 listener"), "{:?}", ear.said());
    // Written and asked for, it may be read twice; the last word counts.
    tidegate.reload(&good.replace("name: all", "name: other")).await;
    let again = ear.hears(refused, &["READY=1\nSTATUS=serving generation 2: 1 listener, 2 routes"]).await;

    let mut client = RawClient::connect(tidegate.addr("http")).await;
    client.send("GET /slow?ms=3000 HTTP/1.1\r\nhost: a\r\n\r\n").await;
    until(SOON, "it is under way", || backend.in_flight() > 0).await;
    tidegate.term();
    let told = "STOPPING=1\nSTATUS=draining: 1 request, 1 connection left\nEXTEND_TIMEOUT_USEC=15000000\n";
    let stopping = ear.hears(again, &[told]).await;
    // Who looks from outside is told, and whoever restarts what is dead has no reason to.
    let (status, text) = tidegate.admin_get("/ready").await.unwrap();
    assert!(status == 503 && text.contains("draining"), "{status} {text}");
    assert_eq!(tidegate.admin_get("/live").await.unwrap().0, 200);
    assert_eq!(tidegate.admin_get("/metrics").await.unwrap().0, 200);
    ear.hears(stopping, &["EXTEND_TIMEOUT_USEC=15000000\n"]).await;
    assert_eq!(client.response().await.unwrap().status, 200);
    assert!(tidegate.exited(SOON).await.success());
    let said = ear.said();
    assert_eq!(said.iter().filter(|text| text.contains("STOPPING=1")).count(), 1, "{said:#?}");
    assert!(!said[stopping..].iter().any(|text| text.contains("READY=1")), "{said:#?}");
}

/// A start waits for nobody that may be away for long: systemd would give up, and try again.
#[tokio::test]
async fn a_start_without_its_registry_is_ready_to_systemd_and_says_what_it_waits_for() {
    let ear = Ear::open();
    let gone = support::free_port();
    let live = format!(
        "consul: {{ address: 'http://127.0.0.1:{gone}' }}\nclusters: {{ web: {{ consul: {{ service: web }} }} }}\nroutes: [ {{ name: all, cluster: web }} ]\n"
    );
    let tidegate = Tidegate::new(&live).env("NOTIFY_SOCKET", &ear.path()).spawn();
    ear.hears(0, &["READY=1\n", "serving generation 1", "; waiting for members of cluster `web`"]).await;
    assert_eq!(tidegate.admin_get("/ready").await.unwrap().0, 503);
}
