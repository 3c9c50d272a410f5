//! A certificate with all that belongs to it: those that signed it, its key, its OCSP response.
//!
//! Everything that can be wrong with the files shows here, when they are read, and never in a
//! handshake: a key that is another's, a chain in the wrong order, a key that the library finds too
//! short. What is only odd (over, not begun, without a name) is a warning: an operator who puts it
//! there may know why, and a proxy that will not start for a date helps nobody at night.

use std::path::{Path, PathBuf};

use openssl::asn1::{Asn1Time, Asn1TimeRef};
use openssl::error::ErrorStack;
use openssl::pkey::{PKey, Private};
use openssl::ssl::{SslContext, SslMethod};
use openssl::x509::X509;

use crate::config::boot::Certificate;
use crate::tls::staple::Staple;

/// A certificate that can be served.
pub(crate) struct Bundle {
    /// The certificate, then those that signed it.
    pub(crate) chain: Vec<X509>,
    pub(crate) key: PKey<Private>,
    /// Which names it is for, in lower case.
    pub(crate) names: Vec<Box<str>>,
    pub(crate) staple: Option<Staple>,
    /// When it is over, in seconds since 1970.
    pub(crate) expires: i64,
}

/// What is wrong, or odd, about one of the files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Flaw {
    /// The key of the config: `cert`, `key` or `ocsp`.
    pub(crate) key: &'static str,
    pub(crate) what: String,
    pub(crate) hint: &'static str,
}

// === impl Bundle ===

impl Bundle {
    /// Reads the files.
    ///
    /// # Errors
    ///
    /// Everything that is wrong.
    pub(crate) fn read(files: &Certificate) -> Result<Self, Vec<Flaw>> {
        let chain = bytes("cert", &files.cert).and_then(|pem| chain(&files.cert, &pem));
        let key = bytes("key", &files.key).and_then(|pem| key(&files.key, &pem));
        let ocsp = files.ocsp.as_ref().map(|path| bytes("ocsp", path).map(|der| (path, der))).transpose();
        match (chain, key, ocsp) {
            (Ok(chain), Ok(key), Ok(ocsp)) => Self::new(files, chain, key, ocsp),
            (chain, key, ocsp) => Err([chain.err(), key.err(), ocsp.err()].into_iter().flatten().collect()),
        }
    }

    fn new(
        files: &Certificate,
        chain: Vec<X509>,
        key: PKey<Private>,
        ocsp: Option<(&PathBuf, Vec<u8>)>,
    ) -> Result<Self, Vec<Flaw>> {
        let mut flaws = Vec::new();
        flaws.extend(mismatch(files, &chain, &key));
        if flaws.is_empty()
            && let Err(error) = try_out(&chain, &key)
        {
            let what = format!("{}: {}", files.cert.display(), reason(&error));
            flaws.push(Flaw { key: "cert", what, hint: "make the certificate anew with a stronger key" });
        }
        let staple = ocsp.map(|(path, der)| {
            let hint = "give the response for this certificate, as `openssl ocsp -respout` writes it";
            Staple::new(der, &chain).map_err(|why| Flaw {
                key: "ocsp",
                what: format!("{} is {why}", path.display()),
                hint,
            })
        });
        let staple = staple.transpose().map_err(|flaw| flaws.push(flaw)).unwrap_or_default();
        if !flaws.is_empty() {
            return Err(flaws);
        }
        let names = names(&chain[0]);
        let expires = unix(chain[0].not_after());
        Ok(Self { chain, key, names, staple, expires })
    }

    /// What is odd about it.
    pub(crate) fn doubts(&self, files: &Certificate) -> Vec<Flaw> {
        let mut doubts = Vec::new();
        let mut doubt = |key, path: &Path, what: &str, hint| {
            doubts.push(Flaw { key, what: format!("{} {what}", path.display()), hint });
        };
        let own = &self.chain[0];
        if passed(own.not_after()) {
            doubt("cert", &files.cert, &format!("is over since {}", own.not_after()), "renew it");
        } else if Asn1Time::days_from_now(0).is_ok_and(|now| now < *own.not_before()) {
            let what = format!("begins only at {}", own.not_before());
            doubt("cert", &files.cert, &what, "look at the clock of this machine");
        }
        if self.names.is_empty() {
            let hint = "clients look at subjectAltName only; make it anew with one";
            doubt("cert", &files.cert, "is for no name, so it is only served if it is the first", hint);
        }
        if let (Some(staple), Some(path)) = (&self.staple, &files.ocsp)
            && !staple.fresh()
        {
            doubt("ocsp", path, "is over and not sent", "fetch a new response from the responder");
        }
        doubts
    }

