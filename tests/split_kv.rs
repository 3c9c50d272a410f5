//! Split documents in a real Consul: what is written is heard by everybody, and what happens to
//! Consul takes nothing away.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "this is a test")]

#[path = "support/consul.rs"]
mod consul;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tidegate::config::Name;
use tidegate::config::live::Live;
use tidegate::config::value::{Secret, Span};
use tidegate::discovery::consul::splits::{
    self, Change, Document, Documents, Event, Fleet, FleetError, Setup, Written,
};
use tidegate::split::Amendment;
use tokio::sync::{mpsc, watch};

use consul::Agent;

const PREFIX: &str = "tidegate/splits";
const MASTER: &str = "5c9e2f60-6b0f-4d7e-8c57-000000000001";

/// A node: it follows the documents.
struct Node {
    setup: Setup,
    events: mpsc::UnboundedReceiver<Event>,
    last: Documents,
    failures: usize,
    _stop: watch::Sender<bool>,
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

fn weights(list: &[(&str, u64)]) -> BTreeMap<Name, u64> {
    list.iter().map(|(variant, weight)| (name(variant), *weight)).collect()
}

fn change(list: &[(&str, u64)]) -> Change {
    Change { weights: Some(weights(list)), author: "test".into(), ..Change::default() }
}

fn any(_: &Amendment) -> Vec<tidegate::config::Problem> {
    Vec::new()
}

impl Node {
    fn new(agent: &Agent, edit: impl FnOnce(&mut Live)) -> Self {
        Self::at(agent.address(), edit)
    }

    fn at(address: String, edit: impl FnOnce(&mut Live)) -> Self {
        let mut live = Live::default();
        live.consul.address = Some(address);
        edit(&mut live);
        let setup = Setup::new(&live.consul, PREFIX, &|_| None);
        let (out, events) = mpsc::unbounded_channel();
        let (stop, stopped) = watch::channel(false);
        tokio::spawn(splits::watch(setup.clone(), BTreeMap::new(), out, stopped));
        Self { setup, events, last: Documents::default(), failures: 0, _stop: stop }
    }

    fn fleet(&self) -> Fleet {
        self.setup.fleet().unwrap()
    }

    async fn event(&mut self) -> Event {
        let event = tokio::time::timeout(Duration::from_secs(60), self.events.recv()).await;
        let event = event.unwrap_or_else(|_| panic!("no event within 60 s; last: {:?}", self.last)).unwrap();
        match &event {
            Event::Documents(documents) => self.last = documents.clone(),
            Event::Failed { .. } => self.failures += 1,
            Event::Unchanged => {}
        }
        event
    }

    async fn until(&mut self, fits: impl Fn(&Documents) -> bool) {
        let start = now();
        while !matches!(self.event().await, Event::Documents(documents) if fits(&documents)) {
            assert!(start.elapsed() < Duration::from_secs(60), "not within 60 s; last: {:?}", self.last);
        }
    }

    /// Waits for a failure of one of these kinds.
    async fn fails(&mut self, wanted: &[&str]) -> String {
        let start = now();
        loop {
            let event = self.event().await;
            if let Event::Failed { kind, why } = &event
                && wanted.contains(kind)
            {
                return why.clone();
            }
            assert!(start.elapsed() < Duration::from_secs(60), "not within 60 s; last: {event:?}");
        }
    }

    /// Waits for a document at this epoch.
    async fn epoch(&mut self, route: &str, epoch: u64) {
        self.until(|documents| good(documents, route).is_some_and(|good| good.epoch == epoch)).await;
    }
}

fn good<'a>(documents: &'a Documents, route: &str) -> Option<&'a Amendment> {
    documents.all.get(route).and_then(|document| document.outcome.as_ref().ok())
}

fn kept(documents: &Documents, route: &str) -> Option<String> {
    documents.all.get(route).and_then(|document: &Document| document.kept.clone())
}

