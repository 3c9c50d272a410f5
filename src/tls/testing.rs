//! Certificates for unit tests, made in memory.

use std::path::{Path, PathBuf};

use openssl::asn1::Asn1Time;
use openssl::bn::BigNum;
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::x509::extension::{BasicConstraints, SubjectAlternativeName};
use openssl::x509::{X509, X509Builder, X509NameBuilder};

use crate::config::boot::{Certificate, Tls, TlsVersion};

/// A certificate and its key.
pub(super) struct Pair {
    pub(super) cert: X509,
    pub(super) key: PKey<Private>,
}

pub(super) fn ecdsa() -> PKey<Private> {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
    PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap()
}

pub(super) fn rsa(bits: u32) -> PKey<Private> {
    PKey::from_rsa(Rsa::generate(bits).unwrap()).unwrap()
}

/// A certificate for names, valid for so many days from yesterday on. Signed by `by`, or itself.
pub(super) fn certificate(names: &[&str], key: PKey<Private>, days: u32, by: Option<&Pair>) -> Pair {
    let mut subject = X509NameBuilder::new().unwrap();
    subject.append_entry_by_text("O", "Test, Inc.").unwrap();
    subject.append_entry_by_text("CN", names.first().unwrap_or(&"nobody")).unwrap();
    let subject = subject.build();
    let mut cert = X509Builder::new().unwrap();
    cert.set_version(2).unwrap();
    let mut serial = BigNum::new().unwrap();
    serial.rand(64, openssl::bn::MsbOption::ONE, false).unwrap();
    cert.set_serial_number(&serial.to_asn1_integer().unwrap()).unwrap();
    cert.set_subject_name(&subject).unwrap();
    cert.set_issuer_name(by.map_or(&*subject, |by| by.cert.subject_name())).unwrap();
    cert.set_pubkey(&key).unwrap();
    let yesterday = Asn1Time::from_unix(1_700_000_000).unwrap();
    cert.set_not_before(&yesterday).unwrap();
    let end = if days == 0 { Asn1Time::from_unix(1_700_000_001) } else { Asn1Time::days_from_now(days) };
    cert.set_not_after(&end.unwrap()).unwrap();
    if by.is_none() {
        cert.append_extension(BasicConstraints::new().critical().ca().build().unwrap()).unwrap();
    }
    if !names.is_empty() {
        let mut sans = SubjectAlternativeName::new();
        for name in names {
            if name.contains("://") {
                sans.uri(name)
            } else {
                sans.dns(name)
            };
        }
        let sans = sans.build(&cert.x509v3_context(None, None)).unwrap();
        cert.append_extension(sans).unwrap();
    }
    cert.sign(by.map_or(&key, |by| &by.key), MessageDigest::sha256()).unwrap();
    Pair { cert: cert.build(), key }
}

/// Writes a chain and a key, as `name.pem` and `name.key`.
pub(super) fn write(dir: &Path, name: &str, chain: &[&Pair]) -> Certificate {
    let at = |ending: &str| -> PathBuf { dir.join(format!("{name}.{ending}")) };
    let pem: Vec<u8> = chain.iter().flat_map(|pair| pair.cert.to_pem().unwrap()).collect();
    std::fs::write(at("pem"), pem).unwrap();
    std::fs::write(at("key"), chain[0].key.private_key_to_pem_pkcs8().unwrap()).unwrap();
    Certificate { cert: at("pem"), key: at("key"), ocsp: None }
}

pub(super) fn config(certificates: Vec<Certificate>) -> Tls {
    Tls { certificates, client_auth: None, min_version: TlsVersion::V1_2 }
}
