//! Answers that send the client elsewhere.
//!
//! `to` is a URL, or a path on the same host, with `{scheme}`, `{host}`, `{path}` and `{query}`. Path and query go in as
//! received. They are the client's (or an attacker's who made the client follow a link), so what is put in cannot
//! change what the operator wrote: a byte that may not stand in a header or that browsers read as a delimiter is
//! percent-encoded, a path never runs into the host before it nor starts with two slashes, and `{host}` is only ever a
//! host. `{host}` is still what the client says it is: name the host where a cache keeps answers for all.

use bytes::Bytes;
use http::StatusCode;
use http::header::{CONTENT_LENGTH, HeaderValue, LOCATION};
use pingora::http::ResponseHeader;

use crate::config::Problem;
use crate::config::live;
use crate::filter::Answer;

/// A compiled redirect.
#[derive(Clone, Debug)]
pub struct Redirect {
    status: StatusCode,
    pieces: Vec<Piece>,
}

/// What of the request a redirect puts in. All as in [`RequestView`](crate::route::RequestView).
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// `http` or `https`.
    pub scheme: &'a str,
    /// Without the port, which is that of the listener and seldom that of the new place.
    pub host: &'a str,
    pub path: &'a str,
    pub query: Option<&'a str>,
}

#[derive(Clone, Debug)]
enum Piece {
    Text(String),
    Scheme,
    Host,
    Path,
    Query,
}

const PLACEHOLDERS: [&str; 4] = ["scheme", "host", "path", "query"];

// === impl Redirect ===

impl Redirect {
    /// Compiles a redirect; `at` is its config path, as `routes[0].redirect`.
    ///
    /// # Errors
    ///
    /// A status that is no redirect, an unknown placeholder, a target that is neither a URL nor a path.
    pub fn compile(redirect: &live::Redirect, at: &str) -> Result<Self, Vec<Problem>> {
        let status = match redirect.status {
            301 | 302 | 303 | 307 | 308 => StatusCode::from_u16(redirect.status).ok(),
            _ => None,
        }
        .ok_or_else(|| {
            Problem::new(format!("{at}.status"), format!("{} is not a redirect", redirect.status))
                .hint("use 301, 302, 303, 307 or 308; 307 and 308 keep the method")
        });
        match (status, parse(&redirect.to, &format!("{at}.to"))) {
            (Ok(status), Ok(pieces)) => Ok(Self { status, pieces }),
            (status, pieces) => Err([status.err(), pieces.err()].into_iter().flatten().collect()),
        }
    }

    /// Where a request is sent.
    pub fn location(&self, target: &Target<'_>) -> HeaderValue {
        let mut location = String::with_capacity(64 + target.path.len());
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => location.push_str(text),
                Piece::Scheme => location.push_str(if target.scheme == "https" { "https" } else { "http" }),
                Piece::Host => push(&mut location, target.host, |b| {
                    b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b'[' | b']' | b':')
                }),
                Piece::Path => {
                    // What stands before it may be the operator's host: `new.org` and `@evil.org` must not join.
                    if !target.path.starts_with('/') {
                        location.push('/');
                    }
                    push(&mut location, target.path, is_safe);
                }
                Piece::Query => {
                    if let Some(query) = target.query {
                        location.push('?');
                        push(&mut location, query, is_safe);
                    }
                }
            }
        }
        // `//evil.org` names a host. No `to` starts so, hence two slashes come from a path next to a slash.
        let doubled = location.len() - location.trim_start_matches('/').len();
        location.drain(..doubled.saturating_sub(1));
        // Only printable ASCII is ever put in; a fallback beats a panic.
        HeaderValue::from_maybe_shared(Bytes::from(location))
            .unwrap_or_else(|_| HeaderValue::from_static("/"))
    }

    /// The answer to a request.
    pub fn answer(&self, target: &Target<'_>) -> Answer {
        let mut head = ResponseHeader::from(http::Response::new(()).into_parts().0);
        // A status code is one already, and a fresh map has room for two headers.
        let _ = head.set_status(self.status);
        let _ = head.insert_header(LOCATION, self.location(target));
        let _ = head.insert_header(CONTENT_LENGTH, HeaderValue::from_static("0"));
        Answer { head, body: Bytes::new() }
    }
}

