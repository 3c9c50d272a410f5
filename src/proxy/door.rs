//! Where connections come in: HTTP/1.1 or HTTP/2 in clear, told apart by the first three bytes.
//!
//! Pingora looks for HTTP/2's preface by reading all 24 bytes of it, without a timeout; a shorter
//! HTTP/1 request (`GET / HTTP/1.0` and two line ends have 18) then hangs for ever. No HTTP/1
//! method begins with `PRI`, so three bytes are enough. HTTP/2 is then left to Pingora; HTTP/1.1
//! runs the same loop as Pingora's own, over a [`Tap`].

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use pingora::apps::{HttpServerApp, ServerApp};
use pingora::protocols::Stream;
use pingora::protocols::http::ServerSession;
use pingora::server::ShutdownWatch;
use pingora::server::configuration::ServerConf;
use pingora_proxy::{HttpProxy, http_proxy};
use tokio::time::timeout;

use crate::config::boot::Bounds;
use crate::observe::Flag;
use crate::observe::access::Record;
use crate::proxy::link::Link;
use crate::proxy::tap::{Ending, HEADER_DEADLINE, Note, Tap};
use crate::proxy::{Listener, Proxy, http2, link};

/// How long a new connection may stay silent.
const FIRST_BYTE: Duration = Duration::from_secs(60);

/// How long idle HTTP/1.1 connections stay open when the process begins to drain. Closing them at
/// once would cut the requests that are on their way; so each of those is answered, with
/// `connection: close`, and only connections that had nothing to say for so long are closed.
pub const LINGER: Duration = Duration::from_millis(500);

/// The application behind the listening sockets.
pub struct Door {
    http: Arc<HttpProxy<Proxy>>,
    proxy: Proxy,
}

/// Counts a connection while it is open.
struct Open<'a>(&'a AtomicUsize);

// === impl Door ===

impl Door {
    /// Puts a proxy behind a door.
    pub fn new(conf: &Arc<ServerConf>, proxy: Proxy) -> Self {
        Self { http: Arc::new(http_proxy(conf, proxy.clone())), proxy }
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
        Link::new(self.proxy.listener(local), client)
    }

    /// Whether the connection speaks HTTP/2, or how it ended before that could be said.
    async fn speaks_http2(stream: &mut Stream) -> Result<bool, Ending> {
        let mut start = [0; 3];
        peek(stream, &mut start[..1], FIRST_BYTE).await.map_err(|_| Ending::Idle)?;
        peek(stream, &mut start, HEADER_DEADLINE).await?;
        Ok(&start == b"PRI")
    }

    async fn serve_http2(&self, stream: Stream, link: Link, shutdown: &ShutdownWatch) {
        let link = Arc::new(link);
        http2::Server { http: &self.http, proxy: &self.proxy, link: &link, shutdown }.serve(stream).await;
    }

    /// Serves an HTTP/1 connection, request by request.
    async fn serve_http1(&self, stream: Stream, link: Arc<Link>, shutdown: &ShutdownWatch) {
        let note = Arc::new(Note::new());
        let mut session = ServerSession::new_http1(Box::new(Tap::new(stream, note.clone())));
        session.set_keepalive(if *shutdown.borrow() { None } else { Some(FIRST_BYTE.as_secs()) });
        session.set_pipelining_enabled(true);
        loop {
            note.reset();
            let served = link::scope(link.clone(), self.http.process_new_http(session, shutdown)).await;
            if let Some(ending) = note.ending() {
                self.refused(ending, &link);
            }
            let Some(reused) = served else { return };
            let (stream, settings) = reused.consume();
            session = ServerSession::new_http1(stream);
            if let Some(settings) = settings {
                settings.apply_to_session(&mut session);
            }
        }
    }

    /// Counts and logs a request that never reached a phase of the proxy.
    pub(super) fn refused(&self, ending: Ending, link: &Link) {
        let listener = &self.proxy.listeners[link.listener];
        let (counter, status, flag) = match ending {
            Ending::Idle => return,
            Ending::Refused(405) => (&listener.invalid.method, 405, Flag::DPE),
            Ending::Refused(status) => (&listener.invalid.malformed, status, Flag::DPE),
            Ending::TimedOut => (&listener.invalid.timeout, 408, Flag::DPE),
            Ending::Broken => (&listener.invalid.malformed, 0, Flag::DC),
        };
        counter.inc();
        let snapshot = self.proxy.cell.load();
        snapshot.table.unrouted.record(link.listener, status, 0.0, None, Some(flag));
        #[expect(clippy::disallowed_methods, reason = "log lines carry the calendar's time")]
        let time = SystemTime::now();
        snapshot.access_log.write(&Record {
            time,
            listener: &listener.name,
            client: link.ip(),
            method: "",
            host: b"",
            path: b"",
            protocol: "HTTP/1.1",
            status,
            grpc_status: None,
            flag: Some(flag),
            route: "",
            cluster: "",
            variant: "",
            endpoint: None,
            attempts: 0,
            bytes_in: 0,
            bytes_out: 0,
            duration_ms: 0.0,
            ttfb_ms: None,
            request_id: b"",
            user_agent: b"",
            generation: snapshot.generation,
            tls: link.tls_record(),
        });
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
    async fn process_new(self: &Arc<Self>, mut stream: Stream, shutdown: &ShutdownWatch) -> Option<Stream> {
        let _open = Open::new(&self.proxy.connections);
        let mut link = self.link(&stream);
        let Listener { limits, tls, .. } = &self.proxy.listeners[link.listener];
        let Some(_place) = limits.connection() else {
            // In TLS it could only be told after the work that is to be saved.
            if tls.is_none() {
                limits.turn_away(stream).await;
            }
            return None;
        };
        if let Some(tls) = tls {
            let (secured, http2) = self.secure(tls, stream, &mut link).await?;
            if http2 {
                self.serve_http2(secured, link, shutdown).await;
            } else {
                self.serve_http1(secured, Arc::new(link), shutdown).await;
            }
            return None;
        }
        match Self::speaks_http2(&mut stream).await {
            Ok(true) => self.serve_http2(stream, link, shutdown).await,
            Ok(false) => self.serve_http1(stream, Arc::new(link), shutdown).await,
            Err(ending) => self.refused(ending, &link),
        }
        None
    }

    /// Called when the sockets no longer listen.
    async fn cleanup(&self) {
        tokio::time::sleep(LINGER).await;
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
