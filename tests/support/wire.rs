//! A server for bytes: keeps what each connection sent, and sends it back. When the client has closed
//! its side, it says its name and closes too. Or it answers HTTP, whatever comes before the first
//! request.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::ports;

/// What each connection sent, in the order of their beginning.
type Heard = Arc<Mutex<Vec<Vec<u8>>>>;

/// A running server. It ends when dropped; connections that are open go on.
pub struct Wire {
    addr: SocketAddr,
    heard: Heard,
    task: JoinHandle<()>,
}

#[derive(Clone, Copy)]
enum Speaks {
    Bytes(&'static str),
    Http,
}

impl Wire {
    /// Sends everything back, and its name at the end.
    pub async fn start(name: &'static str) -> Self {
        Self::listen(ports::free_addr(), Speaks::Bytes(name)).await
    }

    /// Answers each request `ok`.
    pub async fn http() -> Self {
        Self::listen(ports::free_addr(), Speaks::Http).await
    }

    async fn listen(addr: SocketAddr, speaks: Speaks) -> Self {
        let listener = TcpListener::bind(addr).await.unwrap();
        let heard = Heard::default();
        let all = heard.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let index = {
                    let mut all = all.lock().unwrap();
                    all.push(Vec::new());
                    all.len() - 1
                };
                tokio::spawn(serve(stream, all.clone(), index, speaks));
            }
        });
        Self { addr, heard, task }
    }

    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// What each connection has sent so far.
    pub fn heard(&self) -> Vec<Vec<u8>> {
        self.heard.lock().unwrap().clone()
    }

    /// Listens no more.
    pub fn stop(&self) {
        self.task.abort();
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.stop();
    }
}

async fn serve(mut stream: TcpStream, heard: Heard, index: usize, speaks: Speaks) {
    let mut piece = vec![0; 64 * 1024];
    let mut request = Vec::new();
    while let Ok(length @ 1..) = stream.read(&mut piece).await {
        let bytes = &piece[..length];
        heard.lock().unwrap()[index].extend_from_slice(&bytes[..length.min(4096)]);
        match speaks {
            Speaks::Bytes(_) => {
                if stream.write_all(bytes).await.is_err() {
                    return;
                }
            }
            Speaks::Http => {
                request.extend_from_slice(bytes);
                let begun = request.windows(9).any(|part| part == b" HTTP/1.1");
                if begun && request.ends_with(b"\r\n\r\n") {
                    request.clear();
                    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
                }
            }
        }
    }
    if let Speaks::Bytes(name) = speaks {
        let _ = stream.write_all(name.as_bytes()).await;
        let _ = stream.shutdown().await;
    }
}
