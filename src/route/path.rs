//! Conditions on the path. They see it as the client sent it.
//!
//! A prefix takes whole segments, as in the Gateway API: `/a` takes `/a`, `/a/` and `/a/b`, not
//! `/ab`; one slash at its end says nothing. `/` takes every path, and is the same as no condition,
//! `OPTIONS *` included.
//!
//! Nothing is normalised: `/a%2Fb` is one segment, `/x/../a` is not under `/a`, `//a` neither, and
//! `%61` is not `a`. So a route is no access rule by itself: a server that decodes or resolves such
//! a path may serve what another route was meant to guard. Whoever makes the
//! [`RequestView`](crate::route::RequestView) must refuse or resolve dot segments, doubled slashes
//! and encoded slashes first where routes are relied on to keep requests away from a server.

use std::fmt;

use crate::config::Problem;
use crate::config::live::PathMatch;
use crate::route::pattern::Whole;

/// A compiled condition.
#[derive(Debug)]
pub(super) enum Path {
    Exact(Box<str>),
    /// Without the slash at its end; empty: any path.
    Prefix(Box<str>),
    Regex {
        regex: Whole,
        source: Box<str>,
        /// The longest prefix, in whole segments, of everything that it takes.
        under: Box<str>,
    },
}

/// How a path condition compares: the greater wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum PathRank {
    Regex,
    /// Bytes of the prefix, so `/` and none are the least of them.
    Prefix(usize),
    Exact,
}

/// A prefix as it is compared: one slash at its end says nothing.
pub fn trim(prefix: &str) -> &str {
    prefix.strip_suffix('/').unwrap_or(prefix)
}

/// What follows a prefix (see [`trim`]) in a path that it takes: nothing, or a text that starts
/// with `/`.
pub fn after<'p>(path: &'p str, prefix: &str) -> Option<&'p str> {
    path.strip_prefix(prefix).filter(|rest| rest.is_empty() || rest.starts_with('/'))
}

// === impl Path ===

impl Path {
    /// Compiles a condition; `at` is the config path of the route's `match`.
    pub(super) fn compile(path: Option<&PathMatch>, at: &str) -> Result<Self, Problem> {
        match path {
            None => Ok(Self::Prefix("".into())),
            Some(PathMatch::Exact(text)) => {
                check(text, || format!("{at}.path.exact"))?;
                Ok(Self::Exact(text.as_str().into()))
            }
            Some(PathMatch::Prefix(text)) => {
                check(text, || format!("{at}.path.prefix"))?;
                if text.ends_with("//") {
                    let at = format!("{at}.path.prefix");
                    return Err(Problem::new(at, format!("the prefix `{text}` ends with an empty segment"))
                        .hint(format!("write `{}`", text.trim_end_matches('/'))));
                }
                Ok(Self::Prefix(trim(text).into()))
            }
            Some(PathMatch::Regex(source)) => {
                let regex = Whole::new(source, &format!("{at}.path.regex"))?;
                let lead = regex.lead();
                let under = lead.rfind('/').map_or("", |slash| &lead[..slash]).into();
                Ok(Self::Regex { regex, source: source.as_str().into(), under })
            }
        }
    }

    /// Whether the condition takes a path.
    pub(super) fn holds(&self, path: &str) -> bool {
        match self {
            Self::Exact(text) => **text == *path,
            Self::Prefix(prefix) => prefix.is_empty() || after(path, prefix).is_some(),
            Self::Regex { regex, .. } => regex.is_match(path),
        }
    }

    pub(super) fn rank(&self) -> PathRank {
        match self {
            Self::Exact(_) => PathRank::Exact,
            Self::Prefix(prefix) => PathRank::Prefix(prefix.len()),
            Self::Regex { .. } => PathRank::Regex,
        }
    }

    /// Whether every path that `other` takes is surely taken here too.
    pub(super) fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (_, Self::Exact(text)) => self.holds(text),
            (Self::Prefix(prefix), Self::Prefix(text) | Self::Regex { under: text, .. }) => {
                prefix.is_empty() || after(text, prefix).is_some()
            }
            (Self::Regex { source: a, .. }, Self::Regex { source: b, .. }) => a == b,
            _ => false,
        }
    }
}

/// What is expected, as in `path: expected prefix /a`.
impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(text) => write!(f, "exactly {text}"),
            Self::Prefix(prefix) if prefix.is_empty() => f.write_str("prefix /"),
            Self::Prefix(prefix) => write!(f, "prefix {prefix}"),
            Self::Regex { source, .. } => write!(f, "a match of {source}"),
        }
    }
}

/// Refuses a text that no request's path can equal or start with.
fn check(text: &str, at: impl Fn() -> String) -> Result<(), Problem> {
    if !text.starts_with('/') {
        return Err(Problem::new(at(), format!("the path `{text}` does not start with `/`"))
            .hint(format!("write `/{text}`")));
    }
    if text.contains(['?', '#']) {
        return Err(Problem::new(at(), format!("the path `{text}` holds a query or fragment"))
            .hint("conditions on the query go into match.query"));
    }
    if text.bytes().any(|b| !b.is_ascii_graphic()) {
        return Err(Problem::new(
            at(),
            format!("the path `{text}` holds what a request can only send encoded"),
        )
        .hint("percent-encode it, as clients do: `/caf%C3%A9`, `/a%20b`"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(path: PathMatch) -> Path {
        Path::compile(Some(&path), "m").unwrap()
    }

    #[test]
    fn prefixes_take_whole_segments() {
        for text in ["/a", "/a/"] {
            let prefix = path(PathMatch::Prefix(text.into()));
            for (request, takes) in [
                ("/a", true),
                ("/a/", true),
                ("/a/b", true),
                ("/a//", true),
                ("/ab", false),
                ("/", false),
                ("/A", false),
                ("/a%2Fb", false),
                ("//a", false),
                ("/x/../a", false),
                ("", false),
            ] {
                assert_eq!(prefix.holds(request), takes, "{text} {request}");
            }
        }
        for request in ["/", "/a", "//", "*", ""] {
            assert!(path(PathMatch::Prefix("/".into())).holds(request));
            assert!(Path::compile(None, "m").unwrap().holds(request));
        }
    }

    #[test]
    fn what_can_never_match_is_refused_with_a_hint() {
        for (text, hint) in [
            ("a", "write `/a`"),
            ("", "write `/`"),
            ("/a?b", "conditions on the query go into match.query"),
            ("/é", "percent-encode it, as clients do: `/caf%C3%A9`, `/a%20b`"),
            ("/a//", "write `/a`"),
        ] {
            let problem = Path::compile(Some(&PathMatch::Prefix(text.into())), "m").unwrap_err();
            assert_eq!(problem.path, "m.path.prefix");
            assert_eq!(problem.hint.as_deref(), Some(hint), "{text}");
        }
        assert!(Path::compile(Some(&PathMatch::Exact("/a//".into())), "m").is_ok());
    }

    #[test]
    fn a_regex_knows_what_it_stays_under() {
        let under = |source: &str| match path(PathMatch::Regex(source.into())) {
            Path::Regex { under, .. } => under,
            _ => unreachable!(),
        };
        assert_eq!(&*under("/users/[0-9]+"), "/users");
        assert_eq!(&*under("/users/x.*"), "/users");
        assert_eq!(&*under("/users?"), "");
        assert_eq!(&*under("/a/?"), "");
    }
}
