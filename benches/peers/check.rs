//! Nobody wins by failing: before a proxy is measured it must do what the scenario asks of it, and after
//! it its log must have a line for each request.
//!
//! The share of a split is a matter of chance where a proxy throws dice, so the bounds are four standard
//! deviations wide; a proxy that deals in turn is far inside.

use std::collections::HashSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::thread;
use std::time::Duration;

use crate::Result;
use crate::backend::{LARGE, SMALL};
use crate::client::{Answer, Client};
use crate::peer::Counters;
use crate::scenario::{Ask, GUARDED, Load, ROUTES, Scenario, UPLOAD, path};
use crate::subject::Subject;

/// What the load sends as well.
const GROUP: &str = "X-Group: a";

/// How many requests judge a share, and how many of them the tenth may be.
const DEALT: usize = 1000;
const TENTH: std::ops::RangeInclusive<usize> = 62..=138;

/// Asks for what the scenario will ask for.
pub(crate) fn before(subject: &Subject, scenario: Scenario) -> Result<()> {
    if !scenario.is_h2c() {
        serves(subject)?;
    }
    match scenario.load() {
        Load::Wrk { ask: Ask::Large, .. } => large(subject),
        Load::Wrk { ask: Ask::Upload, .. } => upload(subject),
        Load::Wrk { ask: Ask::Close, .. } => close(subject),
        Load::Streams(_) => http2(subject),
        Load::Wrk { .. } | Load::Paced { .. } | Load::Idle(_)
            if scenario.is_full() && subject.log.is_some() =>
        {
            full(subject)
        }
        Load::Wrk { .. } | Load::Paced { .. } | Load::Idle(_) => turns(subject),
    }
}

/// Waits for the first good answer: Traefik listens before it has read its routes.
fn serves(subject: &Subject) -> Result<()> {
    let mut status = 0;
    for _ in 0..100 {
        status = Client::connect(subject.address)?.ask("GET", &path(1, Ask::Get), &[GROUP], &[])?.status;
        if status == 200 {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(50));
    }
    expect(false, || format!("an answer 200, not {status}"))
}

/// Both endpoints in turn, and the body as it was sent.
fn turns(subject: &Subject) -> Result<()> {
    let mut client = Client::connect(subject.address)?;
    let mut met = HashSet::new();
    for i in 0..20 {
        let answer = client.ask("GET", &path(i, Ask::Get), &[GROUP], &[])?;
        met.insert(body_of(&answer, SMALL)?);
    }
    expect(met == HashSet::from([b'a', b'b']), || format!("both endpoints in turn, not {met:?}"))
}

fn large(subject: &Subject) -> Result<()> {
    let answer = Client::connect(subject.address)?.ask("GET", &path(1, Ask::Large), &[], &[])?;
    body_of(&answer, LARGE).map(|_| ())
}

fn upload(subject: &Subject) -> Result<()> {
    let body = vec![b'x'; UPLOAD];
    let answer = Client::connect(subject.address)?.ask("POST", &path(1, Ask::Upload), &[], &body)?;
    let text = String::from_utf8_lossy(&answer.body);
    expect(answer.status == 200 && text.trim_end().ends_with(&format!(" received {UPLOAD}")), || {
        format!("{UPLOAD} bytes to arrive: {} {text}", answer.status)
    })
}

fn close(subject: &Subject) -> Result<()> {
    let mut client = Client::connect(subject.address)?;
    let answer = client.ask("GET", &path(1, Ask::Close), &["Connection: close"], &[])?;
    body_of(&answer, SMALL)?;
    expect(client.is_closed()?, || "the connection to be closed".into())
}

/// That it is HTTP/2 at all; whether each answer is right, `h2load` says.
fn http2(subject: &Subject) -> Result<()> {
    let mut text = String::new();
    for _ in 0..20 {
        let output = Command::new("curl")
            .args([
                "-s",
                "--max-time",
                "10",
                "--http2-prior-knowledge",
                "-w",
                "\n%{http_version} %{http_code}",
            ])
            .args(["-H", "host: shop.example.com", "-H", GROUP])
            .arg(format!("http://{}{}", subject.address, path(1, Ask::Get)))
            .output()
            .map_err(|e| format!("curl: {e}"))?;
        text = String::from_utf8_lossy(&output.stdout).into_owned();
        if text.ends_with("\n2 200") && text.len() == SMALL + "\n2 200".len() {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(100));
    }
    expect(false, || format!("an answer over HTTP/2: {text}"))
}

