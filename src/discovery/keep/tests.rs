use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::watch;

use super::*;
use crate::endpoint::{Member, Registry};

/// A keeper that runs, and both of its ends.
pub(super) struct Bed {
    pub(super) inbox: mpsc::UnboundedSender<Message>,
    pub(super) updates: mpsc::UnboundedReceiver<Update>,
    pub(super) statuses: Statuses,
    pub(super) stop: watch::Sender<bool>,
    pub(super) task: tokio::task::JoinHandle<()>,
}

pub(super) fn name(text: &str) -> Name {
    text.parse().unwrap()
}

pub(super) fn set(ports: impl IntoIterator<Item = u16>) -> Members {
    Members::new(ports.into_iter().map(|port| Member {
        address: SocketAddr::from(([127, 0, 0, 1], port)),
        weight: 1,
        registry: Registry::Passing,
        labels: Arc::default(),
    }))
}

impl Bed {
    pub(super) fn new(dir: Option<PathBuf>) -> Self {
        Self::owned(dir, Owner::default())
    }

    pub(super) fn owned(dir: Option<PathBuf>, owner: Owner) -> Self {
        let (inbox, messages) = mpsc::unbounded_channel();
        let (out, updates) = mpsc::unbounded_channel();
        let (stop, stopped) = watch::channel(false);
        let statuses = Statuses::default();
        let keeper = Keeper::new(out, statuses.clone(), dir, owner);
        let task = tokio::spawn(keeper.run(messages, stopped));
        Self { inbox, updates, statuses, stop, task }
    }

    pub(super) fn begin(&self, cluster: &str, id: u64, spec: &str) -> Answers {
        let answers = Answers::new(name(cluster), id, self.inbox.clone());
        let begin = Begin {
            answers: answers.clone(),
            source: "consul",
            subject: "web".into(),
            spec: spec.into(),
            fingerprint: 1,
            rules: Rules::default(),
            max_age: Duration::from_secs(3600),
        };
        self.inbox.send(Message::Begin(Box::new(begin))).unwrap();
        answers
    }

    /// The next update as (cause, ports).
    pub(super) async fn update(&mut self) -> (String, Vec<u16>) {
        let update = tokio::time::timeout(Duration::from_secs(100), self.updates.recv()).await;
        let update = update.expect("an update").unwrap();
        (update.cause, update.members.iter().map(|m| m.address.port()).collect())
    }

    pub(super) async fn status(&self) -> SourceStatus {
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        self.statuses.list(now()).remove(0)
    }

