//! HTTP/1 from the client: where one request ends and the next begins is decided here.
//!
//! Pingora's parser is lenient, and what it makes of the bytes is not what came in. So we frame the
//! connection before it sees a byte:
//!
//! 1. [`head`] finds the head of a request and judges it; what is not valid is answered here and
//!    never reaches Pingora (`refusal` has all reasons).
//! 2. [`conn`] lends Pingora a stream that has the bytes of this request, and ends with it.
//! 3. [`body`] follows the body as it passes, and takes out of it what nobody should read.
//! 4. All waits for the client have a deadline (`conn/wait`), all of one timer (`clock`).
//!
//! So what reaches an endpoint is one request for each that was routed, whatever the bytes were. The
//! bad side: a head is parsed twice, here and by Pingora, which costs about a microsecond; trailers
//! are not passed on, since Pingora has no place for them in HTTP/1.

pub(crate) mod body;
mod clock;
pub(crate) mod conn;
mod field;
pub(crate) mod head;
mod held;
mod line;
pub(in crate::proxy) mod octet;
pub(crate) mod refusal;
pub(in crate::proxy) mod refuse;

use std::pin::pin;
use std::sync::Arc;

use pingora::apps::HttpServerApp;
use pingora::protocols::Stream;
use pingora::protocols::http::ServerSession;
use pingora::server::ShutdownWatch;
use pingora_proxy::HttpProxy;
use tokio::sync::watch;

use self::conn::{Conn, Next, Rules};
use self::head::Bounds;
use self::refusal::Refusal;
use crate::observe::Flag;
use crate::proxy::link::Link;
use crate::proxy::lost::{self, Lost};
use crate::proxy::tap::Note;
use crate::proxy::{Listener, Proxy, link};

/// As the log calls it, where the request cannot be asked.
const PROTOCOL: &str = "HTTP/1.1";

/// What tells Pingora to read without a timer of its own: all deadlines are ours.
const FOR_EVER: u64 = 0;

/// What is served on a connection, and until when.
#[derive(Clone)]
pub(in crate::proxy) struct Server<'a> {
    pub(in crate::proxy) http: &'a Arc<HttpProxy<Proxy>>,
    pub(in crate::proxy) proxy: &'a Proxy,
    pub(in crate::proxy) shutdown: &'a ShutdownWatch,
    /// True: idle connections are to close.
    pub(in crate::proxy) closing: watch::Receiver<bool>,
}

// === impl Server ===

impl Server<'_> {
    /// Serves a connection, request by request.
    pub(in crate::proxy) async fn serve(self, stream: Stream, link: Arc<Link>) {
        let listener = &self.proxy.listeners[link.listener];
        let mut conn = Box::new(Conn::new(stream, rules(listener)));
        let note = conn.share();
        // One wait for all requests: to begin it costs more than to look at it.
        let mut closing = pin!(closed(self.closing.clone()));
        loop {
            let next = tokio::select! {
                // What is there already is served, also while the process ends.
                biased;
                next = conn.next() => next,
                () = &mut closing => return,
            };
            match next {
                Next::Request => {}
                // Boxed, so that an idle connection has no room for it.
                Next::Refused(refusal) => return Box::pin(self.refuse(conn, refusal, &link)).await,
                Next::Closed => return,
                Next::Idle => return listener.late.idle.inc(),
                Next::Broken => {
                    listener.invalid.malformed.inc();
                    let (method, path) = line::told(conn.held(), listener.bounds.max_target);
                    let lost = Lost { method, path, ..Lost::new(PROTOCOL, 0, Flag::DC) };
                    return lost::record(self.proxy, &link, &lost);
                }
            }
            let mut session = ServerSession::new_http1(conn);
            session.set_keepalive(Some(FOR_EVER));
            session.set_read_timeout(None);
            let served = self.http.process_new_http(session, self.shutdown);
            let served = link::scope(link.clone(), served).await;
            self.account(&note, &link, served.is_some());
            let Some(reused) = served else { return };
            let (stream, _) = reused.consume();
            // It is the one that was lent.
            let Ok(lent) = stream.into_any().downcast::<Conn>() else { return };
            conn = lent;
        }
    }

    /// Counts how a request went wrong on the client's side.
    fn account(&self, note: &Note, link: &Link, kept: bool) {
        let listener = &self.proxy.listeners[link.listener];
        if let Some(trouble) = note.trouble() {
            self.count(trouble, listener);
        }
        if note.stalled() {
            listener.late.write.inc();
        }
        if !note.is_accepted() && !kept {
            // Pingora refused what we took for valid; it has said 400.
            listener.invalid.malformed.inc();
            let lost = Lost::new(PROTOCOL, 400, Flag::DPE);
            lost::record(self.proxy, link, &lost);
        }
    }

    /// Answers a request that is not valid, and closes when the client has heard.
    async fn refuse(&self, mut conn: Box<Conn>, refusal: Refusal, link: &Link) {
        let listener = &self.proxy.listeners[link.listener];
        self.count(refusal, listener);
        let held = conn.held().to_vec();
        let (method, path) = line::told(&held, listener.bounds.max_target);
        refuse::answer(&mut *conn, refusal, method).await;
        let lost = Lost { method, path, ..Lost::new(PROTOCOL, refusal.status, Flag::DPE) };
        lost::record(self.proxy, link, &lost);
        conn.note().linger();
    }

    fn count(&self, refusal: Refusal, listener: &Listener) {
        listener.invalid.of(refusal.kind).inc();
        match refusal {
            refusal::LATE_HEADER => listener.late.header.inc(),
            refusal::LATE_BODY => listener.late.body.inc(),
            refusal::SLOW_BODY => listener.late.rate.inc(),
            _ => {}
        }
    }
}

/// Waits until idle connections are to close.
async fn closed(mut closing: watch::Receiver<bool>) {
    // An error: the listener is gone, which is the same.
    let _ = closing.wait_for(|closing| *closing).await;
}

/// What a listener asks, of its config.
fn rules(listener: &Listener) -> Rules {
    let bounds = &listener.bounds;
    Rules {
        bounds: Bounds {
            header_bytes: bounds.max_header,
            headers: bounds.max_headers,
            target: bounds.max_target,
            trace: listener.allow_trace,
        },
        header: bounds.header_timeout,
        idle: bounds.idle_timeout,
        body: bounds.body_timeout,
        rate: u64::from(bounds.min_body_rate),
        write: bounds.write_timeout,
    }
}
