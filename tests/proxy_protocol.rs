//! The PROXY protocol, in and out, with the real binary.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

#[path = "proxy_protocol/inbound.rs"]
mod inbound;
#[path = "proxy_protocol/outbound.rs"]
mod outbound;

use std::net::SocketAddr;

/// How every header of version 2 begins.
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// A header of version 2.
fn v2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).unwrap().to_be_bytes();
    [SIGNATURE, &[command, family], &length, body].concat()
}

/// The addresses of an IPv4 connection.
fn tcp4(source: SocketAddr, destination: SocketAddr) -> Vec<u8> {
    let (SocketAddr::V4(a), SocketAddr::V4(b)) = (source, destination) else { panic!("not IPv4") };
    let (from, to) = (a.port().to_be_bytes(), b.port().to_be_bytes());
    [a.ip().octets().as_slice(), &b.ip().octets(), &from, &to].concat()
}
