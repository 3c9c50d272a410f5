//! While the agent is well: how soon traffic follows it, and that it follows all it says.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::support::probe::{self, ask, figures, metric, quantile, shares};
use super::support::{Agent, Backend, Load, Tidegate, TidegateProcess, eventually, http};
use super::{SOON, endpoints, live, source};

/// Four services on four hosts, so that the token bucket of one (10, then 5 a second) is no part of
/// what is measured.
const SERVICES: usize = 4;

/// How long nothing must come after what counts as the last request.
const QUIET: Duration = Duration::from_millis(200);

#[tokio::test]
async fn traffic_follows_the_registry_within_a_quarter_of_a_second() {
    let Some(agent) = Agent::start().await else { return };
    let base = Backend::start("base").await;
    let fresh = Backend::start("fresh").await;
    let mut text = format!("consul: {{ address: '{}' }}\nclusters:\n", agent.address());
    for n in 0..SERVICES {
        agent.register(&format!("s{n}"), base.port(), json!({})).await;
        text += &format!("  s{n}: {{ consul: {{ service: s{n} }} }}\n");
    }
    text += "routes:\n";
    for n in 0..SERVICES {
        text += &format!("  - {{ name: s{n}, match: {{ path: {{ prefix: /s{n} }} }}, cluster: s{n} }}\n");
    }
    let tidegate = Tidegate::new(&text).start().await;
    let client = http::client();
    let (mut up, mut down) = (Vec::new(), Vec::new());
    for round in 0..20 {
        let service = format!("s{}", round % SERVICES);
        let url = tidegate.url(&format!("/{service}"));
        let begin = Instant::now();
        agent.register(&service, fresh.port(), json!({})).await;
        while ask(&client, &url).await.unwrap() != (200, "fresh".to_owned()) {}
        up.push(begin.elapsed());
        let begin = Instant::now();
        agent.deregister(&format!("{service}-{}", fresh.port())).await;
        let mut last = begin.elapsed();
        while begin.elapsed() < last + QUIET {
            let (status, backend) = ask(&client, &url).await.unwrap();
            assert_eq!(status, 200);
            if backend == "fresh" {
                last = begin.elapsed();
            }
        }
        down.push(last);
    }
    eprintln!("register to first request on it: {}", figures(&up));
    eprintln!("deregister to last request on it: {}", figures(&down));
    for (what, times) in [("register", up), ("deregister", down)] {
        assert!(quantile(&times, 0.95) < Duration::from_millis(250), "{what}: {times:?}");
    }
}

#[tokio::test]
async fn checks_weights_and_maintenance_show_in_the_traffic() {
    let Some(agent) = Agent::start().await else { return };
    let (a, b) = (Backend::start("a").await, Backend::start("b").await);
    let check = json!({"CheckID": "c", "TTL": "1h", "Status": "passing"});
    let weights = json!({"Passing": 4, "Warning": 1});
    agent.register("web", a.port(), json!({"Check": check, "Weights": weights})).await;
    agent.register("web", b.port(), json!({"Weights": {"Passing": 4, "Warning": 1}})).await;
    let tidegate = Tidegate::new(&live(&agent.address(), "")).start().await;
    endpoints(&tidegate, 2).await;
    let maintenance = format!("agent/service/maintenance/web-{}?enable=", a.port());
    for (path, share) in [
        ("agent/check/pass/c", 0.5),
        ("agent/check/warn/c", 0.2),
        ("agent/check/fail/c", 0.0),
        ("agent/check/pass/c", 0.5),
        (&format!("{maintenance}true"), 0.0),
        (&format!("{maintenance}false"), 0.5),
    ] {
        agent.put(path, Value::Null).await;
        share_of_a(&tidegate, path, share).await;
    }
    agent.put("agent/maintenance?enable=true", Value::Null).await;
    eventually(SOON, async || match ask(&http::client(), &tidegate.url("/")).await {
        Ok((503, _)) => Ok(()),
        other => Err(format!("the node is in maintenance: {other:?}")),
    })
    .await;
}

/// Waits until `a` gets this share of 40 requests.
async fn share_of_a(tidegate: &TidegateProcess, after: &str, share: f64) {
    let client = http::client();
    eventually(SOON, async || {
        let seen = shares(&client, &tidegate.url("/"), 40).await;
        let got = seen.get("a").copied().unwrap_or(0) as f64;
        if (got - 40.0 * share).abs() <= 1.0 { Ok(()) } else { Err(format!("{after}: {seen:?}")) }
    })
    .await;
}

