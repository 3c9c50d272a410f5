//! The connection of a tunnel to its endpoint, as Pingora reads and writes it.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, Waker, ready};

use async_trait::async_trait;
use pingora::connectors::L4Connect;
use pingora::protocols::l4::socket::SocketAddr;
use pingora::protocols::l4::stream::Stream;
use pingora::protocols::l4::virt::{VirtualSockOpt, VirtualSocket, VirtualSocketStream};
use pingora::{Error, ErrorType, Result};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};

use super::Tunnel;

type Connect = dyn L4Connect + Send + Sync;

/// Opens the connection of one tunnel.
#[derive(Debug)]
pub(super) struct Opener {
    tunnel: Arc<Tunnel>,
    /// What the cluster connects by, if not plainly.
    inner: Option<Arc<Connect>>,
}

#[derive(Debug)]
struct Channel<S> {
    inner: S,
    tunnel: Arc<Tunnel>,
    /// Of a read that came too early.
    early: Option<Waker>,
    /// When a byte passed last, once the request was sent.
    last: Option<Instant>,
    /// May be set for an earlier moment than the one that counts.
    timer: Option<Pin<Box<Sleep>>>,
}

// === impl Opener ===

impl Opener {
    pub(super) fn new(tunnel: Arc<Tunnel>, inner: Option<Arc<Connect>>) -> Self {
        Self { tunnel, inner }
    }
}

#[async_trait]
impl L4Connect for Opener {
    /// The peer's time-outs are around it.
    async fn connect(&self, address: &SocketAddr) -> Result<Stream> {
        let socket: Box<dyn VirtualSocket> = match (&self.inner, address) {
            (Some(inner), _) => Box::new(Channel::new(inner.connect(address).await?, self.tunnel.clone())),
            (None, SocketAddr::Inet(address)) => {
                let stream = TcpStream::connect(address).await;
                let stream = stream.and_then(|stream| stream.set_nodelay(true).map(|()| stream));
                let stream = stream
                    .map_err(|error| Error::because(ErrorType::ConnectError, "connecting a tunnel", error))?;
                Box::new(Channel::new(stream, self.tunnel.clone()))
            }
            (None, SocketAddr::Unix(_)) => {
                return Err(Error::explain(ErrorType::ConnectError, "endpoints have IP addresses"));
            }
        };
        Ok(VirtualSocketStream::new(socket).into())
    }
}

// === impl Channel ===

impl<S> Channel<S> {
    fn new(inner: S, tunnel: Arc<Tunnel>) -> Self {
        Self { inner, tunnel, early: None, last: None, timer: None }
    }

    /// Waits until nothing has passed for the idle time.
    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some((idle, last)) = self.tunnel.idle.zip(self.last) else { return Poll::Pending };
        // Out of the calendar's range is never.
        let Some(until) = last.checked_add(idle) else { return Poll::Pending };
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(until)));
        ready!(timer.as_mut().poll(cx));
        if timer.deadline() < until {
            timer.as_mut().reset(until);
            return timer.as_mut().poll(cx);
        }
        Poll::Ready(())
    }

    fn passed(&mut self) {
        if self.last.is_some() {
            self.last = Some(Instant::now());
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Channel<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        if self.tunnel.spent.load(Relaxed) {
            return Poll::Ready(Ok(()));
        }
        if self.tunnel.waits() {
            self.early = Some(cx.waker().clone());
            return Poll::Pending;
        }
        if let Poll::Ready(result) = Pin::new(&mut self.inner).poll_read(cx, buffer) {
            self.passed();
            return Poll::Ready(result);
        }
        ready!(self.poll_idle(cx));
        self.tunnel.timed_out.store(true, Relaxed);
        // As if the endpoint had closed: both sides are.
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Channel<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.inner).poll_write(cx, bytes));
        self.passed();
        Poll::Ready(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        ready!(Pin::new(&mut self.inner).poll_flush(cx))?;
        if self.tunnel.flushed() {
            self.last = Some(Instant::now());
            if let Some(early) = self.early.take() {
                early.wake();
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + Sync + std::fmt::Debug> VirtualSocket for Channel<S> {
    /// Set where it was connected.
    fn set_socket_option(&self, _option: VirtualSockOpt) -> std::io::Result<()> {
        Ok(())
    }
}
