//! Changes the path before it goes upstream. The query stays as it is.
//!
//! `prefix` takes the place of what the route's condition matched: its prefix by whole segments, or
//! the whole path where the condition is exact. Slashes are neither doubled nor lost: what follows
//! the prefix keeps its own, and a slash at the end of the replacement only counts when nothing
//! follows. A regex condition has no such part, so there `prefix` is refused. `regex` replaces the
//! first match, once; a path that it does not match stays.
//!
//! The result always starts with `/`. It is built from pieces of a valid path and from text checked
//! at compile time, so the one thing that can go wrong is its length.

mod template;

use std::borrow::Cow;

use bytes::Bytes;
use http::Uri;
use http::uri::PathAndQuery;
use pingora::http::RequestHeader;
use regex::Regex;

use self::template::{Draft, Template};
use crate::config::Problem;
use crate::config::live::{self, PathMatch};
use crate::route::path::{after, trim};
use crate::route::pattern;

/// A compiled rewrite.
#[derive(Debug)]
pub enum Rewrite {
    /// The whole path becomes this.
    Whole(Box<str>),
    /// The matched prefix (without a slash at its end) becomes this.
    Prefix { matched: Box<str>, to: Box<str> },
    /// The first match becomes this.
    Regex { regex: Regex, to: Template },
}

/// The rewritten target is over 65,534 bytes, which is as long as one may be. Answer 414.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the rewritten path is too long")]
pub struct TooLong;

// === impl Rewrite ===

impl Rewrite {
    /// Compiles a rewrite for a route with this condition on the path; `at` is its config path, as
    /// `routes[0].rewrite`.
    ///
    /// # Errors
    ///
    /// Neither or both of `prefix` and `regex` with `to`; a `prefix` beside a regex condition; a
    /// text that cannot stand in a path; a regex that is none; a group that the regex does not
    /// have.
    pub fn compile(
        rewrite: &live::Rewrite,
        path: Option<&PathMatch>,
        at: &str,
    ) -> Result<Self, Vec<Problem>> {
        match (&rewrite.prefix, &rewrite.regex, &rewrite.to) {
            (Some(prefix), None, None) => {
                Self::of_prefix(prefix, path, &format!("{at}.prefix")).map_err(|problem| vec![problem])
            }
            (None, Some(regex), Some(to)) => Self::of_regex(regex, to, at),
            _ => Err(vec![
                Problem::new(at, "a rewrite needs either `prefix`, or `regex` and `to`")
                    .hint("as `{ prefix: /v2 }` or `{ regex: \"^/a/(.*)\", to: \"/b/$1\" }`"),
            ]),
        }
    }

    fn of_prefix(to: &str, path: Option<&PathMatch>, at: &str) -> Result<Self, Problem> {
        check(to, at)?;
        if !to.is_empty() && !to.starts_with('/') {
            return Err(
                Problem::new(at, format!("`{to}` does not start with `/`")).hint(format!("write `/{to}`"))
            );
        }
        match path {
            None => Ok(Self::Prefix { matched: "".into(), to: to.into() }),
            Some(PathMatch::Prefix(prefix)) => {
                Ok(Self::Prefix { matched: trim(prefix).into(), to: to.into() })
            }
            Some(PathMatch::Exact(_)) => Ok(Self::Whole(rooted(Cow::Borrowed(to)).into())),
            Some(PathMatch::Regex(_)) => {
                Err(Problem::new(at, "a regex condition matches no prefix to replace")
                    .hint("use `rewrite: { regex, to }`, or a `path: { prefix }` condition"))
            }
        }
    }

    fn of_regex(source: &str, to: &str, at: &str) -> Result<Self, Vec<Problem>> {
        let regex = pattern::anywhere(source, &format!("{at}.regex"));
        let draft = Draft::parse(to, &format!("{at}.to"));
        match (regex, draft) {
            (Ok(regex), Ok(draft)) => {
                let to = draft.bind(&regex, &format!("{at}.to")).map_err(|problem| vec![problem])?;
                Ok(Self::Regex { regex, to })
            }
            (regex, draft) => Err([regex.err(), draft.err()].into_iter().flatten().collect()),
        }
    }

    /// The path that a path becomes. One that does not start with `/` (`OPTIONS *`) stays.
    pub fn path<'p>(&self, path: &'p str) -> Cow<'p, str> {
        if !path.starts_with('/') {
            return path.into();
        }
        match self {
            Self::Whole(to) => to.to_string().into(),
            Self::Prefix { matched, to } => match after(path, matched) {
                Some("") => rooted(to.to_string().into()),
                Some(rest) => [trim(to), rest].concat().into(),
                None => path.into(),
            },
            Self::Regex { regex, to } => match regex.captures(path) {
                Some(captures) => rooted(to.fill(path, &captures).into()),
                None => path.into(),
            },
        }
    }

    /// Rewrites the target of a request.
    ///
    /// # Errors
    ///
    /// [`TooLong`]; the request is as it was.
    pub fn request(&self, request: &mut RequestHeader) -> Result<(), TooLong> {
        let target = target(request);
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (&*target, None),
        };
        let mut new = match self.path(path) {
            new if new == path => return Ok(()),
            new => new.into_owned(),
        };
        if let Some(query) = query {
            new.push('?');
            new.push_str(query);
        }
        let path_and_query = PathAndQuery::from_maybe_shared(Bytes::from(new)).map_err(|_| TooLong)?;
        // Scheme and authority are part of an HTTP/2 target.
        let mut parts = request.uri.clone().into_parts();
        parts.path_and_query = Some(path_and_query);
        request.set_uri(Uri::from_parts(parts).map_err(|_| TooLong)?);
        Ok(())
    }
}

/// Path and query as received. Bytes that are not UTF-8 are percent-encoded, which means the same
/// to a server and is something that a regex can work on.
fn target(request: &RequestHeader) -> Cow<'_, str> {
    let raw = request.raw_path();
    // A whole URL (a request to a forward proxy) is kept raw too; of that only the path is wanted.
    if !request.raw_path_is_utf8() && raw.starts_with(b"/") {
        let encode = |byte: &u8| match byte.is_ascii() {
            true => char::from(*byte).to_string(),
            false => format!("%{byte:02X}"),
        };
        return raw.iter().map(encode).collect::<String>().into();
    }
    request.uri.path_and_query().map_or("", PathAndQuery::as_str).into()
}

/// A path that starts with `/`.
fn rooted(path: Cow<'_, str>) -> Cow<'_, str> {
    if path.starts_with('/') { path } else { format!("/{path}").into() }
}

/// Refuses a text that may not stand in a path.
fn check(text: &str, at: &str) -> Result<(), Problem> {
    if text.contains(['?', '#']) {
        return Err(Problem::new(at, format!("`{text}` holds a query or fragment"))
            .hint("only the path is rewritten; the query stays as it is"));
    }
    // The brackets and quotes that Uri refuses too are not worth a list of their own: it judges.
    let sound =
        text.bytes().all(|b| b.is_ascii_graphic()) && format!("/{text}").parse::<PathAndQuery>().is_ok();
    if !sound {
        return Err(Problem::new(at, format!("`{text}` holds what may not stand in a path"))
            .hint("percent-encode it: a space is `%20`"));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
