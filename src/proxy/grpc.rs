//! gRPC calls on their way through: deadline, outcome, and errors that a caller understands.
//!
//! **Deadline.** A call ends at the earlier of its `grpc-timeout` and the route's `timeout`, which means
//! that a route for streams of hours needs `timeout: 0s`; `idle_timeout` (5 minutes) bounds how long one
//! may stand still. A later try tells the endpoint what is left. A deadline that the caller set is not
//! held against the endpoint: a caller with one of a millisecond could else have all of them ejected.
//! The bad side: Pingora has no timer for an answer over HTTP/2, but one for each of its pauses. So
//! messages that come end with the deadline to the moment, and a stream that falls silent shortly before
//! it may be up to once more as long. The caller has its own clock and cancels, which goes through.
//!
//! **Outcome.** `grpc-status` is noted where it comes by, in the trailers, or in the header of an answer
//! that has nothing else. It is what metrics, log, retries and passive detection go by.
//!
//! **Errors** of Tidegate go to a caller as such an answer: HTTP status 200, `grpc-status`,
//! `grpc-message`. If the endpoint breaks off after its header was passed on, they are the trailers that
//! it did not send; without them the caller would see a reset, and take it for an error of the
//! protocol.
//!
//! **gRPC-Web** is translated if the route has `grpc_web`, over HTTP/1.1 and HTTP/2, by Pingora's own
//! bridge. Its module is not used: it would cost every request of every route two allocations, and must
//! be switched on before the route is known. The text form (base64) is not translated.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Version, header};
use pingora::Result;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::http::bridge::grpc_web::GrpcWebCtx;
use pingora_proxy::Session;

use crate::endpoint::Failure;
use crate::grpc::{Code, Dialect, MESSAGE, STATUS, TIMEOUT, encode_message, timeout};
use crate::observe::Flag;
use crate::proxy::accept::send;
use crate::proxy::ctx::{RequestCtx, now};
use crate::proxy::outcome;
use crate::snapshot::table::Forward;

/// What is known of a call.
#[derive(Debug)]
pub(crate) struct Call {
    dialect: Dialect,
    /// When it must be over, if the caller says so.
    deadline: Option<Instant>,
    /// How the last try ended, or the call as a whole.
    pub(super) code: Option<Code>,
    /// Translates; disabled if nothing is to be.
    bridge: GrpcWebCtx,
}

// === impl Call ===

impl Call {
    /// None: the request is no call.
    pub(super) fn of(request: &RequestHeader) -> Option<Self> {
        let dialect = Dialect::of(&request.headers)?;
        Some(Self { dialect, deadline: None, code: None, bridge: GrpcWebCtx::Disabled })
    }

    /// What is left until the caller's deadline.
    pub(super) fn left(&self, now: Instant) -> Option<Duration> {
        self.deadline.map(|deadline| deadline.saturating_duration_since(now))
    }
}

/// A call has found its route.
pub(super) fn begin(request: &RequestHeader, forward: &Forward, ctx: &mut RequestCtx) {
    let Some(call) = &mut ctx.call else { return };
    if call.dialect == Dialect::Web && !forward.grpc_web {
        // Whatever the endpoint makes of it.
        ctx.call = None;
        return;
    }
    let time = request.headers.get(&TIMEOUT).and_then(|value| timeout::parse(value.as_bytes()));
    // None: so far away that it does not fit.
    call.deadline = time.and_then(|time| ctx.start.checked_add(time));
    ctx.deadline = ctx.deadline.into_iter().chain(call.deadline).min();
}

/// Prepares a try's request.
pub(super) fn request(request: &mut RequestHeader, ctx: &mut RequestCtx) -> Result<()> {
    let Some(call) = &mut ctx.call else { return Ok(()) };
    call.code = None;
    if call.dialect == Dialect::Web {
        call.bridge.init();
        call.bridge.request_header_filter(request);
    }
    if request.version == Version::HTTP_2 {
        // It belongs to the connection, so it was taken out. Endpoints refuse calls without it.
        request.insert_header(header::TE, HeaderValue::from_static("trailers"))?;
    }
    if ctx.attempts > 1
        && let Some(left) = call.left(now())
    {
        request.insert_header(TIMEOUT.clone(), timeout::write(left))?;
    }
    Ok(())
}

