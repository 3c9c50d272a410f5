//! JSON values appended to a byte buffer, without a tree and without allocation.
//!
//! The outcome is valid JSON, in one line, for whatever bytes come in. Bytes that are not UTF-8
//! become U+FFFD. Control characters are escaped, DEL and the C1 block (U+0080 to U+009F) too,
//! though JSON would let them pass: a terminal takes some of them as commands, and people read logs
//! in terminals.

use std::io::Write;
use std::net::{IpAddr, SocketAddr};

/// A string with its quotes.
pub fn text(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    if plain(bytes) {
        out.extend_from_slice(bytes);
    } else {
        for chunk in bytes.utf8_chunks() {
            escaped(out, chunk.valid().as_bytes());
            if !chunk.invalid().is_empty() {
                out.extend_from_slice("\u{fffd}".as_bytes());
            }
        }
    }
    out.push(b'"');
}

/// Whether nothing needs a second look, as in nearly every text. A table, since most texts are short:
/// code for sixteen bytes at once spends its time on what is left over.
fn plain(bytes: &[u8]) -> bool {
    bytes.iter().fold(true, |so_far, b| so_far & PLAIN[usize::from(*b)])
}

/// What stands for itself.
static PLAIN: [bool; 256] = {
    let mut plain = [false; 256];
    let mut byte = 0x20;
    while byte < 0x7f {
        plain[byte] = byte != b'"' as usize && byte != b'\\' as usize;
        byte += 1;
    }
    plain
};

/// A whole number.
pub fn number(out: &mut Vec<u8>, mut n: u64) {
    // Most are counts of nothing or one.
    if n < 10 {
        return out.push(b'0' + n as u8);
    }
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (n % 10) as u8;
        n /= 10;
        if n == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// A number with three decimals. What is not a positive number is 0.
pub fn thousandths(out: &mut Vec<u8>, value: f64) {
    let n = (value * 1000.0).round() as u64;
    number(out, n / 1000);
    out.push(b'.');
    padded::<3>(out, n % 1000);
}

/// Exactly `WIDTH` digits, with zeros before.
pub fn padded<const WIDTH: usize>(out: &mut Vec<u8>, n: u64) {
    let mut text = [0; WIDTH];
    digits(&mut text, n);
    out.extend_from_slice(&text);
}

/// Fills a place with the last digits of a number, and zeros before.
pub fn digits(place: &mut [u8], mut n: u64) {
    for digit in place.iter_mut().rev() {
        *digit = b'0' + (n % 10) as u8;
        n /= 10;
    }
}

/// An address as a string, or null.
pub fn ip(out: &mut Vec<u8>, address: Option<IpAddr>) {
    let Some(address) = address else { return out.extend_from_slice(b"null") };
    out.push(b'"');
    bare_ip(out, address);
    out.push(b'"');
}

/// Address and port as a string, or null.
pub fn socket(out: &mut Vec<u8>, address: Option<SocketAddr>) {
    match address {
        None => out.extend_from_slice(b"null"),
        Some(SocketAddr::V4(address)) => {
            out.push(b'"');
            bare_ip(out, (*address.ip()).into());
            out.push(b':');
            number(out, address.port().into());
            out.push(b'"');
        }
        // Writing to a `Vec` cannot fail.
        Some(address) => drop(write!(out, "\"{address}\"")),
    }
}

/// IPv4 by hand: the formatting machinery takes longer than all the rest of a line.
fn bare_ip(out: &mut Vec<u8>, address: IpAddr) {
    let IpAddr::V4(address) = address else {
        // Writing to a `Vec` cannot fail.
        return drop(write!(out, "{address}"));
    };
    let (mut text, mut length) = ([0; 16], 0);
    for octet in address.octets() {
        for (worth, digit) in [(100, octet / 100), (10, octet / 10 % 10), (1, octet % 10)] {
            // No zeros before, but for the last digit.
            if octet >= worth || worth == 1 {
                text[length] = b'0' + digit;
                length += 1;
            }
        }
        text[length] = b'.';
        length += 1;
    }
    out.extend_from_slice(&text[..length - 1]);
}

/// `bytes` are valid UTF-8. Runs that need nothing are copied in one go.
fn escaped(out: &mut Vec<u8>, bytes: &[u8]) {
    let mut clean = 0;
    let mut at = 0;
    while at < bytes.len() {
        let byte = bytes[at];
        // U+0080 to U+009F are the bytes C2 80 to C2 9F.
        let c1 = byte == 0xc2 && bytes.get(at + 1).is_some_and(|next| *next < 0xa0);
        if (byte >= 0x20 && byte != b'"' && byte != b'\\' && byte != 0x7f) && !c1 {
            at += 1;
            continue;
        }
        out.extend_from_slice(&bytes[clean..at]);
        at += 1;
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            0xc2 => {
                unicode(out, bytes[at]);
                at += 1;
            }
            byte => unicode(out, byte),
        }
        clean = at;
    }
    out.extend_from_slice(&bytes[clean..]);
}

fn unicode(out: &mut Vec<u8>, code: u8) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.extend_from_slice(b"\\u00");
    out.extend_from_slice(&[HEX[usize::from(code >> 4)], HEX[usize::from(code & 15)]]);
}
