//! A client's connection, with its bytes counted as they cross the wire: below TLS, and for whatever is
//! spoken on it.
//!
//! The counters of a listener are shared by all threads, and adding to them with each read would make
//! every core wait for every other. So a connection adds what it has counted when that is worth it,
//! and at its end. The bad side: up to [`WORTH`] bytes of an open connection do not show yet.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use async_trait::async_trait;
use pingora::protocols::{Peek, Shutdown, Ssl, Stream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::observe::metrics::Counter;
use crate::observe::metrics::Downstream;
use crate::stream::hands_on;

/// So many bytes are added at a time.
const WORTH: u64 = 16 * 1024;

/// The connection.
pub(super) struct Metered {
    inner: Stream,
    /// Bytes that are not in the counters yet.
    received: u64,
    sent: u64,
    metrics: Arc<Downstream>,
}

// === impl Metered ===

impl Metered {
    /// Counts a connection in until it is dropped.
    pub(super) fn new(inner: Stream, metrics: &Arc<Downstream>) -> Self {
        metrics.connections.inc();
        metrics.active.inc();
        Self { inner, received: 0, sent: 0, metrics: metrics.clone() }
    }
}

impl Drop for Metered {
    fn drop(&mut self) {
        self.metrics.active.dec();
        self.metrics.received.inc_by(self.received);
        self.metrics.sent.inc_by(self.sent);
    }
}

/// Adds to what is not in the counter yet, and that to the counter when it is worth it.
fn add(here: &mut u64, bytes: usize, all: &Counter) {
    *here += bytes as u64;
    if *here >= WORTH {
        all.inc_by(std::mem::take(here));
    }
}

// === the stream's traits ===

impl AsyncRead for Metered {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.inner).poll_read(cx, buffer);
        let Self { received, metrics, .. } = &mut *self;
        add(received, buffer.filled().len() - before, &metrics.received);
        polled
    }
}

impl AsyncWrite for Metered {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        let polled = Pin::new(&mut self.inner).poll_write(cx, bytes);
        if let Poll::Ready(Ok(written)) = polled {
            let Self { sent, metrics, .. } = &mut *self;
            add(sent, written, &metrics.sent);
        }
        polled
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
        let polled = Pin::new(&mut self.inner).poll_write_vectored(cx, slices);
        if let Poll::Ready(Ok(written)) = polled {
            let Self { sent, metrics, .. } = &mut *self;
            add(sent, written, &metrics.sent);
        }
        polled
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}

impl std::fmt::Debug for Metered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metered").finish_non_exhaustive()
    }
}

#[async_trait]
impl Shutdown for Metered {
    async fn shutdown(&mut self) {
        self.inner.shutdown().await;
    }
}

impl Ssl for Metered {}

#[async_trait]
impl Peek for Metered {
    /// Counted when it is read, not now.
    async fn try_peek(&mut self, buffer: &mut [u8]) -> std::io::Result<bool> {
        self.inner.try_peek(buffer).await
    }
}

hands_on!(Metered, inner);
