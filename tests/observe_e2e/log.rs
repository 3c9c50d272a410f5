//! The access log: one line a request, valid JSON whatever clients send.

use std::time::Duration;

use super::web;
use crate::support::{Backend, RawClient, Tidegate, http, until};

/// DESIGN 7, in its order.
const FIELDS: &str = "time listener client method host path protocol status flags route cluster variant endpoint attempts \
                      bytes_in bytes_out duration_ms ttfb_ms request_id user_agent generation";

#[tokio::test]
async fn a_line_has_the_fields_of_the_design() {
    let backend = Backend::start("one").await;
    let tidegate = Tidegate::new(&web(&[backend.addr()])).start().await;
    let request =
        http::client().put(tidegate.url("/slow?ms=50&q=\"")).header("user-agent", "me/1").body("12345");
    assert_eq!(request.send().await.unwrap().status(), 200);
    let line = tidegate.logged(|line| line["method"] == "PUT").await;
    let fields: Vec<_> = line.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(fields, FIELDS.split_whitespace().collect::<Vec<_>>());
    for (field, value) in [
        ("listener", "http"),
        ("client", "127.0.0.1"),
        ("host", "127.0.0.1"),
        ("protocol", "HTTP/1.1"),
        ("flags", ""),
        ("route", "all"),
        ("cluster", "web"),
        ("variant", ""),
        ("user_agent", "me/1"),
        ("endpoint", &backend.addr().to_string()),
    ] {
        assert_eq!(line[field], value, "{field}: {line}");
    }
    for (field, value) in
        [("status", 200), ("attempts", 1), ("bytes_in", 5), ("bytes_out", 3), ("generation", 1)]
    {
        assert_eq!(line[field], value, "{field}: {line}");
    }
    let (duration, ttfb) = (line["duration_ms"].as_f64().unwrap(), line["ttfb_ms"].as_f64().unwrap());
    assert!((50.0..1000.0).contains(&ttfb) && duration >= ttfb, "{line}");
    let time = line["time"].as_str().unwrap();
    assert!(time.len() == 27 && time.ends_with('Z') && time.as_bytes()[10] == b'T', "{time}");
}

#[tokio::test]
async fn hostile_values_stay_inside_their_string() {
    let backend = Backend::start("one").await;
    let tidegate = Tidegate::new(&web(&[backend.addr()])).start().await;
    let agents: [&[u8]; 9] = [
        b"\"}",
        b"\\",
        b"\",\"status\":200,\"x\":\"",
        b"\x1b[2J",
        b"\xff\xfe",
        b"\x7f",
        b"\xc2\x9b31m",
        "\u{2028}\u{fffd}é".as_bytes(),
        b"\t",
    ];
    let mut raw = RawClient::connect(tidegate.addr("http")).await;
    for (i, agent) in agents.iter().enumerate() {
        let mut request =
            format!("GET /{i}%22%0a'?'|^ HTTP/1.1\r\nhost: h\r\nx-request-id: \"{i}\r\nuser-agent: ")
                .into_bytes();
        // A control character that is not allowed is refused, and logged as refused.
        request.extend_from_slice(agent);
        request.extend_from_slice(b"\r\n\r\n");
        let answer = raw.ask(&request).await;
        if answer.status != 200 {
            assert_eq!(answer.status, 400, "{agent:?}");
            raw = RawClient::connect(tidegate.addr("http")).await;
        }
    }
    // `access_log` parses each line, or panics.
    until(Duration::from_secs(5), "a line each", || tidegate.access_log().len() == agents.len()).await;
    let text = tidegate.stdout();
    assert_eq!(text.lines().count(), agents.len(), "{text}");
    assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
    let lines = tidegate.access_log();
    assert!(lines.iter().any(|line| line["user_agent"] == "\",\"status\":200,\"x\":\""), "{text}");
}

#[tokio::test]
async fn it_goes_where_the_config_says() {
    let backend = Backend::start("one").await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("access.log");
    let live = format!("access_log: {{ path: '{}' }}\n{}", file.display(), web(&[backend.addr()]));
    let mut tidegate = Tidegate::new(&live).start().await;
    for _ in 0..50 {
        assert_eq!(http::client().get(tidegate.url("/")).send().await.unwrap().status(), 200);
    }
    // What was not written yet is written at the end.
    tidegate.term();
    tidegate.exited(Duration::from_secs(5)).await;
    assert_eq!(std::fs::read_to_string(&file).unwrap().lines().count(), 50);
    assert_eq!(tidegate.stdout(), "");
}
