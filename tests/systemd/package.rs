//! The life of the package, as `dpkg` and `systemctl` show it, on a loopback of its own.

use std::time::Duration;

use super::debs::{Debs, install};
use crate::support::{Container, Network, eventually};

#[tokio::test]
async fn it_is_installed_serves_and_is_removed() {
    let Some(container) = Container::boot(Network::Own).await else { return };
    let debs = Debs::build().await;

    let installed = install(&container, &debs.revision(1).await).await;
    assert!(installed.success(), "{installed:?}");
    assert_eq!(container.ok(&["systemctl", "is-enabled", "tidegate"]).await.trim(), "enabled");
    assert!(answer(&container).await.starts_with("Tidegate is installed."));
    assert_eq!(user_of_main(&container).await, "tidegate");
    assert_eq!(
        container.run(&["systemctl", "is-enabled", "tidegate.socket"]).await.stdout.trim(),
        SOCKET_OFF
    );
    for page in ["tidegate", "tidegate-run"] {
        assert!(container.path(&format!("/usr/share/man/man1/{page}.1.gz")).is_file(), "{page}(1)");
    }
    let list = container.ok(&[
        "bash",
        "-c",
        ". /usr/share/bash-completion/completions/tidegate; complete -p tidegate",
    ]);
    assert!(list.await.contains("tidegate"));

    // A newer package around the same binary leaves the process alone.
    let main = container.property("MainPID").await;
    let same = install(&container, &debs.repackaged(2).await).await;
    assert!(same.success() && same.stdout.contains("of this version already"), "{same:?}");
    assert_eq!(container.property("MainPID").await, main);

    container.ok(&["dpkg", "-r", "tidegate"]).await;
    assert_eq!(container.run(&["systemctl", "is-active", "tidegate"]).await.stdout.trim(), "inactive");
    assert_eq!(container.processes().await, [] as [u32; 0]);
    assert!(container.path("/etc/tidegate/tidegate.yaml").is_file(), "what the operator wrote stays");
    assert!(container.path("/var/lib/tidegate").is_dir(), "and what was learned");

    // Installed again, it serves again; purged, it leaves nothing.
    assert!(install(&container, &debs.revision(1).await).await.success());
    assert!(answer(&container).await.starts_with("Tidegate is installed."));
    container.ok(&["dpkg", "-P", "tidegate"]).await;
    for left in
        ["/etc/tidegate", "/var/lib/tidegate", "/var/log/tidegate", "/run/tidegate", "/usr/bin/tidegate"]
    {
        assert!(!container.path(left).exists(), "{left} is still there");
    }
    assert_eq!(container.run(&["systemctl", "is-failed", "tidegate"]).await.stdout.trim(), "inactive");
}

#[tokio::test]
async fn policy_rc_d_is_obeyed() {
    let Some(container) = Container::boot(Network::Own).await else { return };
    let debs = Debs::build().await;
    container.write("/usr/sbin/policy-rc.d", "#!/bin/sh\nexit 101\n");
    container.ok(&["chmod", "0755", "/usr/sbin/policy-rc.d"]).await;
    assert!(install(&container, &debs.revision(1).await).await.success());
    assert_eq!(container.run(&["systemctl", "is-active", "tidegate"]).await.stdout.trim(), "inactive");

    container.ok(&["systemctl", "start", "tidegate"]).await;
    let main = container.property("MainPID").await;
    let newer = install(&container, &debs.revision(2).await).await;
    assert!(newer.success() && newer.stderr.contains("policy-rc.d forbids"), "{newer:?}");
    assert_eq!(container.property("MainPID").await, main);
}

/// What `systemctl is-enabled` says of a socket unit that nobody turned on.
const SOCKET_OFF: &str = "disabled";

async fn user_of_main(container: &Container) -> String {
    let main = container.property("MainPID").await;
    container.ok(&["stat", "--format", "%U", &format!("/proc/{main}")]).await.trim().to_owned()
}

/// The body of a GET of the example config's listener.
async fn answer(container: &Container) -> String {
    eventually(Duration::from_secs(20), async || {
        let ran = container.run(&["curl", "-sS", "--max-time", "5", "http://127.0.0.1:8080/"]).await;
        if ran.success() { Ok(ran.stdout) } else { Err(ran.stderr) }
    })
    .await
}
