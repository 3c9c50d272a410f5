//! Connections to endpoints that take little of an answer at a time.
//!
//! Pingora reads what the kernel has of an answer, up to 64 KiB, and holds it twice or more while the
//! client does not take it. Neither can be changed, but the kernel can be told to have less: by the
//! receive buffer of the endpoint's connection. So where a client has many streams open, each of
//! which may stall, their connections are of another kind, and a pool of their own.
//!
//! The bad side: such a connection carries no more than its buffer a round trip. Within a data centre
//! that is still tens of megabytes a second for each stream; towards an endpoint 20 ms away it is
//! 200 KB. A client with few streams open is served as ever. HTTP/2 to endpoints has windows instead.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use pingora::upstreams::peer::HttpPeer;

tokio::task_local! {
    /// How many streams the connection of the running task has open.
    static STREAMS: Arc<AtomicUsize>;
}

/// From how many streams on, how large the buffer is. The kernel takes twice that and uses about half
/// of it.
const BUFFERS: [(usize, usize); 2] = [(16, 4 * 1024), (super::CROWD, 32 * 1024)];

/// Serves one of so many streams.
pub(super) async fn scope<F: Future>(streams: Arc<AtomicUsize>, future: F) -> F::Output {
    STREAMS.scope(streams, future).await
}

/// Makes the connection a narrow one, if the running task serves one of many streams.
pub(in crate::proxy) fn narrow(peer: &mut HttpPeer) {
    let streams = STREAMS.try_with(|streams| streams.load(Relaxed)).unwrap_or_default();
    if let Some(buffer) = buffer(streams)
        && peer.options.alpn.get_max_http_version() == 1
    {
        peer.options.tcp_recv_buf = Some(buffer);
        peer.group_key ^= buffer as u64;
    }
}

fn buffer(streams: usize) -> Option<usize> {
    BUFFERS.iter().find(|(from, _)| streams >= *from).map(|(_, buffer)| *buffer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_more_streams_the_less_for_each() {
        let sizes = [0, 7, 8, 15, 16, 10_000].map(buffer);
        assert_eq!(sizes, [None, None, Some(32_768), Some(32_768), Some(4096), Some(4096)]);
    }

    #[tokio::test]
    async fn only_one_of_many_is_narrow() {
        let plain = || HttpPeer::new("127.0.0.1:1", false, String::new());
        let mut alone = plain();
        narrow(&mut alone);
        assert_eq!((alone.options.tcp_recv_buf, alone.group_key), (None, 0));
        let mut one_of_many = plain();
        scope(Arc::new(AtomicUsize::new(100)), async { narrow(&mut one_of_many) }).await;
        assert_eq!((one_of_many.options.tcp_recv_buf, one_of_many.group_key), (Some(4096), 4096));
    }
}
