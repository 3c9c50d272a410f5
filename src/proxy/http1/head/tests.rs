//! What is taken and what is not, a row each; that cutting the bytes changes nothing; and that a
//! reference which shares no code agrees.

use std::sync::LazyLock;

use proptest::prelude::*;
use regex::bytes::Regex;

use super::*;

const BOUNDS: Bounds = Bounds { header_bytes: 300, headers: 5, target: 40, trace: false };

fn scan(bytes: &[u8]) -> Progress {
    Scanner::new(BOUNDS).scan(bytes)
}

fn whole(bytes: &[u8]) -> Head {
    match scan(bytes) {
        Progress::Whole(head) => head,
        other => panic!("{}: {other:?}", bytes.escape_ascii()),
    }
}

#[test]
fn what_is_valid_is_taken() {
    for (text, framing, upgrade, expects) in [
        ("GET / HTTP/1.1\r\nHost: h\r\n\r\n", Framing::Length(0), false, false),
        ("GET / HTTP/1.0\r\n\r\n", Framing::Length(0), false, false),
        ("\r\nGET / HTTP/1.0\r\n\r\n", Framing::Length(0), false, false),
        ("GET / HTTP/1.0\r\nupgrade: a\r\n\r\n", Framing::Length(0), false, false),
        ("M-SEARCH /?a={b}|c HTTP/1.1\r\nhost:h:80\t\r\n\r\n", Framing::Length(0), false, false),
        ("OPTIONS * HTTP/1.1\r\nhost: [::1]:80\r\n\r\n", Framing::Length(0), false, false),
        ("GET HTTPS://h?x HTTP/1.1\r\nhost: h\r\n\r\n", Framing::Length(0), false, false),
        ("GET //x HTTP/1.1\r\nhost: a_b.\r\nx-a: \u{e4}\t\r\n\r\n", Framing::Length(0), false, false),
        ("P / HTTP/1.1\r\nhost: h\r\ncontent-length:0012 \r\n\r\n", Framing::Length(12), false, false),
        (
            "P / HTTP/1.1\r\nhost: h\r\nContent-Length: 9223372036854775807\r\n\r\n",
            Framing::Length(i64::MAX as u64),
            false,
            false,
        ),
        ("P / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: Chunked\r\n\r\n", Framing::Chunked, false, false),
        (
            "P / HTTP/1.1\r\nhost: h\r\nupgrade: x\r\nexpect: 100-Continue\r\n\r\n",
            Framing::Length(0),
            true,
            true,
        ),
    ] {
        let head = whole(text.as_bytes());
        assert_eq!((head.framing, head.upgrade, head.expects), (framing, upgrade, expects), "{text:?}");
        assert_eq!(head.span.end, text.len());
        assert_eq!(head.rewritten(text.as_bytes()), None, "{text:?}");
    }
}

