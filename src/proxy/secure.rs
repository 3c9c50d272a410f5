//! TLS at the door, and what it lets us tell routes and endpoints of the client.
//!
//! Who a client is, by its certificate, is put into the request's headers before it is routed, so
//! that `match.headers` and filters can decide by it and the endpoint gets it. `x-forwarded-client-cert`
//! is written as Envoy does; the other two are for those who want one value without taking it apart:
//!
//! ```text
//! x-forwarded-client-cert: Hash=1f3a...;Subject="CN=web,O=Shop";URI=spiffe://shop.test/web
//! x-tidegate-client-spiffe-id: spiffe://shop.test/web
//! x-tidegate-client-subject: CN=web,O=Shop
//! ```
//!
//! What a client sends under these names is taken away always, on listeners in clear too: an
//! endpoint could not tell it from ours. So a proxy in front that ends TLS itself can't pass its
//! clients' certificates through Tidegate under these names.

use http::HeaderName;
use pingora::http::RequestHeader;
use pingora::protocols::Stream;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use crate::proxy::door::{Door, Ending};
use crate::proxy::linger;
use crate::proxy::link::{Identity, Link, Secure};
use crate::tls::{Opening, Terminator};

/// As Envoy names it.
static CERTIFICATE: HeaderName = HeaderName::from_static("x-forwarded-client-cert");
static SPIFFE: HeaderName = HeaderName::from_static("x-tidegate-client-spiffe-id");
static SUBJECT: HeaderName = HeaderName::from_static("x-tidegate-client-subject");

/// What a client of HTTP without TLS is told.
const EXPLAINED: &[u8] = b"HTTP/1.1 400 Bad Request\r\n\
    content-type: text/plain\r\n\
    content-length: 64\r\n\
    connection: close\r\n\
    \r\n\
    this port speaks TLS and was sent plain HTTP; use https:// here\n";

// === impl Door ===

impl Door {
    /// Ends TLS: the stream inside it, and whether it is HTTP/2. None: the connection is over.
    pub(super) async fn secure(
        &self,
        tls: &Terminator,
        mut stream: Stream,
        link: &mut Link,
    ) -> Option<(Stream, bool)> {
        match tls.opening(&mut stream).await {
            Opening::Tls => {}
            Opening::Nothing => return None,
            Opening::PlainHttp => {
                let wait = self.bounds(link).write_timeout;
                if let Ok(Ok(())) = timeout(wait, stream.write_all(EXPLAINED)).await
                    && let Ok(Ok(())) = timeout(wait, stream.flush()).await
                {
                    self.ended(Ending::PlainHttp, link);
                    // What it sent is not read, and must not reset the answer.
                    linger::close(stream);
                }
                return None;
            }
        }
        let secured = tls.handshake(stream).await?;
        let (version, sni, identity) = (secured.version, secured.sni, secured.identity);
        link.secure = Some(Secure { version, sni, identity });
        Some((secured.stream, secured.http2))
    }
}

/// Tells who the client is in the request's headers, and takes away what it said of that itself.
pub(super) fn tell(request: &mut RequestHeader, link: &Link) {
    let ours = [&CERTIFICATE, &SPIFFE, &SUBJECT];
    // One look at each name is cheaper than a look-up of each of ours.
    if request.headers.keys().any(|name| ours.contains(&name)) {
        ours.iter().for_each(|name| drop(request.remove_header(name.as_str())));
    }
    let Some(identity) = link.secure.as_ref().and_then(|secure| secure.identity.as_ref()) else { return };
    let values = [
        (&CERTIFICATE, Some(forwarded(identity))),
        (&SPIFFE, identity.spiffe.as_deref().map(str::to_owned)),
        (&SUBJECT, Some(identity.subject.as_ref().to_owned()).filter(|subject| !subject.is_empty())),
    ];
    for (name, value) in values {
        if let Some(value) = value {
            // Identities hold visible ASCII only, which is a valid value.
            let _ = request.insert_header(name.as_str(), value);
        }
    }
}

/// As Envoy writes it. The subject's quotes are escaped by RFC 2253 already.
fn forwarded(identity: &Identity) -> String {
    let Identity { spiffe, subject, hash } = identity;
    let mut text = format!("Hash={hash};Subject=\"{subject}\"");
    if let Some(spiffe) = spiffe {
        text.push_str(";URI=");
        text.push_str(spiffe);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(identity: Option<Identity>) -> Vec<(String, String)> {
        let mut request = RequestHeader::build("GET", b"/", None).unwrap();
        for name in ["X-Forwarded-Client-Cert", "x-tidegate-client-spiffe-id", "X-Tidegate-Client-Subject"] {
            request.append_header(name, "mine").unwrap();
            request.append_header(name, "mine too").unwrap();
        }
        let mut link = Link::new(0, None);
        link.secure = identity.map(|identity| Secure { identity: Some(identity), ..Secure::default() });
        tell(&mut request, &link);
        request.headers.iter().map(|(k, v)| (k.to_string(), v.to_str().unwrap().to_owned())).collect()
    }

    #[test]
    fn what_a_client_says_of_itself_is_taken_away() {
        assert_eq!(told(None), []);
    }

    #[test]
    fn what_its_certificate_says_is_told() {
        let identity = Identity {
            spiffe: Some("spiffe://a/b".into()),
            subject: "CN=a\\, b,O=c".into(),
            hash: "0f".into(),
        };
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            told(Some(identity)),
            [
                pair("x-forwarded-client-cert", "Hash=0f;Subject=\"CN=a\\, b,O=c\";URI=spiffe://a/b"),
                pair("x-tidegate-client-spiffe-id", "spiffe://a/b"),
                pair("x-tidegate-client-subject", "CN=a\\, b,O=c"),
            ]
        );
        let names: Vec<_> = told(Some(Identity::default())).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["x-forwarded-client-cert"]);
    }

    #[test]
    fn the_explanation_is_framed() {
        let text = std::str::from_utf8(EXPLAINED).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {}\r\n", body.len())), "{}", body.len());
    }
}
