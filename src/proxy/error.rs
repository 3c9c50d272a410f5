//! The one place where an error becomes a status and a flag.
//!
//! | what | status | flag |
//! |---|---|---|
//! | no usable endpoint | 503 | UH |
//! | a limit of the circuit breaker, or of the listener | 503, with [`OVERLOADED`] | UO |
//! | connection not opened | 503 | UF |
//! | no answer in time | 504 | UT |
//! | endpoint closed or reset | 502 | UC |
//! | endpoint's answer not valid | 502 | UPE |
//! | client gone | 499 in the log, if no header was sent | DC |
//! | client's body not valid, or not in time | 400, 408 | DPE |
//!
//! To a gRPC call it becomes an outcome of the call: see `grpc`.

use bytes::Bytes;
use http::{StatusCode, header};
use pingora::http::ResponseHeader;
use pingora::{Error, ErrorSource, ErrorType, Result};
use pingora_proxy::{FailToProxy, Session};

use crate::observe::Flag;
use crate::proxy::accept::send;
use crate::proxy::ctx::RequestCtx;
use crate::proxy::grpc;
use crate::proxy::limits::RETRY_AFTER;
use crate::proxy::tap;

/// What a client that went away is logged as; nginx's number.
const CLIENT_GONE: u16 = 499;

/// Tells the client, and proxies in front, that the request was turned away and has reached nobody.
pub(crate) const OVERLOADED: &str = "x-tidegate-overloaded";

/// Answers for a request that failed for good.
pub(crate) async fn answer(session: &mut Session, error: &Error, ctx: &mut RequestCtx) -> FailToProxy {
    let trouble = tap::trouble(session);
    let (status, flag) = match trouble {
        Some(refusal) => (refusal.status, Some(Flag::DPE)),
        None => judge(error, ctx.flag),
    };
    ctx.flag = flag;
    if status == CLIENT_GONE {
        // One that has its header got that status, and perhaps not all of the body.
        ctx.status = session.response_written().is_none_or(is_interim).then_some(CLIENT_GONE);
        return FailToProxy { error_code: 0, can_reuse_downstream: false };
    }
    if session.response_written().is_none_or(is_interim) {
        session.set_keepalive(None);
        // A call is told over an HTTP status of 200, which is then what was answered.
        ctx.status = ctx.call.is_none().then_some(status);
        // A failure to write means that the client has gone; its request is logged all the same.
        let why = trouble.map_or_else(|| reason(status, flag), |refusal| refusal.why);
        let _ = write(session, status, why, flag == Some(Flag::UO)).await;
    } else {
        grpc::break_off(session, status, reason(status, flag), ctx).await;
    }
    FailToProxy { error_code: status, can_reuse_downstream: false }
}

/// Whether another header may follow. After a 101 the connection is a tunnel, and not ours to write
/// to.
fn is_interim(header: &ResponseHeader) -> bool {
    header.status.is_informational() && header.status != StatusCode::SWITCHING_PROTOCOLS
}

/// Status and flag of an error; `noted` is what an earlier phase knew of it.
fn judge(error: &Error, noted: Option<Flag>) -> (u16, Option<Flag>) {
    if let ErrorType::HTTPStatus(status) = error.etype() {
        return (*status, noted);
    }
    let flag = noted.filter(|flag| matches!(flag, Flag::UF | Flag::UT | Flag::UC | Flag::UPE));
    match (error.esource(), error.etype()) {
        (ErrorSource::Downstream, ErrorType::ReadTimedout) => (408, Some(Flag::DPE)),
        (
            ErrorSource::Downstream,
            ErrorType::ReadError
            | ErrorType::WriteError
            | ErrorType::WriteTimedout
            | ErrorType::ConnectionClosed
            | ErrorType::H2Error,
        ) => (CLIENT_GONE, Some(Flag::DC)),
        (ErrorSource::Downstream, _) => (400, Some(Flag::DPE)),
        _ => match flag {
            Some(Flag::UF) => (503, flag),
            Some(Flag::UT) => (504, flag),
            Some(_) => (502, flag),
            None if *error.esource() == ErrorSource::Upstream => match error.etype() {
                ErrorType::InvalidHTTPHeader => (502, Some(Flag::UPE)),
                _ => (502, Some(Flag::UC)),
            },
            None => (500, noted),
        },
    }
}

/// What the client is told: enough to know whom to ask, nothing of the inside.
fn reason(status: u16, flag: Option<Flag>) -> &'static str {
    match (status, flag) {
        (_, Some(Flag::UO)) => "upstream overloaded",
        (_, Some(Flag::UH)) => "no healthy upstream",
        (_, Some(Flag::UF)) => "upstream connection failed",
        (_, Some(Flag::UT)) => "upstream did not answer in time",
        (_, Some(Flag::UC)) => "upstream closed the connection",
        (_, Some(Flag::UPE)) => "upstream gave no valid answer",
        (508, _) => "the request goes round in a loop",
        (414, _) => "the rewritten path is too long",
        (408, _) => "the request did not arrive in time",
        (400, _) => "the request is not valid",
        _ => "internal error",
    }
}

/// Writes a short answer of our own.
pub(crate) async fn local(session: &mut Session, status: u16, what: &'static str) -> Result<()> {
    write(session, status, what, false).await
}

/// Turns a request away that is one too many for its listener.
pub(crate) async fn full(session: &mut Session) -> Result<()> {
    let mut header = ResponseHeader::build(503, Some(5))?;
    header.insert_header(OVERLOADED, "true")?;
    header.insert_header(header::RETRY_AFTER, RETRY_AFTER)?;
    text(session, header, "overloaded").await
}

async fn write(session: &mut Session, status: u16, what: &'static str, overloaded: bool) -> Result<()> {
    let mut header = ResponseHeader::build(status, Some(4))?;
    if overloaded {
        header.insert_header(OVERLOADED, "true")?;
    }
    text(session, header, what).await
}

async fn text(session: &mut Session, mut header: ResponseHeader, what: &'static str) -> Result<()> {
    if grpc::refuse(session, &mut header, what).await? {
        return Ok(());
    }
    header.insert_header(header::CONTENT_TYPE, "text/plain; charset=utf-8")?;
    header.insert_header(header::CACHE_CONTROL, "no-store")?;
    send(session, header, Bytes::from(format!("{what}\n"))).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_become_the_status_of_the_design() {
        let up = |kind| Error::new(kind).into_up();
        let down = |kind| Error::new(kind).into_down();
        for (error, noted, status, flag) in [
            (up(ErrorType::ConnectRefused), Some(Flag::UF), 503, Some(Flag::UF)),
            (up(ErrorType::ConnectTimedout), Some(Flag::UF), 503, Some(Flag::UF)),
            (up(ErrorType::ReadTimedout), Some(Flag::UT), 504, Some(Flag::UT)),
            (up(ErrorType::ConnectionClosed), Some(Flag::UC), 502, Some(Flag::UC)),
            (up(ErrorType::InvalidHTTPHeader), None, 502, Some(Flag::UPE)),
            (Error::new(ErrorType::HTTPStatus(503)), Some(Flag::UH), 503, Some(Flag::UH)),
            (down(ErrorType::ConnectionClosed), Some(Flag::UF), 499, Some(Flag::DC)),
            (down(ErrorType::InvalidHTTPHeader), None, 400, Some(Flag::DPE)),
            (down(ErrorType::ReadTimedout), None, 408, Some(Flag::DPE)),
            (Error::new(ErrorType::InternalError), None, 500, None),
        ] {
            assert_eq!(judge(&error, noted), (status, flag), "{error}");
        }
    }
}
