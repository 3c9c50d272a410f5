//! Newer packages installed over a running service, under every kind of load at once: nothing
//! fails, and systemd has one main process, the new one, at each step.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::debs::{Debs, install};
use crate::support::load::{self, BACKEND, Crowd, Echo, assert_clean, judges};
use crate::support::{Backend, Container, Network, eventually, free_port, require_peer};

const ROUNDS: u32 = 20;

/// How long an old process may take to finish what is in flight; downloads last a little less.
const GRACE: Duration = Duration::from_secs(40);
const DOWNLOAD: Duration = Duration::from_secs(30);

/// The service, the endpoints behind it on this machine, and its ports on the shared loopback.
struct Stage {
    container: Container,
    debs: Debs,
    /// Held: endpoints end when dropped.
    _behind: (Backend, Echo),
    http: SocketAddr,
    bytes: SocketAddr,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_newer_packages_fail_no_request() {
    for peer in ["wrk", "hey"] {
        let Some(_) = require_peer(peer) else { return };
    }
    let Some(stage) = Stage::start().await else { return };
    let crowd = stage.crowd();
    let (stop, stopped) = watch::channel(false);
    let judges = [judge("wrk", stage.http, stopped.clone()), judge("hey", stage.http, stopped)];

    let mut took = Vec::new();
    for revision in 2..2 + ROUNDS {
        took.push(stage.upgrade_to(revision).await);
    }
    let _ = stop.send(true);
    for judge in judges {
        judge.await.unwrap();
    }
    let slowest = took.iter().max().unwrap();
    let mean = took.iter().sum::<Duration>() / ROUNDS;
    eprintln!("{ROUNDS} installations, {mean:.1?} each, the slowest {slowest:.1?}");
    assert_clean("newer packages", &crowd.end().await);
    stage.alone().await;
}

/// A binary that cannot serve: the installation succeeds and says what is wrong, the old process
/// serves on, and the next good package takes over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_package_that_cannot_take_over_changes_nothing() {
    let Some(stage) = Stage::start().await else { return };
    let crowd = stage.crowd();
    let main = stage.main().await;
    let broken = stage.debs.with_binary(2, BROKEN.as_bytes()).await;
    let installed = install(&stage.container, &broken).await;
    assert!(installed.success(), "{installed:?}");
    assert!(installed.stderr.contains("WAS NOT UPGRADED"), "{installed:?}");
    assert_eq!(stage.main().await, main);
    assert_eq!(stage.container.processes().await, [main], "nobody else is left");

    stage.upgrade_to(3).await;
    assert_clean("a broken package and a good one", &crowd.end().await);
    stage.alone().await;
}

/// Asks for the hand-over, as the installation does, and ends at once when started for it.
const BROKEN: &str =
    "#!/bin/sh\n[ \"$1\" = upgrade ] && exec /usr/lib/tidegate-first \"$@\"\necho broken >&2\nexit 1\n";

// === impl Stage ===

impl Stage {
    async fn start() -> Option<Self> {
        let container = Container::boot(Network::Shared).await?;
        let debs = Debs::build().await;
        let (backend, echo) = (Backend::start(BACKEND).await, Echo::start().await);
        let addr = || SocketAddr::from(([127, 0, 0, 1], free_port()));
        let (http, bytes, admin) = (addr(), addr(), addr());
        let config = config([http, bytes, admin], backend.addr(), echo.addr);
        // There before the package: an operator's own file stays.
        container.write("/etc/tidegate/tidegate.yaml", &config);
        container.ok(&["chmod", "0755", "/etc/tidegate"]).await;
        let installed = install(&container, &debs.revision(1).await).await;
        assert!(installed.success(), "{installed:?}");
        let stage = Self { container, debs, _behind: (backend, echo), http, bytes };
        eventually(Duration::from_secs(20), async || {
            let state = stage.container.property("ActiveState").await;
            if state == "active" { Ok(()) } else { Err(state) }
        })
        .await;
        let copy = ["cp", "/usr/bin/tidegate", "/usr/lib/tidegate-first"];
        stage.container.ok(&copy).await;
        Some(stage)
    }

