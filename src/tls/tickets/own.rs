//! A handshake with ourselves, to see what tickets of a context begin with.
//!
//! In TLS 1.2 the ticket is sent in clear. The handshake runs in memory, takes a few milliseconds
//! and is done once a context.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::rc::Rc;

use openssl::error::ErrorStack;
use openssl::ssl::{Ssl, SslContext, SslContextRef, SslMethod, SslRef, SslStream, SslVerifyMode, SslVersion};

use super::KeyName;

/// More than a handshake needs.
const ROUNDS: usize = 8;

type Bytes = Rc<RefCell<VecDeque<u8>>>;

/// One end of a connection in memory.
pub(super) struct End {
    from: Bytes,
    to: Bytes,
    /// All that was sent.
    pub(super) sent: Vec<u8>,
}

/// The name of a context's ticket keys. None: there was no ticket.
pub(super) fn key_name(context: &SslContextRef) -> Option<KeyName> {
    let client = SslContext::builder(SslMethod::tls_client()).ok()?.build();
    let (client, mut server) = (Ssl::new(&client).ok()?, Ssl::new(context).ok()?);
    server.set_verify(SslVerifyMode::NONE);
    let (_, server) = shake(client, server, |ssl| {
        ssl.set_min_proto_version(Some(SslVersion::TLS1_2))?;
        ssl.set_max_proto_version(Some(SslVersion::TLS1_2))
    })
    .ok()?;
    ticket(&server.get_ref().sent)?.first_chunk().copied()
}

/// Shakes hands in memory, as far as it gets. `set` prepares both.
pub(super) fn shake(
    mut client: Ssl,
    mut server: Ssl,
    set: impl Fn(&mut SslRef) -> Result<(), ErrorStack>,
) -> Result<(SslStream<End>, SslStream<End>), ErrorStack> {
    set(&mut client)?;
    set(&mut server)?;
    let (up, down) = (Bytes::default(), Bytes::default());
    let mut client = SslStream::new(client, End { from: down.clone(), to: up.clone(), sent: Vec::new() })?;
    let mut server = SslStream::new(server, End { from: up, to: down, sent: Vec::new() })?;
    for _ in 0..ROUNDS {
        // Each fails for want of bytes until the other has sent them.
        let (ours, theirs) = (client.connect(), server.accept());
        if ours.is_ok() && theirs.is_ok() {
            break;
        }
    }
    Ok((client, server))
}

/// The ticket in what a TLS 1.2 server sent: a handshake record with a message of type 4, which is
/// type and length (4 bytes), lifetime (4), the ticket's length (2), the ticket.
fn ticket(mut sent: &[u8]) -> Option<&[u8]> {
    loop {
        let (head, rest) = sent.split_first_chunk::<5>()?;
        let (record, next) = rest.split_at_checked(usize::from(u16::from_be_bytes([head[3], head[4]])))?;
        match (head[0], record.first()) {
            (22, Some(4)) => return record.get(10..),
            // What follows is encrypted.
            (20, _) => return None,
            _ => sent = next,
        }
    }
}

// === impl End ===

impl Read for End {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.from.borrow_mut().read(buffer)? {
            0 if !buffer.is_empty() => Err(io::ErrorKind::WouldBlock.into()),
            length => Ok(length),
        }
    }
}

impl Write for End {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.sent.extend_from_slice(bytes);
        self.to.borrow_mut().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
