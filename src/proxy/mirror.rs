//! Copies of requests for another cluster, whose answers nobody gets.
//!
//! The rule above all others: the real request does not notice. It waits for nothing here; what is
//! sent, is sent by a task of its own over connections of its own, bounded in number, in time and
//! in bytes. A mirror that can't keep up loses copies, which are counted, and never a request.
//!
//! - Copied is what the endpoint gets: after filters, rewrite and header edits, with the same
//!   `x-request-id`. The header [`MARK`] tells the receiver that nobody waits for its answer.
//! - Each request is decided on once, when its header is first made for an endpoint. A retry is no
//!   second request. One that no endpoint could be found for is not copied either.
//! - A body is copied as it passes, and the copy is sent when it is whole. A body over [`BODY`], or
//!   one that the client or the endpoint breaks off, is not mirrored: half a request is none.
//! - Nobody stands in for a mirror's cluster: its `failover` is for requests that somebody waits for.
//! - Upgrades are not mirrored, nor is what is a copy itself: two proxies that mirror to each other
//!   would never be done with the first request. The bad side: a client that sends the mark keeps
//!   its requests out of the mirror.
//!
//! The price of a copy is paid by the real request's thread: its header is cloned, its body copied
//! once more.

mod exchange;

use bytes::Bytes;
use http::HeaderValue;
use http::header::{CONTENT_LENGTH, EXPECT, TRANSFER_ENCODING, UPGRADE};
use pingora::http::RequestHeader;
use pingora_proxy::Session;

use crate::observe::metrics::mirror::Lost;
use crate::proxy::ctx::RequestCtx;
use crate::snapshot::mirror::Mirror;

use self::exchange::Exchange;

/// The header of a copy; its value is the route's name. No real request has it.
pub(crate) const MARK: &str = "x-tidegate-mirror";

/// The largest body that is copied. Pingora keeps as much of each body for a retry.
const BODY: usize = 64 * 1024;

/// So many copies of a route's requests are on their way at most. With their bodies they are 16 MiB.
const IN_FLIGHT: usize = 256;

/// How far the copy of a request is.
#[derive(Debug, Default)]
pub(crate) enum Stage {
    /// No header was made yet.
    #[default]
    Undecided,
    /// Waits for the rest of the body.
    Collecting(Box<Copy>),
    /// Sent, or nothing to send.
    Done,
}

/// A request for the mirror.
#[derive(Debug)]
pub(crate) struct Copy {
    head: RequestHeader,
    body: Vec<u8>,
}

/// The header for the endpoint is made. Decides whether the request is copied; one without a
/// body is sent at once.
pub(crate) fn header(session: &mut Session, request: &RequestHeader, ctx: &mut RequestCtx) {
    if mirror(ctx).is_none() {
        return;
    }
    match &mut ctx.mirror {
        Stage::Undecided => ctx.mirror = decide(session, request, ctx),
        // Another try: what was read of the body comes again, from its begin.
        Stage::Collecting(copy) => copy.body.clear(),
        Stage::Done => {}
    }
}

/// A piece of the body passes, maybe the last.
pub(crate) fn body(session: &Session, body: Option<&Bytes>, end: bool, ctx: &mut RequestCtx) {
    let Stage::Collecting(copy) = &mut ctx.mirror else { return };
    let piece = body.map_or(&[][..], |bytes| bytes);
    let fits = copy.body.len() + piece.len() <= BODY;
    if fits {
        copy.body.extend_from_slice(piece);
    }
    if fits && !end {
        return;
    }
    let stage = std::mem::replace(&mut ctx.mirror, Stage::Done);
    match (stage, mirror(ctx)) {
        (Stage::Collecting(copy), Some(mirror)) if fits => send(session, mirror, *copy, ctx),
        (_, Some(mirror)) => mirror.metrics.lost(Lost::TooLarge),
        (_, None) => {}
    }
}

