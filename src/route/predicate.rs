//! Conditions on methods, headers and query parameters.
//!
//! A name may have several values (repeated headers, `?a=1&a=2`): a condition holds if any of them
//! does, an inverted one if none does, so an absent name fails the first and passes the second.
//! Repeated header lines are looked at one by one; a line with a comma-separated list is one value.
//! A value that is not UTF-8 is only ever `present`. Methods are compared as written: `get` is not
//! `GET`.

use std::fmt;

use http::header::HeaderName;
use http::{HeaderMap, Method};

use crate::config::Problem;
use crate::config::live::ValueMatch;
use crate::route::pattern::Whole;
use crate::route::query;

/// A condition on the values that a request has under a name.
#[derive(Debug, PartialEq)]
pub(super) struct Condition<N> {
    pub(super) name: N,
    test: Test,
    invert: bool,
}

#[derive(Debug)]
enum Test {
    Exact(Box<str>),
    Prefix(Box<str>),
    Regex { regex: Whole, source: Box<str> },
    Present,
}

const KINDS: &str = "one of exact, prefix, regex, present";

/// Compiles the methods of a route.
pub(super) fn methods(texts: &[String], at: &str, problems: &mut Vec<Problem>) -> Vec<Method> {
    let mut methods = Vec::with_capacity(texts.len());
    for (i, text) in texts.iter().enumerate() {
        let at = format!("{at}.methods[{i}]");
        let upper = text.to_ascii_uppercase();
        let standard = ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];
        if *text != upper && standard.contains(&upper.as_str()) {
            problems.push(
                Problem::new(at, format!("no request has the method `{text}`; methods are case-sensitive"))
                    .hint(format!("write `{upper}`")),
            );
            continue;
        }
        match Method::from_bytes(text.as_bytes()) {
            Ok(method) => methods.push(method),
            Err(_) => problems.push(
                Problem::new(at, format!("`{text}` is not a method"))
                    .hint("a method is one word of letters, digits and `-`, such as GET"),
            ),
        }
    }
    methods
}

// === impl Condition<HeaderName> ===

impl Condition<HeaderName> {
    /// Compiles a condition on a header; `at` is its config path.
    pub(super) fn header(value: &ValueMatch, at: &str, problems: &mut Vec<Problem>) -> Option<Self> {
        let name = header_name(&value.name, at).map_err(|problem| problems.push(problem)).ok();
        let test = Test::compile(value, at).map_err(|problem| problems.push(problem)).ok();
        let (test, invert) = test?;
        Some(Self { name: name?, test, invert })
    }

    pub(super) fn holds(&self, headers: &HeaderMap) -> bool {
        let any = headers
            .get_all(&self.name)
            .iter()
            .any(|v| self.test.takes(std::str::from_utf8(v.as_bytes()).ok()));
        any != self.invert
    }
}

// === impl Condition<Box<str>> ===

impl Condition<Box<str>> {
    /// Compiles a condition on a query parameter; `at` is its config path.
    pub(super) fn query(value: &ValueMatch, at: &str, problems: &mut Vec<Problem>) -> Option<Self> {
        if value.name.is_empty() {
            problems.push(Problem::new(format!("{at}.name"), "a query parameter needs a name"));
        }
        let test = Test::compile(value, at).map_err(|problem| problems.push(problem)).ok();
        let (test, invert) = test?;
        Some(Self { name: value.name.as_str().into(), test, invert })
    }

    pub(super) fn holds(&self, query: Option<&str>) -> bool {
        let any = query::values(query, &self.name).any(|value| match self.test {
            Test::Present => true,
            ref test => value.with(|text| test.takes(text)),
        });
        any != self.invert
    }
}

// === impl Condition ===

impl<N> Condition<N> {
    /// The one value that it holds for, if there is such a one.
    pub(super) fn exact(&self) -> Option<&str> {
        match &self.test {
            Test::Exact(text) if !self.invert => Some(text),
            _ => None,
        }
    }
}

/// What is expected, as in `header x-beta: expected exactly "1"`.
impl<N> fmt::Display for Condition<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let not = if self.invert { "not " } else { "" };
        match &self.test {
            Test::Exact(text) => write!(f, "expected {not}exactly {text:?}"),
            Test::Prefix(text) => write!(f, "expected {not}a text that starts with {text:?}"),
            Test::Regex { source, .. } => write!(f, "expected {not}a text that matches {source:?}"),
            Test::Present if self.invert => f.write_str("expected to be absent"),
            Test::Present => f.write_str("expected to be present"),
        }
    }
}

// === impl Test ===

impl Test {
    /// The test and whether it is turned round: `present: false` is `present: true` inverted.
    fn compile(value: &ValueMatch, at: &str) -> Result<(Self, bool), Problem> {
        let ValueMatch { exact, prefix, regex, present, invert, .. } = value;
        let test = match (exact, prefix, regex, present) {
            (Some(text), None, None, None) => Self::Exact(text.as_str().into()),
            (None, Some(text), None, None) => Self::Prefix(text.as_str().into()),
            (None, None, Some(source), None) => Self::Regex {
                regex: Whole::new(source, &format!("{at}.regex"))?,
                source: source.as_str().into(),
            },
            (None, None, None, Some(present)) => return Ok((Self::Present, *invert == *present)),
            (None, None, None, None) => {
                return Err(Problem::new(at, "the condition says only a name")
                    .hint(format!("add {KINDS}; `present: true` takes any value")));
            }
            _ => {
                return Err(Problem::new(at, "the condition says more than one thing").hint(format!(
                    "keep {KINDS}; several conditions on one name are allowed, all must hold"
                )));
            }
        };
        Ok((test, *invert))
    }

    /// Whether a value passes; `None` is one that is not UTF-8.
    fn takes(&self, value: Option<&str>) -> bool {
        match (self, value) {
            (Self::Present, _) => true,
            (_, None) => false,
            (Self::Exact(text), Some(value)) => **text == *value,
            (Self::Prefix(text), Some(value)) => value.starts_with(&**text),
            (Self::Regex { regex, .. }, Some(value)) => regex.is_match(value),
        }
    }
}

impl PartialEq for Test {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Exact(a), Self::Exact(b)) | (Self::Prefix(a), Self::Prefix(b)) => a == b,
            (Self::Regex { source: a, .. }, Self::Regex { source: b, .. }) => a == b,
            (Self::Present, Self::Present) => true,
            _ => false,
        }
    }
}

fn header_name(text: &str, at: &str) -> Result<HeaderName, Problem> {
    let wrong = |what: String, hint: &str| Err(Problem::new(format!("{at}.name"), what).hint(hint));
    let instead = match text.to_ascii_lowercase().as_str() {
        // HTTP/2 requests carry these as `:authority` and friends or not at all, so a condition
        // would hold for one protocol and not the other.
        "host" | ":authority" => "match.hosts",
        ":method" => "match.methods",
        ":path" => "match.path and match.query",
        _ => {
            return HeaderName::from_bytes(text.as_bytes()).or_else(|_| {
                wrong(format!("`{text}` is not a header name"), "a name is letters, digits and `-`")
            });
        }
    };
    wrong(format!("`{text}` is not matched as a header"), &format!("use {instead}"))
}
