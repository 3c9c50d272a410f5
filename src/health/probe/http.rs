//! The HTTP probe: one request, whose status and, if asked for, body must fit.
//!
//! Redirects are not followed: an endpoint that redirects its check has said 3xx, and `expect` can
//! name that. A kept connection that turns out to be closed is no failure; the probe is sent once
//! more on a new one.

use std::sync::Arc;

use ::http::header::{CONNECTION, HOST, HeaderName, USER_AGENT};
use async_trait::async_trait;
use pingora::http::RequestHeader;
use pingora::protocols::http::client::HttpSession;
use pingora::{Error, ErrorType, Result};
use pingora_load_balancing::Backend;
use pingora_load_balancing::health_check::HealthCheck;

use super::look::{Look, MOST};
use super::{Connectors, failed, peer, usable};
use crate::cluster::Transport;
use crate::cluster::peer::for_http2;
use crate::config::live::{self, Protocol};

/// A probe of one config, for any endpoint.
#[derive(Debug)]
pub struct Http {
    check: Arc<live::HealthCheck>,
    http: live::HttpCheck,
    way: Transport,
    connectors: Arc<Connectors>,
}

// === impl Http ===

impl Http {
    /// As `check.http` says.
    pub fn new(check: Arc<live::HealthCheck>, way: Transport, connectors: Arc<Connectors>) -> Self {
        Self { http: check.http.clone().unwrap_or_default(), check, way, connectors }
    }

    fn request(&self, target: &Backend) -> Result<RequestHeader> {
        let mut request = RequestHeader::build(self.http.method.as_str(), self.http.path.as_bytes(), None)?;
        match &self.http.host {
            Some(host) => request.insert_header(HOST, host)?,
            None => request.insert_header(HOST, target.addr.to_string())?,
        }
        request.insert_header(USER_AGENT, super::USER_AGENT)?;
        if !self.check.reuse_connection {
            request.insert_header(CONNECTION, "close")?;
        }
        for (name, value) in &self.http.headers {
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|e| failed(e.to_string()))?;
            request.insert_header(name, value)?;
        }
        Ok(request)
    }

    /// Asks once. The error says whether another connection may be tried.
    async fn ask(&self, target: &Backend) -> Result<(), (Box<Error>, bool)> {
        let peer = peer(target, &self.check, &self.way, self.http.host.as_deref());
        let mut request = self.request(target).map_err(|e| (e, false))?;
        let (mut session, reused) =
            self.connectors.http.get_http_session(&peer).await.map_err(|e| (e, false))?;
        usable(session.digest().and_then(|d| d.ssl_digest.as_deref())).map_err(|e| (e, false))?;
        match &session {
            HttpSession::H2(_) => {
                for_http2(&mut request, self.way.secure())
                    .ok_or_else(|| (failed("not an authority"), false))?;
            }
            _ if self.way.protocol() == Protocol::Http2 => {
                return Err((failed("it does not speak HTTP/2"), false));
            }
            _ => {}
        }
        answer(&mut session, request).await.map_err(|e| {
            let closed = matches!(
                e.root_etype(),
                ErrorType::ConnectionClosed | ErrorType::ReadError | ErrorType::WriteError
            );
            (e, reused && closed)
        })?;
        self.judge(&mut session).await.map_err(|e| (e, false))?;
        if self.check.reuse_connection && drained(&mut session).await {
            self.connectors.http.release_http_session(session, &peer, peer.options.idle_timeout).await;
        }
        Ok(())
    }

    async fn judge(&self, session: &mut HttpSession) -> Result<()> {
        let status = status(session);
        if !self.http.expect.contains(&status) {
            return Err(failed(format!("status {status}, expected {}", one_of(&self.http.expect))));
        }
        let Some(text) = &self.http.body else { return Ok(()) };
        let mut look = Look::new(text);
        while let Some(piece) = session.read_response_body().await? {
            if look.found(&piece) {
                return Ok(());
            }
            if look.over() {
                return Err(failed(format!("the body's first 64 KiB do not hold `{text}`")));
            }
        }
        Err(failed(format!("the body does not hold `{text}`")))
    }
}

#[async_trait]
impl HealthCheck for Http {
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

/// Sends the request and reads the answer's header, past those that only inform.
async fn answer(session: &mut HttpSession, request: RequestHeader) -> Result<()> {
    session.write_request_header(Box::new(request)).await?;
    session.finish_request_body().await?;
    loop {
        session.read_response_header().await?;
        if !(100..=199).contains(&status(session)) || status(session) == 101 {
            return Ok(());
        }
    }
}

fn status(session: &HttpSession) -> u16 {
    session.response_header().map_or(0, |header| header.status.as_u16())
}

/// Reads what is left of the body. Only then can the connection be used again.
async fn drained(session: &mut HttpSession) -> bool {
    let mut left = MOST;
    loop {
        match session.read_response_body().await {
            Ok(None) => return true,
            Ok(Some(piece)) if piece.len() <= left => left -= piece.len(),
            _ => return false,
        }
    }
}

fn one_of(statuses: &[u16]) -> String {
    let words: Vec<_> = statuses.iter().map(u16::to_string).collect();
    words.join(" or ")
}
