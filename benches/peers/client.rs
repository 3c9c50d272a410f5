//! A client for the checks: HTTP/1.1, one request after the other. What it cannot read is an error, so a
//! proxy with a strange answer is seen and not guessed at. It is not what loads the proxies.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::Result;

/// A connection.
pub(crate) struct Client {
    stream: BufReader<TcpStream>,
    host: &'static str,
}

/// An answer, with its header names in small letters.
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

// === impl Client ===

impl Client {
    /// To what the routes are for.
    pub(crate) fn connect(address: SocketAddr) -> Result<Self> {
        Self::to("shop.example.com", address)
    }

    /// To an admin address, which may insist on a name of its own.
    pub(crate) fn admin(address: SocketAddr) -> Result<Self> {
        Self::to("localhost", address)
    }

    fn to(host: &'static str, address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream: BufReader::new(stream), host })
    }

    /// Asks, and waits for the whole answer. `headers` are lines without their ends.
    pub(crate) fn ask(&mut self, method: &str, path: &str, headers: &[&str], body: &[u8]) -> Result<Answer> {
        let host = self.host;
        let mut request = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: check\r\n");
        headers.iter().for_each(|line| request.extend([line, "\r\n"]));
        if method != "GET" {
            request.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        request.push_str("\r\n");
        self.send(request.as_bytes())?;
        self.send(body)?;
        self.answer()
    }

    /// Sends bytes as they are.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.stream.get_mut().write_all(bytes)?)
    }

    /// Waits for so many bytes after an answer.
    pub(crate) fn take(&mut self, length: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        self.stream.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    /// Waits for the whole answer to what was sent.
    pub(crate) fn answer(&mut self) -> Result<Answer> {
        let line = self.line()?;
        let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.ok_or_else(|| format!("not an answer: {line:?}"))?;
        let mut answer = Answer { status, headers: Vec::new(), body: Vec::new() };
        loop {
            let line = self.line()?;
            let Some((name, value)) = line.split_once(':') else { break };
            answer.headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        if answer.header("transfer-encoding").is_some() {
            self.chunks(&mut answer.body)?;
        } else {
            let length = answer.header("content-length").unwrap_or("0").parse()?;
            answer.body = self.take(length)?;
        }
        Ok(answer)
    }

    fn chunks(&mut self, body: &mut Vec<u8>) -> Result<()> {
        loop {
            let line = self.line()?;
            let length = usize::from_str_radix(line.split(';').next().unwrap_or_default(), 16)?;
            let mut chunk = vec![0; length + 2];
            self.stream.read_exact(&mut chunk)?;
            if length == 0 {
                return Ok(());
            }
            body.extend(&chunk[..length]);
        }
    }

    /// Whether the other side closes within a second.
    pub(crate) fn is_closed(&mut self) -> Result<bool> {
        self.stream.get_mut().set_read_timeout(Some(Duration::from_secs(1)))?;
        Ok(matches!(self.stream.read(&mut [0]), Ok(0)))
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err("closed before the answer".into());
        }
        Ok(line.trim_end().to_owned())
    }
}

// === impl Answer ===

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(each, _)| each == name).map(|(_, value)| value.as_str())
    }
}
