//! Edits of request and response headers: first `remove`, then `set`, then `add`.
//!
//! Names and values are parsed when the snapshot is compiled, so a request only inserts what is
//! ready. The spelling of a name is kept for HTTP/1.1 peers; HTTP/2 lower-cases it.
//!
//! What frames a message or belongs to one connection (`content-length`, `connection`,
//! `transfer-encoding`, ...) is refused: the proxy owns it, and an edit would let a request be read
//! as two. `host` has a key of its own, since in HTTP/2 it is not a header.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use http::header::{HeaderName, HeaderValue};
use pingora::http::{RequestHeader, ResponseHeader};

use crate::config::Problem;
use crate::config::live::HeaderEdits;

/// Compiled edits.
#[derive(Clone, Debug, Default)]
pub struct Edits {
    remove: Vec<HeaderName>,
    set: Vec<(Bytes, HeaderValue)>,
    add: Vec<(Bytes, HeaderValue)>,
}

/// Headers that the proxy writes itself.
const OWNED: [&str; 8] = [
    "connection",
    "content-length",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

// === impl Edits ===

impl Edits {
    /// Compiles edits; `at` is their config path, as `routes[0].request_headers`.
    ///
    /// # Errors
    ///
    /// Every name or value that cannot be sent, every name that is not the operator's to edit, and
    /// names given twice in different spellings.
    pub fn compile(edits: &HeaderEdits, at: &str) -> Result<Self, Vec<Problem>> {
        let HeaderEdits { set, add, remove } = edits;
        let mut problems = Vec::new();
        let removed = |(i, text): (usize, &String)| name(text, &format!("{at}.remove[{i}]"));
        let remove = keep(remove.iter().enumerate().map(removed), &mut problems);
        let set = pairs(set, &format!("{at}.set"), &mut problems);
        let add = pairs(add, &format!("{at}.add"), &mut problems);
        if problems.is_empty() { Ok(Self { remove, set, add }) } else { Err(problems) }
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.set.is_empty() && self.add.is_empty()
    }

    /// Whether the name of any of these headers fits.
    pub fn touch(&self, fits: impl Fn(&[u8]) -> bool) -> bool {
        let written = self.set.iter().chain(&self.add).any(|(name, _)| fits(name));
        written || self.remove.iter().any(|name| fits(name.as_str().as_bytes()))
    }

    /// Edits a request.
    pub fn request(&self, request: &mut RequestHeader) {
        for name in &self.remove {
            request.remove_header(name);
        }
        // Names and values were parsed, so these fail only where the map holds 32,768 values; one
        // that large is left as it is.
        for (name, value) in &self.set {
            let _ = request.insert_header(name.clone(), value.clone());
        }
        for (name, value) in &self.add {
            let _ = request.append_header(name.clone(), value.clone());
        }
    }

    /// Edits a response.
    pub fn response(&self, response: &mut ResponseHeader) {
        for name in &self.remove {
            response.remove_header(name);
        }
        for (name, value) in &self.set {
            let _ = response.insert_header(name.clone(), value.clone());
        }
        for (name, value) in &self.add {
            let _ = response.append_header(name.clone(), value.clone());
        }
    }
}

/// Parses names with their values, for edits and for fixed responses.
pub(super) fn pairs(
    texts: &BTreeMap<String, String>,
    at: &str,
    problems: &mut Vec<Problem>,
) -> Vec<(Bytes, HeaderValue)> {
    let mut seen = HashMap::new();
    let parsed = texts.iter().map(|(text, value_text)| {
        let at = format!("{at}.{text}");
        let name = name(text, &at)?;
        if let Some(other) = seen.insert(name, text) {
            return Err(Problem::new(at, format!("`{text}` and `{other}` are the same header"))
                .hint("header names do not differ by case; keep one"));
        }
        let value = HeaderValue::from_bytes(value_text.as_bytes()).map_err(|_| {
            Problem::new(at, "the value holds a line break or another control character").hint(
                "a header value is one line; a YAML text with `|` ends with a line break, `|-` does not",
            )
        })?;
        Ok((Bytes::copy_from_slice(text.as_bytes()), value))
    });
    keep(parsed, problems)
}

/// Parses a name that the operator may edit.
fn name(text: &str, at: &str) -> Result<HeaderName, Problem> {
    let lower = text.to_ascii_lowercase();
    if lower == "host" || lower.starts_with(':') {
        return Err(Problem::new(at, format!("`{text}` is not edited as a header"))
            .hint("use the route's `host:` for the name sent upstream, `rewrite:` for the path"));
    }
    if OWNED.contains(&lower.as_str()) {
        return Err(Problem::new(at, format!("`{text}` belongs to one connection or frames the body"))
            .hint("leave it out: the proxy writes it itself"));
    }
    HeaderName::from_bytes(text.as_bytes()).map_err(|_| {
        Problem::new(at, format!("`{text}` is not a header name")).hint("a name is letters, digits and `-`")
    })
}

/// What parsed; what did not goes to `problems`.
fn keep<T>(parsed: impl Iterator<Item = Result<T, Problem>>, problems: &mut Vec<Problem>) -> Vec<T> {
    parsed.filter_map(|one| one.map_err(|problem| problems.push(problem)).ok()).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn compile(edits: serde_json::Value) -> Result<Edits, Vec<Problem>> {
        Edits::compile(&serde_json::from_value(edits).unwrap(), "e")
    }

    #[test]
    fn removes_then_sets_then_adds() {
        let edits = compile(json!({
            "set": { "X-Edge": "1", "x-gone": "back" },
            "add": { "x-via": "tidegate", "x-edge": "2" },
            "remove": ["x-gone", "X-Internal"],
        }))
        .unwrap();
        let mut request = RequestHeader::build("GET", b"/", None).unwrap();
        for (name, value) in
            [("X-Edge", "a"), ("x-edge", "b"), ("x-via", "c"), ("x-gone", "d"), ("x-internal", "e")]
        {
            request.append_header(name, value).unwrap();
        }
        edits.request(&mut request);
        let all = |name: &str| request.headers.get_all(name).iter().collect::<Vec<_>>();
        assert_eq!(all("x-edge"), ["1", "2"]);
        assert_eq!(all("x-via"), ["c", "tidegate"]);
        assert_eq!(all("x-gone"), ["back"]);
        assert!(all("x-internal").is_empty());
        let mut wire = Vec::new();
        request.header_to_h1_wire(&mut wire);
        assert!(String::from_utf8(wire).unwrap().contains("X-Edge: 1\r\n"), "the spelling is kept");

        let mut response = ResponseHeader::build(200, None).unwrap();
        response.append_header("x-gone", "1").unwrap();
        edits.response(&mut response);
        assert_eq!(response.headers.get_all("x-edge").iter().collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!(response.headers["x-gone"], "back");
    }

    #[test]
    fn what_cannot_be_edited_is_refused() {
        let problems = compile(json!({
            "set": { "Host": "x", "a b": "x", "x-a": "1\r\nx-b: 2", "x-c": "1", "X-C": "2" },
            "add": { "Connection": "close" },
            "remove": ["x-ok", ":path", "Transfer-Encoding", ""],
        }))
        .unwrap_err();
        let paths: Vec<_> = problems.iter().map(|p| p.path.as_str()).collect();
        assert_eq!(
            paths,
            [
                "e.remove[1]",
                "e.remove[2]",
                "e.remove[3]",
                "e.set.Host",
                "e.set.a b",
                "e.set.x-a",
                "e.set.x-c",
                "e.add.Connection"
            ]
        );
        assert!(problems.iter().all(|p| p.hint.is_some()));
        assert!(problems[3].hint.as_deref().unwrap().contains("`host:`"));
        assert!(compile(json!({})).unwrap().is_empty());
    }
}
