//! Where connections come in: HTTP/1.1 or HTTP/2 in clear, told apart by the first three bytes.
//!
//! Pingora looks for HTTP/2's preface by reading all 24 bytes of it, without a timeout; a shorter
//! HTTP/1 request (`GET / HTTP/1.0` and two line ends have 18) then hangs for ever. No HTTP/1
//! method begins with `PRI`, so three bytes are enough. Both have loops of their own: [`http1`], and
//! `http2`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use async_trait::async_trait;
use pingora::apps::{HttpServerApp, ServerApp};
use pingora::protocols::Stream;
use pingora::server::ShutdownWatch;
use pingora::server::configuration::ServerConf;
use pingora_proxy::{HttpProxy, http_proxy};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::config::boot::Bounds;
use crate::observe::Flag;
use crate::proxy::http1::refusal::LATE_HEADER;
use crate::proxy::http1::refuse;
use crate::proxy::link::Link;
use crate::proxy::lost::{self, Lost};
use crate::proxy::metered::Metered;
use crate::proxy::{Listener, Proxy, announced, http1, http2, tcp};

/// How long idle HTTP/1.1 connections stay open when the process begins to drain. Closing them at
/// once would cut the requests that are on their way; so each of those is answered, with
/// `connection: close`, and only connections that had nothing to say for so long are closed.
pub const LINGER: Duration = Duration::from_millis(500);

/// The same after an upgrade, when nobody waits for the process to end: the longer, the fewer clients
/// send in the very moment of the close.
pub const PATIENT_LINGER: Duration = Duration::from_secs(2);

/// The application behind the listening sockets.
pub struct Door {
    http: Arc<HttpProxy<Proxy>>,
    proxy: Proxy,
    /// True: idle HTTP/1.1 connections are to close.
    closing: watch::Sender<bool>,
}

/// How a connection ended that said too little to be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// By the client, which had said nothing.
    Closed,
    /// It said nothing for too long.
    Idle,
    /// It said too little for too long.
    TimedOut,
    /// By the client, amid a word.
    Broken,
    /// It spoke HTTP where TLS is spoken, and was told so.
    PlainHttp,
}

/// Counts a connection while it is open.
struct Open<'a>(&'a AtomicUsize);

// === impl Door ===

impl Door {
    /// Puts a proxy behind a door.
    pub fn new(conf: &Arc<ServerConf>, proxy: Proxy) -> Self {
        Self { http: Arc::new(http_proxy(conf, proxy.clone())), proxy, closing: watch::Sender::new(false) }
    }

    /// The bounds of the listener that a connection came through.
    pub(super) fn bounds(&self, link: &Link) -> &Bounds {
        &self.proxy.listeners[link.listener].bounds
    }

    /// What the socket says of a connection.
    fn link(&self, stream: &Stream) -> Link {
        let digest = stream.get_socket_digest();
        let local = digest.as_deref().and_then(|d| d.local_addr()?.as_inet().copied());
        let client = digest.as_deref().and_then(|d| d.peer_addr()?.as_inet().copied());
        Link::new(self.proxy.listener(local), client).at(local)
    }

    /// Reads the PROXY header of a connection that must begin with one. None: it is closed.
    async fn announced(&self, stream: &mut Stream, link: Link) -> Option<Link> {
        let listener = &self.proxy.listeners[link.listener];
        if !announced::due(listener.proxy_protocol.as_ref(), &link) {
            return Some(link);
        }
        match announced::read(stream, listener.bounds.handshake_timeout).await {
            Ok(header) => Some(link.told(&header)),
            Err(ending) => {
                if let Some(reason) = ending.reason() {
                    listener.downstream.headers[reason].inc();
                }
                None
            }
        }
    }

    /// Whether the connection speaks HTTP/2, or how it ended before that could be said.
    /// `start` is left with its first bytes.
    async fn speaks_http2(stream: &mut Stream, bounds: &Bounds, start: &mut [u8; 3]) -> Result<bool, Ending> {
        match peek(stream, &mut start[..1], bounds.idle_timeout).await {
            Err(Ending::TimedOut) => return Err(Ending::Idle),
            Err(_) => return Err(Ending::Closed),
            Ok(()) => peek(stream, start, bounds.header_timeout).await?,
        }
        Ok(start == b"PRI")
    }

