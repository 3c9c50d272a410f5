//! A client that sends bytes as they are, for requests that a proper client would not make.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long any single read may take.
const DEADLINE: Duration = Duration::from_secs(10);

/// One connection.
pub struct RawClient {
    stream: TcpStream,
    /// Read, and not given out yet.
    pending: Vec<u8>,
    deadline: Duration,
}

/// An HTTP/1 response, taken apart.
#[derive(Debug)]
pub struct RawResponse {
    pub status: u16,
    /// The status line and the headers as they came, without the empty line.
    pub head: String,
    pub body: Vec<u8>,
}

impl RawClient {
    pub async fn connect(addr: SocketAddr) -> Self {
        let connected = timeout(DEADLINE, TcpStream::connect(addr)).await;
        let stream = connected.expect("connect in time").unwrap_or_else(|e| panic!("connect to {addr}: {e}"));
        stream.set_nodelay(true).unwrap();
        Self { stream, pending: Vec::new(), deadline: DEADLINE }
    }

    /// From another address of this machine, as 127.0.0.2.
    pub async fn connect_from(from: &str, addr: SocketAddr) -> Self {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::new(from.parse().unwrap(), 0)).unwrap();
        let stream = socket.connect(addr).await.unwrap_or_else(|e| panic!("connect to {addr}: {e}"));
        stream.set_nodelay(true).unwrap();
        Self { stream, pending: Vec::new(), deadline: DEADLINE }
    }

    /// Another deadline for each read than 10 s.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Sends all of it. A peer that has closed is no panic: what it answered before is what the
    /// test looks at.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        let _ = self.stream.write_all(bytes.as_ref()).await;
        self
    }

    /// No more will be sent.
    pub async fn finish(&mut self) {
        let _ = self.stream.shutdown().await;
    }

    /// The next bytes; empty: the peer closed. `Err`: reset, or nothing came in time.
    pub async fn read_some(&mut self) -> Result<Vec<u8>, String> {
        if !self.pending.is_empty() {
            return Ok(std::mem::take(&mut self.pending));
        }
        let mut buffer = vec![0; 64 * 1024];
        match timeout(self.deadline, self.stream.read(&mut buffer)).await {
            Ok(Ok(length)) => Ok(buffer[..length].to_vec()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!("nothing came within {:?}", self.deadline)),
        }
    }

    /// Everything until the peer closes.
    pub async fn read_to_end(&mut self) -> Result<Vec<u8>, String> {
        let mut all = Vec::new();
        loop {
            let some = self.read_some().await?;
            if some.is_empty() {
                return Ok(all);
            }
            all.extend(some);
        }
    }

    /// Whether the peer closes (or resets) within the deadline, with nothing more sent.
    pub async fn closed(&mut self) -> bool {
        match self.read_some().await {
            Ok(bytes) => bytes.is_empty(),
            Err(why) => !why.starts_with("nothing came"),
        }
    }

    /// Sends a request and reads its response.
    pub async fn ask(&mut self, request: impl AsRef<[u8]>) -> RawResponse {
        let text = String::from_utf8_lossy(request.as_ref()).into_owned();
        self.send(request).await;
        self.response().await.unwrap_or_else(|why| panic!("{text:?}: {why}"))
    }

    /// The next response's head, for a request that gets no body (HEAD).
    pub async fn head(&mut self) -> Result<RawResponse, String> {
        let head = String::from_utf8_lossy(&self.take_through(b"\r\n\r\n").await?).trim_end().to_owned();
        let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).ok_or_else(|| head.clone())?;
        Ok(RawResponse { status, head, body: Vec::new() })
    }

    /// The next response, its body by content-length, chunks, or the end of the connection. 1xx
    /// come as responses of their own.
    pub async fn response(&mut self) -> Result<RawResponse, String> {
        let mut response = self.head().await?;
        let status = response.status;
        let chunked = response.header("transfer-encoding").is_some_and(|v| v.eq_ignore_ascii_case("chunked"));
        let length = response.header("content-length").and_then(|v| v.parse().ok());
        response.body = match (status, length) {
            (100..=199 | 204 | 304, _) => Vec::new(),
            _ if chunked => self.chunks().await?,
            (_, Some(length)) => self.take(length).await?,
            _ => self.read_to_end().await?,
        };
        Ok(response)
    }

    async fn chunks(&mut self) -> Result<Vec<u8>, String> {
        let mut body = Vec::new();
        loop {
            let line = String::from_utf8_lossy(&self.take_through(b"\r\n").await?).trim().to_owned();
            let digits = line.split(';').next().unwrap_or_default();
            let length = usize::from_str_radix(digits, 16).map_err(|e| format!("chunk `{line}`: {e}"))?;
            if length == 0 {
                // Trailers, if any, end with an empty line as well.
                while self.take_through(b"\r\n").await? != b"\r\n" {}
                return Ok(body);
            }
            body.extend(self.take(length).await?);
            self.take(2).await?;
        }
    }

    async fn take(&mut self, length: usize) -> Result<Vec<u8>, String> {
        while self.pending.len() < length {
            self.more().await?;
        }
        let rest = self.pending.split_off(length);
        Ok(std::mem::replace(&mut self.pending, rest))
    }

    async fn take_through(&mut self, end: &[u8]) -> Result<Vec<u8>, String> {
        loop {
            if let Some(at) = self.pending.windows(end.len()).position(|w| w == end) {
                return self.take(at + end.len()).await;
            }
            self.more().await?;
        }
    }

    async fn more(&mut self) -> Result<(), String> {
        let mut had = std::mem::take(&mut self.pending);
        let some = self.read_some().await;
        let text = String::from_utf8_lossy(&had).into_owned();
        match some {
            Ok(some) if some.is_empty() => Err(format!("closed after {text:?}")),
            Ok(some) => {
                had.extend(some);
                self.pending = had;
                Ok(())
            }
            Err(why) => Err(format!("{why}, after {text:?}")),
        }
    }
}

impl RawResponse {
    /// The first value of a header, trimmed.
    pub fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().skip(1).filter_map(|line| line.split_once(':'));
        lines.filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.trim()).next()
    }

    /// How often a header is there.
    pub fn count(&self, name: &str) -> usize {
        let lines = self.head.lines().skip(1).filter_map(|line| line.split_once(':'));
        lines.filter(|(n, _)| n.eq_ignore_ascii_case(name)).count()
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }
}