fn decide(session: &mut Session, request: &RequestHeader, ctx: &RequestCtx) -> Stage {
    let Some(mirror) = mirror(ctx) else { return Stage::Done };
    let copied_before = session.req_header().headers.contains_key(MARK);
    let upgrade = request.headers.contains_key(UPGRADE);
    if copied_before || upgrade || !mirror.takes(&request.method, fastrand::f64()) {
        return Stage::Done;
    }
    if length(request).is_some_and(|length| length > BODY as u64) {
        mirror.metrics.lost(Lost::TooLarge);
        return Stage::Done;
    }
    if mirror.metrics.in_flight() >= IN_FLIGHT {
        // Where nothing can be sent, nothing need be copied.
        mirror.metrics.lost(Lost::Dropped);
        return Stage::Done;
    }
    let copy = Copy { head: request.clone(), body: Vec::new() };
    if !session.is_body_empty() {
        return Stage::Collecting(Box::new(copy));
    }
    send(session, mirror, copy, ctx);
    Stage::Done
}

/// Picks the endpoint and lets go of the copy.
fn send(session: &Session, mirror: &Mirror, copy: Copy, ctx: &RequestCtx) {
    let Some(snapshot) = &ctx.snapshot else { return };
    let Some(flight) = mirror.metrics.enter(IN_FLIGHT) else {
        return mirror.metrics.lost(Lost::Dropped);
    };
    let cluster = &snapshot.clusters[mirror.cluster];
    // Of the same request that the real cluster hashes: the client's, after the filters.
    let asked = session.req_header();
    let key = cluster.hash.key(&asked.headers, asked.uri.query(), ctx.client());
    let Some(choice) = cluster.pick(key, &[], &mut fastrand::Rng::new()) else {
        return mirror.metrics.lost(Lost::NoEndpoint);
    };
    if choice.panic {
        cluster.metrics.panic.inc();
    }
    let exchange = Exchange {
        connections: mirror.connections.clone(),
        lease: cluster.endpoints[choice.index].state.lease_aside(),
        endpoint: choice.index,
        cluster: cluster.clone(),
        head: Box::new(framed(copy.head, &mirror.route, copy.body.len())),
        body: copy.body.into(),
        limit: mirror.limit,
        metrics: mirror.metrics.clone(),
        flight,
    };
    tokio::spawn(exchange.run());
}

/// The mirror of the request's route.
fn mirror(ctx: &RequestCtx) -> Option<&Mirror> {
    ctx.forward()?.mirror.as_ref()
}

/// The length that a header says its body has.
fn length(request: &RequestHeader) -> Option<u64> {
    request.headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// The header of a copy whose body is whole and so of a known length.
fn framed(mut head: RequestHeader, route: &HeaderValue, length: usize) -> RequestHeader {
    let said = head.remove_header(&CONTENT_LENGTH).is_some();
    head.remove_header(&TRANSFER_ENCODING);
    // Whoever waits for the word to send its body has got it from the real endpoint.
    head.remove_header(&EXPECT);
    // These fail only where the map holds 32,768 values: then the copy goes without.
    if length > 0 || said || !head.method.is_safe() {
        let _ = head.insert_header(CONTENT_LENGTH, length);
    }
    let _ = head.insert_header(MARK, route.clone());
    head
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(method: &str, lines: &[(&'static str, &str)], length: usize) -> Vec<(String, String)> {
        let mut head = RequestHeader::build(method, b"/", None).unwrap();
        for (name, value) in lines {
            head.append_header(*name, *value).unwrap();
        }
        let head = framed(head, &HeaderValue::from_static("shop"), length);
        let text = |v: &HeaderValue| v.to_str().unwrap().to_owned();
        head.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect()
    }

    #[test]
    fn a_copy_says_its_length_and_whose_it_is() {
        let mark = || (MARK.to_owned(), "shop".to_owned());
        let of = |length: &str| ("content-length".to_owned(), length.to_owned());
        assert_eq!(lines("GET", &[], 0), [mark()]);
        assert_eq!(lines("POST", &[], 0), [of("0"), mark()]);
        assert_eq!(lines("GET", &[("content-length", "0")], 0), [of("0"), mark()]);
        let chunked = [("transfer-encoding", "chunked"), ("expect", "100-continue"), (MARK, "forged")];
        let mut copy = lines("POST", &chunked, 5);
        copy.sort();
        assert_eq!(copy, [of("5"), mark()]);
    }
}