#[test]
fn what_is_not_is_refused_for_its_reason() {
    let long = format!("GET /{} HTTP/1.1\r\n", "a".repeat(40));
    let large = format!("GET / HTTP/1.1\r\nx: {}\r\n", "a".repeat(300));
    let many = format!("GET / HTTP/1.1\r\n{}", "x: 1\r\n".repeat(6));
    let line = |line: &str| format!("{line}\r\nhost: h\r\n\r\n");
    let field = |field: &str| format!("POST / HTTP/1.1\r\nhost: h\r\n{field}\r\n\r\n");
    for (text, refusal) in [
        ("\r\n\r\nGET / HTTP/1.1\r\n".into(), refusal::NO_REQUEST),
        ("\x16".into(), refusal::NO_REQUEST),
        (" ".into(), refusal::NO_REQUEST),
        (line("GET"), refusal::NO_REQUEST),
        (line("GET /"), refusal::NO_VERSION),
        (line("GET  HTTP/1.1"), refusal::NO_PATH),
        (line("GET / HTTP/1.1 "), refusal::BAD_VERSION),
        (line("GET / http/1.1"), refusal::BAD_VERSION),
        (line("GET / HTTP/1.10"), refusal::BAD_VERSION),
        (line("GET / HTTP/1.2"), refusal::OTHER_VERSION),
        (line("GET / HTTP/2"), refusal::OTHER_VERSION),
        (line("GET / HTTP/0.9"), refusal::OTHER_VERSION),
        (line("G@T / HTTP/1.1"), refusal::BAD_METHOD),
        (line("CONNECT h:1 HTTP/1.1"), refusal::CONNECT),
        (line("TRACE / HTTP/1.1"), refusal::TRACE),
        ("A".repeat(33), refusal::LONG_METHOD),
        (long, refusal::LONG_TARGET),
        (line("GET /a b HTTP/1.1"), refusal::BAD_TARGET),
        (line("GET /a#b HTTP/1.1"), refusal::BAD_TARGET),
        (line("GET a HTTP/1.1"), refusal::NO_PATH),
        (line("GET ftp://h/ HTTP/1.1"), refusal::NO_PATH),
        (line("GET * HTTP/1.1"), refusal::STAR),
        (line("GET http:///a HTTP/1.1"), refusal::BAD_AUTHORITY),
        (line("GET http://a@h/ HTTP/1.1"), refusal::BAD_AUTHORITY),
        ("GET / HTTP/1.1\nhost: h\r\n\r\n".into(), refusal::BARE_LF),
        (field("x: a\n"), refusal::BARE_LF),
        (large, refusal::LONG_HEADER),
        (many, refusal::MANY_FIELDS),
        (field("x: a\r\n b"), refusal::FOLDED),
        (field("x : a"), refusal::BAD_NAME),
        (field(": a"), refusal::BAD_NAME),
        (field("x"), refusal::BAD_NAME),
        (field("x: a\0"), refusal::BAD_VALUE),
        (field("x: a\rb"), refusal::BAD_VALUE),
        (field("x: a\x7f"), refusal::BAD_VALUE),
        ("GET / HTTP/1.1\r\n\r\n".into(), refusal::NO_HOST),
        ("GET / HTTP/1.1\r\nhost:\r\n\r\n".into(), refusal::NO_HOST),
        (field("host: h"), refusal::TWO_HOSTS),
        ("GET / HTTP/1.1\r\nhost: a,b\r\n\r\n".into(), refusal::BAD_HOST),
        ("GET / HTTP/1.0\r\nhost: a/b\r\n\r\n".into(), refusal::BAD_HOST),
        ("GET / HTTP/1.0\r\nhost:\r\n\r\n".into(), refusal::NO_HOST),
        (field("content-length: +1"), refusal::BAD_LENGTH),
        (field("content-length: 1, 1"), refusal::BAD_LENGTH),
        (field("content-length: 9223372036854775808"), refusal::BAD_LENGTH),
        (field("content-length: 1\r\ncontent-length: 1"), refusal::TWO_LENGTHS),
        (field("content-length: 1\r\ntransfer-encoding: chunked"), refusal::LENGTH_AND_CODING),
        (field("transfer-encoding: chunked\r\ntransfer-encoding: chunked"), refusal::TWO_CODINGS),
        (field("transfer-encoding: gzip"), refusal::NOT_CHUNKED),
        (field("transfer-encoding: chunked, chunked"), refusal::NOT_CHUNKED),
        (field("transfer-encoding: \u{b}chunked"), refusal::BAD_VALUE),
        (field("transfer-encoding: gzip, chunked"), refusal::OTHER_CODING),
        ("GET / HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n".into(), refusal::OLD_CODING),
    ] {
        assert_eq!(scan(text.as_bytes()), Progress::Refused(refusal), "{text:?}");
    }
    let trace = Bounds { trace: true, ..BOUNDS };
    let taken = Scanner::new(trace).scan(b"TRACE / HTTP/1.1\r\nhost: h\r\n\r\n");
    assert!(matches!(taken, Progress::Whole(_)));
}

#[test]
fn the_targets_host_wins() {
    for (sent, host) in [
        ("GET http://a/x HTTP/1.1\r\nx: 1\r\nHost: b\r\ny: 2\r\n\r\n", "x: 1\r\nHost: a\r\ny: 2\r\n"),
        ("GET http://A HTTP/1.1\r\nHost:a\r\n\r\n", "Host:A\r\n"),
        ("GET http://a:80/ HTTP/1.1\r\nHost:  a \r\n\r\n", "Host:  a:80 \r\n"),
        ("\r\nGET http://a/ HTTP/1.0\r\nx: 1\r\n\r\n", "host: a\r\nx: 1\r\n"),
    ] {
        let text = sent.trim_start();
        let line = text.split_inclusive("\r\n").next().unwrap();
        let expected = format!("{line}{host}\r\n");
        let made = whole(sent.as_bytes()).rewritten(sent.as_bytes()).unwrap();
        assert_eq!(String::from_utf8(made.clone()).unwrap(), expected);
        assert_eq!(whole(&made).rewritten(&made), None, "once is enough");
    }
}

