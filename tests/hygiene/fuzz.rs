//! Requests that are nearly valid, several on a connection, cut anywhere: the endpoint must get the
//! valid ones at the front, whole and in order, and nothing of what follows.
//!
//! A few seconds by default, ten minutes with `TIDEGATE_LONG=1`; `TIDEGATE_SEED` repeats a run.

use std::net::SocketAddr;
use std::time::Duration;

use fastrand::Rng;
use tokio::time::Instant;

use crate::recorder::Recorder;
use crate::reference::{Request, first};
use crate::support::{RawClient, Tidegate, probe};

/// One cluster and a route to it, with lines for the listener.
pub fn to(endpoint: SocketAddr, listener: &str) -> String {
    format!(
        "{listener}clusters: {{ web: {{ static: {{ endpoints: [ {{ address: '{endpoint}' }} ] }} }} }}\nroutes: [ {{ name: all, cluster: web }} ]\n"
    )
}

const LINES: &[&str] = &[
    "GET / HTTP/1.1",
    "POST /a?b=c HTTP/1.1",
    "POST / HTTP/1.1",
    "POST / HTTP/1.1",
    "GET http://other.example/x HTTP/1.1",
    "OPTIONS * HTTP/1.1",
    "GET * HTTP/1.1",
    "POST / HTTP/1.0",
    "GET / HTTP/1.2",
    "PURGE /x HTTP/1.1",
    "GET /a b HTTP/1.1",
    "\r\nGET / HTTP/1.1",
];

const FIELDS: &[&str] = &[
    "x-a: 1",
    "x-b:",
    "X-C:\ta b\t",
    "host: h",
    "host: a,b",
    "content-length: 3",
    "content-length: 3",
    "content-length: 03",
    "content-length: 3, 3",
    "content-length: 0",
    "Content-Length:\t3 ",
    "transfer-encoding: chunked",
    "transfer-encoding: chunked",
    "Transfer-Encoding: chunked",
    "transfer-encoding: gzip, chunked",
    "x : 1",
    " folded",
    "x",
];

const BODIES: &[&str] = &[
    "",
    "",
    "abc",
    "abc",
    "3\r\nabc\r\n0\r\n\r\n",
    "3\r\nabc\r\n0\r\n\r\n",
    "3;a=b ; c\r\nabc\r\n0\r\nx: y\r\n\r\n",
    "23\r\nGET /smuggled HTTP/1.1\r\nhost: h\r\n\r\n\r\n0\r\n\r\n",
    "0x3\r\nabc\r\n0\r\n\r\n",
    "3\nabc\n0\n\n",
    "03\r\nabc\r\n00\r\n\r\n",
    "GET /smuggled HTTP/1.1\r\nhost: h\r\n\r\n",
];

fn one(rng: &mut Rng) -> Vec<u8> {
    let mut text = rng.choice(LINES).unwrap().to_string();
    if rng.u8(..) > 16 {
        text += *rng
            .choice(&["\r\nhost: h", "\r\nHost: a.example:80", "\r\nhost: [::1]", "\r\nhost:"][..])
            .unwrap();
    }
    for _ in 0..rng.usize(..3) {
        text += "\r\n";
        text += rng.choice(FIELDS).unwrap();
    }
    text += *rng.choice(&["\r\n\r\n", "\r\n\r\n", "\r\n\r\n", "\r\n\r\n", "\n\n", "\r\n\n"][..]).unwrap();
    text += rng.choice(BODIES).unwrap();
    text.into_bytes()
}

/// Some requests, of which often one has a byte changed.
fn several(rng: &mut Rng) -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..rng.usize(1..4)).flat_map(|_| one(rng)).collect();
    for _ in 0..rng.usize(..3).saturating_sub(1) {
        let at = rng.usize(..bytes.len());
        // Only ASCII: what the reference reads as text.
        let byte =
            if rng.bool() { rng.u8(..128) } else { *rng.choice(b"\r\n :\t\0,;/*#@[]0".as_slice()).unwrap() };
        match rng.u8(..3) {
            0 => bytes[at] = byte,
            1 => bytes.insert(at, byte),
            _ => drop(bytes.remove(at)),
        }
    }
    bytes
}

/// The requests at the front, and whether what follows must be refused.
fn expected(bytes: &[u8]) -> (Vec<Request>, bool) {
    let (mut requests, mut at) = (Vec::new(), 0);
    loop {
        match first(&bytes[at..]) {
            Ok(Some((request, length))) => {
                at += length;
                let last = request.old;
                requests.push(request);
                if last {
                    return (requests, false);
                }
            }
            Ok(None) => return (requests, false),
            Err(_) => return (requests, true),
        }
    }
}

/// Sends them in pieces; the statuses that came back before the end.
async fn exchange(addr: SocketAddr, bytes: &[u8], answers: usize, rng: &mut Rng) -> Vec<u16> {
    let mut raw = RawClient::connect(addr).await.deadline(Duration::from_secs(5));
    let cut = rng.usize(..=bytes.len());
    raw.send(&bytes[..cut]).await;
    if rng.u8(..) < 64 {
        tokio::time::sleep(Duration::from_micros(rng.u64(..2000))).await;
    }
    raw.send(&bytes[cut..]).await;
    let mut statuses = Vec::new();
    while statuses.len() < answers {
        match raw.response().await {
            Ok(answer) => statuses.push(answer.status),
            Err(_) => break,
        }
    }
    statuses
}

#[tokio::test]
async fn an_endpoint_gets_the_valid_requests_and_nothing_else() {
    let seed = std::env::var("TIDEGATE_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| fastrand::u64(..));
    let mut rng = Rng::with_seed(seed);
    let recorder = Recorder::start().await;
    let tidegate = Tidegate::new(&to(recorder.addr, "")).start().await;
    let end = Instant::now() + Duration::from_secs(if probe::long() { 600 } else { 4 });
    let (mut rounds, mut passed, mut refused) = (0_u64, 0, 0);
    let mut before = Vec::new();
    while Instant::now() < end {
        let bytes = several(&mut rng);
        let (requests, bad) = expected(&bytes);
        let statuses =
            exchange(tidegate.addr("http"), &bytes, requests.len() + usize::from(bad), &mut rng).await;
        let seen = recorder.take();
        let host = |request: &Request| match request.host.as_str() {
            "" => recorder.addr.to_string(),
            host => host.to_owned(),
        };
        let wanted =
            requests.iter().map(|request| Ok(Request { host: host(request), old: false, ..request.clone() }));
        let wanted: Vec<Result<Request, Vec<u8>>> = wanted.collect();
        let (good, rest) = statuses.split_at(requests.len().min(statuses.len()));
        let answered = good.len() == requests.len() && good.iter().all(|status| *status == 200);
        let told = rest.len() == usize::from(bad) && rest.iter().all(|status| (400..=505).contains(status));
        assert!(
            seen == wanted && answered && told,
            "seed {seed}, round {rounds}\nsent {}\nbefore {}\nwanted {wanted:?}, refused {bad}\nseen {seen:?}\nstatuses {statuses:?}",
            bytes.escape_ascii(),
            before.escape_ascii(),
        );
        rounds += 1;
        passed += requests.len();
        refused += usize::from(bad);
        before = bytes;
    }
    println!("seed {seed}: {rounds} connections, {passed} requests passed, {refused} refused");
    assert!(passed > 0 && refused > 0);
}
