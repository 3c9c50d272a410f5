//! The server name in a TLS ClientHello, for connections that are passed through unopened.
//!
//! [`Reader`] takes the bytes as they come: a hello may be split over reads, over records, or both. It
//! looks at nothing but what leads to the name and checks no more than it must to get there; whether
//! the hello is any good is the endpoint's question. What it is strict in are lengths: one that
//! does not fit in what surrounds it is refused, since the endpoint may read it differently.
//!
//! GREASE values (RFC 8701) need no care: extensions that are not known are stepped over. With
//! encrypted client hello the name is that of the outer one, which is what it is for.
//!
//! The bad side: a hello of more than [`MOST`] bytes is refused. Those with a post-quantum key share
//! have about 1.8 KiB.

mod reader;

#[cfg(test)]
mod tests;

pub use self::reader::{Reader, Step};

/// The longest hello that is read, in bytes of its handshake message.
pub const MOST: usize = 16 * 1024;

/// The most bytes of a connection that may hold it: a hello in tiny records needs more.
pub const MOST_RAW: usize = 2 * MOST;

/// Not a hello.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// Not TLS: no handshake record.
    NotTls,
    /// It does not hold together.
    Malformed,
    TooLong,
}
