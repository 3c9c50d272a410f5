//! Endpoints and clusters that an operator drains: no new request while the word stands, whatever
//! comes and goes, and anybody can see whose word it is.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};

use self::support::probe::{ask, shares};
use self::support::{Backend, Tidegate, TidegateProcess, http, until};

/// Longer than anything takes that works.
const SOON: Duration = Duration::from_secs(15);

/// A cluster `web` of these endpoints and one `other`, a route to each, and one that is split
/// between them.
fn live(web: &[SocketAddr], other: SocketAddr) -> String {
    let web: Vec<_> = web.iter().map(|address| format!("{{ address: '{address}' }}")).collect();
    format!(
        r#"clusters:
  web: {{ static: {{ endpoints: [ {} ] }} }}
  other: {{ static: {{ endpoints: [ {{ address: '{other}' }} ] }} }}
routes:
  - {{ name: all, cluster: web }}
  - {{ name: rest, match: {{ path: {{ prefix: /other }} }}, cluster: other }}
  - name: shop
    match: {{ path: {{ prefix: /shop }} }}
    split: {{ variants: [ {{ name: a, cluster: web, weight: 1 }}, {{ name: b, cluster: other, weight: 1 }} ] }}
"#,
        web.join(", ")
    )
}

/// Three backends; the first two are `web`.
async fn backends() -> [Backend; 3] {
    [Backend::start("one").await, Backend::start("two").await, Backend::start("other").await]
}

/// A POST below `/v1/clusters/`, which must be accepted.
async fn post(tidegate: &TidegateProcess, path: &str, body: Value) -> Value {
    let (status, text) = tidegate.admin_post(&format!("/v1/clusters/{path}"), &body).await.unwrap();
    assert_eq!(status, 200, "{path}: {text}");
    serde_json::from_str(&text).unwrap()
}

async fn cluster(tidegate: &TidegateProcess, name: &str) -> Value {
    tidegate.admin_json(&format!("/v1/clusters/{name}")).await
}

/// How often each backend answers.
async fn counts(tidegate: &TidegateProcess) -> Vec<(String, usize)> {
    shares(&http::client(), &tidegate.url("/"), 10).await.into_iter().collect()
}

fn only(name: &str) -> Vec<(String, usize)> {
    vec![(name.to_owned(), 10)]
}

#[tokio::test]
async fn a_drained_endpoint_says_who_and_why_and_finishes_what_it_has() {
    let [one, two, other] = backends().await;
    let tidegate = Tidegate::new(&live(&[one.addr(), two.addr()], other.addr())).start().await;
    let url = tidegate.url("/slow?ms=1500");
    let slow: Vec<_> = (0..2).map(|_| tokio::spawn(http::client().get(url.clone()).send())).collect();
    until(SOON, "one is on its way to each", || one.in_flight() == 1 && two.in_flight() == 1).await;
    let path = format!("web/endpoints/{}", one.addr());
    let told = post(&tidegate, &format!("{path}/drain"), json!({"author": "ann", "why": "a new disk"})).await;
    assert_eq!((&told["state"], &told["draining"]), (&"draining".into(), &true.into()), "{told}");
    let said = (&told["drained_by"], &told["drained_why"]);
    assert_eq!(said, (&"ann".into(), &"a new disk".into()));
    assert!(told["drained_at"].as_str().unwrap().starts_with("20"), "{told}");
    assert_eq!(counts(&tidegate).await, only("two"));
    for request in slow {
        assert_eq!(request.await.unwrap().unwrap().status(), 200, "what it had it finished");
    }
    let all = cluster(&tidegate, "web").await;
    assert_eq!((&all["available"], &all["draining"]), (&1.into(), &false.into()), "{all}");
    let log = tidegate.stderr();
    let lines = log.lines().filter(|line| line.contains("drained") && line.contains("a new disk"));
    assert_eq!(lines.count(), 1, "{log}");
    let told = post(&tidegate, &format!("{path}/undrain"), json!({})).await;
    assert_eq!((&told["draining"], &told["drained_by"]), (&false.into(), &Value::Null), "{told}");
    assert_eq!(counts(&tidegate).await.len(), 2);
}

#[tokio::test]
async fn a_drained_cluster_gets_nothing_and_a_split_shifts() {
    let [one, two, other] = backends().await;
    let tidegate = Tidegate::new(&live(&[one.addr(), two.addr()], other.addr())).start().await;
    let own = format!("web/endpoints/{}", one.addr());
    post(&tidegate, &format!("{own}/drain"), json!({"why": "disk"})).await;
    let told = post(&tidegate, "web/drain", json!({"author": "bob", "why": "move"})).await;
    assert_eq!(
        (&told["draining"], &told["drained_by"], &told["available"]),
        (&true.into(), &"bob".into(), &0.into())
    );
    let whys = |told: &Value| {
        let all = told["endpoints"].as_array().unwrap();
        let one = all.iter().find(|e| e["address"] == one.addr().to_string()).unwrap();
        let two = all.iter().find(|e| e["address"] == two.addr().to_string()).unwrap();
        (one["drained_why"].clone(), two["drained_why"].clone())
    };
    assert_eq!(whys(&told), ("disk".into(), "move".into()));
    let client = http::client();
    assert_eq!(ask(&client, &tidegate.url("/dead")).await.unwrap().0, 503);
    assert_eq!(tidegate.logged(|line| line["path"] == "/dead").await["flags"], "UH");
    let shop = shares(&client, &tidegate.url("/shop"), 10).await;
    assert_eq!(shop, [("other".to_owned(), 10)].into(), "nobody is sent where nothing answers");
    let told = post(&tidegate, "web/undrain", json!({})).await;
    assert_eq!(whys(&told), ("disk".into(), Value::Null), "the endpoint has a word of its own");
    assert_eq!(counts(&tidegate).await, only("two"));
}

