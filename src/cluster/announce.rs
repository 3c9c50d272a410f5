//! Tells endpoints who the client is, by a PROXY header before the first byte of a connection.
//!
//! Pingora opens connections itself and knows of no such header; what it has is a place for a connect
//! of one's own ([`PeerOptions::custom_l4`](pingora::upstreams::peer::PeerOptions)), which comes before
//! TLS. The peer of each request gets one that knows the request's client. It must not be found in the
//! pool by anybody: it has a key of its own there, and is closed as soon as it is idle.
//!
//! Health checks and copies of requests speak for nobody; theirs say so (`LOCAL`, `UNKNOWN`) and are
//! pooled apart from those without a header.
//!
//! The bad side: each request opens a connection, since HTTP requests of one client connection may
//! reach an endpoint over several. Who needs the client's address of HTTP requests has
//! `x-forwarded-for`, which costs nothing.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pingora::connectors::l4::Connect;
use pingora::protocols::TcpKeepalive;
use pingora::protocols::l4::socket;
use pingora::protocols::l4::stream::Stream;
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorType, OrErr, Result};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::config::live::ProxyVersion;
use crate::proxy_protocol::{Header, Version, write};

/// Mixed into the pool's key of connections that speak for nobody.
const LOCAL: u64 = 0x5052_4f58_5921;

/// Opens a connection and begins it with a header.
#[derive(Debug)]
struct Announced {
    header: Box<[u8]>,
    limit: Option<Duration>,
}

/// Lets connections to `peer` begin with a header that speaks for nobody.
pub fn local(peer: &mut HttpPeer, version: ProxyVersion) {
    peer.group_key ^= LOCAL ^ version as u64;
    begin(peer, version, &Header::Local);
}

/// Lets the connection to `peer` begin with a header that names a client. `token`: none that is in use.
pub fn client(peer: &mut HttpPeer, version: ProxyVersion, header: &Header, token: u64) {
    peer.group_key = token;
    peer.options.idle_timeout = Some(Duration::ZERO);
    begin(peer, version, header);
}

/// The bytes of a header.
pub fn header(version: ProxyVersion, header: &Header) -> Vec<u8> {
    let version = match version {
        ProxyVersion::V1 => Version::V1,
        ProxyVersion::V2 => Version::V2,
    };
    write(version, header)
}

fn begin(peer: &mut HttpPeer, version: ProxyVersion, to_write: &Header) {
    let header = header(version, to_write).into();
    let limit = peer.options.connection_timeout;
    peer.options.custom_l4 = Some(Arc::new(Announced { header, limit }));
}

/// Opens a connection to an endpoint.
///
/// # Errors
///
/// It can't be opened, or takes too long.
pub async fn open(address: SocketAddr, limit: Option<Duration>, first: &[u8]) -> Result<TcpStream> {
    let open = async {
        let mut stream = TcpStream::connect(address).await?;
        if !first.is_empty() {
            stream.write_all(first).await?;
        }
        Ok(stream)
    };
    let opened = match limit {
        Some(limit) => {
            timeout(limit, open).await.or_err(ErrorType::ConnectTimedout, "the connection did not open")?
        }
        None => open.await,
    };
    opened.map_err(|why: std::io::Error| {
        use std::io::ErrorKind::{ConnectionRefused, HostUnreachable, NetworkUnreachable};
        let kind = match why.kind() {
            ConnectionRefused => ErrorType::ConnectRefused,
            HostUnreachable | NetworkUnreachable => ErrorType::ConnectNoRoute,
            _ => ErrorType::ConnectError,
        };
        Error::because(kind, "while connecting", why)
    })
}

/// When a host that has been silent on a passed-through connection is asked whether it is there.
pub fn keepalive() -> TcpKeepalive {
    TcpKeepalive {
        idle: Duration::from_secs(60),
        interval: Duration::from_secs(15),
        count: 4,
        #[cfg(target_os = "linux")]
        user_timeout: Duration::ZERO,
    }
}

// === impl Announced ===

#[async_trait]
impl Connect for Announced {
    async fn connect(&self, address: &socket::SocketAddr) -> Result<Stream> {
        let Some(address) = address.as_inet() else {
            return Err(Error::explain(
                ErrorType::ConnectError,
                "only endpoints with an IP address have a header",
            ));
        };
        open(*address, self.limit, &self.header).await.map(Stream::from)
    }
}
