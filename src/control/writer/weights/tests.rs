//! The real writer, with a config that is built in and a directory of its own.

use std::path::Path;
use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use super::*;
use crate::config::{Config, File};
use crate::control::Inbox;
use crate::control::ledger::Stored;
use crate::control::ready::Ready;
use crate::filter::Registry;
use crate::observe::Metrics;
use crate::snapshot::compile::Surroundings;
use crate::snapshot::{Cell, Snapshot, Table};
use crate::split::{Amendment, Origin};
use crate::state_file::Owner;

struct Running {
    inbox: Inbox,
    cell: Arc<Cell>,
    /// Ends the writer when dropped.
    _stop: watch::Sender<bool>,
    _updates: mpsc::UnboundedSender<crate::discovery::Update>,
}

/// A running writer.
async fn start(dir: Option<&Path>) -> Running {
    let (writer, cell) = writer(dir);
    run(writer, cell).await
}

async fn run(writer: Writer, cell: Arc<Cell>) -> Running {
    let (inbox, changes) = Inbox::new();
    let (updates, heard) = mpsc::unbounded_channel();
    let (stop, stopped) = watch::channel(false);
    let (started, first) = tokio::sync::oneshot::channel();
    tokio::spawn(writer.run(changes, heard, move || started.send(()).unwrap(), stopped));
    first.await.unwrap();
    Running { inbox, cell, _stop: stop, _updates: updates }
}

/// A writer whose route `shop` has the variants a (1) and b (1), and follows the documents below `p`.
fn writer(dir: Option<&Path>) -> (Writer, Arc<Cell>) {
    let file: File = serde_json::from_value(serde_json::json!({
        "server": {"state_dir": dir},
        "access_log": {"path": "none"},
        "splits": {"consul_kv": "p"},
        "clusters": {"c": {"static": {"endpoints": []}}},
        "routes": [{"name": "shop", "split": {"variants": [
            {"name": "a", "cluster": "c", "weight": 1}, {"name": "b", "cluster": "c", "weight": 1},
        ]}}],
    }))
    .unwrap();
    let metrics = Arc::new(Metrics::new().unwrap());
    let around = Surroundings {
        metrics,
        filters: Registry::default(),
        listeners: Vec::new(),
        tcp: Vec::new(),
        mirrors: Arc::default(),
    };
    let cell = Arc::new(Cell::new(Snapshot::empty(Table::empty(&around), Arc::default())));
    let ready = Arc::new(Ready::new());
    let (config, owner) = (Config::from(file), Owner::default());
    let mut writer = Writer::new(config, None, Arc::new(around), cell.clone(), ready, None, owner).unwrap();
    // Nobody writes documents here unless a test does.
    writer.documents_answered("p");
    (writer, cell)
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn wish(a: u64, b: u64) -> Request {
    Request {
        route: name("shop"),
        wish: Wish::Set([(name("a"), a), (name("b"), b)].into()),
        author: "ann".into(),
        why: String::new(),
        if_generation: None,
        if_epoch: None,
    }
}

fn document(variant: &str, weight: u64, epoch: u64) -> Standing {
    let weights = [(name(variant), weight)].into();
    let author = "ops".to_owned();
    let amendment = Some(Amendment { weights, epoch, author, ..Amendment::default() });
    Standing { origin: Origin::ConsulKv, amendment, ..Standing::default() }
}

impl Running {
    /// Weights, origin, epoch, problem.
    fn serves(&self) -> (Vec<u64>, Origin, u64, bool) {
        let snapshot = self.cell.load();
        let split = snapshot.split("shop").unwrap();
        (split.weights.values().to_vec(), split.origin(), split.epoch(), split.problem.is_some())
    }

    /// Tells documents and waits until the writer has taken them.
    async fn hears(&self, documents: &[Standing]) {
        let said = documents.iter().map(|said| (name("shop"), said.clone())).collect();
        self.inbox.documents("p".into(), said);
        let nobody = Request { route: name("nobody"), ..wish(1, 1) };
        assert!(matches!(self.inbox.weights(nobody).await, Err(Refused::Unknown { .. })));
    }
}

#[tokio::test]
async fn the_fleet_takes_over_and_gives_back_and_lasts() {
    let dir = tempfile::tempdir().unwrap();
    let running = start(Some(dir.path())).await;
    assert_eq!(running.inbox.weights(wish(5, 5)).await.unwrap().epoch, 1);
    running.hears(&[document("a", 9, 4)]).await;
    assert_eq!(running.serves(), (vec![9, 1], Origin::ConsulKv, 4, false));
    assert!(running.cell.load().cause.starts_with("consul_kv: shop (ops)"), "{}", running.cell.load().cause);
    let refused = running.inbox.weights(wish(1, 0)).await;
    assert!(matches!(refused, Err(Refused::OfFleet { epoch: 4, .. })), "{refused:?}");
    let generation = running.cell.load().generation;
    running.hears(&[document("a", 9, 4)]).await;
    assert_eq!(running.cell.load().generation, generation, "the same again is nothing new");
    running.hears(&[document("gone", 1, 5)]).await;
    assert_eq!(running.serves(), (vec![9, 1], Origin::ConsulKv, 4, true));
    // What waits behind a change is answered when that is on disk, so `hears` has waited for it.
    drop(running);
    let again = start(Some(dir.path())).await;
    assert_eq!(again.serves(), (vec![9, 1], Origin::ConsulKv, 4, false), "with Consul away");
    again.hears(&[]).await;
    assert_eq!(again.serves(), (vec![5, 5], Origin::Overlay, 1, false), "what this node had said");
}

#[tokio::test]
async fn changes_keep_their_order_and_each_is_on_disk_when_it_is_answered() {
    let dir = tempfile::tempdir().unwrap();
    let running = start(Some(dir.path())).await;
    let asked = (1..=50).map(|weight| {
        let (inbox, dir) = (running.inbox.clone(), dir.path());
        async move {
            let done = inbox.weights(wish(weight, 1)).await.unwrap();
            let stored: Stored = overlay::load(dir);
            (done.epoch, stored.splits[&name("shop")].epoch)
        }
    });
    for (index, (epoch, on_disk)) in futures::future::join_all(asked).await.into_iter().enumerate() {
        assert_eq!(epoch, u64::try_from(index).unwrap() + 1, "in the order in which they were asked");
        assert!(on_disk >= epoch, "{on_disk} < {epoch}");
    }
    assert_eq!(running.serves().0, [50, 1]);
}

/// While a change is written, its ground may be taken away; then the file is put right again.
#[tokio::test]
async fn what_no_longer_serves_when_it_is_on_disk_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (mut writer, cell) = writer(Some(dir.path()));
    writer.promote_if_warm();
    let (reply, answer) = tokio::sync::oneshot::channel();
    writer.weights(wish(7, 7), reply);
    writer.documents("p", [(name("shop"), document("a", 9, 4))].into());
    let (change, outcome) = writer.desk.written().await;
    assert!(change.is_some() && overlay::load(dir.path()).splits.contains_key(&name("shop")));
    writer.written(change, outcome);
    assert!(matches!(answer.await.unwrap(), Err(Refused::OfFleet { .. })));
    assert_eq!(cell.load().split("shop").unwrap().weights.values(), [9, 1]);
    let (change, outcome) = writer.desk.written().await;
    assert!(change.is_none() && outcome.is_ok() && overlay::load(dir.path()).splits.is_empty());
    writer.written(change, outcome);
    assert!(writer.desk.idle());
}

