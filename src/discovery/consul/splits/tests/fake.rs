//! A scripted key-value store on loopback. It behaves (a list with the index it has hangs until
//! something changes) until a test says what to answer instead.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, Notify};

#[derive(Clone, Debug)]
pub(super) enum Reply {
    /// Bytes as they are, then the end of the connection.
    Raw(String),
    /// Nothing, with the connection open.
    Stall,
    /// The request is done, and the connection closed without an answer.
    Deaf,
}

#[derive(Default)]
struct State {
    index: u64,
    /// Value and index.
    keys: BTreeMap<String, (String, u64)>,
    /// The next replies to lists and writes.
    lists: VecDeque<Reply>,
    writes: VecDeque<Reply>,
    /// What every read of one key is answered, and with `true` every list too.
    down: Option<(Reply, bool)>,
    requests: Vec<String>,
}

#[derive(Clone)]
pub(super) struct Fake {
    pub(super) address: SocketAddr,
    state: Arc<Mutex<State>>,
    news: Arc<Notify>,
}

impl Fake {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State { index: 100, ..State::default() }));
        let fake = Self { address, state, news: Arc::default() };
        let server = fake.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let server = server.clone();
                tokio::spawn(async move { server.serve(stream).await });
            }
        });
        fake
    }

    /// Writes a key, or deletes it.
    pub(super) async fn set(&self, key: &str, value: Option<&str>) {
        let mut state = self.state.lock().await;
        state.index += 1;
        let index = state.index;
        match value {
            Some(value) => drop(state.keys.insert(key.to_owned(), (value.to_owned(), index))),
            None => drop(state.keys.remove(key)),
        }
        drop(state);
        self.news.notify_waiters();
    }

    pub(super) async fn value(&self, key: &str) -> Option<String> {
        self.state.lock().await.keys.get(key).map(|(value, _)| value.clone())
    }

    /// Another store, at this index and without keys.
    pub(super) async fn wipe(&self, index: u64) {
        let mut state = self.state.lock().await;
        (state.index, state.keys) = (index, BTreeMap::new());
        drop(state);
        self.news.notify_waiters();
    }

    /// The next list is answered so; one that hangs is.
    pub(super) async fn list(&self, reply: Reply) {
        self.state.lock().await.lists.push_back(reply);
        self.news.notify_waiters();
    }

    pub(super) async fn write(&self, reply: Reply) {
        self.state.lock().await.writes.push_back(reply);
    }

    /// From now on, until None.
    pub(super) async fn down(&self, reply: Option<(Reply, bool)>) {
        self.state.lock().await.down = reply;
        self.news.notify_waiters();
    }

    /// The request lines so far.
    pub(super) async fn requests(&self) -> Vec<String> {
        self.state.lock().await.requests.clone()
    }

    async fn serve(&self, mut stream: TcpStream) -> Option<()> {
        let (line, body) = request(&mut stream).await?;
        let path = line.split([' ', '?']).nth(1)?.strip_prefix("/v1/kv/")?.to_owned();
        let query = line.split(['?', ' ']).nth(2).unwrap_or_default().to_owned();
        self.state.lock().await.requests.push(line.clone());
        let reply = if !line.starts_with("GET") {
            self.change(&path, &query, body).await
        } else if query.contains("recurse") {
            self.all(&path, parameter(&query, "index").unwrap_or(0)).await
        } else {
            self.one(&path).await
        };
        match reply {
            Reply::Raw(bytes) => stream.write_all(bytes.as_bytes()).await.ok()?,
            Reply::Stall => drop(stream.read(&mut [0; 1]).await),
            Reply::Deaf => {}
        }
        Some(())
    }

    async fn all(&self, path: &str, known: u64) -> Reply {
        loop {
            let news = self.news.notified();
            let mut state = self.state.lock().await;
            if let Some(reply) = state.lists.pop_front() {
                return reply;
            }
            if let Some((reply, true)) = &state.down {
                return reply.clone();
            }
            if state.index != known {
                let entries = state.keys.iter().filter(|(key, _)| key.starts_with(path));
                return answer(state.index, entries);
            }
            drop(state);
            news.await;
        }
    }

    async fn one(&self, path: &str) -> Reply {
        let state = self.state.lock().await;
        match &state.down {
            Some((reply, _)) => reply.clone(),
            None => answer(state.index, state.keys.get_key_value(path).into_iter()),
        }
    }

    async fn change(&self, path: &str, query: &str, body: String) -> Reply {
        let script = self.state.lock().await.writes.pop_front();
        if let Some(reply @ (Reply::Raw(_) | Reply::Stall)) = script {
            return reply;
        }
        let present = self.state.lock().await.keys.get(path).map_or(0, |(_, index)| *index);
        let fits = parameter(query, "cas") == Some(present);
        if fits {
            self.set(path, Some(&body)).await;
        }
        script.unwrap_or_else(|| json_reply("200 OK", 0, &fits.to_string()))
    }
}

fn parameter(query: &str, name: &str) -> Option<u64> {
    query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=')?.parse().ok())
}

fn answer<'a>(index: u64, keys: impl Iterator<Item = (&'a String, &'a (String, u64))>) -> Reply {
    let entries: Vec<_> = keys
        .map(|(key, (value, at))| json!({"Key": key, "Value": STANDARD.encode(value), "ModifyIndex": at}))
        .collect();
    match entries.as_slice() {
        [] => missing(index),
        _ => json_reply("200 OK", index, &json!(entries).to_string()),
    }
}

/// There is nothing, and Consul says so.
pub(super) fn missing(index: u64) -> Reply {
    Reply::Raw(format!(
        "HTTP/1.1 404 Not Found\r\nX-Consul-Index: {index}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    ))
}

pub(super) fn json_reply(status: &str, index: u64, body: &str) -> Reply {
    let length = body.len();
    Reply::Raw(format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nX-Consul-Index: {index}\r\nConnection: close\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    ))
}

/// Any answer without Consul's headers.
pub(super) fn plain(status: &str, body: &str) -> Reply {
    let length = body.len();
    Reply::Raw(format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/html\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
    ))
}

/// Reads a request: its first line, and its body.
async fn request(stream: &mut TcpStream) -> Option<(String, String)> {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        bytes.push(stream.read_u8().await.ok()?);
    }
    let text = String::from_utf8(bytes).ok()?.to_ascii_lowercase();
    let length = text.split("content-length: ").nth(1).and_then(|rest| rest.lines().next()?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body).await.ok()?;
    let line = text.lines().next()?;
    Some((line.replacen("get", "GET", 1), String::from_utf8(body).ok()?))
}
