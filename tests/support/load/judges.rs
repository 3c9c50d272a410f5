//! Load by programs of others, which count by rules that we did not make.

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::{Child, Command};

use crate::support::require_peer;

/// A program at work.
pub struct Judge {
    name: &'static str,
    child: Child,
}

/// What it says.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    pub requests: u64,
    /// Each kind of error with its count, those with 0 left out.
    pub errors: Vec<(String, u64)>,
    pub text: String,
}

/// wrk: kept connections. None if it is not there.
pub fn wrk(addr: SocketAddr, connections: u32, span: Duration) -> Option<Judge> {
    let seconds = format!("{}s", span.as_secs().max(1));
    let connections = connections.to_string();
    judge("wrk", &["-t1", "-c", &connections, "-d", &seconds, "--timeout", "20s", &format!("http://{addr}/")])
}

/// hey: a connection for each request, 20 a second each of two workers.
pub fn hey(addr: SocketAddr, span: Duration) -> Option<Judge> {
    let count = (span.as_secs().max(1) * 40).to_string();
    // By number: by time it cuts its own last requests.
    judge(
        "hey",
        &["-n", &count, "-c", "2", "-q", "20", "-t", "20", "-disable-keepalive", &format!("http://{addr}/")],
    )
}

fn judge(name: &'static str, args: &[&str]) -> Option<Judge> {
    let mut command = Command::new(require_peer(name)?);
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    Some(Judge { name, child: command.kill_on_drop(true).spawn().unwrap() })
}

impl Judge {
    pub async fn verdict(self) -> Verdict {
        let output = self.child.wait_with_output().await.unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if self.name == "wrk" { of_wrk(text) } else { of_hey(text) }
    }
}

pub fn of_wrk(text: String) -> Verdict {
    let mut verdict = Verdict::default();
    for line in text.lines().map(str::trim) {
        if let Some(count) = line.split(" requests in ").next().filter(|_| line.contains(" requests in ")) {
            verdict.requests = count.parse().unwrap();
        }
        if let Some(kinds) = line.strip_prefix("Socket errors: ") {
            verdict.errors.extend(kinds.split(", ").filter_map(|kind| {
                let (what, count) = kind.rsplit_once(' ')?;
                Some((format!("socket {what}"), count.parse().ok().filter(|n| *n > 0)?))
            }));
        }
        if let Some(count) = line.strip_prefix("Non-2xx or 3xx responses: ") {
            verdict.errors.push(("not 2xx".into(), count.parse().unwrap()));
        }
    }
    verdict.text = text;
    verdict
}

pub fn of_hey(text: String) -> Verdict {
    let mut verdict = Verdict::default();
    let mut in_errors = false;
    for line in text.lines().map(str::trim) {
        in_errors |= line.starts_with("Error distribution:");
        let Some((number, rest)) = line.strip_prefix('[').and_then(|rest| rest.split_once(']')) else {
            continue;
        };
        let Ok(number) = number.parse::<u64>() else { continue };
        if in_errors {
            verdict.errors.push((rest.trim().to_owned(), number));
            continue;
        }
        let count = rest.trim().split(' ').next().and_then(|n| n.parse().ok()).unwrap_or(0);
        match number {
            200 => verdict.requests = count,
            other => verdict.errors.push((format!("status {other}"), count)),
        }
    }
    verdict.text = text;
    verdict
}

impl Verdict {
    #[track_caller]
    pub fn assert_clean(&self, who: &str) {
        eprintln!("{who}: {} requests, errors {:?}", self.requests, self.errors);
        assert!(self.errors.is_empty() && self.requests > 0, "{who}: {self:#?}");
    }
}
