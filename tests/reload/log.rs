//! The access log moves with the config, and is opened again when it was rotated.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::json;

use super::support::probe::Cost;
use super::support::{FakeConsul, Play, Tidegate, TidegateProcess, eventually, until};
use super::{SOON, body, reload, says};

fn lines(path: &Path) -> usize {
    fs::read_to_string(path)
        .map_or(0, |text| text.lines().filter(|line| line.contains("\"route\":\"all\"")).count())
}

fn log_to(path: &Path) -> String {
    format!("access_log: {{ path: {} }}\n{}", path.display(), says("x"))
}

/// Whether the process has a file open.
fn holds(tidegate: &TidegateProcess, path: &Path) -> bool {
    let fds = fs::read_dir(format!("/proc/{}/fd", tidegate.pid())).unwrap();
    fds.flatten().any(|fd| fs::read_link(fd.path()).is_ok_and(|target| target == path))
}

#[tokio::test]
async fn lines_go_where_the_new_config_says_and_the_old_file_is_let_go() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (dir.path().join("a.log"), dir.path().join("b.log"));
    let tidegate = Tidegate::new(&log_to(&a)).start().await;
    body(&tidegate).await;
    until(SOON, "a line in a", || lines(&a) == 1).await;
    let cost = Cost::of(tidegate.pid());
    for round in 1..=5 {
        tidegate.write_live(&log_to(&b));
        reload(&tidegate).await;
        body(&tidegate).await;
        until(SOON, "a line in b", || lines(&b) == round).await;
        tidegate.write_live(&log_to(&a));
        reload(&tidegate).await;
        body(&tidegate).await;
        until(SOON, "a line in a", || lines(&a) == 1 + round).await;
    }
    until(SOON, "b is closed", || !holds(&tidegate, &b)).await;
    let now = Cost::of(tidegate.pid());
    assert!(now.threads <= cost.threads + 1 && now.fds <= cost.fds + 2, "{cost:?} -> {now:?}");
}

#[tokio::test]
async fn a_log_that_was_rotated_is_opened_again_by_sighup() {
    let dir = tempfile::tempdir().unwrap();
    let (log, old) = (dir.path().join("a.log"), dir.path().join("a.log.1"));
    let tidegate = Tidegate::new(&log_to(&log)).start().await;
    body(&tidegate).await;
    until(SOON, "a line", || lines(&log) == 1).await;
    fs::rename(&log, &old).unwrap();
    tidegate.hup();
    until(SOON, "a new file", || log.exists()).await;
    body(&tidegate).await;
    until(SOON, "a line in the new file", || lines(&log) == 1).await;
    assert_eq!(lines(&old), 1);

    // Rotation does not depend on whether somebody is just editing the config.
    tidegate.write_live("routes: [");
    fs::rename(&log, &old).unwrap();
    tidegate.hup();
    until(SOON, "a new file, though the config is bad", || log.exists()).await;
}

#[tokio::test]
async fn a_log_that_cannot_be_opened_is_a_problem_and_changes_nothing() {
    let tidegate = Tidegate::new(&says("x")).start().await;
    let generation = tidegate.generation().await;
    tidegate.write_live(&log_to(Path::new("/nowhere/at/all.log")));
    let (status, text) = tidegate.admin_post("/v1/reload", &json!({})).await.unwrap();
    assert_eq!(status, 422);
    assert!(text.contains("access_log.path") && text.contains("/nowhere/at/all.log"), "{text}");
    assert_eq!(tidegate.generation().await, generation);
}

#[tokio::test]
async fn a_reload_while_it_starts_leaves_it_its_log() {
    // The first answer comes late, so the start takes its time.
    let fake = FakeConsul::start(Play::Late(Duration::from_millis(1200), 5, json!([]))).await;
    let consul = format!(
        "consul: {{ address: '{}' }}\nclusters: {{ web: {{ consul: {{ service: web }} }} }}\n",
        fake.address()
    );
    let tidegate = Tidegate::new(&format!("{consul}{}", says("x"))).spawn();
    until(SOON, "it starts", || tidegate.dir().join("pid").exists()).await;
    tidegate.write_live(&format!("{consul}{}", says("y")));
    tidegate.hup();
    let ready = async || match tidegate.admin_get("/ready").await {
        Ok((200, _)) => Ok(()),
        other => Err(format!("{other:?}")),
    };
    eventually(SOON, ready).await;
    assert_eq!(body(&tidegate).await, "y", "the first snapshot is that of the newest file");
    until(SOON, "a line on stdout", || tidegate.stdout().contains("\"route\":\"all\"")).await;
}
