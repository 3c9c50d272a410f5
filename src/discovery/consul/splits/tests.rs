//! The watch and the writer against a scripted store: whatever it does, the last good documents stay,
//! and no write is sent twice.

mod fake;

use tokio::sync::{mpsc, watch as cell};

use self::fake::{Fake, Reply, json_reply, missing, plain};
use super::*;
use crate::config::live::Live;

/// A watch of the folder `p` of a fake store.
struct Bed {
    fake: Fake,
    setup: Setup,
    events: mpsc::UnboundedReceiver<Event>,
    last: Documents,
    stop: cell::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
}

const SHOP: &str = r#"{"weights": {"a": 90, "b": 10}, "seed": "s", "epoch": 3}"#;

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

impl Bed {
    async fn new(known: BTreeMap<Name, Document>) -> Self {
        Self::with(Fake::start().await, known)
    }

    fn with(fake: Fake, known: BTreeMap<Name, Document>) -> Self {
        let mut live = Live::default();
        live.consul.address = Some(fake.address.to_string());
        let setup = Setup::new(&live.consul, "/p/", &|_| None);
        let (out, events) = mpsc::unbounded_channel();
        let (stop, stopped) = cell::channel(false);
        let task = tokio::spawn(watch(setup.clone(), known, out, stopped));
        Self { fake, setup, events, last: Documents::default(), stop, task }
    }

