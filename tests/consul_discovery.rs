//! Discovery against a real Consul agent: what it says arrives, and what happens to it does not.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "this is a test")]

#[path = "support/consul.rs"]
mod consul;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;
use tidegate::config::Name;
use tidegate::config::live::{Cluster, ConsulService, Live};
use tidegate::config::value::{Secret, Span};
use tidegate::discovery::keep::Origin;
use tidegate::discovery::{Hub, SourceStatus, Statuses, Update};
use tidegate::endpoint::{Members, Registry};
use tokio::sync::{mpsc, watch};

use consul::Agent;

/// A hub and what it said.
struct Bed {
    live: watch::Sender<Arc<Live>>,
    stop: watch::Sender<bool>,
    statuses: Statuses,
    updates: mpsc::UnboundedReceiver<Update>,
    members: BTreeMap<Name, Members>,
    task: tokio::task::JoinHandle<()>,
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

fn cluster(service: &str, tags: &[&str]) -> Cluster {
    let spec = ConsulService {
        service: service.into(),
        tags: tags.iter().map(|t| (*t).to_owned()).collect(),
        meta: BTreeMap::new(),
        datacenter: None,
        address: "service".into(),
    };
    Cluster { consul: Some(spec), ..Cluster::default() }
}

impl Bed {
    /// A hub with a cluster `web` for the service `web`.
    fn new(address: String, edit: impl FnOnce(&mut Live)) -> Self {
        Self::with_state(address, None, edit)
    }

    fn with_state(address: String, state_dir: Option<PathBuf>, edit: impl FnOnce(&mut Live)) -> Self {
        let mut live = Live::default();
        live.consul.address = Some(address);
        live.clusters.insert(name("web"), cluster("web", &[]));
        edit(&mut live);
        let (out, updates) = mpsc::unbounded_channel();
        let statuses = Statuses::default();
        let (live, told) = watch::channel(Arc::new(live));
        let (stop, stopped) = watch::channel(false);
        let hub = Hub::new(out, state_dir, statuses.clone()).with_env(Arc::new(|_| None));
        let task = tokio::spawn(hub.run(told, stopped));
        Self { live, stop, statuses, updates, members: BTreeMap::new(), task }
    }

    /// Waits until the members of a cluster fit.
    async fn until(&mut self, cluster: &str, fits: impl Fn(&Members) -> bool) -> Members {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
        loop {
            if let Some(members) = self.members.get(cluster).filter(|members| fits(members)) {
                return members.clone();
            }
            let Ok(update) = tokio::time::timeout_at(deadline, self.updates.recv()).await else {
                panic!("not within 60 s: {:?}\n{:?}", self.members, self.statuses.list(now()));
            };
            let update = update.unwrap();
            self.members.insert(update.cluster, update.members);
        }
    }

    async fn count(&mut self, cluster: &str, count: usize) {
        self.until(cluster, |members| members.len() == count).await;
    }

    fn status(&self) -> SourceStatus {
        self.statuses.list(now()).into_iter().find(|s| s.cluster.as_str() == "web").unwrap()
    }

