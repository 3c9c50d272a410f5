//! Answers that are written in the file: built once, when the snapshot is compiled.

use bytes::Bytes;
use http::StatusCode;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use pingora::http::ResponseHeader;

use crate::config::Problem;
use crate::config::live;
use crate::filter::{Answer, headers};

/// A compiled fixed response.
#[derive(Clone, Debug)]
pub struct Respond(Answer);

// === impl Respond ===

impl Respond {
    /// Compiles a fixed response; `at` is its config path, as `routes[0].respond`.
    ///
    /// A body without a `content-type` is `text/plain; charset=utf-8`; `content-length` is added,
    /// except where the status forbids it.
    ///
    /// # Errors
    ///
    /// A status that is not final, a body where the status has none, headers that cannot be sent or
    /// that the proxy writes itself.
    pub fn compile(respond: &live::Respond, at: &str) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let status = status(respond.status, at).map_err(|problem| problems.push(problem)).ok();
        let bodiless = matches!(respond.status, 204 | 205 | 304);
        if bodiless && !respond.body.is_empty() {
            problems.push(
                Problem::new(format!("{at}.body"), format!("a {} response has no body", respond.status))
                    .hint("leave out the body, or use another status"),
            );
        }
        let headers = headers::pairs(&respond.headers, &format!("{at}.headers"), &mut problems);
        let (Some(status), true) = (status, problems.is_empty()) else {
            return Err(problems);
        };
        let mut head = ResponseHeader::from(http::Response::new(()).into_parts().0);
        // All of it was parsed, and a config holds no 32,768 headers, so nothing here can fail.
        let _ = head.set_status(status);
        if !respond.body.is_empty() {
            let _ = head.insert_header(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        }
        if !matches!(respond.status, 204 | 304) {
            let _ = head.insert_header(CONTENT_LENGTH, HeaderValue::from(respond.body.len()));
        }
        for (name, value) in headers {
            let _ = head.insert_header(name, value);
        }
        Ok(Self(Answer { head, body: Bytes::copy_from_slice(respond.body.as_bytes()) }))
    }

    /// The answer. The body is shared, the head copied.
    pub fn answer(&self) -> Answer {
        self.0.clone()
    }
}

fn status(code: u16, at: &str) -> Result<StatusCode, Problem> {
    let known = StatusCode::from_u16(code).ok().filter(|_| (200..=599).contains(&code));
    known.ok_or_else(|| {
        Problem::new(format!("{at}.status"), format!("{code} is not the status of a final response"))
            .hint("use 200 to 599")
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn compile(respond: serde_json::Value) -> Result<Answer, Vec<Problem>> {
        let respond = serde_json::from_value(respond).unwrap();
        Respond::compile(&respond, "r").map(|respond| respond.answer())
    }

    #[test]
    fn an_answer_is_as_written() {
        let answer =
            compile(json!({"status": 503, "body": "back soon\n", "headers": {"Retry-After": "60"}})).unwrap();
        let header = |name: &str| answer.head.headers.get(name).map(|v| v.to_str().unwrap());
        assert_eq!((answer.head.status.as_u16(), &*answer.body), (503, &b"back soon\n"[..]));
        assert_eq!(header("retry-after"), Some("60"));
        assert_eq!(header("content-length"), Some("10"));
        assert_eq!(header("content-type"), Some("text/plain; charset=utf-8"));
    }

    #[test]
    fn headers_win_over_defaults_and_an_empty_body_has_no_type() {
        let answer =
            compile(json!({"status": 200, "body": "{}", "headers": {"Content-Type": "application/json"}}))
                .unwrap();
        assert_eq!(
            answer.head.headers.get_all("content-type").iter().collect::<Vec<_>>(),
            ["application/json"]
        );
        let empty = compile(json!({"status": 404})).unwrap();
        assert!(!empty.head.headers.contains_key("content-type"));
        assert_eq!(empty.head.headers["content-length"], "0");
        for status in [204, 304] {
            assert!(compile(json!({"status": status})).unwrap().head.headers.is_empty());
        }
    }

    #[test]
    fn what_is_no_response_is_refused() {
        let paths = |respond| {
            let problems = compile(respond).unwrap_err();
            assert!(problems.iter().all(|p| p.hint.is_some()));
            problems.into_iter().map(|p| p.path).collect::<Vec<_>>()
        };
        for status in [0, 100, 199, 600, 1000] {
            assert_eq!(paths(json!({"status": status})), ["r.status"]);
        }
        assert_eq!(paths(json!({"status": 204, "body": "x"})), ["r.body"]);
        assert_eq!(
            paths(json!({"status": 304, "body": "x", "headers": {"content-length": "1", "a": "\n"}})),
            ["r.body", "r.headers.a", "r.headers.content-length"]
        );
    }
}