    /// With the documents `shop` and `blog`.
    async fn serving() -> Self {
        let fake = Fake::start().await;
        fake.set("p/shop", Some(SHOP)).await;
        fake.set("p/blog", Some(r#"{"weights": {}, "epoch": 1}"#)).await;
        let mut bed = Self::with(fake, BTreeMap::new());
        bed.until(|documents| documents.all.len() == 2).await;
        bed
    }

    async fn event(&mut self) -> Event {
        let event = tokio::time::timeout(Duration::from_secs(15), self.events.recv()).await;
        event.expect("no event within 15 s").expect("the watch ended")
    }

    /// Waits for such documents.
    async fn until(&mut self, fits: impl Fn(&Documents) -> bool) {
        loop {
            if let Event::Documents(documents) = self.event().await {
                self.last = documents;
                if fits(&self.last) {
                    return;
                }
            }
        }
    }

    /// Waits for a failure of this kind; no event before it may take a document away.
    async fn fails(&mut self, wanted: &str) -> String {
        loop {
            match self.event().await {
                Event::Failed { kind, why } => {
                    assert_eq!(kind, wanted, "{why}");
                    return why;
                }
                Event::Documents(documents) => assert_eq!(documents.all, self.last.all),
                Event::Unchanged => {}
            }
        }
    }

    fn kept(&self, route: &str) -> Option<&str> {
        self.last.all[&name(route)].kept.as_deref()
    }

    async fn fleet() -> (Self, Fleet) {
        let bed = Self::serving().await;
        let fleet = bed.setup.fleet().unwrap();
        (bed, fleet)
    }
}

/// Lets a fault happen while a list hangs, and checks that it is told, takes nothing away, and that
/// the next good answer ends it.
async fn survives(fault: Reply, kind: &str) {
    let mut bed = Bed::serving().await;
    bed.fake.list(fault).await;
    bed.fails(kind).await;
    bed.fake.set("p/shop", Some(r#"{"weights": {"a": 1}}"#)).await;
    let all = bed.last.all.len();
    bed.until(|documents| {
        assert_eq!(documents.all.len(), all, "{kind}");
        documents.all[&name("shop")].modify_index == 103
    })
    .await;
    let requests = bed.fake.requests().await;
    let after = requests.iter().rev().find(|line| !line.contains("index=1")).unwrap();
    assert!(after.contains("GET /v1/kv/p/?stale&recurse=true "), "read afresh: {requests:?}");
}

#[tokio::test]
async fn no_fault_takes_a_document_away() {
    let json = |body| json_reply("200 OK", 200, body);
    let short = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Consul-Index: 200\r\n\
                 Content-Length: 500\r\n\r\n[";
    let no_index = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n[]";
    let odd_index = "HTTP/1.1 404 No\r\nX-Consul-Index: -1\r\nContent-Length: 0\r\n\r\n";
    tokio::join!(
        survives(json_reply("500 No", 1, "No cluster leader"), "status_500"),
        survives(plain("404 Not Found", "<html>"), "status_404"),
        survives(plain("200 OK", "<html>please log in</html>"), "not_json"),
        survives(json("No cluster leader"), "not_json"),
        survives(json("null"), "not_json"),
        survives(json(r#"[{"Key": "p/shop"}]"#), "not_json"),
        survives(json(r#"[{"Key": "other", "Value": null, "ModifyIndex": 1}]"#), "not_json"),
        survives(json(r#"[{"Key": "p/shop", "Value""#), "truncated"),
        survives(Reply::Raw(short.into()), "truncated"),
        survives(Reply::Raw(no_index.into()), "bad_index"),
        survives(Reply::Raw(odd_index.into()), "bad_index"),
        survives(Reply::Raw(String::new()), "reset"),
    );
}

#[tokio::test(start_paused = true)]
async fn a_silent_store_is_noticed() {
    let mut bed = Bed::serving().await;
    bed.fake.list(Reply::Stall).await;
    loop {
        // Time is paused: the deadline comes at once, and it is longer than the wait of 30 s.
        if let Some(Event::Failed { kind, why }) = bed.events.recv().await {
            assert_eq!(kind, "timeout");
            assert!(why.contains("41.9s"), "{why}");
            return;
        }
    }
}

#[tokio::test]
async fn a_deleted_document_is_looked_up_and_gone() {
    let mut bed = Bed::serving().await;
    bed.fake.set("p/shop", None).await;
    bed.until(|documents| documents.all.len() == 1).await;
    let requests = bed.fake.requests().await;
    assert!(requests.iter().any(|line| line.starts_with("GET /v1/kv/p/shop ")), "{requests:?}");
}

#[tokio::test]
async fn an_empty_list_of_a_token_without_rights_takes_nothing_away() {
    let mut bed = Bed::serving().await;
    bed.fake.down(Some((plain("403 Forbidden", "Permission denied"), false))).await;
    bed.fake.list(missing(500)).await;
    bed.until(|documents| documents.all.values().all(|document| document.kept.is_some())).await;
    assert!(bed.kept("shop").unwrap().contains("Permission denied"));
    assert!(bed.last.all[&name("shop")].outcome.is_ok());
    bed.fake.down(None).await;
    bed.fake.set("p/other", Some("{}")).await;
    bed.until(|documents| documents.all.len() == 3).await;
    assert_eq!((bed.kept("shop"), bed.kept("blog")), (None, None));
}

#[tokio::test]
async fn at_the_start_a_refusal_is_told_from_an_empty_folder() {
    let mut bed = Bed::new(BTreeMap::new()).await;
    bed.until(|documents| documents.all.is_empty()).await;
    let fake = Fake::start().await;
    fake.down(Some((plain("403 Forbidden", "Permission denied"), false))).await;
    let mut bed = Bed::with(fake, BTreeMap::new());
    assert!(bed.fails("forbidden").await.contains("Permission denied"));
}

#[tokio::test]
async fn what_was_good_before_the_start_is_doubted_too() {
    let before = Document { modify_index: 900, outcome: Ok(Amendment::default()), kept: None };
    let unknown = Document { modify_index: 0, ..before.clone() };
    let mut bed = Bed::new([(name("shop"), before), (name("blog"), unknown)].into()).await;
    bed.until(|documents| documents.all.len() == 1).await;
    assert!(bed.kept("shop").unwrap().contains("another than the document was in"));
}

#[tokio::test]
async fn an_index_that_goes_back_is_read_again() {
    let mut bed = Bed::serving().await;
    // A tombstone was reaped: the index falls, and nothing else is new.
    bed.fake.list(json_reply("200 OK", 50, "[]")).await;
    bed.fake.set("p/shop", Some(r#"{"weights": {"b": 1}}"#)).await;
    bed.until(|documents| {
        assert_eq!(documents.all.len(), 2);
        documents.all[&name("shop")].modify_index == 103
    })
    .await;
}

#[tokio::test]
async fn another_store_takes_nothing_away() {
    let mut bed = Bed::serving().await;
    bed.fake.wipe(7).await;
    bed.until(|documents| documents.all.values().all(|document| document.kept.is_some())).await;
    // There `set` makes the document anew, above the epoch that is known.
    let known = bed.last.all[&name("shop")].outcome.clone().ok();
    let change = Change { weights: Some([(name("b"), 20)].into()), known, ..Change::default() };
    let written = bed.setup.fleet().unwrap().set(&name("shop"), &change, &|_| vec![]).await.unwrap();
    assert_eq!((written.epoch, written.modify_index), (4, Some(8)));
    assert_eq!(written.amendment.weights, [(name("a"), 90), (name("b"), 20)].into());
    bed.until(|documents| documents.all[&name("shop")].modify_index == 8).await;
    assert_eq!((bed.kept("shop"), bed.last.all.len()), (None, 2));
    assert!(bed.kept("blog").is_some());
}

#[tokio::test]
async fn a_document_that_cannot_be_read_disables_itself_only() {
    let mut bed = Bed::serving().await;
    bed.fake.set("p/shop", Some(r#"{"weights": {"a": -1}, "epoch": 9"#)).await;
    bed.until(|documents| documents.all[&name("shop")].outcome.is_err()).await;
    let shop = &bed.last.all[&name("shop")];
    let good = Amendment { epoch: 3, ..Amendment::default() };
    let before = Standing { origin: Origin::ConsulKv, amendment: Some(good.clone()), ..Standing::default() };
    let standing = shop.standing(&before);
    assert_eq!(standing.amendment, Some(good));
    assert!(standing.problem.unwrap().starts_with("p/shop: "));
    assert!(bed.last.all[&name("blog")].outcome.is_ok());
    // What was said on this node only is no document's last good version.
    assert_eq!(shop.standing(&Standing { origin: Origin::Overlay, ..before }).amendment, None);
}

#[tokio::test]
async fn weights_are_laid_over_the_document_and_reset_drops_them() {
    let (bed, fleet) = Bed::fleet().await;
    let change = Change {
        weights: Some([(name("b"), 30)].into()),
        author: "ann@host".into(),
        why: "more".into(),
        at: 5,
        ..Change::default()
    };
    let written = fleet.set(&name("shop"), &change, &|_| vec![]).await.unwrap();
    let text = bed.fake.value("p/shop").await.unwrap();
    let expected =
        r#"{"weights":{"a":90,"b":30},"seed":"s","epoch":4,"author":"ann@host","why":"more","at":5}"#;
    assert_eq!((text.as_str(), written.epoch, written.modify_index), (expected, 4, Some(103)));
    let reset = Change { if_epoch: Some(4), ..Change::default() };
    assert_eq!(fleet.set(&name("shop"), &reset, &|_| vec![]).await.unwrap().epoch, 5);
    assert_eq!(bed.fake.value("p/shop").await.unwrap(), r#"{"weights":{},"epoch":5,"author":"","at":0}"#);
}

#[tokio::test]
async fn what_cannot_be_served_is_not_written() {
    let (bed, fleet) = Bed::fleet().await;
    let change = Change { weights: Some([(name("b"), 0)].into()), ..Change::default() };
    let refuse = |_: &Amendment| vec![Problem::new("weights", "no")];
    let error = fleet.set(&name("shop"), &change, &refuse).await.unwrap_err();
    assert_eq!(error, FleetError::Problems(vec![Problem::new("weights", "no")]));
    let long = Change { why: "x".repeat(70_000), ..Change::default() };
    let error = fleet.set(&name("shop"), &long, &|_| vec![]).await.unwrap_err();
    assert!(error.to_string().contains("bytes, more than 65536"), "{error}");
    let heavy = Change { weights: Some([(name("b"), u64::MAX)].into()), ..Change::default() };
    let error = fleet.set(&name("shop"), &heavy, &|_| vec![]).await.unwrap_err();
    assert!(error.to_string().contains("p/shop: weights.b: the weight"), "{error}");
    assert_eq!(bed.fake.value("p/shop").await.unwrap(), SHOP);
}

#[tokio::test]
async fn who_asks_for_an_epoch_is_told_of_another() {
    let (bed, fleet) = Bed::fleet().await;
    let change = Change { if_epoch: Some(2), ..Change::default() };
    // In a task of its own: the future is `Send`.
    let (other, shop) = (fleet.clone(), name("shop"));
    let task = tokio::spawn(async move { other.set(&shop, &change, &|_| vec![]).await });
    let error = task.await.unwrap().unwrap_err();
    assert_eq!(error, FleetError::Conflict { epoch: 3 });
    // Lost between reading and writing.
    bed.fake.write(json_reply("200 OK", 0, "false")).await;
    let change = Change { if_epoch: Some(3), ..Change::default() };
    let error = fleet.set(&name("shop"), &change, &|_| vec![]).await.unwrap_err();
    assert_eq!(error, FleetError::Conflict { epoch: 3 });
    // Who does not ask is tried again, but not for ever.
    bed.fake.write(json_reply("200 OK", 0, "false")).await;
    assert_eq!(fleet.set(&name("shop"), &Change::default(), &|_| vec![]).await.unwrap().epoch, 4);
    for _ in 0..3 {
        bed.fake.write(json_reply("200 OK", 0, "false")).await;
    }
    let error = fleet.set(&name("shop"), &Change::default(), &|_| vec![]).await.unwrap_err();
    assert_eq!(error, FleetError::Conflict { epoch: 4 });
    // 0: there is none yet.
    let first = Change { if_epoch: Some(0), ..Change::default() };
    assert_eq!(fleet.set(&name("new"), &first, &|_| vec![]).await.unwrap().epoch, 1);
    assert!(fleet.set(&name("new"), &first, &|_| vec![]).await.is_err());
}

#[tokio::test]
async fn a_broken_document_is_mended_above_its_epoch() {
    let (bed, fleet) = Bed::fleet().await;
    bed.fake.set("p/shop", Some(r#"{"epoch": 9, "weights": "#)).await;
    let weights = [(name("a"), 70), (name("b"), 30)].into();
    let known = Some(Amendment { weights, epoch: 3, ..Amendment::default() });
    let change =
        Change { weights: Some([(name("b"), 40)].into()), known, if_epoch: Some(3), ..Change::default() };
    let written = fleet.set(&name("shop"), &change, &|_| vec![]).await.unwrap();
    assert_eq!(written.epoch, 10);
    assert_eq!(written.amendment.weights, [(name("a"), 70), (name("b"), 40)].into());
    bed.fake.set("p/blog", Some("what?")).await;
    let reset = Change::default();
    assert_eq!(fleet.set(&name("blog"), &reset, &|_| vec![]).await.unwrap().epoch, 1);
}

#[tokio::test]
async fn a_document_that_cannot_be_served_is_mended_too() {
    let (bed, fleet) = Bed::fleet().await;
    bed.fake.set("p/shop", Some(r#"{"weights": {"a": 1, "nope": 2}, "epoch": 9}"#)).await;
    let weights = [(name("a"), 70), (name("b"), 30)].into();
    let known = Some(Amendment { weights, epoch: 3, ..Amendment::default() });
    let change = Change { weights: Some([(name("b"), 40)].into()), known, ..Change::default() };
    let strange = |said: &Amendment| match said.weights.contains_key("nope") {
        true => vec![Problem::new("weights.nope", "unknown")],
        false => vec![],
    };
    let written = fleet.set(&name("shop"), &change, &strange).await.unwrap();
    assert_eq!(written.epoch, 10);
    assert_eq!(written.amendment.weights, [(name("a"), 70), (name("b"), 40)].into());
}

#[tokio::test]
async fn no_write_is_sent_twice() {
    let (bed, fleet) = Bed::fleet().await;
    let puts = async || bed.fake.requests().await.iter().filter(|line| line.starts_with("put")).count();
    // Done, but not answered: it is found.
    bed.fake.write(Reply::Deaf).await;
    let written = fleet.set(&name("shop"), &Change::default(), &|_| vec![]).await.unwrap();
    assert_eq!((written.epoch, puts().await), (4, 1));
    // Not done, as far as can be seen.
    bed.fake.write(json_reply("500 No", 0, "rpc error: leadership lost")).await;
    let error = fleet.set(&name("shop"), &Change::default(), &|_| vec![]).await.unwrap_err();
    assert!(matches!(error, FleetError::Unsure(_)), "{error}");
    assert!(error.to_string().contains("may have been written"), "{error}");
    assert_eq!(puts().await, 2);
    bed.fake.write(plain("403 Forbidden", "Permission denied")).await;
    let error = fleet.set(&name("shop"), &Change::default(), &|_| vec![]).await.unwrap_err();
    assert!(error.to_string().contains("nothing was written"), "{error}");
    assert!(error.to_string().contains("`key_prefix` write"), "{error}");
    assert_eq!(puts().await, 3);
}

#[tokio::test]
async fn it_ends_when_told_and_when_nobody_listens() {
    let bed = Bed::serving().await;
    bed.stop.send_replace(true);
    tokio::time::timeout(Duration::from_secs(5), bed.task).await.unwrap().unwrap();
    let Bed { events, task, .. } = Bed::serving().await;
    drop(events);
    tokio::time::timeout(Duration::from_secs(5), task).await.unwrap().unwrap();
}
