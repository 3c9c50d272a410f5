//! Mistakes, said in the terms of the config file: what was found, what is wanted, and how to write
//! it.

use super::mistake::Mistake;
use super::tree::{Node, Value};
use crate::config::problem::{Problem, list};

/// Texts longer than this are cut in messages.
const SHOWN: usize = 60;

/// What an empty value is called.
const NOTHING: &str = "nothing";

/// The key that a bare value was probably meant for, by the type that is wanted in its place:
/// `retry: 2` is `retry: { attempts: 2 }`.
const SHORTHANDS: &[(&str, &str)] = &[
    ("AccessLog", "path"),
    ("Admin", "address"),
    ("Consul", "address"),
    ("ConsulService", "service"),
    ("Dns", "name"),
    ("HashKey", "header"),
    ("LoadBalancing", "policy"),
    ("PathMatch", "prefix"),
    ("Redirect", "to"),
    ("Respond", "status"),
    ("Retry", "attempts"),
    ("Rewrite", "prefix"),
    ("StaticEndpoint", "address"),
];

/// The problem that a mistake at a node is.
pub(crate) fn problem(path: String, mistake: &Mistake, node: &Node) -> Problem {
    match mistake {
        Mistake::Type { wanted } => wrong_type(path, wanted, node),
        Mistake::Missing(key) => Problem::new(path, format!("`{key}` is missing")),
        Mistake::UnknownKey(known) => {
            Problem::new(path, "unknown key").hint(format!("known here: {}", list(known.iter().copied())))
        }
        Mistake::OneOf(variants) => {
            Problem::new(path, format!("exactly one of {} is wanted", list(variants.iter().copied())))
        }
        Mistake::Choice { name, variants } => choice(path, name, variants, node),
        Mistake::Bare => {
            let word = scalar(node).unwrap_or("");
            Problem::new(path, format!("`{word}` needs a value"))
                .hint(format!("write it as {{ {word}: ... }}"))
        }
        Mistake::Valueless => {
            let word = match &node.value {
                Value::Map(entries) => entries.first().map_or("it", |e| e.name()),
                _ => "it",
            };
            Problem::new(path, format!("`{word}` takes no value")).hint(format!("write just {word}"))
        }
        Mistake::Custom(text) if text == "invalid socket address syntax" => address(path, node),
        Mistake::Custom(text) => match scalar(node) {
            // The value's parser quotes it in full.
            Some(value) if value.len() > SHOWN => split(path, &text.replace(value, &shown(value))),
            _ => split(path, text),
        },
    }
}

/// The problem that a key is which no one knows.
pub(crate) fn unknown_key(path: String, key: &str, known: &[&str]) -> Problem {
    Problem::new(path, format!("unknown key `{}`", shown(key)))
        .hint(format!("known here: {}", list(known.iter().copied())))
        .did_you_mean(key, known.iter().copied())
}

/// A text of the form "what; hint" as a problem.
pub(crate) fn split(path: String, text: &str) -> Problem {
    match text.split_once("; ") {
        Some((what, hint)) => Problem::new(path, what).hint(hint),
        None => Problem::new(path, text),
    }
}

/// A text fit for a message: cut, and on one line.
pub(crate) fn shown(text: &str) -> String {
    let mut out = escaped(&text.chars().take(SHOWN).collect::<String>());
    if text.chars().nth(SHOWN).is_some() {
        out.push_str("...");
    }
    out
}

/// A text without control characters.
pub(crate) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() { out.extend(c.escape_default()) } else { out.push(c) }
    }
    out
}

fn wrong_type(path: String, wanted: &str, node: &Node) -> Problem {
    let hint = hint(&path, wanted, node);
    let problem = Problem::new(path, format!("found {}, wanted {}", found(node), named(wanted)));
    match hint {
        Some(hint) => problem.hint(hint),
        None => problem,
    }
}

fn choice(path: String, name: &str, variants: &[&str], node: &Node) -> Problem {
    let shorthand = shorthand(name, node);
    if let (Some(word), None) = (scalar(node), &shorthand) {
        return Problem::new(path, format!("unknown value `{}`", shown(word)))
            .hint(format!("known here: {}", list(variants.iter().copied())))
            .did_you_mean(word, variants.iter().copied());
    }
    let what = format!("found {}, wanted one of {}", found(node), list(variants.iter().copied()));
    match shorthand {
        Some(hint) => Problem::new(path, what).hint(hint),
        None => Problem::new(path, what),
    }
}

