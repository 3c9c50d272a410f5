//! A backend is killed with SIGKILL under load, stays dead for two seconds, and is started again.
//! Default config but for an HTTP check: no request fails.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::support::probe::ask;
use super::support::probe::long;
use super::support::{Load, Tidegate, TidegateProcess, eventually, http};
use super::{QUICK, SOON, checked, live};

/// A process that answers, to be killed: a Tidegate with a fixed answer.
struct Victim {
    first: TidegateProcess,
    again: Option<Child>,
}

impl Victim {
    async fn start(name: &str) -> Self {
        let live = format!(
            "routes: [ {{ name: all, respond: {{ status: 200, body: '{name}', headers: {{ x-backend: '{name}' }} }} }} ]\n"
        );
        Self { first: Tidegate::new(&live).start().await, again: None }
    }

    fn addr(&self) -> SocketAddr {
        self.first.addr("http")
    }

    fn kill(&mut self) {
        match &mut self.again {
            None => self.first.kill(),
            Some(child) => {
                let _ = child.kill();
                let _ = child.wait();
            }
        }
    }

    fn restart(&mut self) {
        let child = Command::new(env!("CARGO_BIN_EXE_tidegate"))
            .args(["run", "-c"])
            .arg(self.first.config_path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        self.again = Some(child.unwrap());
    }

    /// Waits until it answers, whoever else thinks so.
    async fn answers(&self) {
        let (client, url) = (http::client(), format!("http://{}/", self.addr()));
        eventually(SOON, async || ask(&client, &url).await).await;
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        self.kill();
    }
}

/// With the defaults it is not down within two seconds: what saves the requests is the second try.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backend_that_is_killed_costs_nobody_a_request() {
    kill("defaults", "http: { path: /healthz }").await;
}

/// Here it is down after some 200 ms, so that most requests need no second try.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nor_does_one_that_is_found_dead() {
    let (tidegate, b) = kill("quick", QUICK).await;
    let log = tidegate.stderr();
    let down = log.lines().filter(|l| l.contains("to=\"down\"") && l.contains(&b.to_string())).count();
    assert_eq!(down, runs(), "{log}");
}

fn runs() -> usize {
    if long() { 10 } else { 2 }
}

async fn kill(what: &str, check: &str) -> (TidegateProcess, SocketAddr) {
    let (a, mut b) = (Victim::start("a").await, Victim::start("b").await);
    let tidegate = Tidegate::new(&live(&[a.addr(), b.addr()], check)).start().await;
    let load = Load::new(tidegate.addr("http")).connections(16).pause(Duration::from_millis(1));
    for run in 1..=runs() {
        checked(&tidegate, b.addr(), "up").await;
        let retries = tidegate.metric("tidegate_retries_total", &["result=\"success\""]).await;
        let (report, back) = load
            .during(async {
                sleep(Duration::from_millis(500)).await;
                b.kill();
                sleep(Duration::from_secs(2)).await;
                b.restart();
                b.answers().await;
                let begin = Instant::now();
                checked(&tidegate, b.addr(), "up").await;
                let back = begin.elapsed();
                sleep(Duration::from_millis(500)).await;
                back
            })
            .await;
        let retries = tidegate.metric("tidegate_retries_total", &["result=\"success\""]).await - retries;
        eprintln!(
            "{what}, run {run}: {} requests, {} failed, {retries} second tries, slowest {:?}, up {back:?} after its first answer",
            report.total(),
            report.failed(),
            report.slowest
        );
        report.assert_clean();
        assert!(report.backends["b"] > 50, "{report:?}");
    }
    (tidegate, b.addr())
}
