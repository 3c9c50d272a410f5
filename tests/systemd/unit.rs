//! The unit: its sandbox, and what systemd makes of a reload, a crash and a stop.

use std::time::Duration;

use tokio::time::Instant;

use super::debs::{Debs, install};
use crate::support::{Container, Network, eventually};

const CONFIG: &str = "/etc/tidegate/tidegate.yaml";

/// At most this exposure, of 10, by `systemd-analyze security`.
const EXPOSURE: f64 = 2.5;

#[tokio::test]
async fn it_reloads_crashes_and_stops_as_a_service_should() {
    let Some(container) = Container::boot(Network::Own).await else { return };
    let debs = Debs::build().await;
    assert!(install(&container, &debs.revision(1).await).await.success());
    serves(&container, "Tidegate is installed").await;
    hardened(&container).await;
    reloads(&container).await;
    comes_back(&container).await;
    stops(&container).await;
}

async fn hardened(container: &Container) {
    let analysis = container.ok(&["systemd-analyze", "security", "--no-pager", "tidegate.service"]).await;
    // `→ Overall exposure level for tidegate.service: 1.5 OK :-)`
    let level = analysis.split("level for tidegate.service: ").nth(1).unwrap_or_default();
    let level = level.split_whitespace().next().and_then(|level| level.parse::<f64>().ok());
    assert!(level.is_some_and(|level| level <= EXPOSURE), "{level:?}\n{analysis}");
    container.ok(&["systemd-analyze", "verify", "/usr/lib/systemd/system/tidegate.service"]).await;
}

async fn reloads(container: &Container) {
    let main = container.property("MainPID").await;
    let good = std::fs::read_to_string(container.path(CONFIG)).unwrap();
    let changed = good.replace("Tidegate is installed.", "Second.");
    container.write(CONFIG, &changed);
    container.ok(&["systemctl", "reload", "tidegate"]).await;
    serves(container, "Second.").await;

    // A bad file: what served before goes on, and the unit is active.
    container.write(CONFIG, &changed.replace("routes:", "ruotes:"));
    let refused = container.run(&["systemctl", "reload", "tidegate"]).await;
    assert!(!refused.success(), "a reload of a bad file must fail: {refused:?}");
    eventually(Duration::from_secs(10), async || {
        let journal = container.journal().await;
        if journal.contains("ruotes") { Ok(()) } else { Err(journal) }
    })
    .await;
    serves(container, "Second.").await;
    assert_eq!(container.ok(&["systemctl", "is-active", "tidegate"]).await.trim(), "active");
    assert_eq!(container.property("MainPID").await, main, "a reload is no restart");
    container.write(CONFIG, &good);
    container.ok(&["systemctl", "reload", "tidegate"]).await;
    serves(container, "Tidegate is installed").await;
}

/// `kill -9` of the main process.
async fn comes_back(container: &Container) {
    let main = container.property("MainPID").await;
    container.ok(&["systemctl", "kill", "--signal", "KILL", "--kill-whom", "main", "tidegate"]).await;
    eventually(Duration::from_secs(20), async || {
        let now = (container.property("MainPID").await, container.property("ActiveState").await);
        if now.0 != main && now.0 != "0" && now.1 == "active" { Ok(()) } else { Err(format!("{now:?}")) }
    })
    .await;
    serves(container, "Tidegate is installed").await;
    assert_eq!(container.property("NRestarts").await, "1");
}

/// An idle process does not sleep its grace period out.
async fn stops(container: &Container) {
    let began = Instant::now();
    container.ok(&["systemctl", "stop", "tidegate"]).await;
    let took = began.elapsed();
    assert!(took < Duration::from_secs(4), "`systemctl stop` of an idle process took {took:?}");
    assert_eq!(container.property("ActiveState").await, "inactive");
    assert_eq!(container.property("Result").await, "success");
    assert_eq!(container.processes().await, [] as [u32; 0]);
    // Its sandbox forbids nothing that it does.
    let journal = container.journal().await;
    assert!(!journal.contains("WARN") && !journal.contains("not permitted"), "{journal}");
}

async fn serves(container: &Container, wanted: &str) {
    eventually(Duration::from_secs(20), async || {
        let ran = container.run(&["curl", "-sS", "--max-time", "5", "http://127.0.0.1:8080/"]).await;
        if ran.stdout.starts_with(wanted) { Ok(()) } else { Err(ran.text()) }
    })
    .await;
}