    async fn status_until(&self, fits: impl Fn(&SourceStatus) -> bool) -> SourceStatus {
        for _ in 0..3000 {
            let status = self.statuses.list(now()).into_iter().find(|s| s.cluster.as_str() == "web");
            if let Some(status) = status.filter(|s| fits(s)) {
                return status;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("not within 60 s: {:?}", self.status());
    }

    async fn end(self) {
        self.stop.send_replace(true);
        self.task.await.unwrap();
    }
}

fn quantile(mut times: Vec<Duration>, share: f64) -> Duration {
    times.sort();
    times[((times.len() - 1) as f64 * share).round() as usize]
}

#[tokio::test]
async fn registrations_arrive_within_a_moment() {
    let Some(agent) = Agent::start().await else { return };
    let mut bed = Bed::new(agent.address(), |live| live.consul.max_removal_percent = 100);
    bed.count("web", 0).await;
    let (mut up, mut down) = (Vec::new(), Vec::new());
    for port in 1..=5 {
        let start = now();
        agent.register("web", port, json!({})).await;
        bed.count("web", port.into()).await;
        up.push(start.elapsed());
    }
    for port in 2..=5_u16 {
        let start = now();
        agent.deregister(&format!("web-{port}")).await;
        bed.count("web", 6 - usize::from(port)).await;
        down.push(start.elapsed());
    }
    let worst = up.iter().chain(&down).max().copied().unwrap();
    eprintln!(
        "register to update: median {:?}; deregister to update: median {:?}; worst of both {worst:?}",
        quantile(up, 0.5),
        quantile(down, 0.5)
    );
    assert!(worst < Duration::from_millis(250), "{worst:?}");
}

#[tokio::test]
async fn checks_weights_and_maintenance_count_at_once() {
    let Some(agent) = Agent::start().await else { return };
    let mut bed = Bed::new(agent.address(), |_| {});
    let check = json!({"CheckID": "c", "TTL": "1h", "Status": "passing"});
    agent.register("web", 1, json!({"Check": check, "Weights": {"Passing": 10, "Warning": 2}})).await;
    for (path, registry, weight) in [
        ("agent/check/pass/c", Registry::Passing, 10),
        ("agent/check/warn/c", Registry::Warning, 2),
        ("agent/check/fail/c", Registry::Critical, 10),
        ("agent/check/pass/c", Registry::Passing, 10),
        ("agent/service/maintenance/web-1?enable=true", Registry::Maintenance, 10),
        ("agent/service/maintenance/web-1?enable=false", Registry::Passing, 10),
        ("agent/maintenance?enable=true", Registry::Maintenance, 10),
    ] {
        agent.put(path, Value::Null).await;
        bed.until("web", |m| m.len() == 1 && (m[0].registry, m[0].weight) == (registry, weight)).await;
    }
}

#[tokio::test]
async fn tags_select_and_a_change_of_tags_moves_an_instance() {
    let Some(agent) = Agent::start().await else { return };
    let mut bed = Bed::new(agent.address(), |live| {
        live.consul.empty_hold = Span::secs(0);
        live.clusters.insert(name("v1"), cluster("web", &["v1"]));
        live.clusters.insert(name("v2"), cluster("web", &["v2"]));
    });
    agent.register("web", 1, json!({"Tags": ["v1"], "Meta": {"zone": "a"}})).await;
    agent.register("web", 2, json!({"Tags": ["v2", "blue"]})).await;
    let v1 = bed.until("v1", |m| m.len() == 1).await;
    assert_eq!((v1[0].address.port(), v1[0].labels.id.as_str()), (1, "t/web-1"));
    assert_eq!((v1[0].labels.datacenter.as_str(), v1[0].labels.meta["zone"].as_str()), ("dc1", "a"));
    bed.count("v2", 1).await;
    bed.count("web", 2).await;
    agent.register("web", 1, json!({"Tags": ["v2"]})).await;
    bed.count("v2", 2).await;
    bed.count("v1", 0).await;
}

#[tokio::test]
async fn the_last_instance_that_loses_its_tag_goes_at_once() {
    let Some(agent) = Agent::start().await else { return };
    let mut bed = Bed::new(agent.address(), |live| {
        live.clusters.insert(name("blue"), cluster("web", &["blue"]));
        live.clusters.insert(name("green"), cluster("web", &["green"]));
    });
    agent.register("web", 1, json!({"Tags": ["blue"]})).await;
    bed.count("blue", 1).await;
    bed.count("green", 0).await;
    let start = now();
    agent.register("web", 1, json!({"Tags": ["green"]})).await;
    bed.count("green", 1).await;
    bed.count("blue", 0).await;
    let took = start.elapsed();
    eprintln!("retag to update: {took:?}");
    assert!(took < Duration::from_millis(250), "{took:?}");
}

#[tokio::test]
async fn the_last_instance_is_held_and_then_goes() {
    let Some(agent) = Agent::start().await else { return };
    let mut bed = Bed::new(agent.address(), |live| live.consul.empty_hold = Span::secs(3));
    agent.register("web", 1, json!({})).await;
    bed.count("web", 1).await;
    let start = now();
    agent.deregister("web-1").await;
    let status = bed.status_until(|s| s.held == 1).await;
    assert_eq!(status.members, 1);
    bed.count("web", 0).await;
    let held = start.elapsed().as_secs_f64();
    assert!((2.9..4.0).contains(&held), "{held}");
}

#[tokio::test]
async fn an_agent_that_comes_back_empty_takes_nothing_away() {
    let Some(mut agent) = Agent::start().await else { return };
    let mut bed = Bed::new(agent.address(), |_| {});
    agent.register("web", 1, json!({})).await;
    agent.register("web", 2, json!({})).await;
    bed.count("web", 2).await;
    agent.kill();
    bed.status_until(|s| s.errors.contains_key("refused")).await;
    assert_eq!(bed.status().members, 2);
    agent.restart().await;
    let status = bed.status_until(|s| s.held == 2).await;
    assert_eq!((status.members, status.degraded), (2, true));
    agent.register("web", 1, json!({})).await;
    agent.register("web", 3, json!({})).await;
    let members = bed.until("web", |m| m.len() == 3).await;
    assert_eq!(members.iter().map(|m| m.address.port()).collect::<Vec<_>>(), [1, 2, 3]);
    // Nothing but an addition was ever published; the one that did not come back goes when the
    // doubt is over.
    assert_eq!(bed.status_until(|s| s.held == 1).await.members, 3);
    let members = bed.until("web", |m| m.len() == 2).await;
    assert_eq!(members.iter().map(|m| m.address.port()).collect::<Vec<_>>(), [1, 3]);
}

#[tokio::test]
async fn a_frozen_agent_is_noticed_and_changes_nothing() {
    let Some(agent) = Agent::start().await else { return };
    let mut bed = Bed::new(agent.address(), |live| live.consul.wait = Span::secs(1));
    agent.register("web", 1, json!({})).await;
    bed.count("web", 1).await;
    agent.freeze();
    let status = bed.status_until(|s| s.errors.contains_key("timeout")).await;
    agent.thaw();
    assert_eq!((status.members, status.held), (1, 0));
    assert!(status.last_success_age_seconds.unwrap() > 9.0);
    agent.register("web", 2, json!({})).await;
    bed.count("web", 2).await;
}

#[tokio::test]
async fn a_unix_socket_is_an_address() {
    let dir = tempfile::tempdir().unwrap();
    let socket = format!("unix://{}", dir.path().join("c.sock").display());
    let addresses = json!({"addresses": {"http": format!("127.0.0.1 {socket}")}});
    let Some(agent) = Agent::start_in(dir, addresses, None).await else { return };
    let mut bed = Bed::new(socket, |_| {});
    agent.register("web", 1, json!({})).await;
    bed.count("web", 1).await;
}

#[tokio::test]
async fn tls_with_a_client_certificate_and_the_name_in_the_certificate() {
    if !consul::available() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    consul::consul(dir.path(), &["tls", "ca", "create"]);
    consul::consul(dir.path(), &["tls", "cert", "create", "-server"]);
    consul::consul(dir.path(), &["tls", "cert", "create", "-client"]);
    let file = |name: &str| dir.path().join(name);
    let (ca, cert, key) =
        (file("consul-agent-ca.pem"), file("dc1-client-consul-0.pem"), file("dc1-client-consul-0-key.pem"));
    let [https] = consul::free_ports();
    let config = json!({
        "ports": {"https": https}, "verify_incoming_https": true, "ca_file": ca,
        "cert_file": file("dc1-server-consul-0.pem"), "key_file": file("dc1-server-consul-0-key.pem"),
    });
    let Some(agent) = Agent::start_in(dir, config, None).await else { return };
    agent.register("web", 1, json!({})).await;
    let address = format!("https://127.0.0.1:{https}");
    let mut bed = Bed::new(address.clone(), |live| {
        live.consul.ca = Some(ca.clone());
        live.consul.cert = Some(cert.clone());
        live.consul.key = Some(key.clone());
        live.consul.server_name = Some("server.dc1.consul".into());
    });
    bed.count("web", 1).await;
    agent.register("web", 2, json!({})).await;
    bed.count("web", 2).await;

    let wrong_name = Bed::new(address.clone(), |live| {
        live.consul.ca = Some(ca.clone());
        live.consul.server_name = Some("other.dc1.consul".into());
    });
    wrong_name.status_until(|s| s.errors.contains_key("tls")).await;

    // An authority that is not the agent's, until its file is replaced.
    let elsewhere = tempfile::tempdir().unwrap();
    consul::consul(elsewhere.path(), &["tls", "ca", "create"]);
    let rotated = elsewhere.path().join("consul-agent-ca.pem");
    let mut bed = Bed::new(address, |live| {
        live.consul.ca = Some(rotated.clone());
        live.consul.cert = Some(cert.clone());
        live.consul.key = Some(key.clone());
        live.consul.server_name = Some("server.dc1.consul".into());
    });
    bed.status_until(|s| s.errors.contains_key("tls")).await;
    std::fs::copy(&ca, &rotated).unwrap();
    bed.count("web", 2).await;
}

#[tokio::test]
async fn a_token_file_that_becomes_empty_or_wrong_takes_nothing_away() {
    const MASTER: &str = "5c9e2f60-6b0f-4d7e-8c57-000000000001";
    let acl = json!({"acl": {"enabled": true, "default_policy": "deny", "tokens": {"master": MASTER}}});
    let Some(agent) = Agent::start_with(acl, Some(MASTER)).await else { return };
    agent.register("web", 1, json!({})).await;
    let file = agent.dir().join("token");
    std::fs::write(&file, MASTER).unwrap();
    let mut bed = Bed::new(agent.address(), |live| {
        live.consul.wait = Span::secs(1);
        live.consul.token_file = Some(file.clone());
    });
    bed.count("web", 1).await;
    std::fs::write(&file, "\n").unwrap();
    let status = bed.status_until(|s| s.errors.contains_key("no_token")).await;
    assert_eq!((status.members, status.held), (1, 0));
    std::fs::write(&file, "5c9e2f60-6b0f-4d7e-8c57-00000000dead").unwrap();
    let status = bed.status_until(|s| s.errors.contains_key("forbidden")).await;
    assert_eq!((status.members, status.held), (1, 0));
    std::fs::write(&file, MASTER).unwrap();
    agent.register("web", 2, json!({})).await;
    bed.count("web", 2).await;
}

#[tokio::test]
async fn a_wrong_fixed_token_is_a_failure_and_not_an_empty_service() {
    const MASTER: &str = "5c9e2f60-6b0f-4d7e-8c57-000000000001";
    let acl = json!({"acl": {"enabled": true, "default_policy": "deny", "tokens": {"master": MASTER}}});
    let Some(agent) = Agent::start_with(acl, Some(MASTER)).await else { return };
    let bed = Bed::new(agent.address(), |live| live.consul.token = Some(Secret::new("wrong")));
    bed.status_until(|s| s.errors.contains_key("forbidden")).await;
    assert_eq!(bed.statuses.awaiting(), [name("web")]);
}

#[tokio::test]
async fn swept_services_follow_too() {
    let Some(agent) = Agent::start().await else { return };
    let services: Vec<String> = (0..20).map(|n| format!("swept-{n:02}")).collect();
    for (service, port) in services.iter().zip(100..) {
        agent.register(service, port, json!({})).await;
    }
    let mut bed = Bed::new(agent.address(), |live| {
        live.consul.max_watchers = 2;
        for service in &services {
            live.clusters.insert(name(service), cluster(service, &[]));
        }
    });
    for service in &services {
        bed.count(service, 1).await;
    }
    let check = json!({"CheckID": "c", "TTL": "1h", "Status": "passing"});
    let mut times = Vec::new();
    for port in 1..=5 {
        let start = now();
        agent.register("swept-19", port, json!({"Check": check})).await;
        bed.count("swept-19", usize::from(port) + 1).await;
        times.push(start.elapsed());
    }
    agent.put("agent/check/fail/c", Value::Null).await;
    bed.until("swept-19", |m| m.iter().any(|m| m.registry == Registry::Critical)).await;
    eprintln!("swept: register to update: {times:?}");
}

#[tokio::test]
async fn a_cold_start_without_consul_works_from_disk() {
    let Some(mut agent) = Agent::start().await else { return };
    let state = TempDir::new().unwrap();
    let dir = Some(state.path().to_owned());
    let mut bed = Bed::with_state(agent.address(), dir.clone(), |_| {});
    agent.register("web", 1, json!({})).await;
    bed.count("web", 1).await;
    bed.end().await;
    agent.kill();
    let mut bed = Bed::with_state(agent.address(), dir, |_| {});
    bed.count("web", 1).await;
    assert!(bed.statuses.awaiting_of(&bed.live.borrow()).is_empty());
    let status = bed.status_until(|s| !s.errors.is_empty()).await;
    assert_eq!((status.origin, status.degraded, status.members), (Some(Origin::Disk), true, 1));
    agent.restart().await;
    agent.register("web", 2, json!({})).await;
    bed.until("web", |m| m.iter().any(|m| m.address.port() == 2)).await;
    assert_eq!(bed.status_until(|s| s.origin == Some(Origin::Live)).await.held, 1);
}

#[tokio::test]
async fn a_reload_starts_stops_and_moves_clusters() {
    let Some(agent) = Agent::start().await else { return };
    let Some(other) = Agent::start().await else { return };
    agent.register("web", 1, json!({})).await;
    agent.register("api", 2, json!({})).await;
    other.register("web", 3, json!({})).await;
    let mut bed = Bed::new(agent.address(), |_| {});
    bed.count("web", 1).await;
    let mut live = Live::clone(&bed.live.borrow());
    live.clusters.insert(name("api"), cluster("api", &[]));
    bed.live.send_replace(Arc::new(live.clone()));
    bed.count("api", 1).await;
    live.clusters.remove(&name("api"));
    live.consul.address = Some(other.address());
    bed.live.send_replace(Arc::new(live));
    bed.until("web", |m| m.len() == 1 && m[0].address.port() == 3).await;
    assert_eq!(bed.statuses.list(now()).len(), 1);
}
