//! Stopping, amid an upgrade and just after it.

use std::time::Duration;

use super::installed::{Installed, children, runs, upgraded};
use super::support::{Backend, Load, RawClient, Tidegate, require_peer, until};
use super::{SOON, to};

#[tokio::test]
async fn a_stop_amid_a_hand_over_ends_both() {
    if require_peer("python3").is_none() {
        return;
    }
    let backend = Backend::start("a").await;
    for (step, signal) in [("start", "TERM"), ("welcome", "TERM"), ("sockets", "TERM"), ("welcome", "INT")] {
        let installed = Installed::new();
        let mut process = installed.run(&to(backend.addr())).start().await;
        installed.scripted(step, "hang");
        process.signal("USR2");
        until(SOON, "the script is there", || process.stderr().contains("the script acts")).await;
        let heirs = children(process.pid());
        assert_eq!(heirs.len(), 1);
        process.signal(signal);
        assert!(process.exited(Duration::from_secs(5)).await.success());
        until(SOON, "the heir has ended", || !runs(heirs[0])).await;
    }
}

/// Whoever stops the new process before it is main leaves the old one as it was: it accepts on the
/// same sockets, on which a stop must have set nothing.
#[tokio::test]
async fn an_heir_that_is_stopped_in_its_probation_leaves_the_old_one_serving() {
    let backend = Backend::start("a").await;
    for signal in ["TERM", "INT"] {
        let process = Tidegate::new(&to(backend.addr())).server("grace_period: 20s").start().await;
        process.signal("USR2");
        until(SOON, "it serves", || process.stderr().contains("upgrade: it serves")).await;
        process.signal_to(signal, children(process.pid())[0]);
        let failed = || process.stderr().contains("this process serves on");
        until(Duration::from_secs(5), "the upgrade failed", failed).await;
        Load::new(process.addr("http")).run_for(Duration::from_millis(300)).await.assert_clean();
        assert_eq!(process.serving_pid(), Some(process.pid()));
    }
}

/// systemd kills what is left of a service when its main process has ended.
#[tokio::test]
async fn a_main_process_that_is_stopped_waits_for_the_one_before() {
    let backend = Backend::start("a").await;
    let mut process = Tidegate::new(&to(backend.addr())).server("grace_period: 20s").start().await;
    let mut slow = RawClient::connect(process.addr("http")).await.deadline(SOON);
    slow.send("GET /slow?ms=9000 HTTP/1.1\r\nhost: a\r\n\r\n").await;
    until(SOON, "it is under way", || backend.in_flight() > 0).await;
    process.signal("USR2");
    let second = upgraded(&process, process.pid()).await;
    process.signal_to("TERM", second);
    assert_eq!(slow.response().await.unwrap().status, 200);
    assert!(runs(second), "it waits");
    assert!(process.exited(SOON).await.success());
    until(SOON, "then it goes", || !runs(second)).await;
}

/// Of three, the one in the middle has nothing to do; the last waits for the first, and nobody else.
#[tokio::test]
async fn who_was_upgraded_and_is_empty_waits_for_nobody() {
    let backend = Backend::start("a").await;
    let mut process = Tidegate::new(&to(backend.addr())).server("grace_period: 30s").start().await;
    let mut slow = RawClient::connect(process.addr("http")).await.deadline(SOON);
    slow.send("GET /slow?ms=12000 HTTP/1.1\r\nhost: a\r\n\r\n").await;
    until(SOON, "it is under way", || backend.in_flight() > 0).await;
    process.signal("USR2");
    let second = upgraded(&process, process.pid()).await;
    process.signal_to("USR2", second);
    let third = upgraded(&process, second).await;
    until(SOON, "the second has ended", || !runs(second)).await;
    assert!(runs(process.pid()) && backend.in_flight() > 0, "the first has not");
    process.signal_to("TERM", third);
    assert_eq!(slow.response().await.unwrap().status, 200);
    assert!(runs(third), "it waits");
    assert!(process.exited(SOON).await.success());
    until(SOON, "then it goes", || !runs(third)).await;
    assert!(!process.stderr().contains("nobody listens"), "{}", process.stderr());
}

#[tokio::test]
async fn a_demo_is_not_upgraded() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    let (listen, admin) = (super::support::ports::free_addr(), super::support::ports::free_addr());
    let mut demo = std::process::Command::new(env!("CARGO_BIN_EXE_tidegate"))
        .args(["demo", "--listen", &listen.to_string(), "--admin", &admin.to_string()])
        .stdout(std::process::Stdio::null())
        .stderr(std::fs::File::create(&log).unwrap())
        .spawn()
        .unwrap();
    until(SOON, "it listens", || std::net::TcpStream::connect(listen).is_ok()).await;
    let signal = |name: &str| {
        let kill = format!("kill -{name} {}", demo.id());
        std::process::Command::new("sh").args(["-c", &kill]).status().unwrap();
    };
    signal("USR2");
    let said = || std::fs::read_to_string(&log).unwrap();
    until(SOON, "it is said", || said().contains("services beside the proxy")).await;
    assert!(std::net::TcpStream::connect(listen).is_ok());
    signal("TERM");
    assert!(demo.wait().unwrap().success());
}
