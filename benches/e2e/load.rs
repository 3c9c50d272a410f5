//! The load: `wrk` with 16 connections kept open, its requests spread over the hundred routes.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::Result;
use crate::subject::ROUTES;

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
    core: usize,
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
    pub(crate) fn new(folder: &Path, core: usize) -> Result<Self> {
        let script = folder.join("wrk.lua");
        fs::write(&script, SCRIPT.replace("ROUTES", &ROUTES.to_string()))?;
        Ok(Self { script, core })
    }

    /// Loads an address. An error answer or a broken connection is an error: its CPU time says
    /// nothing.
    pub(crate) fn run(&self, address: SocketAddr, time: Duration) -> Result<Seen> {
        let output = Command::new("taskset")
            .args(["-c", &self.core.to_string(), "wrk", "-t1", &format!("-c{CONNECTIONS}"), "--latency"])
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
