//! Who a client is, by its certificate.
//!
//! Only asked once the library has verified the certificate. The SPIFFE ID is the one URI of the
//! certificate, if it is a `spiffe://` one: a certificate with several URIs is no SVID (SPIFFE X.509
//! SVID 2), and to take the first would let whoever may add a URI choose who it is. The subject is
//! written as RFC 2253 says, in ASCII; names of a multi-valued part are written one by one, since
//! the library does not show which belong together.

use std::fmt::Write as _;

use openssl::nid::Nid;
use openssl::x509::{X509, X509NameEntryRef};
use sha2::{Digest, Sha256};

/// What a verified certificate says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) spiffe: Option<Box<str>>,
    /// As RFC 2253 writes it.
    pub(crate) subject: Box<str>,
    /// SHA-256 of the certificate, in hex.
    pub(crate) hash: Box<str>,
}

// === impl Identity ===

impl Identity {
    pub(crate) fn of(certificate: &X509) -> Self {
        let names = certificate.subject_alt_names();
        let mut uris = names.iter().flatten().filter_map(|name| name.uri());
        let spiffe = match (uris.next(), uris.next()) {
            (Some(uri), None) if is_spiffe(uri) => Some(uri.into()),
            _ => None,
        };
        let entries: Vec<_> = certificate.subject_name().entries().map(entry).collect();
        let subject = entries.into_iter().rev().collect::<Vec<_>>().join(",").into();
        let mut hash = String::with_capacity(64);
        for byte in Sha256::digest(certificate.to_der().unwrap_or_default()) {
            let _ = write!(hash, "{byte:02x}");
        }
        Self { spiffe, subject, hash: hash.into() }
    }
}

/// As SPIFFE writes IDs; anything else could break the headers that it is put in.
fn is_spiffe(uri: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"/._-".contains(&b);
    uri.strip_prefix("spiffe://")
        .is_some_and(|id| !id.is_empty() && id.len() <= 2048 && id.bytes().all(allowed))
}

/// `CN=name`.
fn entry(entry: &X509NameEntryRef) -> String {
    let object = entry.object();
    let mut text = match object.nid() {
        Nid::UNDEF => object.to_string(),
        nid => nid.short_name().unwrap_or_default().to_owned(),
    };
    text.push('=');
    escape(&mut text, &entry.data().to_string().unwrap_or_default());
    text
}

/// Appends a value as RFC 2253 2.4 escapes it, with all that is not ASCII as hex.
fn escape(out: &mut String, value: &str) {
    let last = value.len().saturating_sub(1);
    for (at, byte) in value.bytes().enumerate() {
        match byte {
            b',' | b'+' | b'"' | b'\\' | b'<' | b'>' | b';' => out.extend(['\\', byte.into()]),
            b'#' if at == 0 => out.push_str("\\#"),
            b' ' if at == 0 || at == last => out.push_str("\\ "),
            b' '..=b'~' => out.push(byte.into()),
            _ => drop(write!(out, "\\{byte:02X}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_escaped_as_rfc_2253_says() {
        for (value, written) in [
            ("plain name", "plain name"),
            (" #a, b+c ", "\\ #a\\, b\\+c\\ "),
            ("#1", "\\#1"),
            ("a\"b\\c<d>;", "a\\\"b\\\\c\\<d\\>\\;"),
            ("L\u{fc}\r\n", "L\\C3\\BC\\0D\\0A"),
            ("", ""),
        ] {
            let mut out = String::new();
            escape(&mut out, value);
            assert_eq!(out, written);
        }
    }

    #[test]
    fn only_what_spiffe_allows_is_an_id() {
        for good in ["spiffe://a.test/ns/x/sa/y_1", "spiffe://a"] {
            assert!(is_spiffe(good), "{good}");
        }
        for bad in [
            "spiffe://",
            "https://a.test/",
            "spiffe://a.test/x;By=y",
            "spiffe://a/b,c",
            "spiffe://a/\r\nx: y",
        ] {
            assert!(!is_spiffe(bad), "{bad}");
        }
    }
}
