//! A real Consul agent for a test: its own process, free ports, killed when dropped.
//!
//! In dev mode it has a leader within half a second and forgets everything when it ends, which some
//! tests want.

#![allow(dead_code, reason = "every test file uses another part of it")]
#![allow(clippy::unwrap_used, reason = "a test that cannot have its agent has failed")]

// Its own copy, so that a test may use this file alone. The claims are file locks, so copies
// respect each other.
#[allow(
    unreachable_pub,
    clippy::disallowed_types,
    clippy::expect_used,
    clippy::duplicate_mod,
    reason = "as in the kit"
)]
#[path = "ports.rs"]
mod ports;

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

/// A running agent.
pub(crate) struct Agent {
    child: Child,
    config: Value,
    ports: [u16; 3],
    dir: tempfile::TempDir,
    http: reqwest::Client,
    token: Option<String>,
}

impl Agent {
    /// Starts an agent. None: there is no Consul here, which was said; with
    /// `TIDEGATE_REQUIRE_PEERS=1` that is a failure.
    pub(crate) async fn start() -> Option<Self> {
        Self::start_with(json!({}), None).await
    }

    /// Starts an agent with more configuration. `token` is used by the methods below.
    pub(crate) async fn start_with(config: Value, token: Option<&str>) -> Option<Self> {
        Self::start_in(tempfile::tempdir().unwrap(), config, token).await
    }

    /// As [`Agent::start_with`], in a directory that already holds files the configuration names.
    pub(crate) async fn start_in(dir: tempfile::TempDir, config: Value, token: Option<&str>) -> Option<Self> {
        if !available() {
            return None;
        }
        let ports = free_ports();
        let child = spawn(dir.path(), &config, ports);
        let http = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).build().unwrap();
        let agent = Self { child, config, ports, dir, http, token: token.map(str::to_owned) };
        agent.wait_ready().await;
        Some(agent)
    }

    /// `host:port` of the HTTP API.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.ports[0])
    }

    /// The address of its DNS, for an agent that was started with `ports.dns`; see
    /// [`Agent::start_with_dns`].
    pub(crate) fn dns(&self) -> std::net::SocketAddr {
        let port = self.config["ports"]["dns"].as_u64().and_then(|port| port.try_into().ok());
        ([127, 0, 0, 1], port.unwrap()).into()
    }

    /// Starts an agent that answers DNS too.
    pub(crate) async fn start_with_dns() -> Option<Self> {
        Self::start_with(json!({"ports": {"dns": ports::free_port()}}), None).await
    }

    /// Where its files are.
    pub(crate) fn dir(&self) -> &std::path::Path {
        self.dir.path()
    }

    /// Registers an instance of `service` at 127.0.0.1:`port` with the id `service-port`; `more` is
    /// merged into the body.
    pub(crate) async fn register(&self, service: &str, port: u16, more: Value) {
        let mut body =
            json!({"Name": service, "ID": format!("{service}-{port}"), "Address": "127.0.0.1", "Port": port});
        for (key, value) in more.as_object().unwrap() {
            body[key] = value.clone();
        }
        self.put("agent/service/register", body).await;
    }

    /// Takes an instance out.
    pub(crate) async fn deregister(&self, id: &str) {
        self.put(&format!("agent/service/deregister/{id}"), Value::Null).await;
    }

    /// PUT on `/v1/<path>`, which must succeed.
    pub(crate) async fn put(&self, path: &str, body: Value) -> Value {
        let request = self.request(reqwest::Method::PUT, path).json(&body);
        let response = request.send().await.unwrap();
        let (status, text) = (response.status(), response.text().await.unwrap());
        assert!(status.is_success(), "PUT {path}: {status} {text}");
        serde_json::from_str(&text).unwrap_or(Value::Null)
    }

    /// Ends the agent as a crash would.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Starts it anew on the same ports, with nothing registered.
    pub(crate) async fn restart(&mut self) {
        self.kill();
        self.child = spawn(self.dir.path(), &self.config, self.ports);
        self.wait_ready().await;
    }

    /// Freezes it: connections are accepted by the kernel, nothing answers.
    pub(crate) fn freeze(&self) {
        self.signal("-STOP");
    }

    /// Ends [`Agent::freeze`].
    pub(crate) fn thaw(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let status = Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    fn request(&self, method: reqwest::Method, path: &str) -> reqwest::RequestBuilder {
        let request = self.http.request(method, format!("http://{}/v1/{path}", self.address()));
        match &self.token {
            Some(token) => request.header("x-consul-token", token),
            None => request,
        }
    }

    async fn wait_ready(&self) {
        for _ in 0..600 {
            let answer = self.request(reqwest::Method::GET, "health/service/consul").send().await;
            if let Ok(answer) = answer
                && answer.status() == 200
                && answer.json::<Value>().await.is_ok_and(|list| list[0].is_object())
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let log = std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
        panic!("Consul is not ready within 30 s: {log}");
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Whether there is a Consul on this machine.
pub(crate) fn available() -> bool {
    let version = Command::new("consul").arg("version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if version.is_ok_and(|status| status.success()) {
        return true;
    }
    let required = std::env::var("TIDEGATE_REQUIRE_PEERS").is_ok_and(|v| v == "1");
    assert!(!required, "TIDEGATE_REQUIRE_PEERS=1, and there is no `consul` in PATH");
    eprintln!("SKIPPED: there is no `consul` in PATH; `make test` installs it");
    false
}

/// Runs the consul program in `dir`.
pub(crate) fn consul(dir: &std::path::Path, arguments: &[&str]) {
    let output = Command::new("consul").args(arguments).current_dir(dir).output().unwrap();
    assert!(output.status.success(), "consul {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Ports that no other test gets.
pub(crate) fn free_ports<const N: usize>() -> [u16; N] {
    [(); N].map(|()| ports::free_port())
}

fn spawn(dir: &std::path::Path, config: &Value, ports: [u16; 3]) -> Child {
    let file = dir.join("agent.json");
    std::fs::write(&file, config.to_string()).unwrap();
    let log = std::fs::File::create(dir.join("log")).unwrap();
    let flag = |name: &str, port: u16| format!("-{name}-port={port}");
    let mut command = Command::new("consul");
    command
        .args(["agent", "-dev", "-node=t", "-bind=127.0.0.1", "-client=127.0.0.1", "-log-level=warn"])
        .args(["-grpc-port=-1", "-serf-wan-port=-1"])
        // A flag would win over the file.
        .args(config["ports"]["dns"].is_null().then_some("-dns-port=-1"))
        .args([flag("http", ports[0]), flag("serf-lan", ports[1]), flag("server", ports[2])])
        .arg(format!("-config-file={}", file.display()))
        .current_dir(dir)
        .env("GOMAXPROCS", "1")
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(Stdio::null());
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("CONSUL_")) {
        command.env_remove(name);
    }
    command.spawn().unwrap()
}
