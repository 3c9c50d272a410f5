//! The handshake with one client, and what became of it.
//!
//! It runs on the connection's own task. Signing takes a millisecond for RSA and a tenth of that for
//! ECDSA, on a thread that serves requests too; a thousand new clients a second keep one core busy
//! for a second with RSA. That is the price of no hand-over between threads; an ECDSA certificate
//! beside the RSA one, or resumption, is the way out.
//!
//! A client that speaks HTTP without TLS is told apart by its first byte: a handshake begins with
//! 0x16, a method with a letter. What is neither is left to the library to refuse.

use openssl::ssl::{self, NameType, Ssl};
use pingora::protocols::Stream;
use pingora::protocols::tls::SslStream;
use tokio::time::{Instant, timeout_at};
use tracing::debug;

use crate::observe::metrics::Counter;
use crate::tls::Terminator;
use crate::tls::identity::Identity;
use crate::tls::wire::Wire;

/// A connection after its handshake.
pub(crate) struct Secured {
    pub(crate) stream: Stream,
    /// By ALPN; without it, HTTP/1.1 is spoken.
    pub(crate) http2: bool,
    /// As `TLSv1.3`.
    pub(crate) version: &'static str,
    /// The name that the client asked for.
    pub(crate) sni: Option<Box<str>>,
    /// Who it is, by a certificate that was verified.
    pub(crate) identity: Option<Identity>,
}

/// What a connection begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opening {
    Tls,
    /// HTTP in clear.
    PlainHttp,
    /// Nothing: it was closed, or the time is up.
    Nothing,
}

/// Why there was no handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failure {
    Timeout,
    NoAlpn,
    ClientCert,
    Unsupported,
    Refused,
    Other,
}

// === impl Terminator ===

impl Terminator {
    /// When a handshake that begins now must be over.
    pub(crate) fn deadline(&self) -> Instant {
        Instant::now() + self.timeout
    }

    /// Looks at the first byte of a connection, and leaves it.
    pub(crate) async fn opening(&self, stream: &mut Stream, deadline: Instant) -> Opening {
        let mut first = [0];
        match timeout_at(deadline, stream.try_peek(&mut first)).await {
            Err(_) => {
                self.metrics.timeout.inc();
                Opening::Nothing
            }
            // Balancers look whether the port is open in this way: nothing failed.
            Ok(Err(_)) => Opening::Nothing,
            Ok(Ok(_)) if first[0].is_ascii_alphabetic() => {
                self.metrics.plain_http.inc();
                Opening::PlainHttp
            }
            Ok(Ok(_)) => Opening::Tls,
        }
    }

    /// Shakes hands.
    ///
    /// # Errors
    ///
    /// It failed, which is counted. Where the client has been told why, as far as TLS has words for
    /// it, the connection is given back: it must be closed so that the words arrive.
    pub(crate) async fn handshake(
        &self,
        mut stream: Stream,
        deadline: Instant,
    ) -> Result<Secured, Option<Stream>> {
        let shaken = timeout_at(deadline, async {
            let front = self.front(&mut stream).await;
            let ssl = Ssl::new(&front).map_err(|_| (Failure::Other, None))?;
            let mut secured = SslStream::new(ssl, Wire(stream)).map_err(|_| (Failure::Other, None))?;
            match secured.accept().await {
                Ok(()) => Ok(secured),
                Err(error) => {
                    debug!(listener = %self.listener, %error, "no handshake");
                    // A stand-in, since the stream cannot be moved out.
                    let nothing: Stream = Box::new(tokio::io::duplex(1).0);
                    Err((failure(&error), Some(std::mem::replace(&mut secured.get_mut().0, nothing))))
                }
            }
        });
        match shaken.await.unwrap_or(Err((Failure::Timeout, None))) {
            Ok(stream) => Ok(self.shaken(stream)),
            Err((failure, stream)) => {
                self.counter(failure).inc();
                Err(stream)
            }
        }
    }

    fn shaken(&self, stream: SslStream<Wire>) -> Secured {
        let ssl = stream.ssl();
        self.metrics.ok.inc();
        if ssl.session_reused() {
            self.metrics.resumed.inc();
        }
        // There is one only if the library has verified it, now or when the session began.
        let identity = self.config.client_auth.as_ref().and_then(|_| ssl.peer_certificate());
        Secured {
            http2: ssl.selected_alpn_protocol() == Some(b"h2"),
            version: ssl.version_str(),
            sni: ssl.servername(NameType::HOST_NAME).map(|name| name.to_ascii_lowercase().into()),
            identity: identity.as_ref().map(Identity::of),
            stream: Box::new(stream),
        }
    }

    fn counter(&self, failure: Failure) -> &Counter {
        match failure {
            Failure::Timeout => &self.metrics.timeout,
            Failure::NoAlpn => &self.metrics.no_alpn,
            Failure::ClientCert => &self.metrics.client_cert,
            Failure::Unsupported => &self.metrics.unsupported,
            Failure::Refused => &self.metrics.refused,
            Failure::Other => &self.metrics.other,
        }
    }
}

/// Tells failures apart by the library's reason codes; they have not changed since OpenSSL 1.1.
fn failure(error: &ssl::Error) -> Failure {
    /// From here on: alerts of the client.
    const ALERTS: std::ops::RangeInclusive<i32> = 1000..=1255;
    let Some(stack) = error.ssl_error() else { return Failure::Other };
    let mut reasons = stack.errors().iter().map(openssl::error::Error::reason_code);
    reasons
        .find_map(|reason| match reason {
            235 => Some(Failure::NoAlpn),
            // None was shown; it could not be verified.
            199 | 134 => Some(Failure::ClientCert),
            // Version, cipher, group, signature.
            258 | 193 | 101 | 118 => Some(Failure::Unsupported),
            reason if ALERTS.contains(&reason) => Some(Failure::Refused),
            _ => None,
        })
        .unwrap_or(Failure::Other)
}
