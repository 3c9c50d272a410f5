//! How answers look: bodies, headers, and the one shape of errors, `{"error": ..., "hint": ...}`.

use http::header::{self, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use serde::Serialize;
use serde_json::{Map, Value};

/// A response before its last touches.
pub(super) struct Answer {
    status: StatusCode,
    content_type: &'static str,
    body: Vec<u8>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// A request that is not served, with what to do about it.
pub(super) struct Refusal {
    status: StatusCode,
    fields: Map<String, Value>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// What the browser may do with an answer. The page loads its own script and style, talks to its
/// own origin, and is never framed: a frame over the drain button would be a trap.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

// === impl Answer ===

impl Answer {
    /// 200 with a body of some type.
    pub(super) fn ok(content_type: &'static str, body: impl Into<Vec<u8>>) -> Self {
        Self { status: StatusCode::OK, content_type, body: body.into(), headers: Vec::new() }
    }

    /// JSON, indented for people; machines do not mind.
    pub(super) fn json(status: StatusCode, value: &impl Serialize) -> Self {
        // Cannot fail for what is shown here: no map has keys that are not strings.
        let mut body = serde_json::to_vec_pretty(value).unwrap_or_default();
        body.push(b'\n');
        Self { status, ..Self::ok("application/json", body) }
    }

    /// `head`: the headers of the answer without its body.
    pub(super) fn into_response(self, head: bool) -> Response<Vec<u8>> {
        let length = self.body.len();
        let mut response = Response::new(if head { Vec::new() } else { self.body });
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        for (name, value) in [
            (header::CONTENT_TYPE, self.content_type),
            (header::CACHE_CONTROL, "no-store"),
            (header::CONTENT_SECURITY_POLICY, POLICY),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (header::X_FRAME_OPTIONS, "DENY"),
            (header::REFERRER_POLICY, "no-referrer"),
            (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        headers.extend(self.headers);
        response
    }
}

impl From<Refusal> for Answer {
    fn from(refusal: Refusal) -> Self {
        Self { headers: refusal.headers, ..Self::json(refusal.status, &refusal.fields) }
    }
}

// === impl Refusal ===

impl Refusal {
    /// What is wrong, in one sentence without a full stop.
    pub(super) fn new(status: StatusCode, error: impl Into<String>) -> Self {
        let fields = Map::from_iter([("error".to_owned(), Value::String(error.into()))]);
        Self { status, fields, headers: Vec::new() }
    }

    /// What to do about it.
    pub(super) fn hint(self, hint: impl Into<String>) -> Self {
        self.with("hint", &hint.into())
    }

    /// One more key.
    pub(super) fn with(mut self, key: &str, value: &impl Serialize) -> Self {
        self.fields.insert(key.into(), serde_json::to_value(value).unwrap_or_default());
        self
    }

    /// One more header.
    pub(super) fn header(mut self, name: HeaderName, value: &'static str) -> Self {
        self.headers.push((name, HeaderValue::from_static(value)));
        self
    }
}
