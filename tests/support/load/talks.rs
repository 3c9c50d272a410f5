//! Long conversations: a WebSocket's tunnel, and bytes through a `tcp` listener. What is said comes
//! back, for as long as the client likes to talk.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep};

use super::crowd::{Shift, in_time, rest};
use super::tally::Tally;
use crate::support::ports;

/// What a client sends to open a WebSocket.
const OPEN: &str = "GET /chat HTTP/1.1\r\nhost: load\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\
                    sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
/// What the endpoint says to it.
const OPENED: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                      Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// Between two things that are said.
const PAUSE: Duration = Duration::from_millis(40);

/// A server that sends back what it gets, in a tunnel if it is asked for one. Ends when dropped.
pub struct Echo {
    pub addr: SocketAddr,
    task: JoinHandle<()>,
}

impl Echo {
    pub async fn start() -> Self {
        let addr = ports::free_addr();
        let listener = TcpListener::bind(addr).await.unwrap();
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(echo(stream));
                while connections.try_join_next().is_some() {}
            }
        });
        Self { addr, task }
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn echo(mut stream: TcpStream) -> std::io::Result<()> {
    let _ = stream.set_nodelay(true);
    let (mut buffer, mut head, mut tunnel) = (vec![0; 16 * 1024], Vec::new(), false);
    loop {
        let n = stream.read(&mut buffer).await?;
        if n == 0 {
            return stream.shutdown().await;
        }
        if !tunnel && (head.len() + n < 5 || !head.is_empty() || buffer.starts_with(b"GET /")) {
            head.extend(&buffer[..n]);
            let end = head.windows(4).position(|w| w == b"\r\n\r\n");
            match end {
                Some(end) => {
                    stream.write_all(OPENED.as_bytes()).await?;
                    stream.write_all(&head[end + 4..]).await?;
                    tunnel = true;
                }
                None => continue,
            }
            continue;
        }
        tunnel = true;
        stream.write_all(&buffer[..n]).await?;
    }
}

/// Tunnels through HTTP/1.1, each so long.
pub async fn chats(addr: SocketAddr, life: Duration, shift: Shift) -> Tally {
    talk(addr, life, true, shift).await
}

/// Connections through a `tcp` listener, each so long.
pub async fn bytes(addr: SocketAddr, life: Duration, shift: Shift) -> Tally {
    talk(addr, life, false, shift).await
}

async fn talk(addr: SocketAddr, life: Duration, tunnel: bool, mut shift: Shift) -> Tally {
    while shift.on() {
        let began = Instant::now();
        let mut stream = match in_time(open(addr, tunnel)).await {
            Ok(stream) => stream,
            Err(why) => {
                shift.count(began, Err(why));
                rest(PAUSE, true).await;
                continue;
            }
        };
        shift.opened();
        while shift.on() && began.elapsed() < life {
            let said = Instant::now();
            let result = in_time(say(&mut stream)).await;
            let failed = result.is_err();
            let told = |why| format!("{why}, {:.1?} after it was opened", began.elapsed());
            shift.count(said, result.map_err(told));
            if failed {
                break;
            }
            sleep(PAUSE).await;
        }
    }
    shift.done()
}

/// Connects; with `tunnel`, opens a WebSocket.
pub async fn open(addr: SocketAddr, tunnel: bool) -> Result<TcpStream, String> {
    let mut stream = TcpStream::connect(addr).await.map_err(|e| format!("connect: {e}"))?;
    let _ = stream.set_nodelay(true);
    if !tunnel {
        return Ok(stream);
    }
    stream.write_all(OPEN.as_bytes()).await.map_err(|e| format!("opening: {e}"))?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(e) => return Err(format!("opening: {e} after {:?}", String::from_utf8_lossy(&head))),
        }
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    if head.starts_with("HTTP/1.1 101 ") { Ok(stream) } else { Err(format!("opening: {head:?}")) }
}

/// Says something and hears it come back.
pub async fn say(stream: &mut TcpStream) -> Result<(), String> {
    let said: Vec<u8> =
        std::iter::repeat_with(|| fastrand::u8(128..)).take(fastrand::usize(8..2000)).collect();
    stream.write_all(&said).await.map_err(|e| format!("saying: {e}"))?;
    let mut heard = vec![0; said.len()];
    stream.read_exact(&mut heard).await.map_err(|e| format!("hearing: {e}"))?;
    if heard == said { Ok(()) } else { Err("another thing came back".to_owned()) }
}
