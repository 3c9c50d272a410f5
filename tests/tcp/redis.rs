//! A real Redis behind a cluster that a real Consul names.

use std::process::{Child, Command, Stdio};

use serde_json::json;
use tokio::time::Instant;

use super::SOON;
use super::support::{Agent, RawClient, Tidegate, TidegateProcess, eventually, free_port, require_peer};

/// `redis-server`, with nothing on disk.
struct Redis {
    child: Child,
    port: u16,
    _dir: tempfile::TempDir,
}

impl Redis {
    async fn start() -> Self {
        let (dir, port) = (tempfile::tempdir().unwrap(), free_port());
        let child = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .current_dir(dir.path())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        eventually(SOON, async || tokio::net::TcpStream::connect(("127.0.0.1", port)).await.map(drop)).await;
        Self { child, port, _dir: dir }
    }

    fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The answer to a command on a connection of its own.
async fn ask(tidegate: &TidegateProcess, command: &str) -> Result<String, String> {
    let mut client = RawClient::connect(tidegate.addr("redis")).await;
    client.send(format!("{command}\r\n")).await;
    client.read_some().await.map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

#[tokio::test]
async fn redis_through_consul_and_its_stand_in_when_it_is_killed() {
    let Some(_) = require_peer("redis-server") else { return };
    let Some(agent) = Agent::start().await else { return };
    let (mut first, second) = (Redis::start().await, Redis::start().await);
    let live = format!(
        "consul: {{ address: 'http://{}' }}\nclusters:\n  cache:\n    consul: {{ service: redis }}\n    \
         health_check: {{ tcp: {{ send: \"PING\\r\\n\", expect: PONG }}, interval: 200ms, unhealthy_threshold: 1 }}\n",
        agent.address()
    );
    agent.register("redis", first.port, json!({})).await;
    let tidegate =
        Tidegate::new(&live).listener("redis").listener_key("redis", "tcp: { cluster: cache }").start().await;
    eventually(SOON, async || match ask(&tidegate, "SET answer 42").await {
        Ok(said) if said == "+OK\r\n" => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    assert_eq!(ask(&tidegate, "GET answer").await.unwrap(), "$2\r\n42\r\n");
    let mut pipelined = RawClient::connect(tidegate.addr("redis")).await;
    pipelined.send("PING\r\n".repeat(1000)).await;
    let mut pongs = Vec::new();
    while pongs.len() < 7000 {
        pongs.extend(pipelined.read_some().await.unwrap());
    }
    assert_eq!(pongs, "+PONG\r\n".repeat(1000).as_bytes());

    let begin = Instant::now();
    agent.register("redis", second.port, json!({})).await;
    eventually(SOON, async || match ask(&tidegate, "GET answer").await {
        Ok(said) if said == "$-1\r\n" => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    eprintln!("from registration to the first connection on the second Redis: {:?}", begin.elapsed());

    first.kill();
    assert_eq!(pipelined.read_some().await.unwrap_or_default(), b"", "its connections end with it");
    let mut failed = 0;
    for _ in 0..30 {
        failed += usize::from(ask(&tidegate, "PING").await.as_deref() != Ok("+PONG\r\n"));
    }
    eprintln!("{failed} of 30 connections failed after one Redis of two was killed");
    assert_eq!(failed, 0);
    drop(second);
}
