//! Tables and requests by example. `reference` holds the router to a naive one over random tables.

mod crowded;
mod reference;
mod speed;

use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, Method};
use serde_json::{Value, json};

use crate::config::live::Route;
use crate::config::problem::Problem;
use crate::route::{RequestView, Router, Rule};

/// A compiled table with the names of its routes.
struct Table {
    routes: Vec<Route>,
    router: Router,
}

fn routes(routes: Value) -> Vec<Route> {
    serde_json::from_value(routes).unwrap()
}

fn rules(routes: &[Route]) -> Vec<Rule<'_>> {
    routes.iter().map(|r| Rule { name: &r.name, priority: r.priority, conditions: &r.r#match }).collect()
}

fn table(json: Value) -> Table {
    let routes = routes(json);
    let router = Router::compile(&rules(&routes)).unwrap();
    Table { routes, router }
}

fn problems(json: Value) -> Vec<Problem> {
    Router::compile(&rules(&routes(json))).unwrap_err()
}

/// Calls `with` with the view of `GET host/path?query` and headers.
fn request<T>(
    method: &str,
    url: &str,
    headers: &[(&str, &[u8])],
    with: impl FnOnce(&RequestView<'_>) -> T,
) -> T {
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    let (host, rest) = url.split_at(url.find('/').unwrap());
    let (path, query) = match rest.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (rest, None),
    };
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let name: HeaderName = name.parse().unwrap();
        map.append(name, HeaderValue::from_bytes(value).unwrap());
    }
    with(&RequestView { host, path, query, method: &method, headers: &map })
}

impl Table {
    fn find(&self, method: &str, url: &str, headers: &[(&str, &[u8])]) -> &str {
        let found = request(method, url, headers, |view| self.router.find(view));
        found.map_or("-", |index| self.routes[index].name.as_str())
    }

    fn get(&self, url: &str) -> &str {
        self.find("GET", url, &[])
    }
}

#[test]
fn precedence_in_its_order() {
    let cases = [
        ("priority stands before the host", json!([{ "priority": 1 }, { "hosts": ["a.b"] }])),
        (
            "an exact host over a wildcard",
            json!([{ "hosts": ["a.b"] }, { "hosts": ["*.b"], "path": { "exact": "/p/q" } }]),
        ),
        (
            "the longest wildcard",
            json!([{ "hosts": ["*.a.b"] }, { "hosts": ["*.b"], "path": { "exact": "/p/q" } }]),
        ),
        ("a wildcard over any", json!([{ "hosts": ["*.b"] }, { "path": { "exact": "/p/q" } }])),
        (
            "an exact path over a prefix",
            json!([{ "path": { "exact": "/p/q" } }, { "path": { "prefix": "/p/q" } }]),
        ),
        (
            "the longest prefix",
            json!([{ "path": { "prefix": "/p/q/" } }, { "path": { "prefix": "/p" }, "methods": ["GET"] }]),
        ),
        ("a prefix over a regex", json!([{ "path": { "prefix": "/" } }, { "path": { "regex": "/p/q" } }])),
        ("none is the prefix /, so over a regex", json!([{}, { "path": { "regex": "/p/q" } }])),
        (
            "more headers over more query",
            json!([{ "headers": [{ "name": "h", "exact": "1" }] }, { "query": [{ "name": "x", "present": true }, { "name": "y", "present": false }] }]),
        ),
        (
            "more query over methods",
            json!([{ "query": [{ "name": "x", "present": true }] }, { "methods": ["GET"] }]),
        ),
        ("methods over none", json!([{ "methods": ["GET", "POST"] }, {}])),
        (
            "fewer methods are not more: the name",
            json!([{ "methods": ["GET", "POST"] }, { "methods": ["GET"] }]),
        ),
        ("the name", json!([{}, {}])),
    ];
    for (why, matches) in cases {
        let names = ["a-wins", "b-loses"];
        let mut specs: Vec<Value> = Vec::new();
        for (name, spec) in names.iter().zip(matches.as_array().unwrap()) {
            let mut spec = spec.clone();
            let priority = spec.as_object_mut().unwrap().remove("priority").unwrap_or_else(|| json!(0));
            specs.push(json!({ "name": name, "priority": priority, "match": spec }));
        }
        for specs in [specs.clone(), specs.into_iter().rev().collect()] {
            let table = table(json!(specs));
            let host = if why.contains("longest wildcard") { "c.a.b" } else { "a.b" };
            assert_eq!(table.find("GET", &format!("{host}/p/q?x=1"), &[("h", b"1")]), "a-wins", "{why}");
        }
    }
}

