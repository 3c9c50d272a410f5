//! grpcio's own client and server, in Python, as processes.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

use crate::support::{Issued, TidegateProcess};

const PYTHON: &str = "/usr/bin/python3";

/// Nothing here takes longer.
const PATIENCE: Duration = Duration::from_secs(60);

/// Whether grpcio is installed; skips, or fails, as `support::peers` does.
pub(crate) fn grpcio() -> bool {
    let asked = std::process::Command::new(PYTHON).args(["-c", "import grpc"]).stderr(Stdio::null()).status();
    let found = asked.is_ok_and(|status| status.success());
    if !found {
        let text = "python3-grpcio is not installed";
        assert!(std::env::var_os("TIDEGATE_REQUIRE_PEERS").is_none_or(|v| v != "1"), "{text}");
        eprintln!("\n*** SKIPPED: {text}\n");
    }
    found
}

/// A server that ends with the test.
pub(crate) struct Server {
    child: Child,
    pub(crate) port: u16,
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::with(&[]).await
    }

    /// On a port of its own choice.
    pub(crate) async fn on(port: u16) -> Self {
        Self::with(&[&port.to_string()]).await
    }

    pub(crate) async fn secure(files: &Issued) -> Self {
        let path = |path: &Path| path.to_str().unwrap().to_owned();
        Self::with(&["0", &path(&files.key), &path(&files.cert)]).await
    }

    async fn with(args: &[&str]) -> Self {
        let mut child = Command::new(PYTHON)
            .arg("tests/grpc/server.py")
            .args(args)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let port = timeout(PATIENCE, lines.next_line()).await.unwrap().unwrap().unwrap();
        Self { child, port: port.parse().unwrap() }
    }

    pub(crate) async fn kill(&mut self) {
        self.child.kill().await.unwrap();
    }

    /// What it has seen.
    pub(crate) async fn seen(&self) -> Value {
        ask(&format!("127.0.0.1:{}", self.port), &["seen"]).await
    }

    /// Waits until what it has seen is right.
    pub(crate) async fn sees(&self, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        for _ in 0..100 {
            let seen = self.seen().await;
            if holds(&seen) {
                return seen;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{what}: {}", self.seen().await)
    }
}

/// Runs a scenario of the client to its end.
pub(crate) async fn ask(target: &str, args: &[&str]) -> Value {
    let output = Command::new(PYTHON).arg("tests/grpc/client.py").arg(target).args(args).output();
    let output = timeout(PATIENCE, output).await.unwrap().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let error = String::from_utf8_lossy(&output.stderr);
    serde_json::from_str(text.lines().last().unwrap_or_default()).unwrap_or_else(|_| panic!("{text}{error}"))
}

/// The same through Tidegate.
pub(crate) async fn call(tidegate: &TidegateProcess, args: &[&str]) -> Value {
    ask(&tidegate.addr("http").to_string(), args).await
}

/// A client that is still at work.
pub(crate) struct Running {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Running {
    pub(crate) fn start(tidegate: &TidegateProcess, args: &[&str]) -> Self {
        let mut child = Command::new(PYTHON)
            .args(["tests/grpc/client.py", &tidegate.addr("http").to_string()])
            .args(args)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    pub(crate) async fn line(&mut self) -> String {
        timeout(PATIENCE, self.lines.next_line()).await.unwrap().unwrap().unwrap()
    }

    /// Its last line.
    pub(crate) async fn result(mut self) -> Value {
        let mut last = String::new();
        while let Some(line) = timeout(PATIENCE, self.lines.next_line()).await.unwrap().unwrap() {
            last = line;
        }
        self.child.wait().await.unwrap();
        serde_json::from_str(&last).unwrap_or_else(|_| panic!("{last}"))
    }
}
