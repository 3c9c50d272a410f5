//! The load: so many requests a second whether they are answered or not, over connections that are kept.
//!
//! Why not `h2load`: what it says comes at its end, it counts an answer that is not 200 as done, and its
//! log of half an hour at full load is a gigabyte. Here each connection has a timetable. A request that
//! is due while the connection still waits for the answer before is late, and its latency counts from
//! when it was due, so a proxy that stalls is not spared. The timer wakes once a millisecond, so
//! requests come in small bursts; what it is late itself is not counted.
//!
//! A failure is anything but a whole answer 200 within ten seconds.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::Result;
use crate::tally::{Counted, Tally};

/// The longest that an answer may take.
const LATE: Duration = Duration::from_secs(10);

/// What is sent, how often and to whom.
#[derive(Clone)]
pub(crate) struct Plan {
    pub(crate) address: SocketAddr,
    pub(crate) connections: usize,
    /// Requests a second, all together. None: each connection as fast as it is answered.
    pub(crate) rate: Option<f64>,
    /// In turn.
    pub(crate) requests: Arc<[Vec<u8>]>,
}

/// A load that runs.
pub(crate) struct Load {
    pub(crate) tally: Arc<Tally>,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

/// A request, as it goes over the wire.
pub(crate) fn get(host: &str, path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: pace\r\n\r\n").into_bytes()
}

// === impl Plan ===

impl Plan {
    /// Starts it on a thread of its own.
    pub(crate) fn start(self) -> Result<Load> {
        let (tally, stop) = (Arc::new(Tally::new()), Arc::new(AtomicBool::new(false)));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (counts, end) = (tally.clone(), stop.clone());
        let thread = thread::spawn(move || {
            runtime.block_on(async {
                let mut connections = JoinSet::new();
                let began = Instant::now();
                for i in 0..self.connections {
                    connections.spawn(drive(self.clone(), i, began, counts.clone(), end.clone()));
                }
                connections.join_all().await;
            });
        });
        Ok(Load { tally, stop, thread })
    }

    /// Runs it for that time.
    pub(crate) fn run(self, time: Duration) -> Result<Counted> {
        let load = self.start()?;
        thread::sleep(time);
        Ok(load.end())
    }
}

// === impl Load ===

impl Load {
    /// Waits for what is under way, and counts it.
    pub(crate) fn end(self) -> Counted {
        self.stop.store(true, Relaxed);
        // A connection that panicked has counted what it saw.
        let _ = self.thread.join();
        self.tally.take()
    }
}

async fn drive(plan: Plan, i: usize, began: Instant, tally: Arc<Tally>, stop: Arc<AtomicBool>) {
    let each = plan.rate.map(|rate| Duration::from_secs_f64(plan.connections as f64 / rate));
    let first = each.unwrap_or_default().mul_f64(i as f64 / plan.connections as f64);
    let mut stream = None;
    for turn in 0.. {
        let mut since = Instant::now();
        if let Some(each) = each {
            let due = began + first + each.mul_f64(f64::from(turn));
            if due > since {
                tokio::time::sleep_until(due).await;
                since = Instant::now();
            } else {
                since = due;
            }
        }
        if stop.load(Relaxed) {
            return;
        }
        let request = &plan.requests[(i + turn as usize * plan.connections) % plan.requests.len()];
        let asked = tokio::time::timeout(LATE, ask(plan.address, &mut stream, request)).await;
        match asked.unwrap_or_else(|_| Err("no whole answer within 10 s".into())) {
            Ok(200) => tally.done(since.elapsed()),
            Ok(status) => tally.failed(status.to_string()),
            Err(why) => {
                stream = None;
                tally.failed(why);
            }
        }
    }
}

/// Asks over the connection, or a new one, and reads the whole answer; gives its status.
async fn ask(
    address: SocketAddr,
    stream: &mut Option<TcpStream>,
    request: &[u8],
) -> std::result::Result<u16, String> {
    if stream.is_none() {
        let new = TcpStream::connect(address).await.map_err(|e| format!("connect: {e}"))?;
        let _ = new.set_nodelay(true);
        *stream = Some(new);
    }
    let open = stream.as_mut().ok_or("no connection")?;
    open.write_all(request).await.map_err(|e| format!("write: {e}"))?;
    let mut buffer = [0; 4096];
    let mut filled = 0;
    loop {
        let read = open.read(&mut buffer[filled..]).await.map_err(|e| format!("read: {e}"))?;
        filled += read;
        if read == 0 || filled == buffer.len() {
            return Err(if read == 0 { "closed".into() } else { "a long answer".into() });
        }
        let Some(at) = memchr::memmem::find(&buffer[..filled], b"\r\n\r\n") else { continue };
        let head = std::str::from_utf8(&buffer[..at]).map_err(|e| e.to_string())?;
        let (status, length, keep) = said(head).ok_or_else(|| format!("not understood: {head:?}"))?;
        if filled >= at + 4 + length {
            if !keep {
                *stream = None;
            }
            return Ok(status);
        }
    }
}

/// Status, length, and whether the connection stays.
fn said(head: &str) -> Option<(u16, usize, bool)> {
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let (mut length, mut keep) = (0, true);
    for line in lines {
        let (name, value) = line.split_once(':')?;
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().ok()?;
        } else if name.eq_ignore_ascii_case("connection") {
            keep = !value.trim().eq_ignore_ascii_case("close");
        }
    }
    Some((status, length, keep))
}
