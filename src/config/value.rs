//! The values a config file is made of, parsed once and never re-checked.
//!
//! Each newtype can only be built by parsing, so code that holds one need not ask whether it is
//! valid (parse, don't validate). Their JSON Schemas carry the same rule as a pattern, so an editor
//! warns first.

use std::borrow::Cow;
use std::fmt;
use std::io::Read as _;
use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use ipnet::IpNet;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A length of time as people write it: `250ms`, `5s`, `10m`, `1h`, `30d`, or a sum of those
/// (`1m30s`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(pub Duration);

/// A network of addresses: `10.0.0.0/8`, `fd00::/8`, or a single address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network(IpNet);

/// A number of bytes: `512`, `64KiB`, `10MiB`, `1GiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

/// The name of a listener, cluster, route or variant: 1 to 128 of `A-Z a-z 0-9 . _ -`, so that it
/// fits in a metric label, a URL path and a shell word without quoting.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Box<str>);

/// A text that must not be shown: its `Debug`, and what the admin API serialises, say `<secret>`.
///
/// In the file it is the text itself, `${ENV}`, or `file:path`, which is read when the config is
/// loaded: at most 64 KiB, without the white space at its end. The loader makes a relative path
/// start from its file's folder.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

/// A host condition: an exact name, or `*.example.com`, which stands for one or more labels before
/// it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HostPattern {
    /// The lower-cased name, without port or trailing dot.
    Exact(Box<str>),
    /// `*.example.com`, stored as `.example.com`.
    Suffix(Box<str>),
}

/// Why a text is not the value it should be. The message names the text and says what is expected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ValueError(String);

// === impl Span ===

impl Span {
    /// A span of whole seconds, for defaults.
    pub const fn secs(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    /// A span of milliseconds, for defaults.
    pub const fn millis(milliseconds: u64) -> Self {
        Self(Duration::from_millis(milliseconds))
    }
}

impl FromStr for Span {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let wrong =
            || ValueError(format!("`{text}` is not a duration; write it as 250ms, 5s, 10m, 1h or 30d"));
        if text == "0" {
            return Ok(Self(Duration::ZERO));
        }
        let mut rest = text;
        let mut total = Duration::ZERO;
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
            let number: u64 = rest[..digits].parse().map_err(|_| wrong())?;
            rest = &rest[digits..];
            let letters = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
            let millis = match &rest[..letters] {
                "ms" => 1,
                "s" => 1_000,
                "m" => 60_000,
                "h" => 3_600_000,
                "d" => 86_400_000,
                _ => return Err(wrong()),
            };
            rest = &rest[letters..];
            let part = number.checked_mul(millis).map(Duration::from_millis).ok_or_else(wrong)?;
            total = total.checked_add(part).ok_or_else(wrong)?;
        }
        if text.is_empty() { Err(wrong()) } else { Ok(Self(total)) }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis();
        match millis {
            0 => f.write_str("0s"),
            m if m % 86_400_000 == 0 => write!(f, "{}d", m / 86_400_000),
            m if m % 3_600_000 == 0 => write!(f, "{}h", m / 3_600_000),
            m if m % 60_000 == 0 => write!(f, "{}m", m / 60_000),
            m if m % 1_000 == 0 => write!(f, "{}s", m / 1_000),
            m => write!(f, "{m}ms"),
        }
    }
}

// === impl Size ===

impl FromStr for Size {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let wrong = || ValueError(format!("`{text}` is not a size; write it as 512, 64KiB, 10MiB or 1GiB"));
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let number: u64 = text[..digits].parse().map_err(|_| wrong())?;
        let unit = match &text[digits..] {
            "" | "B" => 1,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            _ => return Err(wrong()),
        };
        number.checked_mul(unit).map(Self).ok_or_else(wrong)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            n if n != 0 && n % (1 << 30) == 0 => write!(f, "{}GiB", n >> 30),
            n if n != 0 && n % (1 << 20) == 0 => write!(f, "{}MiB", n >> 20),
            n if n != 0 && n % (1 << 10) == 0 => write!(f, "{}KiB", n >> 10),
            n => write!(f, "{n}"),
        }
    }
}

// === impl Name ===

impl Name {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A name that no config can give, for what stands beside named things.
    pub(crate) fn reserved(text: &str) -> Self {
        Self(format!("<{text}>").into())
    }
}

impl FromStr for Name {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if text.is_empty() || text.len() > 128 || !text.chars().all(fits) {
            return Err(ValueError(format!(
                "`{text}` is not a name; use 1 to 128 letters, digits, `.`, `_` or `-`"
            )));
        }
        Ok(Self(text.into()))
    }
}

impl std::borrow::Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

// === impl Secret ===

/// A file with a secret is at most so large.
const SECRET_BYTES: u64 = 64 << 10;

