//! HTTP/2 by hand: frames as a test wants them, and just enough of HPACK.

use std::net::SocketAddr;
use std::time::Duration;

use crate::support::RawClient;

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RESET: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A frame that came.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

/// A connection.
pub(crate) struct Client {
    raw: RawClient,
    read: Vec<u8>,
}

/// The bytes of a frame.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// A header block, each field spelled out.
pub(crate) fn block(fields: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            match u8::try_from(text.len()) {
                Ok(length) if length < 127 => block.push(length),
                _ => {
                    block.push(127);
                    let mut rest = text.len() - 127;
                    while rest >= 128 {
                        block.push(u8::try_from(rest % 128).unwrap() | 128);
                        rest /= 128;
                    }
                    block.push(u8::try_from(rest).unwrap());
                }
            }
            block.extend_from_slice(text);
        }
    }
    block
}

/// A request for a path of host `h`.
pub(crate) fn request(method: &str, path: &str, more: &[(&[u8], &[u8])]) -> Vec<u8> {
    let usual: [(&[u8], &[u8]); 4] = [
        (b":method", method.as_bytes()),
        (b":scheme", b"http"),
        (b":authority", b"h"),
        (b":path", path.as_bytes()),
    ];
    block(&[&usual[..], more].concat())
}

impl Client {
    /// Connected, with preface and SETTINGS sent.
    pub(crate) async fn connect(addr: SocketAddr) -> Self {
        Self::with_settings(addr, &[]).await
    }

    /// With settings of its own, as pairs.
    pub(crate) async fn with_settings(addr: SocketAddr, settings: &[(u16, u32)]) -> Self {
        let mut client = Self::silent(addr).await;
        let payload: Vec<u8> = settings
            .iter()
            .flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat())
            .collect();
        client.send(&[PREFACE, &frame(SETTINGS, 0, 0, &payload)].concat()).await;
        client
    }

    /// Connected, with nothing sent.
    pub(crate) async fn silent(addr: SocketAddr) -> Self {
        let raw = RawClient::connect(addr).await.deadline(Duration::from_secs(20));
        Self { raw, read: Vec::new() }
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.raw.send(bytes).await;
    }

    /// A request without a body.
    pub(crate) async fn get(&mut self, stream: u32, path: &str) {
        let bytes = frame(HEADERS, END_STREAM | END_HEADERS, stream, &request("GET", path, &[]));
        self.send(&bytes).await;
    }

    /// A request whose body is still to come.
    pub(crate) async fn post(&mut self, stream: u32, path: &str) {
        let bytes = frame(HEADERS, END_HEADERS, stream, &request("POST", path, &[]));
        self.send(&bytes).await;
    }

    /// The next frame. None: the connection is closed, or reset.
    pub(crate) async fn next(&mut self) -> Option<Frame> {
        loop {
            if let [a, b, c, kind, flags, s, t, u, v, rest @ ..] = &self.read[..] {
                let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
                if rest.len() >= length {
                    let stream = u32::from_be_bytes([*s & 127, *t, *u, *v]);
                    let frame =
                        Frame { kind: *kind, flags: *flags, stream, payload: rest[..length].to_vec() };
                    self.read.drain(..9 + length);
                    return Some(frame);
                }
            }
            match self.raw.read_some().await {
                Ok(bytes) if !bytes.is_empty() => self.read.extend(bytes),
                Err(error) if error.contains("nothing came") => panic!("{error}"),
                _ => return None,
            }
        }
    }

    /// The next frame of a kind.
    pub(crate) async fn wait(&mut self, kind: u8) -> Option<Frame> {
        while let Some(frame) = self.next().await {
            if frame.kind == kind {
                return Some(frame);
            }
        }
        None
    }

    /// The status of the first answer of the connection, or the code of the stream's reset.
    pub(crate) async fn outcome(&mut self) -> Outcome {
        while let Some(frame) = self.next().await {
            match frame.kind {
                HEADERS => return Outcome::Status(status(&frame.payload)),
                RESET => return Outcome::Reset(code(&frame.payload)),
                GOAWAY => return Outcome::Goaway(code(&frame.payload[4..])),
                _ => {}
            }
        }
        Outcome::Closed
    }

    /// The code of the GOAWAY that comes before the connection is closed. None: closed without.
    pub(crate) async fn goaway(&mut self) -> Option<u32> {
        let mut last = None;
        while let Some(frame) = self.next().await {
            if frame.kind == GOAWAY {
                last = Some(code(&frame.payload[4..]));
            }
        }
        last
    }
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Status(u16),
    Reset(u32),
    Goaway(u32),
    Closed,
}

pub(crate) fn code(payload: &[u8]) -> u32 {
    u32::from_be_bytes(payload[..4].try_into().unwrap())
}

/// The status of a connection's first header block: it stands first, in the static table or spelled
/// out.
fn status(block: &[u8]) -> u16 {
    match block {
        [index @ 0x88..=0x8e, ..] => [200, 204, 206, 304, 400, 404, 500][usize::from(index - 0x88)],
        [0x48, length, text @ ..] if length & 128 == 0 => {
            std::str::from_utf8(&text[..usize::from(*length)]).unwrap().parse().unwrap()
        }
        [0x48, length, text @ ..] => huffman(&text[..usize::from(length & 127)]),
        other => panic!("no status in {other:x?}"),
    }
}

/// Three digits in HPACK's Huffman code: 0 to 2 have five bits, 3 to 9 six.
fn huffman(bytes: &[u8]) -> u16 {
    let bits = bytes.iter().fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte));
    let mut left = bytes.len() * 8;
    let mut number = 0;
    for _ in 0..3 {
        let take = |count: usize| (bits >> (left - count)) as u16 & ((1 << count) - 1);
        let (digit, count) = if take(5) <= 2 { (take(5), 5) } else { (take(6) - 25 + 3, 6) };
        number = number * 10 + digit;
        left -= count;
    }
    number
}
