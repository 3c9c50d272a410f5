//! What the dashboard says of endpoints, by its own script, run by Node.js against the real binary.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use serde_json::json;

use self::support::peers::require_peer;
use self::support::{Backend, Tidegate, TidegateProcess, eventually, free_port, http};

const SOON: Duration = Duration::from_secs(15);

/// The page's clusters as text. None: there is no Node.js.
async fn page(tidegate: &TidegateProcess) -> Option<String> {
    let node = require_peer("node")?;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/dashboard/page.js");
    let url = format!("http://{}", tidegate.admin_addr());
    let run = move || Command::new(node).args([script, &url]).output().unwrap();
    let output = tokio::task::spawn_blocking(run).await.unwrap();
    let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}\n{err}");
    Some(out)
}

async fn drain(tidegate: &TidegateProcess, path: &str, author: &str, why: &str) {
    let body = json!({ "author": author, "why": why });
    let answer = tidegate.admin_post(&format!("/v1/clusters/{path}/drain"), &body).await.unwrap();
    assert_eq!(answer.0, 200, "{answer:?}");
}

#[tokio::test]
async fn it_says_who_is_out_why_and_since_when() {
    let (good, sick, failing) =
        (Backend::start("good").await, Backend::start("sick").await, Backend::start("failing").await);
    // Each address is in one cluster, so that a line of the page says which.
    let (drained, reserve) = (Backend::start("drained").await, Backend::start("reserve").await);
    sick.set_healthy(false);
    let list = |all: &[&Backend]| {
        let list: Vec<_> = all.iter().map(|b| format!("{{ address: '{}' }}", b.addr())).collect();
        list.join(", ")
    };
    let check = "health_check: { http: { path: /healthz } }";
    let text = format!(
        "clusters:\n  web:\n    static: {{ endpoints: [ {} ] }}\n    {check}\n    outlier_detection: {{}}\n    failover: [ spare ]\n  spare:\n    static: {{ endpoints: [ {} ] }}\nroutes: [ {{ name: all, cluster: web }} ]\n",
        list(&[&good, &sick, &failing, &drained]),
        list(&[&reserve]),
    );
    let tidegate = Tidegate::new(&text).start().await;
    drain(&tidegate, &format!("web/endpoints/{}", drained.addr()), "ann", "disk <b>full</b>").await;
    drain(&tidegate, "spare", "bob", "").await;
    let client = http::client();
    eventually(SOON, async || {
        client.get(tidegate.url("/status/500")).send().await.unwrap();
        let cluster = tidegate.admin_json("/v1/clusters/web").await;
        let out = cluster["endpoints"]
            .as_array()
            .unwrap()
            .iter()
            .find(|e| e["ejections"] == 1 && e["state"] == "ejected")
            .cloned();
        out.ok_or(cluster)
    })
    .await;
    let Some(page) = page(&tidegate).await else { return };
    let line =
        |what: &str| page.lines().find(|l| l.contains(what)).unwrap_or_else(|| panic!("{what}: {page}"));
    let of = |address: SocketAddr| line(&format!("{address} |"));
    let has = |line: &str, parts: &[&str]| {
        parts.iter().for_each(|part| assert!(line.contains(part), "`{part}` in `{line}`"));
    };
    has(of(sick.addr()), &["unhealthy", "check fails for ", " s: status 503, expected 200", "| Drain"]);
    has(of(drained.addr()), &["draining", "drained by ann ", " s ago: disk <b>full</b>", "| Undrain"]);
    let ejected = [good.addr(), failing.addr()].into_iter().map(of).find(|line| line.contains("ejected"));
    has(
        ejected.unwrap(),
        &["ejected for ", ": consecutive_errors; the last was an answer of 500 or more", "| 1 |"],
    );
    has(line("web |"), &["1 of 4 available", "failover to spare"]);
    has(line("spare |"), &["0 of 1 available", "drained by bob ", "Undrain all"]);
}

#[tokio::test]
async fn a_small_page_of_one_dead_endpoint() {
    let port = free_port();
    let text = format!(
        "clusters:\n  web:\n    static: {{ endpoints: [ {{ address: '127.0.0.1:{port}' }} ] }}\n    health_check: {{ tcp: {{}} }}\nroutes: [ {{ name: all, cluster: web }} ]\n"
    );
    let tidegate = Tidegate::new(&text).start().await;
    let Some(page) = page(&tidegate).await else { return };
    for part in ["0 of 1 available", "panic: all are used", "check fails for ", ": connection refused"] {
        assert!(page.contains(part), "{part}: {page}");
    }
}
