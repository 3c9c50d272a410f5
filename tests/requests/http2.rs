//! HTTP/2 in clear, by prior knowledge.

use bytes::Bytes;
use futures::future::join_all;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::Frame;
use hyper_util::rt::{TokioExecutor, TokioIo};

use super::web;
use crate::support::{Backend, Scripted, Tidegate, curl, http, send};

#[tokio::test]
async fn fifty_streams_of_one_connection_run_side_by_side() {
    let backend = Backend::start("one").await;
    let tidegate = Tidegate::new(&web(backend.addr(), " - { name: all, cluster: web }")).start().await;
    let client = http::h2c_client();
    let ask = |i: usize| {
        let request = client.post(tidegate.url(&format!("/echo?{i}"))).body("b".repeat(i * 1000));
        async move { request.send().await.unwrap().json::<serde_json::Value>().await.unwrap() }
    };
    ask(0).await;
    for (i, echo) in join_all((0..50).map(ask)).await.into_iter().enumerate() {
        assert_eq!((&echo["path"], &echo["body_length"]), (&format!("/echo?{i}").into(), &(i * 1000).into()));
    }
    let begin = tokio::time::Instant::now();
    let slow =
        (0..50).map(|_| async { client.get(tidegate.url("/slow?ms=400")).send().await.unwrap().status() });
    assert!(join_all(slow).await.iter().all(|status| status.as_u16() == 200));
    assert!(begin.elapsed().as_millis() < 4000, "not one after the other: {:?}", begin.elapsed());
    let line = tidegate.logged(|line| line["path"] == "/slow?ms=400").await;
    assert_eq!(line["protocol"], "HTTP/2");
}

#[tokio::test]
async fn curl_speaks_it_too() {
    let backend = Backend::start("one").await;
    let tidegate = Tidegate::new(&web(backend.addr(), " - { name: all, cluster: web }")).start().await;
    let h2 = "--http2-prior-knowledge";
    let large = curl(&[h2, &tidegate.url("/bytes?n=5000000")]).await;
    assert_eq!((large.code, large.status, large.body.len()), (0, 200, 5_000_000), "{large:?}");
    let missing = curl(&[h2, &tidegate.url("/status/404")]).await;
    assert_eq!((missing.code, missing.status), (0, 404));
    let drip = curl(&[h2, &tidegate.url("/drip?n=5&ms=1")]).await;
    assert_eq!((drip.code, drip.text().as_str()), (0, "....."));
    // An offer to upgrade is not taken: the answer is HTTP/1.1.
    let offered = curl(&["--http2", &tidegate.url("/")]).await;
    assert!(offered.code == 0 && offered.head.starts_with("HTTP/1.1 200"), "{offered:?}");
}

/// Trailers end here: the endpoint is spoken to in HTTP/1.1, and Pingora passes none of those on,
/// either way. A request with trailers is served without them.
#[tokio::test]
async fn trailers_are_dropped_and_do_no_harm() {
    let upstream = Scripted::start(vec![send(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n2\r\nok\r\n0\r\nx-sum: 1\r\n\r\n",
    )])
    .await;
    let tidegate = Tidegate::new(&web(upstream.addr, " - { name: all, cluster: web }")).start().await;
    let stream = tokio::net::TcpStream::connect(tidegate.addr("http")).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let url = tidegate.url("/");
    let trailers = hyper::HeaderMap::from_iter([("x-end".parse().unwrap(), "1".parse().unwrap())]);
    let frames = [Frame::data(Bytes::from_static(b"body")), Frame::trailers(trailers)];
    let body = StreamBody::new(futures::stream::iter(frames.map(Ok::<_, std::convert::Infallible>)));
    let request = hyper::Request::put(&url).body(body.boxed()).unwrap();
    let response = sender.send_request(request).await.unwrap();
    assert_eq!(response.status(), 200);
    let got = response.into_body().collect().await.unwrap();
    assert_eq!(got.to_bytes(), "ok");
    let again = hyper::Request::get(&url).body(Full::new(Bytes::new()).boxed()).unwrap();
    assert_eq!(sender.send_request(again).await.unwrap().status(), 200);
}
