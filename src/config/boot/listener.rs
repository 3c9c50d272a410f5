//! Listeners: what is spoken on a socket, and who is believed.

use std::net::SocketAddr;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Limits;
use crate::config::live::Variant;
use crate::config::value::{HostPattern, Name, Network, Span};

/// A socket that takes requests. In clear it speaks HTTP/1.1 and, by prior knowledge, HTTP/2 (h2c);
/// with `tls` the same two by ALPN; with `tcp` it passes bytes on.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Listener {
    pub name: Name,
    /// Address and port, as `0.0.0.0:8080` or `[::]:8080`.
    pub address: SocketAddr,
    /// What it takes at most. A key that is not here is as in the `limits` at the top.
    #[serde(default)]
    pub limits: Limits,
    /// Speaks TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// Connections begin with a PROXY protocol header, version 1 or 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy_protocol: Option<ProxyProtocol>,
    /// Passes connections on as they are, instead of HTTP requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tcp: Option<Tcp>,
    /// Whether TRACE requests are passed on. They show a client what proxies add to its request, so
    /// they are answered 405 by default.
    #[serde(default)]
    pub allow_trace: bool,
}

/// How a listener speaks TLS.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// One or more. Which names each is for is read from the certificate itself; clients that ask for
    /// no name, or for one that none of them has, get the first.
    #[schemars(length(min = 1))]
    pub certificates: Vec<Certificate>,
    /// Certificates of clients.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_auth: Option<ClientAuth>,
    /// Default: 1.2.
    #[serde(default)]
    pub min_version: TlsVersion,
}

/// A certificate and its key. The files are read again when they change.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Certificate {
    /// PEM file of the certificate, and after it those that signed it.
    pub cert: PathBuf,
    /// PEM file of its key.
    pub key: PathBuf,
    /// DER file of an OCSP response, which is stapled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ocsp: Option<PathBuf>,
}

/// Which certificates of clients are asked for.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClientAuth {
    pub mode: ClientAuthMode,
    /// PEM file of the authorities that signed them.
    pub ca: PathBuf,
}

/// Whether a client must have a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClientAuthMode {
    /// No handshake without.
    Require,
    /// A client may have none; one that it shows must be valid.
    Request,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum TlsVersion {
    #[default]
    #[serde(rename = "1.2")]
    V1_2,
    #[serde(rename = "1.3")]
    V1_3,
}

/// Who sends the PROXY protocol.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProxyProtocol {
    /// Networks, as `10.0.0.0/8`, or single addresses. Connections from there must begin with a
    /// header; for others none is looked for.
    #[schemars(length(min = 1))]
    pub trusted: Vec<Network>,
}

/// Where a listener passes connections on to. `cluster`, `sni` with or without `cluster`, or `split`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Tcp {
    /// To this cluster; beside `sni`: where no name fits.
    pub cluster: Option<Name>,
    /// By the name that a TLS client asks for. TLS is passed through, not ended.
    pub sni: Vec<SniRoute>,
    /// To one of several clusters, the same for each client's address.
    pub split: Option<TcpSplit>,
    /// How long no byte may pass in either direction. Default 1h.
    pub idle_timeout: Option<Span>,
}

/// Names of TLS clients and their cluster.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SniRoute {
    /// Exact names, or `*.example.com`.
    #[schemars(length(min = 1))]
    pub names: Vec<HostPattern>,
    pub cluster: Name,
}

/// Clusters by weight.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TcpSplit {
    /// Default: the name of the listener.
    #[serde(default)]
    pub seed: Option<String>,
    #[schemars(length(min = 1))]
    pub variants: Vec<Variant>,
}
