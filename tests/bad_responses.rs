//! Answers of endpoints that are not valid HTTP: 502, counted, and not a byte of them passed on.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use self::support::{RawClient, Scripted, Step, Tidegate, TidegateProcess, send};

const OK: &str = "HTTP/1.1 200 OK\r\n";

/// What ends as a 502, with `evil` in it somewhere.
fn refused() -> Vec<String> {
    let mut all: Vec<String> = [
        "HTTP/1.1 2x0 OK\r\nevil: 1\r\n\r\n",
        "HTTP/1.1 20 OK\r\nevil: 1\r\n\r\n",
        "HTTP/1.1 2000 OK\r\nevil: 1\r\n\r\n",
        "HTTP/1.1 099 OK\r\nevil: 1\r\n\r\n",
        "HTTP/1.1 600 Evil\r\nevil: 1\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 999 Evil\r\nevil: 1\r\ncontent-length: 0\r\n\r\n",
        "HTTP/3.0 200 OK\r\nevil: 1\r\n\r\n",
        "FTP/1.1 200 OK\r\nevil: 1\r\n\r\n",
        "evil\r\n\r\n",
        "\0\x01evil\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\nevil: 1\r\n\r\n",
    ]
    .map(Into::into)
    .into();
    let fields = [
        "bad name: evil",
        "evil",
        ": evil",
        " evil: first line is folded",
        "e\0vil: 1",
        "evil: a\0b",
        "evil: a\x01b",
        "evil: a\x7fb",
        "evil: a\rb: c",
        "évil: 1",
        "content-length: 4\r\ncontent-length: 5\r\nevil: 1",
        "content-length: 4, 5\r\nevil: 1",
        "content-length: four\r\nevil: 1",
        "content-length: +4\r\nevil: 1",
        "content-length: -4\r\nevil: 1",
        "content-length: 0x4\r\nevil: 1",
        "content-length: 99999999999999999999999\r\nevil: 1",
        "transfer-encoding: gzip, chunked\r\nevil: 1",
        "transfer-encoding: chunked, chunked\r\nevil: 1",
        "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\nevil: 1",
        "transfer-encoding: xchunked\r\nevil: 1",
        "transfer-encoding: identity\r\nevil: 1",
        "transfer-encoding: chunked;q=1\r\nevil: 1",
        "transfer-encoding:\r\nevil: 1",
    ];
    all.extend(fields.map(|field| format!("{OK}{field}\r\n\r\n4\r\nevil\r\n0\r\n\r\n")));
    all.push("HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\nevil: 1\r\n\r\n4\r\nevil\r\n0\r\n\r\n".into());
    all.push(format!("{OK}evil: {}\r\ncontent-length: 0\r\n\r\n", "x".repeat(300 * 1024)));
    all.push(format!("{OK}{}content-length: 0\r\n\r\n", "evil: 1\r\n".repeat(300)));
    all
}

/// Answers `/N` with the answer of that number, and closes.
async fn start(answers: Vec<String>) -> (Scripted, TidegateProcess) {
    let endpoint = Scripted::by_head(move |head| {
        let at: usize = head.split(['/', ' ']).nth(2).unwrap().parse().unwrap();
        vec![send(&answers[at]), Step::Close]
    })
    .await;
    let live = format!(
        "clusters: {{ web: {{ static: {{ endpoints: [ {{ address: '{}' }} ] }} }} }}\n\
         routes: [ {{ name: all, cluster: web, timeout: 5s }} ]\n",
        endpoint.addr
    );
    let tidegate = Tidegate::new(&live).start().await;
    (endpoint, tidegate)
}

#[tokio::test]
async fn what_is_not_valid_is_a_502_and_nothing_of_it_passes() {
    let answers = refused();
    let (_endpoint, tidegate) = start(answers.clone()).await;
    let mut passed = Vec::new();
    for (at, answer) in answers.iter().enumerate() {
        let mut client = RawClient::connect(tidegate.addr("http")).await;
        client.send(format!("GET /{at} HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n")).await;
        let bytes = String::from_utf8_lossy(&client.read_to_end().await.unwrap_or_default()).into_owned();
        let line = tidegate.logged(|line| line["path"] == format!("/{at}")).await;
        let begin = answer.chars().take(90).collect::<String>();
        let flag = line["flags"].as_str().unwrap_or_default().to_owned();
        if !bytes.starts_with("HTTP/1.1 502 ") || bytes.contains("vil") || !["UPE", "UC"].contains(&&*flag) {
            passed.push((begin, flag, bytes.chars().take(200).collect::<String>()));
        }
    }
    assert!(passed.is_empty(), "{} of {}: {passed:#?}", passed.len(), answers.len());
    let counted = tidegate.metric("tidegate_http_response_flags_total", &["flag=\"UPE\""]).await;
    assert!(counted >= answers.len() as f64 - 3.0, "{counted} of {}", answers.len());
}

/// What has one safe reading goes on in that.
#[tokio::test]
async fn what_can_be_said_clearly_is() {
    let answers = [
        // A folded value is one line; what it hides is no header.
        format!("{OK}x: a\r\n\tset-cookie: evil=1\r\ncontent-length: 2\r\n\r\nok"),
        format!("{OK}content-length: 2\r\ncontent-length: 2\r\n\r\nok"),
        format!("{OK}content-length: 2, 2\r\n\r\nok"),
        format!("{OK}content-length : 2\r\n\r\nok"),
        format!("{OK}content-length: 9\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"),
        // What is beyond the length is nobody's.
        format!("{OK}content-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil"),
        "HTTP/1.0 200 OK\r\n\r\nok".to_owned(),
        "HTTP/1.1 200\r\ncontent-length: 2\r\n\r\nok".to_owned(),
        "HTTP/1.1 200 OK\ncontent-length: 2\n\nok".to_owned(),
        format!("{OK}x: \u{e9}t\u{e9}\r\ncontent-length: 2\r\n\r\nok"),
    ];
    let (_endpoint, tidegate) = start(answers.to_vec()).await;
    let mut client = RawClient::connect(tidegate.addr("http")).await;
    for (at, sent) in answers.iter().enumerate() {
        let answer = client.ask(format!("GET /{at} HTTP/1.1\r\nhost: h\r\n\r\n")).await;
        assert_eq!((answer.status, answer.text().as_str()), (200, "ok"), "{sent:?}: {answer:?}");
        let framings = answer.count("content-length") + answer.count("transfer-encoding");
        assert_eq!((framings, answer.count("set-cookie")), (1, 0), "{sent:?}: {answer:?}");
        assert!(answer.head.lines().all(|line| !line.starts_with([' ', '\t'])), "{answer:?}");
    }
}
