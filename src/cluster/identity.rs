//! The files of a cluster's `tls`: authorities, and the certificate that is shown to endpoints.
//!
//! Read when a config is compiled, so a file that cannot be used refuses the config, at a start as at
//! a reload, and names what is wrong with it. A reload reads them again: files that were replaced are
//! served after a SIGHUP, on new connections, though no line of the config has changed. The bad side:
//! nothing watches them, so a certificate that is renewed without a reload is served until it expires.

use std::path::Path;
use std::sync::Arc;

use pingora::protocols::tls::CaType;
use pingora::tls::hash::MessageDigest;
use pingora::tls::pkey::{PKey, Private};
use pingora::tls::x509::X509;
use pingora::utils::tls::CertKey;

use crate::config::Problem;
use crate::config::live::UpstreamTls;

/// What the files hold.
#[derive(Clone, Default)]
pub(super) struct Files {
    pub(super) authorities: Option<Arc<CaType>>,
    pub(super) identity: Option<Arc<CertKey>>,
}

// === impl Files ===

impl Files {
    /// Reads what `tls` names; `at` is its config path.
    pub(super) fn read(tls: &UpstreamTls, at: &str) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut told = |key: &str, what: String| problems.push(Problem::new(format!("{at}.{key}"), what));
        let mut found = Self::default();
        if let Some(path) = &tls.ca {
            match certificates(path) {
                Ok(list) => found.authorities = Some(Arc::new(list.into())),
                Err(what) => told("ca", what),
            }
        }
        if let (Some(cert), Some(key)) = (&tls.cert, &tls.key) {
            match (certificates(cert), private_key(key)) {
                (Ok(chain), Ok(private)) if matches(&chain, &private) => {
                    found.identity = Some(Arc::new(CertKey::new(chain, private)));
                }
                (Ok(_), Ok(_)) => {
                    told("key", format!("{} is not the key of {}", key.display(), cert.display()));
                }
                (chain, private) => {
                    chain.err().into_iter().for_each(|what| told("cert", what));
                    private.err().into_iter().for_each(|what| told("key", what));
                }
            }
        }
        if problems.is_empty() { Ok(found) } else { Err(problems) }
    }

    /// What tells these files from others: the certificates themselves, not where they lie.
    pub(super) fn print(&self) -> Vec<u8> {
        let identity =
            self.identity.iter().flat_map(|own| [own.leaf()].into_iter().chain(own.intermediates()));
        let authorities = self.authorities.iter().flat_map(|list| list.iter());
        let mut print = Vec::new();
        for (mark, certificate) in authorities.map(|c| (b'a', c)).chain(identity.map(|c| (b'i', c))) {
            print.push(mark);
            // Fails for no certificate that could be parsed.
            print.extend(certificate.digest(MessageDigest::sha256()).iter().flat_map(|digest| digest.iter()));
        }
        print
    }
}

/// The certificates of a PEM file, at least one.
fn certificates(path: &Path) -> Result<Vec<X509>, String> {
    let pem = read(path)?;
    match X509::stack_from_pem(&pem) {
        Ok(list) if !list.is_empty() => Ok(list),
        Ok(_) => Err(format!("{} holds no certificate in PEM form", path.display())),
        Err(why) => Err(format!("{} holds a certificate that cannot be read: {why}", path.display())),
    }
}

fn private_key(path: &Path) -> Result<PKey<Private>, String> {
    let pem = read(path)?;
    // Asked for a passphrase, the library would ask the terminal.
    let silent = PKey::private_key_from_pem_callback(&pem, |_| Ok(0));
    silent.map_err(|_| format!("{} holds no private key in PEM form without a passphrase", path.display()))
}

fn matches(chain: &[X509], private: &PKey<Private>) -> bool {
    let public = chain.first().and_then(|leaf| leaf.public_key().ok());
    public.is_some_and(|public| private.public_eq(&public))
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|why| format!("cannot read {}: {why}", path.display()))
}

impl std::fmt::Debug for Files {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let authorities = self.authorities.as_ref().map_or(0, |list| list.len());
        f.debug_struct("Files")
            .field("authorities", &authorities)
            .field("identity", &self.identity.is_some())
            .finish()
    }
}
