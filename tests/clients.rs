//! Clients as people use them, through Tidegate to a server in Node: curl, Python's httpx and
//! websockets, Node's fetch and http.
//!
//! Each client is a script beside this file that prints what it saw, a line a check, and ends with
//! `done`; a check that fails ends it with another code.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use self::support::{Tidegate, TidegateProcess, curl, curl_with, require_peer};

/// As many as the issue asks for.
const LARGE: usize = 100 << 20;

const DEADLINE: Duration = Duration::from_secs(180);

/// A script beside this file.
fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(name)
}

/// The interpreter that has Debian's modules, if it has these.
fn python(modules: &str) -> Option<PathBuf> {
    require_peer("python3")?;
    let python = PathBuf::from("/usr/bin/python3");
    let found = std::process::Command::new(&python).arg("-c").arg(format!("import {modules}")).output();
    if found.is_ok_and(|output| output.status.success()) {
        return Some(python);
    }
    // Says that it is skipped, or fails.
    require_peer(&format!("python3 with {modules}"))
}

/// A server that prints its port when it listens.
async fn serve(program: &Path, name: &str) -> (Child, std::net::SocketAddr) {
    let mut command = Command::new(program);
    command.arg(script(name)).stdout(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line =
        timeout(Duration::from_secs(20), lines.next_line()).await.expect("it listens").unwrap().unwrap();
    (child, format!("127.0.0.1:{line}").parse().unwrap())
}

/// Runs a client to its end; what it printed.
async fn run(program: &Path, name: &str, arguments: &[&str]) -> String {
    let mut command = Command::new(program);
    command
        .arg(script(name))
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command.env_remove("http_proxy").env_remove("HTTP_PROXY").env("NO_PROXY", "*");
    let output = timeout(DEADLINE, command.output()).await.expect("it ends by itself").unwrap();
    let (said, wrong) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.trim_end().ends_with("done"), "{name}: {said}\n{wrong}");
    said.into_owned()
}

/// Tidegate before the server in Node; `/ws` goes to the one in Python, if there is one.
async fn start(http: std::net::SocketAddr, sockets: Option<std::net::SocketAddr>) -> TidegateProcess {
    let sockets = sockets.unwrap_or(http);
    let live = format!(
        "clusters:\n  web: {{ static: {{ endpoints: [ {{ address: '{http}' }} ] }} }}\n  \
         sockets: {{ static: {{ endpoints: [ {{ address: '{sockets}' }} ] }} }}\nroutes:\n  \
         - {{ name: ws, match: {{ path: {{ prefix: /ws }} }}, cluster: sockets }}\n  \
         - {{ name: all, cluster: web, timeout: 120s }}\n"
    );
    Tidegate::new(&live).start().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn curl_gets_through_in_each_version() {
    let Some(node) = require_peer("node") else { return };
    let (_server, addr) = serve(&node, "server.js").await;
    let tidegate = start(addr, None).await;
    let url = |path: &str| tidegate.url(path);
    let large = vec![b'x'; LARGE];
    for version in ["--http1.0", "--http1.1", "--http2-prior-knowledge"] {
        let get = curl(&[version, &url("/bytes?n=1000")]).await;
        assert_eq!((get.code, get.status, get.body.len()), (0, 200, 1000), "{version}: {get:?}");
        let head = curl(&[version, "-I", &url("/bytes?n=1000")]).await;
        assert!(
            head.code == 0 && head.head.to_ascii_lowercase().contains("content-length: 1000"),
            "{head:?}"
        );
        let range = curl(&[version, "-r", "10-19", &url("/bytes?n=1000")]).await;
        assert_eq!((range.status, range.body.len()), (206, 10), "{version}: {range:?}");
        assert!(range.head.to_ascii_lowercase().contains("content-range: bytes 10-19/1000"), "{range:?}");
        let same = curl(&[version, "-H", "if-none-match: \"v1\"", &url("/etag")]).await;
        assert_eq!((same.code, same.status, same.body.len()), (0, 304, 0), "{version}: {same:?}");
        let packed = curl(&[version, "--compressed", &url("/gzip")]).await;
        assert_eq!(packed.text(), "packed ".repeat(1000), "{version}");
        let raw = curl(&[version, "-H", "accept-encoding: gzip", &url("/gzip")]).await;
        assert!(
            raw.body.starts_with(&[0x1f, 0x8b])
                && raw.head.to_ascii_lowercase().contains("content-encoding: gzip")
        );
        let down = curl(&[version, &url(&format!("/bytes?n={LARGE}"))]).await;
        assert_eq!((down.code, down.body.len()), (0, LARGE), "{version}");
        let up = curl_with(&[version, "--data-binary", "@-", &url("/upload")], &large).await;
        assert_eq!((up.code, &up.json()["length"]), (0, &LARGE.into()), "{version}: {}", up.text());
        let gone = curl(&[version, "-X", "DELETE", &url("/none")]).await;
        assert_eq!((gone.code, gone.status, gone.body.len()), (0, 204, 0), "{version}: {gone:?}");
        if version == "--http1.0" {
            // It knows no chunks and does not wait.
            continue;
        }
        for _ in 0..2 {
            let waits = ["-v", "-H", "Expect: 100-continue", "-T", "-"];
            let waited = curl_with(&[&[version], &waits[..], &[&url("/upload")]].concat(), b"hello").await;
            assert_eq!((waited.code, waited.status), (0, 200), "{version}: {waited:?}");
            assert_eq!(waited.json()["length"], 5, "{version}: {waited:?}");
        }
    }
    let hints = curl(&["--http1.1", "-v", &url("/hints")]).await;
    assert!(hints.log.contains("HTTP/1.1 103") && hints.status == 200, "{hints:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn httpx_gets_through_in_both_versions() {
    let Some((node, python)) = require_peer("node").zip(python("httpx, h2")) else { return };
    let (_server, addr) = serve(&node, "server.js").await;
    let tidegate = start(addr, None).await;
    for version in ["1", "2"] {
        run(&python, "client_httpx.py", &[&tidegate.url(""), version]).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn node_gets_through() {
    let Some(node) = require_peer("node") else { return };
    let (_server, addr) = serve(&node, "server.js").await;
    let tidegate = start(addr, None).await;
    run(&node, "client_node.js", &[&tidegate.url("")]).await;
}

/// Both ends are the library `websockets`: text, binary, 1 MB, ping, and a clean close by either.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn websockets_get_through() {
    let Some(python) = python("websockets") else { return };
    let (_server, addr) = serve(&python, "server_ws.py").await;
    let tidegate = start(addr, Some(addr)).await;
    run(&python, "client_ws.py", &[&tidegate.url("/ws").replace("http://", "ws://")]).await;
    let lines = tidegate.access_log();
    assert!(lines.iter().all(|line| line["status"] == 101 && line["flags"] == ""), "{lines:#?}");
}