/// Puts a text in, all that is not `fit` percent-encoded.
fn push(location: &mut String, text: &str, fit: impl Fn(u8) -> bool) {
    for byte in text.bytes() {
        if fit(byte) {
            location.push(char::from(byte));
        } else {
            location.push_str(&format!("%{byte:02X}"));
        }
    }
}

/// Whether a byte may stand in a path or query. Browsers read `\` as `/`, and `#` would begin the fragment.
fn is_safe(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'\\' | b'#' | b'"' | b'<' | b'>')
}

fn parse(to: &str, at: &str) -> Result<Vec<Piece>, Problem> {
    let mut pieces = Vec::new();
    let mut rest = to;
    while let Some((text, tail)) = rest.split_once('{') {
        let (name, tail) = tail.split_once('}').ok_or_else(|| {
            Problem::new(at, format!("`{to}` has a `{{` without its `}}`"))
                .hint("placeholders are {scheme}, {host}, {path} and {query}; a brace is written %7B")
        })?;
        pieces.push(Piece::Text(text.to_owned()));
        pieces.push(match name {
            "scheme" => Piece::Scheme,
            "host" => Piece::Host,
            "path" => Piece::Path,
            "query" => Piece::Query,
            _ => {
                return Err(Problem::new(at, format!("unknown placeholder `{{{name}}}`"))
                    .hint("there are {scheme}, {host}, {path} and {query}")
                    .did_you_mean(name, PLACEHOLDERS));
            }
        });
        rest = tail;
    }
    pieces.push(Piece::Text(rest.to_owned()));
    let texts =
        pieces.iter().filter_map(|piece| if let Piece::Text(text) = piece { Some(text) } else { None });
    if texts.flat_map(|text| text.bytes()).any(|b| !b.is_ascii_graphic() || matches!(b, b'}' | b'\\' | b'"'))
    {
        return Err(Problem::new(at, format!("`{to}` holds what may not stand in a URL"))
            .hint("percent-encode it: a space is `%20`"));
    }
    if !is_anchored(to) {
        return Err(Problem::new(at, format!("`{to}` is neither a URL nor a path"))
            .hint("begin it with https://, {scheme}://{host} or /"));
    }
    pieces.retain(|piece| !matches!(piece, Piece::Text(text) if text.is_empty()));
    Ok(pieces)
}

