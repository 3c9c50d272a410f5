//! Fields that belong to one connection and end with it (RFC 9110 7.6.1).
//!
//! Pingora takes the standard ones out of requests, and those that the client's `connection` names;
//! but it does so on the copy that goes to the endpoint, after filters and phases of ours have
//! added to the request. A client that names `x-user` could so take out what a filter put in. So
//! what it names is taken out of the request here, before anything looks at it, and the names are
//! forgotten.
//!
//! Names that a client has no business with (`host`, `x-forwarded-for`, ...) stay named: Pingora
//! answers 400 to those, and to lists that are too long or are none.

use http::{HeaderName, HeaderValue, Method, StatusCode, Version, header};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::upstreams::peer::{HttpUpstreamRequestPolicy, PeerOptions};

/// What `connection` may say that names no other field, or one that Pingora sees to.
const OPTIONS: [&str; 5] = ["close", "keep-alive", "upgrade", "te", "http2-settings"];

/// What frames a message is not taken out at its word.
const FRAMING: [&str; 2] = ["content-length", "transfer-encoding"];

/// Pingora handles `connection` and `transfer-encoding` of a response itself. What a proxy in between
/// asks to be told (RFC 9110 11.7) is for us, who were not asked.
const OF_RESPONSES: [&str; 4] =
    ["keep-alive", "proxy-connection", "proxy-authenticate", "proxy-authentication-info"];

/// Pingora's limit, after which it answers 400.
const MOST: usize = 10;

/// Takes the fields out of a request that its `connection` names, and an upgrade that is none.
pub(super) fn request(request: &mut RequestHeader) {
    if request.headers.contains_key(header::UPGRADE) && !is_websocket(request) {
        request.remove_header(&header::UPGRADE);
    }
    let named = named(&request.headers);
    if named.is_empty() || named.len() >= MOST || !named.iter().all(may_go) {
        return;
    }
    let kept: Vec<_> = tokens(&request.headers).filter(|token| is_option(token)).collect();
    let kept = HeaderValue::from_str(&kept.join(", "));
    for name in &named {
        request.remove_header(name.as_str());
    }
    request.remove_header(&header::CONNECTION);
    if let Ok(kept) = kept
        && !kept.is_empty()
    {
        // A header that was just taken out has room again.
        let _ = request.insert_header(header::CONNECTION, kept);
    }
}

/// Spares Pingora what it does to take such fields out of a request, where there are none: 23
/// look-ups and as many hashes a try. In all other cases its way stays as it is.
pub(super) fn spare(request: &RequestHeader, options: &mut PeerOptions) {
    if !request.headers.keys().any(is_known) {
        options.http_upstream_request_policy = HttpUpstreamRequestPolicy::preserve();
    }
}

/// Whether a field is one that Pingora takes out of requests, or looks at to do so.
fn is_known(name: &HeaderName) -> bool {
    match *name {
        header::CONNECTION
        | header::UPGRADE
        | header::TE
        | header::TRAILER
        | header::TRANSFER_ENCODING
        | header::PROXY_AUTHENTICATE
        | header::PROXY_AUTHORIZATION => true,
        _ => matches!(name.as_str(), "keep-alive" | "proxy-connection" | "http2-settings"),
    }
}

/// Whether a request says that its connection ends with it, in whichever of several lines: Pingora
/// looks at the first.
pub(super) fn closes(request: &RequestHeader) -> bool {
    tokens(&request.headers).any(|token| token.eq_ignore_ascii_case("close"))
}

/// Takes the fields out of a response that stay between the endpoint and us.
pub(super) fn response(response: &mut ResponseHeader) {
    for name in named(&response.headers) {
        if !FRAMING.contains(&name.as_str()) {
            response.remove_header(name.as_str());
        }
    }
    if response.headers.keys().any(|name| OF_RESPONSES.contains(&name.as_str())) {
        OF_RESPONSES.iter().for_each(|name| drop(response.remove_header(*name)));
    }
    if response.version != Version::HTTP_2 {
        // Pingora drops the trailers of HTTP/1.1.
        response.remove_header(&header::TRAILER);
    }
    if let Some(protocol) = response.headers.get(header::UPGRADE) {
        // An offer to switch the connection that it has with us. But what a 426 asks for, a client can
        // have.
        let asked = response.status == StatusCode::UPGRADE_REQUIRED && is_named_websocket(protocol);
        if !asked {
            response.remove_header(&header::UPGRADE);
        }
    }
}

/// Whether a request asks for a WebSocket as RFC 6455 4.1 says: any other upgrade is not passed on,
/// and its answer is one without it, as RFC 9110 7.8 allows.
fn is_websocket(request: &RequestHeader) -> bool {
    let mut protocols = request.headers.get_all(header::UPGRADE).iter();
    let named = protocols.next().is_some_and(is_named_websocket) && protocols.next().is_none();
    let empty = request.headers.get(header::CONTENT_LENGTH).is_none_or(|length| length == "0");
    named
        && empty
        && !request.headers.contains_key(header::TRANSFER_ENCODING)
        && request.method == Method::GET
        && request.version == Version::HTTP_11
        && tokens(&request.headers).any(|token| token.eq_ignore_ascii_case("upgrade"))
}

