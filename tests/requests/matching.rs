//! Every kind of condition, and which route wins, seen from outside. The rules themselves are
//! tested beside `route`.

use crate::support::{RawClient, Tidegate};

/// Each route answers with its own name.
const ROUTES: &str = r#"
routes:
  - { name: host-exact,   match: { hosts: [ shop.example.com ] }, respond: { status: 200, body: host-exact } }
  - { name: host-near,    match: { hosts: [ "*.eu.example.com" ] }, respond: { status: 200, body: host-near } }
  - { name: host-far,     match: { hosts: [ "*.example.com" ] }, respond: { status: 200, body: host-far } }
  - { name: path-exact,   match: { path: { exact: /a/b } }, respond: { status: 200, body: path-exact } }
  - { name: path-longer,  match: { path: { prefix: /a/b } }, respond: { status: 200, body: path-longer } }
  - { name: path-prefix,  match: { path: { prefix: /a } }, respond: { status: 200, body: path-prefix } }
  - { name: path-regex,   match: { path: { regex: "/r/[0-9]+" } }, respond: { status: 200, body: path-regex } }
  - { name: by-method,    match: { path: { prefix: /m }, methods: [ POST, PUT ] }, respond: { status: 200, body: by-method } }
  - { name: h-exact,      match: { path: { prefix: /h }, headers: [ { name: x-e, exact: "1" } ] }, respond: { status: 200, body: h-exact } }
  - { name: h-prefix,     match: { path: { prefix: /h }, headers: [ { name: x-p, prefix: ab } ] }, respond: { status: 200, body: h-prefix } }
  - { name: h-regex,      match: { path: { prefix: /h }, headers: [ { name: x-r, regex: "[a-c]+" } ] }, respond: { status: 200, body: h-regex } }
  - { name: h-present,    match: { path: { prefix: /h }, headers: [ { name: x-here, present: true } ] }, respond: { status: 200, body: h-present } }
  - { name: h-absent,     match: { path: { prefix: /i }, headers: [ { name: x-here, present: true, invert: true } ] }, respond: { status: 200, body: h-absent } }
  - { name: h-two,        match: { path: { prefix: /h }, headers: [ { name: x-e, exact: "1" }, { name: x-here, present: true } ] }, respond: { status: 200, body: h-two } }
  - { name: q-exact,      match: { path: { prefix: /q }, query: [ { name: debug, exact: "on" } ] }, respond: { status: 200, body: q-exact } }
  - { name: q-present,    match: { path: { prefix: /q }, query: [ { name: trace, present: true } ] }, respond: { status: 200, body: q-present } }
  - { name: first,        match: { path: { exact: /a/b }, headers: [ { name: x-prio, present: true } ] }, priority: 1, respond: { status: 200, body: first } }
"#;

/// Method, target, host, one more header line, and the route that takes it; empty: none.
const CASES: &[(&str, &str, &str, &str, &str)] = &[
    ("GET", "/", "shop.example.com", "", "host-exact"),
    ("GET", "/a/b", "shop.example.com", "", "host-exact"),
    ("GET", "/", "Shop.Example.COM:8080", "", "host-exact"),
    ("GET", "/", "shop.example.com.", "", "host-exact"),
    ("GET", "/", "x.example.com", "", "host-far"),
    ("GET", "/", "x.y.example.com", "", "host-far"),
    ("GET", "/", "x.eu.example.com", "", "host-near"),
    ("GET", "/", "eu.example.com", "", "host-far"),
    ("GET", "/", "example.com", "", ""),
    ("GET", "/a/b", "h", "", "path-exact"),
    ("GET", "/a/b?x=/", "h", "", "path-exact"),
    ("GET", "/a/b/", "h", "", "path-longer"),
    ("GET", "/a/b/c", "h", "", "path-longer"),
    ("GET", "/a/bc", "h", "", "path-prefix"),
    ("GET", "/a", "h", "", "path-prefix"),
    ("GET", "/ab", "h", "", ""),
    ("GET", "/r/42", "h", "", "path-regex"),
    ("GET", "/r/42x", "h", "", ""),
    ("GET", "/r/4?2x", "h", "", "path-regex"),
    ("POST", "/m", "h", "content-length: 0", "by-method"),
    ("PUT", "/m/x", "h", "content-length: 0", "by-method"),
    ("GET", "/m", "h", "", ""),
    ("GET", "/h", "h", "x-e: 1", "h-exact"),
    ("GET", "/h", "h", "X-E:   1  ", "h-exact"),
    ("GET", "/h", "h", "x-e: 2", ""),
    ("GET", "/h", "h", "x-e: 2\r\nx-e: 1", "h-exact"),
    ("GET", "/h", "h", "x-p: abc", "h-prefix"),
    ("GET", "/h", "h", "x-p: ba", ""),
    ("GET", "/h", "h", "x-r: abba", "h-regex"),
    ("GET", "/h", "h", "x-r: abbd", ""),
    ("GET", "/h", "h", "x-here:", "h-present"),
    ("GET", "/h", "h", "x-here: \u{e4}", "h-present"),
    ("GET", "/i", "h", "x-here: 1", ""),
    ("GET", "/i", "h", "", "h-absent"),
    ("GET", "/h", "h", "x-e: 1\r\nx-here: 1", "h-two"),
    ("GET", "/q?debug=on", "h", "", "q-exact"),
    ("GET", "/q?a=1&%64ebug=on", "h", "", "q-exact"),
    ("GET", "/q?debug=off", "h", "", ""),
    ("GET", "/q?trace", "h", "", "q-present"),
    ("GET", "/q?traces=1", "h", "", ""),
    ("GET", "/a/b", "h", "x-prio: 1", "first"),
    ("GET", "/a/b", "shop.example.com", "x-prio: 1", "first"),
];

#[tokio::test]
async fn each_condition_takes_what_it_says() {
    let tidegate = Tidegate::new(ROUTES).start().await;
    let mut raw = RawClient::connect(tidegate.addr("http")).await;
    for (method, target, host, more, route) in CASES {
        let more = if more.is_empty() { String::new() } else { format!("{more}\r\n") };
        let request = format!("{method} {target} HTTP/1.1\r\nhost: {host}\r\n{more}\r\n");
        let response = raw.ask(&request).await;
        let (status, body) = if route.is_empty() { (404, "no route\n") } else { (200, *route) };
        assert_eq!((response.status, response.text().as_str()), (status, body), "{request}");
    }
    let lost = CASES.iter().filter(|case| case.4.is_empty()).count();
    let no_route = tidegate.metric("tidegate_http_response_flags_total", &["flag=\"NR\""]).await;
    assert_eq!(no_route, lost as f64);
    let line = tidegate.logged(|line| line["flags"] == "NR").await;
    assert_eq!((&line["status"], &line["route"]), (&404.into(), &"".into()));
}
