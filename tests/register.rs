//! The proxy's own entry in a real Consul, as a watcher sees it: a blocking query on
//! `/v1/health/service`, every return of which is written down.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![allow(clippy::disallowed_types, reason = "the lock of a test's notes, never held over an await")]

mod support;

#[path = "register/agent.rs"]
mod agent;
#[path = "register/heir.rs"]
mod heir;
#[path = "register/reload.rs"]
mod reload;
#[path = "register/upgrade.rs"]
mod upgrade;
#[path = "register/watcher.rs"]
mod watcher;

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use self::support::{Agent, Tidegate, TidegateProcess, eventually, http};
use self::watcher::Watcher;

const SOON: Duration = Duration::from_secs(15);

/// A config that registers. `more`: keys beside the name.
fn live(agent: &str, more: &str) -> String {
    format!(
        "consul: {{ address: '{agent}' }}\nregister: {{ name: edge{more} }}\nroutes: [ {{ name: r, respond: {{ status: 200 }} }} ]\n"
    )
}

/// GET of the agent's API, as JSON.
async fn get(agent: &Agent, path: &str) -> Value {
    let url = format!("http://{}/v1/{path}", agent.address());
    http::client().get(url).send().await.unwrap().json().await.unwrap()
}

/// Waits until `/v1/register` fits.
async fn shows(tidegate: &TidegateProcess, fits: impl Fn(&Value) -> bool) -> Value {
    eventually(SOON, async || {
        let status = tidegate.admin_json("/v1/register").await;
        if fits(&status) { Ok(status) } else { Err(status.to_string()) }
    })
    .await
}

async fn registered(tidegate: &TidegateProcess) -> Value {
    shows(tidegate, |status| status["state"] == "registered").await
}

#[tokio::test]
async fn it_is_there_once_it_is_ready_and_gone_within_a_second_of_sigterm() {
    let Some(agent) = Agent::start().await else { return };
    let watcher = Watcher::start(&agent, "edge");
    let more = ", tags: [public], meta: { zone: z1 }, ttl: 3s";
    let mut tidegate = Tidegate::new(&live(&agent.address(), more)).start().await;
    let status = registered(&tidegate).await;
    let id = status["id"].as_str().unwrap().to_owned();
    watcher.until(SOON, |now| now == [(id.clone(), "passing".to_owned())]).await;
    let port = tidegate.addr("http").port();
    assert!(id.starts_with("edge-") && id.ends_with(&format!("-{port}")), "{id}");
    let service = &get(&agent, "health/service/edge").await[0]["Service"];
    assert_eq!((&service["Port"], &service["Tags"]), (&json!(port), &json!(["public"])));
    assert_eq!((&service["Meta"], &service["Address"]), (&json!({"zone": "z1"}), &json!("")));
    let page = tidegate.admin_get("/metrics").await.unwrap().1;
    assert!(page.contains("tidegate_consul_registered{service=\"edge\"} 1\n"), "{page}");

    // Longer than the TTL: the heartbeat holds it, and costs watchers nothing.
    let wakes = watcher.count();
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(watcher.count(), wakes, "{watcher:?}");

    let start = Instant::now();
    tidegate.term();
    watcher.until(Duration::from_secs(1), <[_]>::is_empty).await;
    eprintln!("SIGTERM to removed: {:?}", start.elapsed());
    assert!(start.elapsed() < Duration::from_secs(1));
    tidegate.exited(Duration::from_secs(2).saturating_sub(start.elapsed())).await;
    let statuses: Vec<_> = watcher.all().into_iter().skip(wakes).collect();
    assert_eq!(statuses, [vec![(id.clone(), "critical".to_owned())], vec![]], "critical, then gone");
    let told = tidegate.stderr();
    for line in ["registered in Consul", "critical in Consul", "removed from Consul"] {
        assert!(told.contains(line), "{line}: {told}");
    }
}

#[tokio::test]
async fn sigint_removes_it_too() {
    let Some(agent) = Agent::start().await else { return };
    let mut tidegate = Tidegate::new(&live(&agent.address(), "")).start().await;
    registered(&tidegate).await;
    tidegate.signal("INT");
    tidegate.exited(Duration::from_secs(2)).await;
    assert_eq!(get(&agent, "health/service/edge").await, json!([]));
}

#[tokio::test]
async fn after_a_kill_it_turns_critical_by_itself_and_the_next_start_takes_it_on() {
    let Some(agent) = Agent::start().await else { return };
    let watcher = Watcher::start(&agent, "edge");
    let text = live(&agent.address(), ", ttl: 3s, id: edge-1");
    let mut tidegate = Tidegate::new(&text).start().await;
    registered(&tidegate).await;
    tidegate.kill();
    watcher.until(SOON, |now| now.iter().any(|(_, status)| status == "critical")).await;
    let _again = Tidegate::new(&text).start().await;
    watcher.until(SOON, |now| now == [("edge-1".to_owned(), "passing".to_owned())]).await;
}