#[tokio::test]
async fn a_write_is_heard_by_every_node_within_a_moment() {
    let Some(agent) = Agent::start().await else { return };
    let (mut one, mut two) = (Node::new(&agent, |_| {}), Node::new(&agent, |_| {}));
    one.until(|documents| documents.all.is_empty()).await;
    two.until(|documents| documents.all.is_empty()).await;
    let fleet = one.fleet();
    let mut times = Vec::new();
    for epoch in 1..=20 {
        let start = now();
        let written = fleet.set(&name("shop"), &change(&[("b", epoch)]), &any).await.unwrap();
        let answered = start.elapsed();
        assert_eq!(written.epoch, epoch);
        one.epoch("shop", epoch).await;
        two.epoch("shop", epoch).await;
        times.push((answered, start.elapsed()));
        assert_eq!(one.last.all[&name("shop")].modify_index, written.modify_index.unwrap());
        assert_eq!(one.last, two.last);
        // No faster than the bucket grants.
        tokio::time::sleep(Duration::from_millis(210)).await;
    }
    let (mut answered, mut heard): (Vec<_>, Vec<_>) = times.into_iter().unzip();
    answered.sort();
    heard.sort();
    eprintln!(
        "set answered: median {:?}, worst {:?}; heard by two nodes: median {:?}, worst {:?}",
        answered[10], answered[19], heard[10], heard[19]
    );
    assert!(heard[19] < Duration::from_millis(250), "{heard:?}");
}

#[tokio::test]
async fn a_deleted_document_is_gone_everywhere() {
    let Some(agent) = Agent::start().await else { return };
    let mut node = Node::new(&agent, |_| {});
    let fleet = node.fleet();
    fleet.set(&name("shop"), &change(&[("b", 1)]), &any).await.unwrap();
    fleet.set(&name("blog"), &change(&[("b", 1)]), &any).await.unwrap();
    node.until(|documents| documents.all.len() == 2).await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    for (route, left) in [("shop", 1), ("blog", 0)] {
        let url = format!("http://{}/v1/kv/{PREFIX}/{route}", agent.address());
        let start = now();
        assert_eq!(client.delete(url).send().await.unwrap().status(), 200);
        node.until(|documents| documents.all.len() == left).await;
        let took = start.elapsed();
        eprintln!("delete to gone: {took:?}");
        assert!(took < Duration::from_millis(250), "{took:?}");
    }
}

#[tokio::test]
async fn of_two_writers_one_wins_and_the_other_is_told() {
    let Some(agent) = Agent::start().await else { return };
    let node = Node::new(&agent, |_| {});
    let (one, two) = (node.fleet(), node.fleet());
    let shop = name("shop");
    for epoch in 0..10 {
        let if_epoch = Some(epoch);
        let (a, b) = (Change { if_epoch, ..change(&[("a", 1)]) }, Change { if_epoch, ..change(&[("a", 2)]) });
        let both = tokio::join!(one.set(&shop, &a, &any), two.set(&shop, &b, &any));
        let (won, lost) = match both {
            (Ok(won), Err(lost)) | (Err(lost), Ok(won)) => (won, lost),
            other => panic!("{other:?}"),
        };
        assert_eq!((won.epoch, lost), (epoch + 1, FleetError::Conflict { epoch: epoch + 1 }));
    }
    // Without a precondition both get through, one on top of the other.
    let (a, b) = (change(&[("x", 7)]), change(&[("y", 8)]));
    let (a, b) = tokio::join!(one.set(&shop, &a, &any), two.set(&shop, &b, &any));
    let last = [a.unwrap(), b.unwrap()].into_iter().max_by_key(|written| written.epoch).unwrap();
    assert_eq!(
        (last.epoch, last.amendment.weights.get("x"), last.amendment.weights.get("y")),
        (12, Some(&7), Some(&8))
    );
}

