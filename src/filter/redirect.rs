//! Answers that send the client elsewhere.
//!
//! `to` is a URL, or a path on the same host, with `{scheme}`, `{host}`, `{port}`, `{path}` and `{query}`.
//! Path and query go in as received. They are the client's (or an attacker's who made the client
//! follow a link), so what is put in cannot change what the operator wrote: a byte that may not
//! stand in a header or that browsers read as a delimiter is percent-encoded, a path never runs
//! into the host before it nor starts with two slashes, and `{host}` is only ever a host. `{host}`
//! is still what the client says it is: name the host where a cache keeps answers for all.
//!
//! `{host}` has no port, which is seldom that of the new place; `{port}` is the one that the client
//! named, with its colon, or nothing: `{scheme}://{host}{port}/new{path}` stays on the port.

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
    /// The one that the client named.
    pub port: Option<u16>,
    pub path: &'a str,
    pub query: Option<&'a str>,
}

#[derive(Clone, Debug)]
enum Piece {
    Text(String),
    Scheme,
    Host,
    Port,
    Path,
    Query,
}

const PLACEHOLDERS: [&str; 5] = ["scheme", "host", "port", "path", "query"];

// === impl Redirect ===

impl Redirect {
    /// Compiles a redirect; `at` is its config path, as `routes[0].redirect`.
    ///
    /// # Errors
    ///
    /// A status that is no redirect, an unknown placeholder, a target that is neither a URL nor a
    /// path.
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
                Piece::Port => {
                    if let Some(port) = target.port {
                        location.push_str(&format!(":{port}"));
                    }
                }
                Piece::Path => {
                    // What stands before it may be the operator's host: `new.org` and `@evil.org`
                    // must not join.
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
        // `//evil.org` names a host. No `to` starts so, hence two slashes come from a path next to
        // a slash.
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

/// Whether a byte may stand in a path or query. Browsers read `\` as `/`, and `#` would begin the
/// fragment.
fn is_safe(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'\\' | b'#' | b'"' | b'<' | b'>')
}

fn parse(to: &str, at: &str) -> Result<Vec<Piece>, Problem> {
    let mut pieces = Vec::new();
    let mut rest = to;
    while let Some((text, tail)) = rest.split_once('{') {
        let (name, tail) = tail.split_once('}').ok_or_else(|| {
            Problem::new(at, format!("`{to}` has a `{{` without its `}}`"))
                .hint("placeholders are {scheme}, {host}, {port}, {path} and {query}; a brace is written %7B")
        })?;
        pieces.push(Piece::Text(text.to_owned()));
        pieces.push(match name {
            "scheme" => Piece::Scheme,
            "host" => Piece::Host,
            "port" => Piece::Port,
            "path" => Piece::Path,
            "query" => Piece::Query,
            _ => {
                return Err(Problem::new(at, format!("unknown placeholder `{{{name}}}`"))
                    .hint("there are {scheme}, {host}, {port}, {path} and {query}")
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

/// Whether a target is a URL with a host, or a path: anything else would be read relative to the
/// request.
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
mod tests;
