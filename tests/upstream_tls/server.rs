//! An endpoint that speaks TLS, and HTTP/1.1 or HTTP/2 as ALPN has it. It answers each request with
//! what it knows of the connection.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use openssl::ssl::{AlpnError, Ssl, SslAcceptor, SslFiletype, SslMethod, SslVerifyMode, select_next_proto};
use pingora::tls::tokio_ssl::SslStream;
use tokio::net::TcpListener;

use crate::support::{Authority, Issued};

/// What it is told, one call each.
pub(crate) struct Endpoint {
    acceptor: openssl::ssl::SslAcceptorBuilder,
}

/// It runs until it is dropped.
pub(crate) struct Running {
    pub(crate) addr: SocketAddr,
    connections: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

impl Endpoint {
    pub(crate) fn new(files: &Issued) -> Self {
        let mut acceptor = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls()).unwrap();
        acceptor.set_certificate_chain_file(&files.cert).unwrap();
        acceptor.set_private_key_file(&files.key, SslFiletype::PEM).unwrap();
        Self { acceptor }
    }

    /// As `b"\x02h2\x08http/1.1"`, in the order of preference. Otherwise no ALPN at all.
    pub(crate) fn alpn(mut self, offered: &'static [u8]) -> Self {
        self.acceptor.set_alpn_select_callback(|_, client| {
            select_next_proto(offered, client).ok_or(AlpnError::ALERT_FATAL)
        });
        self
    }

    /// Asks for a certificate of this authority.
    pub(crate) fn clients(mut self, of: &Authority) -> Self {
        self.acceptor.set_ca_file(of.ca()).unwrap();
        self.acceptor.set_verify(SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT);
        self
    }

    pub(crate) async fn start(self) -> Running {
        self.start_on(([127, 0, 0, 1], 0).into()).await
    }

    pub(crate) async fn start_on(self, address: SocketAddr) -> Running {
        let listener = TcpListener::bind(address).await.unwrap();
        let (addr, connections) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
        let (acceptor, counter) = (self.acceptor.build(), connections.clone());
        let task = tokio::spawn(async move {
            let mut served = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let ssl = Ssl::new(acceptor.context()).unwrap();
                served.spawn(serve(SslStream::new(ssl, stream).unwrap(), counter.clone()));
            }
        });
        Running { addr, connections, task }
    }
}

impl Running {
    /// Handshakes that went well.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Relaxed)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut stream: SslStream<tokio::net::TcpStream>, connections: Arc<AtomicUsize>) {
    if Pin::new(&mut stream).accept().await.is_err() {
        return;
    }
    let number = connections.fetch_add(1, Relaxed) + 1;
    let ssl = stream.ssl();
    let subject = ssl.peer_certificate().map(|certificate| format!("{:?}", certificate.subject_name()));
    let sni = ssl.servername(openssl::ssl::NameType::HOST_NAME).unwrap_or("none").to_owned();
    let known = format!("connection={number} sni={sni} client={}", subject.as_deref().unwrap_or("none"));
    let service = service_fn(move |request: Request<hyper::body::Incoming>| {
        let host = request.headers().get("host").and_then(|host| host.to_str().ok()).unwrap_or("none");
        let text = format!("{known} version={:?} uri={} host={host}", request.version(), request.uri());
        async move { Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(text)))) }
    });
    let auto = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
    let _ = auto.serve_connection(TokioIo::new(stream), service).await;
}
