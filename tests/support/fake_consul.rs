//! A Consul that says what a test wants, also what no Consul should: one answer to every question,
//! exchanged at any time.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::ports;

/// What is answered.
#[derive(Clone, Debug)]
pub enum Play {
    /// An index and instances. A question that knows the index hangs, as it should.
    Good(u64, Value),
    /// As `Good`, but each answer comes so late.
    Late(Duration, u64, Value),
    /// A status and a body, with the header that Consul puts on errors.
    Status(u16, &'static str),
    /// 200 with this content type and body.
    Says(&'static str, String),
    /// 200 and JSON that ends before its announced length.
    Truncated(String),
    /// 200 and an endless body, as announced: over 64 MiB.
    Huge,
    /// The connection is reset.
    Reset,
    /// Nothing.
    Silence,
}

/// The server. It ends when dropped.
pub struct FakeConsul {
    addr: SocketAddr,
    play: watch::Sender<Play>,
    task: JoinHandle<()>,
}

impl FakeConsul {
    pub async fn start(play: Play) -> Self {
        let addr = ports::free_addr();
        let listener = TcpListener::bind(addr).await.unwrap();
        let (play, plays) = watch::channel(play);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, plays.clone()));
            }
        });
        Self { addr, play, task }
    }

    /// `host:port` of the HTTP API.
    pub fn address(&self) -> String {
        self.addr.to_string()
    }

    /// Says something else from now on; questions that hang are answered with it.
    pub fn play(&self, play: Play) {
        self.play.send_replace(play);
    }
}

impl Drop for FakeConsul {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A healthy instance of `web`, as `/v1/health/service` shows it.
pub fn instance(id: &str, address: &str, port: u32) -> Value {
    json!({
        "Node": {"Node": "t", "Address": "127.0.0.1", "Datacenter": "dc1"},
        "Service": {"ID": id, "Service": "web", "Address": address, "Port": port, "Tags": [], "Meta": {},
            "Weights": {"Passing": 1, "Warning": 1}},
        "Checks": [{"CheckID": "c", "Status": "passing"}],
    })
}

async fn serve(mut stream: TcpStream, mut plays: watch::Receiver<Play>) -> Option<()> {
    loop {
        let known = known_index(&head(&mut stream).await?);
        let play = choose(known, &mut plays).await?;
        let wrong_length = |body: &str| body.len() + 100;
        match play {
            Play::Good(index, body) | Play::Late(_, index, body) => {
                let body = body.to_string();
                let head = header(200, "application/json", index, body.len());
                stream.write_all((head + &body).as_bytes()).await.ok()?;
            }
            Play::Status(status, text) => {
                let head = header(status, "text/plain", 1, text.len());
                stream.write_all((head + text).as_bytes()).await.ok()?;
            }
            Play::Says(kind, body) => {
                let head = header(200, kind, 9999, body.len());
                stream.write_all((head + &body).as_bytes()).await.ok()?;
            }
            Play::Truncated(body) => {
                let head = header(200, "application/json", 9999, wrong_length(&body));
                return stream.write_all((head + &body).as_bytes()).await.ok();
            }
            Play::Huge => {
                stream.write_all(header(200, "application/json", 9999, 1 << 30).as_bytes()).await.ok()?;
                let megabyte = vec![b' '; 1 << 20];
                while stream.write_all(&megabyte).await.is_ok() {}
                return None;
            }
            Play::Reset => return stream.set_zero_linger().ok(),
            Play::Silence => {
                let _ = stream.read(&mut [0; 1]).await;
                return None;
            }
        }
    }
}

/// What is to be answered now; waits where a good Consul would.
async fn choose(known: Option<u64>, plays: &mut watch::Receiver<Play>) -> Option<Play> {
    loop {
        let play = plays.borrow_and_update().clone();
        let wait = match &play {
            Play::Good(index, _) | Play::Late(_, index, _) if known == Some(*index) => {
                Duration::from_secs(30)
            }
            Play::Late(late, ..) => *late,
            _ => return Some(play),
        };
        match timeout(wait, plays.changed()).await {
            Ok(changed) => changed.ok()?,
            Err(_) => return Some(play),
        }
    }
}

/// The head of a request.
async fn head(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        bytes.push(stream.read_u8().await.ok()?);
    }
    String::from_utf8(bytes).ok()
}

fn known_index(head: &str) -> Option<u64> {
    let target = head.split(' ').nth(1)?;
    let pairs = target.split(['?', '&']).filter_map(|pair| pair.split_once('='));
    pairs.filter(|(key, _)| *key == "index").find_map(|(_, value)| value.parse().ok())
}

fn header(status: u16, kind: &str, index: u64, length: usize) -> String {
    format!(
        "HTTP/1.1 {status} Any\r\nContent-Type: {kind}\r\nX-Consul-Index: {index}\r\nX-Consul-Knownleader: true\r\n\
         X-Consul-Lastcontact: 0\r\nContent-Length: {length}\r\n\r\n"
    )
}