/// Whether a target is a URL with a host, or a path: anything else would be read relative to the request.
fn is_anchored(to: &str) -> bool {
    let host = ["http://", "https://", "{scheme}://"].iter().find_map(|scheme| to.strip_prefix(scheme));
    match host {
        // `https://{path}` would take the host from the path.
        Some(host) => {
            host.starts_with("{host}") || host.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '[')
        }
        None => to.starts_with("{path}") || (to.starts_with('/') && !to.starts_with("//")),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::test_runner::RngSeed;

    use super::*;

    fn compile(to: &str, status: u16) -> Result<Redirect, Vec<Problem>> {
        Redirect::compile(&live::Redirect { to: to.into(), status }, "r")
    }

    fn location(to: &str, path: &str, query: Option<&str>) -> String {
        let target = Target { scheme: "http", host: "a.org", path, query };
        compile(to, 302).unwrap().location(&target).to_str().unwrap().to_owned()
    }

    #[test]
    fn placeholders_are_filled() {
        for (to, path, query, want) in [
            ("https://new.org{path}", "/a%20b", Some("q"), "https://new.org/a%20b"),
            ("https://new.org{path}{query}", "/a", Some("q=1&r"), "https://new.org/a?q=1&r"),
            ("https://new.org{path}{query}", "/a", None, "https://new.org/a"),
            ("{scheme}://{host}:8443/x{path}", "/a", None, "http://a.org:8443/x/a"),
            ("/login", "/a", None, "/login"),
            ("/go{query}", "/a", Some(""), "/go?"),
        ] {
            assert_eq!(location(to, path, query), want);
        }
    }

    #[test]
    fn requests_cannot_turn_it_elsewhere() {
        for (to, path, query, want) in [
            ("{path}", "//evil.org/x", None, "/evil.org/x"),
            ("/{path}", "/evil.org", None, "/evil.org"),
            ("{path}/x", "/", None, "/x"),
            ("{path}", "/\\evil.org", None, "/%5Cevil.org"),
            ("https://new.org{path}", "@evil.org", None, "https://new.org/@evil.org"),
            ("https://new.org{path}", "", None, "https://new.org/"),
            ("https://new.org{path}", "//x", None, "https://new.org//x"),
            ("/a{query}", "/", Some("x\r\nset-cookie: a#b"), "/a?x%0D%0Aset-cookie:%20a%23b"),
            ("/a{path}", "/é", None, "/a/%C3%A9"),
        ] {
            assert_eq!(location(to, path, query), want);
        }
        let target = Target { scheme: "x", host: "evil.org/?@#", path: "/", query: None };
        let redirect = compile("{scheme}://{host}/", 301).unwrap();
        assert_eq!(redirect.location(&target), "http://evil.org%2F%3F%40%23/");
    }

    #[test]
    fn an_answer_has_no_body() {
        let target = Target { scheme: "http", host: "a.org", path: "/", query: None };
        let answer = compile("/x", 308).unwrap().answer(&target);
        assert_eq!((answer.head.status.as_u16(), answer.body.len()), (308, 0));
        assert_eq!(
            (&answer.head.headers["location"], &answer.head.headers["content-length"]),
            (&"/x".parse().unwrap(), &"0".parse().unwrap())
        );
    }

    #[test]
    fn what_is_no_redirect_is_refused() {
        for (to, status, want) in [
            (
                "/x",
                200,
                "r.status: 200 is not a redirect; use 301, 302, 303, 307 or 308; 307 and 308 keep the method",
            ),
            ("/{pth}", 302, "r.to: unknown placeholder `{pth}`; did you mean `path`?"),
            ("/{}", 302, "r.to: unknown placeholder `{}`; there are {scheme}, {host}, {path} and {query}"),
            (
                "new.org{path}",
                302,
                "r.to: `new.org{path}` is neither a URL nor a path; begin it with https://, {scheme}://{host} or /",
            ),
            (
                "//new.org",
                302,
                "r.to: `//new.org` is neither a URL nor a path; begin it with https://, {scheme}://{host} or /",
            ),
            (
                "/a b",
                302,
                "r.to: `/a b` holds what may not stand in a URL; percent-encode it: a space is `%20`",
            ),
        ] {
            let texts: Vec<_> = compile(to, status).unwrap_err().iter().map(ToString::to_string).collect();
            assert_eq!(texts, [want]);
        }
        assert!(compile("/{path", 302).is_err() && compile("/path}", 302).is_err());
        assert_eq!(compile("x", 99).unwrap_err().len(), 2);
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            rng_seed: RngSeed::Fixed(12), failure_persistence: None, ..ProptestConfig::default()
        })]

        #[test]
        fn a_location_is_printable_and_stays_where_it_was_meant(path in ".{0,12}", query in ".{0,12}", host in ".{0,12}") {
            let target = Target { scheme: "https", host: &host, path: &path, query: Some(&query) };
            for to in ["{path}{query}", "https://new.org{path}{query}", "{scheme}://{host}{path}", "/x{path}", "/{path}", "{path}{path}", "/{query}{path}"] {
                let location = compile(to, 302).unwrap().location(&target);
                let text = location.to_str().unwrap();
                prop_assert!(text.bytes().all(|b| b.is_ascii_graphic()), "{}", text);
                prop_assert!(!text.starts_with("//") && !text.starts_with("/\\"), "{}", text);
                prop_assert!(!to.contains("new.org") || text.starts_with("https://new.org/"), "{}", text);
            }
        }
    }
}
