//! Upgrades that go well.

use std::os::unix::net::UnixStream;
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use super::installed::{Installed, runs, upgraded};
use super::support::{Backend, Load, RawClient, Tidegate, until};
use super::{SOON, to};

#[tokio::test]
async fn nobody_notices() {
    let backend = Backend::start("a").await;
    let mut process = Tidegate::new(&to(backend.addr())).server("grace_period: 30s").start().await;
    let first = process.pid();
    // Longer than it takes until the new one serves, on a busy machine too.
    let mut slow = RawClient::connect(process.addr("http")).await.deadline(SOON);
    slow.send("GET /slow?ms=9000 HTTP/1.1\r\nhost: a\r\n\r\n").await;
    until(SOON, "it is under way", || backend.in_flight() > 0).await;
    let before = process.generation().await;
    let load = Load::new(process.addr("http")).connections(8);
    let (report, second) = load
        .during(async {
            process.signal("USR2");
            let second = upgraded(&process, first).await;
            let answer = slow.response().await.unwrap();
            assert_eq!((answer.status, answer.header("connection")), (200, Some("close")));
            assert!(process.exited(SOON).await.success());
            second
        })
        .await;
    report.assert_clean();
    eprintln!("{} requests, slowest {:?}", report.ok, report.slowest);
    assert!(runs(second));
    // The new one is as the old one was.
    assert!(process.generation().await >= before);
    assert_eq!(process.admin_get("/ready").await.unwrap().0, 200);
    let metrics = process.admin_get("/metrics").await.unwrap().1;
    assert!(metrics.contains(r#"tidegate_upgrades_total{result="done"} 1"#), "{metrics}");
    UnixStream::connect(process.dir().join("upgrade.sock")).expect("the upgrade socket is its own");
    // And can be upgraded itself, and stopped.
    process.signal_to("USR2", second);
    let third = upgraded(&process, second).await;
    until(SOON, "the second has ended", || !runs(second)).await;
    process.signal_to("TERM", third);
    until(SOON, "the third has ended", || !runs(third)).await;
    assert!(!process.dir().join("pid").exists() && !process.dir().join("upgrade.sock").exists());
}

#[tokio::test]
async fn an_idle_process_is_gone_within_eight_seconds() {
    let backend = Backend::start("a").await;
    let mut process = Tidegate::new(&to(backend.addr())).server("grace_period: 60s").start().await;
    let mut kept = RawClient::connect(process.addr("http")).await;
    kept.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!(kept.response().await.unwrap().status, 200);
    let (begin, first) = (Instant::now(), process.pid());
    process.signal("USR2");
    upgraded(&process, first).await;
    let settled = begin.elapsed();
    assert!(process.exited(SOON).await.success());
    let took = begin.elapsed();
    eprintln!("settled after {settled:?}, gone after {took:?}");
    assert!(took - settled < Duration::from_secs(6), "{took:?}");
    assert!(kept.closed().await);
}

#[tokio::test]
async fn a_second_signal_meanwhile_changes_nothing() {
    let backend = Backend::start("a").await;
    let mut process = Tidegate::new(&to(backend.addr())).start().await;
    let first = process.pid();
    for _ in 0..3 {
        process.signal("USR2");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    upgraded(&process, first).await;
    assert!(process.exited(SOON).await.success());
    assert!(process.stderr().contains("an upgrade is under way"), "{}", process.stderr());
    assert_eq!(process.stderr().matches("took over").count(), 1);
}

/// By hand, with another config for the same addresses.
#[tokio::test]
async fn a_process_that_is_started_by_hand_takes_over() {
    let (a, b) = (Backend::start("a").await, Backend::start("b").await);
    let mut process = Tidegate::new(&to(a.addr())).start().await;
    let first = process.pid();
    let other = std::fs::read_to_string(process.config_path()).unwrap();
    let other = other.replace(&a.addr().to_string(), &b.addr().to_string());
    // With the kit's name in it, so that it is ended with the test.
    let path = format!("{}.other", process.config_path().display());
    std::fs::write(&path, other).unwrap();
    let log = std::fs::File::create(process.dir().join("heir")).unwrap();
    let mut heir = std::process::Command::new(env!("CARGO_BIN_EXE_tidegate"))
        .args(["run", "--upgrade", "-c", &path])
        .stderr(log)
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let load = Load::new(process.addr("http"));
    let (report, second) = load.during(upgraded(&process, first)).await;
    report.assert_clean();
    assert_eq!(second, heir.id());
    assert!(process.exited(SOON).await.success());
    assert!(report.backends.contains_key("a"), "{report:?}");
    let answer = load.run_for(Duration::from_millis(100)).await;
    assert_eq!(answer.backends.keys().collect::<Vec<_>>(), ["b"]);
    heir.kill().unwrap();
    heir.wait().unwrap();
}

#[tokio::test]
async fn nobody_to_take_over_from_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("c.yaml");
    let text = format!(
        "server: {{ upgrade_socket: {} }}\nlisteners: [ {{ name: a, address: '127.0.0.1:1' }} ]\nroutes: [ {{ name: a, respond: {{ status: 200 }} }} ]\n",
        dir.path().join("sock").display()
    );
    std::fs::write(&config, text).unwrap();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_tidegate"))
        .args(["run", "--upgrade", "-c", config.to_str().unwrap()])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(said.contains("nobody answers at ") && said.contains("start without --upgrade"), "{said}");
}

/// What was said to the upgrade socket comes back as lines, up to the end of the old process.
#[tokio::test]
async fn who_asks_hears_how_it_goes() {
    let backend = Backend::start("a").await;
    let installed = Installed::new();
    let mut process = installed.run(&to(backend.addr())).start().await;
    let path = process.dir().join("upgrade.sock");
    let heard = tokio::task::spawn_blocking(move || {
        use std::io::{BufRead, BufReader, Write};
        let stream = UnixStream::connect(path).unwrap();
        writeln!(&stream, r#"{{"upgrade":{{}}}}"#).unwrap();
        BufReader::new(stream).lines().map_while(Result::ok).collect::<Vec<_>>()
    });
    let lines = heard.await.unwrap();
    assert!(process.exited(SOON).await.success());
    let reports: Vec<Value> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut steps: Vec<&str> = reports.iter().map(|r| r["step"].as_str().unwrap()).collect();
    steps.retain(|step| *step != "draining");
    assert_eq!(steps, ["spawned", "hello", "ready", "sockets", "serving", "settled", "drained"], "{lines:?}");
    assert_eq!(reports[0]["pid"], process.pid());
    assert_eq!(reports[1]["heir_pid"].as_u64().map(|pid| pid as u32), process.serving_pid());
    assert_eq!(reports[1]["version"], env!("CARGO_PKG_VERSION"));
}
