//! The first phase: which route, and what it asks for.
//!
//! The snapshot is loaded here and nowhere else; whatever is published later does not touch this
//! request.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, Version, header};
use pingora::Result;
use pingora::http::ResponseHeader;
use pingora::protocols::http::ServerSession;
use pingora_proxy::Session;

use crate::filter::redirect::Target;
use crate::filter::{Answer, Verdict};
use crate::observe::Flag;
use crate::observe::metrics::Counter;
use crate::proxy::ctx::{InFlight, RequestCtx};
use crate::proxy::error::{full, local};
use crate::proxy::forward::{identity, origin::Origin};
use crate::proxy::link::Link;
use crate::proxy::respond::{edit, exchange};
use crate::proxy::{Invalid, Proxy, authority, grpc, hop, http2, secure, tap, variant};
use crate::route::{RequestView, Router};
use crate::snapshot::table::Forward;
use crate::snapshot::{Action, Route};

/// What tells Pingora to keep a connection without a timer of its own: [`conn`](super::http1::conn) ends idle ones.
const KEEP: u64 = 0;

/// How much of a request's body is read when its answer does not need it, in bytes.
const SMALL_BODY: usize = 64 * 1024;

/// How long that may take.
const DRAIN: Duration = Duration::from_secs(1);

/// The header that names a request in logs on both sides.
pub static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

impl Proxy {
    /// Routes the request. True: it has been answered here.
    pub(crate) async fn accept(&self, session: &mut Session, ctx: &mut RequestCtx) -> Result<bool> {
        let link = ctx.link.get_or_insert_with(|| self.link_of(session)).clone();
        let listener = &self.listeners[link.listener];
        ctx.in_flight = Some(InFlight::new(&listener.in_flight));
        tap::accepted(session);
        self.settle_keepalive(session);
        let snapshot = self.cell.load();
        ctx.snapshot = Some(snapshot.clone());
        let Some(place) = listener.limits.request() else {
            ctx.flag = Some(Flag::UO);
            return full(session).await.map(|()| true);
        };
        ctx.place = Some(place);
        if session.req_header().version == Version::HTTP_2
            && let Err(fault) = http2::check(session, listener)
        {
            listener.http2.of(fault.reason).inc();
            return refuse(session, ctx, fault.status, fault.why).await;
        }
        hop::request(session.req_header_mut());
        let forwarding = &snapshot.table.forwarding;
        if !forwarding.trusts_nobody()
            && let Some(peer) = ctx.peer()
        {
            ctx.origin = Origin::find(&session.req_header().headers, peer, |ip| forwarding.trusts(ip));
        }
        hush(session);
        secure::tell(session.req_header_mut(), &link);
        if let Err((reason, why)) = find(session, ctx, &snapshot.table.router, &listener.invalid) {
            reason.inc();
            return refuse(session, ctx, 400, why).await;
        }
        identity::name(session.req_header_mut(), forwarding);
        ctx.call = grpc::Call::of(session.req_header());
        let Some(route) = ctx.route.map(|index| &snapshot.table.routes[index]) else {
            ctx.flag = Some(Flag::NR);
            return local(session, 404, "no route").await.map(|()| true);
        };
        match &route.action {
            Action::Forward(forward) => {
                ctx.deadline = forward.timeout.map(|timeout| ctx.start + timeout);
                grpc::begin(session.req_header(), forward, ctx);
                if let Verdict::Answer(made) = filter(session, ctx, forward, route) {
                    return answer(session, ctx, *made).await;
                }
                // After the filters: what they put in can decide.
                if variant::direct(session, ctx, &snapshot) {
                    return Ok(false);
                }
                ctx.flag = Some(Flag::DR);
                local(session, 503, "no variant has a weight").await.map(|()| true)
            }
            Action::Redirect(redirect) => {
                let request = session.req_header();
                let (path, query) = (request.uri.path(), request.uri.query());
                let port = authority::port(request);
                let (scheme, host) = (ctx.scheme(), &ctx.host);
                let made = redirect.answer(&Target { scheme, host, port, path, query });
                answer(session, ctx, made).await
            }
            Action::Respond(respond) => answer(session, ctx, respond.answer()).await,
        }
    }

