//! The load: `wrk` with 16 connections kept open, its requests spread over the hundred routes. For
//! HTTP/2 `h2load` with 4 connections of 4 streams, the same requests. What a load costs itself does
//! not count, so the figures can stand side by side.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::Result;
use crate::subject::{ROUTES, Spoken, Subject};

/// How many requests are on their way at once.
const CONNECTIONS: usize = 16;

/// What makes `wrk`'s requests: built once, so that each costs a look-up.
const SCRIPT: &str = r#"
local requests, turn = {}, 0
function init(args)
  wrk.headers["Host"] = "shop.example.com"
  wrk.headers["User-Agent"] = "wrk"
  wrk.headers["X-Group"] = "a"
  for i = 0, ROUTES - 1 do
    requests[i] = wrk.format("GET", "/api/v1/service-" .. i .. "/users/12345?page=2")
  end
end
function request()
  turn = (turn + 1) % ROUTES
  return requests[turn]
end
"#;

/// A load that can be run again and again.
pub(crate) struct Load {
    script: PathBuf,
    /// What `h2load` asks for.
    paths: PathBuf,
    core: &'static str,
}

/// What `wrk` saw in one run. Latencies in microseconds.
pub(crate) struct Seen {
    pub(crate) requests: u64,
    pub(crate) per_second: f64,
    pub(crate) p50: f64,
    pub(crate) p99: f64,
}

// === impl Load ===

impl Load {
    pub(crate) fn new(folder: &Path, core: &'static str) -> Result<Self> {
        let script = folder.join("wrk.lua");
        fs::write(&script, SCRIPT.replace("ROUTES", &ROUTES.to_string()))?;
        let paths = folder.join("paths");
        let path = |i| format!("http://shop.example.com/api/v1/service-{i}/users/12345?page=2\n");
        fs::write(&paths, (0..ROUTES).map(path).collect::<String>())?;
        Ok(Self { script, paths, core })
    }

    /// Loads a subject. An error answer or a broken connection is an error: its CPU time says nothing.
    pub(crate) fn run(&self, subject: &Subject, time: Duration) -> Result<Seen> {
        match subject.spoken {
            Spoken::Http1 => self.wrk(subject.address, time),
            Spoken::H2c => self.h2load("http", subject.address, time),
            Spoken::H2Tls => self.h2load("https", subject.address, time),
        }
    }

    fn h2load(&self, scheme: &str, address: SocketAddr, time: Duration) -> Result<Seen> {
        let output = Command::new("taskset")
            .args(["-c", self.core, "h2load", "-t1", "-c4", "-m4"])
            .args(["-H", ":authority: shop.example.com", "-H", "user-agent: h2load", "-H", "x-group: a"])
            .args([format!("-D{}", time.as_secs()), format!("--base-uri={scheme}://{address}")])
            .arg("-i")
            .arg(&self.paths)
            .output()
            .map_err(|e| format!("taskset h2load: {e}"))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let seen = Seen::of_h2load(&text).filter(|_| output.status.success());
        seen.ok_or_else(|| format!("h2load: {text}{}", String::from_utf8_lossy(&output.stderr)).into())
    }

    fn wrk(&self, address: SocketAddr, time: Duration) -> Result<Seen> {
        let output = Command::new("taskset")
            .args(["-c", self.core, "wrk", "-t1", &format!("-c{CONNECTIONS}"), "--latency"])
            .arg(format!("-d{}s", time.as_secs()))
            .arg("-s")
            .arg(&self.script)
            .arg(format!("http://{address}/"))
            .output()
            .map_err(|e| format!("taskset wrk: {e}"))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let clean = !text.contains("Non-2xx") && !text.contains("Socket errors");
        let seen = Seen::parse(&text).filter(|_| output.status.success() && clean);
        seen.ok_or_else(|| format!("wrk: {text}{}", String::from_utf8_lossy(&output.stderr)).into())
    }
}

// === impl Seen ===

impl Seen {
    /// `requests: 100 total, 100 started, 100 done, 100 succeeded, 0 failed, ...`, and the mean time of
    /// a request, which stands for the median. None: a request failed.
    fn of_h2load(text: &str) -> Option<Self> {
        let line = |start: &str| text.lines().find(|line| line.trim_start().starts_with(start));
        let number = |text: &str| text.split_whitespace().next()?.parse().ok();
        let requests = line("requests:")?;
        let counts: Vec<u64> =
            requests.trim_start_matches("requests:").split(',').filter_map(number).collect();
        let (done, succeeded) = (*counts.get(2)?, *counts.get(3)?);
        let statuses = line("status codes:")?;
        let fine: u64 = number(statuses.trim_start_matches("status codes:"))?;
        if done == 0 || succeeded != done || fine != done {
            return None;
        }
        let per_second = line("finished in")?.split(", ").nth(1)?;
        let per_second = per_second.split_whitespace().next()?.parse().ok()?;
        let times: Vec<_> = line("time for request:")?.split_whitespace().skip(3).collect();
        let (most, mean) = (microseconds(times.get(1)?)?, microseconds(times.get(2)?)?);
        Some(Self { requests: done, per_second, p50: mean, p99: most })
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let mut after =
            |mark: &str| lines.find_map(|words| (*words.first()? == mark).then(|| words.get(1).copied())?);
        let (p50, p99) = (microseconds(after("50%")?)?, microseconds(after("99%")?)?);
        let per_second = after("Requests/sec:")?.parse().ok()?;
        let (requests, _) = text.split_once(" requests in ")?;
        let requests = requests.rsplit(char::is_whitespace).next()?.parse().ok()?;
        Some(Self { requests, per_second, p50, p99 })
    }
}

/// `350.00us`, `1.20ms` or `2.00s`.
fn microseconds(text: &str) -> Option<f64> {
    let at = text.find(|c: char| c.is_ascii_alphabetic())?;
    let (number, unit) = text.split_at(at);
    let factor = match unit {
        "us" => 1.0,
        "ms" => 1e3,
        "s" => 1e6,
        _ => return None,
    };
    Some(number.parse::<f64>().ok()? * factor)
}
