//! The whole path (hub, watchers, keeper) against a scripted Consul: whatever it does, the last
//! good set stays.

mod fake;

use std::path::PathBuf;

use serde_json::json;
use tokio::sync::mpsc;

use self::fake::{Fake, Reply, header};
use super::*;
use crate::config::Name;
use crate::config::live::{Cluster, ConsulService, Live};
use crate::config::value::Span;
use crate::discovery::{Hub, SourceStatus, Statuses, Update};

/// A hub with one cluster, `web`, that asks a fake Consul.
struct Bed {
    fake: Fake,
    live: cell::Sender<Arc<Live>>,
    statuses: Statuses,
    updates: mpsc::UnboundedReceiver<Update>,
    _stop: cell::Sender<bool>,
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

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

/// The body with an instance at 127.0.0.1 on each port. Odd ones carry the tag `odd`.
fn body(ports: &[u32]) -> String {
    let instance = |port: &u32| {
        let tags = if port % 2 == 1 { vec!["odd"] } else { vec![] };
        json!({"Node": {"Node": "n", "Address": "127.0.0.1"}, "Checks": null,
            "Service": {"ID": port.to_string(), "Port": port, "Tags": tags, "Meta": null}})
    };
    json!(ports.iter().map(instance).collect::<Vec<_>>()).to_string()
}

fn good(index: u64, ports: &[u32]) -> Reply {
    Reply::Good(index, body(ports))
}

impl Bed {
    async fn new(edit: impl FnOnce(&mut Live)) -> Self {
        let fake = Fake::start().await;
        let mut live = Live::default();
        live.consul.address = Some(fake.address.to_string());
        live.clusters.insert(name("web"), cluster("web", &[]));
        edit(&mut live);
        let (out, updates) = mpsc::unbounded_channel();
        let statuses = Statuses::default();
        let (live, told) = cell::channel(Arc::new(live));
        let (stop, stopped) = cell::channel(false);
        let hub = Hub::new(out, None, statuses.clone()).with_env(Arc::new(|_| None));
        tokio::spawn(hub.run(told, stopped));
        Self { fake, live, statuses, updates, _stop: stop }
    }

    /// With a first answer of the ports 1 and 2 at index 50.
    async fn serving() -> Self {
        let bed = Self::new(|live| live.consul.wait = Span::secs(60)).await;
        bed.fake.script([good(50, &[1, 2])]).await;
        bed.until(|s| s.members == 2).await;
        bed
    }

    /// Waits for a status of `web`.
    async fn until(&self, fits: impl Fn(&SourceStatus) -> bool) -> SourceStatus {
        self.until_of("web", fits).await
    }

