//! Certificates for a test, made as it runs: nothing secret or expiring lies in the repository.
//!
//! ```ignore
//! let ca = Authority::new();
//! let server = ca.issue(&["localhost", "*.example.com", "127.0.0.1"]);
//! let client = ca.leaf(&[]).uri("spiffe://example.org/web").common_name("web").issue();
//! let old = ca.leaf(&["localhost"]).valid(-7200, -3600).issue();
//! ```
//! Files lie in a folder that ends with the authority and everything that it issued.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use openssl::asn1::Asn1Time;
use openssl::bn::{BigNum, MsbOption};
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::x509::extension::{
    AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, KeyUsage, SubjectAlternativeName,
    SubjectKeyIdentifier,
};
use openssl::x509::{X509, X509Builder, X509Name};

/// A day in seconds.
const DAY: i64 = 86_400;

/// Who signs.
pub struct Authority {
    pub cert: X509,
    key: PKey<Private>,
    dir: Arc<tempfile::TempDir>,
    issued: AtomicU32,
}

/// A certificate on disk, PEM.
#[derive(Clone)]
pub struct Issued {
    pub cert: PathBuf,
    pub key: PathBuf,
    /// Keeps the files.
    dir: Arc<tempfile::TempDir>,
}

/// A certificate to be made.
#[must_use]
pub struct Leaf<'a> {
    authority: &'a Authority,
    names: Vec<String>,
    uris: Vec<String>,
    common_name: String,
    seconds: (i64, i64),
    rsa: bool,
}

// === impl Authority ===

impl Authority {
    pub fn new() -> Self {
        Self::named("Tidegate test authority")
    }

    pub fn named(name: &str) -> Self {
        let key = elliptic();
        let subject = common_name(name);
        let mut builder = begin(&subject, &key, (-3600, 30 * DAY));
        builder.set_issuer_name(&subject).unwrap();
        builder.append_extension(BasicConstraints::new().critical().ca().build().unwrap()).unwrap();
        let usage = KeyUsage::new().critical().key_cert_sign().crl_sign().build().unwrap();
        builder.append_extension(usage).unwrap();
        let id = SubjectKeyIdentifier::new().build(&builder.x509v3_context(None, None)).unwrap();
        builder.append_extension(id).unwrap();
        builder.sign(&key, MessageDigest::sha256()).unwrap();
        let cert = builder.build();
        let dir = Arc::new(tempfile::tempdir().unwrap());
        std::fs::write(dir.path().join("ca.pem"), cert.to_pem().unwrap()).unwrap();
        Self { cert, key, dir, issued: AtomicU32::new(0) }
    }

    /// The file that those who trust it are given.
    pub fn ca(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    /// Its folder, for files that a test adds.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// A certificate for DNS names and IP addresses, good for both ends of a connection.
    pub fn issue(&self, names: &[&str]) -> Issued {
        self.leaf(names).issue()
    }

    /// The same with more to say about it.
    pub fn leaf(&self, names: &[&str]) -> Leaf<'_> {
        Leaf {
            authority: self,
            names: names.iter().map(|n| (*n).to_owned()).collect(),
            uris: Vec::new(),
            common_name: names.first().map_or("nobody", |n| n).to_owned(),
            seconds: (-3600, 30 * DAY),
            rsa: false,
        }
    }
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

// === impl Leaf ===

impl Leaf<'_> {
    /// A URI among its names, as SPIFFE has them.
    pub fn uri(mut self, uri: &str) -> Self {
        self.uris.push(uri.to_owned());
        self
    }

    /// The subject's; otherwise the first name.
    pub fn common_name(mut self, name: &str) -> Self {
        name.clone_into(&mut self.common_name);
        self
    }

    /// From when to when, in seconds from now; otherwise an hour ago to in 30 days.
    pub fn valid(mut self, from: i64, to: i64) -> Self {
        self.seconds = (from, to);
        self
    }

    /// With an RSA key of 2048 bits; otherwise P-256.
    pub fn rsa(mut self) -> Self {
        self.rsa = true;
        self
    }

    /// Into files of their own.
    pub fn issue(self) -> Issued {
        let number = self.authority.issued.fetch_add(1, Ordering::Relaxed);
        let dir = self.authority.dir.clone();
        let file = |what: &str| dir.path().join(format!("{number}-{what}.pem"));
        let issued = Issued { cert: file("cert"), key: file("key"), dir: dir.clone() };
        self.replace(&issued);
        issued
    }

    /// Into the files of an older one. Each is replaced at once, the key first, as careful tools do
    /// it; between the two they do not match.
    pub fn replace(self, old: &Issued) {
        let (cert, key) = self.make();
        put(&old.key, &key.private_key_to_pem_pkcs8().unwrap());
        put(&old.cert, &cert.to_pem().unwrap());
    }

    /// Without files.
    pub fn make(self) -> (X509, PKey<Private>) {
        let key = if self.rsa { PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap() } else { elliptic() };
        let mut builder = begin(&common_name(&self.common_name), &key, self.seconds);
        builder.set_issuer_name(self.authority.cert.subject_name()).unwrap();
        builder.append_extension(BasicConstraints::new().critical().build().unwrap()).unwrap();
        let usage = KeyUsage::new().critical().digital_signature().build().unwrap();
        builder.append_extension(usage).unwrap();
        let usage = ExtendedKeyUsage::new().server_auth().client_auth().build().unwrap();
        builder.append_extension(usage).unwrap();
        let context = builder.x509v3_context(Some(&self.authority.cert), None);
        let id = SubjectKeyIdentifier::new().build(&context).unwrap();
        let issuer = AuthorityKeyIdentifier::new().keyid(true).build(&context).unwrap();
        let names = (!self.names.is_empty() || !self.uris.is_empty()).then(|| {
            let mut names = SubjectAlternativeName::new();
            for name in &self.names {
                if name.parse::<IpAddr>().is_ok() {
                    names.ip(name)
                } else {
                    names.dns(name)
                };
            }
            for uri in &self.uris {
                names.uri(uri);
            }
            names.build(&context).unwrap()
        });
        for extension in [Some(id), Some(issuer), names].into_iter().flatten() {
            builder.append_extension(extension).unwrap();
        }
        builder.sign(&self.authority.key, MessageDigest::sha256()).unwrap();
        (builder.build(), key)
    }
}

/// What authorities and leaves have in common.
#[expect(clippy::disallowed_methods, reason = "certificates are dated by the calendar")]
fn begin(subject: &X509Name, key: &PKey<Private>, (from, to): (i64, i64)) -> X509Builder {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64;
    let mut serial = BigNum::new().unwrap();
    serial.rand(127, MsbOption::MAYBE_ZERO, false).unwrap();
    let mut builder = X509::builder().unwrap();
    builder.set_version(2).unwrap();
    builder.set_serial_number(&serial.to_asn1_integer().unwrap()).unwrap();
    builder.set_subject_name(subject).unwrap();
    builder.set_pubkey(key).unwrap();
    builder.set_not_before(&Asn1Time::from_unix(now + from).unwrap()).unwrap();
    builder.set_not_after(&Asn1Time::from_unix(now + to).unwrap()).unwrap();
    builder
}

fn elliptic() -> PKey<Private> {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
    PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap()
}

fn common_name(name: &str) -> X509Name {
    let mut builder = X509Name::builder().unwrap();
    builder.append_entry_by_nid(Nid::COMMONNAME, name).unwrap();
    builder.build()
}

fn put(path: &Path, bytes: &[u8]) {
    let new = path.with_extension("new");
    std::fs::write(&new, bytes).unwrap();
    std::fs::rename(&new, path).unwrap();
}