#[tokio::test]
async fn a_malformed_document_disables_itself_and_is_mended() {
    let Some(agent) = Agent::start().await else { return };
    let mut node = Node::new(&agent, |_| {});
    let fleet = node.fleet();
    fleet.set(&name("blog"), &change(&[("b", 1)]), &any).await.unwrap();
    agent.put(&format!("kv/{PREFIX}/shop"), json!({"weights": {"a": -3}, "epoch": 6})).await;
    agent.put(&format!("kv/{PREFIX}/empty?x="), Value::Null).await;
    agent.put(&format!("kv/{PREFIX}/not/a/route"), json!({"weights": {}})).await;
    agent.put(&format!("kv/{PREFIX}-old/shop"), json!({"weights": {}})).await;
    node.until(|documents| documents.all.len() == 3 && documents.ignored == 1).await;
    let problem = node.last.all[&name("shop")].outcome.clone().unwrap_err().to_string();
    assert!(problem.starts_with("tidegate/splits/shop: weights.a: the weight -3 is negative"), "{problem}");
    assert!(good(&node.last, "blog").is_some() && good(&node.last, "empty").is_none());
    assert_eq!(fleet.set(&name("shop"), &change(&[("a", 3)]), &any).await.unwrap().epoch, 7);
    node.epoch("shop", 7).await;
}

#[tokio::test]
async fn an_agent_that_dies_and_comes_back_empty_takes_nothing_away() {
    let Some(mut agent) = Agent::start().await else { return };
    let mut node = Node::new(&agent, |_| {});
    let fleet = node.fleet();
    for route in ["shop", "blog"] {
        fleet.set(&name(route), &change(&[("b", 5)]), &any).await.unwrap();
    }
    node.until(|documents| documents.all.len() == 2).await;
    agent.kill();
    node.fails(&["refused"]).await;
    let error = fleet.set(&name("shop"), &change(&[("b", 6)]), &any).await.unwrap_err();
    assert!(error.to_string().starts_with("nothing was written: connection refused"), "{error}");
    agent.restart().await;
    node.until(|documents| {
        assert_eq!(documents.all.len(), 2);
        kept(documents, "shop").is_some() && kept(documents, "blog").is_some()
    })
    .await;
    eprintln!("{}", kept(&node.last, "shop").unwrap());
    let known = good(&node.last, "shop").cloned();
    let written = fleet.set(&name("shop"), &Change { known, ..change(&[("c", 6)]) }, &any).await.unwrap();
    assert_eq!((written.epoch, written.amendment.weights), (2, weights(&[("b", 5), ("c", 6)])));
    node.epoch("shop", 2).await;
    assert_eq!((kept(&node.last, "shop"), node.last.all.len()), (None, 2));
    assert!(kept(&node.last, "blog").is_some());
}

/// A server that keeps its data, which the kit's agents do not. It ends when dropped.
struct Server {
    child: Child,
    dir: tempfile::TempDir,
    ports: [u16; 4],
}

impl Server {
    fn start() -> Option<Self> {
        if !consul::available() {
            return None;
        }
        let (dir, ports) = (tempfile::tempdir().unwrap(), consul::free_ports());
        let child = Self::spawn(dir.path(), ports);
        Some(Self { child, dir, ports })
    }

