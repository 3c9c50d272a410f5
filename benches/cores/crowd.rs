//! Tables that a router could be slow on: all routes on one host or one path.

use http::{HeaderMap, HeaderName, HeaderValue};
use tidegate::config::live::{Match, PathMatch};

use super::{Lookup, exact, headers, name, router};

/// What alone tells the routes of a table apart. The one that is asked for stands in the middle.
#[derive(Clone, Copy, Debug)]
pub enum Crowd {
    /// The value of a header.
    Header,
    /// The value of a query parameter.
    Query,
    /// Two headers, a hundred values each.
    Headers,
    /// The wildcard host.
    Wildcards,
    /// The last segment of a prefix, on one host.
    Prefixes,
    /// The last but one segment of a regex, on one host.
    Regexes,
    /// The end of a regex: nothing is known of where it begins. One by one.
    Alike,
}

// === impl Lookup ===

impl Lookup {
    /// A table of so many routes that differ in one thing only.
    pub fn crowded(routes: usize, crowd: Crowd) -> Self {
        let table: Vec<_> = (0..routes).map(|i| (name("route", i), conditions(i, crowd))).collect();
        let middle = routes / 2;
        let mut lookup = Self {
            router: router(&table),
            host: "shop.example.com".into(),
            path: "/api/v1/users/12345/orders".into(),
            query: "page=2",
            headers: headers(),
        };
        match crowd {
            Crowd::Header => put(&mut lookup.headers, "x-tenant", format!("t{middle}")),
            Crowd::Query => lookup.query = Box::leak(format!("page=2&tenant=t{middle}").into_boxed_str()),
            Crowd::Headers => {
                put(&mut lookup.headers, "x-tenant", format!("t{}", middle / 100));
                put(&mut lookup.headers, "x-plan", format!("p{}", middle % 100));
            }
            Crowd::Wildcards => lookup.host = format!("shop.t{middle}.example.com"),
            Crowd::Prefixes => lookup.path = format!("/api/v1/tenants/svc{middle}/users/12345/orders"),
            Crowd::Regexes => lookup.path = format!("/api/v1/svc{middle}/12345"),
            Crowd::Alike => lookup.path = format!("/12345/svc{middle}"),
        }
        assert_eq!(lookup.find(), Some(middle), "{crowd:?} asks for what it says");
        lookup
    }
}

fn put(headers: &mut HeaderMap, name: &'static str, value: String) {
    let value = HeaderValue::from_str(&value).expect("a value");
    headers.insert(HeaderName::from_static(name), value);
}

fn conditions(i: usize, crowd: Crowd) -> Match {
    let host = if matches!(crowd, Crowd::Wildcards) {
        format!("*.t{i}.example.com")
    } else {
        "shop.example.com".into()
    };
    let path = match crowd {
        Crowd::Prefixes => PathMatch::Prefix(format!("/api/v1/tenants/svc{i}")),
        Crowd::Regexes => PathMatch::Regex(format!("/api/v1/svc{i}/([0-9]+|new)")),
        Crowd::Alike => PathMatch::Regex(format!("/[0-9]+/svc{i}")),
        _ => PathMatch::Prefix("/api".into()),
    };
    let headers = match crowd {
        Crowd::Header => vec![exact("x-tenant", &format!("t{i}"))],
        Crowd::Headers => {
            vec![exact("x-tenant", &format!("t{}", i / 100)), exact("x-plan", &format!("p{}", i % 100))]
        }
        _ => Vec::new(),
    };
    let query =
        if matches!(crowd, Crowd::Query) { vec![exact("tenant", &format!("t{i}"))] } else { Vec::new() };
    Match { hosts: vec![host.parse().expect("a host")], path: Some(path), headers, query, ..Match::default() }
}
