//! A service that was upgraded is stopped, and crashes, as one that was not: systemd takes the process
//! that took over for its own child, waits for what is in flight, and starts anew what dies.

use std::time::Duration;

use tokio::task::JoinHandle;

use super::debs::{Debs, install};
use crate::support::{Backend, Container, Network, eventually, free_port, http, until};

const SOON: Duration = Duration::from_secs(30);

#[tokio::test]
async fn after_upgrades_a_stop_drains_and_a_crash_restarts() {
    let Some(container) = Container::boot(Network::Shared).await else { return };
    let (debs, backend) = (Debs::build().await, Backend::start("slow").await);
    let (http, admin) = (free_port(), free_port());
    container.write("/etc/tidegate/tidegate.yaml", &config(http, admin, &backend));
    container.ok(&["chmod", "0755", "/etc/tidegate"]).await;
    assert!(install(&container, &debs.revision(1).await).await.success());
    let ask = |ms: u64| get(format!("http://127.0.0.1:{http}/slow?ms={ms}"));
    let under_way = async |n: u64| until(SOON, "under way", || backend.in_flight() == n).await;

    // One request in the process before, one in the main one, and then a stop.
    upgrade(&container).await;
    let (long, before) = (ask(7_000), main(&container).await);
    under_way(1).await;
    upgrade(&container).await;
    assert!(container.processes().await.contains(&before), "it drains");
    let short = ask(2_000);
    under_way(2).await;
    container.ok(&["systemctl", "stop", "tidegate"]).await;
    for answer in [long, short] {
        assert_eq!(answer.await.unwrap(), Ok(200));
    }
    assert_eq!(container.property("Result").await, "success");
    assert_eq!(container.processes().await, [] as [u32; 0]);
    let journal = container.journal().await;
    for complaint in ["WARN", "ERROR", "reception only permitted", "SIGKILL", "timed out"] {
        assert!(!journal.contains(complaint), "{complaint}: {journal}");
    }

    // The main process dies while the one before it drains: both go, and a new one comes.
    container.ok(&["systemctl", "start", "tidegate"]).await;
    let cut = ask(20_000);
    under_way(1).await;
    upgrade(&container).await;
    let dies = main(&container).await;
    container.ok(&["systemctl", "kill", "--signal", "KILL", "--kill-whom", "main", "tidegate"]).await;
    eventually(SOON, async || {
        let now = (main(&container).await, container.property("ActiveState").await);
        if now.0 != dies && now.0 != 0 && now.1 == "active" { Ok(()) } else { Err(format!("{now:?}")) }
    })
    .await;
    assert!(cut.await.unwrap().is_err(), "systemd ends all of a service that failed");
    assert_eq!(ask(1).await.unwrap(), Ok(200));
    assert_eq!(container.processes().await, [main(&container).await]);
    assert_eq!(container.property("NRestarts").await, "1");
    container.ok(&["systemctl", "stop", "tidegate"]).await;
    assert_eq!(container.property("Result").await, "success");
}

async fn main(container: &Container) -> u32 {
    container.property("MainPID").await.parse().unwrap()
}

async fn upgrade(container: &Container) {
    let before = main(container).await;
    container.ok(&["tidegate", "upgrade"]).await;
    assert_ne!(main(container).await, before);
}

/// The status of a GET.
fn get(url: String) -> JoinHandle<Result<u16, String>> {
    tokio::spawn(async move {
        let answer = http::client().get(url).timeout(Duration::from_secs(60)).send().await;
        answer.map(|answer| answer.status().as_u16()).map_err(|e| e.to_string())
    })
}

fn config(http: u16, admin: u16, backend: &Backend) -> String {
    format!(
        "server:\n  pid_file: /run/tidegate/tidegate.pid\n  upgrade_socket: /run/tidegate/upgrade.sock\n\
         \x20 state_dir: /var/lib/tidegate\n\
         admin: {{ address: '127.0.0.1:{admin}' }}\n\
         listeners: [ {{ name: http, address: '127.0.0.1:{http}' }} ]\n\
         clusters: {{ slow: {{ static: {{ endpoints: [ {{ address: '{}' }} ] }} }} }}\n\
         routes: [ {{ name: slow, cluster: slow, timeout: 0 }} ]\n",
        backend.addr()
    )
}
