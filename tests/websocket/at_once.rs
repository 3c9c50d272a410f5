//! Endpoints whose 101 is there before the request has been read (Pingora #946).

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::{OPEN, OPENED, live};
use crate::support::{RawClient, Tidegate};

const ROUNDS: usize = 400;

/// Says 101 when a connection is opened, whatever is asked, and sends back what comes after the
/// request.
async fn hasty() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            connections.spawn(async move {
                stream.set_nodelay(true).unwrap();
                stream.write_all(OPENED.as_bytes()).await?;
                let mut all = Vec::new();
                while !all.windows(4).any(|end| end == b"\r\n\r\n") {
                    if stream.read_buf(&mut all).await? == 0 {
                        return Ok(());
                    }
                }
                let end = all.windows(4).position(|end| end == b"\r\n\r\n").unwrap() + 4;
                let (mut from, mut to) = stream.split();
                to.write_all(&all[end..]).await?;
                tokio::io::copy(&mut from, &mut to).await.map(drop)
            });
        }
    });
    addr
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_and_one_at_once_opens_a_tunnel_every_time() {
    let tidegate = Tidegate::new(&live(hasty().await, "")).start().await;
    let mut torn = Vec::new();
    for round in 0..ROUNDS {
        let mut client = RawClient::connect(tidegate.addr("http")).await.deadline(Duration::from_secs(5));
        client.send(OPEN).await;
        let head = client.head().await.map(|head| head.status);
        client.send(format!("frame {round}")).await;
        let echo = client.read_some().await;
        if head != Ok(101) || echo.as_deref().ok() != Some(format!("frame {round}").as_bytes()) {
            torn.push((round, head, echo.map(|echo| String::from_utf8_lossy(&echo).into_owned())));
        }
    }
    assert!(torn.is_empty(), "{} of {ROUNDS} were torn down, as {:?}", torn.len(), torn.first());
}