/// Routes, header, split, log and counters.
fn full(subject: &Subject) -> Result<()> {
    let mut client = Client::connect(subject.address)?;
    for i in 0..ROUTES {
        body_of(&client.ask("GET", &path(i, Ask::Get), &[GROUP], &[])?, SMALL)?;
    }
    // Over a connection of its own: some close after a refusal.
    let status = |path: &str, headers: &[&str]| -> Result<u16> {
        Ok(Client::connect(subject.address)?.ask("GET", path, headers, &[])?.status)
    };
    let bare = status(&path(GUARDED, Ask::Get), &[])?;
    expect(bare == 404, || format!("404 without the header of a route, not {bare}"))?;
    let unknown = status("/api/v1/service-1000/x", &[GROUP])?;
    expect(unknown == 404, || format!("404 for no route, not {unknown}"))?;
    let mut tenth = 0;
    for i in 0..DEALT {
        let answer = client.ask("GET", &path(i % ROUTES, Ask::Get), &[GROUP], &[])?;
        tenth += usize::from(body_of(&answer, SMALL)? == b'c');
    }
    expect(TENTH.contains(&tenth), || format!("a tenth of {DEALT} to the third endpoint, not {tenth}"))?;
    counters(subject)?;
    lines(subject)
}

/// The log: a line each, each of it JSON with what was asked for.
fn lines(subject: &Subject) -> Result<()> {
    let wanted = (ROUTES + DEALT) as u64;
    after(subject, wanted)?;
    let Some(mut log) = subject.read_log()? else { return Ok(()) };
    let mut text = String::new();
    log.read_to_string(&mut text)?;
    let mut right = 0;
    for line in text.lines() {
        let line: serde_json::Value =
            serde_json::from_str(line).map_err(|e| format!("a log line: {e}: {line}"))?;
        // Written anew, since some escape the slash.
        let line = line.to_string();
        right += u64::from(line.contains("/api/v1/service-") && line.contains("200"));
    }
    expect(right >= wanted, || format!("{wanted} log lines that say what was asked for, not {right}"))
}

/// That the counters of a route count.
fn counters(subject: &Subject) -> Result<()> {
    let text = match subject.peer.kind.counters() {
        None => return Ok(()),
        Some(Counters::Page(path)) => {
            let answer = Client::admin(subject.admin)?.ask("GET", path, &[], &[])?;
            String::from_utf8_lossy(&answer.body).into_owned()
        }
        Some(Counters::Word(word)) => {
            let mut stream = TcpStream::connect(subject.admin)?;
            stream.write_all(word.as_bytes())?;
            let mut text = String::new();
            stream.read_to_string(&mut text)?;
            text
        }
    };
    expect(text.contains("service-99"), || "counters of route service-99".into())
}

/// Waits until the log has so many lines. A proxy that drops lines saves work that the others do.
pub(crate) fn after(subject: &Subject, requests: u64) -> Result<()> {
    if subject.log.is_none() {
        return Ok(());
    }
    for _ in 0..50 {
        if subject.logged()? >= requests {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(100));
    }
    let logged = subject.logged()?;
    expect(false, || format!("a log line for each of {requests} requests, not {logged}"))
}

/// Which endpoint answered.
fn body_of(answer: &Answer, length: usize) -> Result<u8> {
    let Answer { status, body, .. } = answer;
    let digits = body.get(1..11) == Some(b"0123456789".as_slice());
    let plain = answer.header("content-encoding").is_none();
    let right = *status == 200 && body.len() == length && body.ends_with(b"\n") && digits && plain;
    expect(right, || format!("200 and a body of {length} bytes, not {status} and {}", body.len()))?;
    body.first().copied().ok_or_else(|| "an empty body".into())
}

fn expect(right: bool, wanted: impl FnOnce() -> String) -> Result<()> {
    if right { Ok(()) } else { Err(format!("expected {}", wanted()).into()) }
}
