//! How the endpoints of a cluster are spoken to: protocol, TLS, and what of it Pingora has to be told.
//!
//! **Pools.** Clusters with a common address share its connections, and a cluster that is renamed
//! keeps them, if they speak to it in the same way. Pingora compares address, TLS name and whether
//! that is verified; of authorities, certificate and protocol it knows nothing, so these go into
//! `group_key`. Without, a cluster that trusts nobody but its own authority would take over a
//! connection that another has opened on the word of the system's.
//!
//! **The name** that a certificate must carry is `tls.sni`, else the Host that the request is sent
//! with, else the endpoint's IP address. Where the Host is the client's own word, the client so has a
//! say in which name is verified, though not in who vouches for it. Each name has connections of its
//! own.
//!
//! **HTTP/2.** Up to 100 streams share a connection (Pingora's default is one). A stream may have 64
//! KiB on its way to us, and a connection so much for each of its streams: then a client that does not
//! read holds 64 KiB, and cannot take the others' share. Pingora's 8 MiB for both let one slow client
//! stop a hundred. The price is that one stream carries 64 KiB a round trip, which is 64 MB/s at 1 ms.
//!
//! Nothing pings: gRPC's servers end a connection that pings more than once in 5 minutes
//! (`too_many_pings`). A host that is gone without a word is found by TCP instead, within
//! [`GONE`]; a process that hangs by the health check and by time-outs.

use std::hash::{Hash as _, Hasher as _};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http::header::{CONNECTION, HOST, TRANSFER_ENCODING, UPGRADE};
use pingora::http::RequestHeader;
use pingora::protocols::TcpKeepalive;
use pingora::protocols::tls::{SslDigest, TlsRef};
use pingora::upstreams::peer::{ALPN, HttpPeer, PeerOptions};
use xxhash_rust::xxh3::Xxh3;

use super::POOL_IDLE;
use super::identity::Files;
use crate::config::Problem;
use crate::config::live::{self, Protocol};

/// Streams that share a connection.
pub const STREAMS: usize = 100;

/// What may be on its way to us for one stream, in bytes.
pub const WINDOW: u32 = 64 * 1024;

/// After so long without a sign of life from a host, its HTTP/2 connections are given up.
pub const GONE: Duration = Duration::from_secs(60);

/// The way to a cluster's endpoints, compiled. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Transport {
    protocol: Protocol,
    tls: Option<Arc<Tls>>,
    /// Tells ways apart; 0: HTTP/1.1 in clear.
    key: u64,
}

#[derive(Debug)]
struct Tls {
    files: Files,
    name: Option<String>,
    verify: bool,
}

/// Marks a connection to an endpoint whose certificate is not made out to its IP address.
#[derive(Clone, Copy, Debug)]
struct WrongAddress;

// === impl Transport ===

impl Transport {
    /// HTTP/1.1 in clear.
    pub const CLEAR: Self = Self { protocol: Protocol::Http1, tls: None, key: 0 };

    /// Compiles the way that a cluster asks for; `at` is its config path. Reads its files.
    ///
    /// # Errors
    ///
    /// Each file that cannot be used, with the reason.
    pub fn compile(config: &live::Cluster, at: &str) -> Result<Self, Vec<Problem>> {
        let Some(tls) = &config.tls else { return Ok(Self::new(config.protocol, None)) };
        let files = Files::read(tls, &format!("{at}.tls"))?;
        let tls = Tls { files, name: tls.sni.clone(), verify: tls.verify };
        Ok(Self::new(config.protocol, Some(Arc::new(tls))))
    }

    /// The same endpoints asked in another protocol, with TLS or without, as a health check may want
    /// it.
    pub fn with(&self, protocol: Protocol, secure: bool) -> Self {
        Self::new(protocol, self.tls.clone().filter(|_| secure))
    }

    fn new(protocol: Protocol, tls: Option<Arc<Tls>>) -> Self {
        if protocol != Protocol::Http2 && tls.is_none() {
            return Self::CLEAR;
        }
        let mut hasher = Xxh3::new();
        (protocol, tls.is_some()).hash(&mut hasher);
        if let Some(tls) = &tls {
            (tls.files.print(), &tls.name, tls.verify).hash(&mut hasher);
        }
        // Never what stands for the clear way.
        Self { protocol, tls, key: hasher.finish().max(1) }
    }

