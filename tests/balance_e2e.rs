//! Shares and stickiness as clients see them. The policies themselves are tested beside `balance`;
//! this shows that what they decide is what happens, on every process alike.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

#[path = "balance_e2e/keyed.rs"]
mod keyed;
#[path = "balance_e2e/shares.rs"]
mod shares;

use std::net::SocketAddr;

use support::{Backend, RawClient};

/// So many requests are on their way on a connection at once. They are served one after the other.
const BATCH: usize = 100;

async fn backends(count: usize) -> Vec<Backend> {
    let mut backends = Vec::new();
    for i in 0..count {
        backends.push(Backend::start(&i.to_string()).await);
    }
    backends
}

/// Endpoints in the config's flow style, with weights.
fn endpoints(backends: &[Backend], weights: &[u32]) -> String {
    let all = backends.iter().enumerate().map(|(i, b)| {
        format!("{{ address: '{}', weight: {} }}", b.addr(), weights.get(i).copied().unwrap_or(1))
    });
    all.collect::<Vec<_>>().join(", ")
}

/// Which backend answers each request; a request is its target and one header line.
async fn ask(addr: SocketAddr, requests: &[(String, String)]) -> Vec<usize> {
    let mut raw = RawClient::connect(addr).await;
    ask_on(&mut raw, requests).await
}

async fn ask_on(raw: &mut RawClient, requests: &[(String, String)]) -> Vec<usize> {
    let mut answers = Vec::with_capacity(requests.len());
    for batch in requests.chunks(BATCH) {
        let text: String = batch
            .iter()
            .map(|(target, line)| format!("GET {target} HTTP/1.1\r\nhost: h\r\n{line}\r\n\r\n"))
            .collect();
        raw.send(text).await;
        for request in batch {
            let response = raw.response().await.unwrap_or_else(|why| panic!("{request:?}: {why}"));
            assert_eq!(response.status, 200, "{request:?}: {response:?}");
            answers.push(response.header("x-backend").unwrap().parse().unwrap());
        }
    }
    answers
}
