//! The ways to ask for a reload, and what "applied" means.

use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use super::support::probe::ask;
use super::support::{Agent, Backend, RawClient, Tidegate, http, until};
use super::{SOON, body, reload, says, to, until_body};

#[tokio::test]
async fn the_answer_of_a_reload_means_that_it_serves() {
    let tidegate = Tidegate::new(&says("0")).start().await;
    for n in 1..=30 {
        tidegate.write_live(&says(&n.to_string()));
        let answer = reload(&tidegate).await;
        assert_eq!(body(&tidegate).await, n.to_string(), "the next request sees it");
        let serves = tidegate.admin_json("/v1/snapshot").await;
        assert_eq!(serves["generation"], answer["generation"], "{serves}");
        assert!(answer["needs_upgrade"].as_array().is_none_or(Vec::is_empty), "{answer}");
    }
}

#[tokio::test]
async fn sighup_and_every_way_to_change_a_file_reload() {
    let tidegate = Tidegate::new(&says("first")).start().await;
    let whole = std::fs::read_to_string(tidegate.config_path()).unwrap();
    let with = |text: &str| whole.replace("first", text);
    tidegate.write_config(&with("renamed over"));
    until_body(&tidegate, "renamed over").await;
    std::fs::write(tidegate.config_path(), with("written in place")).unwrap();
    until_body(&tidegate, "written in place").await;
    std::fs::remove_file(tidegate.config_path()).unwrap();
    // A file that is not there is a problem, and no reason to serve nothing.
    tidegate.hup();
    until(SOON, "the log says it", || tidegate.stderr().contains("there is no file")).await;
    assert_eq!(body(&tidegate).await, "written in place");
    std::fs::write(tidegate.config_path(), with("made anew")).unwrap();
    until_body(&tidegate, "made anew").await;
    let beside = tidegate.dir().join("real.yaml");
    std::fs::write(&beside, with("behind a link")).unwrap();
    std::fs::remove_file(tidegate.config_path()).unwrap();
    std::os::unix::fs::symlink(&beside, tidegate.config_path()).unwrap();
    until_body(&tidegate, "behind a link").await;
    std::fs::write(&beside, with("changed behind the link")).unwrap();
    tidegate.hup();
    until_body(&tidegate, "changed behind the link").await;
    let causes = tidegate.stderr();
    assert!(causes.contains("reload: file") && causes.contains("reload: SIGHUP"), "{causes}");
}

#[tokio::test]
async fn the_same_file_again_keeps_the_generation() {
    let tidegate = Tidegate::new(&says("x")).start().await;
    let first = tidegate.generation().await;
    for _ in 0..3 {
        assert_eq!(reload(&tidegate).await["generation"], first);
    }
    let whole = std::fs::read_to_string(tidegate.config_path()).unwrap();
    tidegate.write_config(&format!("# a comment\n{whole}\n"));
    assert_eq!(reload(&tidegate).await["generation"], first);
    assert_eq!(tidegate.generation().await, first);
}

#[tokio::test]
async fn what_the_admin_api_shows_is_what_serves_also_where_no_request_notices() {
    let tidegate = Tidegate::new(&says("x")).start().await;
    let first = tidegate.generation().await;
    tidegate.write_live(&format!("consul: {{ wait: 10s }}\n{}", says("x")));
    let answer = reload(&tidegate).await;
    assert_eq!(tidegate.admin_json("/v1/config").await["consul"]["wait"], "10s");
    assert_eq!(answer["generation"], first + 1, "another config is another generation");
}

