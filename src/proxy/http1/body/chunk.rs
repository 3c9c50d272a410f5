//! Chunks (RFC 9112 7.1), as a machine that takes framing byte by byte and data at once.

use super::{LARGEST, Passed};
use crate::proxy::http1::octet::{is_token, is_value};
use crate::proxy::http1::refusal::{self, Refusal};

/// The most hexadecimal digits of a size.
const DIGITS: u8 = 16;

/// How long the extensions of a chunk may be, in bytes.
const EXTENSIONS: usize = 256;

/// The state of a chunked body.
#[derive(Debug)]
pub(crate) struct Chunks {
    at: At,
    /// The size as far as it is read, then what is left of the data.
    size: u64,
    /// Digits of the size so far.
    digits: u8,
    /// Bytes of this chunk's extensions, or of the trailer.
    length: usize,
    /// Lines of the trailer.
    fields: usize,
    trailer_bytes: usize,
    trailers: usize,
}

/// What the next byte is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Size,
    Extension(Part),
    /// The LF of a size line.
    SizeEnd,
    Data,
    DataCr,
    DataLf,
    /// The first byte of a line after the last chunk.
    Trailer,
    Name,
    Value,
    ValueEnd,
    LastLf,
    Done,
}

/// Where in `*( BWS ";" BWS name [ BWS "=" BWS ( token / quoted-string ) ] )`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// After a blank, before `;`.
    Before,
    /// After `;`.
    Start,
    Name,
    AfterName,
    Equals,
    Token,
    Quoted,
    Escaped,
    /// After a quoted value.
    Closed,
    /// After a value and a blank. No line ends there: the grammar has no blank before CRLF.
    After,
}

// === impl Chunks ===

impl Chunks {
    pub(super) fn new(trailer_bytes: usize, trailers: usize) -> Self {
        Self { at: At::Size, size: 0, digits: 0, length: 0, fields: 0, trailer_bytes, trailers }
    }

    pub(super) fn is_done(&self) -> bool {
        self.at == At::Done
    }

    pub(super) fn pass(&mut self, bytes: &mut [u8]) -> Result<Passed, Refusal> {
        let (mut used, mut kept) = (0, 0);
        while used < bytes.len() && self.at != At::Done {
            let length = if self.at == At::Data { self.data(bytes.len() - used) } else { 1 };
            if self.at == At::Data || self.step(bytes[used])? {
                if kept != used {
                    bytes.copy_within(used..used + length, kept);
                }
                kept += length;
            }
            if self.at == At::Data && self.size == 0 {
                self.at = At::DataCr;
            }
            used += length;
        }
        Ok(Passed { used, kept })
    }

    fn data(&mut self, there: usize) -> usize {
        let length = usize::try_from(self.size).unwrap_or(usize::MAX).min(there);
        self.size -= length as u64;
        length
    }

    /// Takes a byte of framing; whether it passes on.
    fn step(&mut self, byte: u8) -> Result<bool, Refusal> {
        let (next, keep) = match self.at {
            At::Size => return self.size(byte),
            At::Extension(part) => return self.extension(part, byte),
            At::SizeEnd if byte == b'\n' => (self.after_size(), true),
            At::SizeEnd => return Err(refusal::BAD_SIZE),
            At::DataCr if byte == b'\r' => (At::DataLf, true),
            At::DataLf if byte == b'\n' => (At::Size, true),
            // `Data` and `Done` take no byte here.
            At::DataCr | At::DataLf | At::Data | At::Done => return Err(refusal::BAD_END),
            At::Trailer if byte == b'\r' => (At::LastLf, true),
            At::LastLf if byte == b'\n' => (At::Done, true),
            At::LastLf => return Err(refusal::BAD_TRAILER),
            At::Trailer | At::Name | At::Value | At::ValueEnd => (self.trailer(byte)?, false),
        };
        self.at = next;
        Ok(keep)
    }

    fn size(&mut self, byte: u8) -> Result<bool, Refusal> {
        if let Some(digit) = char::from(byte).to_digit(16) {
            self.digits += 1;
            if self.digits > DIGITS || self.size > LARGEST >> 4 {
                return Err(refusal::LONG_SIZE);
            }
            self.size = self.size << 4 | u64::from(digit);
            return Ok(true);
        }
        if self.digits == 0 {
            return Err(refusal::BAD_SIZE);
        }
        self.at = match byte {
            b'\r' => At::SizeEnd,
            b';' => At::Extension(Part::Start),
            b' ' | b'\t' => At::Extension(Part::Before),
            _ => return Err(refusal::BAD_SIZE),
        };
        self.length = 0;
        Ok(byte == b'\r')
    }

    fn after_size(&mut self) -> At {
        self.digits = 0;
        self.length = 0;
        if self.size == 0 { At::Trailer } else { At::Data }
    }

    fn extension(&mut self, part: Part, byte: u8) -> Result<bool, Refusal> {
        self.length += 1;
        if self.length > EXTENSIONS {
            return Err(refusal::LONG_EXTENSION);
        }
        let blank = matches!(byte, b' ' | b'\t');
        let next = match part {
            Part::Before | Part::Start | Part::AfterName | Part::Equals | Part::After if blank => part,
            Part::Quoted if byte == b'"' => Part::Closed,
            Part::Quoted if byte == b'\\' => Part::Escaped,
            Part::Quoted | Part::Escaped if is_value(byte) => Part::Quoted,
            Part::Start | Part::Name if is_token(byte) => Part::Name,
            Part::Equals | Part::Token if is_token(byte) => Part::Token,
            Part::Equals if byte == b'"' => Part::Quoted,
            Part::Name if blank => Part::AfterName,
            Part::Token | Part::Closed if blank => Part::After,
            Part::Name | Part::AfterName if byte == b'=' => Part::Equals,
            Part::Before | Part::Name | Part::AfterName | Part::Token | Part::Closed | Part::After
                if byte == b';' =>
            {
                Part::Start
            }
            Part::Name | Part::Token | Part::Closed if byte == b'\r' => {
                self.at = At::SizeEnd;
                return Ok(true);
            }
            _ => return Err(refusal::BAD_EXTENSION),
        };
        self.at = At::Extension(next);
        Ok(false)
    }

    fn trailer(&mut self, byte: u8) -> Result<At, Refusal> {
        self.length += 1;
        self.fields += usize::from(self.at == At::Trailer);
        if self.length > self.trailer_bytes || self.fields > self.trailers {
            return Err(refusal::LONG_TRAILER);
        }
        match (self.at, byte) {
            (At::Trailer | At::Name, byte) if is_token(byte) => Ok(At::Name),
            (At::Name, b':') => Ok(At::Value),
            (At::Value, b'\r') => Ok(At::ValueEnd),
            (At::Value, byte) if is_value(byte) => Ok(At::Value),
            (At::ValueEnd, b'\n') => Ok(At::Trailer),
            _ => Err(refusal::BAD_TRAILER),
        }
    }
}