    /// The kind of its key: of several for a name, a client gets the one it can use.
    pub(crate) fn kind(&self) -> i32 {
        self.key.id().as_raw()
    }
}

/// Reads a file.
pub(crate) fn bytes(key: &'static str, path: &Path) -> Result<Vec<u8>, Flaw> {
    std::fs::read(path).map_err(|error| Flaw {
        key,
        what: format!("{}: {error}", path.display()),
        hint: "give a file that this user can read",
    })
}

/// Why a library call failed, in a few words.
pub(crate) fn reason(error: &ErrorStack) -> &'static str {
    let mut reasons = error.errors().iter().filter_map(|error| error.reason());
    reasons.next_back().unwrap_or("the TLS library refuses it")
}

/// The seconds since 1970.
fn unix(time: &Asn1TimeRef) -> i64 {
    let since = Asn1Time::from_unix(0).and_then(|epoch| epoch.diff(time));
    // It fails for a date that is none; the library refuses such a certificate before.
    since.map_or(0, |since| i64::from(since.days) * 86_400 + i64::from(since.secs))
}

fn passed(time: &Asn1TimeRef) -> bool {
    Asn1Time::days_from_now(0).is_ok_and(|now| *time < now)
}

fn chain(path: &Path, pem: &[u8]) -> Result<Vec<X509>, Flaw> {
    let flaw = |why: &str| Flaw {
        key: "cert",
        what: format!("{} {why}", path.display()),
        hint: "give a PEM file with the certificate first and those that signed it after it",
    };
    let chain =
        X509::stack_from_pem(pem).map_err(|error| flaw(&format!("cannot be read: {}", reason(&error))))?;
    if chain.is_empty() { Err(flaw("holds no certificate in PEM")) } else { Ok(chain) }
}

/// An encrypted key fails: without a passphrase given here the library would ask for it on the
/// terminal.
fn key(path: &Path, pem: &[u8]) -> Result<PKey<Private>, Flaw> {
    PKey::private_key_from_pem_passphrase(pem, b"").map_err(|error| {
        let locked = memchr::memmem::find(pem, b"ENCRYPTED").is_some();
        let why = if locked { "it is encrypted" } else { reason(&error) };
        let hint = if locked {
            "give it without a passphrase: `openssl pkey -in old.key -out new.key`"
        } else {
            "give the PEM file of the certificate's key"
        };
        Flaw { key: "key", what: format!("{} cannot be read: {why}", path.display()), hint }
    })
}

fn mismatch(files: &Certificate, chain: &[X509], key: &PKey<Private>) -> Option<Flaw> {
    let fits = |cert: &X509| cert.public_key().is_ok_and(|public| key.public_eq(&public));
    if fits(&chain[0]) {
        return None;
    }
    let what = format!("{} is not the key of {}", files.key.display(), files.cert.display());
    let hint = if chain[1..].iter().any(fits) {
        "it is the key of a later certificate in that file; put that one first"
    } else {
        "give the key that the certificate was made with"
    };
    Some(Flaw { key: "key", what, hint })
}

/// Whether the library would serve it.
fn try_out(chain: &[X509], key: &PKey<Private>) -> Result<(), ErrorStack> {
    let mut context = SslContext::builder(SslMethod::tls_server())?;
    context.set_certificate(&chain[0])?;
    context.set_private_key(key)?;
    chain[1..].iter().try_for_each(|signer| context.add_extra_chain_cert(signer.clone()))
}

fn names(cert: &X509) -> Vec<Box<str>> {
    let all = cert.subject_alt_names();
    let names = all.iter().flatten().filter_map(|name| name.dnsname());
    names.map(|name| name.to_ascii_lowercase().into()).collect()
}

#[cfg(test)]
mod tests;
