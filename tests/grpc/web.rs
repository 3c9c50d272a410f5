//! gRPC-Web, as a browser speaks it.

use super::peers::{Server, grpcio};
use super::to;
use crate::support::{Curl, Tidegate, TidegateProcess, curl};

async fn post(tidegate: &TidegateProcess, version: &str, kind: &str, path: &str, body: &str) -> Curl {
    let kind = format!("content-type: {kind}");
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("body");
    let mut framed = vec![0];
    framed.extend(u32::try_from(body.len()).unwrap().to_be_bytes());
    framed.extend(body.as_bytes());
    std::fs::write(&file, framed).unwrap();
    let body = format!("@{}", file.display());
    let url = tidegate.url(path);
    curl(&[version, "-H", &kind, "-H", "x-grpc-web: 1", "--data-binary", &body, &url]).await
}

#[tokio::test]
async fn a_browsers_call_reaches_a_grpc_server_and_comes_back() {
    if !grpcio() {
        return;
    }
    let server = Server::start().await;
    let tidegate = Tidegate::new(&to(&[server.port], "", "grpc_web: true")).start().await;
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        let answer = post(&tidegate, version, "application/grpc-web+proto", "/t.T/Echo", "hello").await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let head = answer.head.to_ascii_lowercase();
        assert!(head.contains("content-type: application/grpc-web"), "{head}");
        assert!(answer.body.starts_with(b"\0\0\0\0\x05hello\x80"), "{:?}", answer.body);
        let text = String::from_utf8_lossy(&answer.body);
        assert!(text.contains("grpc-status:0\r\n") && text.contains("x-trail:end\r\n"), "{text}");
        let failed = post(&tidegate, version, "application/grpc-web+proto", "/t.T/Fail", "NOT_FOUND").await;
        let all = failed.head.to_ascii_lowercase() + &String::from_utf8_lossy(&failed.body);
        assert!(failed.status == 200 && all.contains("grpc-status") && all.contains('5'), "{failed:?}");
        let unknown = post(&tidegate, version, "application/grpc-web+proto", "/t.T/Missing", "").await;
        let all = unknown.head.to_ascii_lowercase() + &String::from_utf8_lossy(&unknown.body);
        assert!(all.contains("grpc-status") && all.contains("12"), "{unknown:?}");
    }
    let calls = ["route=\"calls\"", "grpc_status=\"0\""];
    assert_eq!(tidegate.metric("tidegate_grpc_requests_total", &calls).await, 2.0);
}

#[tokio::test]
async fn what_ends_amid_the_answer_or_before_it_is_told_in_its_own_form() {
    if !grpcio() {
        return;
    }
    let server = Server::start().await;
    let live = to(&[server.port], "", "grpc_web: true, timeout: 500ms, match: { path: { prefix: /t.T } }");
    let tidegate = Tidegate::new(&live).start().await;
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        let cut = post(&tidegate, version, "application/grpc-web+proto", "/t.T/Count", "100 100").await;
        let text = String::from_utf8_lossy(&cut.body);
        assert!(text.contains("grpc-status:4\r\n"), "{cut:?}");
        let nowhere = post(&tidegate, version, "application/grpc-web+proto", "/x.X/Y", "").await;
        let head = nowhere.head.to_ascii_lowercase();
        assert!(nowhere.status == 200 && head.contains("grpc-status: 12"), "{version} {nowhere:?}");
        assert!(head.contains("content-type: application/grpc-web+proto"), "{head}");
    }
}

#[tokio::test]
async fn a_route_without_the_key_passes_it_on_as_it_is() {
    if !grpcio() {
        return;
    }
    let server = Server::start().await;
    let tidegate = Tidegate::new(&to(&[server.port], "", "")).start().await;
    let answer = post(&tidegate, "--http1.1", "application/grpc-web+proto", "/t.T/Echo", "hello").await;
    assert_ne!(answer.body, b"\0\0\0\0\x05hello", "the server knows no gRPC-Web: {answer:?}");
    assert_eq!(server.seen().await["calls"], 0);
}
