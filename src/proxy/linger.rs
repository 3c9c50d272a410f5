//! Closing a connection whose client may still be sending.
//!
//! A socket that is closed with unread bytes in it is reset by the kernel, and a reset makes the
//! client's kernel throw away what it had received: a client that uploads 50 MB to a route that
//! redirects would see "connection reset", not the redirect. So where a request was answered before
//! it was read whole, we say that no more will come (FIN), read what the client still sends, and
//! throw it away, until it closes or the time is up. This is RFC 9112 9.6, and nginx's
//! `lingering_close`.
//!
//! The bad side: such a connection, and what the client sends on it, costs us that much longer.

use std::time::Duration;

use pingora::protocols::Stream;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

/// How long the client may go on. nginx's is 30 s, with 5 s between two reads.
pub(super) const LINGER: Duration = Duration::from_secs(5);

/// Closes the stream in the background.
pub(super) fn close(stream: Stream) {
    finish(stream, false);
}

/// The same. `told`: it has been shut down already, and must not be again: TLS would then look for the
/// client's word of the end, and fail for good at what it finds instead.
pub(super) fn finish(mut stream: Stream, told: bool) {
    // Without a runtime the process is ending.
    let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
    runtime.spawn(timeout(LINGER, async move {
        let mut waste = vec![0; 16 * 1024];
        if told || stream.shutdown().await.is_ok() {
            while stream.read(&mut waste).await.is_ok_and(|length| length > 0) {}
        }
    }));
}
