//! An agent, or something in its place, that answers what it should not: while a good set is known
//! no request fails, and nothing panics.

use serde_json::{Value, json};

use super::support::fake_consul::instance;
use super::support::probe::{ask, source};
use super::support::{Backend, FakeConsul, Load, Play, Tidegate, TidegateProcess, eventually, http};
use super::{SOON, assert_calm, live};

/// Answers that must count as none.
fn refused() -> Vec<(&'static str, Play)> {
    let json = "application/json";
    let whole = json!([instance("web-1", "127.0.0.1", 1)]).to_string();
    vec![
        ("500", Play::Status(500, "rpc error: No cluster leader")),
        ("403", Play::Status(403, "Permission denied")),
        ("404", Play::Status(404, "[]")),
        ("301", Play::Status(301, "")),
        ("HTML", Play::Says("text/html", "<html><body>Log in</body></html>".into())),
        ("HTML that says it is JSON", Play::Says(json, "<html></html>".into())),
        ("an object", Play::Says(json, "{}".into())),
        ("null", Play::Says(json, "null".into())),
        ("nothing", Play::Says(json, String::new())),
        ("cut JSON, whole body", Play::Says(json, whole[..whole.len() / 2].into())),
        ("cut JSON, cut body", Play::Truncated(whole[..whole.len() / 2].into())),
        ("deep nesting", Play::Says(json, "[".repeat(100_000))),
        ("over 64 MiB", Play::Huge),
        ("a reset", Play::Reset),
    ]
}

/// Proper answers in which no usable instance of ours is: a removal of everything, which is held.
fn doubted() -> Vec<(&'static str, Value)> {
    vec![
        ("[]", json!([])),
        ("port 70000", json!([instance("web-1", "127.0.0.1", 70_000)])),
        ("port 0", json!([instance("web-1", "127.0.0.1", 0)])),
        ("a host name", json!([instance("web-1", "web.example.com", 80)])),
        (
            "null fields",
            json!([{"Node": null, "Service": {"ID": null, "Port": null, "Tags": null}, "Checks": null}]),
        ),
        ("a null instance", json!([null])),
        ("wrong types", json!([{"Node": [], "Service": {"ID": 7, "Port": "80"}, "Checks": "none"}])),
    ]
}

async fn bed(consul: &str) -> (FakeConsul, Backend, Value, TidegateProcess) {
    let backend = Backend::start("a").await;
    let good = json!([instance("web-0", "127.0.0.1", backend.port().into())]);
    let consul_server = FakeConsul::start(Play::Good(5, good.clone())).await;
    let tidegate = Tidegate::new(&live(&consul_server.address(), consul)).start().await;
    assert_eq!(ask(&http::client(), &tidegate.url("/")).await, Ok((200, "a".to_owned())));
    (consul_server, backend, good, tidegate)
}

/// The source of `web` once it fits.
async fn told(tidegate: &TidegateProcess, what: &str, fits: impl Fn(&Value) -> bool) {
    eventually(SOON, async || {
        let source = source(tidegate, "web").await;
        if fits(&source) { Ok(()) } else { Err(format!("{what}: {source}")) }
    })
    .await;
}

#[tokio::test]
async fn what_is_no_answer_changes_nothing() {
    let (consul, backend, good, tidegate) = bed("").await;
    let before = tidegate.admin_json("/v1/snapshot").await["digest"].clone();
    let mut index = 5;
    let (report, ()) = Load::new(tidegate.addr("http"))
        .during(async {
            for (what, play) in refused() {
                let errors = source(&tidegate, "web").await["errors"].as_u64();
                // A 403 is left alone for 10 s; a reload of the client is what an operator would
                // do.
                consul.play(play);
                told(&tidegate, what, |s| s["errors"].as_u64() > errors).await;
                if what == "403" {
                    reconnect(&tidegate, &consul).await;
                }
                index += 1;
                consul.play(Play::Good(index, good.clone()));
                told(&tidegate, what, |s| s["last_error"].is_null()).await;
            }
        })
        .await;
    report.assert_clean();
    assert_eq!(report.backends.keys().collect::<Vec<_>>(), ["a"]);
    assert_calm(&tidegate);
    assert_eq!(tidegate.admin_json("/v1/snapshot").await["digest"], before);
    assert_eq!(source(&tidegate, "web").await["updates"], 1);
    eprintln!("{} hostile answers: {} requests, {} failed", refused().len(), report.total(), report.failed());
    assert_eq!(backend.name(), "a");
}

/// New queries, by a change of the `consul` section.
async fn reconnect(tidegate: &TidegateProcess, consul: &FakeConsul) {
    tidegate.write_live(&live(&consul.address(), "wait: 31s"));
    let (status, body) = tidegate.admin_post("/v1/reload", &json!({})).await.unwrap();
    assert_eq!(status, 200, "{body}");
}

#[tokio::test]
async fn answers_without_a_usable_instance_are_held() {
    let (consul, _backend, good, tidegate) = bed("").await;
    let mut index = 5;
    let (report, ()) = Load::new(tidegate.addr("http"))
        .during(async {
            for (what, body) in doubted() {
                index += 1;
                consul.play(Play::Good(index, body));
                // One that cannot be read is a failure, others are an empty set, which is held.
                told(&tidegate, what, |s| !s["held"].is_null() || !s["last_error"].is_null()).await;
                index += 1;
                consul.play(Play::Good(index, good.clone()));
                told(&tidegate, what, |s| s["held"].is_null() && s["last_error"].is_null()).await;
            }
        })
        .await;
    report.assert_clean();
    assert_calm(&tidegate);
}

#[tokio::test]
async fn a_bad_instance_costs_itself_only() {
    let (consul, backend, _good, tidegate) = bed("").await;
    let more = Backend::start("b").await;
    let bad = json!([
        instance("web-0", "127.0.0.1", backend.port().into()),
        instance("web-2", "127.0.0.1", 70_000),
        instance("web-3", "not an address", 80),
        {"Node": null, "Service": null, "Checks": null},
        instance("web-4", "127.0.0.1", more.port().into()),
    ]);
    consul.play(Play::Good(6, bad));
    let client = http::client();
    super::endpoints(&tidegate, 2).await;
    let seen = super::support::probe::shares(&client, &tidegate.url("/"), 20).await;
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), [("a".to_owned(), 10), ("b".to_owned(), 10)]);
    assert_calm(&tidegate);
}
