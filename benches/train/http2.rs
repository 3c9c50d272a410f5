//! A client for HTTP/2: as much as it takes to keep some streams busy.
//!
//! The field names and values that are the same in all requests are sent once and then by their number
//! in the table, one of them in Huffman's code, as browsers do. Of an answer the status and the end are
//! looked at.

use std::io::{BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::Result;

/// A connection.
pub(crate) struct Connection {
    stream: BufReader<TcpStream>,
    /// Over TLS: what the requests call their scheme.
    sealed: bool,
    /// The number of the next stream.
    next: u32,
    /// Bytes of answers since the last update of the connection's window.
    taken: usize,
}

/// A request.
pub(crate) struct Ask {
    pub(crate) path: String,
    /// None: a GET.
    pub(crate) body: Option<&'static [u8]>,
}

/// The kinds of frames that matter here, and their flags.
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW: u8 = 8;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const ACK: u8 = 1;

/// As much as an answer may be, and all of them together between two updates.
const ROOM: u32 = 1 << 24;

/// `www.example.com` in Huffman's code, as appendix C of RFC 7541 has it.
const AUTHORITY: [u8; 12] = [0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff];

// === impl Connection ===

impl Connection {
    pub(crate) fn open(address: SocketAddr, sealed: bool) -> Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        let mut connection = Self { stream: BufReader::new(stream), sealed, next: 1, taken: 0 };
        let mut hello = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        let mut settings = vec![0, 4]; // INITIAL_WINDOW_SIZE
        settings.extend(ROOM.to_be_bytes());
        frame(&mut hello, SETTINGS, 0, 0, &settings);
        frame(&mut hello, WINDOW, 0, 0, &ROOM.to_be_bytes());
        connection.stream.get_mut().write_all(&hello)?;
        Ok(connection)
    }

    /// Sends all of them at once, and waits until all are answered with 200.
    pub(crate) fn ask(&mut self, asks: &[Ask]) -> Result<()> {
        let mut out = Vec::new();
        for ask in asks {
            let end = if ask.body.is_some() { 0 } else { END_STREAM };
            frame(&mut out, HEADERS, END_HEADERS | end, self.next, &self.fields(ask));
            if let Some(body) = ask.body {
                frame(&mut out, DATA, END_STREAM, self.next, body);
            }
            self.next += 2;
        }
        self.stream.get_mut().write_all(&out)?;
        let mut open = asks.len();
        while open > 0 {
            open -= usize::from(self.take()?);
        }
        Ok(())
    }

    /// The fields of a request. The first one of a connection fills the table.
    fn fields(&self, ask: &Ask) -> Vec<u8> {
        let method = if ask.body.is_some() { 0x83 } else { 0x82 };
        let mut fields = vec![method, if self.sealed { 0x87 } else { 0x86 }, 0x04];
        text(&mut fields, &ask.path);
        if self.next > 1 {
            fields.extend([0xc0, 0xbf, 0xbe]);
            return fields;
        }
        fields.extend([0x41, 0x80 | AUTHORITY.len() as u8]);
        fields.extend(AUTHORITY);
        fields.push(0x7a);
        text(&mut fields, "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0");
        fields.push(0x40);
        text(&mut fields, "x-group");
        text(&mut fields, "a");
        fields
    }

    /// Takes a frame, and tells whether it ends a stream.
    fn take(&mut self) -> Result<bool> {
        let mut head = [0; 9];
        self.stream.read_exact(&mut head)?;
        let [a, b, c, kind, flags, ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        self.stream.read_exact(&mut payload)?;
        let mut out = Vec::new();
        match kind {
            // 0x88 stands for `:status: 200`, which comes first.
            HEADERS if payload.first() != Some(&0x88) => return Err("h2: an answer is not 200".into()),
            SETTINGS if flags & ACK == 0 => frame(&mut out, SETTINGS, ACK, 0, &[]),
            PING if flags & ACK == 0 => frame(&mut out, PING, ACK, 0, &payload),
            RESET | GOAWAY => return Err(format!("h2: frame {kind}: {payload:?}").into()),
            DATA => {
                self.taken += payload.len();
                if self.taken > ROOM as usize / 2 {
                    frame(&mut out, WINDOW, 0, 0, &u32::try_from(self.taken)?.to_be_bytes());
                    self.taken = 0;
                }
            }
            _ => {}
        }
        self.stream.get_mut().write_all(&out)?;
        Ok(matches!(kind, DATA | HEADERS) && flags & END_STREAM != 0)
    }
}

fn frame(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    out.extend(&(payload.len() as u32).to_be_bytes()[1..]);
    out.extend([kind, flags]);
    out.extend(stream.to_be_bytes());
    out.extend(payload);
}

/// A text of up to 126 bytes, as it is.
fn text(out: &mut Vec<u8>, text: &str) {
    out.push(text.len() as u8);
    out.extend(text.as_bytes());
}