/// The grammar in one expression, so that nothing is shared with the scanner.
static GRAMMAR: LazyLock<Regex> = LazyLock::new(|| {
    let token = "[!#$%&'*+.^_`|~0-9A-Za-z-]";
    Regex::new(&format!(
        r"^(?-u)(?:\r\n)?(?<method>{token}{{1,32}}) (?<target>[^\x00-\x20\x7f-\xff\x22#<>`?]*(?:\?[^\x00-\x20\x7f-\xff\x22#<>]*)?) HTTP/1\.(?<minor>[01])\r\n(?<fields>(?:{token}+:[^\x00-\x08\x0a-\x1f\x7f]*\r\n)*)\r\n"
    ))
    .unwrap()
});

static HOST: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^(?-u)(?<name>[A-Za-z0-9_.-]{1,256}|\[[0-9a-fA-F:.]+\])(?::(?<port>[0-9]*))?$").unwrap()
});

fn is_host(bytes: &[u8]) -> bool {
    let Some(found) = HOST.captures(bytes) else { return false };
    let text = |name| found.name(name).map_or("", |m| std::str::from_utf8(m.as_bytes()).unwrap());
    let (name, port) = (text("name"), text("port"));
    let literal = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
    let fits = match literal {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => (1..=255).contains(&name.strip_suffix('.').unwrap_or(name).len()),
    };
    fits && (port.is_empty() || port.parse::<u16>().is_ok())
}

/// Length and framing of a head that is whole and valid.
fn reference(bytes: &[u8]) -> Option<(usize, Framing)> {
    let found = GRAMMAR.captures(bytes)?;
    let (method, target, old) = (&found["method"], &found["target"], &found["minor"] == b"0");
    let fields = &found["fields"];
    let fields: Vec<(String, &[u8])> = fields
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| {
            let colon = line.iter().position(|byte| *byte == b':').unwrap();
            let value = line[colon + 1..].trim_ascii();
            (String::from_utf8_lossy(&line[..colon]).to_lowercase(), value)
        })
        .collect();
    let all = |name: &str| fields.iter().filter(|(n, _)| n == name).map(|(_, v)| *v).collect::<Vec<_>>();
    let lower = target.to_ascii_lowercase();
    let rest = lower.strip_prefix(b"http://").or_else(|| lower.strip_prefix(b"https://"));
    let absolute = rest.is_some_and(|rest| is_host(rest.split(|b| matches!(b, b'/' | b'?')).next().unwrap()));
    let path = target.starts_with(b"/") || absolute || (target == b"*" && method == b"OPTIONS");
    let hosts = all("host");
    let host = match hosts.as_slice() {
        [] => old,
        [one] => is_host(one),
        _ => false,
    };
    let framing = match (all("content-length").as_slice(), all("transfer-encoding").as_slice()) {
        ([], []) => Framing::Length(0),
        ([one], []) if one.len() < 20 && one.iter().all(u8::is_ascii_digit) => {
            let length: i64 = std::str::from_utf8(one).unwrap().parse().ok()?;
            Framing::Length(length as u64)
        }
        ([], [one]) if one.eq_ignore_ascii_case(b"chunked") && !old => Framing::Chunked,
        _ => return None,
    };
    let size = found["fields"].len() + 2 <= BOUNDS.header_bytes && fields.len() <= BOUNDS.headers;
    let method = !matches!(method, b"CONNECT" | b"TRACE") && (1..=40).contains(&target.len());
    (path && host && size && method).then_some((found[0].len(), framing))
}

/// Heads that are nearly valid: parts that often are, joined, then bytes changed.
fn nearly() -> impl Strategy<Value = Vec<u8>> {
    let line = prop::sample::select(vec![
        "GET / HTTP/1.1",
        "POST /a?b=c HTTP/1.1",
        "GET http://h/x HTTP/1.1",
        "OPTIONS * HTTP/1.1",
        "GET * HTTP/1.1",
        "GET / HTTP/1.0",
        "GET / HTTP/1.2",
        "PURGE /x HTTP/1.1",
        "GET /a b HTTP/1.1",
        "CONNECT h:1 HTTP/1.1",
        "GET",
        "\r\nGET / HTTP/1.1",
    ]);
    let field = prop::sample::select(vec![
        "host: h",
        "Host: a.example:80",
        "host:",
        "host: a,b",
        "host: h\r\nhost: h",
        "host: [::1]",
        "content-length: 3",
        "content-length: 3, 3",
        "content-length: -3",
        "Content-Length:\t07 ",
        "transfer-encoding: chunked",
        "transfer-encoding: gzip, chunked",
        "x-a: 1",
        "x-b:",
        "x : 1",
        " folded",
        "x",
        "x: \u{e4}",
    ]);
    let end = prop::sample::select(vec!["\r\n\r\n", "\r\n\r\nrest", "\r\n", "\n\n", "\n\r\n"]);
    let parts = (line, prop::collection::vec(field, 0..5), end);
    let joined = parts.prop_map(|(line, fields, end)| {
        let mut text = line.to_owned();
        for field in fields {
            text += "\r\n";
            text += field;
        }
        (text + end).into_bytes()
    });
    let byte = prop_oneof![any::<u8>(), prop::sample::select(b"\r\n :\t\0,;/*#@[]".to_vec())];
    let changes = prop::collection::vec((any::<prop::sample::Index>(), 0..3_u8, byte), 0..3);
    (joined, changes).prop_map(|(mut bytes, changes)| {
        for (place, kind, byte) in changes {
            let at = place.index(bytes.len());
            match kind {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ => drop(bytes.remove(at)),
            }
        }
        bytes
    })
}

