//! HTTP/2 from clients: one connection, many streams, and an end for each of them.
//!
//! Pingora can serve HTTP/2, but leaves open what a hostile client looks for: it waits for ever for
//! a preface, for SETTINGS, for a body, for a window; it answers invalid requests without a word to
//! anybody; and a client may open and reset streams as fast as it likes, each of which reaches an
//! endpoint. So the accept loop is ours, over the same `h2` crate; each stream is a [`stream::Stream`],
//! which Pingora takes for a session of a protocol of our own.
//!
//! | what | ends with |
//! |---|---|
//! | no whole preface or SETTINGS in `handshake_timeout` | GOAWAY, if anything was said; closed |
//! | no open stream for `h2_idle_timeout` | GOAWAY, closed |
//! | more than `h2_max_resets` resets in [`WINDOW`], or [`CHATTER`] frames that ask for nothing | GOAWAY with ENHANCE_YOUR_CALM, closed |
//! | a stream more than `h2_max_streams` | that stream refused |
//! | a body that does not come | 408, or a reset if the answer has begun |
//! | an answer that is not taken for `write_timeout` | a reset; if the socket takes nothing, closed |
//! | the process drains | GOAWAY; streams finish; a client that does not close then is closed |
//!
//! What holds memory: [`valve`] and [`mod@narrow`] say how little of an answer is read ahead, [`stream`]
//! how little of a body. The windows are HTTP/2's own 64 KiB a stream and [`CONNECTION_WINDOW`] in all: streams
//! whose endpoint does not read can use that up and so stop others of the same connection.
//!
//! The bad side of a session of our own: the trait is hidden in Pingora's documentation, and may
//! change with any version; and an upload that waits for an HTTP/2 endpoint's window does not see
//! the client go until that wait times out.

mod answer;
mod count;
mod linger;
mod narrow;
mod pace;
mod stream;
mod valid;
mod valve;
mod wire;

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use h2::server::{Builder, Connection, SendResponse};
use h2::{Reason, RecvStream};
use http::{Method, Request};
use pingora::apps::HttpServerApp;
use pingora::protocols::http::ServerSession;
use pingora::protocols::{Digest, Stream as Io};
use pingora::server::ShutdownWatch;
use pingora_proxy::{HttpProxy, Session};
use tokio::time::{Instant, sleep_until, timeout};

use self::stream::{Shared, Stream};
use self::valve::Valve;
use self::wire::{Meter, Wire};
use crate::config::boot::Bounds;
use crate::proxy::link::{self, Link};
use crate::proxy::{Listener, Proxy};

pub(crate) use self::count::Counters;
pub(super) use self::narrow::narrow;
use self::valid::{Fault, Most};

/// In which time resets are counted.
const WINDOW: Duration = Duration::from_secs(30);

/// How many frames that ask for nothing a client may send in that time. gRPC measures the line with
/// a PING for each burst of data.
const CHATTER: u32 = 10_000;

/// How long a GOAWAY may take to leave, and a client to close after one when all is done.
const CLOSING: Duration = Duration::from_secs(1);

/// How much of all bodies of a connection may be on the way to us.
const CONNECTION_WINDOW: u32 = 1024 * 1024;

/// How much of each answer `h2` takes that the socket has not. A client that does not read holds so
/// much for each of its streams; what is on the way to one that reads is in the kernel, not here. The
/// bad side: a large answer is woken for every so many bytes.
const SEND_BUFFER: usize = 8 * 1024;

/// From how many streams on a connection each has to do with little.
const CROWD: usize = 8;

/// What connections are served with.
pub(super) struct Server<'a> {
    pub(super) http: &'a Arc<HttpProxy<Proxy>>,
    pub(super) proxy: &'a Proxy,
    pub(super) link: &'a Arc<Link>,
    pub(super) shutdown: &'a ShutdownWatch,
}

/// One that is being served.
struct Serving<'a> {
    server: Server<'a>,
    listener: &'a Listener,
    connection: Connection<Wire, Bytes>,
    meter: Arc<Meter>,
    shared: Arc<Shared>,
    digest: Arc<Digest>,
    born: Instant,
    /// No new streams are wanted, since then.
    leaving: Option<Instant>,
    /// From when on resets and chatter are counted, and what they were.
    window: (Instant, u32, u32),
    /// Of the meter, and already told.
    faults: u32,
    refused: u32,
}

/// What happens next.
#[expect(clippy::large_enum_variant, reason = "made to be taken apart at once")]
enum Event {
    Stream(Request<RecvStream>, SendResponse<Bytes>),
    /// Nothing more will.
    Closed(Option<h2::Error>),
    Flood,
    Drain,
    Tick,
}

// === impl Server ===