/// A text that is no socket address.
fn address(path: String, node: &Node) -> Problem {
    let text = scalar(node).unwrap_or("");
    let hint = address_hint(&path, text);
    Problem::new(path, format!("`{}` is not an IP address and port", shown(text))).hint(hint)
}

fn address_hint(path: &str, text: &str) -> String {
    let port = if path.contains(".resolvers[") { 53 } else { 80 };
    if text.parse::<std::net::IpAddr>().is_ok() {
        let bracketed = if text.contains(':') { format!("[{text}]") } else { text.to_owned() };
        return format!("add the port: {bracketed}:{port}");
    }
    if text.strip_prefix(':').unwrap_or(text).parse::<u16>().is_ok() {
        return format!("for every interface write 0.0.0.0:{}", text.trim_start_matches(':'));
    }
    if path.contains(".static.") {
        return "write it as 10.0.0.7:80; for a host name use a `dns` cluster".into();
    }
    "write it as 127.0.0.1:8080 or [::1]:8080; a host name does not do".into()
}

/// What a node is, for "found ...".
fn found(node: &Node) -> String {
    match &node.value {
        Value::List(_) => "a list".into(),
        Value::Map(_) => "a mapping".into(),
        Value::Scalar(s) if s.plain && matches!(&*s.text, "" | "~" | "null" | "Null" | "NULL") => {
            "nothing".into()
        }
        Value::Scalar(s) if s.plain && s.text.parse::<f64>().is_ok() => {
            format!("the number `{}`", shown(&s.text))
        }
        Value::Scalar(s) if s.plain && boolean(&s.text) => format!("`{}`", s.text),
        Value::Scalar(s) => format!("the text `{}`", shown(&s.text)),
    }
}

/// What serde wants, in the file's terms.
fn named(wanted: &str) -> &str {
    match wanted {
        "a string" | "a text" | "path string" => "a text",
        "a boolean" => "true or false",
        "a sequence" => "a list",
        "u8" => "a whole number from 0 to 255",
        "u16" => "a whole number from 0 to 65535",
        "u32" => "a whole number from 0 to 4294967295",
        "u64" | "usize" => "a whole number, 0 or more",
        "i32" | "i64" => "a whole number",
        "f64" => "a number",
        "socket address" => "an IP address and port",
        "a map" => "a mapping",
        _ if wanted.starts_with("struct ") => "a mapping",
        other => other,
    }
}

fn hint(path: &str, wanted: &str, node: &Node) -> Option<String> {
    if wanted == "socket address" {
        return scalar(node).map(|text| address_hint(path, text));
    }
    if let Some(hint) = shorthand(wanted.strip_prefix("struct ").unwrap_or(wanted), node) {
        return Some(hint);
    }
    let Value::Scalar(scalar) = &node.value else { return None };
    let text = shown(&scalar.text);
    if found(node) == NOTHING {
        return Some("give it a value, or leave the key out".into());
    }
    match named(wanted) {
        "a text" => Some(format!("put it in quotes: \"{text}\"")),
        "a list" => Some(format!("write it as [ {text} ]")),
        "true or false" if !scalar.plain && boolean(&text) => Some("take the quotes off".into()),
        "true or false" => match text.to_ascii_lowercase().as_str() {
            "yes" | "on" => Some("write it as true".into()),
            "no" | "off" => Some("write it as false".into()),
            _ => None,
        },
        whole if whole.starts_with("a whole number") && !scalar.plain && text.parse::<i64>().is_ok() => {
            Some("take the quotes off".into())
        }
        _ => None,
    }
}

/// How a bare value is written in full, where a mapping with one main key is wanted.
fn shorthand(wanted: &str, node: &Node) -> Option<String> {
    let text = scalar(node).filter(|_| found(node) != NOTHING)?;
    if wanted == "PathMatch" && !text.starts_with('/') || wanted == "Respond" && text.parse::<u16>().is_err()
    {
        return None;
    }
    if wanted == "Match" && text.starts_with('/') {
        return Some(format!("write it as {{ path: {{ prefix: {} }} }}", shown(text)));
    }
    if wanted == "ValueMatch" {
        return Some(format!("write it as {{ name: {}, present: true }}", shown(text)));
    }
    let (_, key) = SHORTHANDS.iter().find(|(name, _)| *name == wanted)?;
    Some(format!("write it as {{ {key}: {} }}", shown(text)))
}

fn scalar(node: &Node) -> Option<&str> {
    match &node.value {
        Value::Scalar(scalar) => Some(&scalar.text),
        _ => None,
    }
}

fn boolean(text: &str) -> bool {
    matches!(text, "true" | "True" | "TRUE" | "false" | "False" | "FALSE")
}
