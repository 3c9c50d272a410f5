//! The servers behind the proxies: three addresses, one thread, HTTP/1.1 with keep-alive, as little work
//! as can be.
//!
//! The first byte of each answer says which of the three it was (`a`, `b` or `c`), so that a check sees
//! the turns and the shares. What is asked for with `/large` is 100 KB, anything else 100 bytes; a body
//! is swallowed and its length answered; `/accepted` tells how many connections there have been, so that
//! a run sees who does not keep them. It parses no more of a request than its end: the proxies wrote
//! it, and a request that it does not understand (a chunked body) ends the connection, which ends the run.

use std::borrow::Cow;
use std::fmt::Display;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// The length of an ordinary answer, and of a large one.
pub(crate) const SMALL: usize = 100;
pub(crate) const LARGE: usize = 100 * 1024;

/// As much of an upload as is read at once, and as long as a head may be.
const BUFFER: usize = 64 * 1024;

/// How many connections all of them have had.
static ACCEPTED: AtomicU64 = AtomicU64::new(0);

/// What one of them answers, made once.
struct Answers {
    small: Vec<u8>,
    large: Vec<u8>,
    letter: char,
}

/// Serves on all the addresses, on one thread.
pub(crate) fn serve(addresses: &[SocketAddr]) -> crate::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async {
        let mut listeners = tokio::task::JoinSet::new();
        for (address, letter) in addresses.iter().zip('a'..) {
            let listener = TcpListener::bind(address).await?;
            let answers: &'static Answers = Box::leak(Box::new(Answers::of(letter)));
            listeners.spawn(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    // Small answers must not wait for the acknowledgement of the one before.
                    let _ = stream.set_nodelay(true);
                    ACCEPTED.fetch_add(1, Relaxed);
                    tokio::spawn(answer(stream, answers));
                }
            });
        }
        listeners.join_all().await;
        Ok(())
    })
}

/// Answers one connection until it closes.
async fn answer(mut stream: TcpStream, answers: &Answers) {
    let mut buffer = vec![0; BUFFER];
    let mut filled = 0;
    loop {
        match stream.read(&mut buffer[filled..]).await {
            Ok(read) if read > 0 => filled += read,
            _ => return,
        }
        let Some(end) = end_of_head(&buffer[..filled]) else {
            if filled == buffer.len() {
                return;
            }
            continue;
        };
        let wrote = if buffer.first() == Some(&b'G') {
            stream.write_all(&answers.to(&buffer[..end])).await
        } else {
            let Some(length) = length(&buffer[..end]) else { return };
            // Nothing comes after it: the proxy waits for the answer.
            let mut left = length.saturating_sub(filled - end);
            while left > 0 {
                match stream.read(&mut buffer).await {
                    Ok(read) if read > 0 => left = left.saturating_sub(read),
                    _ => return,
                }
            }
            stream.write_all(&answers.about("received", length)).await
        };
        if wrote.is_err() {
            return;
        }
        filled = 0;
    }
}

/// Where the body begins. A request without one ends there, which is all but always.
fn end_of_head(read: &[u8]) -> Option<usize> {
    if read.ends_with(b"\r\n\r\n") && read.first() == Some(&b'G') {
        return Some(read.len());
    }
    read.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4)
}

/// What `content-length` says.
fn length(head: &[u8]) -> Option<usize> {
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok())
}

// === impl Answers ===

impl Answers {
    fn of(letter: char) -> Self {
        let digits = |length: usize| "0123456789".repeat(length / 10 + 1).split_at(length).0.to_owned();
        let body = |length| format!("{letter}{}\n", digits(length - 2));
        Self { small: whole(&body(SMALL)), large: whole(&body(LARGE)), letter }
    }

    /// The end of the path, or its beginning, tells.
    fn to(&self, head: &[u8]) -> Cow<'_, [u8]> {
        let path = head.split(|byte| *byte == b' ').nth(1).unwrap_or_default();
        if path == b"/accepted" {
            self.about("accepted", ACCEPTED.load(Relaxed)).into()
        } else if path.ends_with(b"/large") {
            self.large.as_slice().into()
        } else {
            self.small.as_slice().into()
        }
    }

    /// A small answer that tells a number.
    fn about(&self, what: &str, number: impl Display) -> Vec<u8> {
        whole(&format!("{:<99}\n", format!("{} {what} {number}", self.letter)))
    }
}

/// The headers that an ordinary server sends, and a body.
fn whole(body: &str) -> Vec<u8> {
    let head = "HTTP/1.1 200 OK\r\nServer: backend\r\nDate: Tue, 24 Nov 2026 12:00:00 GMT\r\n\
                Content-Type: text/plain\r\n";
    format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}
