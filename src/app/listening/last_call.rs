//! Lets those in who wait in the queues of sockets that are about to close.
//!
//! Their clients hold the connection for open, and may have sent a request; to close the socket would
//! reset them. So they are accepted, and served as those that came before. Handshakes that are under
//! way get [`HANDSHAKES`] to end; no new one begins meanwhile (see
//! [`no_more_handshakes`]).

use std::net::TcpListener;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use pingora::apps::ServerApp;
use pingora::protocols::l4::stream::Stream;
use pingora::protocols::{GetSocketDigest, SocketDigest, TcpKeepalive};
use pingora::server::ShutdownWatch;
use pingora::services::listening::Service;
use socket2::SockRef;
use tokio::time::{Instant, timeout_at};
use tracing::warn;

use crate::upgrade::sockets::no_more_handshakes;

/// A round trip to clients that are far. The process ends later for it, if it had nothing else to do.
const HANDSHAKES: Duration = Duration::from_millis(100);

/// A socket that is about to close.
pub(super) struct Last {
    pub(super) socket: TcpListener,
    /// Nobody else holds it: what is set on it now is in nobody's way.
    pub(super) alone: bool,
    pub(super) keepalive: Option<TcpKeepalive>,
}

/// Accepts on these sockets whatever is left, and closes them.
pub(super) async fn serve<A: ServerApp + Send + Sync + 'static>(
    sockets: Vec<Last>,
    app: &Arc<A>,
    shutdown: &ShutdownWatch,
) {
    let end = Instant::now() + HANDSHAKES;
    let calls = sockets.into_iter().map(async |Last { socket, alone, keepalive }| {
        if alone && let Err(error) = no_more_handshakes(&socket) {
            warn!(%error, "a connection that comes as the socket closes may be reset");
        }
        let socket = match tokio::net::TcpListener::from_std(socket) {
            Ok(socket) => socket,
            Err(error) => return warn!(%error, "connections that wait are reset"),
        };
        // Until none came in time, or none can be taken for want of descriptors.
        while let Ok(Ok((connection, client))) = timeout_at(end, socket.accept()).await {
            let _ = SockRef::from(&connection).detach_filter();
            let mut stream = Stream::from(connection);
            let digest = SocketDigest::from_raw_fd(stream.as_raw_fd());
            let _ = digest.peer_addr.set(Some(client.into()));
            stream.set_socket_digest(digest);
            let _ = stream.set_nodelay();
            if let Some(keepalive) = &keepalive {
                let _ = stream.set_keepalive(keepalive);
            }
            tokio::spawn(Service::handle_event(Box::new(stream), app.clone(), shutdown.clone()));
        }
    });
    join_all(calls).await;
}
