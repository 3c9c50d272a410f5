//! Connections that are used once and then held: HTTP/1.1 in clear and over TLS, and HTTP/2 in clear.
//! Blocking and by hand, so that ten thousand of them cost this side little.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use openssl::ssl::{SslConnector, SslMethod, SslVerifyMode};

use crate::Result;
use crate::pace::get;

/// What is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spoken {
    Http1,
    Tls,
    H2c,
}

trait Stream: Read + Write {}

impl<T: Read + Write> Stream for T {}

/// Some connections, open.
pub(crate) struct Held {
    spoken: Spoken,
    streams: Vec<Box<dyn Stream>>,
}

// === impl Spoken ===

impl Spoken {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Http1 => "HTTP/1.1",
            Self::Tls => "HTTP/1.1 over TLS",
            Self::H2c => "HTTP/2 in clear",
        }
    }

    fn open(self, address: SocketAddr, tls: &SslConnector) -> Result<Box<dyn Stream>> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        stream.set_nodelay(true)?;
        if self != Self::Tls {
            return Ok(Box::new(stream));
        }
        let mut settings = tls.configure()?;
        settings.set_verify(SslVerifyMode::NONE);
        settings.set_verify_hostname(false);
        Ok(Box::new(settings.connect("shop.example.com", stream).map_err(|e| e.to_string())?))
    }
}

// === impl Held ===

impl Held {
    /// Opens them, and asks for something on each.
    pub(crate) fn open(spoken: Spoken, address: SocketAddr, count: usize) -> Result<Self> {
        let tls = SslConnector::builder(SslMethod::tls_client())?.build();
        let mut held = Self { spoken, streams: Vec::with_capacity(count) };
        for i in 0..count {
            let mut stream = spoken.open(address, &tls).map_err(|e| format!("connection {i}: {e}"))?;
            ask(spoken, &mut stream, true).map_err(|e| format!("connection {i}: {e}"))?;
            held.streams.push(stream);
        }
        Ok(held)
    }

    /// That they still serve: the first and the last.
    pub(crate) fn still_there(mut self) -> Result<()> {
        if let Some(stream) = self.streams.first_mut() {
            ask(self.spoken, stream, false)?;
        }
        let last = self.streams.last_mut().ok_or("no connection")?;
        ask(self.spoken, last, false)
    }
}

fn ask(spoken: Spoken, stream: &mut dyn Stream, first: bool) -> Result<()> {
    if spoken == Spoken::H2c {
        return ask_http2(stream, first);
    }
    stream.write_all(&get("shop.example.com", "/"))?;
    let (mut buffer, mut filled) = ([0; 4096], 0);
    while !buffer[..filled].ends_with(b" \n") {
        match stream.read(&mut buffer[filled..])? {
            0 => return Err("closed".into()),
            read => filled += read,
        }
    }
    if buffer.starts_with(b"HTTP/1.1 200") { Ok(()) } else { Err("not 200".into()) }
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const END_STREAM: u8 = 1;

/// A GET on stream 1, or 3 the second time, until its last frame.
fn ask_http2(stream: &mut dyn Stream, first: bool) -> Result<()> {
    let id = if first { 1 } else { 3 };
    // GET, http, `/` of the static table, then the authority as it is.
    let mut block = vec![0x82, 0x86, 0x84, 0x01, 16];
    block.extend_from_slice(b"shop.example.com");
    let mut out = Vec::new();
    if first {
        out.extend_from_slice(PREFACE);
        out.extend(frame(SETTINGS, 0, 0, &[]));
    }
    out.extend(frame(HEADERS, END_STREAM | 4, id, &block));
    stream.write_all(&out)?;
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head)?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        stream.read_exact(&mut payload)?;
        let (kind, flags, of) = (head[3], head[4], u32::from_be_bytes([head[5], head[6], head[7], head[8]]));
        match kind {
            SETTINGS if flags & 1 == 0 => stream.write_all(&frame(SETTINGS, 1, 0, &[]))?,
            // Status 200 is one byte of the static table, and comes first.
            HEADERS if of == id && payload.first() != Some(&0x88) => return Err("not 200".into()),
            3 | 7 => return Err(format!("frame {kind}: {payload:?}").into()),
            _ => {}
        }
        if of == id && kind < 2 && flags & END_STREAM != 0 {
            return Ok(());
        }
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap_or(0).to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend(stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}