#[tokio::test]
async fn boot_changes_are_named_and_the_rest_is_applied() {
    let tidegate = Tidegate::new(&says("old")).start().await;
    let whole = std::fs::read_to_string(tidegate.config_path()).unwrap();
    let listener = "  - name: more\n    address: 127.0.0.1:1\nroutes:";
    let changed = whole.replace("threads: 2", "threads: 3").replace("grace_period: 5s", "grace_period: 6s");
    tidegate.write_config(&changed.replace("routes:", listener).replace("old", "new"));
    let answer = reload(&tidegate).await;
    let named = json!(["server.threads", "server.grace_period", "listeners"]);
    assert_eq!(answer["needs_upgrade"], named);
    assert_eq!(body(&tidegate).await, "new");
    let log = tidegate.stderr();
    assert!(log.contains("wait for an upgrade or a restart") && log.contains("server.threads"), "{log}");
    // Still so: they are compared with what runs, not with the file before.
    assert_eq!(reload(&tidegate).await["needs_upgrade"], named);
    assert_eq!(tidegate.admin_json("/v1/config").await["server"]["threads"], 2);
}

#[tokio::test]
async fn reloads_at_once_are_all_answered_and_the_last_file_serves() {
    let tidegate = Tidegate::new(&says("0")).start().await;
    for round in 1..=5 {
        let mut asked = Vec::new();
        for n in 0..4 {
            tidegate.write_live(&says(&format!("{round}-{n}")));
            asked.push(async { (reload(&tidegate).await, body(&tidegate).await) });
            tidegate.hup();
        }
        let answers = futures::future::join_all(asked).await;
        let last = format!("{round}-3");
        for (answer, seen) in &answers {
            assert_eq!(seen, &last, "{answer}");
        }
        let serves = tidegate.generation().await;
        assert!(
            answers.iter().all(|(a, _)| a["generation"].as_u64() <= Some(serves)),
            "{serves}: {answers:?}"
        );
        assert_eq!(body(&tidegate).await, last);
    }
}

#[tokio::test]
async fn a_request_under_way_keeps_the_route_it_began_with() {
    let (old, new) = (Backend::start("old").await, Backend::start("new").await);
    let before = to("old", old.addr())
        .replace("cluster: old }", "cluster: old, response_headers: { set: { x-route: before } } }");
    let tidegate = Tidegate::new(&before).start().await;
    let mut slow = RawClient::connect(tidegate.addr("http")).await;
    slow.send("GET /slow?ms=1000 HTTP/1.1\r\nhost: a\r\n\r\n").await;
    until(SOON, "it is under way", || old.in_flight() == 1).await;
    tidegate.write_live(&to("new", new.addr()));
    reload(&tidegate).await;
    assert_eq!(body(&tidegate).await, "new");
    let answer = slow.response().await.unwrap();
    assert_eq!(
        (answer.status, answer.header("x-backend"), answer.header("x-route")),
        (200, Some("old"), Some("before"))
    );
    // The next request on that connection sees the new one.
    slow.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!(slow.response().await.unwrap().header("x-backend"), Some("new"));
}

#[tokio::test]
async fn a_file_that_cannot_be_read_to_its_end_stops_nothing() {
    // As on a network file system that hangs. A pipe without a writer does the same.
    let Some(agent) = Agent::start().await else { return };
    let (a, b) = (Backend::start("a").await, Backend::start("b").await);
    agent.register("web", a.port(), json!({})).await;
    let live = format!(
        "consul: {{ address: '{}' }}\nclusters:\n  web: {{ consul: {{ service: web }} }}\nroutes:\n  - {{ name: all, cluster: web }}\n",
        agent.address()
    );
    let mut tidegate = Tidegate::new(&live).start().await;
    let whole = std::fs::read_to_string(tidegate.config_path()).unwrap();
    let pipe = tidegate.dir().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    std::fs::rename(&pipe, tidegate.config_path()).unwrap();
    tidegate.hup();
    tokio::time::sleep(Duration::from_millis(400)).await;
    agent.register("web", b.port(), json!({})).await;
    let (client, url) = (http::client(), tidegate.url("/"));
    let begin = Instant::now();
    let mut seen = String::new();
    while seen != "b" && begin.elapsed() < Duration::from_secs(3) {
        seen = ask(&client, &url).await.unwrap().1;
    }
    // A failing test reads the config for its report, so the pipe goes first.
    tidegate.write_config(&whole);
    assert_eq!(seen, "b", "members wait for a file");
    tidegate.term();
    tidegate.exited(Duration::from_secs(3)).await;
}
