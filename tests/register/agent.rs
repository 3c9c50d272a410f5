//! What an agent may do: be away, forget, refuse, freeze; and what others may do to the entry.

use super::*;

#[tokio::test]
async fn an_agent_that_is_away_or_has_forgotten_gets_it_back() {
    let Some(mut agent) = Agent::start().await else { return };
    agent.kill();
    let tidegate = Tidegate::new(&live(&agent.address(), ", ttl: 3s, id: edge-1")).start().await;
    let status = shows(&tidegate, |status| status["errors"].as_u64() > Some(0)).await;
    assert_eq!(status["state"], "waiting");
    assert!(status["last_error"].as_str().unwrap().starts_with("refused: "), "{status}");
    let page = tidegate.admin_get("/metrics").await.unwrap().1;
    assert!(page.contains("tidegate_consul_registered{service=\"edge\"} 0\n"), "{page}");

    agent.restart().await;
    let watcher = Watcher::start(&agent, "edge");
    let passing = |now: &[(String, String)]| now == [("edge-1".to_owned(), "passing".to_owned())];
    watcher.until(SOON, passing).await;
    assert!(registered(&tidegate).await["last_error"].is_null());

    // Without data: nothing is registered, and the heartbeat says so.
    let start = Instant::now();
    agent.restart().await;
    let watcher = Watcher::start(&agent, "edge");
    watcher.until(SOON, passing).await;
    eprintln!("restarted without data to registered: {:?}", start.elapsed());

    let start = Instant::now();
    agent.deregister("edge-1").await;
    watcher.until(SOON, <[_]>::is_empty).await;
    watcher.until(Duration::from_secs(3), passing).await;
    eprintln!("deregistered by hand to registered: {:?}", start.elapsed());
    let told = tidegate.stderr();
    assert!(told.contains("registered in Consul again, which had forgotten"), "{told}");
}

#[tokio::test]
async fn an_agent_that_is_frozen_or_gone_does_not_delay_a_stop() {
    for frozen in [true, false] {
        let Some(mut agent) = Agent::start().await else { return };
        let mut tidegate = Tidegate::new(&live(&agent.address(), "")).start().await;
        registered(&tidegate).await;
        if frozen {
            agent.freeze()
        } else {
            agent.kill()
        }
        let start = Instant::now();
        tidegate.term();
        tidegate.exited(Duration::from_secs(3)).await;
        let took = start.elapsed();
        eprintln!("stopped with the agent {}: {took:?}", if frozen { "frozen" } else { "gone" });
        assert!(took < Duration::from_millis(if frozen { 2_000 } else { 1_500 }), "{took:?}");
    }
}

#[tokio::test]
async fn without_the_right_it_is_said_what_is_missing() {
    let acl = json!({"acl": {"enabled": true, "default_policy": "deny",
        "tokens": {"master": "5a0a8a4b-6ad4-4b29-8e02-3e3b3a1a0001", "agent": "5a0a8a4b-6ad4-4b29-8e02-3e3b3a1a0001"}}});
    let root = "5a0a8a4b-6ad4-4b29-8e02-3e3b3a1a0001";
    let Some(agent) = Agent::start_with(acl, Some(root)).await else { return };
    let policy = json!({"Name": "edge", "Rules": "service \"edge\" { policy = \"write\" }"});
    eventually(SOON, async || {
        let url = format!("http://{}/v1/acl/token/self", agent.address());
        let answer = http::client().get(url).header("x-consul-token", root).send().await;
        answer.is_ok_and(|a| a.status() == 200).then_some(()).ok_or("no ACLs yet")
    })
    .await;
    agent.put("acl/policy", policy).await;
    let made = agent.put("acl/token", json!({"Policies": [{"Name": "edge"}]})).await;
    let token = made["SecretID"].as_str().unwrap();

    let text = |name: &str| {
        format!(
            "consul: {{ address: '{}', token: '{token}' }}\nregister: {{ name: {name} }}\nroutes: [ {{ name: r, respond: {{ status: 200 }} }} ]\n",
            agent.address()
        )
    };
    let tidegate = Tidegate::new(&text("other")).start().await;
    shows(&tidegate, |status| status["last_error"].as_str().is_some_and(|e| e.starts_with("forbidden")))
        .await;
    let told = tidegate.stderr();
    assert!(told.contains("the token needs `service:write` for `other`"), "{told}");
    tidegate.reload(&text("edge")).await;
    registered(&tidegate).await;
}

#[tokio::test]
async fn maintenance_is_an_operators_word() {
    let Some(agent) = Agent::start().await else { return };
    let text = |tag: &str| live(&agent.address(), &format!(", ttl: 3s, id: edge-1, tags: [{tag}]"));
    let tidegate = Tidegate::new(&text("one")).start().await;
    registered(&tidegate).await;
    agent.put("agent/service/maintenance/edge-1?enable=true&reason=op", Value::Null).await;
    tidegate.reload(&text("two")).await;
    shows(&tidegate, |status| status["registrations"] == 2 && status["state"] == "registered").await;
    // Some heartbeats more.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let checks = get(&agent, "health/service/edge").await[0]["Checks"].clone();
    let maintained = checks.as_array().unwrap().iter().any(|c| c["CheckID"] == "_service_maintenance:edge-1");
    assert!(maintained, "{checks}");
}

#[tokio::test]
async fn an_entry_that_another_process_has_taken_is_not_removed() {
    let Some(agent) = Agent::start().await else { return };
    let mut tidegate = Tidegate::new(&live(&agent.address(), ", id: edge-1, ttl: 1h")).start().await;
    registered(&tidegate).await;
    agent.put("agent/service/register", json!({"Name": "edge", "ID": "edge-1", "Port": 7})).await;
    tidegate.term();
    tidegate.exited(Duration::from_secs(3)).await;
    assert_eq!(get(&agent, "health/service/edge").await[0]["Service"]["Port"], 7);
    let told = tidegate.stderr();
    assert!(told.contains("left in Consul: another process has registered it since"), "{told}");
}
