//! All certificates of a listener, as one immutable set.
//!
//! A set is loaded whole or refused whole: half of a new set beside half of an old one is a state
//! that nobody asked for. Handshakes take one set and keep it until they are done.

use openssl::x509::X509;
use sha2::{Digest, Sha256};

use crate::config::Problem;
use crate::config::boot::{ClientAuth, Tls};
use crate::tls::bundle::{self, Bundle, Flaw};
use crate::tls::names::{Entry, Names};

/// What a listener serves.
pub(crate) struct Set {
    pub(crate) bundles: Vec<Bundle>,
    names: Names,
}

/// Who signs the certificates of clients.
pub(crate) struct Authorities {
    pub(crate) certificates: Vec<X509>,
    /// Tells one list from another.
    pub(crate) digest: [u8; 32],
}

/// What the files of a listener hold.
pub(crate) struct Loaded {
    pub(crate) set: Set,
    pub(crate) authorities: Option<Authorities>,
}

// === impl Loaded ===

impl Loaded {
    /// Reads the files of a listener, whose config path is `at`. May block.
    ///
    /// # Errors
    ///
    /// Every problem.
    pub(crate) fn new(at: &str, tls: &Tls) -> Result<Self, Vec<Problem>> {
        let (mut bundles, mut problems) = (Vec::new(), Vec::new());
        for (index, files) in tls.certificates.iter().enumerate() {
            match Bundle::read(files) {
                Ok(bundle) => bundles.push(bundle),
                Err(flaws) => problems.extend(flaws.into_iter().map(|flaw| told(at, index, flaw))),
            }
        }
        let authorities = tls.client_auth.as_ref().map(|auth| Authorities::read(at, auth)).transpose();
        let authorities = authorities.map_err(|problem| problems.push(problem)).unwrap_or_default();
        if bundles.is_empty() && problems.is_empty() {
            problems.push(Problem::new(format!("{at}.certificates"), "there is no certificate"));
        }
        if problems.is_empty() { Ok(Self { set: Set::new(bundles), authorities }) } else { Err(problems) }
    }
}

fn told(at: &str, index: usize, flaw: Flaw) -> Problem {
    Problem::new(format!("{at}.certificates[{index}].{}", flaw.key), flaw.what).hint(flaw.hint)
}

// === impl Set ===

impl Set {
    fn new(bundles: Vec<Bundle>) -> Self {
        let entries: Vec<_> =
            bundles.iter().map(|bundle| Entry { names: &bundle.names, kind: bundle.kind() }).collect();
        let names = Names::new(&entries);
        Self { bundles, names }
    }

    /// The certificates for the name that a client asks for, one of each kind of key.
    pub(crate) fn find(&self, name: Option<&str>) -> impl Iterator<Item = &Bundle> {
        self.names.find(name).iter().map(|index| &self.bundles[*index])
    }

    /// What is valid and odd.
    pub(crate) fn warnings(&self, at: &str, tls: &Tls) -> Vec<Problem> {
        let all = self.bundles.iter().zip(&tls.certificates).enumerate();
        let told = |(index, (bundle, files)): (usize, (&Bundle, _))| {
            bundle.doubts(files).into_iter().map(move |flaw| told(at, index, flaw))
        };
        all.flat_map(told).collect()
    }

    /// A name for each certificate, no two alike, and when it is over.
    pub(crate) fn expiries(&self) -> Vec<(String, i64)> {
        let mut all: Vec<(String, i64)> = Vec::new();
        for (index, bundle) in self.bundles.iter().enumerate() {
            let name = bundle.names.first().map_or("", |name| name);
            let taken = name.is_empty() || all.iter().any(|(other, _)| other == name);
            let label = if taken { format!("{name}#{index}") } else { name.to_owned() };
            all.push((label, bundle.expires));
        }
        all
    }
}

// === impl Authorities ===

impl Authorities {
    fn read(at: &str, auth: &ClientAuth) -> Result<Self, Problem> {
        let told = |what: String| {
            let hint = "give a PEM file with the authorities that sign the certificates of clients";
            Problem::new(format!("{at}.client_auth.ca"), what).hint(hint)
        };
        let pem = bundle::bytes("ca", &auth.ca).map_err(|flaw| told(flaw.what))?;
        let certificates = X509::stack_from_pem(&pem).map_err(|error| {
            told(format!("{} cannot be read: {}", auth.ca.display(), bundle::reason(&error)))
        })?;
        if certificates.is_empty() {
            return Err(told(format!("{} holds no certificate in PEM", auth.ca.display())));
        }
        Ok(Self { certificates, digest: Sha256::digest(&pem).into() })
    }
}
