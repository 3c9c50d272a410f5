//! A scripted Consul on loopback: one reply a request, in order; without a script it behaves (a
//! read with index 0 gets the last good body, a blocking query hangs).

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, Notify};

#[derive(Clone, Debug)]
pub(super) enum Reply {
    /// A good answer: index and body.
    Good(u64, String),
    /// Bytes as they are, then the end of the connection.
    Raw(String),
    /// Bytes, then nothing more, with the connection open.
    Stall(String),
    /// A TCP reset.
    Reset,
    /// A good header and more than 64 MiB.
    Huge,
}

#[derive(Default)]
struct State {
    script: VecDeque<Reply>,
    good: Option<Reply>,
    down: Option<Reply>,
    requests: Vec<String>,
}

/// The server. It ends with the test's runtime.
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
        let fake = Self { address, state: Arc::default(), news: Arc::default() };
        let server = fake.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let server = server.clone();
                tokio::spawn(async move { server.serve(stream).await });
            }
        });
        fake
    }

    /// Adds replies; a query that hangs gets the first of them.
    pub(super) async fn script(&self, replies: impl IntoIterator<Item = Reply>) {
        self.state.lock().await.script.extend(replies);
        self.news.notify_waiters();
    }

    /// From now on this is the reply to everything, until None.
    pub(super) async fn down(&self, reply: Option<Reply>) {
        self.state.lock().await.down = reply;
        self.news.notify_waiters();
    }

    /// The request targets so far.
    pub(super) async fn requests(&self) -> Vec<String> {
        self.state.lock().await.requests.clone()
    }

    async fn serve(&self, mut stream: TcpStream) -> Option<()> {
        let target = head(&mut stream).await?;
        let hangs = target.contains("index=");
        self.state.lock().await.requests.push(target);
        let reply = loop {
            let news = self.news.notified();
            let mut state = self.state.lock().await;
            let scripted = state.down.clone().or_else(|| state.script.pop_front());
            let reply = scripted.or_else(|| state.good.clone().filter(|_| !hangs));
            if let Some(reply @ Reply::Good(..)) = &reply {
                state.good = Some(reply.clone());
            }
            drop(state);
            match reply {
                Some(reply) => break reply,
                None => news.await,
            }
        };
        match reply {
            Reply::Good(index, body) => stream.write_all(good(index, &body).as_bytes()).await.ok()?,
            Reply::Raw(bytes) => stream.write_all(bytes.as_bytes()).await.ok()?,
            Reply::Stall(bytes) => {
                stream.write_all(bytes.as_bytes()).await.ok()?;
                let _ = stream.read(&mut [0; 1]).await;
            }
            Reply::Reset => stream.set_zero_linger().ok()?,
            Reply::Huge => {
                stream.write_all(header(1, 200 << 20).as_bytes()).await.ok()?;
                let megabyte = vec![b' '; 1 << 20];
                while stream.write_all(&megabyte).await.is_ok() {}
            }
        }
        Some(())
    }
}

/// Reads a request's head and gives its target.
async fn head(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        bytes.push(stream.read_u8().await.ok()?);
    }
    let text = String::from_utf8(bytes).ok()?;
    text.split(' ').nth(1).map(str::to_owned)
}

pub(super) fn header(index: u64, length: usize) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Consul-Index: {index}\r\nX-Consul-Knownleader: true\r\n\
         X-Consul-Lastcontact: 0\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
    )
}

fn good(index: u64, body: &str) -> String {
    header(index, body.len()) + body
}
