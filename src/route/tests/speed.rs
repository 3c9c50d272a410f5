//! The figures of DESIGN.md section 9, as a guard against accidents: the limits are far above what
//! an optimised build needs, so that an unoptimised one on a busy machine keeps them. The benches
//! measure.

use std::hint::black_box;

use http::{HeaderMap, Method};
use tokio::time::Instant;

use crate::config::live::{Match, PathMatch, ValueMatch};
use crate::config::{Name, Problem};
use crate::route::{RequestView, Router, Rule};

const ROUTES: usize = 10_000;

/// Half have a host of their own, half share one; every tenth is a regex, every other has a header
/// condition too.
fn table() -> Vec<(Name, Match)> {
    let one = |i: usize| {
        let host = if i.is_multiple_of(2) { format!("h{i}.example.com") } else { "*.example.org".into() };
        let path = match i % 10 {
            0 => PathMatch::Regex(format!("/svc{i}/[0-9]+")),
            1 => PathMatch::Exact(format!("/api/v1/svc{i}/status")),
            _ => PathMatch::Prefix(format!("/api/v1/svc{i}")),
        };
        let exact = Some("1".into());
        let header = ValueMatch {
            name: "x-beta".into(),
            exact,
            prefix: None,
            regex: None,
            present: None,
            invert: false,
        };
        let headers = if i.is_multiple_of(3) { vec![header] } else { vec![] };
        let conditions =
            Match { hosts: vec![host.parse().unwrap()], path: Some(path), headers, ..Match::default() };
        (format!("route-{i}").parse().unwrap(), conditions)
    };
    (0..ROUTES).map(one).collect()
}

fn compile(table: &[(Name, Match)]) -> Result<Router, Vec<Problem>> {
    let rules: Vec<_> =
        table.iter().map(|(name, conditions)| Rule { name, priority: 0, conditions }).collect();
    Router::compile(&rules)
}

#[test]
fn ten_thousand_routes_compile_and_match_fast() {
    let table = table();
    let start = Instant::now();
    let router = compile(&table).unwrap();
    let compiled = start.elapsed();
    let mut headers = HeaderMap::new();
    headers.insert("x-beta", "1".parse().unwrap());
    let asks: Vec<_> = (0..ROUTES)
        .map(|i| {
            let host =
                if i.is_multiple_of(2) { format!("h{i}.example.com") } else { "shop.eu.example.org".into() };
            let path = match i % 10 {
                0 => format!("/svc{i}/12345"),
                1 => format!("/api/v1/svc{i}/status"),
                _ => format!("/api/v1/svc{i}/users/12345/orders/67890"),
            };
            (host, path)
        })
        .collect();
    let rounds = if cfg!(debug_assertions) { 1 } else { 20 };
    let start = Instant::now();
    for _ in 0..rounds {
        for (i, (host, path)) in asks.iter().enumerate() {
            let view = RequestView { host, path, query: None, method: &Method::GET, headers: &headers };
            assert_eq!(black_box(router.find(black_box(&view))), Some(i));
        }
    }
    let each = start.elapsed() / u32::try_from(rounds * ROUTES).unwrap();
    println!("{ROUTES} routes: compiled in {compiled:?}, a match in {each:?}");
    assert!(compiled.as_secs() < 5 && each.as_micros() < 100, "{compiled:?} {each:?}");
}
