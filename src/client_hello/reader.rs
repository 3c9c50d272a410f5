//! Records to a handshake message, and the message to a name.

use crate::client_hello::{MOST, MOST_RAW, Unreadable};

/// The header of a record: type, version, length.
const RECORD: usize = 5;

/// The header of a handshake message: type, length.
const MESSAGE: usize = 4;

/// The longest record in clear (RFC 8446 5.1).
const LONGEST: usize = 1 << 14;

const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
const SERVER_NAME: u16 = 0;
const HOST_NAME: u8 = 0;

/// Collects a hello. Each byte is looked at once, however it comes.
#[derive(Debug, Default)]
pub struct Reader {
    /// The record's header, as far as it has come.
    header: Vec<u8>,
    /// Of the record, what is still to come.
    left: usize,
    message: Vec<u8>,
    raw: usize,
}

/// How far it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// There is more to come.
    More,
    /// The name asked for, in lower case and without a final dot, if one is.
    Name(Option<Box<str>>),
}

// === impl Reader ===

impl Reader {
    /// Takes the next bytes of the connection. Once it has said anything but [`Step::More`] there is
    /// no more to ask.
    ///
    /// # Errors
    ///
    /// It is no hello.
    pub fn feed(&mut self, mut bytes: &[u8]) -> Result<Step, Unreadable> {
        while !bytes.is_empty() {
            if self.left == 0 {
                bytes = self.header(bytes)?;
                continue;
            }
            let (piece, rest) = bytes.split_at(self.left.min(bytes.len()));
            self.message.extend_from_slice(piece);
            self.left -= piece.len();
            self.raw += piece.len();
            bytes = rest;
            if let Some(body) = whole(&self.message)? {
                return name(body).map(Step::Name);
            }
        }
        if self.raw > MOST_RAW { Err(Unreadable::TooLong) } else { Ok(Step::More) }
    }

    /// Takes what belongs to a record's header. The rest.
    fn header<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], Unreadable> {
        let (piece, rest) = bytes.split_at((RECORD - self.header.len()).min(bytes.len()));
        self.header.extend_from_slice(piece);
        self.raw += piece.len();
        if self.header.first().is_some_and(|kind| *kind != HANDSHAKE)
            || self.header.get(1).is_some_and(|major| *major != 3)
        {
            // Amid a message another kind of record is as wrong as at its start.
            return Err(if self.message.is_empty() { Unreadable::NotTls } else { Unreadable::Malformed });
        }
        if let [_, _, _, high, low] = *self.header {
            self.left = usize::from(u16::from_be_bytes([high, low]));
            if self.left == 0 || self.left > LONGEST {
                return Err(Unreadable::Malformed);
            }
            self.header.clear();
        }
        Ok(rest)
    }
}

/// The body of the message, once it is there.
fn whole(message: &[u8]) -> Result<Option<&[u8]>, Unreadable> {
    if message.first().is_some_and(|kind| *kind != CLIENT_HELLO) {
        return Err(Unreadable::Malformed);
    }
    let Some(([_, high, middle, low], body)) = message.split_first_chunk::<MESSAGE>() else {
        return Ok(None);
    };
    let length = usize::from(*high) << 16 | usize::from(*middle) << 8 | usize::from(*low);
    if MESSAGE + length > MOST {
        return Err(Unreadable::TooLong);
    }
    Ok(body.get(..length))
}

/// The name in the body of a hello.
fn name(body: &[u8]) -> Result<Option<Box<str>>, Unreadable> {
    let mut rest = Bytes(body);
    // Version and random.
    rest.take(2 + 32)?;
    let session = rest.byte_vector()?;
    let suites = rest.vector()?;
    let compressions = rest.byte_vector()?;
    if session.len() > 32 || suites.is_empty() || suites.len() % 2 == 1 || compressions.is_empty() {
        return Err(Unreadable::Malformed);
    }
    if rest.0.is_empty() {
        // Before TLS 1.2 there may be no extensions at all.
        return Ok(None);
    }
    let mut extensions = Bytes(rest.vector()?);
    if !rest.0.is_empty() {
        return Err(Unreadable::Malformed);
    }
    let mut found = None;
    while !extensions.0.is_empty() {
        let kind = extensions.number()?;
        let value = extensions.vector()?;
        if kind == SERVER_NAME && found.replace(host(value)?).is_some() {
            // Two of them: who knows which one the endpoint takes.
            return Err(Unreadable::Malformed);
        }
    }
    Ok(found)
}

/// The one host name in the extension (RFC 6066 3).
fn host(value: &[u8]) -> Result<Box<str>, Unreadable> {
    let mut value = Bytes(value);
    let mut list = Bytes(value.vector()?);
    let [kind] = list.take(1)? else { return Err(Unreadable::Malformed) };
    let name = list.vector()?;
    if *kind != HOST_NAME || !list.0.is_empty() || !value.0.is_empty() {
        return Err(Unreadable::Malformed);
    }
    let text = std::str::from_utf8(name).map_err(|_| Unreadable::Malformed)?;
    let text = text.strip_suffix('.').unwrap_or(text);
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if text.is_empty() || text.len() > 253 || !text.bytes().all(plain) {
        return Err(Unreadable::Malformed);
    }
    Ok(text.to_ascii_lowercase().into())
}

/// What is left to read.
struct Bytes<'a>(&'a [u8]);

// === impl Bytes ===

impl<'a> Bytes<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], Unreadable> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Unreadable::Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    fn number(&mut self) -> Result<u16, Unreadable> {
        let (number, rest) = self.0.split_first_chunk().ok_or(Unreadable::Malformed)?;
        self.0 = rest;
        Ok(u16::from_be_bytes(*number))
    }

    /// What a length of two bytes stands before.
    fn vector(&mut self) -> Result<&'a [u8], Unreadable> {
        let length = self.number()?;
        self.take(usize::from(length))
    }

    /// What a length of one byte stands before.
    fn byte_vector(&mut self) -> Result<&'a [u8], Unreadable> {
        let length = self.take(1)?.first().copied().unwrap_or_default();
        self.take(usize::from(length))
    }
}