    /// What tells this way from others. It changes with the contents of the files.
    pub fn key(&self) -> u64 {
        self.key
    }

    /// Whether endpoints are spoken to over TLS.
    pub fn secure(&self) -> bool {
        self.tls.is_some()
    }

    /// What endpoints are spoken to in.
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Whether each request needs to be told for which name: see [`name`](Self::name).
    pub fn by_host(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.name.is_none())
    }

    /// A peer with everything set that does not depend on the request. `connect` bounds the opening of
    /// a connection, handshakes included.
    pub fn peer(&self, address: SocketAddr, connect: Duration) -> HttpPeer {
        let mut peer = HttpPeer::new(address, self.tls.is_some(), String::new());
        peer.group_key = self.key;
        peer.options.connection_timeout = Some(connect);
        peer.options.total_connection_timeout = Some(connect);
        peer.options.idle_timeout = Some(POOL_IDLE);
        peer.options.alpn = match (self.protocol, &self.tls) {
            (Protocol::Http2, _) => ALPN::H2,
            (Protocol::Auto, Some(_)) => ALPN::H2H1,
            (Protocol::Auto, None) | (Protocol::Http1, _) => ALPN::H1,
        };
        if peer.options.alpn != ALPN::H1 {
            http2(&mut peer.options);
        }
        if let Some(tls) = &self.tls {
            peer.client_cert_key = tls.files.identity.clone();
            peer.options.ca = tls.files.authorities.clone();
            peer.options.verify_cert = tls.verify;
            peer.options.verify_hostname = tls.verify;
            let name = tls.name.clone().unwrap_or_else(|| address.ip().to_string());
            self.name(&mut peer, &name);
        }
        peer
    }

    /// Says under which name an endpoint is asked for over TLS, and so what its certificate must carry.
    /// `host` may have a port.
    ///
    /// An address is no name: none is sent then, and what the certificate says of addresses is looked
    /// at when the handshake is over, since Pingora compares names only ([`refused`]).
    pub fn name(&self, peer: &mut HttpPeer, host: &str) {
        let Some(tls) = &self.tls else { return };
        let host = without_port(host);
        let Some(ip) = host.trim_matches(['[', ']']).parse::<IpAddr>().ok() else {
            host.clone_into(&mut peer.sni);
            peer.options.verify_hostname = tls.verify;
            peer.options.upstream_tls_handshake_complete_hook = None;
            return;
        };
        // Pingora verifies nothing where there is no name; an address it passes on as none.
        peer.sni = ip.to_string();
        peer.options.verify_hostname = false;
        if tls.verify {
            peer.options.upstream_tls_handshake_complete_hook = Some(Arc::new(move |connection: &TlsRef| {
                let wrong = !is_for(connection, ip);
                wrong.then(|| Arc::new(WrongAddress) as Arc<dyn std::any::Any + Send + Sync>)
            }));
        }
    }
}

/// Why a connection that opened can't be used, if so.
pub fn refused(tls: Option<&SslDigest>) -> Option<&'static str> {
    let wrong = tls.and_then(|tls| tls.extension.get::<WrongAddress>());
    wrong.map(|_| "the certificate is not made out to the endpoint's address")
}

/// Makes a header that was written for HTTP/1.1 one of HTTP/2. None: it has no host.
pub fn for_http2(head: &mut RequestHeader, secure: bool) -> Option<()> {
    let host = head.remove_header(&HOST)?;
    for name in [CONNECTION, TRANSFER_ENCODING, UPGRADE] {
        head.remove_header(&name);
    }
    let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
    let scheme = if secure { "https" } else { "http" };
    head.set_uri(format!("{scheme}://{}{path}", host.to_str().ok()?).parse().ok()?);
    head.set_version(http::Version::HTTP_2);
    Some(())
}

/// What HTTP/2 needs beside its name.
fn http2(options: &mut PeerOptions) {
    options.max_h2_streams = STREAMS;
    options.h2_stream_window_size = Some(WINDOW);
    options.h2_connection_window_size = Some(WINDOW * STREAMS as u32);
    let step = GONE / 6;
    options.tcp_keepalive =
        Some(TcpKeepalive { idle: GONE / 2, interval: step, count: 3, user_timeout: GONE });
}

