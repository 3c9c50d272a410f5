//! The requests of each kind of load. An answer other than the expected one ends the training: code that
//! fails must not be what a build is made for.

use crate::Result;
use crate::client::{Answer, Client};
use crate::http2::{Ask, Connection};
use crate::loads::Target;
use crate::proxy::ROUTES;

/// What browsers say of themselves with each request.
const BROWSER: [&str; 9] = [
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "Accept-Language: en-GB,en;q=0.7,de;q=0.3",
    "Accept-Encoding: gzip, deflate, br, zstd",
    "Referer: https://shop.example.com/products/all?sort=price",
    "Sec-Fetch-Dest: document",
    "Sec-Fetch-Mode: navigate",
    "Sec-Fetch-Site: same-origin",
    "Priority: u=0, i",
    "Cookie: theme=dark; tg_id=0190c7f3-7f1e-7c58-9a4c-5f0e1c1d2a3b; session=6f1d2c3b4a59687786950a1b2c3d4e5f",
];
/// Streams at a time.
const STREAMS: usize = 16;
const UPLOAD: usize = 1024 * 1024;
const PIECE: usize = 16 * 1024;

/// `wrk` and its like: three headers, one route after the other.
pub(crate) fn small(target: Target, index: usize, requests: usize) -> Result<()> {
    let mut client = Client::connect(target.address)?;
    let user = format!("x-user-id: {index}");
    for turn in 0..requests {
        let path = path(turn, "users/12345?page=2");
        // A user who is known, and one for whom a cookie is made.
        let headers: &[&str] = if turn % 4 == 0 { &["x-group: a"] } else { &["x-group: a", &user] };
        fine(&client.ask("GET", &path, headers, &[])?)?;
    }
    Ok(())
}

pub(crate) fn browsers(target: Target, index: usize, requests: usize) -> Result<()> {
    let mut client = Client::connect(target.address)?;
    let headers = [&BROWSER[..], &["x-group: a"]].concat();
    for turn in 0..requests {
        fine(&client.ask("GET", &path(turn + index, "products/all?sort=price&page=3"), &headers, &[])?)?;
    }
    Ok(())
}

/// HTTP/2: one in eight with a body, one in sixty-four with a large answer.
pub(crate) fn streams(target: Target, index: usize, requests: usize) -> Result<()> {
    let mut connection = Connection::open(target.address, target.sealed)?;
    for turn in 0..requests / STREAMS {
        let ask = |i| {
            let rest = if turn % 4 == 3 && i == index { "large" } else { "users/1" };
            Ask { path: path(turn * STREAMS + i, rest), body: (i % 8 == 7).then_some(&[b'x'; 2000]) }
        };
        let asks: Vec<_> = (0..STREAMS).map(ask).collect();
        connection.ask(&asks)?;
    }
    Ok(())
}

pub(crate) fn posts(target: Target, _: usize, requests: usize) -> Result<()> {
    let mut client = Client::connect(target.address)?;
    let body = format!("{{\"items\":[{}0]}}", "12345,".repeat(80));
    for turn in 0..requests {
        let headers = ["x-group: a", "Content-Type: application/json"];
        fine(&client.ask("POST", &path(turn, "orders"), &headers, body.as_bytes())?)?;
    }
    Ok(())
}

/// A connection for each.
pub(crate) fn close(target: Target, _: usize, requests: usize) -> Result<()> {
    for turn in 0..requests {
        let mut client = Client::connect(target.address)?;
        fine(&client.ask("GET", &path(turn, "users/1"), &["x-group: a", "Connection: close"], &[])?)?;
    }
    Ok(())
}

pub(crate) fn large(target: Target, _: usize, requests: usize) -> Result<()> {
    let mut client = Client::connect(target.address)?;
    (0..requests).try_for_each(|turn| fine(&client.ask("GET", &path(turn, "large"), &["x-group: a"], &[])?))
}