#[tokio::test]
async fn tags_and_meta_choose_the_endpoints() {
    let Some(agent) = Agent::start().await else { return };
    let (a, b) = (Backend::start("a").await, Backend::start("b").await);
    agent.register("web", a.port(), json!({"Tags": ["v1", "eu"], "Meta": {"stage": "live"}})).await;
    agent.register("web", b.port(), json!({"Tags": ["v2"], "Meta": {"stage": "test"}})).await;
    let config = format!(
        "consul: {{ address: '{}', empty_hold: 0s }}\nclusters:\n  v1: {{ consul: {{ service: web, tags: [ v1, eu ] }} }}\n  \
         v2: {{ consul: {{ service: web, tags: [ v2 ] }} }}\n  stage: {{ consul: {{ service: web, meta: {{ stage: test }} }} }}\n\
         routes:\n  - {{ name: one, match: {{ path: {{ prefix: /v1 }} }}, cluster: v1 }}\n  \
         - {{ name: two, match: {{ path: {{ prefix: /v2 }} }}, cluster: v2 }}\n  - {{ name: stage, cluster: stage }}\n",
        agent.address()
    );
    let tidegate = Tidegate::new(&config).start().await;
    let client = http::client();
    let goes = async |path: &str, to: &[(&str, usize)]| {
        let wanted: BTreeMap<String, usize> = to.iter().map(|(name, n)| ((*name).to_owned(), *n)).collect();
        eventually(SOON, async || {
            let mut seen = BTreeMap::new();
            for _ in 0..10 {
                let (status, backend) = ask(&client, &tidegate.url(path)).await?;
                let key = if status == 200 { backend } else { status.to_string() };
                *seen.entry(key).or_insert(0) += 1;
            }
            if seen == wanted { Ok(()) } else { Err(format!("{path}: {seen:?}")) }
        })
        .await;
    };
    goes("/v1", &[("a", 10)]).await;
    goes("/v2", &[("b", 10)]).await;
    goes("/", &[("b", 10)]).await;
    agent.register("web", a.port(), json!({"Tags": ["v2"], "Meta": {"stage": "test"}})).await;
    goes("/v1", &[("503", 10)]).await;
    goes("/v2", &[("a", 5), ("b", 5)]).await;
    goes("/", &[("a", 5), ("b", 5)]).await;
}

#[tokio::test]
async fn under_half_available_all_but_maintenance_are_used_and_counted() {
    let Some(agent) = Agent::start().await else { return };
    let names = ["a", "b", "c", "d"];
    let mut backends = Vec::new();
    for name in names {
        let backend = Backend::start(name).await;
        let check = json!({"CheckID": name, "TTL": "1h", "Status": "passing"});
        agent.register("web", backend.port(), json!({ "Check": check })).await;
        backends.push(backend);
    }
    agent
        .put(&format!("agent/service/maintenance/web-{}?enable=true", backends[3].port()), Value::Null)
        .await;
    for name in ["b", "c"] {
        agent.put(&format!("agent/check/fail/{name}"), Value::Null).await;
    }
    let tidegate = Tidegate::new(&live(&agent.address(), "")).start().await;
    let (client, url) = (http::client(), tidegate.url("/"));
    const PANIC: &str = "tidegate_cluster_panic_total{cluster=\"web\"}";
    assert_eq!(metric(&tidegate, PANIC).await, Some(0.0));
    let seen = shares(&client, &url, 30).await;
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), [("a".into(), 10), ("b".into(), 10), ("c".into(), 10)]);
    assert_eq!(metric(&tidegate, PANIC).await, Some(30.0));
    let cluster = tidegate.admin_json("/v1/clusters/web").await;
    assert_eq!((&cluster["panic"], &cluster["available"]), (&json!(true), &json!(1)), "{cluster}");

    agent.put("agent/check/pass/b", Value::Null).await;
    eventually(SOON, async || match tidegate.admin_json("/v1/clusters/web").await["available"].as_u64() {
        Some(2) => Ok(()),
        other => Err(format!("{other:?} available")),
    })
    .await;
    let before = metric(&tidegate, PANIC).await;
    let seen = shares(&client, &url, 30).await;
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), [("a".into(), 15), ("b".into(), 15)]);
    assert_eq!(metric(&tidegate, PANIC).await, before, "two of three are no panic");
}

