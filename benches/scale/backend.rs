//! The server behind: HTTP/1.1 with keep-alive on every address of 127.0.0.0/8 at one port, so that ten
//! thousand endpoints are one socket. An answer is 100 bytes that begin with the address that was asked,
//! so that a probe sees who served it.
//!
//! It parses no more of a request than its end: none has a body. It listens on all addresses, since only
//! that covers a whole network, and closes what does not come over loopback.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::net::{TcpListener, TcpStream};

use crate::kept;

/// How long a body is.
pub(crate) const LENGTH: usize = 100;

/// Serves at that port, on one thread, until the process ends.
pub(crate) fn serve(port: u16) -> crate::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).await?;
        loop {
            let Ok((stream, _)) = listener.accept().await else { continue };
            if let Ok(address) = stream.local_addr()
                && address.ip().is_loopback()
            {
                let _ = stream.set_nodelay(true);
                tokio::spawn(answer(stream, address));
            }
        }
    })
}

/// Answers one connection until it closes.
async fn answer(stream: TcpStream, address: SocketAddr) {
    let answer = format!(
        "HTTP/1.1 200 OK\r\nServer: backend\r\nDate: Tue, 24 Nov 2026 12:00:00 GMT\r\n\
         Content-Type: text/plain\r\nContent-Length: {LENGTH}\r\n\r\n{:<99}\n",
        address.to_string()
    );
    kept::answer(stream, answer.as_bytes()).await;
}