/// Answers in chunks, and every fourth time a request in chunks.
pub(crate) fn pieces(target: Target, _: usize, requests: usize) -> Result<()> {
    let mut client = Client::connect(target.address)?;
    let piece = [format!("{PIECE:x}\r\n").into_bytes(), vec![b'x'; PIECE], b"\r\n".to_vec()].concat();
    for turn in 0..requests {
        let path = path(turn, "pieces");
        if turn % 4 != 0 {
            fine(&client.ask("GET", &path, &["x-group: a"], &[])?)?;
            continue;
        }
        let head = format!("POST {path} HTTP/1.1\r\nHost: shop.example.com\r\nx-group: a\r\n");
        client.send(format!("{head}Transfer-Encoding: chunked\r\n\r\n").as_bytes())?;
        (0..4).try_for_each(|_| client.send(&piece))?;
        client.send(b"0\r\n\r\n")?;
        fine(&client.answer()?)?;
    }
    Ok(())
}

pub(crate) fn uploads(target: Target, _: usize, requests: usize) -> Result<()> {
    let mut client = Client::connect(target.address)?;
    let body = vec![b'x'; UPLOAD];
    (0..requests)
        .try_for_each(|turn| fine(&client.ask("POST", &path(turn, "files"), &["x-group: a"], &body)?))
}

/// Of the endpoints one is bad two times in three.
pub(crate) fn retries(target: Target, _: usize, requests: usize) -> Result<()> {
    let mut client = Client::connect(target.address)?;
    for _ in 0..requests {
        let answer = client.ask("GET", "/flaky/1", &[], &[])?;
        // All three tries may meet it, and such an answer may end the connection.
        match answer.status {
            200 => {}
            502 | 503 => client = Client::connect(target.address)?,
            other => return Err(format!("{other} from a bad endpoint").into()),
        }
    }
    Ok(())
}

/// The routes that do more, or less, than pass on.
pub(crate) fn others(target: Target, index: usize, requests: usize) -> Result<()> {
    let mut client = Client::connect(target.address)?;
    let user = format!("x-user-id: {index}");
    let cases: [(&str, u16); 8] = [
        ("/edited/users/1", 200),
        ("/item/17", 200),
        ("/again", 200),
        ("/edited/users/2", 200),
        ("/said", 200),
        ("/moved", 308),
        ("/item/18", 200),
        ("/nowhere", 404),
    ];
    for turn in 0..requests {
        let (path, status) = cases[turn % cases.len()];
        expect(&client.ask("GET", path, &[&user, "x-internal: 1"], &[])?, status)?;
    }
    // What is refused; the connection ends with it.
    let mut client = Client::connect(target.address)?;
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")?;
    expect(&client.answer()?, 400)
}

/// WebSockets, as far as a proxy sees them: bytes after a 101.
pub(crate) fn tunnels(target: Target, _: usize, requests: usize) -> Result<()> {
    const SWITCH: [&str; 4] = [
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ];
    for _ in 0..requests {
        let mut client = Client::connect(target.address)?;
        expect(&client.ask("GET", &path(2, "chat"), &SWITCH, &[])?, 101)?;
        for length in [2, 20, 200, 2000].repeat(10) {
            client.send(&vec![b'x'; length])?;
            client.take(length)?;
        }
    }
    Ok(())
}

pub(crate) fn scrapes(target: Target, _: usize, requests: usize) -> Result<()> {
    let mut client = Client::admin(target.admin)?;
    for _ in 0..requests {
        fine(&client.ask("GET", "/metrics", &[], &[])?)?;
        fine(&client.ask("GET", "/v1/clusters", &[], &[])?)?;
    }
    Ok(())
}

/// TLS on both sides.
pub(crate) fn sealed(target: Target, _: usize, requests: usize) -> Result<()> {
    let mut client = Client::connect(target.address)?;
    (0..requests).try_for_each(|_| fine(&client.ask("GET", "/sealed", &[], &[])?))
}

/// Below a route of each sort in turn.
fn path(turn: usize, rest: &str) -> String {
    let sort = ["split", "dealt", "plain"][turn % 3];
    format!("/api/v1/{sort}-{}/{rest}", turn / 3 % ROUTES)
}

fn fine(answer: &Answer) -> Result<()> {
    expect(answer, 200)
}

fn expect(answer: &Answer, status: u16) -> Result<()> {
    if answer.status == status {
        return Ok(());
    }
    let body = String::from_utf8_lossy(&answer.body);
    Err(format!("{} instead of {status}: {}", answer.status, body.trim_end()).into())
}