/// Whether the endpoint's certificate is made out to this address.
fn is_for(connection: &TlsRef, ip: IpAddr) -> bool {
    let names = connection.peer_certificate().and_then(|certificate| certificate.subject_alt_names());
    names.into_iter().flatten().any(|name| match (name.ipaddress(), ip) {
        (Some(bytes), IpAddr::V4(ip)) => bytes == ip.octets(),
        (Some(bytes), IpAddr::V6(ip)) => bytes == ip.octets(),
        (None, _) => false,
    })
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        // Of an IPv6 address in brackets, the colon of a port comes after them.
        Some((name, port)) if !port.contains(']') && (!name.contains(':') || name.ends_with(']')) => name,
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::live::UpstreamTls;

    const ADDRESS: ([u8; 4], u16) = ([10, 0, 0, 1], 443);

    fn transport(protocol: Protocol, tls: Option<UpstreamTls>) -> Transport {
        let config = live::Cluster { protocol, tls, ..Default::default() };
        Transport::compile(&config, "clusters.c").unwrap()
    }

    fn peer(transport: &Transport) -> HttpPeer {
        transport.peer(ADDRESS.into(), Duration::from_secs(2))
    }

    #[test]
    fn each_protocol_has_its_alpn() {
        let tls = || Some(UpstreamTls::default());
        for (protocol, tls, alpn, streams) in [
            (Protocol::Http1, None, ALPN::H1, 1),
            (Protocol::Auto, None, ALPN::H1, 1),
            (Protocol::Http2, None, ALPN::H2, STREAMS),
            (Protocol::Http1, tls(), ALPN::H1, 1),
            (Protocol::Auto, tls(), ALPN::H2H1, STREAMS),
            (Protocol::Http2, tls(), ALPN::H2, STREAMS),
        ] {
            let secure = tls.is_some();
            let peer = peer(&transport(protocol, tls));
            assert_eq!(peer.options.alpn, alpn, "{protocol:?} {secure}");
            assert_eq!(peer.options.max_h2_streams, streams, "{protocol:?} {secure}");
            assert_eq!(peer.is_tls(), secure);
        }
    }

    #[test]
    fn ways_that_differ_share_no_connection() {
        let tls = |edit: fn(&mut UpstreamTls)| {
            let mut tls = UpstreamTls::default();
            edit(&mut tls);
            Some(tls)
        };
        let ways = [
            transport(Protocol::Http1, None),
            transport(Protocol::Http2, None),
            transport(Protocol::Http1, tls(|_| {})),
            transport(Protocol::Http2, tls(|_| {})),
            transport(Protocol::Auto, tls(|_| {})),
            transport(Protocol::Http1, tls(|tls| tls.verify = false)),
            transport(Protocol::Http1, tls(|tls| tls.sni = Some("a.test".into()))),
        ];
        let mut keys: Vec<_> = ways.iter().map(|way| peer(way).group_key).collect();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), ways.len());
        assert_eq!(transport(Protocol::Auto, None).key(), 0, "the clear way is one");
        assert_eq!(ways[3].key(), transport(Protocol::Http2, tls(|_| {})).key(), "and so are equal ones");
    }

    #[test]
    fn the_name_is_that_of_the_config_or_of_the_host() {
        let by_host = transport(Protocol::Http1, Some(UpstreamTls::default()));
        assert!(by_host.by_host());
        let mut it = peer(&by_host);
        assert_eq!((it.sni.as_str(), it.options.verify_hostname), ("10.0.0.1", false));
        assert!(it.options.upstream_tls_handshake_complete_hook.is_some());
        for (host, sni) in [
            ("a.test", "a.test"),
            ("a.test:8443", "a.test"),
            ("10.0.0.9:80", "10.0.0.9"),
            ("[::1]:80", "::1"),
            ("[::1]", "::1"),
        ] {
            by_host.name(&mut it, host);
            assert_eq!(it.sni, sni);
            let named = sni == "a.test";
            assert_eq!(it.options.verify_hostname, named, "{host}");
            assert_eq!(it.options.upstream_tls_handshake_complete_hook.is_none(), named, "{host}");
        }
        let fixed = UpstreamTls { sni: Some("b.test".into()), verify: false, ..Default::default() };
        let fixed = transport(Protocol::Http1, Some(fixed));
        let it = peer(&fixed);
        assert!(!fixed.by_host());
        assert_eq!(
            (it.sni.as_str(), it.options.verify_cert, it.options.verify_hostname),
            ("b.test", false, false)
        );
    }
}
