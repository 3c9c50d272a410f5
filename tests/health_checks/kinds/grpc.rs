//! The gRPC probe, against a health server on the `h2` crate.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering::SeqCst};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::super::support::Backend;
use super::{Prober, ask, nobody, says};

/// Knows the services `""` and `shop`, and says of both what it is told to.
pub(super) struct Server {
    pub(super) addr: SocketAddr,
    said: Arc<AtomicU8>,
    connections: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Server {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (addr, said) = (listener.local_addr().unwrap(), Arc::new(AtomicU8::new(1)));
        let (saying, connections) = (said.clone(), Arc::<AtomicUsize>::default());
        let count = connections.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, SeqCst);
                tokio::spawn(serve(stream, saying.clone()));
            }
        });
        Self { addr, said, connections, task }
    }

    fn say(&self, status: u8) {
        self.said.store(status, SeqCst);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(stream: TcpStream, said: Arc<AtomicU8>) {
    let mut connection = h2::server::handshake(stream).await.unwrap();
    while let Some(Ok((request, respond))) = connection.accept().await {
        tokio::spawn(answer(request, respond, said.clone()));
    }
}

async fn answer(
    request: Request<h2::RecvStream>,
    mut respond: h2::server::SendResponse<Bytes>,
    said: Arc<AtomicU8>,
) {
    let (head, mut body) = request.into_parts();
    assert_eq!((head.method.as_str(), head.uri.path()), ("POST", "/grpc.health.v1.Health/Check"));
    assert_eq!(head.uri.scheme_str(), Some("http"));
    assert_eq!(head.headers["content-type"], "application/grpc");
    assert_eq!(head.headers["te"], "trailers");
    let mut message = Vec::new();
    while let Some(piece) = body.data().await {
        message.extend_from_slice(&piece.unwrap());
    }
    let said = said.load(SeqCst);
    let response = || Response::builder().header("content-type", "application/grpc");
    if message != b"\0\0\0\0\0" && message != b"\0\0\0\0\x06\x0a\x04shop" {
        // An answer without a message: the status is among the headers.
        let known = response().header("grpc-status", "5").header("grpc-message", "unknown service");
        respond.send_response(known.body(()).unwrap(), true).unwrap();
        return;
    }
    let mut stream = respond.send_response(response().body(()).unwrap(), false).unwrap();
    let message = [0, 0, 0, 0, 2, 0x08, said];
    stream.send_data(Bytes::copy_from_slice(&message[..3]), false).unwrap();
    stream.send_data(Bytes::copy_from_slice(&message[3..]), false).unwrap();
    let status = HeaderMap::from_iter([("grpc-status".parse().unwrap(), "0".parse().unwrap())]);
    stream.send_trailers(status).unwrap();
}

#[tokio::test]
async fn only_serving_passes() {
    let server = Server::start().await;
    for service in ["", "shop"] {
        assert_eq!(ask(json!({"grpc": {"service": service}}), server.addr).await, Ok(()));
    }
    let check = json!({"grpc": {"service": "shop"}});
    for (status, why) in [
        (0, "the health status is UNKNOWN"),
        (2, "the health status is NOT_SERVING"),
        (3, "the health status is SERVICE_UNKNOWN"),
        (7, "the health status is 7, which has no meaning"),
    ] {
        server.say(status);
        assert_eq!(ask(check.clone(), server.addr).await, says(why));
    }
    let other = json!({"grpc": {"service": "other"}});
    assert_eq!(ask(other, server.addr).await, says("grpc-status 5: it does not know `other`"));
}

#[tokio::test]
async fn what_is_no_health_service_is_said() {
    let check = json!({"grpc": {}});
    assert_eq!(ask(check.clone(), nobody()).await, says("connection refused"));
    // It speaks h2c, and answers 200 without a word of gRPC.
    let web = Backend::start("web").await;
    let why = "not a gRPC answer: it has no grpc-status";
    assert_eq!(ask(check.clone(), web.addr()).await, says(why));
    let old = super::Scripted::start(vec![super::send("HTTP/1.1 400 Bad Request\r\n\r\n")]).await;
    let why = ask(check, old.addr).await.unwrap_err();
    assert!(why.starts_with("not an HTTP/2 answer: "), "{why}");
}

#[tokio::test]
async fn a_connection_is_kept_if_asked_for() {
    for (reuse, connections) in [(true, 1), (false, 5)] {
        let server = Server::start().await;
        let prober = Prober::new(json!({"grpc": {}, "reuse_connection": reuse}));
        for _ in 0..5 {
            assert_eq!(prober.ask(server.addr).await, Ok(()));
        }
        assert_eq!(server.connections.load(SeqCst), connections, "reuse: {reuse}");
    }
}
