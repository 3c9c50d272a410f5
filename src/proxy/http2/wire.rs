//! The connection below the `h2` crate, with the frames' headers read as they pass.
//!
//! `h2` answers much by itself and tells nobody: a header that is too large, a field that HTTP/2
//! forbids, a stream that was reset before anyone accepted it. It has limits of its own for some
//! floods and none for others. All of that shows in the nine bytes before each frame, so they are
//! read here, both ways, and counted in a [`Meter`]; payloads are stepped over.
//!
//! | flood | covered by |
//! |---|---|
//! | requests that are reset at once | here: [`Meter::resets`]; before they are accepted also `h2`, after 20 |
//! | frames that make us reset (MadeYouReset) | here, in the same count, and `h2`'s |
//! | CONTINUATION without end | `h2`: at most a quarter more frames than the largest header list needs |
//! | empty DATA; DATA of a byte | `h2`: 100 empty ones; a budget for small ones |
//! | PING, SETTINGS, PRIORITY, empty HEADERS | here: [`Meter::chatter`]; `h2` answers one PING and one SETTINGS at a time and reads no further meanwhile, so they cost no memory, only time |
//! | WINDOW_UPDATE of a byte | nobody: they cost what the bytes cost that they let through |
//!
//! The cost is a few compares a frame. The bad side: frames are parsed twice.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;

use h2::Reason;
use pingora::protocols::Stream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use crate::proxy::linger;

/// Of a frame's header (RFC 9113 4.1).
const HEAD: usize = 9;

const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;

/// What the preface has before the first frame.
const PREFACE: usize = 24;

/// What was seen on a connection. Shared between the stream and the loop that serves it; both are
/// one task, so the order of memory does not matter.
#[derive(Debug)]
pub(super) struct Meter {
    born: Instant,
    /// Since when the socket takes nothing, in milliseconds since `born`, plus one. 0: it does.
    stalled: AtomicU64,
    /// The client's SETTINGS have come.
    pub(super) settings: AtomicBool,
    /// Streams that the client reset, or made us reset.
    pub(super) resets: AtomicU32,
    /// Streams that `h2` reset because the client broke the protocol on them.
    pub(super) faults: AtomicU32,
    /// Streams that were refused since there were too many.
    pub(super) refused: AtomicU32,
    /// Frames that ask for nothing: PING, SETTINGS, PRIORITY.
    pub(super) chatter: AtomicU32,
    /// The code of the last GOAWAY that was sent, plus one.
    pub(super) goaway: AtomicU32,
}

/// Finds frames in a stream of bytes that comes in pieces.
#[derive(Debug, Default)]
pub(super) struct Scanner {
    /// Bytes of a preface or payload that are still to be stepped over.
    skip: usize,
    head: [u8; HEAD],
    /// How many of `head` are there.
    have: usize,
    /// The first four bytes of a RST_STREAM's payload, or the second four of a GOAWAY's.
    code: [u8; 4],
    /// How many of them are there. Which frame they are of stands in `kind`.
    coded: usize,
    /// Of the frame whose code is being read.
    kind: Option<u8>,
}

/// A frame that matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// RST_STREAM with its code.
    Reset(u32),
    /// GOAWAY with its code.
    Goaway(u32),
    Settings,
    /// PING or PRIORITY.
    Chatter,
}

/// A connection that is metered.
pub(super) struct Wire {
    inner: Stream,
    meter: Arc<Meter>,
    read: Scanner,
    written: Scanner,
    /// The client has been told that no more comes.
    shut: bool,
}

/// Whether a stream is reset with this since the client broke the protocol.
pub(super) fn is_fault(code: Reason) -> bool {
    use Reason as R;
    matches!(code, R::PROTOCOL_ERROR | R::FLOW_CONTROL_ERROR | R::STREAM_CLOSED | R::FRAME_SIZE_ERROR)
}

// === impl Scanner ===

impl Scanner {
    /// Of what a client sends: the preface comes first.
    pub(super) fn of_client() -> Self {
        Self { skip: PREFACE, ..Self::default() }
    }

