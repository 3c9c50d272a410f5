//! The OCSP response that is stapled to a certificate.
//!
//! A file is only taken if it says "successful" and speaks of this very certificate: one that was
//! mixed up would make strict clients fail. A response that is over is kept and not sent, since most
//! clients do without one and none takes an old one; whoever writes the file is late, and `check`
//! and the log say so. Its signature is left to clients: who may sign for the authority is theirs to
//! judge.

use openssl::hash::MessageDigest;
use openssl::ocsp::{OcspBasicResponse, OcspCertId, OcspResponse, OcspResponseStatus};
use openssl::x509::X509;

/// How far clocks may be apart, in seconds.
const SLACK: u32 = 300;

/// A response that is fit to be sent.
pub(crate) struct Staple {
    der: Vec<u8>,
    response: OcspBasicResponse,
    /// None: the issuer is not in the chain, so it is not known which part of the response counts.
    certificate: Option<OcspCertId>,
}

// === impl Staple ===

impl Staple {
    /// Of a file's bytes, for a chain.
    ///
    /// # Errors
    ///
    /// Why it is none.
    pub(crate) fn new(der: Vec<u8>, chain: &[X509]) -> Result<Self, &'static str> {
        let response = OcspResponse::from_der(&der).map_err(|_| "not an OCSP response in DER")?;
        if response.status() != OcspResponseStatus::SUCCESSFUL {
            return Err("the responder's refusal, not an answer");
        }
        let response = response.basic().map_err(|_| "an OCSP response of a kind that nobody reads")?;
        let certificate = match chain {
            [own, issuer, ..] => {
                // The hash that responders use, and the only one that all know; nothing rests on it.
                let id = OcspCertId::from_cert(MessageDigest::sha1(), own, issuer);
                Some(id.map_err(|_| "about a certificate that cannot be named")?)
            }
            _ => None,
        };
        if certificate.as_ref().is_some_and(|id| response.find_status(id).is_none()) {
            return Err("about another certificate");
        }
        Ok(Self { der, response, certificate })
    }

    /// What is sent.
    pub(crate) fn der(&self) -> &[u8] {
        &self.der
    }

    /// Whether it holds now.
    pub(crate) fn fresh(&self) -> bool {
        let Some(id) = &self.certificate else { return true };
        self.response.find_status(id).is_some_and(|status| status.check_validity(SLACK, None).is_ok())
    }
}
