//! A small load generator: N connections that ask as long as a piece of work runs, and count every
//! failure with its reason.
//!
//! It does not retry and it does not forgive: a request on a kept connection that the server closed
//! under it counts as failed, since "no failed request" is what hand-over, reload and drain
//! promise. (A connection that was closed *before* the request was written is opened anew, as every
//! client does.)
//!
//! [`Load`] is one kind of client and all that most tests need. A [`Crowd`] is many kinds at once,
//! which check each byte of what they get: the clients of a hand-over.

mod crowd;
mod http1;
mod http2;
pub mod judges;
mod talks;
mod tally;

use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::Request;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

pub use self::crowd::{Crowd, Shift};
pub use self::http1::{download, fresh, keep_alive, posts};
pub use self::http2::streams;
pub use self::talks::{Echo, bytes, chats, open, say};
pub use self::tally::{Failure, Tally, assert_clean};

/// The name of the backend that a crowd's clients expect.
pub const BACKEND: &str = "load";

/// What to send, and how hard.
#[derive(Clone, Debug)]
pub struct Load {
    addr: SocketAddr,
    connections: usize,
    path: String,
    headers: Vec<(String, String)>,
    pause: Duration,
    deadline: Duration,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Whole answers with a status below 500.
    pub ok: u64,
    /// How often each reason: `status 503`, `connect: ...`, `timeout`, ...
    pub failures: BTreeMap<String, u64>,
    /// Answers of each `x-backend`.
    pub backends: BTreeMap<String, u64>,
    pub slowest: Duration,
}

impl Load {
    /// 4 connections, `GET /`, 2 ms between two requests of a connection: some hundred requests a
    /// second.
    pub fn new(addr: SocketAddr) -> Self {
        Self {
            addr,
            connections: 4,
            path: "/".into(),
            headers: Vec::new(),
            pause: Duration::from_millis(2),
            deadline: Duration::from_secs(10),
        }
    }

    pub fn connections(mut self, connections: usize) -> Self {
        self.connections = connections;
        self
    }

    pub fn path(mut self, path: &str) -> Self {
        self.path = path.into();
        self
    }

    /// `host` replaces the default one.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Between two requests of one connection.
    pub fn pause(mut self, pause: Duration) -> Self {
        self.pause = pause;
        self
    }

    /// Beyond it a request has failed.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Runs while `work` runs; requests that are in flight at its end are finished and counted.
    pub async fn during<T>(&self, work: impl Future<Output = T>) -> (Report, T) {
        let (stop, stopped) = watch::channel(false);
        let workers: Vec<_> =
            (0..self.connections).map(|_| tokio::spawn(self.clone().worker(stopped.clone()))).collect();
        let done = work.await;
        let _ = stop.send(true);
        let mut report = Report::default();
        for worker in workers {
            report.add(worker.await.expect("a load worker"));
        }
        (report, done)
    }

    /// Runs for so long.
    pub async fn run_for(&self, span: Duration) -> Report {
        self.during(sleep(span)).await.0
    }

    async fn worker(self, stopped: watch::Receiver<bool>) -> Report {
        let mut report = Report::default();
        let mut kept: Option<SendRequest<Empty<Bytes>>> = None;
        while !*stopped.borrow() {
            let begin = Instant::now();
            match timeout(self.deadline, self.once(&mut kept)).await {
                Ok(Ok(backend)) => {
                    report.ok += 1;
                    *report.backends.entry(backend).or_default() += 1;
                }
                Ok(Err(why)) => *report.failures.entry(why).or_default() += 1,
                Err(_) => {
                    kept = None;
                    *report.failures.entry("timeout".into()).or_default() += 1;
                }
            }
            report.slowest = report.slowest.max(begin.elapsed());
            sleep(self.pause).await;
        }
        report
    }

    async fn once(&self, kept: &mut Option<SendRequest<Empty<Bytes>>>) -> Result<String, String> {
        let mut sender = match kept.take() {
            Some(mut sender) => match sender.ready().await {
                Ok(()) => sender,
                Err(_) => self.connect().await?,
            },
            None => self.connect().await?,
        };
        let mut request = Request::get(&self.path);
        if !self.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            request = request.header("host", self.addr.to_string());
        }
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let request = request.body(Empty::new()).map_err(|e| format!("request: {e}"))?;
        let response = sender.send_request(request).await.map_err(|e| format!("no answer: {}", chain(&e)))?;
        let status = response.status();
        let backend =
            response.headers().get("x-backend").map(|v| String::from_utf8_lossy(v.as_bytes()).into());
        response.into_body().collect().await.map_err(|e| format!("body: {}", chain(&e)))?;
        *kept = Some(sender);
        if status.is_server_error() {
            return Err(format!("status {}", status.as_u16()));
        }
        Ok(backend.unwrap_or_default())
    }

    async fn connect(&self) -> Result<SendRequest<Empty<Bytes>>, String> {
        let stream = TcpStream::connect(self.addr).await.map_err(|e| format!("connect: {e}"))?;
        let _ = stream.set_nodelay(true);
        let (sender, connection) =
            handshake(TokioIo::new(stream)).await.map_err(|e| format!("handshake: {e}"))?;
        tokio::spawn(connection);
        Ok(sender)
    }
}

impl Report {
    pub fn failed(&self) -> u64 {
        self.failures.values().sum()
    }

    pub fn total(&self) -> u64 {
        self.ok + self.failed()
    }

    /// Panics unless every request was answered below 500, and there were some.
    #[track_caller]
    pub fn assert_clean(&self) {
        assert!(self.ok > 0, "no request was answered: {self:?}");
        assert!(self.failures.is_empty(), "{} of {} failed: {self:?}", self.failed(), self.total());
    }

    fn add(&mut self, other: Self) {
        self.ok += other.ok;
        self.slowest = self.slowest.max(other.slowest);
        for (key, count) in other.failures {
            *self.failures.entry(key).or_default() += count;
        }
        for (key, count) in other.backends {
            *self.backends.entry(key).or_default() += count;
        }
    }
}

/// An error with its causes: hyper's own text says little.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