#[tokio::test]
async fn it_outlives_the_process_a_reload_and_the_endpoint() {
    let [one, two, other] = backends().await;
    let state = tempfile::tempdir().unwrap();
    let both = live(&[one.addr(), two.addr()], other.addr());
    let mut tidegate = Tidegate::new(&both).state_dir(state.path()).start().await;
    let path = format!("web/endpoints/{}", one.addr());
    post(&tidegate, &format!("{path}/drain"), json!({"author": "ann", "why": "disk"})).await;
    post(&tidegate, "other/drain", json!({})).await;
    tidegate.kill();
    let tidegate = Tidegate::new(&both).state_dir(state.path()).start().await;
    assert_eq!(counts(&tidegate).await, only("two"));
    assert_eq!(ask(&http::client(), &tidegate.url("/other")).await.unwrap().0, 503);
    assert_eq!(cluster(&tidegate, "web").await["endpoints"].as_array().unwrap().len(), 2);
    // It leaves; so does its cluster.
    tidegate.reload(&live(&[two.addr()], other.addr())).await;
    tidegate.reload("clusters: {}\nroutes: [ { name: r, respond: { status: 204 } } ]\n").await;
    tidegate.reload(&both).await;
    assert_eq!(counts(&tidegate).await, only("two"));
    let endpoints = cluster(&tidegate, "web").await["endpoints"].clone();
    let drained = endpoints.as_array().unwrap().iter().find(|e| e["draining"] == true).unwrap().clone();
    assert_eq!((&drained["drained_by"], &drained["drained_why"]), (&"ann".into(), &"disk".into()));
    // What is not there can be undrained, and nothing else that is not.
    tidegate.reload(&live(&[two.addr()], other.addr())).await;
    post(&tidegate, &format!("{path}/undrain"), json!({})).await;
    let (status, _) = tidegate.admin_post(&format!("/v1/clusters/{path}/undrain"), &json!({})).await.unwrap();
    assert_eq!(status, 404);
    tidegate.reload(&both).await;
    assert_eq!(counts(&tidegate).await.len(), 2);
    assert!(one.requests() > 0);
    post(&tidegate, "other/undrain", json!({})).await;
    drop(tidegate);
    let tidegate = Tidegate::new(&both).state_dir(state.path()).start().await;
    assert_eq!(counts(&tidegate).await.len(), 2, "an end lasts too");
}

#[tokio::test]
async fn what_cannot_be_kept_or_is_not_there_is_refused() {
    let [one, two, other] = backends().await;
    let state = tempfile::tempdir().unwrap();
    let inner = state.path().join("state");
    let both = live(&[one.addr(), two.addr()], other.addr());
    let tidegate = Tidegate::new(&both).state_dir(&inner).start().await;
    for (path, body, wanted) in [
        ("wep/drain", json!({}), 404),
        ("web/endpoints/127.0.0.1:1/drain", json!({}), 404),
        ("web/endpoints/localhost/drain", json!({}), 400),
        ("web/drain", json!({"because": "x"}), 422),
        ("web/drain", json!({"why": 3}), 422),
        ("web/drain", json!({"why": "two\nlines"}), 422),
    ] {
        let (status, text) = tidegate.admin_post(&format!("/v1/clusters/{path}"), &body).await.unwrap();
        assert_eq!(status, wanted, "{path} {body}: {text}");
    }
    let away = state.path().join("away");
    std::fs::rename(&inner, &away).unwrap();
    std::fs::write(&inner, "").unwrap();
    let (status, text) = tidegate.admin_post("/v1/clusters/web/drain", &json!({})).await.unwrap();
    assert!(status == 500 && text.contains("overlay.json"), "{status} {text}");
    assert_eq!(
        (cluster(&tidegate, "web").await["draining"].clone(), counts(&tidegate).await.len()),
        (false.into(), 2)
    );
    std::fs::remove_file(&inner).unwrap();
    std::fs::rename(&away, &inner).unwrap();
    post(&tidegate, "web/drain", json!({})).await;
    // Without a place to keep it, it holds, and the answer says how long.
    let tidegate = Tidegate::new(&both).server("state_dir: ~").start().await;
    let told = post(&tidegate, "web/drain", json!({})).await;
    assert!(told["warnings"][0].as_str().unwrap().contains("state_dir"), "{told}");
    assert_eq!(told["available"], 0);
}
