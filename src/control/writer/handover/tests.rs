//! Two writers with all that belongs to them, one after the other, in one process.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::*;
use crate::config::{Config, File};
use crate::control::ledger::Stored;
use crate::control::ready::Ready;
use crate::control::weights::{Request, Wish};
use crate::control::{Inbox, drains, overlay};
use crate::discovery::keep::{Begin, Keeper, Message, guard};
use crate::discovery::{Answers, Quality, Statuses};
use crate::endpoint::{Checked, Endpoint, Member, Members, Registry, Standing};
use crate::filter::Registry as Filters;
use crate::observe::Metrics;
use crate::snapshot::compile::Surroundings;
use crate::snapshot::{Cell, Snapshot, Table};

struct Process {
    inbox: Inbox,
    cell: Arc<Cell>,
    owner: Owner,
    keeper: mpsc::UnboundedSender<Message>,
    answers: Answers,
    /// Ends it when dropped.
    _stop: watch::Sender<bool>,
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn set(ports: impl IntoIterator<Item = u16>) -> Members {
    Members::new(ports.into_iter().map(|port| Member {
        address: SocketAddr::from(([127, 0, 0, 1], port)),
        weight: 1,
        registry: Registry::Passing,
        labels: Arc::default(),
    }))
}

fn config(dir: &Path) -> Config {
    let file: File = serde_json::from_value(serde_json::json!({
        "server": {"state_dir": dir},
        "access_log": {"path": "none"},
        "clusters": {"web": {
            "consul": {"service": "web"},
            "health_check": {"interval": "1s"},
            "outlier_detection": {},
        }},
        "routes": [{"name": "shop", "split": {"variants": [
            {"name": "a", "cluster": "web", "weight": 1}, {"name": "b", "cluster": "web", "weight": 1},
        ]}}],
    }))
    .unwrap();
    Config::from(file)
}

impl Process {
    /// Runs once there are members, from its source or by heritage.
    async fn start(dir: &Path, file: Option<PathBuf>, heritage: Option<Heritage>, members: &[u16]) -> Self {
        let around = Surroundings {
            metrics: Arc::new(Metrics::new().unwrap()),
            filters: Filters::default(),
            listeners: Vec::new(),
            tcp: Vec::new(),
            mirrors: Arc::default(),
        };
        let cell = Arc::new(Cell::new(Snapshot::empty(Table::empty(&around), Arc::default())));
        let (around, ready) = (Arc::new(around), Arc::new(Ready::new()));
        let owner = if heritage.is_some() { Owner::heir() } else { Owner::default() };
        let config = config(dir);
        let fingerprint = config.live.clusters[&name("web")].fingerprint();
        let mut writer =
            Writer::new(config, file, around, cell.clone(), ready, heritage, owner.clone()).unwrap();
        let (keeper, messages) = mpsc::unbounded_channel();
        let (updates, heard) = mpsc::unbounded_channel();
        let (stop, stopped) = watch::channel(false);
        writer.keeper(Line::new(keeper.clone()));
        let keeping = Keeper::new(updates, Statuses::default(), Some(dir.into()), owner.clone());
        tokio::spawn(keeping.run(messages, stopped.clone()));
        let answers = Answers::new(name("web"), 1, keeper.clone());
        let begin = Begin {
            answers: answers.clone(),
            source: "consul",
            subject: "web".into(),
            spec: "web".into(),
            fingerprint,
            rules: guard::Rules::default(),
            max_age: Duration::from_secs(3600),
        };
        keeper.send(Message::Begin(Box::new(begin))).unwrap();
        let (inbox, changes) = Inbox::new();
        let (started, first) = oneshot::channel();
        tokio::spawn(writer.run(changes, heard, move || started.send(()).unwrap(), stopped));
        let running = Self { inbox, cell, owner, keeper, answers, _stop: stop };
        if !members.is_empty() {
            running.hears(members);
        }
        tokio::time::timeout(Duration::from_secs(3), first).await.expect("it serves at once").unwrap();
        running
    }

    fn hears(&self, ports: &[u16]) {
        let members = set(ports.iter().copied());
        self.answers.members(members, Quality::Good, Instant::now().into_std());
    }

