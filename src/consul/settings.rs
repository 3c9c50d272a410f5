//! What the config and the `CONSUL_*` variables say together about reaching the agent.
//!
//! A key in the file wins over its variable, a variable over the default, and an empty variable is
//! one that is not set. The environment comes in as a function, so that a test needs no
//! process-wide state.

use std::path::PathBuf;

use crate::config::live;
use crate::config::value::Secret;
use crate::consul::token::Token;
use crate::consul::{Address, Error};

/// Everything that decides how requests reach the agent. Equal settings: the same client may go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub address: Address,
    pub token: Token,
    /// User and password for a proxy in front of the agent.
    pub auth: Option<(String, Secret)>,
    pub tls: Tls,
}

/// The TLS side of [`Settings`]. Files are read when the client is built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    pub ca: Option<PathBuf>,
    /// A directory of PEM files.
    pub ca_path: Option<PathBuf>,
    pub cert: Option<PathBuf>,
    pub key: Option<PathBuf>,
    pub server_name: Option<String>,
    pub verify: bool,
}

// === impl Settings ===

impl Settings {
    /// Joins the file's keys with the environment that `env` looks up.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] for an address or a switch that does not parse, or a certificate without
    /// its key.
    pub fn resolve(file: &live::Consul, env: &dyn Fn(&str) -> Option<String>) -> Result<Self, Error> {
        Self::of_keys(file, env).map_err(|(_, error)| error)
    }

    /// As [`Settings::resolve`], with the key that is wrong, or "" for a variable that no key
    /// stands for.
    pub(crate) fn of_keys(
        file: &live::Consul,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, (&'static str, Error)> {
        let var = |name: &str| env(name).filter(|v| !v.is_empty());
        let path = |own: &Option<PathBuf>, name: &str| own.clone().or_else(|| var(name).map(PathBuf::from));
        let flag = |name: &str| match var(name) {
            Some(text) => parse_bool(name, &text).map(Some).map_err(|error| ("", error)),
            None => Ok(None),
        };
        let ssl = flag("CONSUL_HTTP_SSL")?.unwrap_or(false);
        let verify = match file.verify {
            Some(verify) => verify,
            None => flag("CONSUL_HTTP_SSL_VERIFY")?.unwrap_or(true),
        };
        let address = file.address.clone().or_else(|| var("CONSUL_HTTP_ADDR"));
        let tls = Tls {
            ca: path(&file.ca, "CONSUL_CACERT"),
            ca_path: var("CONSUL_CAPATH").map(PathBuf::from),
            cert: path(&file.cert, "CONSUL_CLIENT_CERT"),
            key: path(&file.key, "CONSUL_CLIENT_KEY"),
            server_name: file.server_name.clone().or_else(|| var("CONSUL_TLS_SERVER_NAME")),
            verify,
        };
        if tls.cert.is_some() != tls.key.is_some() {
            let there = if tls.cert.is_some() { "cert" } else { "key" };
            return Err((
                there,
                Error::Config("a client certificate needs both `cert` and `key`".to_owned()),
            ));
        }
        let address = Address::parse(address.as_deref().unwrap_or("127.0.0.1:8500"), ssl);
        Ok(Self {
            address: address.map_err(|error| ("address", error))?,
            token: token(file, &var),
            auth: var("CONSUL_HTTP_AUTH").map(|text| match text.split_once(':') {
                Some((user, password)) => (user.to_owned(), Secret::new(password)),
                None => (text, Secret::new("")),
            }),
            tls,
        })
    }
}

/// The file's keys win over both variables; within each, a token file wins over a token.
fn token(file: &live::Consul, var: &dyn Fn(&str) -> Option<String>) -> Token {
    if let Some(path) = &file.token_file {
        return Token::File(path.clone());
    }
    if let Some(secret) = &file.token {
        return Token::Fixed(secret.clone());
    }
    match (var("CONSUL_HTTP_TOKEN_FILE"), var("CONSUL_HTTP_TOKEN")) {
        (Some(path), _) => Token::File(path.into()),
        (None, Some(text)) => Token::Fixed(Secret::new(text)),
        (None, None) => Token::None,
    }
}

/// As Go's `strconv.ParseBool`, which reads these variables in Consul's own tools.
fn parse_bool(name: &str, text: &str) -> Result<bool, Error> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(Error::Config(format!("{name}: `{text}` is neither true nor false"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(file: &live::Consul, vars: &[(&str, &str)]) -> Result<Settings, Error> {
        let env = |name: &str| vars.iter().find(|v| v.0 == name).map(|v| v.1.to_owned());
        Settings::resolve(file, &env)
    }

    #[test]
    fn nothing_said_is_the_local_agent() {
        let settings = resolve(&live::Consul::default(), &[("CONSUL_HTTP_TOKEN", "")]).unwrap();
        assert_eq!(settings.address, Address::Url("http://127.0.0.1:8500".parse().unwrap()));
        assert_eq!((settings.token, settings.auth, settings.tls.verify), (Token::None, None, true));
    }

    #[test]
    fn variables_count() {
        let settings = resolve(
            &live::Consul::default(),
            &[
                ("CONSUL_HTTP_ADDR", "c:1"),
                ("CONSUL_HTTP_SSL", "true"),
                ("CONSUL_HTTP_SSL_VERIFY", "0"),
                ("CONSUL_HTTP_TOKEN", "t"),
                ("CONSUL_HTTP_TOKEN_FILE", "/t"),
                ("CONSUL_HTTP_AUTH", "me:pass:word"),
                ("CONSUL_CACERT", "/ca"),
                ("CONSUL_CAPATH", "/cas"),
                ("CONSUL_CLIENT_CERT", "/c"),
                ("CONSUL_CLIENT_KEY", "/k"),
                ("CONSUL_TLS_SERVER_NAME", "server.dc1.consul"),
            ],
        )
        .unwrap();
        assert!(settings.address.tls());
        assert_eq!(settings.token, Token::File("/t".into()));
        assert_eq!(settings.auth, Some(("me".into(), Secret::new("pass:word"))));
        assert_eq!(settings.tls.ca_path, Some("/cas".into()));
        assert_eq!(settings.tls.server_name.as_deref(), Some("server.dc1.consul"));
        assert!(!settings.tls.verify);
    }

    #[test]
    fn the_file_wins() {
        let file = live::Consul {
            address: Some("unix:///s".into()),
            token: Some(Secret::new("mine")),
            verify: Some(true),
            ..Default::default()
        };
        let vars = [
            ("CONSUL_HTTP_ADDR", "c:1"),
            ("CONSUL_HTTP_TOKEN_FILE", "/t"),
            ("CONSUL_HTTP_SSL_VERIFY", "false"),
        ];
        let settings = resolve(&file, &vars).unwrap();
        assert_eq!(settings.address, Address::Unix("/s".into()));
        assert_eq!(settings.token, Token::Fixed(Secret::new("mine")));
        assert!(settings.tls.verify);
    }

    #[test]
    fn a_bad_switch_or_half_a_certificate_is_said() {
        let file = live::Consul::default();
        assert!(resolve(&file, &[("CONSUL_HTTP_SSL", "yes")]).is_err());
        assert!(resolve(&file, &[("CONSUL_CLIENT_CERT", "/c")]).is_err());
    }
}
