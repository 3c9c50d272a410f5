//! The deadlines: what a read or a write that has to wait waits for, and until when.
//!
//! Only time that is spent waiting for the client counts against it. While the endpoint is slow to
//! take a body nothing is read, and no clock runs. A body must come at a rate on average: after the
//! first [`GRACE`] of waiting, each byte buys the time that it takes at the least rate. A client
//! that sends a burst and then stalls is let off for as long as the burst bought it, but never
//! longer than the time between two bytes.

use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::Instant;

use super::Conn;
use crate::proxy::http1::refusal::{self, Refusal};

/// How long a body may take to gain speed.
const GRACE: Duration = Duration::from_secs(10);

/// Since when the connection waits, and for what.
#[derive(Debug, Default)]
pub(super) struct Waits {
    /// For the next request, or the rest of a header.
    since: Option<Instant>,
    /// The wait is for the rest of a header.
    header: bool,
    /// For more of a body.
    body: Option<Instant>,
    /// Waits for this body that are over, and the bytes they brought.
    waited: Duration,
    received: u64,
    /// The client sends no body before it is told to.
    asks: bool,
    /// For the client to take more of an answer.
    write: Option<Instant>,
}

// === impl Waits ===

impl Waits {
    /// Before a request.
    pub(super) fn reset(&mut self) {
        *self = Self { write: self.write, ..Self::default() };
    }

    /// A request has begun.
    pub(super) fn begin(&mut self, asks: bool) {
        self.asks = asks;
        self.since = None;
    }

    /// The client has been told to send its body, or that nobody needs it.
    pub(super) fn go_on(&mut self) {
        if self.asks {
            self.asks = false;
            self.body = None;
        }
    }

    /// More of the body came.
    pub(super) fn over(&mut self) {
        if let Some(since) = self.body.take() {
            self.waited += since.elapsed();
        }
    }

    pub(super) fn received(&mut self, bytes: usize) {
        self.received += bytes as u64;
        self.asks = false;
    }

    /// How long a wait for the body may be, as it begins, and what a longer one breaks.
    fn patience(&self, between: Duration, rate: u64) -> (Duration, Refusal) {
        let bought = self.received.saturating_mul(1000).checked_div(rate).map(Duration::from_millis);
        let left = bought.map(|bought| (GRACE + bought).saturating_sub(self.waited));
        match left {
            Some(left) if left < between => (left, refusal::SLOW_BODY),
            _ => (between, refusal::LATE_BODY),
        }
    }
}

// === impl Conn ===

impl Conn {
    /// Ready: no request came in time.
    pub(super) fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let since = *self.wait.since.get_or_insert_with(Instant::now);
        self.clock.poll(since.checked_add(self.rules.idle), cx)
    }

    /// Ready: the rest of a header did not come in time.
    pub(super) fn poll_late_header(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !std::mem::replace(&mut self.wait.header, true) {
            self.wait.since = Some(Instant::now());
        }
        let since = *self.wait.since.get_or_insert_with(Instant::now);
        self.clock.poll(since.checked_add(self.rules.header), cx)
    }

    /// Fails when the body is late, or the answer is.
    pub(super) fn poll_late_body(&mut self, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        if self.wait.asks {
            return self.poll_cut(cx);
        }
        let since = *self.wait.body.get_or_insert_with(Instant::now);
        let (patience, refusal) = self.wait.patience(self.rules.body, self.rules.rate);
        let late = since.checked_add(patience);
        let cut = self.note.cut();
        ready!(self.clock.poll(late.into_iter().chain(cut).min(), cx));
        if cut.is_none_or(|cut| late.is_some_and(|late| late < cut)) {
            self.note.fail(refusal);
        }
        Poll::Ready(Err(std::io::ErrorKind::TimedOut.into()))
    }

    /// Fails when the answer is late.
    pub(super) fn poll_cut(&mut self, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        let cut = self.note.cut();
        ready!(self.clock.poll(cut, cx));
        Poll::Ready(Err(std::io::ErrorKind::TimedOut.into()))
    }

    /// Hands on what became of a write, or fails it when the client took nothing for too long.
    pub(super) fn poll_taken<T>(
        &mut self,
        polled: Poll<std::io::Result<T>>,
        cx: &mut Context<'_>,
    ) -> Poll<std::io::Result<T>> {
        if let Poll::Ready(result) = polled {
            self.wait.write = None;
            return Poll::Ready(result);
        }
        let since = *self.wait.write.get_or_insert_with(Instant::now);
        ready!(self.clock.poll(since.checked_add(self.rules.write), cx));
        self.note.stall();
        Poll::Ready(Err(std::io::ErrorKind::TimedOut.into()))
    }
}