    /// Takes the next bytes and tells what is in them.
    pub(super) fn scan(&mut self, mut bytes: &[u8], mut seen: impl FnMut(Seen)) {
        while !bytes.is_empty() {
            if self.kind.is_some() {
                bytes = self.take_code(bytes, &mut seen);
            } else if self.skip > 0 {
                let step = self.skip.min(bytes.len());
                self.skip -= step;
                bytes = &bytes[step..];
            } else {
                let step = (HEAD - self.have).min(bytes.len());
                self.head[self.have..self.have + step].copy_from_slice(&bytes[..step]);
                self.have += step;
                bytes = &bytes[step..];
                if self.have == HEAD {
                    self.have = 0;
                    self.begin(&mut seen);
                }
            }
        }
    }

    /// A frame's header is there.
    fn begin(&mut self, seen: &mut impl FnMut(Seen)) {
        let [a, b, c, kind, ..] = self.head;
        self.skip = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
        match kind {
            // One that is too short is an error to `h2`, and the last of the connection.
            RST_STREAM if self.skip >= 4 => (self.kind, self.coded) = (Some(kind), 0),
            GOAWAY if self.skip >= 8 => (self.kind, self.coded) = (Some(kind), 0),
            SETTINGS => seen(Seen::Settings),
            PING | PRIORITY => seen(Seen::Chatter),
            _ => {}
        }
    }

    /// Reads on in the payload of a frame with a code, and returns what is left.
    fn take_code<'a>(&mut self, bytes: &'a [u8], seen: &mut impl FnMut(Seen)) -> &'a [u8] {
        let goaway = self.kind == Some(GOAWAY);
        let length = if goaway { 8 } else { 4 };
        let step = (length - self.coded).min(bytes.len());
        for &byte in &bytes[..step] {
            // Of a GOAWAY the second four stay.
            self.code[self.coded % 4] = byte;
            self.coded += 1;
        }
        self.skip -= step;
        if self.coded == length {
            let code = u32::from_be_bytes(self.code);
            seen(if goaway { Seen::Goaway(code) } else { Seen::Reset(code) });
            self.kind = None;
        }
        &bytes[step..]
    }
}

// === impl Meter ===

impl Meter {
    pub(super) fn new(born: Instant) -> Self {
        Self {
            born,
            stalled: AtomicU64::new(0),
            settings: AtomicBool::new(false),
            resets: AtomicU32::new(0),
            faults: AtomicU32::new(0),
            refused: AtomicU32::new(0),
            chatter: AtomicU32::new(0),
            goaway: AtomicU32::new(0),
        }
    }

    /// How long the socket has taken nothing.
    pub(super) fn stalled(&self, now: Instant) -> Option<Duration> {
        let since = Duration::from_millis(self.stalled.load(Relaxed).checked_sub(1)?);
        Some(now.saturating_duration_since(self.born + since))
    }

    fn took(&self, taken: bool) {
        if taken {
            self.stalled.store(0, Relaxed);
        } else if self.stalled.load(Relaxed) == 0 {
            let since = Instant::now().saturating_duration_since(self.born).as_millis();
            self.stalled.store(u64::try_from(since).unwrap_or(u64::MAX - 1) + 1, Relaxed);
        }
    }

    fn read(&self, seen: Seen) {
        match seen {
            Seen::Reset(_) => drop(self.resets.fetch_add(1, Relaxed)),
            Seen::Settings => {
                self.settings.store(true, Relaxed);
                self.chatter.fetch_add(1, Relaxed);
            }
            Seen::Chatter => drop(self.chatter.fetch_add(1, Relaxed)),
            Seen::Goaway(_) => {}
        }
    }

    fn written(&self, seen: Seen) {
        match seen {
            // REFUSED_STREAM is `h2`'s word for one stream too many.
            Seen::Reset(7) => drop(self.refused.fetch_add(1, Relaxed)),
            // Our own have other codes: CANCEL, NO_ERROR, INTERNAL_ERROR.
            Seen::Reset(code) if is_fault(code.into()) => {
                self.faults.fetch_add(1, Relaxed);
                self.resets.fetch_add(1, Relaxed);
            }
            Seen::Goaway(code) => self.goaway.store(code.saturating_add(1), Relaxed),
            Seen::Reset(_) | Seen::Settings | Seen::Chatter => {}
        }
    }