    /// As much of each kind as two cores bear beside a debug build.
    fn crowd(&self) -> Crowd {
        let (http, bytes, ms) = (self.http, self.bytes, Duration::from_millis);
        let mut crowd = Crowd::new();
        crowd
            .add("keep-alive", 2, |shift| load::keep_alive(http, ms(10), shift))
            .add("patient", 1, |shift| load::keep_alive(http, ms(400), shift))
            .add("new", 1, |shift| load::fresh(http, ms(20), shift))
            .add("posts", 1, |shift| load::posts(http, ms(20), 1, shift))
            .add("h2c", 1, |shift| load::streams(http, ms(40), 2, shift))
            .add("download", 2, |shift| load::download(http, DOWNLOAD, shift))
            .add("websocket", 1, |shift| load::chats(http, ms(10_000), shift))
            .add("tcp", 1, |shift| load::bytes(bytes, ms(10_000), shift));
        crowd
    }

    async fn main(&self) -> u32 {
        self.container.property("MainPID").await.parse().unwrap()
    }

    /// Installs a newer package; gives how long that took.
    async fn upgrade_to(&self, revision: u32) -> Duration {
        let deb = self.debs.revision(revision).await;
        let before = self.main().await;
        let began = tokio::time::Instant::now();
        let installed = install(&self.container, &deb).await;
        let took = began.elapsed();
        let _ = std::fs::remove_file(deb);
        assert!(installed.success(), "revision {revision}: {installed:?}");
        assert!(!installed.stderr.contains("NOT UPGRADED"), "revision {revision}: {installed:?}");

        // By the time that dpkg ends: another main process, of the new binary, and systemd content.
        let main = self.main().await;
        assert_ne!(main, before, "revision {revision}: {installed:?}");
        let (exe, file) = (format!("/proc/{main}/exe"), "/usr/bin/tidegate");
        self.container.ok(&["cmp", &exe, file]).await;
        for (property, value) in
            [("ActiveState", "active"), ("SubState", "running"), ("NRestarts", "0"), ("Result", "success")]
        {
            assert_eq!(self.container.property(property).await, value, "revision {revision}: {property}");
        }
        assert!(
            self.container.processes().await.contains(&main),
            "the main process is in the service's group"
        );
        took
    }

    /// Waits until everybody but the main process is gone, and stops the service: nothing is left.
    async fn alone(&self) {
        let main = self.main().await;
        eventually(GRACE + Duration::from_secs(10), async || match self.container.processes().await {
            pids if pids == [main] => Ok(()),
            pids => Err(format!("{pids:?} beside {main}")),
        })
        .await;
        self.container.ok(&["systemctl", "stop", "tidegate"]).await;
        assert_eq!(self.container.property("Result").await, "success");
        assert_eq!(self.container.processes().await, [] as [u32; 0]);
        let failed = self.container.ok(&["systemctl", "--failed", "--no-legend", "--plain"]).await;
        assert_eq!(failed.trim(), "", "no unit failed");
    }
}

/// One of the two, over and over until told to end; each of its verdicts must be clean.
fn judge(name: &'static str, addr: SocketAddr, stopped: watch::Receiver<bool>) -> JoinHandle<()> {
    let span = Duration::from_secs(5);
    tokio::spawn(async move {
        while !*stopped.borrow() {
            let judge = if name == "wrk" { judges::wrk(addr, 2, span) } else { judges::hey(addr, span) };
            judge.expect("it was there before").verdict().await.assert_clean(name);
        }
    })
}

fn config([http, bytes, admin]: [SocketAddr; 3], backend: SocketAddr, echo: SocketAddr) -> String {
    let server = "server:\n  pid_file: /run/tidegate/tidegate.pid\n  upgrade_socket: /run/tidegate/upgrade.sock\n  \
                  state_dir: /var/lib/tidegate\n  threads: 2\n";
    format!(
        "{server}  grace_period: {grace}s\nadmin: {{ address: '{admin}' }}\naccess_log: {{ path: none }}\n\
         listeners:\n  - {{ name: http, address: '{http}' }}\n\
         \x20 - {{ name: bytes, address: '{bytes}', tcp: {{ cluster: echo }} }}\n\
         clusters:\n  load: {{ static: {{ endpoints: [ {{ address: '{backend}' }} ] }} }}\n\
         \x20 echo: {{ static: {{ endpoints: [ {{ address: '{echo}' }} ] }} }}\n\
         routes:\n  - {{ name: chat, match: {{ path: {{ exact: /chat }} }}, cluster: echo }}\n\
         \x20 - {{ name: all, cluster: load, timeout: 0 }}\n",
        grace = GRACE.as_secs()
    )
}