/// Hands the bytes in bit by bit.
fn in_parts(bytes: &[u8], cuts: &[prop::sample::Index]) -> Progress {
    let mut ends: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    ends.push(bytes.len());
    ends.sort_unstable();
    let mut scanner = Scanner::new(BOUNDS);
    let mut last = Progress::More;
    for end in ends {
        last = scanner.scan(&bytes[..end]);
        if last != Progress::More {
            break;
        }
    }
    last
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_cut_changes_nothing(bytes in nearly(), cuts: Vec<prop::sample::Index>) {
        prop_assert_eq!(in_parts(&bytes, &cuts), scan(&bytes));
        let all: Vec<_> = (0..bytes.len()).collect();
        let mut scanner = Scanner::new(BOUNDS);
        let each = all.iter().map(|end| scanner.scan(&bytes[..=*end])).find(|p| *p != Progress::More);
        prop_assert_eq!(each.unwrap_or(Progress::More), scan(&bytes));
    }

    #[test]
    fn a_reference_agrees(bytes in nearly()) {
        match (scan(&bytes), reference(&bytes)) {
            (Progress::Whole(head), Some((length, framing))) => {
                prop_assert_eq!((head.span.end, head.framing), (length, framing));
            }
            (Progress::Whole(head), None) => prop_assert!(false, "taken: {:?}", head),
            (other, Some(_)) => prop_assert!(false, "not taken: {:?}", other),
            (_, None) => {}
        }
    }

    #[test]
    fn nothing_panics(bytes: Vec<u8>, cuts: Vec<prop::sample::Index>) {
        prop_assert_eq!(in_parts(&bytes, &cuts), scan(&bytes));
    }

    /// What is taken here is taken by Pingora, which would answer in its own way otherwise.
    #[test]
    fn pingora_takes_what_is_taken(bytes in nearly()) {
        if let Progress::Whole(head) = scan(&bytes) {
            let made = head.rewritten(&bytes).unwrap_or_else(|| bytes[head.span.clone()].to_vec());
            let target = made.split(|byte| *byte == b' ').nth(1).unwrap();
            let method = made.split(|byte| *byte == b' ').next().unwrap();
            prop_assert!(pingora::http::RequestHeader::build(method, target, None).is_ok());
        }
    }
}

#[test]
fn every_target_that_is_taken_is_a_target_to_pingora() {
    for byte in 0..=255_u8 {
        for target in [[&b"/a"[..], &[byte]].concat(), [&b"/?b"[..], &[byte]].concat()] {
            let text = [b"GET ", &target[..], b" HTTP/1.1\r\nhost: h\r\n\r\n"].concat();
            if let Progress::Whole(_) = scan(&text) {
                let built = pingora::http::RequestHeader::build("GET", &target, None);
                assert!(built.is_ok_and(|built| built.raw_path() == target), "{byte} {}", char::from(byte));
            }
        }
    }
}

#[test]
fn the_log_gets_what_can_be_read() {
    for (bytes, told) in [
        (&b"GET /a HTTP/1.2\r\n"[..], ("GET", &b"/a"[..])),
        (b"\r\nGET /a b\r\n", ("GET", b"/a")),
        (b"GET /a", ("GET", b"")),
        (b"GET /\x01 HTTP/1.1\r\n", ("GET", b"")),
        (b"G\x01T /a HTTP/1.1\r\n", ("", b"")),
        (b"\x16\x03\x01", ("", b"")),
        (b"", ("", b"")),
    ] {
        assert_eq!(super::super::line::told(bytes, 100), told, "{}", bytes.escape_ascii());
    }
}