    /// What the socket says of a connection.
    fn link_of(&self, session: &Session) -> Arc<Link> {
        let inet = |address: Option<&pingora::protocols::l4::socket::SocketAddr>| {
            address.and_then(|address| address.as_inet()).copied()
        };
        let listener = self.listener(inet(session.server_addr()));
        Arc::new(Link::new(listener, inet(session.client_addr())))
    }

    /// Keep-alive, none while draining. Never on where Pingora switched it off for the sake of
    /// framing.
    pub(crate) fn settle_keepalive(&self, session: &mut Session) {
        if session.get_keepalive().is_some() {
            let last = self.leaving() || hop::closes(session.req_header());
            session.set_keepalive(if last { None } else { Some(KEEP) });
        }
    }
}

/// Finds the route of a valid request. An invalid one: what counts it, and what the client is told.
fn find<'a>(
    session: &Session,
    ctx: &mut RequestCtx,
    router: &Router,
    invalid: &'a Invalid,
) -> std::result::Result<(), (&'a Counter, &'static str)> {
    let request = session.req_header();
    let host = authority::host(request).map_err(|why| (&invalid.host, why))?;
    ctx.host.push_str(&host);
    ctx.route = router.find(&RequestView {
        host: &ctx.host,
        path: request.uri.path(),
        query: request.uri.query(),
        method: &request.method,
        headers: &request.headers,
    });
    Ok(())
}

/// Takes the request through the route's filters.
fn filter(session: &mut Session, ctx: &mut RequestCtx, forward: &Forward, route: &Route) -> Verdict {
    if forward.filters.is_empty() {
        return Verdict::Continue;
    }
    let mut request = session.req_header().clone();
    let of = (ctx.client(), ctx.scheme());
    let verdict = forward.filters.on_request(&mut request, &mut exchange(of, route, &mut ctx.memory));
    *session.req_header_mut() = request;
    verdict
}

/// A client of HTTP/1.0 does not know of interim answers: Pingora drops them.
fn hush(session: &mut Session) {
    if session.req_header().version < Version::HTTP_11
        && let ServerSession::H1(http1) = session.as_downstream_mut()
    {
        http1.set_ignore_info_resp(true);
    }
}

async fn refuse(session: &mut Session, ctx: &mut RequestCtx, status: u16, why: &'static str) -> Result<bool> {
    ctx.flag = Some(Flag::DPE);
    session.set_keepalive(None);
    local(session, status, why).await.map(|()| true)
}

/// Reads what is left of a small body, so that the connection can be kept. A large or slow one, or
/// one that waits for our word to be sent at all, is not waited for; then the answer ends the
/// connection.
async fn drain(session: &mut Session) {
    if session.as_http1().is_none() || session.req_header().headers.contains_key(header::EXPECT) {
        return;
    }
    let read = async {
        let mut length = 0;
        while length < SMALL_BODY
            && let Ok(Some(bytes)) = session.read_request_body().await
        {
            length += bytes.len();
        }
    };
    // Either way what was read is read; the session knows whether it is all.
    let _ = tokio::time::timeout(DRAIN, read).await;
}

/// Writes an answer that needs no endpoint.
async fn answer(session: &mut Session, ctx: &mut RequestCtx, made: Answer) -> Result<bool> {
    let Answer { mut head, body } = made;
    edit(&mut head, ctx);
    send(session, head, body).await.map(|()| true)
}

/// Writes header and body with their framing.
pub(crate) async fn send(
    session: &mut Session,
    mut header: ResponseHeader,
    body: bytes::Bytes,
) -> Result<()> {
    let status = header.status.as_u16();
    let bodiless = status < 200 || status == 204 || status == 304;
    if session.get_keepalive().is_some() && !session.is_body_done() {
        drain(session).await;
    }
    if !bodiless {
        header.insert_header(header::CONTENT_LENGTH, body.len())?;
    }
    let silent = bodiless || body.is_empty() || session.req_header().method == http::Method::HEAD;
    match &mut *session.downstream_session {
        // Pingora's own way leaves the end of the stream to whoever ends the session well. After an
        // error nobody does, and a gRPC status in a header that does not end the stream is none.
        ServerSession::Custom(stream) if silent => {
            stream.write_response_header(Box::new(header), true).await?;
        }
        _ => session.write_response_header(Box::new(header), silent).await?,
    }
    if !silent {
        session.write_response_body(Some(body), true).await?;
    }
    Ok(())
}