    async fn weights(&self, a: u64) -> Result<u64, Refused> {
        let wish = Wish::Set([(name("a"), a)].into());
        let (author, why, if_generation, if_epoch) = ("ann".into(), String::new(), None, None);
        let request = Request { route: name("shop"), wish, author, why, if_generation, if_epoch };
        self.inbox.weights(request).await.map(|done| done.generation)
    }

    async fn drain(&self, port: u16) -> Result<Applied, DrainError> {
        let address = Some(([127, 0, 0, 1], port).into());
        let (author, why) = (String::new(), String::new());
        self.inbox.drain(drains::Request { cluster: name("web"), address, on: true, author, why }).await
    }

    async fn told(&self, last: bool) -> Heritage {
        let told = self.inbox.bequeath(last).await.unwrap();
        serde_json::from_str(&serde_json::to_string(&told).unwrap()).unwrap()
    }

    fn endpoint(&self, port: u16) -> Endpoint {
        let snapshot = self.cell.load();
        let endpoints = &snapshot.cluster("web").unwrap().endpoints;
        endpoints.iter().find(|e| e.member.address.port() == port).unwrap().clone()
    }

    /// What is served, without what is this process's own.
    fn world(&self) -> (Vec<u64>, Vec<(SocketAddr, bool, bool)>) {
        let snapshot = self.cell.load();
        let endpoints = snapshot.cluster("web").unwrap().endpoints.clone();
        let each = endpoints.iter().map(|e| (e.member.address, e.available(), e.state.draining()));
        (snapshot.split("shop").unwrap().weights.values().to_vec(), each.collect())
    }

