//! A server to proxy to: says who it is, counts, and misbehaves when told to. HTTP/1.1 and h2c on
//! one port.
//!
//! | path | answer |
//! |---|---|
//! | `/echo` | what was received, as JSON: `backend method path version headers body_length peer` |
//! | `/slow?ms=N` | its name, after N ms |
//! | `/status/NNN` | that status |
//! | `/bytes?n=N` | N bytes, with a content-length |
//! | `/drip?n=N&ms=M` | N chunks of one byte, one each M ms |
//! | `/mirror` | the body that came |
//! | `/noise?n=N&ms=M&seed=S` | N chunks of [`noise`], one each M ms |
//! | `/etag` | its name with an ETag; 304 if `if-none-match` has it |
//! | `/healthz` | 200, or 503 after [`Backend::set_healthy`]`(false)`; not counted as a request |
//! | other | its name; the header `x-backend` says it everywhere |

mod answer;
mod io;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

pub use self::answer::noise;
use self::io::Connection;
use super::ports;

/// A running (or stopped) server.
pub struct Backend {
    addr: SocketAddr,
    shared: Arc<Shared>,
    running: Option<Running>,
}

/// How to misbehave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    #[default]
    None,
    /// Every new connection is closed at once. Connections that are open go on.
    CloseOnAccept,
    /// Every new connection is reset at once.
    ResetOnAccept,
    /// A request is read and its connection closed before the answer.
    CloseBeforeAnswer,
    /// A request is read and its connection reset before the answer.
    ResetBeforeAnswer,
    /// The answer ends in the middle of its body.
    CloseInBody,
    /// Every request but `/healthz` gets this status.
    Status(u16),
    /// Every request waits so long before it is answered.
    Delay(Duration),
    /// No request is ever answered.
    Hang,
}

struct Shared {
    name: String,
    requests: AtomicU64,
    connections: AtomicU64,
    in_flight: AtomicU64,
    healthy: AtomicBool,
    fault: Mutex<Fault>,
    seen: Mutex<Vec<String>>,
}

struct Running {
    /// Set to true: finish what is in flight and close.
    drain: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Backend {
    /// Listens on a free port of 127.0.0.1.
    pub async fn start(name: &str) -> Self {
        Self::start_on(name, ports::free_addr()).await
    }

    pub async fn start_on(name: &str, addr: SocketAddr) -> Self {
        let shared = Shared {
            name: name.to_owned(),
            requests: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            in_flight: AtomicU64::new(0),
            healthy: AtomicBool::new(true),
            fault: Mutex::default(),
            seen: Mutex::default(),
        };
        let mut backend = Self { addr, shared: Arc::new(shared), running: None };
        backend.restart().await;
        backend
    }

    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub fn port(&self) -> u16 {
        self.addr.port()
    }

    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// Requests received since the start, over restarts, `/healthz` not among them.
    pub fn requests(&self) -> u64 {
        self.shared.requests.load(Ordering::SeqCst)
    }

    /// Connections accepted since the start, over restarts.
    pub fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Requests that are not answered yet.
    pub fn in_flight(&self) -> u64 {
        self.shared.in_flight.load(Ordering::SeqCst)
    }

    /// `METHOD path` of each counted request, in order.
    pub fn seen(&self) -> Vec<String> {
        self.shared.seen.lock().unwrap().clone()
    }

    pub fn set_fault(&self, fault: Fault) {
        *self.shared.fault.lock().unwrap() = fault;
    }

    pub fn set_healthy(&self, healthy: bool) {
        self.shared.healthy.store(healthy, Ordering::SeqCst);
    }

    /// Stops listening, lets requests finish, closes.
    pub async fn stop(&mut self) {
        if let Some(running) = self.running.take() {
            let _ = running.drain.send(true);
            let _ = running.task.await;
        }
    }

    /// Stops listening and drops every connection, as if the process had died.
    pub async fn kill(&mut self) {
        if let Some(running) = self.running.take() {
            running.task.abort();
            let _ = running.task.await;
        }
    }

    /// Listens again on the same port, in good order. Kills what still runs.
    pub async fn restart(&mut self) {
        self.kill().await;
        self.set_fault(Fault::None);
        let listener = listen(self.addr);
        let (drain, draining) = watch::channel(false);
        let task = tokio::spawn(accept(listener, Arc::clone(&self.shared), draining));
        self.running = Some(Running { drain, task });
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        if let Some(running) = &self.running {
            running.task.abort();
        }
    }
}

fn listen(addr: SocketAddr) -> TcpListener {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.bind(addr).unwrap_or_else(|e| panic!("bind {addr}: {e}"));
    socket.listen(1024).unwrap()
}

/// Accepts until told to drain. The connections are tasks of a set, so that aborting this drops
/// them all.
async fn accept(listener: TcpListener, shared: Arc<Shared>, mut draining: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(_) => continue,
            },
            _ = draining.wait_for(|d| *d) => break,
            Some(_) = connections.join_next() => continue,
        };
        shared.connections.fetch_add(1, Ordering::SeqCst);
        match *shared.fault.lock().unwrap() {
            Fault::CloseOnAccept => continue,
            Fault::ResetOnAccept => {
                stream.set_zero_linger().unwrap();
                continue;
            }
            _ => {}
        }
        connections.spawn(serve(stream, Arc::clone(&shared), draining.clone()));
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn serve(stream: TcpStream, shared: Arc<Shared>, mut draining: watch::Receiver<bool>) {
    let peer = stream.peer_addr().ok();
    let _ = stream.set_nodelay(true);
    let reset = Arc::new(AtomicBool::new(false));
    let stream = TokioIo::new(Connection::new(stream, Arc::clone(&reset)));
    let service = hyper::service::service_fn(move |request| {
        answer::answer(request, Arc::clone(&shared), peer, Arc::clone(&reset))
    });
    let builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
    let mut connection = std::pin::pin!(builder.serve_connection(stream, service));
    tokio::select! {
        _ = connection.as_mut() => return,
        _ = draining.wait_for(|d| *d) => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}