#[test]
fn hosts_fall_through_to_less_specific_ones() {
    let table = table(json!([
        { "name": "exact", "match": { "hosts": ["a.example.com"], "methods": ["POST"] } },
        { "name": "long", "match": { "hosts": ["*.example.com"], "path": { "prefix": "/x" } } },
        { "name": "short", "match": { "hosts": ["*.com"], "path": { "prefix": "/y" } } },
        { "name": "any", "match": { "path": { "prefix": "/z" } } },
        { "name": "several", "match": { "hosts": ["b.example.com", "*.org"] } },
    ]));
    assert_eq!(table.find("POST", "a.example.com/x", &[]), "exact");
    for (url, name) in [
        ("a.example.com/x", "long"),
        ("a.example.com/y", "short"),
        ("a.example.com/z", "any"),
        ("a.example.com/", "-"),
        ("a.b.example.com/x", "long"),
        ("example.com/x", "-"),
        ("example.com/y", "short"),
        ("com/y", "-"),
        (".com/y", "-"),
        ("b.example.com/x", "several"),
        ("x.org/x", "several"),
        ("org/x", "-"),
        ("/z", "any"),
        ("/x", "-"),
        ("...............com/y", "short"),
    ] {
        assert_eq!(table.get(url), name, "{url}");
    }
}

#[test]
fn headers() {
    let table = table(json!([
        { "name": "exact", "match": { "path": { "prefix": "/exact" }, "headers": [{ "name": "X-H", "exact": "1" }] } },
        { "name": "prefix", "match": { "path": { "prefix": "/prefix" }, "headers": [{ "name": "x-h", "prefix": "a" }] } },
        { "name": "regex", "match": { "path": { "prefix": "/regex" }, "headers": [{ "name": "x-h", "regex": "a|b" }] } },
        { "name": "present", "match": { "path": { "prefix": "/present" }, "headers": [{ "name": "x-h", "present": true }] } },
        { "name": "absent", "match": { "path": { "prefix": "/absent" }, "headers": [{ "name": "x-h", "present": false }] } },
        { "name": "not", "match": { "path": { "prefix": "/not" }, "headers": [{ "name": "x-h", "exact": "1", "invert": true }] } },
    ]));
    let cases: &[(&str, &[&[u8]], bool)] = &[
        ("exact", &[b"1"], true),
        ("exact", &[b"2", b"1"], true),
        ("exact", &[b"1, 2"], false),
        ("exact", &[], false),
        ("prefix", &[b"abc"], true),
        ("prefix", &[b"bc"], false),
        ("prefix", &[b"a\xff"], false),
        ("prefix", &["aé".as_bytes()], true),
        ("regex", &[b"b"], true),
        ("regex", &[b"ab"], false),
        ("present", &[b"\xff"], true),
        ("present", &[], false),
        ("absent", &[], true),
        ("absent", &[b""], false),
        ("not", &[b"2", b"3"], true),
        ("not", &[b"2", b"1"], false),
        ("not", &[], true),
        ("not", &[b"\xff"], true),
    ];
    for (name, values, holds) in cases {
        let headers: Vec<_> = values.iter().map(|value| ("x-h", *value)).collect();
        let found = table.find("GET", &format!("h/{name}"), &headers);
        assert_eq!(found, if *holds { *name } else { "-" }, "{name} {values:?}");
    }
}

#[test]
fn query_and_methods() {
    let table = table(json!([
        { "name": "query", "match": { "query": [{ "name": "a b", "exact": "x y" }] } },
        { "name": "regex", "match": { "query": [{ "name": "r", "regex": "[é]+" }] } },
        { "name": "method", "match": { "path": { "prefix": "/m" }, "methods": ["GET", "PURGE"] } },
    ]));
    for (method, url, name) in [
        ("GET", "h/?a+b=x%20y", "query"),
        ("GET", "h/?a%20b=1&a+b=x+y", "query"),
        ("GET", "h/?a b=x", "-"),
        ("GET", "h/?r=%c3%A9é", "regex"),
        ("GET", "h/?r=%ff", "-"),
        ("GET", "h/m", "method"),
        ("PURGE", "h/m", "method"),
        ("purge", "h/m", "-"),
        ("HEAD", "h/m", "-"),
    ] {
        assert_eq!(table.find(method, url, &[]), name, "{method} {url}");
    }
}

#[test]
fn every_problem_is_told_at_once() {
    let problems = problems(json!([
        { "name": "a", "match": { "path": { "regex": "(" }, "methods": ["get", "A B"] } },
        { "name": "b", "match": { "path": { "exact": "x" }, "headers": [
            { "name": "host", "exact": "x" },
            { "name": "a b", "exact": "x" },
            { "name": "x" },
            { "name": "x", "exact": "1", "present": true },
            { "name": "x", "regex": "(?=x)" },
        ], "query": [{ "name": "", "exact": "" }, { "name": "q", "regex": "[" }] } },
    ]));
    let paths: Vec<_> = problems.iter().map(|p| p.path.as_str()).collect();
    assert_eq!(
        paths,
        [
            "routes[0].match.path.regex",
            "routes[0].match.methods[0]",
            "routes[0].match.methods[1]",
            "routes[1].match.path.exact",
            "routes[1].match.headers[0].name",
            "routes[1].match.headers[1].name",
            "routes[1].match.headers[2]",
            "routes[1].match.headers[3]",
            "routes[1].match.headers[4].regex",
            "routes[1].match.query[0].name",
            "routes[1].match.query[1].regex",
        ]
    );
    assert!(problems.iter().all(|p| p.hint.is_some() || p.path.ends_with("query[0].name")), "{problems:#?}");
    assert_eq!(problems[1].hint.as_deref(), Some("write `GET`"));
    assert_eq!(problems[4].hint.as_deref(), Some("use match.hosts"));
}

