//! The load: `wrk` for HTTP/1.1, `h2load` for HTTP/2 and for a steady rate. An error answer or a broken
//! connection is an error: CPU time that bought one says nothing.
//!
//! `hey` would load as well, but costs more CPU time a request than any proxy here, so on the core that
//! it shares it would be what is measured.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::Result;
use crate::process::pinned;
use crate::scenario::{Ask, ROUTES, UPLOAD, path};

/// What `wrk` does: the requests are built once, so that each costs a look-up.
const SCRIPT: &str = include_str!("wrk.lua");

/// Both send these.
const HOST: &str = "shop.example.com";

/// Loads can be run again and again.
pub(crate) struct Loader {
    folder: PathBuf,
    cores: String,
}

/// What a load saw. Latencies in microseconds.
pub(crate) struct Seen {
    pub(crate) requests: u64,
    pub(crate) per_second: f64,
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
}

// === impl Loader ===

impl Loader {
    pub(crate) fn new(folder: &Path, cores: &str) -> Result<Self> {
        let paths: String = (0..ROUTES).map(|i| format!("http://{HOST}{}\n", path(i, Ask::Get))).collect();
        fs::write(folder.join("paths"), paths)?;
        Ok(Self { folder: folder.to_owned(), cores: cores.to_owned() })
    }

    pub(crate) fn wrk(
        &self,
        address: SocketAddr,
        time: Duration,
        connections: usize,
        ask: Ask,
    ) -> Result<Seen> {
        let script = self.folder.join("wrk.lua");
        let (method, body) = if ask == Ask::Upload { ("POST", UPLOAD) } else { ("GET", 0) };
        let connection = if ask == Ask::Close { "close" } else { "" };
        let filled = SCRIPT
            .replace("$ROUTES", &ROUTES.to_string())
            .replace("$METHOD", method)
            .replace("$BODY", &body.to_string())
            .replace("$CONNECTION", connection)
            .replace("$HOST", HOST)
            .replace("$PATH", &path("%d", ask));
        fs::write(&script, filled)?;
        let mut command = self.bounded(time, "wrk");
        // An answer that is late is not wrong: the default timeout of 2 s would make it an error.
        command.args(["-t1", "--timeout", "20s"]);
        command.args([&format!("-c{connections}"), &format!("-d{}s", time.as_secs()), "-s"]);
        let text = output(command.arg(script).arg(format!("http://{address}/")))?;
        Seen::of_wrk(&text).ok_or_else(|| complaint("wrk", &text, &["Non-2xx", "Socket errors"]).into())
    }

    /// One connection with so many streams.
    pub(crate) fn streams(&self, address: SocketAddr, time: Duration, streams: usize) -> Result<Seen> {
        self.h2load(address, time, &["-c1".into(), format!("-m{streams}")])
    }

    /// So many requests a second together.
    pub(crate) fn paced(
        &self,
        address: SocketAddr,
        time: Duration,
        connections: usize,
        rate: f64,
    ) -> Result<Seen> {
        let each = (rate / connections as f64).round().max(1.0);
        self.h2load(address, time, &["--h1".into(), format!("-c{connections}"), format!("--rps={each}")])
    }

    fn h2load(&self, address: SocketAddr, time: Duration, how: &[String]) -> Result<Seen> {
        let log = self.folder.join("h2load.log");
        // It appends.
        let _ = fs::remove_file(&log);
        let mut command = self.bounded(time, "h2load");
        command.args([
            "-t1",
            "-H",
            &format!(":authority: {HOST}"),
            "-H",
            "user-agent: h2load",
            "-H",
            "x-group: a",
        ]);
        command.args(how).args([format!("-D{}", time.as_secs()), format!("--base-uri=http://{address}")]);
        command.arg(format!("--log-file={}", log.display())).arg("-i").arg(self.folder.join("paths"));
        let text = output(&mut command)?;
        let seen = Seen::of_h2load(&text, &fs::read_to_string(&log)?, time);
        seen.ok_or_else(|| complaint("h2load", &text, &["requests:", "status codes:"]).into())
    }

    /// A program that is ended if it does not end by itself.
    fn bounded(&self, time: Duration, program: &str) -> Command {
        let mut command = pinned(&self.cores, "timeout");
        command.arg((time.as_secs() + 20).to_string()).arg(program);
        command
    }
}

/// The lines of what a load says that tell what went wrong, and then all of it.
fn complaint(program: &str, text: &str, marks: &[&str]) -> String {
    let line = |mark: &&str| text.lines().find(|line| line.trim_start().starts_with(*mark));
    let lines: Vec<_> = marks.iter().filter_map(line).map(str::trim).collect();
    format!("{program}: {}\n{text}", lines.join("; "))
}

fn output(command: &mut Command) -> Result<String> {
    let output = command.stdout(std::process::Stdio::piped()).output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(text);
    }
    Err(format!("{text}{}", String::from_utf8_lossy(&output.stderr)).into())
}

// === impl Seen ===

impl Seen {
    /// The line that the script prints: requests, microseconds in all, three latencies, errors.
    fn of_wrk(text: &str) -> Option<Self> {
        let line = text.lines().find_map(|line| line.strip_prefix("SEEN "))?;
        let numbers: Vec<f64> = line.split(' ').map_while(|number| number.parse().ok()).collect();
        let [requests, time, p50, p99, p999, errors] = numbers.try_into().ok()?;
        let requests = requests as u64;
        let per_second = requests as f64 * 1e6 / time;
        (requests > 0 && errors == 0.0).then_some(Self { requests, per_second, p50, p99, p999 })
    }

    /// The counts from what it prints; the latencies from its log, a line for each request: when it
    /// began, its status, how long it took.
    fn of_h2load(text: &str, log: &str, time: Duration) -> Option<Self> {
        let line = |start: &str| text.lines().find_map(|line| line.trim_start().strip_prefix(start));
        let counts = |text: &str| -> Vec<u64> {
            text.split(',').filter_map(|part| part.split_whitespace().next()?.parse().ok()).collect()
        };
        // total, started, done, succeeded, failed, errored, timeout; and 2xx, 3xx, ...
        let (requests, statuses) = (counts(line("requests:")?), counts(line("status codes:")?));
        let (done, succeeded) = (*requests.get(2)?, *requests.get(3)?);
        // An answer whose header came and whose body did not come in time has a status and is not done.
        let (fine, others) = statuses.split_first()?;
        if done == 0 || succeeded != done || *fine < done || others.iter().any(|others| *others > 0) {
            return None;
        }
        let mut times: Vec<u32> =
            log.lines().filter_map(|line| line.split('\t').nth(2)?.trim().parse().ok()).collect();
        times.sort_unstable();
        let at = |share: f64| {
            let rank = (times.len() as f64 * share).ceil() as usize;
            times.get(rank.saturating_sub(1)).map(|time| f64::from(*time))
        };
        let per_second = done as f64 / time.as_secs_f64();
        Some(Self { requests: done, per_second, p50: at(0.5)?, p99: at(0.99)?, p999: at(0.999)? })
    }
}