    /// The code of the last GOAWAY that was sent.
    pub(super) fn told(&self) -> Option<u32> {
        self.goaway.load(Relaxed).checked_sub(1)
    }
}

// === impl Wire ===

impl Wire {
    pub(super) fn new(inner: Stream, meter: Arc<Meter>) -> Self {
        Self { inner, meter, read: Scanner::of_client(), written: Scanner::default(), shut: false }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.inner).poll_read(cx, buffer);
        if polled.is_ready() {
            let Self { read, meter, .. } = &mut *self;
            read.scan(&buffer.filled()[before..], |seen| meter.read(seen));
        }
        polled
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        let polled = Pin::new(&mut self.inner).poll_write(cx, bytes);
        self.meter.took(polled.is_ready());
        if let Poll::Ready(Ok(length)) = polled {
            let Self { written, meter, .. } = &mut *self;
            written.scan(&bytes[..length], |seen| meter.written(seen));
        }
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        let polled = Pin::new(&mut self.inner).poll_shutdown(cx);
        self.shut |= matches!(polled, Poll::Ready(Ok(())));
        polled
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        let polled = Pin::new(&mut self.inner).poll_write_vectored(cx, slices);
        self.meter.took(polled.is_ready());
        if let Poll::Ready(Ok(mut left)) = polled {
            let Self { written, meter, .. } = &mut *self;
            for slice in slices {
                let length = left.min(slice.len());
                written.scan(&slice[..length], |seen| meter.written(seen));
                left -= length;
            }
        }
        polled
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        // After a GOAWAY with an error the client may still be sending; a reset of the connection
        // would take the GOAWAY from it.
        if self.meter.told().is_some_and(|code| code != 0) {
            // A stand-in, since a value cannot be moved out of one that is being dropped.
            let nothing: Stream = Box::new(tokio::io::duplex(1).0);
            linger::finish(std::mem::replace(&mut self.inner, nothing), self.shut);
        }
    }
}

impl std::fmt::Debug for Wire {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wire").field("meter", &self.meter).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let mut frame = vec![length[1], length[2], length[3], kind, 0, 0, 0, 0, 1];
        frame.extend_from_slice(payload);
        frame
    }

    #[test]
    fn frames_are_found_however_they_are_cut() {
        let mut bytes = vec![b'x'; PREFACE];
        for (kind, payload) in [
            (SETTINGS, &[][..]),
            (0, &[3; 300]),
            (RST_STREAM, &[0, 0, 0, 8]),
            (PING, &[0; 8]),
            (GOAWAY, &[0, 0, 0, 1, 0, 0, 0, 11, b'b', b'y', b'e']),
            (RST_STREAM, &[0, 0, 0, 1]),
        ] {
            bytes.extend(frame(kind, payload));
        }
        let all = [Seen::Settings, Seen::Reset(8), Seen::Chatter, Seen::Goaway(11), Seen::Reset(1)];
        for size in 1..40 {
            let mut scanner = Scanner::of_client();
            let mut seen = Vec::new();
            for piece in bytes.chunks(size) {
                scanner.scan(piece, |what| seen.push(what));
            }
            assert_eq!(seen, all, "in pieces of {size}");
        }
    }

    #[test]
    fn whose_fault_a_reset_is_stands_in_its_code() {
        let meter = Meter::new(Instant::now());
        for code in [0, 1, 2, 3, 5, 7, 8] {
            meter.written(Seen::Reset(code));
        }
        assert_eq!(meter.faults.load(Relaxed), 3);
        assert_eq!(meter.refused.load(Relaxed), 1);
        assert_eq!(meter.resets.load(Relaxed), 3);
        assert_eq!(meter.told(), None);
        meter.written(Seen::Goaway(0));
        assert_eq!(meter.told(), Some(0));
    }
}
