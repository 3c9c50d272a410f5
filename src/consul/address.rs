//! Where the agent listens: `http(s)://host:port`, `host:port` or `unix:///path`, as Consul's own
//! tools read it.

use std::path::PathBuf;

use reqwest::Url;

use crate::consul::Error;

/// A parsed address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A base URL without query. It may carry a path, for agents behind a proxy.
    Url(Url),
    /// A Unix socket. It speaks plain HTTP.
    Unix(PathBuf),
}

// === impl Address ===

impl Address {
    /// Parses an address. `ssl` chooses https for one without a scheme (`CONSUL_HTTP_SSL`).
    ///
    /// # Errors
    ///
    /// [`Error::Config`] with the text and what is wrong.
    pub fn parse(text: &str, ssl: bool) -> Result<Self, Error> {
        // Not with what may be a password in it.
        let shown = text.rsplit('@').next().unwrap_or_default();
        let wrong = |why: &str| Error::Config(format!("Consul address `{shown}`: {why}"));
        if let Some(path) = text.strip_prefix("unix://") {
            if !path.starts_with('/') {
                return Err(wrong("write a Unix socket as unix:///path"));
            }
            return Ok(Self::Unix(path.into()));
        }
        let full = match text.split_once("://") {
            Some(("http" | "https", _)) => text.to_owned(),
            Some(_) => return Err(wrong("the scheme must be http, https or unix")),
            None if ssl => format!("https://{text}"),
            None => format!("http://{text}"),
        };
        let mut url = Url::parse(&full).map_err(|e| wrong(&e.to_string()))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(wrong("put the user and password into CONSUL_HTTP_AUTH"));
        }
        url.set_query(None);
        url.set_fragment(None);
        Ok(Self::Url(url))
    }

    /// Whether requests go over TLS.
    pub fn tls(&self) -> bool {
        matches!(self, Self::Url(url) if url.scheme() == "https")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_read() {
        for (text, ssl, expected) in [
            ("127.0.0.1:8500", false, "http://127.0.0.1:8500/"),
            ("consul.internal:8501", true, "https://consul.internal:8501/"),
            ("http://[::1]:8500", true, "http://[::1]:8500/"),
            ("https://c:8501/prefix?x=1", false, "https://c:8501/prefix"),
        ] {
            assert_eq!(Address::parse(text, ssl).unwrap(), Address::Url(expected.parse().unwrap()), "{text}");
        }
        assert_eq!(Address::parse("unix:///run/c.sock", false).unwrap(), Address::Unix("/run/c.sock".into()));
    }

    #[test]
    fn wrong_ones_are_config_errors() {
        for text in ["", "unix://relative", "ftp://x", "http://", "u:p@host:1", "host:99999", "a b"] {
            assert_eq!(Address::parse(text, false).unwrap_err().kind(), "config", "{text}");
        }
    }
}
