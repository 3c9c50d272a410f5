//! A header for the next proxy or server behind this one.

use std::io::Write;
use std::net::{IpAddr, SocketAddr};

use crate::proxy_protocol::{Header, SIGNATURE, Version, WORD};

/// The bytes of a header. Version 2 is without TLVs.
///
/// Both addresses are written in one family: where one of them is of IPv6 only, the other is written as
/// an IPv4-mapped one.
pub fn write(version: Version, header: &Header) -> Vec<u8> {
    let Header::Proxied { source, destination } = header else { return local(version) };
    let (from, to) = (source.ip().to_canonical(), destination.ip().to_canonical());
    let ports = (source.port(), destination.port());
    match (version, from, to) {
        (Version::V1, IpAddr::V4(_), IpAddr::V4(_)) => line("TCP4", from, to, ports),
        (Version::V1, ..) => line("TCP6", wide(from), wide(to), ports),
        (Version::V2, IpAddr::V4(from), IpAddr::V4(to)) => block(0x11, &from.octets(), &to.octets(), ports),
        (Version::V2, ..) => block(0x21, &octets(from), &octets(to), ports),
    }
}

/// The header that speaks for nobody but the sender.
fn local(version: Version) -> Vec<u8> {
    match version {
        Version::V1 => b"PROXY UNKNOWN\r\n".to_vec(),
        Version::V2 => [SIGNATURE.as_slice(), &[0x20, 0, 0, 0]].concat(),
    }
}

fn line(family: &str, from: IpAddr, to: IpAddr, ports: (u16, u16)) -> Vec<u8> {
    let mut text = WORD.to_vec();
    // Writing to a vector cannot fail.
    let _ = write!(text, "{family} {from} {to} {} {}\r\n", ports.0, ports.1);
    text
}

fn block(family: u8, from: &[u8], to: &[u8], ports: (u16, u16)) -> Vec<u8> {
    let length = if family == 0x11 { 12 } else { 36 };
    let (a, b) = (ports.0.to_be_bytes(), ports.1.to_be_bytes());
    [SIGNATURE.as_slice(), &[0x21, family, 0, length], from, to, &a, &b].concat()
}

fn wide(ip: IpAddr) -> IpAddr {
    IpAddr::from(octets(ip))
}

fn octets(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

// === impl Header ===

impl Header {
    /// What is known of a connection, as a header.
    pub fn of(source: Option<SocketAddr>, destination: Option<SocketAddr>) -> Self {
        match (source, destination) {
            (Some(source), Some(destination)) => Self::Proxied { source, destination },
            _ => Self::Local,
        }
    }
}