impl Server<'_> {
    /// Serves a connection whose client speaks HTTP/2, until it ends.
    pub(super) async fn serve(self, io: Io) {
        let listener = &self.proxy.listeners[self.link.listener];
        let counters = &listener.http2;
        let digest = Arc::new(Digest {
            ssl_digest: io.get_ssl_digest(),
            timing_digest: io.get_timing_digest(),
            proxy_digest: io.get_proxy_digest(),
            socket_digest: io.get_socket_digest(),
        });
        let meter = Arc::new(Meter::new(Instant::now()));
        let wire = Wire::new(io, meter.clone());
        let shake = options(&listener.bounds).handshake(wire);
        let connection = match timeout(listener.bounds.handshake_timeout, shake).await {
            Ok(Ok(connection)) => connection,
            Ok(Err(error)) => {
                if !error.is_io() {
                    counters.handshake.inc();
                    count::log(self.proxy, self.link, None, 0);
                }
                return;
            }
            Err(_) => {
                counters.handshake.inc();
                count::log(self.proxy, self.link, None, 0);
                return;
            }
        };
        let born = Instant::now();
        let shared = Arc::new(Shared::new(listener.bounds, counters.clone(), born));
        let window = (born, 0, 0);
        Serving {
            server: self,
            listener,
            connection,
            meter,
            shared,
            digest,
            born,
            leaving: None,
            window,
            faults: 0,
            refused: 0,
        }
        .run()
        .await;
    }
}

/// What `h2` is to hold clients to.
fn options(bounds: &Bounds) -> Builder {
    let mut options = Builder::new();
    // Twice what is allowed: a header over the limit is told 431 by us, who count and log it. `h2`
    // does so too, in silence.
    let header = u32::try_from(bounds.max_header).unwrap_or(u32::MAX).saturating_mul(2);
    options
        .max_concurrent_streams(bounds.h2_max_streams)
        .max_header_list_size(header)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buffer_size(SEND_BUFFER)
        .max_local_error_reset_streams(Some(bounds.h2_max_resets as usize));
    options
}

// === impl Serving ===