fn is_named_websocket(protocol: &HeaderValue) -> bool {
    protocol.as_bytes().eq_ignore_ascii_case(b"websocket")
}

/// The fields that `connection` names. Nothing is allocated for what it usually says.
fn named(headers: &http::HeaderMap) -> Vec<String> {
    tokens(headers).filter(|token| !is_option(token)).map(str::to_ascii_lowercase).collect()
}

fn tokens(headers: &http::HeaderMap) -> impl Iterator<Item = &str> {
    let values = headers.get_all(header::CONNECTION).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|text| text.split(',')).map(str::trim).filter(|token| !token.is_empty())
}

fn is_option(token: &str) -> bool {
    OPTIONS.iter().any(|option| token.eq_ignore_ascii_case(option))
}

/// Whether a client may name a field: one of its own making.
fn may_go(name: &String) -> bool {
    let ours = name == "host" || name == "connection" || name.starts_with("x-forwarded-");
    !ours && !FRAMING.contains(&name.as_str()) && HeaderName::from_bytes(name.as_bytes()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(lines: &[(&'static str, &str)]) -> Vec<(String, String)> {
        let mut head = RequestHeader::build("GET", b"/", None).unwrap();
        for (name, value) in lines {
            head.append_header(*name, *value).unwrap();
        }
        request(&mut head);
        let text = |v: &HeaderValue| v.to_str().unwrap().to_owned();
        head.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect()
    }

    #[test]
    fn what_a_client_names_goes_and_is_forgotten() {
        let kept =
            after(&[("connection", "keep-alive, X-A"), ("x-a", "1"), ("x-b", "2"), ("connection", "x-c")]);
        assert_eq!(kept, [("x-b".into(), "2".into()), ("connection".into(), "keep-alive".into())]);
        assert_eq!(after(&[("connection", "x-a"), ("x-a", "1")]), []);
    }

    #[test]
    fn what_it_may_not_name_is_left_to_be_refused() {
        for named in ["host", "x-a, X-Forwarded-Host", "x-forwarded-for", "content-length", "a b", ":path"] {
            let kept = after(&[("connection", named), ("x-a", "1")]);
            assert_eq!(kept.len(), 2, "{named}: {kept:?}");
        }
        let many = ["x"; 12].join(",");
        assert_eq!(after(&[("connection", &many)]).len(), 1);
    }

    #[test]
    fn only_a_websocket_is_an_upgrade() {
        let upgrades = |method: &str, version, lines: &[(&'static str, &str)]| {
            let mut head = RequestHeader::build(method, b"/", None).unwrap();
            head.set_version(version);
            for (name, value) in lines {
                head.append_header(*name, *value).unwrap();
            }
            request(&mut head);
            head.headers.contains_key("upgrade")
        };
        let asks = [("connection", "keep-alive, Upgrade"), ("upgrade", "WebSocket")];
        assert!(upgrades("GET", Version::HTTP_11, &asks));
        assert!(!upgrades("GET", Version::HTTP_10, &asks));
        assert!(!upgrades("POST", Version::HTTP_11, &asks));
        for lines in [
            &[("upgrade", "websocket")][..],
            &[("connection", "upgrade"), ("upgrade", "h2c")],
            &[("connection", "upgrade"), ("upgrade", "websocket, h2c")],
            &[("connection", "upgrade"), ("upgrade", "websocket"), ("upgrade", "h2c")],
            &[("connection", "upgrade"), ("upgrade", "websocket"), ("content-length", "1")],
            &[("connection", "upgrade"), ("upgrade", "websocket"), ("transfer-encoding", "chunked")],
        ] {
            assert!(!upgrades("GET", Version::HTTP_11, lines), "{lines:?}");
        }
    }

    #[test]
    fn pingora_is_spared_where_there_is_nothing() {
        let is_spared = |lines: &[(&'static str, &str)]| {
            let mut head = RequestHeader::build("GET", b"/", None).unwrap();
            for (name, value) in lines {
                head.append_header(*name, *value).unwrap();
            }
            let mut options = PeerOptions::new();
            spare(&head, &mut options);
            options.http_upstream_request_policy == HttpUpstreamRequestPolicy::preserve()
        };
        assert!(is_spared(&[]) && is_spared(&[("host", "a"), ("accept", "*/*"), ("x-te", "1")]));
        for name in [
            "Connection",
            "upgrade",
            "TE",
            "trailer",
            "transfer-encoding",
            "keep-alive",
            "Proxy-Connection",
            "proxy-authorization",
            "proxy-authenticate",
            "http2-settings",
        ] {
            assert!(!is_spared(&[("host", "a"), (name, "a")]), "{name}");
        }
    }

    #[test]
    fn responses_lose_theirs_too() {
        let mut head = ResponseHeader::build(200, None).unwrap();
        for (name, value) in
            [("connection", "x-hop, content-length"), ("x-hop", "1"), ("content-length", "2")]
        {
            head.append_header(name, value).unwrap();
        }
        head.append_header("keep-alive", "timeout=5").unwrap();
        response(&mut head);
        let names: Vec<_> = head.headers.keys().map(ToString::to_string).collect();
        assert_eq!(names, ["connection", "content-length"]);
    }
}
