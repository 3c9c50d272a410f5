//! Starts without Consul: from what is on disk; with nothing at all; and when it comes.

use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use super::support::probe::{ask, metric};
use super::support::{Agent, Backend, Tidegate, TidegateProcess, eventually, http};
use super::{SOON, endpoints, live, source};

#[tokio::test]
async fn a_start_without_consul_serves_what_is_on_disk() {
    let Some(mut agent) = Agent::start().await else { return };
    let state = tempfile::tempdir().unwrap();
    let (a, b) = (Backend::start("a").await, Backend::start("b").await);
    agent.register("web", a.port(), json!({"Weights": {"Passing": 3, "Warning": 1}})).await;
    agent.register("web", b.port(), json!({})).await;
    let config = live(&agent.address(), "");
    let mut first = Tidegate::new(&config).state_dir(state.path()).start().await;
    endpoints(&first, 2).await;
    let digest = first.admin_json("/v1/snapshot").await["digest"].clone();
    first.term();
    first.exited(SOON).await;
    agent.kill();

    let begin = Instant::now();
    let second = Tidegate::new(&config).state_dir(state.path()).start().await;
    let ready = begin.elapsed();
    let seen = super::support::probe::shares(&http::client(), &second.url("/"), 40).await;
    assert_eq!((seen["a"], seen["b"]), (30, 10), "weights are on disk too");
    eprintln!("without Consul, from disk: ready {ready:?} after the start");
    assert!(ready < Duration::from_secs(4), "{ready:?}");
    assert_eq!(second.admin_json("/v1/snapshot").await["digest"], digest);
    source(&second, |s| s["from_disk"] == true && s["errors"].as_u64() > Some(0)).await;

    // What was on disk is doubted last: the agent returns, and the services with it.
    agent.restart().await;
    agent.register("web", a.port(), json!({})).await;
    agent.register("web", b.port(), json!({})).await;
    source(&second, |s| s["from_disk"] == false).await;
}

#[tokio::test]
async fn a_process_that_was_killed_left_its_members_on_disk() {
    let Some(mut agent) = Agent::start().await else { return };
    let state = tempfile::tempdir().unwrap();
    let backend = Backend::start("a").await;
    agent.register("web", backend.port(), json!({})).await;
    let config = live(&agent.address(), "");
    let mut first = Tidegate::new(&config).state_dir(state.path()).start().await;
    endpoints(&first, 1).await;
    let file = state.path().join("members.json");
    eventually(SOON, async || std::fs::read_to_string(&file).map(drop)).await;
    first.kill();
    agent.kill();
    let second = Tidegate::new(&config).state_dir(state.path()).start().await;
    assert_eq!(ask(&http::client(), &second.url("/")).await, Ok((200, "a".to_owned())));
}

#[tokio::test]
async fn damaged_state_is_no_reason_not_to_start() {
    let Some(agent) = Agent::start().await else { return };
    let state = tempfile::tempdir().unwrap();
    std::fs::write(state.path().join("members.json"), b"{\"format\":1,\"sha256\":\"00\"}\n{\"web\":null}")
        .unwrap();
    let backend = Backend::start("a").await;
    agent.register("web", backend.port(), json!({})).await;
    let tidegate = Tidegate::new(&live(&agent.address(), "")).state_dir(state.path()).start().await;
    assert_eq!(ask(&http::client(), &tidegate.url("/")).await, Ok((200, "a".to_owned())));
    assert!(tidegate.stderr().contains("the state of earlier members is not used"), "{}", tidegate.stderr());
}

#[tokio::test]
async fn with_neither_consul_nor_state_it_waits_visibly_and_serves_when_consul_comes() {
    let Some(mut agent) = Agent::start().await else { return };
    agent.kill();
    let fixed = Backend::start("fixed").await;
    let more = format!(
        "  fixed: {{ static: {{ endpoints: [ {{ address: '{}' }} ] }} }}\nroutes:\n  - {{ name: fixed, match: {{ path: {{ prefix: /fixed }} }}, cluster: fixed }}\n",
        fixed.addr()
    );
    let tidegate = Tidegate::new(&live(&agent.address(), "").replace("routes:\n", &more)).spawn();
    let client = http::client();
    // The first snapshot waits a few seconds for an answer; then requests are answered as well as
    // they can be.
    eventually(SOON, async || match ask(&client, &tidegate.url("/")).await {
        Ok((503, _)) => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    let (status, body) = tidegate.admin_get("/ready").await.unwrap();
    assert_eq!(status, 503);
    assert!(body.contains("members of cluster `web`") && !body.contains("`fixed`"), "{body}");
    assert_eq!(
        ask(&client, &tidegate.url("/fixed")).await,
        Ok((200, "fixed".to_owned())),
        "the others serve"
    );
    assert_eq!(tidegate.admin_get("/live").await.unwrap().0, 200);
    let flags = "tidegate_http_response_flags_total{route=\"all\",flag=\"UH\"}";
    assert!(metric(&tidegate, flags).await > Some(0.0));
    assert!(outcome(&tidegate).await.ends_with("its source has not answered yet"));

    // Consul comes, and does not know the service: that is an answer.
    agent.restart().await;
    ready(&tidegate).await;
    let outcome = outcome(&tidegate).await;
    assert!(outcome.starts_with("503 UH: no endpoint"), "{outcome}");

    let backend = Backend::start("a").await;
    agent.register("web", backend.port(), json!({})).await;
    eventually(SOON, async || match ask(&client, &tidegate.url("/")).await {
        Ok((200, _)) => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
}

async fn ready(tidegate: &TidegateProcess) {
    eventually(SOON, async || match tidegate.admin_get("/ready").await? {
        (200, _) => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
}

async fn outcome(tidegate: &TidegateProcess) -> String {
    let probe = json!({"method": "GET", "url": "http://example.com/"});
    let (status, body) = tidegate.admin_post("/v1/explain", &probe).await.unwrap();
    assert_eq!(status, 200, "{body}");
    let explained: serde_json::Value = serde_json::from_str(&body).unwrap();
    explained["outcome"].as_str().unwrap_or_else(|| panic!("{body}")).to_owned()
}