#[tokio::test]
async fn a_disk_that_hangs_keeps_nobody_waiting_but_who_needs_it() {
    let dir = tempfile::tempdir().unwrap();
    let (mut writer, cell) = writer(Some(dir.path()));
    writer.desk.hang();
    let running = run(writer, cell).await;
    let mut asked = Box::pin(running.inbox.weights(wish(7, 7)));
    let said = [(name("shop"), document("a", 9, 4))];
    for (round, epoch) in [4, 5].into_iter().enumerate() {
        let said = said.clone().map(|(route, mut said)| {
            said.amendment.as_mut().unwrap().epoch = epoch;
            (route, said)
        });
        running.inbox.documents("p".into(), said.into());
        let waited = tokio::time::timeout(std::time::Duration::from_millis(200), &mut asked).await;
        assert!(waited.is_err(), "it is not on disk");
        assert_eq!(running.serves(), (vec![9, 1], Origin::ConsulKv, epoch, false), "round {round}");
    }
}

#[tokio::test]
async fn without_a_directory_it_says_what_that_means() {
    let running = start(None).await;
    let done = running.inbox.weights(wish(1, 0)).await.unwrap();
    assert_eq!((done.generation, done.epoch, done.warnings.len()), (2, 1, 1));
    running.hears(&[document("b", 3, 1)]).await;
    assert_eq!(running.serves(), (vec![1, 3], Origin::ConsulKv, 1, false));
}

#[test]
fn a_signature_is_as_long_as_what_is_known() {
    let all = [("", ""), ("ann", ""), ("", "why"), ("ann", "why")].map(|(author, why)| signed(author, why));
    assert_eq!(all, ["", " (ann)", " (why)", " (ann: why)"]);
}
