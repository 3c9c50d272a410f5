//! A POST that may have arrived is never sent twice.

#![allow(clippy::disallowed_types, reason = "locks of test servers, never held over an await")]

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinSet;

use super::to;
use crate::support::{Tidegate, http, ports};

type Counts = Arc<Mutex<HashMap<String, u32>>>;

/// A server that counts what arrives by `x-id` and treats connections badly: closes or resets them
/// before, amid and after requests, and now and then does not listen at all.
struct Rough {
    addr: SocketAddr,
    counts: Counts,
    stop: Arc<AtomicBool>,
    task: tokio::task::JoinHandle<()>,
}

/// The ways to treat a request, by the dice.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    Answer,
    AnswerAndClose,
    Close,
    Reset,
    ResetAmidAnswer,
    Refuse500,
}

impl Rough {
    async fn start() -> Self {
        let addr = ports::free_addr();
        let (counts, stop): (Counts, Arc<AtomicBool>) = Default::default();
        let task = tokio::spawn(run(addr, counts.clone(), stop.clone()));
        Self { addr, counts, stop, task }
    }
}

impl Drop for Rough {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        self.task.abort();
    }
}

/// Listens for a while, dies with all connections, stays away for a moment, and so on.
async fn run(addr: SocketAddr, counts: Counts, stop: Arc<AtomicBool>) {
    while !stop.load(Ordering::SeqCst) {
        let listener = listen(addr);
        let mut connections = JoinSet::new();
        let life = tokio::time::sleep(Duration::from_millis(fastrand::u64(100..400)));
        let mut life = std::pin::pin!(life);
        loop {
            tokio::select! {
                Ok((stream, _)) = listener.accept() => {
                    if fastrand::u8(..50) == 0 {
                        let _ = stream.set_zero_linger();
                        continue;
                    }
                    connections.spawn(serve(stream, counts.clone()));
                }
                () = &mut life => break,
            }
        }
        drop(listener);
        connections.shutdown().await;
        tokio::time::sleep(Duration::from_millis(fastrand::u64(5..40))).await;
    }
}

fn listen(addr: SocketAddr) -> TcpListener {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.bind(addr).unwrap();
    socket.listen(1024).unwrap()
}

async fn serve(mut stream: TcpStream, counts: Counts) {
    let _ = stream.set_nodelay(true);
    let mut buffer = Vec::new();
    loop {
        // The header is the request's arrival: whatever comes after, the server may have acted.
        let Some(end) = through_head(&mut stream, &mut buffer).await else { return };
        let head = String::from_utf8_lossy(&buffer[..end]).to_lowercase();
        let field = |name: &str| head.lines().find_map(|l| l.strip_prefix(name).map(|v| v.trim().to_owned()));
        let id = field("x-id:").unwrap();
        *counts.lock().unwrap().entry(id).or_default() += 1;
        let way = match fastrand::u8(..100) {
            0..=3 => Way::Close,
            4..=7 => Way::Reset,
            8..=9 => Way::ResetAmidAnswer,
            10..=12 => Way::AnswerAndClose,
            13..=15 => Way::Refuse500,
            _ => Way::Answer,
        };
        if matches!(way, Way::Close | Way::Reset) && fastrand::bool() {
            return end_it(stream, way);
        }
        let length = field("content-length:").map_or(0, |v| v.parse().unwrap());
        while buffer.len() < end + length {
            match stream.read_buf(&mut buffer).await {
                Ok(n) if n > 0 => {}
                _ => return,
            }
        }
        buffer.drain(..end + length);
        let answer: &[u8] = match way {
            Way::Close | Way::Reset => return end_it(stream, way),
            Way::ResetAmidAnswer => b"HTTP/1.1 200 OK\r\ncontent-le",
            Way::Refuse500 => b"HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n",
            Way::Answer | Way::AnswerAndClose => b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
        };
        if stream.write_all(answer).await.is_err() {
            return;
        }
        if matches!(way, Way::ResetAmidAnswer | Way::AnswerAndClose) {
            return end_it(stream, way);
        }
    }
}

fn end_it(stream: TcpStream, way: Way) {
    if matches!(way, Way::Reset | Way::ResetAmidAnswer) {
        let _ = stream.set_zero_linger();
    }
}

async fn through_head(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<usize> {
    loop {
        if let Some(at) = buffer.windows(4).position(|w| w == b"\r\n\r\n") {
            return Some(at + 4);
        }
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_post_arrives_twice_whatever_connections_do() {
    const EVERYTHING: &str = "retry: { attempts: 4, on: [ connect_failure, reset, timeout, 5xx ], \
                              per_try_timeout: 500ms, backoff: { base: 1ms, max: 5ms }, \
                              budget: { percent: 100, min: 100 } }";
    let total = if std::env::var("TIDEGATE_LONG").is_ok_and(|v| v == "1") { 10_000 } else { 2_000 };
    let upstreams = [Rough::start().await, Rough::start().await, Rough::start().await];
    let addresses: Vec<_> = upstreams.iter().map(|u| u.addr).collect();
    let tidegate = Tidegate::new(&to(&addresses, "", EVERYTHING)).start().await;
    let (url, next) = (tidegate.url("/post"), Arc::new(std::sync::atomic::AtomicUsize::new(0)));
    let clients: Vec<_> = (0..16)
        .map(|_| {
            let (url, next) = (url.clone(), next.clone());
            tokio::spawn(async move {
                let (client, mut ok) = (http::client(), 0);
                loop {
                    let id = next.fetch_add(1, Ordering::SeqCst);
                    if id >= total {
                        return ok;
                    }
                    let body = "b".repeat([0, 10, 3_000, 50_000][id % 4]);
                    let sent = client.post(&url).header("x-id", format!("{id}")).body(body).send().await;
                    ok += usize::from(sent.is_ok_and(|answer| answer.status() == 200));
                }
            })
        })
        .collect();
    let mut ok = 0;
    for client in clients {
        ok += client.await.unwrap();
    }
    let mut arrived: HashMap<String, u32> = HashMap::new();
    for upstream in &upstreams {
        for (id, count) in upstream.counts.lock().unwrap().iter() {
            *arrived.entry(id.clone()).or_default() += count;
        }
    }
    let twice: Vec<_> = arrived.iter().filter(|(_, count)| **count > 1).collect();
    assert!(twice.is_empty(), "{twice:?}");
    let failures = tidegate.metric("tidegate_tcp_upstream_connect_failures_total", &[]).await;
    let reset = tidegate.metric("tidegate_http_response_flags_total", &["flag=\"UC\""]).await;
    eprintln!(
        "{total} POSTs: {ok} answered, {} arrived, {failures} connect failures, {reset} broke off",
        arrived.len()
    );
    assert!(ok > total / 2 && ok <= arrived.len(), "{ok} of {total}");
    assert!(failures > 0.0 && reset > 0.0, "the servers were not rough: {failures} {reset}");
}