impl Secret {
    /// Wraps a text that is already resolved.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself. Call it only where the secret is used.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Reads the file of a `file:` secret.
    fn read(path: &str) -> Result<Self, ValueError> {
        let wrong =
            |why: &dyn fmt::Display| ValueError(format!("cannot read the secret `file:{path}`: {why}"));
        let mut text = String::new();
        let file = std::fs::File::open(path).map_err(|e| wrong(&e))?;
        file.take(SECRET_BYTES + 1).read_to_string(&mut text).map_err(|e| wrong(&e))?;
        if text.len() as u64 > SECRET_BYTES {
            return Err(wrong(&"it is larger than 64 KiB"));
        }
        text.truncate(text.trim_end().len());
        if text.is_empty() { Err(wrong(&"it is empty")) } else { Ok(Self(text)) }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<secret>")
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("<secret>")
    }
}

/// Under this name a secret asks its deserializer for its text. The config loader knows it, see
/// `load/de.rs`.
pub(crate) const SECRET: &str = "$tidegate::Secret";

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Secret;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }

            fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Secret, D::Error> {
                let text = String::deserialize(deserializer)?;
                match text.strip_prefix("file:") {
                    Some(path) => Secret::read(path).map_err(serde::de::Error::custom),
                    None => Ok(Secret(text)),
                }
            }
        }
        deserializer.deserialize_newtype_struct(SECRET, Visitor)
    }
}

impl JsonSchema for Secret {
    fn schema_name() -> Cow<'static, str> {
        "Secret".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "description": "the text, ${ENV}, or file:/path"})
    }
}

// === impl Network ===

impl Network {
    /// Whether an address is in it. An IPv4 address that came over an IPv6 socket is an IPv4 address.
    pub fn contains(&self, ip: IpAddr) -> bool {
        self.0.contains(&ip.to_canonical())
    }
}

impl FromStr for Network {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let network = text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        let wrong = |_| ValueError(format!("`{text}` is not a network; write it as 10.0.0.0/8 or 10.1.2.3"));
        network.map(|network: IpNet| Self(network.trunc())).map_err(wrong)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

// === impl HostPattern ===

impl FromStr for HostPattern {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let wrong = |why: &str| ValueError(format!("`{text}` is not a host pattern: {why}"));
        if text == "*" {
            return Err(wrong("a route without `hosts` takes every host"));
        }
        let lower = text.trim_end_matches('.').to_ascii_lowercase();
        let (name, suffix) = match lower.strip_prefix("*.") {
            Some(rest) => (rest, true),
            None => (lower.as_str(), false),
        };
        if name.contains('*') {
            return Err(wrong("`*` may only stand first, as in *.example.com"));
        }
        if let Some(literal) = name.strip_prefix('[') {
            let address = literal.strip_suffix(']').unwrap_or("");
            let known = address.parse::<std::net::Ipv6Addr>().is_ok() && !suffix;
            return if known { Ok(Self::Exact(name.into())) } else { Err(wrong("not an IPv6 address")) };
        }
        if name.contains(':') {
            return Err(wrong("leave out the port; a route matches the host on every listener"));
        }
        let label = |l: &str| {
            !l.is_empty()
                && l.len() <= 63
                && l.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
        };
        if name.len() > 253 || !name.split('.').all(label) {
            return Err(wrong("use letters, digits and `-` in labels of 1 to 63, joined by dots"));
        }
        Ok(if suffix { Self::Suffix(format!(".{name}").into()) } else { Self::Exact(name.into()) })
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => f.write_str(name),
            Self::Suffix(name) => write!(f, "*{name}"),
        }
    }
}

// === serde by text ===

/// Implements serde and JSON Schema for a type that is written as text in the file.
macro_rules! by_text {
    ($type:ident, $schema:tt) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = Scalar::deserialize(deserializer)?;
                text.0.parse().map_err(serde::de::Error::custom)
            }
        }

        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    };
}

by_text!(Span, {"type": ["string", "integer"], "pattern": "^(0|([0-9]+(ms|s|m|h|d))+)$",
    "description": "a duration: 250ms, 5s, 10m, 1h, 30d; 0 is none"});
by_text!(Size, {"type": ["string", "integer"], "pattern": "^[0-9]+(B|KiB|MiB|GiB)?$",
    "description": "a number of bytes: 512, 64KiB, 10MiB, 1GiB"});
by_text!(Name, {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,128}$"});
by_text!(Network, {"type": "string", "description": "a network, 10.0.0.0/8, or one address"});
by_text!(HostPattern, {"type": "string", "description": "an exact host, or *.example.com"});

/// A YAML scalar as text, so that `0` and `512` need no quotes.
struct Scalar(String);

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Scalar;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }

            fn visit_str<E>(self, text: &str) -> Result<Scalar, E> {
                Ok(Scalar(text.to_owned()))
            }

            fn visit_u64<E>(self, number: u64) -> Result<Scalar, E> {
                Ok(Scalar(number.to_string()))
            }

            fn visit_i64<E>(self, number: i64) -> Result<Scalar, E> {
                Ok(Scalar(number.to_string()))
            }

            fn visit_f64<E>(self, number: f64) -> Result<Scalar, E> {
                Ok(Scalar(number.to_string()))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

#[cfg(test)]
mod tests;