    /// Counts and logs a connection that said too little to be served.
    pub(super) fn ended(&self, ending: Ending, link: &Link) {
        let listener = &self.proxy.listeners[link.listener];
        let (counter, status, flag) = match ending {
            Ending::Closed => return,
            Ending::Idle => return listener.late.idle.inc(),
            Ending::TimedOut => {
                listener.late.header.inc();
                (&listener.invalid.timeout, 408, Flag::DPE)
            }
            Ending::Broken => (&listener.invalid.malformed, 0, Flag::DC),
            Ending::PlainHttp => (&listener.invalid.malformed, 400, Flag::DPE),
        };
        counter.inc();
        lost::record(&self.proxy, link, &Lost::new("HTTP/1.1", status, flag));
    }

    async fn serve_http2(&self, stream: Stream, link: Link, shutdown: &ShutdownWatch) {
        let link = Arc::new(link);
        let server = http2::Server { http: &self.http, proxy: &self.proxy, link: &link, shutdown };
        // Boxed, so that an idle HTTP/1 connection has no room for it.
        Box::pin(server.serve(stream)).await;
    }

    fn http1<'a>(&'a self, shutdown: &'a ShutdownWatch) -> http1::Server<'a> {
        http1::Server { http: &self.http, proxy: &self.proxy, shutdown, closing: self.closing.subscribe() }
    }
}

/// Waits until so many bytes are there, and leaves them.
async fn peek(stream: &mut Stream, bytes: &mut [u8], deadline: Duration) -> Result<(), Ending> {
    match timeout(deadline, stream.try_peek(bytes)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(_)) => Err(Ending::Broken),
        Err(_) => Err(Ending::TimedOut),
    }
}

#[async_trait]
impl ServerApp for Door {
    async fn process_new(self: &Arc<Self>, stream: Stream, shutdown: &ShutdownWatch) -> Option<Stream> {
        let _open = Open::new(&self.proxy.connections);
        let link = self.link(&stream);
        let Listener { accepted, limits, tls, tcp, bounds, downstream, .. } =
            &self.proxy.listeners[link.listener];
        accepted.fetch_add(1, Relaxed);
        let Some(_place) = limits.connection() else {
            // In TLS it could only be told after the work that is to be saved, and in bytes not at all.
            if tls.is_none() && !tcp {
                // Boxed, so that all other connections have no room for it.
                Box::pin(limits.turn_away(stream)).await;
            }
            return None;
        };
        let mut stream: Stream = Box::new(Metered::new(stream, downstream));
        let mut link = Box::pin(self.announced(&mut stream, link)).await?;
        if *tcp {
            Box::pin(tcp::pass(&self.proxy, stream, &link)).await;
            return None;
        }
        if let Some(tls) = tls {
            let (secured, http2) = Box::pin(self.secure(tls, stream, &mut link)).await?;
            if http2 {
                self.serve_http2(secured, link, shutdown).await;
            } else {
                self.http1(shutdown).serve(secured, Arc::new(link)).await;
            }
            return None;
        }
        let mut start = [0; 3];
        match Self::speaks_http2(&mut stream, bounds, &mut start).await {
            Ok(true) => self.serve_http2(stream, link, shutdown).await,
            Ok(false) => self.http1(shutdown).serve(stream, Arc::new(link)).await,
            Err(ending) => {
                // One that may become HTTP/2's preface is told nothing.
                if ending == Ending::TimedOut && start[0] != b'P' {
                    refuse::answer(&mut stream, LATE_HEADER, "").await;
                }
                self.ended(ending, &link);
            }
        }
        None
    }

    /// Called when the sockets no longer listen.
    async fn cleanup(&self) {
        // The gate shuts for an upgrade before the process drains; else after.
        let linger = if self.proxy.ready.draining() { LINGER } else { PATIENT_LINGER };
        tokio::time::sleep(linger).await;
        self.closing.send_replace(true);
        self.http.http_cleanup().await;
    }
}

// === impl Open ===

impl<'a> Open<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Relaxed);
        Self(count)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

impl std::fmt::Debug for Door {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Door").field("proxy", &self.proxy).finish_non_exhaustive()
    }
}