/// The header of an answer has come. If it is all of the answer: the HTTP status that stands for its
/// outcome.
pub(super) fn header(response: &ResponseHeader, ctx: &mut RequestCtx) -> Option<u16> {
    let call = ctx.call.as_mut()?;
    call.code = response.headers.get(&STATUS).map(|status| Code::parse(status.as_bytes()));
    call.code.map(|code| judged(code, call))
}

/// The trailers of an answer have come.
pub(super) fn trailers(trailers: &HeaderMap, ctx: &mut RequestCtx) {
    let Some(call) = &mut ctx.call else { return };
    let Some(status) = trailers.get(&STATUS) else { return };
    let code = Code::parse(status.as_bytes());
    call.code = Some(code);
    if judged(code, call) >= 500 {
        outcome::failed(ctx, Failure::Status);
    }
}

/// What an outcome says of the endpoint, as an HTTP status. That it was too late for a deadline of the
/// caller's says nothing.
fn judged(code: Code, call: &Call) -> u16 {
    if code == Code::DeadlineExceeded && call.deadline.is_some() { 200 } else { code.http() }
}

/// Turns the header of an answer into one of gRPC-Web, if that is what was asked for.
pub(super) fn as_web(response: &mut ResponseHeader, ctx: &mut RequestCtx) {
    if let Some(call) = &mut ctx.call {
        call.bridge.response_header_filter(response);
    }
}

/// The same for trailers, which become the end of the body.
pub(super) fn trailers_as_body(trailers: &mut HeaderMap, ctx: &mut RequestCtx) -> Result<Option<Bytes>> {
    match &mut ctx.call {
        Some(call) => call.bridge.response_trailer_filter(trailers),
        None => Ok(None),
    }
}

/// Answers a call with the outcome that stands for the status of `header`. False: nobody calls.
pub(super) async fn refuse(session: &mut Session, header: &mut ResponseHeader, what: &str) -> Result<bool> {
    let Some(dialect) = Dialect::of(&session.req_header().headers) else { return Ok(false) };
    let code = Code::of_refusal(header.status.as_u16());
    header.set_status(200)?;
    header.insert_header(header::CONTENT_TYPE, dialect.content_type())?;
    for (name, value) in &status(code, what) {
        header.insert_header(name, value)?;
    }
    send(session, header.clone(), Bytes::new()).await?;
    Ok(true)
}

/// Ends a call amid its answer, with the trailers that the endpoint did not send.
pub(super) async fn break_off(session: &mut Session, status: u16, what: &str, ctx: &mut RequestCtx) {
    let Some(call) = &mut ctx.call else { return };
    let code = Code::of_refusal(status);
    call.code = Some(code);
    let mut trailers = self::status(code, what);
    // Where it can't be written, the stream is reset or the connection closed, which is an end too.
    match call.bridge.response_trailer_filter(&mut trailers) {
        Ok(Some(end)) => drop(session.write_response_body(Some(end), true).await),
        Ok(None) => drop(session.downstream_session.write_response_trailers(trailers).await),
        Err(_) => {}
    }
}

/// How a call ended that is over, for log and metrics. `http`: the status of its answer.
pub(super) fn code(session: &Session, http: u16, ctx: &RequestCtx) -> Option<Code> {
    let call = ctx.call.as_ref()?;
    let written = session.response_written().and_then(|header| header.headers.get(&STATUS));
    let known = call.code.or_else(|| Some(Code::parse(written?.as_bytes())));
    Some(known.unwrap_or_else(|| match ctx.flag {
        Some(Flag::DC) => Code::Cancelled,
        Some(_) => Code::of_refusal(http),
        None => Code::of_answer(http),
    }))
}

/// The two fields that end a call.
fn status(code: Code, what: &str) -> HeaderMap {
    let mut fields = HeaderMap::with_capacity(2);
    fields.insert(STATUS.clone(), HeaderValue::from_static(code.number()));
    // What is encoded is a value.
    if let Ok(message) = HeaderValue::from_str(&encode_message(what)) {
        fields.insert(MESSAGE.clone(), message);
    }
    fields
}