    async fn until_of(&self, cluster: &str, fits: impl Fn(&SourceStatus) -> bool) -> SourceStatus {
        let mut last = None;
        for _ in 0..1500 {
            last = self.statuses.list(now()).into_iter().find(|s| s.cluster.as_str() == cluster);
            if let Some(status) = last.as_ref().filter(|s| fits(s)) {
                return status.clone();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("not within 15 s; the status is {last:?}");
    }

    async fn requests(&self, wanted: usize) -> Vec<String> {
        for _ in 0..500 {
            let requests = self.fake.requests().await;
            if requests.len() >= wanted {
                return requests;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("only {:?}", self.fake.requests().await);
    }

    /// Lets a fault happen, checks that it is counted and changes nothing, and that a good answer
    /// ends it.
    async fn survives(fault: Reply, kind: &str) {
        let bed = Self::serving().await;
        bed.fake.script([fault]).await;
        let status = bed.until(|s| s.errors.contains_key(kind)).await;
        assert_eq!((status.members, status.held), (2, 0), "{kind}");
        assert!(bed.fake.requests().await[1].contains("index=50"));
        bed.fake.script([good(60, &[1, 2, 3])]).await;
        bed.until(|s| s.members == 3).await;
        let after = bed.fake.requests().await;
        assert!(!after[2].contains("index="), "the index is forgotten after {kind}: {after:?}");
    }
}

fn status(line: &str, more: &str, body: &str) -> Reply {
    let length = body.len();
    Reply::Raw(format!(
        "HTTP/1.1 {line}\r\nX-Consul-Index: 1\r\n{more}Content-Length: {length}\r\n\r\n{body}"
    ))
}

const JSON: &str = "Content-Type: application/json\r\n";

#[tokio::test]
async fn a_500_is_not_an_empty_answer() {
    Bed::survives(status("500 Internal Server Error", JSON, "[]"), "status_500").await;
}

#[tokio::test]
async fn html_with_status_200_is_refused() {
    let html = "Content-Type: text/html\r\n";
    Bed::survives(status("200 OK", html, "<html>please log in</html>"), "not_json").await;
}

#[tokio::test]
async fn text_that_claims_to_be_json_is_refused() {
    Bed::survives(Reply::Good(60, "No cluster leader".into()), "not_json").await;
}

#[tokio::test]
async fn json_that_ends_early_is_refused() {
    Bed::survives(Reply::Good(60, body(&[1])[..40].into()), "truncated").await;
}

#[tokio::test]
async fn instances_that_can_all_not_be_read_are_no_empty_answer() {
    Bed::survives(Reply::Good(60, r#"[{"Checks":[null]}]"#.into()), "unreadable").await;
    Bed::survives(Reply::Good(60, "[1,2,3]".into()), "unreadable").await;
}

#[tokio::test]
async fn an_instance_that_loses_its_tag_or_changes_its_kind_goes_at_once() {
    let bed = Bed::new(|live| {
        live.clusters.insert(name("odd"), cluster("web", &["odd"]));
    })
    .await;
    bed.fake.script([good(50, &[1, 2])]).await;
    bed.until_of("odd", |s| s.members == 1).await;
    bed.until(|s| s.members == 2).await;
    bed.fake.script([Reply::Good(51, body(&[1, 2]).replace("odd", "even"))]).await;
    bed.until_of("odd", |s| (s.members, s.held, s.index) == (0, 0, 51)).await;
    assert_eq!(bed.until(|s| s.index == 51).await.members, 2);
    let kind = body(&[1, 2]).replace(r#""Meta""#, r#""Kind":"connect-proxy","Meta""#);
    bed.fake.script([Reply::Good(52, kind)]).await;
    bed.until(|s| (s.members, s.held, s.index) == (0, 0, 52)).await;
}

#[tokio::test]
async fn a_body_that_breaks_off_is_refused() {
    Bed::survives(Reply::Raw(header(60, 500) + "[]"), "truncated").await;
}

#[tokio::test]
async fn an_answer_without_an_index_is_refused() {
    let bare = format!("HTTP/1.1 200 OK\r\n{JSON}Content-Length: 2\r\n\r\n[]");
    Bed::survives(Reply::Raw(bare), "bad_index").await;
}

#[tokio::test]
async fn a_reset_changes_nothing() {
    Bed::survives(Reply::Reset, "reset").await;
}

#[tokio::test]
async fn a_closed_connection_changes_nothing() {
    Bed::survives(Reply::Raw(String::new()), "reset").await;
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let reply = status("301 Moved", "Location: /v1/health/service/other\r\n", "");
    Bed::survives(reply, "redirect").await;
}

#[tokio::test]
async fn more_than_64_mib_is_refused() {
    Bed::survives(Reply::Huge, "too_large").await;
}

#[tokio::test]
async fn a_slow_body_meets_the_deadline() {
    let bed = Bed::new(|live| live.consul.wait = Span::secs(1)).await;
    bed.fake.script([good(50, &[1, 2])]).await;
    bed.until(|s| s.members == 2).await;
    bed.fake.script([Reply::Stall(header(60, 500) + "[")]).await;
    let started = now();
    let status = bed.until(|s| s.errors.contains_key("timeout")).await;
    assert_eq!((status.members, status.held), (2, 0));
    assert!((now() - started).as_secs_f64() > 10.5, "the deadline is wait x 17/16 + 10 s");
}

#[tokio::test]
async fn an_empty_answer_is_held_and_confirmed_with_the_leader() {
    let bed = Bed::serving().await;
    bed.fake.script([good(51, &[])]).await;
    let status = bed.until(|s| s.held == 2).await;
    assert_eq!((status.members, status.errors.len()), (2, 0));
    let confirm = &bed.requests(3).await[2];
    assert!(!confirm.contains("index=") && !confirm.contains("stale"), "{confirm}");
    bed.fake.script([good(52, &[2])]).await;
    bed.until(|s| (s.members, s.held) == (1, 0)).await;
}

#[tokio::test]
async fn an_index_that_goes_back_is_read_again_and_its_removals_are_held() {
    let bed = Bed::serving().await;
    bed.fake.script([good(20, &[]), good(20, &[1, 3])]).await;
    let status = bed.until(|s| s.members == 3).await;
    assert_eq!((status.held, status.degraded, status.index), (1, true, 20));
    assert!(!bed.fake.requests().await[2].contains("index="));
}

#[tokio::test]
async fn an_early_answer_with_the_same_index_is_read_again() {
    let bed = Bed::serving().await;
    bed.fake.script([good(50, &[1, 2]), good(40, &[1, 2, 3])]).await;
    bed.until(|s| s.members == 3).await;
    let requests = bed.requests(4).await;
    assert!(!requests[2].contains("index=") && requests[3].contains("index=40"), "{requests:?}");
}

#[tokio::test]
async fn one_bad_instance_costs_only_itself() {
    let bed = Bed::new(|_| {}).await;
    bed.fake.script([good(50, &[1, 70_000, 2, 0])]).await;
    let status = bed.until(|s| s.members == 2).await;
    assert_eq!((status.dropped, status.dropped_examples[0].as_str()), (2, "n/70000: port 70000"));
}

#[tokio::test]
async fn retry_after_is_honoured() {
    let bed = Bed::serving().await;
    bed.fake.script([status("429 Too Many Requests", "Retry-After: 2\r\n", "")]).await;
    bed.until(|s| s.errors.contains_key("status_429")).await;
    let refused = now();
    bed.requests(3).await;
    let waited = (now() - refused).as_secs_f64();
    assert!((1.9..3.0).contains(&waited), "{waited}");
}

#[tokio::test]
async fn a_refusal_is_not_repeated_fast() {
    let bed = Bed::serving().await;
    bed.fake.script([status("403 Forbidden", "", "ACL not found")]).await;
    let status = bed.until(|s| s.errors.contains_key("forbidden")).await;
    assert_eq!(status.last_error.unwrap().what, "status 403: ACL not found");
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(bed.fake.requests().await.len(), 2);
}

#[tokio::test]
async fn with_an_empty_token_file_nothing_is_sent() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let path: PathBuf = file.path().into();
    let bed = Bed::new(|live| live.consul.token_file = Some(path)).await;
    assert_eq!(bed.statuses.awaiting_of(&bed.live.borrow()), [name("web")]);
    bed.fake.script([good(50, &[])]).await;
    bed.until(|s| s.errors.contains_key("no_token")).await;
    assert!(bed.fake.requests().await.is_empty());
    assert_eq!(bed.statuses.awaiting(), [name("web")]);
}

#[tokio::test]
async fn a_client_that_cannot_be_built_is_said() {
    let bed = Bed::new(|live| {
        live.consul.address = Some("https://127.0.0.1:1".into());
        live.consul.ca = Some("/no/such/file".into());
    });
    let status = bed.await.until(|s| s.errors.contains_key("config")).await;
    assert!(status.last_error.unwrap().what.starts_with("/no/such/file"));
}

#[tokio::test]
async fn a_reload_keeps_the_query_in_flight() {
    let mut bed = Bed::serving().await;
    bed.requests(2).await;
    let mut live = Live::clone(&bed.live.borrow());
    live.clusters.insert(name("odd"), cluster("web", &["odd"]));
    live.consul.empty_hold = Span::secs(0);
    bed.live.send_replace(Arc::new(live.clone()));
    bed.until_of("odd", |s| s.members == 1).await;
    live.clusters.remove(&name("web"));
    bed.live.send_replace(Arc::new(live));
    bed.fake.script([good(51, &[1, 2, 3])]).await;
    bed.until_of("odd", |s| s.members == 2).await;
    let requests = bed.requests(3).await;
    assert!(requests[1].contains("index=50") && requests[2].contains("index=51"), "{requests:?}");
    assert_eq!(requests.len(), 3, "one watcher for both clusters, and no query was given up");
    let update = bed.updates.recv().await.unwrap();
    assert_eq!((update.cause.as_str(), update.members.len()), ("consul: web: 2 added", 2));
    // The hold was turned off on the way, for the new cluster too.
    bed.fake.script([good(52, &[])]).await;
    bed.until_of("odd", |s| s.members == 0).await;
}

#[tokio::test]
async fn a_service_that_is_taken_out_and_put_back_costs_no_further_connection() {
    let bed = Bed::serving().await;
    let with = bed.live.borrow().clone();
    let without = Arc::new(Live { clusters: BTreeMap::new(), ..Live::clone(&with) });
    let gone = async || {
        bed.live.send_replace(without.clone());
        while !bed.statuses.list(now()).is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    for _ in 0..5 {
        gone().await;
        bed.live.send_replace(with.clone());
        bed.until(|s| s.members == 2).await;
    }
    assert_eq!(bed.requests(2).await.len(), 2, "the query that hung is still the one");
    // It comes back while nobody needs it: nothing more is asked, and later all is read anew.
    gone().await;
    bed.fake.script([good(51, &[1])]).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(bed.fake.requests().await.len(), 2);
    bed.live.send_replace(with);
    bed.until(|s| s.members == 1).await;
    assert!(!bed.requests(3).await[2].contains("index="));
}

#[tokio::test]
async fn beyond_max_watchers_services_are_swept() {
    let bed = Bed::new(|live| {
        live.consul.max_watchers = 1;
        live.clusters.insert(name("second"), cluster("zebra", &["odd"]));
    })
    .await;
    // One body serves for all: the triggers only look at the index.
    bed.fake.script([good(50, &[1, 2])]).await;
    bed.until_of("second", |s| s.members == 1).await;
    bed.until(|s| s.members == 2).await;
    // How often the swept one is read before the triggers hang is chance.
    for count in 7.. {
        let requests = bed.requests(count).await;
        let hanging: Vec<_> = requests.iter().filter(|r| r.contains("index=")).collect();
        let of = |path: &str| hanging.iter().filter(|r| r.starts_with(path)).count();
        assert_eq!(of("/v1/health/service/zebra"), 0, "{requests:?}");
        if of("/v1/catalog/services") == 1 && of("/v1/health/state/any") == 1 {
            assert_eq!(of("/v1/health/service/web"), 1, "{requests:?}");
            break;
        }
    }
}

#[tokio::test]
async fn an_outage_changes_nothing_for_swept_services() {
    let bed = Bed::new(|live| {
        live.consul.max_watchers = 1;
        live.clusters.insert(name("second"), cluster("zebra", &["odd"]));
    })
    .await;
    bed.fake.script([good(50, &[1, 2])]).await;
    bed.until_of("second", |s| s.members == 1).await;
    bed.fake.down(Some(status("500 Internal Server Error", JSON, "[]"))).await;
    let during = bed.until_of("second", |s| s.errors.contains_key("status_500")).await;
    assert_eq!((during.members, during.held), (1, 0));
    // The agent comes back as a younger self: what it adds counts, what it lacks is held.
    bed.fake.down(None).await;
    bed.fake.script([good(9, &[3])]).await;
    let after = bed.until_of("second", |s| s.members == 2).await;
    assert_eq!((after.held, after.degraded, after.index), (1, true, 9));
}

#[tokio::test]
async fn a_cluster_with_another_question_starts_anew() {
    let mut bed = Bed::serving().await;
    bed.updates.recv().await.unwrap();
    bed.fake.script([Reply::Stall(String::new())]).await;
    let mut live = Live::clone(&bed.live.borrow());
    live.clusters.insert(name("web"), cluster("other", &["odd"]));
    bed.live.send_replace(Arc::new(live));
    // The fake has one body for all services. No removal is held: the members of `web` are not
    // those of `other`.
    let update = bed.updates.recv().await.unwrap();
    assert_eq!((update.cause.as_str(), update.members.len()), ("consul: other: 1 added", 1));
    assert_eq!(bed.until(|s| s.members == 1).await.held, 0);
}

#[test]
fn no_config_opens_more_connections_than_an_agent_takes() {
    let of = |address: &str, max_watchers| {
        let address = Some(address.to_owned());
        let consul = live::Consul { address, max_watchers, ..live::Consul::default() };
        Setup::new(&consul, &|_| None).max_watchers
    };
    assert_eq!((of("h:1", 0), of("h:1", 100), of("h:1", 5000)), (1, 100, 160));
    assert_eq!(of("https://h:1", 5000), 220);
}
