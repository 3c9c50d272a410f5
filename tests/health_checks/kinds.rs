//! Each kind of probe against a real server of its kind: what passes, and what is said of what does
//! not.

#[path = "kinds/grpc.rs"]
mod grpc;
#[path = "kinds/http.rs"]
mod http;
#[path = "kinds/tcp.rs"]
mod tcp;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tidegate::cluster::Transport;
use tidegate::config::live::HealthCheck;
use tidegate::health::probe::{self, Connectors};

use super::support::{Backend, Scripted, Tidegate, send};
use super::{SOON, endpoint, eventually};

/// One probe of one config, over connectors that last.
struct Prober {
    check: Arc<HealthCheck>,
    probe: probe::Probe,
}

impl Prober {
    fn new(check: Value) -> Self {
        let check: Arc<HealthCheck> = Arc::new(serde_json::from_value(check).unwrap());
        let probe =
            probe::probe(&check, &probe::way(&check, &Transport::CLEAR), &Arc::new(Connectors::default()));
        Self { check, probe }
    }

    /// What a probe of this address finds, in words.
    async fn ask(&self, address: SocketAddr) -> Result<(), String> {
        let target = probe::target(&self.check, address);
        let asked = tokio::time::timeout(Duration::from_secs(5), self.probe.check(&target));
        asked.await.expect("a probe that hangs").map_err(|error| probe::why(&error))
    }
}

async fn ask(check: Value, address: SocketAddr) -> Result<(), String> {
    Prober::new(check).ask(address).await
}

fn says<T>(why: &str) -> Result<T, String> {
    Err(why.to_owned())
}

/// A port where nobody listens.
fn nobody() -> SocketAddr {
    ([127, 0, 0, 1], super::support::free_port()).into()
}

#[tokio::test]
async fn all_kinds_run_in_one_process() {
    let (web, silent) = (Backend::start("web").await, Scripted::start(vec![]).await);
    let cache = Scripted::start(vec![send("+PONG\r\n")]).await;
    let rpc = grpc::Server::start().await;
    let mut live = String::from("clusters:\n");
    for (name, address, check) in [
        ("web", web.addr(), "http: { path: /healthz }"),
        ("cache", cache.addr, "tcp: { send: \"PING\\r\\n\\r\\n\", expect: PONG }"),
        ("rpc", rpc.addr, "grpc: { service: shop }"),
        ("silent", silent.addr, "http: {}, timeout: 300ms"),
    ] {
        live += &format!(
            "  {name}: {{ static: {{ endpoints: [ {{ address: '{address}' }} ] }}, health_check: {{ {check} }} }}\n"
        );
    }
    live += "routes: [ { name: all, cluster: web } ]\n";
    let tidegate = Tidegate::new(&live).start().await;
    for (name, address, checked) in [
        ("web", web.addr(), "up"),
        ("cache", cache.addr, "up"),
        ("rpc", rpc.addr, "up"),
        ("silent", silent.addr, "down"),
    ] {
        let found = eventually(SOON, async || {
            let found = endpoint(&tidegate, name, address).await;
            if found["checked"] == checked { Ok(found) } else { Err(found) }
        })
        .await;
        let why = if checked == "up" { Value::Null } else { "no answer within 300ms".into() };
        assert_eq!(found["checked_why"], why, "{name}");
    }
    let labels = ["cluster=\"silent\"", "result=\"timeout\""];
    assert!(tidegate.metric("tidegate_health_checks_total", &labels).await >= 1.0);
}
