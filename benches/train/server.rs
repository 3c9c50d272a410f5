//! The servers behind the proxy: HTTP/1.1 with keep-alive, a thread for each connection.
//!
//! | path | answer |
//! |---|---|
//! | ends with `/large` | 100 KB |
//! | ends with `/pieces` | three chunks |
//! | anything else | 100 bytes; with `upgrade`, 101 and what comes is sent back |
//!
//! One of them is bad: it answers 503, then closes without an answer, then is well, in turn.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;

use crate::Result;

/// What one of them sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    Good,
    Bad,
}

/// The lines of a request that matter here.
#[derive(Default)]
struct Head {
    path: String,
    length: usize,
    chunked: bool,
    upgrade: bool,
}

/// As ordinary servers send.
const HEAD: &str = "HTTP/1.1 200 OK\r\nServer: backend\r\nDate: Tue, 24 Nov 2026 12:00:00 GMT\r\n\
                    Content-Type: text/plain\r\nCache-Control: no-cache\r\nX-Powered-By: threads\r\n";
const PIECES: &str = "Transfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n6\r\nsecond\r\n5\r\nthird\r\n0\r\n\r\n";
const SWITCHED: &[u8] =
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
const BROKEN: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n";

/// Starts one on a port of its own.
pub(crate) fn start(mood: Mood) -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let turn = Arc::new(AtomicU64::new(0));
    thread::spawn(move || {
        for stream in listener.incoming().map_while(io::Result::ok) {
            let turn = Arc::clone(&turn);
            // A connection that breaks is no matter: the proxy may close it whenever it wants to.
            thread::spawn(move || answer(stream, mood, &turn));
        }
    });
    Ok(address)
}

/// Answers one connection until it closes.
fn answer(stream: TcpStream, mood: Mood, turn: &AtomicU64) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut out = stream.try_clone()?;
    let mut stream = BufReader::new(stream);
    while let Some(head) = head(&mut stream)? {
        if head.upgrade {
            out.write_all(SWITCHED)?;
            io::copy(&mut stream, &mut out)?;
            return Ok(());
        }
        swallow(&mut stream, &head)?;
        match if mood == Mood::Bad { turn.fetch_add(1, Relaxed) % 3 } else { 2 } {
            0 => out.write_all(BROKEN)?,
            1 => return Ok(()),
            _ => out.write_all(&body(&head.path))?,
        }
    }
    Ok(())
}

/// None: closed.
fn head(stream: &mut impl BufRead) -> io::Result<Option<Head>> {
    let (mut head, mut line) = (Head::default(), String::new());
    if stream.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    head.path = line.split(' ').nth(1).unwrap_or_default().to_owned();
    loop {
        line.clear();
        stream.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { return Ok(Some(head)) };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => head.length = value.trim().parse().unwrap_or_default(),
            "transfer-encoding" => head.chunked = true,
            "upgrade" => head.upgrade = true,
            _ => {}
        }
    }
}

fn swallow(stream: &mut impl BufRead, head: &Head) -> io::Result<()> {
    let mut skip = |length: usize| io::copy(&mut stream.by_ref().take(length as u64), &mut io::sink());
    if !head.chunked {
        return skip(head.length).map(drop);
    }
    loop {
        let mut line = String::new();
        stream.read_line(&mut line)?;
        let length = usize::from_str_radix(line.trim_end(), 16).unwrap_or_default();
        io::copy(&mut stream.by_ref().take(length as u64 + 2), &mut io::sink())?;
        if length == 0 {
            return Ok(());
        }
    }
}

fn body(path: &str) -> Vec<u8> {
    if path.ends_with("/pieces") {
        return [HEAD, PIECES].concat().into_bytes();
    }
    let length = if path.ends_with("/large") { 100 * 1024 } else { 100 };
    let mut answer = format!("{HEAD}Content-Length: {length}\r\n\r\n").into_bytes();
    answer.resize(answer.len() + length, b'x');
    answer
}