    async fn until(&self, what: impl Fn(&Self) -> bool) {
        for _ in 0..500 {
            if what(self) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("it never came to that: {:?}", self.world());
    }
}

fn on_disk(dir: &Path) -> Stored {
    overlay::peek(dir)
}

/// An elder with members 1 to 4: up, down, ejected, drained.
async fn elder(dir: &Path) -> Process {
    let elder = Process::start(dir, None, None, &[1, 2, 3, 4]).await;
    for port in [1, 3, 4] {
        elder.endpoint(port).state.set_checked(Checked::Up);
    }
    elder.endpoint(2).state.set_checked(Checked::Down);
    let ejected = elder.endpoint(3).state;
    assert!(ejected.turn(Standing::In, Standing::Ejected));
    ejected.sentence.note(2, Duration::from_secs(40));
    elder.drain(4).await.unwrap();
    elder.weights(9).await.unwrap();
    elder
}

#[tokio::test]
async fn an_heir_goes_on_where_the_elder_was_with_its_source_away() {
    let dir = tempfile::tempdir().unwrap();
    let elder = elder(dir.path()).await;
    let heir = Process::start(dir.path(), None, Some(elder.told(false).await), &[]).await;
    assert_eq!(heir.world(), elder.world());
    assert!(heir.cell.load().generation > elder.cell.load().generation);
    assert_eq!(heir.endpoint(3).state.sentence.read(), (2, Duration::from_secs(40)));

    // What changes between the two is brought by the last.
    elder.weights(5).await.unwrap();
    elder.drain(1).await.unwrap();
    elder.hears(&[1, 2, 3, 4, 5]);
    elder.until(|elder| elder.world().1.len() == 5).await;
    elder.endpoint(5).state.set_checked(Checked::Up);
    assert!(elder.endpoint(3).state.turn(Standing::Ejected, Standing::In));
    let last = elder.told(true).await;
    let applied = heir.inbox.inherit(last).await.unwrap();
    assert_eq!(heir.world(), elder.world());
    assert_eq!(heir.cell.load().generation, applied.generation);
    // The elder drains, and its members change on.
    elder.hears(&[1, 2, 3, 4, 5, 6]);
    elder.until(|elder| elder.world().1.len() == 6).await;
    assert!(applied.generation > elder.cell.load().generation);
}

#[tokio::test]
async fn of_two_processes_one_takes_changes_and_writes() {
    let dir = tempfile::tempdir().unwrap();
    let elder = elder(dir.path()).await;
    let heir = Process::start(dir.path(), None, Some(elder.told(false).await), &[]).await;
    elder.weights(6).await.unwrap();
    // Asked before: it is served and on disk when the elder has given up.
    let (asked, last) = tokio::join!(elder.weights(7), elder.told(true));
    asked.unwrap();
    let shop = |stored: &Stored| stored.splits[&name("shop")].weights[&name("a")];
    assert_eq!((shop(&on_disk(dir.path())), shop(last.overlay.as_ref().unwrap())), (7, 7));
    for process in [&elder, &heir] {
        assert_eq!(process.weights(8).await, Err(Refused::HandingOver));
        assert_eq!(process.drain(1).await, Err(DrainError::HandingOver));
        assert!(process.inbox.reload("api").await.unwrap_err().is_handing_over());
    }
    heir.inbox.inherit(last).await.unwrap();
    // Nobody is to write now, whatever there is to.
    std::fs::remove_file(overlay::path(dir.path())).unwrap();
    elder.hears(&[1, 2, 3, 4, 5]);
    heir.hears(&[1, 2, 3, 4, 6]);
    elder.until(|elder| elder.world().1.len() == 5).await;
    heir.until(|heir| heir.world().1.len() == 5).await;
    assert_eq!(on_disk(dir.path()), Stored::default());
    heir.owner.take();
    heir.until(|_| overlay::path(dir.path()).exists()).await;
    assert_eq!(shop(&on_disk(dir.path())), 7);
    heir.weights(8).await.unwrap();
    assert_eq!((shop(&on_disk(dir.path())), elder.weights(9).await), (8, Err(Refused::HandingOver)));
    let _ = &elder.keeper;
}

#[tokio::test]
async fn an_elder_whose_heir_fails_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("config.yaml");
    let elder = Process::start(dir.path(), Some(file), None, &[1]).await;
    let before = elder.world();
    elder.told(true).await;
    elder.inbox.reload_soon("SIGHUP");
    assert_eq!(elder.weights(8).await, Err(Refused::HandingOver));
    assert!(!elder.owner.holds());
    elder.inbox.thaw();
    elder.inbox.weights(never()).await.unwrap_err();
    assert_eq!((elder.owner.holds(), elder.world()), (true, before));
    elder.weights(8).await.unwrap();
    assert_eq!(on_disk(dir.path()).splits[&name("shop")].weights[&name("a")], 8);
    // Again, and this time whoever asked has no patience.
    drop(elder.inbox.bequeath(true));
    let again = elder.told(true).await;
    assert!(again.generation > elder.cell.load().generation);
}

/// A wish that nothing can come of.
fn never() -> Request {
    let (author, why, if_generation, if_epoch) = (String::new(), String::new(), None, None);
    Request { route: name("nowhere"), wish: Wish::Reset, author, why, if_generation, if_epoch }
}

/// An heir may have read the file before the elder loaded another one.
#[tokio::test]
async fn a_config_that_the_elder_loaded_meanwhile_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let elder = elder(dir.path()).await;
    let file = dir.path().join("config.yaml");
    let first = elder.told(false).await;
    let heir = Process::start(dir.path(), Some(file.clone()), Some(first), &[]).await;
    let mut last = elder.told(true).await;
    last.configs += 1;
    assert!(heir.inbox.inherit(last.clone()).await.is_err(), "there is no file");
    let text = "listeners: [{name: a, address: 127.0.0.1:1}]\naccess_log: {path: none}\n\
                routes: [{name: new, respond: {status: 204}}]\n";
    std::fs::write(&file, text).unwrap();
    last.configs += 1;
    heir.inbox.inherit(last).await.unwrap();
    assert_eq!(heir.cell.load().live.routes[0].name, name("new"));
}

#[tokio::test]
async fn what_cannot_be_read_is_looked_for_on_disk_and_left_there() {
    let dir = tempfile::tempdir().unwrap();
    let elder = elder(dir.path()).await;
    let mut told = elder.told(false).await;
    told.overlay = None;
    let heir = Process::start(dir.path(), None, Some(told.clone()), &[]).await;
    assert_eq!(heir.world(), elder.world());
    std::fs::write(overlay::path(dir.path()), "damaged").unwrap();
    let heir = Process::start(dir.path(), None, Some(told), &[]).await;
    assert_eq!(heir.world().0, [1, 1]);
    assert_eq!(std::fs::read_to_string(overlay::path(dir.path())).unwrap(), "damaged");
}
