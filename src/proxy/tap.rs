//! A client's HTTP/1.1 connection with four things added that Pingora's session has not: a deadline
//! for the whole header of a request, one for its answer, a cheap one for idle time, and a note of
//! what was answered before a request reached us.
//!
//! Pingora's read timeout is per read, so a client that sends a byte now and then holds a
//! connection for ever (slowloris); and what its parser refuses never reaches a phase of the proxy,
//! so nobody could count it. Both show on the stream: bytes that come in while no request has been
//! accepted, and an answer that goes out before one was.
//!
//! The deadline of the answer is here for want of a better place: Pingora's time-outs towards the
//! endpoint are fixed when the connection is chosen, and count from the last byte read. While it
//! waits for the endpoint it also reads from the client, to see it go; that read fails when the
//! time is up. (HTTP/2 has no tap, so there the time-outs alone bound it.)
//!
//! Pingora has a time-out for idle connections, but sets a timer anew for every request, which
//! costs 1.5 % of a request. The timer here is set once and looks at the clock when it fires.
//!
//! The cost is one more virtual call per read and write, and a look at the clock per request.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_trait::async_trait;
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::{
    GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, Stream,
    TimingDigest, UniqueID, UniqueIDType,
};
use pingora_proxy::Session;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::proxy::linger;

/// How long a connection may be idle between two requests.
pub const KEEPALIVE: Duration = Duration::from_secs(75);

/// How long the whole header of a request may take from its first byte.
pub const HEADER_DEADLINE: Duration = Duration::from_secs(10);

/// The connection as Pingora's session reads and writes it.
pub(crate) struct Tap {
    inner: Stream,
    note: Arc<Note>,
    /// Since when a request is awaited.
    idle_since: Option<Instant>,
    /// When the current header began.
    header_since: Option<Instant>,
    /// May be set for an earlier deadline than the one that counts.
    timer: Option<Pin<Box<Sleep>>>,
}

/// What was seen since the last request ended. Shared with [`door`](super::door).
#[derive(Debug)]
pub(crate) struct Note {
    born: Instant,
    /// When the answer must be there, in microseconds since `born`. 0: no matter.
    cut: AtomicU64,
    /// The header of the current request was whole and valid, and reached `request_filter`.
    accepted: AtomicBool,
    /// Bytes read while it was not.
    read: AtomicU64,
    /// The status written while it was not.
    status: AtomicU16,
    timed_out: AtomicBool,
    /// The request was answered, and some of it has not been read.
    unread: AtomicBool,
}

/// What a read that finds nothing waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Awaits {
    /// The next request.
    Request,
    /// The rest of a header.
    Header,
    /// The answer, or more of a body: anything after a header.
    Answer,
}

/// How a request ended that never reached `request_filter`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Nothing was sent: an idle connection closed.
    Idle,
    /// Pingora answered with this status.
    Refused(u16),
    /// The deadline passed.
    TimedOut,
    /// The client went away amid the header.
    Broken,
}

/// Tells the stream below a session that its request has been accepted.
pub(crate) fn accepted(session: &Session) {
    if let Some(note) = note(session) {
        note.accepted.store(true, Relaxed);
    }
}

/// Tells the stream below a session that its request was answered before it was read whole.
pub(crate) fn unread(session: &Session) {
    if let Some(note) = note(session) {
        note.unread.store(true, Relaxed);
    }
}

/// From `when` on reads of the client fail, so that Pingora gives the request up. None: never.
pub(crate) fn cut_at(session: &Session, when: Option<std::time::Instant>) {
    let Some(note) = note(session) else { return };
    let micros = when.map_or(0, |when| {
        let since = when.saturating_duration_since(note.born.into_std()).as_micros();
        u64::try_from(since).unwrap_or(u64::MAX).max(1)
    });
    note.cut.store(micros, Relaxed);
}

fn note(session: &Session) -> Option<&Note> {
    session.as_http1()?.stream().as_any().downcast_ref::<Tap>().map(|tap| &*tap.note)
}

// === impl Note ===

impl Note {
    /// Of a new connection.
    pub(crate) fn new() -> Self {
        Self {
            born: Instant::now(),
            cut: 0.into(),
            accepted: false.into(),
            read: 0.into(),
            status: 0.into(),
            timed_out: false.into(),
            unread: false.into(),
        }
    }

    fn cut(&self) -> Option<Instant> {
        match self.cut.load(Relaxed) {
            0 => None,
            micros => self.born.checked_add(Duration::from_micros(micros)),
        }
    }

    /// Before the next request on the connection.
    pub(crate) fn reset(&self) {
        self.accepted.store(false, Relaxed);
        self.read.store(0, Relaxed);
        self.status.store(0, Relaxed);
        self.unread.store(false, Relaxed);
        self.cut.store(0, Relaxed);
    }

