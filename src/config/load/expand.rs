//! `${NAME}` and `${NAME:-default}` in texts, from the environment; `$$` is a `$`.
//!
//! Expansion happens after YAML is parsed, so that a value from the environment cannot change the
//! shape of the config. An unset variable without a default is a problem: an empty token or address
//! would fail much later and far from here. A `$` before anything but `{` or `$` stands for itself,
//! since regexes end in it.
//!
//! `rewrite.to` of a route is left alone: there `$1` and `${name}` are the groups of its regex.

use std::fmt;

use super::build::Flaw;
use super::tree::{Node, State, Step, Value};
use crate::config::Problem;

/// Looks up a variable of the environment.
pub(crate) type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Why a text cannot be expanded.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unexpandable {
    Unset(String),
    Unclosed,
    BadName(String),
}

/// Expands every text of a tree in place.
pub(crate) fn expand(root: &mut Node, env: Env<'_>, flaws: &mut Vec<Flaw>) {
    walk(root, &mut String::new(), env, flaws);
}

fn walk(node: &mut Node, path: &mut String, env: Env<'_>, flaws: &mut Vec<Flaw>) {
    let here = path.len();
    match &mut node.value {
        Value::Scalar(scalar) => {
            if !scalar.text.contains('$') || is_rewrite_target(path) {
                return;
            }
            match text(&scalar.text, env) {
                Ok(expanded) => {
                    scalar.expanded = true;
                    scalar.text = expanded.into();
                }
                Err(why) => {
                    node.state = State::Text;
                    flaws.push((node.at, Problem::new(path.as_str(), why.to_string()).hint(why.hint())));
                }
            }
        }
        Value::List(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                Step::Item(index).push_to(path);
                walk(item, path, env, flaws);
                path.truncate(here);
            }
        }
        Value::Map(entries) => {
            for entry in entries {
                Step::Key(&entry.key).push_to(path);
                walk(&mut entry.value, path, env, flaws);
                path.truncate(here);
            }
        }
    }
}

fn is_rewrite_target(path: &str) -> bool {
    path.starts_with("routes[") && path.ends_with("].rewrite.to")
}

/// Expands one text.
pub(crate) fn text(text: &str, env: Env<'_>) -> Result<String, Unexpandable> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(dollar) = rest.find('$') {
        out.push_str(&rest[..dollar]);
        let after = &rest[dollar + 1..];
        if let Some(tail) = after.strip_prefix('$') {
            out.push('$');
            rest = tail;
        } else if let Some(inner) = after.strip_prefix('{') {
            let (inner, tail) = inner.split_once('}').ok_or(Unexpandable::Unclosed)?;
            out.push_str(&variable(inner, env)?);
            rest = tail;
        } else {
            out.push('$');
            rest = after;
        }
    }
    out.push_str(rest);
    Ok(out)
}

/// The value of what stands between `${` and `}`. As in a shell, `:-` also replaces an empty value.
fn variable(inner: &str, env: Env<'_>) -> Result<String, Unexpandable> {
    let (name, default) = match inner.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inner, None),
    };
    let starts = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if !starts || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return Err(Unexpandable::BadName(inner.to_owned()));
    }
    match (env(name), default) {
        (Some(value), Some(default)) if value.is_empty() => Ok(default.to_owned()),
        (Some(value), _) => Ok(value),
        (None, Some(default)) => Ok(default.to_owned()),
        (None, None) => Err(Unexpandable::Unset(name.to_owned())),
    }
}

// === impl Unexpandable ===

impl fmt::Display for Unexpandable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unset(name) => write!(f, "the environment variable `{name}` is not set"),
            Self::Unclosed => f.write_str("`${` is never closed"),
            Self::BadName(inner) => write!(f, "`${{{inner}}}` does not name an environment variable"),
        }
    }
}

impl Unexpandable {
    fn hint(&self) -> String {
        match self {
            Self::Unset(name) => format!("set it, or give a default: ${{{name}:-default}}"),
            Self::Unclosed | Self::BadName(_) => {
                "write ${NAME} or ${NAME:-default}, or $$ for a `$` that stands for itself".into()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(input: &str) -> Result<String, Unexpandable> {
        text(input, &|name| match name {
            "HOST" => Some("db1".into()),
            "EMPTY" => Some(String::new()),
            _ => None,
        })
    }

    #[test]
    fn variables_defaults_and_dollars() {
        for (input, output) in [
            ("http://${HOST}:80", "http://db1:80"),
            ("${PORT:-8500}", "8500"),
            ("${EMPTY:-x}${EMPTY}", "x"),
            ("${NONE:-}", ""),
            ("$$ $${HOST} $1 ^a$", "$ ${HOST} $1 ^a$"),
            ("${HOST}${HOST}", "db1db1"),
            ("plain", "plain"),
        ] {
            assert_eq!(with(input).as_deref(), Ok(output), "{input}");
        }
    }

    #[test]
    fn what_cannot_be_expanded_is_told() {
        assert_eq!(with("a${PORT}"), Err(Unexpandable::Unset("PORT".into())));
        assert_eq!(with("a${HOST"), Err(Unexpandable::Unclosed));
        assert_eq!(with("${1}"), Err(Unexpandable::BadName("1".into())));
        assert_eq!(with("${}"), Err(Unexpandable::BadName(String::new())));
    }

    #[test]
    fn only_the_target_of_a_rewrite_is_left_alone() {
        assert!(is_rewrite_target("routes[12].rewrite.to"));
        assert!(!is_rewrite_target("routes[12].redirect.to"));
        assert!(!is_rewrite_target("routes[0].request_headers.set.x"));
    }
}
