//! TLS towards the agent: its authority, our certificate, the name that its certificate carries.
//!
//! Consul's certificates are made out to `server.<dc>.consul` and not to the host, so the name to
//! verify is often not the address. The request is then sent to `https://<server_name>:port` and
//! the name is resolved to the address instead.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use pingora::tls::pkey::PKey;
use pingora::tls::x509::X509;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Certificate, ClientBuilder, Identity, Url};

use crate::consul::Error;
use crate::consul::settings::Tls;

/// Resolves every name to the addresses of one host.
struct Instead(String);

/// Sets up `builder` for `tls` and gives the base URL to use, which is `url` with the server name
/// in place of the host.
///
/// # Errors
///
/// [`Error::Config`] for a file that cannot be read or parsed, or a server name that is an address.
pub(crate) fn apply(
    mut builder: ClientBuilder,
    tls: &Tls,
    mut url: Url,
) -> Result<(ClientBuilder, Url), Error> {
    let roots = roots(tls)?;
    if !roots.is_empty() {
        builder = builder.tls_certs_only(roots);
    }
    if let (Some(cert), Some(key)) = (&tls.cert, &tls.key) {
        builder = builder.identity(identity(cert, key)?);
    }
    if !tls.verify {
        builder = builder.tls_danger_accept_invalid_certs(true).tls_danger_accept_invalid_hostnames(true);
    }
    if let Some(name) = &tls.server_name {
        let wrong = || Error::Config(format!("Consul server_name `{name}` is not a host name"));
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        if name.parse::<IpAddr>().is_ok() {
            return Err(wrong());
        }
        url.set_host(Some(name)).map_err(|_| wrong())?;
        builder = builder.dns_resolver(Instead(host));
    }
    Ok((builder, url))
}

/// Each key whose file cannot be used, with the reason; and a key that is not the certificate's.
pub(crate) fn wrong(tls: &Tls) -> Vec<(&'static str, Error)> {
    let mut wrong = Vec::new();
    if let Err(error) = roots(tls) {
        wrong.push(("ca", error));
    }
    let (Some(cert), Some(key)) = (&tls.cert, &tls.key) else { return wrong };
    let of_cert = read(cert)
        .and_then(|pem| X509::from_pem(&pem).and_then(|c| c.public_key()).map_err(|e| unreadable(cert, &e)));
    let of_key = read(key).and_then(|pem| PKey::private_key_from_pem(&pem).map_err(|e| unreadable(key, &e)));
    match (of_cert, of_key) {
        (Ok(public), Ok(private)) if !private.public_eq(&public) => {
            let what = format!("{} is not the key of {}", key.display(), cert.display());
            wrong.push(("key", Error::Config(what)));
        }
        (Ok(_), Ok(_)) => {
            if let Err(error) = identity(cert, key) {
                wrong.push(("cert", error));
            }
        }
        (of_cert, of_key) => {
            wrong.extend(of_cert.err().map(|error| ("cert", error)));
            wrong.extend(of_key.err().map(|error| ("key", error)));
        }
    }
    wrong
}

fn roots(tls: &Tls) -> Result<Vec<Certificate>, Error> {
    let mut roots = Vec::new();
    if let Some(file) = &tls.ca {
        roots = bundle(file)?;
    }
    if let Some(dir) = &tls.ca_path {
        let list = std::fs::read_dir(dir).map_err(|e| unreadable(dir, &e))?;
        for entry in list {
            let path = entry.map_err(|e| unreadable(dir, &e))?.path();
            if path.is_file() {
                roots.extend(bundle(&path)?);
            }
        }
    }
    if roots.is_empty() && (tls.ca.is_some() || tls.ca_path.is_some()) {
        return Err(Error::Config("the Consul CA file or directory holds no certificate".to_owned()));
    }
    Ok(roots)
}

fn bundle(path: &Path) -> Result<Vec<Certificate>, Error> {
    Certificate::from_pem_bundle(&read(path)?).map_err(|e| unreadable(path, &e))
}

/// Consul's own tool writes keys as SEC1 (`EC PRIVATE KEY`); the TLS library wants PKCS#8, so they
/// are converted.
fn identity(cert: &Path, key: &Path) -> Result<Identity, Error> {
    let pem = read(key)?;
    let pkcs8 = PKey::private_key_from_pem(&pem)
        .and_then(|k| k.private_key_to_pem_pkcs8())
        .map_err(|e| unreadable(key, &e))?;
    Identity::from_pkcs8_pem(&read(cert)?, &pkcs8).map_err(|e| unreadable(cert, &e))
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(path).map_err(|e| unreadable(path, &e))
}

fn unreadable(path: &Path, error: &dyn std::error::Error) -> Error {
    Error::Config(format!("{}: {error}", path.display()))
}

// === impl Instead ===

impl Resolve for Instead {
    fn resolve(&self, _: Name) -> Resolving {
        let host = self.0.clone();
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((host, 0)).await?.collect();
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}
