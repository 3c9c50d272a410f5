//! The gRPC probe: `grpc.health.v1.Health/Check` over HTTP/2; in clear, with prior knowledge.
//!
//! The two messages have one field each, so they are written and read by hand: a gRPC library would
//! weigh more than the rest of the probes together. Only `SERVING` passes; a server that does not
//! know the service, or has no health service at all, does not.

use std::sync::Arc;

use ::http::Uri;
use ::http::header::{CONTENT_TYPE, HeaderMap, TE, USER_AGENT};
use async_trait::async_trait;
use bytes::{BufMut as _, Bytes, BytesMut};
use pingora::http::RequestHeader;
use pingora::protocols::http::client::HttpSession;
use pingora::protocols::http::v2::client::Http2Session;
use pingora::{Error, ErrorType, Result};
use pingora_load_balancing::Backend;
use pingora_load_balancing::health_check::HealthCheck;

use super::look::MOST;
use super::{Connectors, failed, peer, usable};
use crate::cluster::Transport;
use crate::config::live;

const METHOD: &str = "/grpc.health.v1.Health/Check";

/// A probe of one config, for any endpoint.
#[derive(Debug)]
pub struct Grpc {
    check: Arc<live::HealthCheck>,
    service: String,
    way: Transport,
    connectors: Arc<Connectors>,
}

// === impl Grpc ===

impl Grpc {
    /// As `check.grpc` says.
    pub fn new(check: Arc<live::HealthCheck>, way: Transport, connectors: Arc<Connectors>) -> Self {
        let service = check.grpc.clone().unwrap_or_default().service;
        Self { service, check, way, connectors }
    }

    /// Asks once. The error says whether another connection may be tried.
    async fn ask(&self, target: &Backend) -> Result<(), (Box<Error>, bool)> {
        let peer = peer(target, &self.check, &self.way, None);
        let (session, reused) = self.connectors.http.get_http_session(&peer).await.map_err(|e| (e, false))?;
        let HttpSession::H2(mut session) = session else {
            return Err((failed("it does not speak HTTP/2"), false));
        };
        usable(session.digest().and_then(|d| d.ssl_digest.as_deref())).map_err(|e| (e, false))?;
        self.call(&mut session, target).await.map_err(|e| {
            let closed = matches!(
                e.root_etype(),
                ErrorType::ConnectionClosed | ErrorType::ReadError | ErrorType::H2Error
            );
            (e, reused && closed)
        })?;
        if self.check.reuse_connection {
            let session = HttpSession::H2(session);
            self.connectors.http.release_http_session(session, &peer, peer.options.idle_timeout).await;
        }
        Ok(())
    }

    async fn call(&self, session: &mut Http2Session, target: &Backend) -> Result<()> {
        session.write_request_header(Box::new(request(target, self.way.secure())?), false)?;
        session.write_request_body(question(&self.service), true).await?;
        session.read_response_header().await?;
        let head = session.response_header().map(|header| (header.status, header.headers.clone()));
        let (status, headers) = head.unwrap_or_default();
        if status != 200 {
            return Err(failed(format!("status {}, expected 200", status.as_u16())));
        }
        let mut answer = Vec::new();
        while let Some(piece) = session.read_response_body().await? {
            if answer.len() + piece.len() > MOST {
                return Err(failed("the answer is longer than a health status"));
            }
            answer.extend_from_slice(&piece);
        }
        let trailers = session.read_trailers().await?.unwrap_or_default();
        // An answer without a message has its status among the headers.
        self.outcome(&[trailers, headers])?;
        match serving(&answer) {
            Some(1) => Ok(()),
            Some(0) => Err(failed("the health status is UNKNOWN")),
            Some(2) => Err(failed("the health status is NOT_SERVING")),
            Some(3) => Err(failed("the health status is SERVICE_UNKNOWN")),
            Some(other) => Err(failed(format!("the health status is {other}, which has no meaning"))),
            None => Err(failed("the answer is not a health status")),
        }
    }

    /// Whether the call itself went well.
    fn outcome(&self, places: &[HeaderMap]) -> Result<()> {
        let field = |name| places.iter().find_map(|headers| headers.get(name)).and_then(|v| v.to_str().ok());
        match field("grpc-status") {
            Some("0") => Ok(()),
            Some("5") => Err(failed(format!("grpc-status 5: it does not know `{}`", self.service))),
            Some("12") => Err(failed("grpc-status 12: it has no service grpc.health.v1.Health")),
            Some(code) => {
                Err(failed(format!("grpc-status {code}: {}", field("grpc-message").unwrap_or("no message"))))
            }
            None => Err(failed("not a gRPC answer: it has no grpc-status")),
        }
    }
}