    fn spawn(dir: &Path, [http, lan, wan, server]: [u16; 4]) -> Child {
        let config = dir.join("agent.json");
        let ports =
            json!({"http": http, "serf_lan": lan, "serf_wan": wan, "server": server, "dns": -1, "grpc": -1});
        let more = json!({"ports": ports, "performance": {"raft_multiplier": 1}});
        std::fs::write(&config, more.to_string()).unwrap();
        Command::new("consul")
            .args(["agent", "-server", "-bootstrap", "-node=t", "-bind=127.0.0.1", "-client=127.0.0.1"])
            .arg(format!("-data-dir={}", dir.join("data").display()))
            .arg(format!("-config-file={}", config.display()))
            .env("GOMAXPROCS", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }

    fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    fn restart(&mut self) {
        self.kill();
        self.child = Self::spawn(self.dir.path(), self.ports);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Writes as soon as there is a leader.
async fn set_at_last(fleet: &Fleet, change: &Change) -> Written {
    let start = now();
    loop {
        match fleet.set(&name("shop"), change, &any).await {
            Ok(written) => return written,
            Err(error) => assert!(start.elapsed() < Duration::from_secs(60), "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_server_that_comes_back_with_its_data_changes_nothing() {
    let Some(mut server) = Server::start() else { return };
    let mut node = Node::at(format!("127.0.0.1:{}", server.ports[0]), |_| {});
    let fleet = node.fleet();
    let first = set_at_last(&fleet, &change(&[("b", 5)])).await;
    node.epoch("shop", first.epoch).await;
    let before = node.last.clone();
    server.restart();
    eprintln!("{}", node.fails(&["reset", "refused", "truncated"]).await);
    // Its list comes back as it was, and is nothing new.
    let start = now();
    while node.event().await != Event::Unchanged {
        assert!(start.elapsed() < Duration::from_secs(60));
    }
    eprintln!("as before {:?} after the restart", start.elapsed());
    assert_eq!(node.last, before);
    let next = set_at_last(&fleet, &Change { if_epoch: Some(first.epoch), ..change(&[("c", 6)]) }).await;
    assert_eq!((next.epoch, next.amendment.weights), (first.epoch + 1, weights(&[("b", 5), ("c", 6)])));
    node.epoch("shop", next.epoch).await;
    eprintln!("{} failures told", node.failures);
}

#[tokio::test]
async fn a_token_that_loses_its_rights_takes_nothing_away() {
    let acl = json!({"acl": {"enabled": true, "default_policy": "deny", "tokens": {"master": MASTER}}});
    let Some(agent) = Agent::start_with(acl, Some(MASTER)).await else { return };
    let policy = |rules: &str| json!({"Name": "splits", "Rules": rules});
    const READ: &str = r#"key_prefix "tidegate/splits" { policy = "read" }"#;
    let made = agent.put("acl/policy", policy(READ)).await;
    let id = made["ID"].as_str().unwrap().to_owned();
    let token = agent.put("acl/token", json!({"Policies": [{"ID": id}]})).await;
    let secret = token["SecretID"].as_str().unwrap().to_owned();
    let reader = |wait| {
        let token = Secret::new(secret.clone());
        move |live: &mut Live| (live.consul.token, live.consul.wait) = (Some(token), Span::secs(wait))
    };
    let master = Node::new(&agent, |live| live.consul.token = Some(Secret::new(MASTER))).fleet();
    master.set(&name("shop"), &change(&[("b", 5)]), &any).await.unwrap();
    let mut node = Node::new(&agent, reader(1));
    node.epoch("shop", 1).await;
    // It may read, not write.
    let error = node.fleet().set(&name("shop"), &change(&[("b", 6)]), &any).await.unwrap_err();
    assert!(error.to_string().contains("Permission denied"), "{error}");
    // Now neither: the list is a 404 with an index.
    let rules = policy(r#"key_prefix "other" { policy = "read" }"#);
    agent.put(&format!("acl/policy/{id}"), rules).await;
    node.until(|documents| {
        assert_eq!(documents.all.len(), 1);
        kept(documents, "shop").is_some()
    })
    .await;
    eprintln!("{}", kept(&node.last, "shop").unwrap());
    // One that starts now says so, and does not take it for an empty folder.
    let mut young = Node::new(&agent, reader(1));
    eprintln!("{}", young.fails(&["forbidden"]).await);
    assert_eq!(young.last, Documents::default());
    agent.put(&format!("acl/policy/{id}"), policy(READ)).await;
    master.set(&name("shop"), &change(&[("b", 7)]), &any).await.unwrap();
    node.until(|documents| {
        assert_eq!(documents.all.len(), 1);
        kept(documents, "shop").is_none() && good(documents, "shop").is_some_and(|good| good.epoch == 2)
    })
    .await;
    young.epoch("shop", 2).await;
}

#[tokio::test]
async fn a_hot_key_does_not_make_us_spin() {
    let Some(agent) = Agent::start().await else { return };
    let mut node = Node::new(&agent, |_| {});
    node.until(|documents| documents.all.is_empty()).await;
    let start = now();
    let mut epoch = 0;
    while start.elapsed() < Duration::from_secs(3) {
        epoch += 1;
        agent.put(&format!("kv/{PREFIX}/shop"), json!({"weights": {"a": 1}, "epoch": epoch})).await;
    }
    node.epoch("shop", epoch).await;
    let mut heard = 0;
    while node.events.try_recv().is_ok() {
        heard += 1;
    }
    eprintln!(
        "{epoch} writes in 3 s; the last one heard {:?} after the start, {heard} later",
        start.elapsed()
    );
    assert!(start.elapsed() < Duration::from_secs(4));
}
