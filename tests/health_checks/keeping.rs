//! What a check found belongs to (cluster, address): reloads and the registry do not touch it.

use std::time::Duration;

use serde_json::json;

use super::support::{Agent, Backend, Load, Tidegate, eventually};
use super::{QUICK, SOON, checked, endpoint, live};

#[tokio::test]
async fn a_new_weight_in_consul_does_not_bring_the_dead_back() {
    let Some(agent) = Agent::start().await else { return };
    let (a, mut b) = (Backend::start("a").await, Backend::start("b").await);
    for port in [a.port(), b.port()] {
        agent.register("web", port, json!({})).await;
    }
    let live = format!(
        "consul: {{ address: '{}' }}\nclusters: {{ web: {{ consul: {{ service: web }}, health_check: {{ {QUICK} }} }} }}\nroutes: [ {{ name: all, cluster: web }} ]\n",
        agent.address()
    );
    let tidegate = Tidegate::new(&live).start().await;
    checked(&tidegate, b.addr(), "up").await;
    b.kill().await;
    let found = checked(&tidegate, b.addr(), "down").await;
    assert_eq!(found["checked_why"], "connection refused");
    let (before, tried) = (found["connect_failures"].clone(), found["requests"].clone());
    let (report, ()) = Load::new(tidegate.addr("http"))
        .during(async {
            for weight in 2..12 {
                let weights = json!({"Weights": {"Passing": weight, "Warning": 1}});
                agent.register("web", b.port(), weights).await;
                eventually(SOON, async || {
                    let found = endpoint(&tidegate, "web", b.addr()).await;
                    assert_eq!(found["checked"], "down", "{found}");
                    if found["weight"] == weight { Ok(()) } else { Err(found) }
                })
                .await;
            }
        })
        .await;
    report.assert_clean();
    let found = endpoint(&tidegate, "web", b.addr()).await;
    assert_eq!((&found["connect_failures"], &found["requests"]), (&before, &tried), "not one request on it");
    b.restart().await;
    let found = checked(&tidegate, b.addr(), "up").await;
    assert_eq!(found["weight"], 11);
}

#[tokio::test]
async fn a_reload_keeps_the_state() {
    let (a, mut b) = (Backend::start("a").await, Backend::start("b").await);
    let text = live(&[a.addr(), b.addr()], QUICK);
    let tidegate = Tidegate::new(&text).start().await;
    checked(&tidegate, b.addr(), "up").await;
    b.kill().await;
    let down = checked(&tidegate, b.addr(), "down").await;
    let tried = down["requests"].clone();
    let (report, ()) = Load::new(tidegate.addr("http"))
        .during(async {
            for round in 0..5 {
                // Another config each time: the route, the policy, the check itself.
                let policy = ["random", "least_request"][round % 2];
                let check = text.replace("interval: 100ms", &format!("interval: {}ms", 100 + round));
                let more = format!("    load_balancing: {{ policy: {policy} }}\nroutes:");
                tidegate.reload(&check.replace("routes:", &more)).await;
                let found = endpoint(&tidegate, "web", b.addr()).await;
                assert_eq!(found["checked"], "down", "{found}");
            }
        })
        .await;
    report.assert_clean();
    let found = endpoint(&tidegate, "web", b.addr()).await;
    assert_eq!(found["requests"], tried, "not one request on it");
    let since = |found: &serde_json::Value| found["checked_since_seconds"].as_f64().unwrap();
    assert!(since(&found) > since(&down), "{found}");
    let down_lines = tidegate.stderr().matches("to=\"down\"").count();
    assert_eq!(down_lines, 1, "told once");
}

#[tokio::test]
async fn a_cluster_that_loses_its_check_uses_all() {
    let (a, b) = (Backend::start("a").await, Backend::start("b").await);
    b.set_healthy(false);
    let text = live(&[a.addr(), b.addr()], QUICK);
    let tidegate = Tidegate::new(&text).start().await;
    checked(&tidegate, b.addr(), "down").await;
    tidegate.reload(&text.replace(&format!("    health_check: {{ {QUICK} }}\n"), "")).await;
    let found = endpoint(&tidegate, "web", b.addr()).await;
    assert_eq!((&found["checked"], &found["state"]), (&serde_json::Value::Null, &"available".into()));
    let report = Load::new(tidegate.addr("http")).run_for(Duration::from_millis(300)).await;
    report.assert_clean();
    assert!(b.requests() > 10);
}
