//! What is known of a connection: who the client is, where it came in, how it is secured.
//!
//! A request needs it in every phase, and Pingora's session shows the socket only: not the address
//! that a PROXY header gives, not the client's certificate. It can't be handed to the session either,
//! and HTTP/1.1 and HTTP/2 sessions have no place in common where it could be hidden. So it is put
//! around the task that serves a request ([`scope`]), where
//! [`ProxyHttp::new_ctx`](pingora_proxy::ProxyHttp::new_ctx) takes it into the request's context:
//! that is the only place that reads it, all phases take it from there.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use http::HeaderValue;

use crate::observe::access::TlsRecord;

pub(crate) use crate::tls::Identity;

tokio::task_local! {
    static LINK: Arc<Link>;
}

/// What is known of a connection.
#[derive(Debug)]
pub(crate) struct Link {
    /// The index of the listener.
    pub(crate) listener: usize,
    /// The client's address. None: not an IP socket.
    pub(crate) client: Option<SocketAddr>,
    /// Its IP address as a header, ready for every request.
    pub(crate) client_header: Option<HeaderValue>,
    /// None: in clear.
    pub(crate) secure: Option<Secure>,
}

/// How a connection is secured.
#[derive(Clone, Debug, Default)]
pub(crate) struct Secure {
    /// As `TLSv1.3`.
    pub(crate) version: &'static str,
    /// The name that the client asked for.
    pub(crate) sni: Option<Box<str>>,
    /// Who the client is, by a certificate that was verified.
    pub(crate) identity: Option<Identity>,
}

/// Serves something of this connection.
pub(crate) async fn scope<F: Future>(link: Arc<Link>, future: F) -> F::Output {
    LINK.scope(link, future).await
}

/// The connection that the running task serves. None: none, as in a test.
pub(crate) fn current() -> Option<Arc<Link>> {
    LINK.try_with(Arc::clone).ok()
}

// === impl Link ===

impl Link {
    /// Of a connection in clear. An IPv4 address that came over an IPv6 socket is an IPv4 address.
    pub(crate) fn new(listener: usize, client: Option<SocketAddr>) -> Self {
        let client = client.map(|address| SocketAddr::new(address.ip().to_canonical(), address.port()));
        let client_header = client.and_then(|address| HeaderValue::from_str(&address.ip().to_string()).ok());
        Self { listener, client, client_header, secure: None }
    }

    /// The client's address without its port.
    pub(crate) fn ip(&self) -> Option<IpAddr> {
        self.client.map(|address| address.ip())
    }

    /// What the log says of TLS.
    pub(crate) fn tls_record(&self) -> Option<TlsRecord<'_>> {
        let secure = self.secure.as_ref()?;
        Some(TlsRecord { version: secure.version, sni: secure.sni.as_deref().unwrap_or_default() })
    }

    /// `http` or `https`.
    pub(crate) fn scheme(&self) -> &'static str {
        if self.secure.is_some() { "https" } else { "http" }
    }
}
