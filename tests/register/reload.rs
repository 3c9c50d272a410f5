//! The `register` section changes while the process runs.

use super::*;

#[tokio::test]
async fn another_name_is_in_before_the_old_one_goes() {
    let Some(agent) = Agent::start().await else { return };
    let tidegate = Tidegate::new(&live(&agent.address(), ", id: edge-1")).start().await;
    registered(&tidegate).await;
    let (old, new) = (Watcher::start(&agent, "edge"), Watcher::start(&agent, "door"));
    old.until(SOON, |now| now.len() == 1).await;
    let text = live(&agent.address(), ", id: door-1").replace("name: edge", "name: door");
    tidegate.reload(&text).await;
    new.until(SOON, |now| now == [("door-1".to_owned(), "passing".to_owned())]).await;
    old.until(SOON, <[_]>::is_empty).await;
    assert!(old.all().iter().flatten().all(|(_, status)| status == "passing"), "{old:?}");
    eventually(SOON, async || {
        let told = tidegate.stderr();
        let (new, old) = (told.rfind("registered in Consul"), told.rfind("removed from Consul"));
        (old.is_some() && new < old).then_some(()).ok_or(told)
    })
    .await;

    // Without the section it goes; the process stays.
    tidegate.reload("routes: [ { name: r, respond: { status: 204 } } ]\n").await;
    new.until(SOON, <[_]>::is_empty).await;
    shows(&tidegate, Value::is_null).await;
    let page = tidegate.admin_get("/metrics").await.unwrap().1;
    assert!(!page.contains("tidegate_consul_regist"), "{page}");
}

#[tokio::test]
async fn tags_and_checks_change_in_place() {
    let Some(agent) = Agent::start().await else { return };
    let tidegate = Tidegate::new(&live(&agent.address(), ", id: edge-1, tags: [one]")).start().await;
    registered(&tidegate).await;
    let watcher = Watcher::start(&agent, "edge");
    watcher.until(SOON, |now| now.len() == 1).await;
    tidegate.reload(&live(&agent.address(), ", id: edge-1, tags: [two], check: http, interval: 1s")).await;
    let checks = eventually(SOON, async || {
        // The agent's own view: it tells the catalog only minutes later what a check answered.
        let answer = get(&agent, "agent/health/service/id/edge-1").await;
        let checks: Vec<_> = answer["Checks"].as_array().unwrap().clone();
        let ids: Vec<_> = checks.iter().filter_map(|c| c["CheckID"].as_str()).collect();
        let output = checks.iter().any(|c| c["Output"].as_str().is_some_and(|o| o.contains("200 OK")));
        if ids.contains(&"edge-1-http") && !ids.contains(&"edge-1-ttl") && output {
            Ok(checks)
        } else {
            Err(answer.to_string())
        }
    })
    .await;
    assert!(checks.iter().all(|check| check["Status"] == "passing"), "{checks:?}");
    assert_eq!(get(&agent, "health/service/edge").await[0]["Service"]["Tags"], json!(["two"]));
    assert!(watcher.all().iter().flatten().all(|(_, status)| status == "passing"), "{watcher:?}");

    // Somebody else's change is found by a comparison.
    let other = json!({"Name": "edge", "ID": "edge-1", "Port": tidegate.addr("http").port(), "Tags": ["x"]});
    agent.put("agent/service/register", other).await;
    eventually(SOON, async || {
        let answer = get(&agent, "health/service/edge").await;
        (answer[0]["Service"]["Tags"] == json!(["two"])).then_some(()).ok_or_else(|| answer.to_string())
    })
    .await;
    let told = tidegate.stderr();
    assert!(told.contains("registered in Consul again, where it was otherwise"), "{told}");
    tidegate.term();
    watcher.until(Duration::from_secs(1), <[_]>::is_empty).await;
}
