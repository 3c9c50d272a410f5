//! New binaries and configs that are no good: the old process serves on as if nothing had been.

use std::time::Duration;

use super::installed::{Installed, children, failed, upgraded};
use super::support::{Backend, Load, require_peer, until};
use super::{SOON, to};

/// One process, one broken thing after the other, under load; then a good one.
#[tokio::test]
async fn a_binary_that_is_none() {
    let backend = Backend::start("a").await;
    let installed = Installed::new();
    let mut process = installed.run(&to(backend.addr())).start().await;
    let pid = process.pid();
    let scripts = [
        ("#!/bin/sh\nexit 0\n", "it exited with status 0 before it said hello"),
        ("#!/bin/sh\nexit 3\n", "it exited with status 3 before it said hello"),
        ("#!/bin/sh\nkill -9 $$\n", "it was killed by signal 9 before it said hello"),
        ("#!/bin/sh\necho hello >&0\nexec sleep 1000\n", "it sent what is no message"),
        ("no program\n", "cannot start "),
    ];
    let load = Load::new(process.addr("http"));
    let (report, ()) = load
        .during(async {
            for (round, (script, why)) in scripts.into_iter().enumerate() {
                installed.replace(script);
                process.signal("USR2");
                let said = failed(&process, round + 1).await;
                assert!(said.contains(why), "{said}");
                assert!(process.admin_get("/ready").await.is_ok_and(|(status, _)| status == 200));
            }
            until(SOON, "all are reaped", || children(pid).is_empty()).await;
        })
        .await;
    report.assert_clean();
    let metrics = process.admin_get("/metrics").await.unwrap().1;
    assert!(metrics.contains(r#"tidegate_upgrades_total{result="failed"} 5"#), "{metrics}");
    installed.restore();
    process.signal("USR2");
    upgraded(&process, pid).await;
    assert!(process.exited(SOON).await.success());
}

#[tokio::test]
async fn a_config_that_is_broken() {
    let backend = Backend::start("a").await;
    let installed = Installed::new();
    let process = installed.run(&to(backend.addr())).start().await;
    let pid = process.pid();
    process.write_live("clusters: { web: { dance: true } }\n");
    process.signal("USR2");
    let said = failed(&process, 1).await;
    assert!(said.contains("dance"), "the problem is told: {said}");
    process.write_live(&to(backend.addr()));
    Load::new(process.addr("http")).run_for(Duration::from_millis(100)).await.assert_clean();
    until(SOON, "it is reaped", || children(pid).is_empty()).await;
    assert_eq!(process.serving_pid(), Some(pid));
}

/// Slow ones, each with its own limit.
#[tokio::test]
async fn a_binary_that_is_late() {
    if require_peer("python3").is_none() {
        return;
    }
    let backend = Backend::start("a").await;
    let installed = Installed::new();
    let mut process = installed.run(&to(backend.addr())).server("upgrade_timeout: 4s").start().await;
    let load = Load::new(process.addr("http"));
    let (report, ()) = load
        .during(async {
            for (round, (step, why)) in [
                ("start", "it said nothing for 10 s"),
                ("welcome", "it was not ready after 4 s"),
                ("sockets", "it did not serve 10 s after"),
            ]
            .into_iter()
            .enumerate()
            {
                installed.scripted(step, "hang");
                process.signal("USR2");
                let said = failed(&process, round + 1).await;
                assert!(said.contains(why), "{said}");
            }
        })
        .await;
    report.assert_clean();
    installed.restore();
    process.signal("USR2");
    upgraded(&process, process.pid()).await;
    assert!(process.exited(SOON).await.success());
}

/// An heir that is killed, ends, closes, gives up or talks nonsense, at each step. It never accepts,
/// so not one request may fail.
#[tokio::test]
async fn an_heir_that_fails_at_each_step() {
    if require_peer("python3").is_none() {
        return;
    }
    let backend = Backend::start("a").await;
    let installed = Installed::new();
    let mut process = installed.run(&to(backend.addr())).start().await;
    let pid = process.pid();
    let load = Load::new(process.addr("http"));
    let (report, ()) = load
        .during(async {
            let mut rounds = 0;
            for step in ["hello", "welcome", "ready", "sockets", "serving"] {
                for act in ["kill", "exit", "close", "fail", "babble"] {
                    installed.scripted(step, act);
                    process.signal("USR2");
                    rounds += 1;
                    let said = failed(&process, rounds).await;
                    let why = match act {
                        "kill" => "it was killed by signal 9",
                        "exit" => "it exited with status 7",
                        "close" => "it closed the channel",
                        "fail" => "it does not want to",
                        _ => "it sent what is no message",
                    };
                    assert!(said.contains(why), "{step}, {act}: {said}");
                }
            }
            until(SOON, "all are reaped", || children(pid).is_empty()).await;
        })
        .await;
    report.assert_clean();
    // Operators can change things again.
    let drain = format!("/v1/clusters/web/endpoints/{}/drain", backend.addr());
    let answer = process.admin_post(&drain, &serde_json::json!({})).await.unwrap();
    assert!(answer.0 < 300, "{answer:?}");
    installed.restore();
    process.signal("USR2");
    upgraded(&process, pid).await;
    assert!(process.exited(SOON).await.success());
}
