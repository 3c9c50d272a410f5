//! A client's HTTP/1 connection, as Pingora's session reads and writes it.
//!
//! Between requests [`Conn::next`] reads the head of the next one. Then the connection is lent to
//! Pingora, and gives it the bytes of this request and no others: its head, as it is to be read,
//! then its body, checked as it passes. What follows stays here. So Pingora never finds bytes of
//! another request in its hands, whatever it believes about where this one ends.
//!
//! When the request is over and Pingora reads on, to see the client leave, it is told of the end
//! alone; bytes of the next request are kept back, at most [`HOLD`] of them. Beyond those nothing
//! is read, so a client that pipelines more is not seen leaving until the answer is written. After
//! a request with `upgrade` has been answered 101, all bytes pass both ways.
//!
//! Deadlines of reads and writes are in `wait`, the plain parts of the stream in `io`.
//!
//! The cost is a copy of the head, one more virtual call for each read and write, and a look at the
//! clock when a request is waited for. Bodies are read straight to where Pingora wants them.

mod io;
mod wait;

use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pingora::protocols::Stream;
use tokio::io::{AsyncRead, ReadBuf};

use super::body::{Body, Passed};
use super::clock::Clock;
use super::head::{Bounds, Framing, Head, Progress, Scanner};
use super::held::Held;
use super::refusal::{self, Refusal};
use crate::proxy::tap::Note;

/// How many bytes of the next request are kept back while this one is served.
const HOLD: usize = 4096;

/// How much is read at a time of a head.
const CHUNK: usize = 4096;

/// How much is read at a time while Pingora waits for the client to leave.
const PROBE: usize = 256;

/// What a listener asks of its clients.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub(crate) bounds: Bounds,
    /// The whole header, from its first byte.
    pub(crate) header: Duration,
    /// Between two requests, and before the first.
    pub(crate) idle: Duration,
    /// Between two bytes of a body.
    pub(crate) body: Duration,
    /// Bytes of a body a second. 0: any.
    pub(crate) rate: u64,
    /// Between two bytes of an answer that the client takes.
    pub(crate) write: Duration,
}

/// The connection.
pub(crate) struct Conn {
    inner: Stream,
    note: Arc<Note>,
    rules: Rules,
    clock: Clock,
    held: Held,
    /// So many of the held bytes are of the head that Pingora has not read yet.
    head: usize,
    body: Body,
    stage: Stage,
    answer: Answer,
    wait: wait::Waits,
    /// The client has been told that no more comes.
    shut: bool,
}

/// Whose bytes they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// No request is being served.
    Between,
    /// A request that may become a tunnel if `upgrade`.
    Request { upgrade: bool },
    /// They are not HTTP any more.
    Tunnel,
}

/// How far the answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    /// A header comes next, but for the rest of the one before, which is so long.
    Header {
        rest: usize,
    },
    Begun,
}

/// What became of the wait for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// It is there; Pingora may read it.
    Request,
    Refused(Refusal),
    /// The client closed.
    Closed,
    /// Nothing came.
    Idle,
    /// The client went away amid the header.
    Broken,
}

// === impl Conn ===

impl Conn {
    pub(crate) fn new(inner: Stream, rules: Rules) -> Self {
        Self {
            inner,
            note: Arc::new(Note::new()),
            rules,
            clock: Clock::default(),
            held: Held::default(),
            head: 0,
            body: Body::Left(0),
            stage: Stage::Between,
            answer: Answer::Begun,
            wait: wait::Waits::default(),
            shut: false,
        }
    }

    pub(crate) fn note(&self) -> &Note {
        &self.note
    }

    /// What is known of the current request, also when the connection is gone.
    pub(crate) fn share(&self) -> Arc<Note> {
        self.note.clone()
    }

    /// The bytes of a request that was refused, as far as they are there.
    pub(crate) fn held(&self) -> &[u8] {
        self.held.bytes()
    }

    /// Waits for the head of a request, and judges it.
    pub(crate) async fn next(&mut self) -> Next {
        self.note.reset();
        self.stage = Stage::Between;
        self.wait.reset();
        let mut scanner = Scanner::new(self.rules.bounds);
        if !self.held.is_empty() {
            // A client that pipelines must not keep the thread to itself.
            tokio::task::consume_budget().await;
        }
        loop {
            match scanner.scan(self.held.bytes()) {
                Progress::More => {}
                Progress::Refused(refusal) => return Next::Refused(refusal),
                Progress::Whole(head) => {
                    return self.begin(&head).map_or_else(Next::Refused, |()| Next::Request);
                }
            }
            self.held.rest();
            if let Err(end) = std::future::poll_fn(|cx| self.poll_fill(cx)).await {
                return end;
            }
        }
    }