    pub(super) async fn end(self) {
        self.stop.send_replace(true);
        self.task.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn failures_change_nothing_and_are_counted() {
    let mut bed = Bed::new(None);
    let answers = bed.begin("c", 1, "s");
    assert_eq!(bed.status().await.origin, None);
    assert_eq!(bed.statuses.awaiting(), [name("c")]);
    answers.members(set([1, 2]), Quality::Good, now());
    assert_eq!(bed.update().await, ("consul: web: 2 added".into(), vec![1, 2]));
    assert!(bed.statuses.awaiting().is_empty());
    tokio::time::advance(Duration::from_secs(7)).await;
    answers.failed("refused", "nobody there", now());
    answers.failed("refused", "nobody there", now());
    tokio::time::advance(Duration::from_secs(3)).await;
    let status = bed.status().await;
    assert_eq!((status.members, status.updates, status.errors.get("refused")), (2, 1, Some(&2)));
    assert_eq!(status.last_success_age_seconds, Some(10.0));
    assert_eq!(status.last_error.unwrap().age_seconds, 3.0);
    assert!(bed.updates.try_recv().is_err());
    bed.end().await;
}

#[tokio::test(start_paused = true)]
async fn an_empty_set_is_held_and_then_applied() {
    let mut bed = Bed::new(None);
    let answers = bed.begin("c", 1, "s");
    answers.members(set([1]), Quality::Good, now());
    bed.update().await;
    let start = tokio::time::Instant::now();
    answers.members(set([]), Quality::Good, now());
    let status = bed.status().await;
    assert_eq!((status.members, status.held, answers.holding()), (1, 1, true));
    assert_eq!(bed.update().await, ("consul: web: 1 removed".into(), vec![]));
    assert_eq!(start.elapsed().as_secs(), 30);
    assert_eq!((bed.status().await.held, answers.holding()), (0, false));
    bed.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_first_answer_without_instances_is_an_answer() {
    let mut bed = Bed::new(None);
    bed.begin("c", 1, "s").members(set([]), Quality::Good, now());
    assert_eq!(bed.update().await, ("consul: web: no instances".into(), vec![]));
    assert!(bed.statuses.awaiting().is_empty());
    bed.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_replaced_source_is_not_listened_to() {
    let mut bed = Bed::new(None);
    let old = bed.begin("c", 1, "one");
    let new = bed.begin("c", 2, "two");
    old.members(set([1]), Quality::Good, now());
    new.members(set([2]), Quality::Good, now());
    assert_eq!(bed.update().await.1, [2]);
    bed.inbox.send(Message::Forget(name("c"))).unwrap();
    new.members(set([3]), Quality::Good, now());
    bed.end().await;
}

#[tokio::test]
async fn the_next_life_starts_from_disk() {
    let dir = tempfile::tempdir().unwrap();
    let mut bed = Bed::new(Some(dir.path().into()));
    bed.begin("a", 1, "one").members(set([1, 2]), Quality::Good, now());
    bed.begin("b", 2, "two").members(set([3]), Quality::Good, now());
    bed.update().await;
    bed.update().await;
    bed.end().await;

    let mut bed = Bed::new(Some(dir.path().into()));
    let answers = bed.begin("a", 1, "one");
    bed.begin("b", 2, "another question");
    assert_eq!(bed.update().await, ("disk: web: 2 members".into(), vec![1, 2]));
    let status = bed.status().await;
    assert_eq!((status.origin, status.degraded), (Some(Origin::Disk), true));
    assert!(status.last_success_age_seconds.is_some_and(|age| age < 60.0));
    assert_eq!(bed.statuses.awaiting(), [name("b")]);
    answers.members(set([2, 9]), Quality::Good, now());
    assert_eq!(bed.update().await, ("consul: web: 1 added, 1 removed".into(), vec![2, 9]));
    assert_eq!(bed.status().await.origin, Some(Origin::Live));
    bed.end().await;
    assert_eq!(disk::load(dir.path()).unwrap().unwrap().len(), 1);
}

#[tokio::test]
async fn members_from_disk_are_as_old_as_they_are_and_not_too_old() {
    let dir = tempfile::tempdir().unwrap();
    let stored = |age| disk::Stored { spec: "one".into(), heard_at: unix_now() - age, members: set([1]) };
    let state = [(name("a"), stored(1800)), (name("b"), stored(3700))];
    disk::save(dir.path(), &state.into()).unwrap();
    let bed = Bed::new(Some(dir.path().into()));
    bed.begin("a", 1, "one");
    bed.begin("b", 2, "one");
    let age = bed.status().await.last_success_age_seconds.unwrap();
    assert!((1800.0..1860.0).contains(&age), "{age}");
    assert_eq!(bed.statuses.awaiting(), [name("b")]);
    bed.end().await;
    assert_eq!(disk::load(dir.path()).unwrap().unwrap().len(), 1);
}

#[tokio::test]
async fn members_are_on_disk_before_the_process_ends() {
    let dir = tempfile::tempdir().unwrap();
    let mut bed = Bed::new(Some(dir.path().into()));
    bed.begin("a", 1, "one").members(set([1, 2]), Quality::Good, now());
    bed.update().await;
    for _ in 0..500 {
        if let Ok(Some(state)) = disk::load(dir.path()) {
            assert_eq!((state[&name("a")].members.len(), bed.task.is_finished()), (2, false));
            return bed.end().await;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("nothing was written within 5 s");
}

#[tokio::test]
async fn a_damaged_file_is_a_start_without_it() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join(disk::FILE), "{}\ngarbage").unwrap();
    let bed = Bed::new(Some(dir.path().into()));
    bed.begin("a", 1, "one");
    bed.status().await;
    assert_eq!(bed.statuses.awaiting(), [name("a")]);
    bed.end().await;
}

#[tokio::test(start_paused = true)]
async fn writes_come_at_most_every_five_seconds() {
    let mut saver = Saver::new(Some("/nowhere".into()), Owner::default());
    let start = now();
    saver.changed(start);
    assert_eq!(saver.due(), Some(start));
    saver.start(disk::State::new(), start);
    assert_eq!(saver.due(), None);
    let later = start + Duration::from_secs(1);
    saver.changed(later);
    assert_eq!(saver.due(), Some(start + saver::EVERY));
    saver.changed(later);
    assert_eq!(saver.due(), Some(start + saver::EVERY));
}