impl Serving<'_> {
    async fn run(mut self) {
        let mut shutdown = self.server.shutdown.clone();
        if *shutdown.borrow() {
            self.leave();
        }
        loop {
            let event = self.next(&mut shutdown).await;
            self.tell();
            match event {
                Event::Stream(request, respond) => self.dispatch(request, respond),
                Event::Closed(error) => return self.closed(error),
                Event::Flood => {
                    self.listener.http2.flood.inc();
                    count::log(self.server.proxy, self.server.link, None, 0);
                    return self.end(Reason::ENHANCE_YOUR_CALM).await;
                }
                Event::Drain => self.leave(),
                Event::Tick => {
                    if let Some(reason) = self.due() {
                        return self.end(reason).await;
                    }
                }
            }
        }
    }

    /// Drives the connection until something is to be done.
    async fn next(&mut self, shutdown: &mut ShutdownWatch) -> Event {
        let tick = self.tick();
        let (connection, meter) = (&mut self.connection, &self.meter);
        let (window, most) = (&mut self.window, self.listener.bounds.h2_max_resets);
        let accept = std::future::poll_fn(|cx| {
            let polled = pin!(connection.accept()).poll(cx);
            if over(meter, window, most) {
                return Poll::Ready(Event::Flood);
            }
            polled.map(|accepted| match accepted {
                Some(Ok((request, respond))) => Event::Stream(request, respond),
                Some(Err(error)) => Event::Closed(Some(error)),
                None => Event::Closed(None),
            })
        });
        tokio::select! {
            biased;
            // An error is the end of the shutdown's sender, and so of the process.
            _ = shutdown.changed(), if self.leaving.is_none() => Event::Drain,
            event = accept => event,
            () = sleep_until(tick) => Event::Tick,
        }
    }

    /// Says that no more streams are wanted; those that are open go on.
    fn leave(&mut self) {
        self.leaving = Some(Instant::now());
        self.connection.graceful_shutdown();
    }

    /// When to look at the clock again.
    fn tick(&self) -> Instant {
        let now = Instant::now();
        let bounds = &self.listener.bounds;
        if !self.meter.settings.load(Relaxed) {
            return self.born + bounds.handshake_timeout;
        }
        if self.leaving.is_some() {
            return now + CLOSING;
        }
        match self.shared.idle_since() {
            Some(since) => (since + bounds.h2_idle_timeout).max(now),
            None => now + bounds.h2_idle_timeout.min(bounds.write_timeout),
        }
    }

    /// Whether the connection's time is up, and what to say then.
    fn due(&mut self) -> Option<Reason> {
        let now = Instant::now();
        let (bounds, counters) = (&self.listener.bounds, &self.listener.http2);
        if !self.meter.settings.load(Relaxed) {
            counters.handshake.inc();
            count::log(self.server.proxy, self.server.link, None, 0);
            return Some(Reason::SETTINGS_TIMEOUT);
        }
        if self.meter.stalled(now).is_some_and(|stalled| stalled >= bounds.write_timeout) {
            counters.write_timeout.inc();
            return Some(Reason::NO_ERROR);
        }
        let idle = self.shared.idle_since()?;
        if self.leaving.is_some_and(|since| now.saturating_duration_since(since.max(idle)) >= CLOSING) {
            return Some(Reason::NO_ERROR);
        }
        if self.leaving.is_none() && now.saturating_duration_since(idle) >= bounds.h2_idle_timeout {
            counters.idle.inc();
            self.leave();
        }
        None
    }

    /// Counts and logs what `h2` refused by itself.
    fn tell(&mut self) {
        let faults = self.meter.faults.load(Relaxed);
        for _ in self.faults..faults {
            self.listener.http2.malformed.inc();
            count::log(self.server.proxy, self.server.link, None, 0);
        }
        let refused = self.meter.refused.load(Relaxed);
        for _ in self.refused..refused {
            self.listener.http2.streams.inc();
        }
        (self.faults, self.refused) = (faults, refused);
    }

    /// Serves a stream in a task of its own.
    fn dispatch(&self, request: Request<RecvStream>, mut respond: SendResponse<Bytes>) {
        let reset = std::future::poll_fn(|cx| respond.poll_reset(cx)).now_or_never();
        if let Some(reset) = reset {
            // Given up, or broken by its body, in what came with its header: no endpoint need hear of
            // it. What broke is counted and logged by what `tell` sees.
            if !reset.is_ok_and(wire::is_fault) {
                count::gone(self.server.proxy, self.server.link, &request);
            }
            return;
        }
        if request.method() == Method::CONNECT {
            // Pingora would answer it without counting it.
            self.listener.http2.of(valid::Reason::Method).inc();
            count::log(self.server.proxy, self.server.link, Some(&request), 405);
            let mut answer = http::Response::new(());
            *answer.status_mut() = http::StatusCode::METHOD_NOT_ALLOWED;
            // A client that has gone needs no answer.
            let _ = respond.send_response(answer, true);
            return;
        }
        let valve = Arc::new(Valve::default());
        let open = self.shared.open();
        let streams = self.shared.streams.clone();
        let stream = Stream::new(request, respond, self.shared.clone(), valve.clone(), self.digest.clone());
        let (http, shutdown) = (self.server.http.clone(), self.server.shutdown.clone());
        let work = Box::pin(async move {
            let _open = open;
            let session = ServerSession::new_custom(Box::new(stream));
            http.process_new_http(session, &shutdown).await;
        });
        let work = narrow::scope(streams.clone(), valve.run(work, streams));
        tokio::spawn(link::scope(self.server.link.clone(), work));
    }

    /// The connection is closed; `h2` has said what was to be said.
    fn closed(&self, error: Option<h2::Error>) {
        let Some(error) = error.filter(|error| error.is_library()) else { return };
        let calm = error.reason() == Some(Reason::ENHANCE_YOUR_CALM);
        let counters = &self.listener.http2;
        if calm {
            counters.flood.inc()
        } else {
            counters.protocol.inc()
        }
        count::log(self.server.proxy, self.server.link, None, 0);
    }

    /// Ends the connection with all its streams.
    async fn end(mut self, reason: Reason) {
        self.connection.abrupt_shutdown(reason);
        let flushed = std::future::poll_fn(|cx| self.connection.poll_closed(cx));
        // Either way it is dropped.
        let _ = timeout(CLOSING, flushed).await;
    }
}

/// Whether the client resets or chatters too much.
///
/// The clock is looked at only where it matters: a count that is reached in more than a window
/// begins anew.
fn over(meter: &Meter, window: &mut (Instant, u32, u32), most: u32) -> bool {
    let (resets, chatter) = (meter.resets.load(Relaxed), meter.chatter.load(Relaxed));
    let (since, old_resets, old_chatter) = *window;
    if resets.wrapping_sub(old_resets) <= most && chatter.wrapping_sub(old_chatter) <= CHATTER {
        return false;
    }
    let now = Instant::now();
    if now.saturating_duration_since(since) <= WINDOW {
        return true;
    }
    *window = (now, resets, chatter);
    false
}

/// Whether a request over HTTP/2 may go on; makes one form of it if so.
pub(super) fn check(session: &mut Session, listener: &Listener) -> Result<(), Fault> {
    let ended = session.is_body_done();
    let most = Most {
        header_bytes: listener.bounds.max_header,
        headers: listener.bounds.max_headers,
        target: listener.bounds.max_target,
        trace: listener.allow_trace,
    };
    valid::check(session.req_header(), ended, &most)?;
    valid::settle(session.req_header_mut());
    Ok(())
}
