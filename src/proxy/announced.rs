//! The PROXY header at the start of a connection from a trusted proxy.
//!
//! Whoever is trusted must send one: a connection without is closed, or a proxy in front whose setting
//! was forgotten would make every client look like itself. For everybody else none is looked for, so
//! what they send as one is malformed HTTP.
//!
//! Nobody is told why the connection closes: the peer is a proxy, which has no place for words. It is
//! counted by reason.

use std::time::Duration;

use pingora::protocols::Stream;
use tokio::io::AsyncReadExt;
use tokio::time::timeout;

use crate::config::boot;
use crate::proxy::link::Link;
use crate::proxy_protocol::{Header, Malformed, Progress, parse};

/// How a connection ends that does not begin with a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// Closed without a byte, as by a health check or a port scan. Nobody's fault.
    Nothing,
    Malformed(Malformed),
    Late,
    /// Closed amid the header.
    Closed,
}

/// Whether the listener expects a header of this client.
pub(super) fn due(config: Option<&boot::ProxyProtocol>, link: &Link) -> bool {
    let trusted = |ip| config.is_some_and(|config| config.trusted.iter().any(|network| network.contains(ip)));
    link.ip().is_some_and(trusted)
}

/// Reads a header and not a byte more.
pub(super) async fn read(stream: &mut Stream, limit: Duration) -> Result<Header, Ending> {
    timeout(limit, whole(stream)).await.unwrap_or(Err(Ending::Late))
}

async fn whole(stream: &mut Stream) -> Result<Header, Ending> {
    let mut bytes = Vec::new();
    loop {
        match parse(&bytes).map_err(Ending::Malformed)? {
            Progress::Whole { header, .. } => return Ok(header),
            Progress::Needs(more) => {
                let had = bytes.len();
                bytes.resize(had + more, 0);
                more_of(stream, &mut bytes, had).await?;
            }
        }
    }
}

/// Fills `bytes` from `begin` on, and stops early at what can't become a header: who speaks HTTP is
/// not left waiting for the rest of one.
async fn more_of(stream: &mut Stream, bytes: &mut [u8], mut begin: usize) -> Result<(), Ending> {
    while begin < bytes.len() {
        let length = stream.read(&mut bytes[begin..]).await.unwrap_or(0);
        if length == 0 {
            return Err(if begin == 0 { Ending::Nothing } else { Ending::Closed });
        }
        begin += length;
        parse(&bytes[..begin]).map_err(Ending::Malformed)?;
    }
    Ok(())
}

// === impl Ending ===

impl Ending {
    /// The place of its counter in [`HEADER_REASONS`](crate::observe::metrics::tcp::HEADER_REASONS).
    pub(super) fn reason(self) -> Option<usize> {
        match self {
            Self::Nothing => None,
            Self::Malformed(Malformed::Missing) => Some(0),
            Self::Malformed(_) => Some(1),
            Self::Late => Some(2),
            Self::Closed => Some(3),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncWriteExt, duplex};

    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    #[tokio::test]
    async fn not_a_byte_too_many_is_read() {
        let (near, mut far) = duplex(16);
        let mut stream: Stream = Box::new(near);
        let writer = tokio::spawn(async move {
            for byte in b"PROXY TCP4 1.2.3.4 5.6.7.8 9 10\r\nGET /" {
                far.write_all(&[*byte]).await.unwrap();
            }
            far
        });
        let header = read(&mut stream, LIMIT).await.unwrap();
        assert!(matches!(header, Header::Proxied { source, .. } if source.port() == 9));
        let mut rest = [0; 5];
        stream.read_exact(&mut rest).await.unwrap();
        assert_eq!(&rest, b"GET /");
        drop(writer.await.unwrap());
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_no_header_ends_by_reason() {
        for (bytes, close, ending) in [
            (&b""[..], true, Ending::Nothing),
            (b"PROXY TCP4", true, Ending::Closed),
            (b"PROXY TCP4", false, Ending::Late),
            (b"", false, Ending::Late),
            (b"GE", false, Ending::Malformed(Malformed::Missing)),
            (b"PROXY NO\r\n", true, Ending::Malformed(Malformed::Invalid)),
        ] {
            let (near, mut far) = duplex(64);
            far.write_all(bytes).await.unwrap();
            let kept = (!close).then_some(far);
            let mut stream: Stream = Box::new(near);
            assert_eq!(read(&mut stream, LIMIT).await, Err(ending), "{bytes:?}");
            drop(kept);
        }
    }
}
