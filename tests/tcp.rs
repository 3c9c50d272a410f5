//! Listeners that pass connections on as bytes: what goes in comes out, by the rules of clusters.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

#[path = "tcp/bytes.rs"]
mod bytes;
#[path = "tcp/clusters.rs"]
mod clusters;
#[path = "tcp/config.rs"]
mod config;
#[path = "tcp/redis.rs"]
mod redis;
#[path = "tcp/sni.rs"]
mod sni;
#[path = "tcp/splits.rs"]
mod splits;

use std::net::SocketAddr;
use std::time::Duration;

use self::support::{RawClient, Tidegate, TidegateProcess};

/// Longer than anything takes that works.
const SOON: Duration = Duration::from_secs(15);

/// A cluster of these endpoints, and more of its keys.
fn cluster(name: &str, endpoints: &[SocketAddr], more: &str) -> String {
    let all: Vec<_> = endpoints.iter().map(|address| format!("{{ address: '{address}' }}")).collect();
    format!("  {name}:\n    static: {{ endpoints: [ {} ] }}\n{more}", all.join(", "))
}

/// A cluster of one endpoint that a check has found dead.
fn dead(name: &str, more: &str) -> String {
    let check = "    health_check: { tcp: {}, interval: 100ms }\n";
    cluster(name, &[support::ports::free_addr()], &format!("{check}{more}"))
}

/// A process with these clusters and a listener `bytes` that has this `tcp`.
async fn passing(tcp: &str, clusters: &[String]) -> TidegateProcess {
    kit(tcp, clusters).start().await
}

fn kit(tcp: &str, clusters: &[String]) -> Tidegate {
    let live = format!("clusters:\n{}", clusters.concat());
    Tidegate::new(&live).listener("bytes").listener_key("bytes", &format!("tcp: {tcp}"))
}

/// Sends `say`, closes that side, and gives all that comes back.
async fn talk(addr: SocketAddr, say: &[u8]) -> Result<Vec<u8>, String> {
    let mut client = RawClient::connect(addr).await;
    client.send(say).await;
    client.finish().await;
    client.read_to_end().await
}

/// Who answers.
async fn who(addr: SocketAddr) -> String {
    talk(addr, b"").await.map_or_else(|why| why, |bytes| String::from_utf8_lossy(&bytes).into_owned())
}