    /// Reads more of a head.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Next>> {
        // One empty line may stand before a request, and is none.
        let begun = !matches!(self.held.bytes(), b"" | b"\r" | b"\r\n");
        match self.poll_more::<CHUNK>(cx) {
            Poll::Ready(Ok(0) | Err(_)) => Poll::Ready(Err(if begun { Next::Broken } else { Next::Closed })),
            Poll::Ready(Ok(_)) => Poll::Ready(Ok(())),
            Poll::Pending if begun => {
                ready!(self.poll_late_header(cx));
                Poll::Ready(Err(Next::Refused(refusal::LATE_HEADER)))
            }
            Poll::Pending => {
                ready!(self.poll_idle(cx));
                Poll::Ready(Err(Next::Idle))
            }
        }
    }

    /// Reads up to `SIZE` bytes and holds them; how many.
    fn poll_more<const SIZE: usize>(&mut self, cx: &mut Context<'_>) -> Poll<std::io::Result<usize>> {
        let mut space = [const { MaybeUninit::uninit() }; SIZE];
        let mut buffer = ReadBuf::uninit(&mut space);
        ready!(Pin::new(&mut self.inner).poll_read(cx, &mut buffer))?;
        self.held.push(buffer.filled());
        Poll::Ready(Ok(buffer.filled().len()))
    }

    /// From here on Pingora reads this request.
    ///
    /// What is there of a chunked body is looked at before: if it is not valid, no endpoint need
    /// hear of the request at all.
    fn begin(&mut self, head: &Head) -> Result<(), Refusal> {
        let bounds = self.rules.bounds;
        let body = || Body::new(head.framing, bounds.header_bytes, bounds.headers);
        if head.framing == Framing::Chunked {
            body().pass(&mut self.held.bytes()[head.span.end..].to_vec())?;
        }
        self.body = body();
        match head.rewritten(self.held.bytes()) {
            Some(other) => {
                self.head = other.len();
                self.held.replace(head.span.end, other);
            }
            None => {
                self.head = head.span.len();
                self.held.take(head.span.start);
            }
        }
        self.stage = Stage::Request { upgrade: head.upgrade };
        self.answer = Answer::Header { rest: 0 };
        self.wait.begin(head.expects);
        Ok(())
    }

    /// Gives out what is held of this request.
    fn give(&mut self, buffer: &mut ReadBuf<'_>) -> std::io::Result<()> {
        let start = buffer.filled().len();
        if self.head > 0 {
            let length = self.head.min(buffer.remaining());
            buffer.put_slice(&self.held.bytes()[..length]);
            self.held.take(length);
            self.head -= length;
        }
        let open = self.stage == Stage::Tunnel || !self.body.is_done();
        if self.head == 0 && open && !self.held.is_empty() {
            let length = self.held.len().min(buffer.remaining());
            let before = buffer.filled().len();
            buffer.put_slice(&self.held.bytes()[..length]);
            let passed = match self.pass(&mut buffer.filled_mut()[before..]) {
                Ok(passed) => passed,
                // The head has its read; the next one fails.
                Err(_) if before > start => Passed { used: 0, kept: 0 },
                Err(error) => return Err(error),
            };
            buffer.set_filled(before + passed.kept);
            self.held.take(passed.used);
        }
        Ok(())
    }

    /// Checks bytes of this request, and perhaps the next. When it has failed it does so for good.
    fn pass(&mut self, bytes: &mut [u8]) -> std::io::Result<Passed> {
        if self.stage == Stage::Tunnel {
            return Ok(Passed { used: bytes.len(), kept: bytes.len() });
        }
        let passed = match self.note.trouble() {
            Some(trouble) => Err(trouble),
            None => self.body.pass(bytes),
        };
        let passed = passed.map_err(|refusal| {
            self.note.fail(refusal);
            std::io::Error::new(std::io::ErrorKind::InvalidData, refusal.why)
        })?;
        self.wait.received(passed.used);
        Ok(passed)
    }

    /// Reads more of a body, or of a tunnel, straight into the buffer. True: it is the end.
    fn poll_body(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<std::io::Result<bool>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(cx, buffer))?;
        let there = buffer.filled().len() - before;
        if there == 0 {
            return Poll::Ready(Ok(true));
        }
        self.wait.over();
        let passed = self.pass(&mut buffer.filled_mut()[before..])?;
        self.held.push(&buffer.filled()[before + passed.used..]);
        buffer.set_filled(before + passed.kept);
        Poll::Ready(Ok(false))
    }

    /// Pingora waits for the client to leave.
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        while self.held.len() < HOLD {
            match self.poll_more::<PROBE>(cx) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Ok(())),
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => break,
            }
        }
        self.poll_cut(cx)
    }

    /// Notes what an answer's header says of the connection. `bytes` are what was to be written, of
    /// which `written` were.
    fn wrote(&mut self, bytes: &[u8], written: usize) {
        let Answer::Header { rest } = self.answer else { return };
        if rest > 0 {
            self.answer = Answer::Header { rest: rest.saturating_sub(written) };
            return;
        }
        self.answer = match (bytes.get(9..12), self.stage) {
            (Some(b"101"), Stage::Request { upgrade: true }) => {
                self.stage = Stage::Tunnel;
                Answer::Begun
            }
            (Some([b'1', rest @ ..]), _) => {
                if rest == b"00" {
                    self.wait.go_on();
                }
                Answer::Header { rest: bytes.len().saturating_sub(written) }
            }
            _ => {
                self.wait.go_on();
                Answer::Begun
            }
        };
    }
}

#[cfg(test)]
mod tests;