#[test]
fn losers_say_why() {
    let table = table(json!([
        { "name": "host", "match": { "hosts": ["a.org", "*.b.org"] }, "priority": 2 },
        { "name": "path", "match": { "path": { "exact": "/a" } }, "priority": 1 },
        { "name": "method", "match": { "path": { "exact": "/p" }, "methods": ["PUT", "POST"] } },
        { "name": "header", "match": { "path": { "exact": "/p" }, "headers": [{ "name": "X-Beta", "exact": "1" }] } },
        { "name": "query", "match": { "path": { "exact": "/p" }, "query": [{ "name": "q", "regex": "[0-9]+" }] } },
        { "name": "winner", "match": { "hosts": ["*.org", "c.org", "d.org"], "path": { "prefix": "/" } }, "priority": -1 },
        { "name": "behind", "match": {}, "priority": -2 },
    ]));
    let lines = |headers: &[(&str, &[u8])]| {
        let fates = request("GET", "c.org/p?q=x&q=%ff", headers, |view| table.router.explain(view));
        fates.into_iter().map(|f| f.lost.unwrap_or_else(|| format!("{} won", f.route))).collect::<Vec<_>>()
    };
    assert_eq!(
        lines(&[]),
        [
            "host: expected a.org or *.b.org, the request has c.org",
            "path: expected exactly /a, the request has /p",
            "header x-beta: expected exactly \"1\", the request has none",
            "query q: expected a text that matches \"[0-9]+\", the request has \"x\", bytes that are not UTF-8",
            "method: expected PUT or POST, the request has GET",
            "winner won",
        ]
    );
    assert_eq!(lines(&[("x-beta", b"1")]).last().unwrap(), "header won");
}

#[test]
fn a_long_explanation_keeps_what_came_furthest() {
    let mut specs: Vec<_> = (0..300)
        .map(|i| json!({ "name": format!("r{i:03}"), "match": { "hosts": [format!("h{i}")] } }))
        .collect();
    specs.push(json!({ "name": "path", "match": { "path": { "exact": "/other" } } }));
    specs.push(json!({ "name": "z-method", "match": { "methods": ["PUT"] } }));
    let table = table(json!(specs));
    let (explanation, all) = request("GET", "h/p", &[], |view| {
        (table.router.explanation(view, 100), table.router.explanation(view, usize::MAX))
    });
    assert_eq!((all.candidates.len(), all.left_out, all.note()), (302, 0, None));
    assert_eq!((explanation.candidates.len(), explanation.left_out), (100, 202));
    assert_eq!(explanation.note().unwrap(), "202 more routes lost earlier and are not shown");
    let names: Vec<_> = explanation.candidates.iter().map(|c| c.route.as_str()).collect();
    assert_eq!((names[0], names[97], names[98], names[99]), ("r000", "r097", "path", "z-method"));
}

#[test]
fn routes_that_can_never_win_are_found() {
    let table = table(json!([
        { "name": "a", "match": { "path": { "prefix": "/a" } } },
        { "name": "a-twin", "match": { "path": { "prefix": "/a/" } } },
        { "name": "b-regex", "match": { "path": { "regex": "/a/[0-9]+" } } },
        { "name": "c-regex", "match": { "path": { "regex": "/b/[0-9]+" } } },
        { "name": "d-lower", "match": { "hosts": ["x.org"], "path": { "exact": "/a/b" } }, "priority": -1 },
        { "name": "e-lower", "match": { "hosts": ["x.org"], "path": { "exact": "/c" }, "methods": ["GET"] }, "priority": -1 },
        { "name": "f", "match": { "hosts": ["*.org"], "methods": ["GET"], "path": { "prefix": "/c" } } },
        { "name": "g-half", "match": { "hosts": ["x.org", "y.com"], "path": { "prefix": "/c" }, "methods": ["GET"] }, "priority": -2 },
        { "name": "h-wider", "match": { "hosts": ["x.org"], "path": { "prefix": "/c" } }, "priority": -2 },
    ]));
    let name = |i: usize| table.routes[i].name.as_str();
    let pairs: Vec<_> = table.router.shadowed().into_iter().map(|(a, b)| (name(a), name(b))).collect();
    assert_eq!(pairs, [("a-twin", "a"), ("b-regex", "a"), ("e-lower", "f"), ("d-lower", "a")]);
}
