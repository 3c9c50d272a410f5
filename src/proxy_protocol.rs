//! The PROXY protocol, versions 1 and 2: who a connection is from, told by the proxy in front of it.
//!
//! [`parse()`] reads a header and [`write()`] makes one; both are pure. The text is HAProxy's
//! `proxy-protocol.txt`. The reader is strict, since a header that two parties read differently lets
//! a client choose its own address: whatever is not exactly a header is refused, and never taken for
//! the first bytes of a request.
//!
//! What is not used of version 2: addresses of Unix sockets and datagrams, and all TLVs but the
//! checksum, which is looked at where it is sent. A header that speaks for nobody (`LOCAL`, as of the
//! health checks of the one in front, `UNKNOWN`, Unix sockets) leaves the addresses of the socket.
//!
//! The bad side: a version 2 header of more than [`MOST`] bytes is refused, though the format has room
//! for 64 KiB. Nobody is known to send one: TLVs of TLS certificates are the longest there are.

pub mod crc32c;
pub mod parse;
pub mod write;

#[cfg(test)]
mod tests;

use std::net::SocketAddr;

pub use self::parse::{Malformed, Progress, parse};
pub use self::write::write;

/// How every header of version 2 begins.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// How every header of version 1 begins.
const WORD: &[u8; 6] = b"PROXY ";

/// The longest header of version 1, its line end included.
pub const MOST_V1: usize = 107;

/// The longest header of version 2 that is read: its 16 fixed bytes and 4 KiB.
pub const MOST: usize = FIXED + 4096;

/// The fixed part of version 2.
const FIXED: usize = 16;

/// The TLV that holds the checksum of the header.
const CRC32C: u8 = 0x03;

/// Which of the two forms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// One line of text.
    V1,
    /// Bytes.
    V2,
}

/// What a header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Header {
    /// Nothing: the addresses are those of the socket.
    Local,
    /// The connection that the proxy in front speaks for.
    Proxied {
        source: SocketAddr,
        /// Where its client connected to.
        destination: SocketAddr,
    },
}