#[async_trait]
impl HealthCheck for Grpc {
    async fn check(&self, target: &Backend) -> Result<()> {
        match self.ask(target).await {
            Err((_, true)) => self.ask(target).await.map_err(|(error, _)| error),
            other => other.map_err(|(error, _)| error),
        }
    }

    fn health_threshold(&self, success: bool) -> usize {
        super::threshold(&self.check, success)
    }
}

fn request(target: &Backend, secure: bool) -> Result<RequestHeader> {
    let mut request = RequestHeader::build("POST", METHOD.as_bytes(), None)?;
    // Written out, since Pingora would make the scheme `https` of a Host.
    let scheme = if secure { "https" } else { "http" };
    let uri: Uri =
        format!("{scheme}://{}{METHOD}", target.addr).parse().map_err(|_| failed("not an authority"))?;
    request.set_uri(uri);
    request.insert_header(CONTENT_TYPE, "application/grpc")?;
    request.insert_header(TE, "trailers")?;
    request.insert_header(USER_AGENT, super::USER_AGENT)?;
    Ok(request)
}

/// `HealthCheckRequest { string service = 1; }` in the frame of gRPC.
fn question(service: &str) -> Bytes {
    let mut message = BytesMut::new();
    if !service.is_empty() {
        message.put_u8(0x0a);
        let mut length = service.len();
        while length >= 0x80 {
            message.put_u8(u8::try_from(length & 0x7f).unwrap_or_default() | 0x80);
            length >>= 7;
        }
        message.put_u8(u8::try_from(length).unwrap_or_default());
        message.put_slice(service.as_bytes());
    }
    let mut framed = BytesMut::with_capacity(5 + message.len());
    framed.put_u8(0);
    framed.put_u32(u32::try_from(message.len()).unwrap_or_default());
    framed.put_slice(&message);
    framed.freeze()
}

/// The status in a framed `HealthCheckResponse { ServingStatus status = 1; }`. A field that is
/// left out is 0; other fields are passed over. None: it is no such message.
fn serving(framed: &[u8]) -> Option<u64> {
    let (flag, rest) = framed.split_first()?;
    let (length, message) = rest.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    if *flag != 0 || message.len() < length {
        return None;
    }
    let (mut status, mut left) = (0, &message[..length]);
    while !left.is_empty() {
        let key = varint(&mut left)?;
        match (key >> 3, key & 7) {
            (1, 0) => status = varint(&mut left)?,
            (_, 0) => drop(varint(&mut left)?),
            (_, 1) => left = left.get(8..)?,
            (_, 2) => {
                let length = usize::try_from(varint(&mut left)?).ok()?;
                left = left.get(length..)?;
            }
            (_, 5) => left = left.get(4..)?,
            _ => return None,
        }
    }
    Some(status)
}

fn varint(left: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = left.split_first()?;
        *left = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn messages_are_those_of_protobuf() {
        assert_eq!(question("").as_ref(), [0, 0, 0, 0, 0]);
        assert_eq!(question("a.B").as_ref(), b"\0\0\0\0\x05\x0a\x03a.B");
        let long = "x".repeat(300);
        assert_eq!(&question(&long)[5..8], [0x0a, 0xac, 0x02]);
        assert_eq!(serving(b"\0\0\0\0\x02\x08\x01"), Some(1));
        assert_eq!(serving(b"\0\0\0\0\0"), Some(0));
        assert_eq!(serving(b"\0\0\0\0\x07\x12\x03abc\x08\x02"), Some(2), "an unknown field before it");
        assert_eq!(serving(b"\x01\0\0\0\x02\x08\x01"), None, "compressed");
        assert_eq!(serving(b"\0\0\0\0\x09\x08\x01"), None, "cut");
        assert_eq!(serving(b""), None);
    }

    proptest! {
        #[test]
        fn no_answer_is_too_odd(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = serving(&bytes);
            let mut framed = vec![0, 0, 0, 0, u8::try_from(bytes.len()).unwrap()];
            framed.extend(bytes);
            let _ = serving(&framed);
        }
    }
}
