//! The bearer token of the admin API.
//!
//! The file is read for every request: it is small, the API is not busy, and a token that was just
//! replaced holds at once. A file that cannot be read, or is empty, closes the API; it never opens
//! it.
//!
//! Browsers cannot be made to send a bearer token for a page, but they ask for a password: so the
//! token is taken as the password of HTTP Basic too, whatever the user name.

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use sha2::{Digest as _, Sha256};

/// The token, by its file.
pub(super) struct Token {
    file: PathBuf,
}

/// What the header was worth.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Good,
    Bad,
    Unreadable(String),
}

// === impl Token ===

impl Token {
    pub(super) fn new(file: PathBuf) -> Self {
        Self { file }
    }

    /// Judges an `Authorization` header.
    pub(super) fn check(&self, header: Option<&HeaderValue>) -> Verdict {
        let text = match std::fs::read(&self.file) {
            Ok(text) => text,
            Err(e) => return Verdict::Unreadable(format!("{}: {e}", self.file.display())),
        };
        let token = text.trim_ascii();
        if token.is_empty() {
            return Verdict::Unreadable(format!("{}: it is empty", self.file.display()));
        }
        match header.and_then(given) {
            Some(given) if same(&given, token) => Verdict::Good,
            _ => Verdict::Bad,
        }
    }
}

/// The token that a header carries.
fn given(header: &HeaderValue) -> Option<Vec<u8>> {
    let bytes = header.as_bytes();
    let space = bytes.iter().position(|b| *b == b' ')?;
    let (scheme, rest) = (&bytes[..space], bytes[space..].trim_ascii());
    if scheme.eq_ignore_ascii_case(b"bearer") {
        return Some(rest.to_vec());
    }
    if scheme.eq_ignore_ascii_case(b"basic") {
        let pair = STANDARD.decode(rest).ok()?;
        let colon = pair.iter().position(|b| *b == b':')?;
        return Some(pair[colon + 1..].to_vec());
    }
    None
}

/// Compares digests, and all of their bytes: the time taken tells neither the length nor where two
/// tokens differ.
fn same(a: &[u8], b: &[u8]) -> bool {
    let (a, b) = (Sha256::digest(a), Sha256::digest(b));
    let difference = a.iter().zip(b.iter()).fold(0, |acc, (a, b)| acc | (a ^ b));
    std::hint::black_box(difference) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_comes_as_bearer_or_password_and_follows_its_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let token = Token::new(file.path().into());
        let check = |header: &str| token.check(Some(&HeaderValue::from_str(header).unwrap()));
        assert!(matches!(check("Bearer "), Verdict::Unreadable(_)), "an empty file lets nobody in");
        std::fs::write(file.path(), "s3cret\n").unwrap();
        assert_eq!(check("Bearer s3cret"), Verdict::Good);
        assert_eq!(check("bearer  s3cret"), Verdict::Good);
        assert_eq!(check(&format!("Basic {}", STANDARD.encode("me:s3cret"))), Verdict::Good);
        for bad in ["Bearer s3cre", "Bearer s3cret2", "s3cret", "Bearer", "Basic s3cret", "Basic !", ""] {
            assert_eq!(check(bad), Verdict::Bad, "{bad}");
        }
        assert_eq!(token.check(None), Verdict::Bad);
        std::fs::write(file.path(), "other").unwrap();
        assert_eq!((check("Bearer s3cret"), check("Bearer other")), (Verdict::Bad, Verdict::Good));
        std::fs::remove_file(file.path()).unwrap();
        assert!(matches!(check("Bearer other"), Verdict::Unreadable(_)));
    }
}
