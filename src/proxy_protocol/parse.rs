//! A header from the first bytes of a connection, as they come.
//!
//! What follows a header belongs to TLS or HTTP and must not be read with it. So the parser says how
//! many bytes are missing at least, and whoever reads exactly as many as it says never reads too far.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::proxy_protocol::{CRC32C, FIXED, Header, MOST, MOST_V1, SIGNATURE, WORD, crc32c};

/// The shortest header of version 1: `PROXY UNKNOWN` and its line end.
const LEAST_V1: usize = 15;

/// The longest field of a line: an IPv6 address with an IPv4 one in it.
const LONGEST: usize = 45;

/// How far a header is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// At least so many more bytes belong to it.
    Needs(usize),
    /// It is the first `length` bytes.
    Whole { header: Header, length: usize },
}

/// Why some bytes are no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// They do not begin like one.
    Missing,
    /// They do, and go on otherwise.
    Invalid,
    /// Longer than is read.
    TooLong,
    /// The checksum is another.
    Checksum,
}

/// Reads a header.
///
/// # Errors
///
/// No bytes that follow could make it one.
pub fn parse(bytes: &[u8]) -> Result<Progress, Malformed> {
    match bytes.first() {
        None => Ok(Progress::Needs(LEAST_V1)),
        Some(b'P') => version1(bytes),
        Some(_) => version2(bytes),
    }
}

// === version 1 ===

fn version1(bytes: &[u8]) -> Result<Progress, Malformed> {
    if !begin_alike(bytes, WORD) {
        return Err(Malformed::Missing);
    }
    let line = &bytes[..bytes.len().min(MOST_V1)];
    let Some(end) = memchr::memchr(b'\n', line) else {
        if line.len() == MOST_V1 {
            return Err(Malformed::TooLong);
        }
        let end = if line.last() == Some(&b'\r') { 1 } else { 2 };
        return Ok(Progress::Needs(LEAST_V1.saturating_sub(line.len()).max(end)));
    };
    let text = line[..end].strip_suffix(b"\r").ok_or(Malformed::Invalid)?;
    let text = std::str::from_utf8(text).map_err(|_| Malformed::Invalid)?;
    let header = line1(text).ok_or(Malformed::Invalid)?;
    Ok(Progress::Whole { header, length: end + 1 })
}

fn line1(text: &str) -> Option<Header> {
    let mut fields = text.strip_prefix("PROXY ")?.split(' ');
    let address: fn(&str) -> Option<IpAddr> = match fields.next()? {
        // Whatever follows is not ours to read.
        "UNKNOWN" => return Some(Header::Local),
        "TCP4" => |field| field.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
        "TCP6" => |field| field.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        _ => return None,
    };
    let mut address = || fields.next().filter(|field| field.len() <= LONGEST).and_then(address);
    let (source, destination) = (address()?, address()?);
    let mut port = || fields.next().and_then(port);
    let (from, to) = (port()?, port()?);
    let header = Header::Proxied {
        source: SocketAddr::new(source, from),
        destination: SocketAddr::new(destination, to),
    };
    fields.next().is_none().then_some(header)
}

/// A port in digits, without a sign or a leading zero, which `parse` would take.
fn port(field: &str) -> Option<u16> {
    let plain = field.bytes().all(|byte| byte.is_ascii_digit()) && (field == "0" || !field.starts_with('0'));
    field.parse().ok().filter(|_| plain)
}

// === version 2 ===

fn version2(bytes: &[u8]) -> Result<Progress, Malformed> {
    if !begin_alike(bytes, SIGNATURE) {
        return Err(Malformed::Missing);
    }
    let Some((fixed, rest)) = bytes.split_first_chunk::<FIXED>() else {
        return Ok(Progress::Needs(FIXED - bytes.len()));
    };
    let [.., command, family, high, low] = *fixed;
    let local = match command {
        0x20 => true,
        0x21 => false,
        _ => return Err(Malformed::Invalid),
    };
    let length = usize::from(u16::from_be_bytes([high, low]));
    if FIXED + length > MOST {
        return Err(Malformed::TooLong);
    }
    let Some(body) = rest.get(..length) else { return Ok(Progress::Needs(length - rest.len())) };
    let whole = |header| Progress::Whole { header, length: FIXED + length };
    if local {
        return Ok(whole(Header::Local));
    }
    let (header, tlvs) = addresses(family, body)?;
    checksum(fixed, body, tlvs)?;
    Ok(whole(header))
}

/// The addresses, and what follows them.
fn addresses(family: u8, body: &[u8]) -> Result<(Header, &[u8]), Malformed> {
    let (header, used) = match family {
        0x00 => return Ok((Header::Local, &[])),
        0x11 => {
            let (from, to, ports) = (octets(body, 0)?, octets(body, 4)?, octets(body, 8)?);
            let address = |octets: [u8; 4]| IpAddr::from(octets);
            (proxied(address(from), address(to), ports), 12)
        }
        0x21 => {
            let (from, to, ports) = (octets(body, 0)?, octets(body, 16)?, octets(body, 32)?);
            let address = |octets: [u8; 16]| IpAddr::from(octets);
            (proxied(address(from), address(to), ports), 36)
        }
        // Datagrams, which came some other way than this stream, and Unix sockets.
        0x12 => (Header::Local, 12),
        0x22 => (Header::Local, 36),
        0x31 | 0x32 => (Header::Local, 216),
        _ => return Err(Malformed::Invalid),
    };
    Ok((header, body.get(used..).ok_or(Malformed::Invalid)?))
}

fn proxied(source: IpAddr, destination: IpAddr, ports: [u8; 4]) -> Header {
    let [a, b, c, d] = ports;
    Header::Proxied {
        source: SocketAddr::new(source, u16::from_be_bytes([a, b])),
        destination: SocketAddr::new(destination, u16::from_be_bytes([c, d])),
    }
}

fn octets<const N: usize>(body: &[u8], at: usize) -> Result<[u8; N], Malformed> {
    body.get(at..).and_then(|rest| rest.first_chunk()).copied().ok_or(Malformed::Invalid)
}

/// Walks the TLVs; where one is the checksum, compares it.
fn checksum(fixed: &[u8], body: &[u8], tlvs: &[u8]) -> Result<(), Malformed> {
    let mut rest = tlvs;
    while !rest.is_empty() {
        let ([kind, high, low], after) = rest.split_first_chunk::<3>().ok_or(Malformed::Invalid)?;
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let (value, next) = after.split_at_checked(length).ok_or(Malformed::Invalid)?;
        rest = next;
        if *kind != CRC32C {
            continue;
        }
        let told = u32::from_be_bytes(value.try_into().map_err(|_| Malformed::Invalid)?);
        // It is made with zeros in its own place.
        let before = &body[..body.len() - next.len() - value.len()];
        if crc32c::checksum(&[fixed, before, &[0; 4], next]) != told {
            return Err(Malformed::Checksum);
        }
    }
    Ok(())
}

/// Whether the two are the same as far as both go.
fn begin_alike(bytes: &[u8], expected: &[u8]) -> bool {
    bytes.iter().zip(expected).all(|(byte, expected)| byte == expected)
}

// === impl Malformed ===

impl Malformed {
    /// The label's value: `missing` or `malformed`.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Invalid | Self::TooLong | Self::Checksum => "malformed",
        }
    }
}