#[tokio::test]
async fn sources_and_metrics_tell_age_updates_errors_and_holds() {
    let Some(mut agent) = Agent::start().await else { return };
    let backend = Backend::start("a").await;
    agent.register("web", backend.port(), json!({})).await;
    let tidegate = Tidegate::new(&live(&agent.address(), "")).start().await;
    let series = |family: &str| format!("tidegate_discovery_{family}{{source=\"consul\",cluster=\"web\"}}");
    let well = source(&tidegate, |s| s["updates"] == 1).await;
    assert!(well["age_seconds"].as_f64().unwrap() < 10.0, "{well}");
    assert_eq!((&well["errors"], &well["from_disk"]), (&json!(0), &json!(false)), "{well}");
    assert!(well["last_error"].is_null() && well["held"].is_null(), "{well}");
    assert_eq!(metric(&tidegate, &series("updates_total")).await, Some(1.0));
    assert_eq!(metric(&tidegate, &series("errors_total")).await, Some(0.0));

    agent.kill();
    let ill =
        source(&tidegate, |s| s["errors"].as_u64() > Some(1) && s["age_seconds"].as_f64() > Some(1.0)).await;
    assert!(ill["last_error"].as_str().unwrap().contains("refused"), "{ill}");
    assert!(metric(&tidegate, &series("age_seconds")).await > Some(1.0));
    assert!(metric(&tidegate, &series("errors_total")).await > Some(1.0));

    // It comes back and knows nothing: that is an answer, and the failure is over; but the removal
    // is not believed.
    agent.restart().await;
    let held = source(&tidegate, |s| !s["held"].is_null()).await;
    assert!(held["last_error"].is_null(), "the failure is over: {held}");
    assert!(held["errors"].as_u64() > Some(1), "{held}");
    agent.register("web", backend.port(), json!({})).await;
    source(&tidegate, |s| s["held"].is_null()).await;
}

#[tokio::test]
async fn two_processes_on_one_consul_agree() {
    let Some(agent) = Agent::start().await else { return };
    let mut backends = Vec::new();
    for n in 0..6 {
        let backend = Backend::start(&format!("b{n}")).await;
        agent.register("web", backend.port(), json!({"Tags": ["x"], "Meta": {"n": n.to_string()}})).await;
        backends.push(backend);
    }
    let ring = "    load_balancing: { policy: ring_hash, hash: [ { header: x-user } ] }\nroutes:";
    let config = live(&agent.address(), "").replace("routes:", ring);
    let (one, two) = (Tidegate::new(&config).start().await, Tidegate::new(&config).start().await);
    for count in [6, 5] {
        if count == 5 {
            agent.deregister(&format!("web-{}", backends[2].port())).await;
        }
        endpoints(&one, count).await;
        endpoints(&two, count).await;
        let digest = async |p: &TidegateProcess| p.admin_json("/v1/snapshot").await["digest"].clone();
        assert_eq!(digest(&one).await, digest(&two).await);
        let mut used = BTreeMap::new();
        let client = http::client();
        let pick = async |tidegate: &TidegateProcess, user: usize| {
            let request = client.get(tidegate.url("/")).header("x-user", format!("user-{user}"));
            let response = request.send().await.unwrap();
            response.headers()["x-backend"].to_str().unwrap().to_owned()
        };
        for user in 0..60 {
            let picks = [pick(&one, user).await, pick(&two, user).await, pick(&one, user).await];
            assert!(picks.iter().all(|p| *p == picks[0]), "user {user}: {picks:?}");
            *used.entry(picks[0].clone()).or_insert(0) += 1;
        }
        assert_eq!(used.len(), count, "all are used: {used:?}");
    }
}

#[tokio::test]
async fn endpoints_that_come_and_go_fail_no_request() {
    let Some(agent) = Agent::start().await else { return };
    let base = Backend::start("base").await;
    agent.register("web", base.port(), json!({})).await;
    let tidegate = Tidegate::new(&live(&agent.address(), "")).start().await;
    let churn = async {
        for n in 0..12 {
            let mut backend = Backend::start(&format!("c{n}")).await;
            agent.register("web", backend.port(), json!({})).await;
            endpoints(&tidegate, 2).await;
            agent.deregister(&format!("web-{}", backend.port())).await;
            endpoints(&tidegate, 1).await;
            // A proper shutdown after the deregistration: what is in flight is answered.
            backend.stop().await;
        }
    };
    let (report, ()) = Load::new(tidegate.addr("http")).during(churn).await;
    report.assert_clean();
    assert!(report.backends.len() > 8, "{report:?}");
    eprintln!("12 instances came and went: {} requests, slowest {:?}", report.ok, report.slowest);
    assert_eq!(probe::source(&tidegate, "web").await["errors"], 0);
}
