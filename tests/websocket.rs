//! WebSocket and its tunnels: opened at once, kept, ended by either side, refused.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

#[path = "websocket/asking.rs"]
mod asking;
#[path = "websocket/at_once.rs"]
mod at_once;
#[path = "websocket/ending.rs"]
mod ending;

use std::net::SocketAddr;

use self::support::{RawClient, TidegateProcess};

/// What a client sends to open a WebSocket.
const OPEN: &str = "GET /chat HTTP/1.1\r\nhost: h\r\nupgrade: websocket\r\nconnection: keep-alive, Upgrade\r\n\
                    sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// What an endpoint says to it.
const OPENED: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                      Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// One route to one endpoint; `more` is put into the route.
fn live(endpoint: SocketAddr, more: &str) -> String {
    format!(
        "clusters: {{ web: {{ static: {{ endpoints: [ {{ address: '{endpoint}' }} ] }} }} }}\n\
         routes: [ {{ name: all, cluster: web{more} }} ]\n"
    )
}

/// Opens a tunnel.
async fn open(tidegate: &TidegateProcess) -> RawClient {
    let mut client = RawClient::connect(tidegate.addr("http")).await;
    client.send(OPEN).await;
    let head = client.head().await.unwrap();
    assert_eq!((head.status, head.header("upgrade")), (101, Some("websocket")), "{head:?}");
    client
}

/// How many tunnels are open.
async fn active(tidegate: &TidegateProcess) -> f64 {
    tidegate.metric("tidegate_upgraded_connections_active", &["route=\"all\"", "cluster=\"web\""]).await
}
