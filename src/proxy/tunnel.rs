//! WebSockets: requests that turn their connection into a tunnel, and the tunnels.
//!
//! Pingora 0.9.1 copies the bytes. Two things it can't do are done here, below it, on the connection
//! to the endpoint ([`channel`]):
//!
//! - **An endpoint that says 101 at once** (Pingora #946). The request goes to the endpoint in two
//!   steps, its header and the news that it has no body. If the 101 has been read between the two,
//!   Pingora takes that news for the end of the tunnel. So nothing is read from the endpoint until
//!   the news is through: [`Stage`]. A third of the tunnels to such an endpoint broke without.
//! - **Idle time.** Pingora's time-out is for reads alone: a client that only talks would be cut off
//!   after it. Here either direction counts.
//!
//! Each tunnel has a connection of its own, which no other request may use, before or after; a
//! WebSocket has one anyhow. A refused one costs that connection.
//!
//! Only `websocket` is passed on, with GET, over HTTP/1.1, named in `connection`; any other `upgrade`
//! is taken out of the request, and the answer is an ordinary one ([`hop`](super::hop)). A 101 that
//! does not say `websocket` is no answer to what was asked.
//!
//! A half-closed tunnel is closed: when either side ends, what it has sent is passed on, and then both
//! connections are closed. WebSocket's closing handshake comes before that, so nothing is lost.

mod channel;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering::Relaxed};
use std::time::Duration;

use http::header::UPGRADE;
use pingora::http::ResponseHeader;
use pingora::protocols::ALPN;
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorType, Result};
use pingora_proxy::Session;

use crate::proxy::ctx::RequestCtx;
use crate::proxy::tap;

use self::channel::Opener;

/// A request that may become a tunnel, and the tunnel: what its phases and its connection share.
#[derive(Debug)]
pub(crate) struct Tunnel {
    stage: AtomicU8,
    /// How long no byte may pass in either direction. None: no limit.
    idle: Option<Duration>,
    timed_out: AtomicBool,
    /// The answer was an ordinary one, and is over.
    spent: AtomicBool,
}

/// How far the request is. Reads of the endpoint wait amid [`Header`](Stage::Header) and
/// [`Whole`](Stage::Whole).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Stage {
    /// The connection is being opened; TLS may read.
    Opening,
    /// The header is about to be written.
    Header,
    /// It has been said that no body follows; Pingora has not passed it on yet.
    Whole,
    /// It has: the flush after it came.
    Asked,
}

/// Tells the keys of tunnels from those of other connections.
const APART: u64 = 0x7475_6e6e_656c;

/// Prepares the connection for a request that asks for a tunnel.
pub(crate) fn prepare(session: &Session, peer: &mut HttpPeer, ctx: &mut RequestCtx) {
    ctx.tunnel = None;
    if !session.as_http1().is_some_and(|http1| http1.is_upgrade_req()) {
        return;
    }
    let idle = ctx.forward().and_then(|forward| forward.idle_timeout);
    let tunnel = Arc::new(Tunnel {
        stage: AtomicU8::new(Stage::Opening as u8),
        idle,
        timed_out: false.into(),
        spent: false.into(),
    });
    let options = &mut peer.options;
    options.custom_l4 = Some(Arc::new(Opener::new(tunnel.clone(), options.custom_l4.take())));
    // It gets nobody else's from the pool, and never gets there itself: see `answered`.
    peer.group_key ^= APART;
    options.idle_timeout = Some(Duration::ZERO);
    options.alpn = ALPN::H1;
    options.read_timeout = None;
    options.write_timeout = idle;
    // Until the answer's header the request is bound by its time like any other.
    tap::cut_at(session, ctx.deadline);
    ctx.tunnel = Some(tunnel);
}

/// The header is about to be written.
pub(crate) fn asking(ctx: &RequestCtx) {
    if let Some(tunnel) = &ctx.tunnel {
        tunnel.stage.store(Stage::Header as u8, Relaxed);
    }
}

/// The request is whole.
pub(crate) fn asked(ctx: &RequestCtx) {
    if let Some(tunnel) = &ctx.tunnel {
        tunnel.stage.store(Stage::Whole as u8, Relaxed);
    }
}

/// A 101 came: from here on it is a tunnel, unless something else was asked for.
pub(crate) fn opened(session: &Session, response: &ResponseHeader, ctx: &mut RequestCtx) -> Result<()> {
    let mut protocols = response.headers.get_all(UPGRADE).iter();
    let same = protocols.next().is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"));
    if ctx.tunnel.is_none() || !same || protocols.next().is_some() {
        return Err(Error::explain(ErrorType::InvalidHTTPHeader, "101 to another protocol").into_up());
    }
    // The idle time bounds it.
    ctx.deadline = None;
    tap::cut_at(session, None);
    if let Some(cluster) = ctx.cluster
        && let Some(route) = ctx.route()
    {
        ctx.upgraded = route.upgraded.iter().find(|(index, _)| *index == cluster).map(|(_, m)| m.enter());
    }
    Ok(())
}

/// An ordinary answer is over. From here on its connection looks as if the endpoint had closed it, so
/// that Pingora does not keep it.
pub(crate) fn answered(ctx: &RequestCtx) {
    if let Some(tunnel) = &ctx.tunnel {
        tunnel.spent.store(true, Relaxed);
    }
}

// === impl Tunnel ===

impl Tunnel {
    /// Whether it ended because nothing passed for so long.
    pub(crate) fn timed_out(&self) -> bool {
        self.timed_out.load(Relaxed)
    }

    fn waits(&self) -> bool {
        let stage = self.stage.load(Relaxed);
        stage == Stage::Header as u8 || stage == Stage::Whole as u8
    }

    /// The endpoint's side was flushed. True: reads may go on.
    fn flushed(&self) -> bool {
        let (whole, asked) = (Stage::Whole as u8, Stage::Asked as u8);
        self.stage.compare_exchange(whole, asked, Relaxed, Relaxed).is_ok()
    }
}