    /// How the last request ended, if it never reached `request_filter`.
    pub(crate) fn ending(&self) -> Option<Ending> {
        if self.accepted.load(Relaxed) {
            return None;
        }
        Some(match self.status.load(Relaxed) {
            _ if self.timed_out.load(Relaxed) => Ending::TimedOut,
            0 if self.read.load(Relaxed) == 0 => Ending::Idle,
            0 => Ending::Broken,
            status => Ending::Refused(status),
        })
    }
}

// === impl Tap ===

impl Tap {
    pub(crate) fn new(inner: Stream, note: Arc<Note>) -> Self {
        Self { inner, note, idle_since: None, header_since: None, timer: None }
    }

    /// Notes the status of an answer that goes out before a request was accepted:
    /// `HTTP/1.1 400 ...`.
    fn note_answer(&self, bytes: &[u8]) {
        if self.note.accepted.load(Relaxed) || !bytes.starts_with(b"HTTP/1.") {
            return;
        }
        let status = bytes.get(9..12).and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
        if let Some(status) = status {
            self.note.status.store(status, Relaxed);
        }
    }

    /// What a read that finds nothing waits for.
    fn awaits(&self) -> Awaits {
        match (self.note.accepted.load(Relaxed), self.note.read.load(Relaxed)) {
            (true, _) => Awaits::Answer,
            (false, 0) => Awaits::Request,
            (false, _) => Awaits::Header,
        }
    }

    /// When a read that has to wait is given up.
    fn deadline(&mut self, awaits: Awaits) -> Option<Instant> {
        match awaits {
            Awaits::Request => Some(*self.idle_since.get_or_insert_with(Instant::now) + KEEPALIVE),
            Awaits::Header => Some(*self.header_since.get_or_insert_with(Instant::now) + HEADER_DEADLINE),
            Awaits::Answer => self.note.cut(),
        }
    }

    /// Waits for the deadline, if there is one.
    ///
    /// A timer that is set too early is left alone until it fires: a busy connection moves its
    /// deadline with every request, and setting a timer costs more than all else that is done here.
    fn poll_deadline(&mut self, awaits: Awaits, cx: &mut Context<'_>) -> Poll<()> {
        let Some(deadline) = self.deadline(awaits) else { return Poll::Pending };
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if timer.deadline() > deadline {
            timer.as_mut().reset(deadline);
        }
        ready!(timer.as_mut().poll(cx));
        if timer.deadline() < deadline {
            timer.as_mut().reset(deadline);
            return timer.as_mut().poll(cx);
        }
        Poll::Ready(())
    }
}

impl AsyncRead for Tap {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = buffer.filled().len();
        if let Poll::Ready(result) = Pin::new(&mut self.inner).poll_read(cx, buffer) {
            if !self.note.accepted.load(Relaxed) {
                let read = buffer.filled().len() - before;
                if self.note.read.fetch_add(read as u64, Relaxed) == 0 {
                    (self.idle_since, self.header_since) = (None, None);
                }
            }
            return Poll::Ready(result);
        }
        let awaits = self.awaits();
        ready!(self.poll_deadline(awaits, cx));
        if awaits == Awaits::Request {
            // As if the client had closed: nobody is owed an answer.
            return Poll::Ready(Ok(()));
        }
        if awaits == Awaits::Header {
            self.note.timed_out.store(true, Relaxed);
        }
        Poll::Ready(Err(std::io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncWrite for Tap {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        self.note_answer(bytes);
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        if let Some(first) = slices.first() {
            self.note_answer(first);
        }
        Pin::new(&mut self.inner).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        let refused = matches!(self.note.ending(), Some(Ending::Refused(_)));
        if refused || self.note.unread.load(Relaxed) {
            // A stand-in, since a value cannot be moved out of one that is being dropped.
            let nothing: Stream = Box::new(tokio::io::duplex(1).0);
            linger::close(std::mem::replace(&mut self.inner, nothing));
        }
    }
}

impl std::fmt::Debug for Tap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tap").field("note", &self.note).finish_non_exhaustive()
    }
}

#[async_trait]
impl Shutdown for Tap {
    async fn shutdown(&mut self) {
        self.inner.shutdown().await;
    }
}

impl UniqueID for Tap {
    fn id(&self) -> UniqueIDType {
        self.inner.id()
    }
}

impl Ssl for Tap {}

#[async_trait]
impl Peek for Tap {}

impl GetTimingDigest for Tap {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        self.inner.get_timing_digest()
    }

    fn get_read_pending_time(&self) -> Duration {
        self.inner.get_read_pending_time()
    }

    fn get_write_pending_time(&self) -> Duration {
        self.inner.get_write_pending_time()
    }
}

impl GetProxyDigest for Tap {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        self.inner.get_proxy_digest()
    }

    fn set_proxy_digest(&mut self, digest: ProxyDigest) {
        self.inner.set_proxy_digest(digest);
    }
}

impl GetSocketDigest for Tap {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        self.inner.get_socket_digest()
    }

    fn set_socket_digest(&mut self, digest: SocketDigest) {
        self.inner.set_socket_digest(digest);
    }
}

#[cfg(test)]
mod tests;
