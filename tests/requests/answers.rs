//! Answers that are made here: redirects and fixed responses.

use crate::support::{RawClient, Tidegate, curl};

const LIVE: &str = r#"
routes:
  - { name: moved,   match: { path: { prefix: /old } }, redirect: { to: "https://new.example.com{path}{query}", status: 308 } }
  - { name: all,     match: { path: { prefix: /all } }, redirect: { to: "{scheme}://{host}/x{path}{query}" } }
  - { name: here,    match: { path: { exact: /here } }, redirect: { to: "/there{query}", status: 301 } }
  - { name: down,    match: { hosts: [ down.example.com ] }, respond: { status: 503, body: "back soon\n", headers: { retry-after: "60", content-type: text/html } } }
  - { name: empty,   match: { path: { exact: /empty } }, respond: { status: 204 } }
  - { name: edited,  match: { path: { exact: /edited } }, respond: { status: 200, body: ok, headers: { server: x, x-a: "1" } }, response_headers: { set: { x-a: "2" }, add: { x-b: "3" }, remove: [ server ] } }
"#;

#[tokio::test]
async fn redirects_fill_their_placeholders() {
    let tidegate = Tidegate::new(LIVE).start().await;
    let mut raw = RawClient::connect(tidegate.addr("http")).await;
    for (target, host, status, location) in [
        ("/old/a?b=1&c", "h:8080", 308, "https://new.example.com/old/a?b=1&c"),
        ("/old", "h", 308, "https://new.example.com/old"),
        ("/old?", "h", 308, "https://new.example.com/old?"),
        ("/all/a%20b?q=%0d%0a", "Shop.Example.com:81", 302, "http://shop.example.com/x/all/a%20b?q=%0d%0a"),
        ("/all", "[::1]:80", 302, "http://[::1]/x/all"),
        ("/here?z", "h", 301, "/there?z"),
        // A browser reads `\` as `/`.
        ("/old\\@evil.example", "h", 404, ""),
        ("/old/\\@evil.example", "h", 308, "https://new.example.com/old/%5C@evil.example"),
    ] {
        let response = raw.ask(format!("GET {target} HTTP/1.1\r\nhost: {host}\r\n\r\n")).await;
        let sent = (response.status, response.header("location").unwrap_or_default());
        assert_eq!(sent, (status, location), "{target}");
    }
    // A redirect of a POST that has a body leaves the connection usable: the body is read, not
    // taken for a request.
    let body = "GET /smuggled HTTP/1.1\r\nhost: h\r\n\r\n";
    let post = format!("POST /old HTTP/1.1\r\nhost: h\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    assert_eq!(raw.ask(post).await.status, 308);
    assert_eq!(raw.ask("GET /here HTTP/1.1\r\nhost: h\r\n\r\n").await.status, 301);
    assert!(tidegate.access_log().iter().all(|line| line["path"] != "/smuggled"));
}

#[tokio::test]
async fn fixed_responses_are_as_written() {
    let tidegate = Tidegate::new(LIVE).start().await;
    let mut raw = RawClient::connect(tidegate.addr("http")).await;
    let down = raw.ask("GET /x HTTP/1.1\r\nhost: down.example.com\r\n\r\n").await;
    assert_eq!((down.status, down.text().as_str()), (503, "back soon\n"));
    assert_eq!((down.header("retry-after"), down.header("content-length")), (Some("60"), Some("10")));
    assert_eq!((down.header("content-type"), down.count("content-type")), (Some("text/html"), 1));
    let empty = raw.ask("GET /empty HTTP/1.1\r\nhost: h\r\n\r\n").await;
    assert_eq!((empty.status, empty.count("content-length"), empty.count("transfer-encoding")), (204, 0, 0));
    let edited = raw.ask("GET /edited HTTP/1.1\r\nhost: h\r\n\r\n").await;
    assert_eq!((edited.header("x-a"), edited.header("x-b")), (Some("2"), Some("3")));
    assert_eq!((edited.count("x-a"), edited.header("server")), (1, None), "{edited:?}");
    raw.send("HEAD /x HTTP/1.1\r\nhost: down.example.com\r\n\r\n").await;
    let head = raw.head().await.unwrap();
    assert_eq!((head.status, head.header("content-length")), (503, Some("10")));
    // Nothing of the HEAD's body is on the connection.
    assert_eq!(raw.ask("GET /edited HTTP/1.1\r\nhost: h\r\n\r\n").await.text(), "ok");
    let line = tidegate.logged(|line| line["route"] == "down" && line["method"] == "HEAD").await;
    assert_eq!((&line["cluster"], &line["endpoint"], &line["attempts"]), (&"".into(), &().into(), &0.into()));
    let over_h2 =
        curl(&["--http2-prior-knowledge", "-I", "-H", "host: down.example.com", &tidegate.url("/")]).await;
    assert_eq!((over_h2.code, over_h2.status), (0, 503), "{over_h2:?}");
}
