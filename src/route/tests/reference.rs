//! The router against a naive one: sort everything, try everything. The naive one shares no code
//! with the router.
//!
//! The alphabets are tiny, so that hosts, paths and conditions overlap all the time and most
//! requests have several routes to choose from.

use std::cmp::Ordering;

use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, Method};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use proptest::test_runner::RngSeed;
use regex::Regex;

use crate::config::Name;
use crate::config::live::{Match, PathMatch, ValueMatch};
use crate::config::value::HostPattern;
use crate::route::{RequestView, Router, Rule};

const HOSTS: [&str; 7] = ["a.x", "b.a.x", "x", "*.x", "*.a.x", "*.b.a.x", "c.b.a.x"];
const PREFIXES: [&str; 9] = ["/", "/a", "/a/", "/b", "/a/b", "/a//b", "/ab", "/a/b/a", "/a%2Fb"];
const REGEXES: [&str; 10] =
    ["/a.*", "/[ab]/b", "/a/b?", ".*", "/a/(a|b)", "/b/[^/]+", "/a/b/.+", "^/a$", "(?i)/A", "/a/?b"];
const PATHS: [&str; 14] = [
    "/", "/a", "/a/", "/b", "/b/", "/ab", "/a/b", "/a/b/", "/a/b/a", "/a//b", "/a/b/b/a", "//a", "*",
    "/a%2Fb",
];
pub(super) const VALUES: [&str; 5] = ["", "a", "ab", "b", "a b"];

/// A rule that owns its parts.
#[derive(Clone, Debug)]
pub(super) struct Spec {
    pub(super) name: Name,
    pub(super) priority: i32,
    pub(super) conditions: Match,
}

/// A request that owns its parts. Pieces of the query are encoded.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    host: String,
    path: String,
    query: Option<String>,
    method: Method,
    headers: Vec<(&'static str, Vec<u8>)>,
}

pub(super) fn value_match(names: &'static [&'static str]) -> impl Strategy<Value = ValueMatch> {
    let text = || select(&VALUES[..]).prop_map(str::to_owned);
    (select(names), 0..4, text(), select(&["a.*", "a|b", "", "[ab]+"][..]), any::<bool>(), any::<bool>())
        .prop_map(|(name, kind, text, regex, present, invert)| ValueMatch {
            name: name.into(),
            exact: (kind == 0).then(|| text.clone()),
            prefix: (kind == 1).then(|| text.clone()),
            regex: (kind == 2).then(|| regex.into()),
            present: (kind == 3).then_some(present),
            invert,
        })
}

fn path_match() -> impl Strategy<Value = Option<PathMatch>> {
    prop_oneof![
        1 => Just(None),
        2 => select(&PATHS[..12]).prop_map(|p| Some(PathMatch::Exact(p.into()))),
        4 => select(&PREFIXES[..]).prop_map(|p| Some(PathMatch::Prefix(p.into()))),
        3 => select(&REGEXES[..]).prop_map(|p| Some(PathMatch::Regex(p.into()))),
    ]
}

fn specs() -> impl Strategy<Value = Vec<Spec>> {
    let hosts = subsequence(HOSTS.to_vec(), 0..3);
    let methods = subsequence(vec!["GET", "POST", "PUT"], 0..3);
    let headers = prop::collection::vec(value_match(&["x-a", "x-b"]), 0..3);
    let query = prop::collection::vec(value_match(&["q", "r s"]), 0..2);
    let priority = prop_oneof![4 => Just(0), 1 => -1..2];
    let one = (priority, hosts, path_match(), methods, headers, query);
    prop::collection::vec(one, 0..14).prop_map(|rules| {
        let named = |(i, (priority, hosts, path, methods, headers, query)): (
            usize,
            (_, Vec<&str>, _, Vec<&str>, _, _),
        )| {
            let hosts = hosts.iter().map(|host| host.parse().unwrap()).collect();
            let methods = methods.into_iter().map(str::to_owned).collect();
            // Names in another order than the indexes.
            let name = format!("r{:02}", (i * 7) % 15).parse().unwrap();
            Spec { name, priority, conditions: Match { hosts, path, methods, headers, query } }
        };
        rules.into_iter().enumerate().map(named).collect()
    })
}

pub(super) fn ask() -> impl Strategy<Value = Ask> {
    let hosts = vec!["a.x", "b.a.x", "x", "c.x", "c.b.a.x", "d.c.b.a.x", "y", "", ".x"];
    let value = prop_oneof![
        6 => select(&VALUES[..]).prop_map(|v| v.as_bytes().to_vec()),
        1 => Just(b"a\xff".to_vec()),
    ];
    let piece = select(
        &["q=a", "q=ab", "q", "q=a%62", "%71=b", "r+s=a+b", "r%20s=b", "q=a%ff", "z=1", "", "q=%zz"][..],
    );
    let query = prop::option::of(prop::collection::vec(piece, 0..3).prop_map(|pieces| pieces.join("&")));
    let headers = prop::collection::vec((select(&["x-a", "x-b"][..]), value), 0..3);
    let methods = vec![Method::GET, Method::POST, Method::PUT];
    (select(hosts), select(&PATHS[..]), query, select(methods), headers).prop_map(
        |(host, path, query, method, headers)| Ask {
            host: host.into(),
            path: path.into(),
            query,
            method,
            headers,
        },
    )
}

// === the naive router ===

/// Nearer first. `a` and `b` are rules with the place of one of their hosts.
fn nearness((a, ha): (&Spec, Option<&HostPattern>), (b, hb): (&Spec, Option<&HostPattern>)) -> Ordering {
    let host = |h: Option<&HostPattern>| match h {
        None => (0, 0),
        Some(HostPattern::Suffix(s)) => (1, s.matches('.').count()),
        Some(HostPattern::Exact(_)) => (2, 0),
    };
    let path = |m: &Match| match &m.path {
        Some(PathMatch::Regex(_)) => (0, 0),
        None => (1, 0),
        Some(PathMatch::Prefix(p)) => (1, p.trim_end_matches('/').len()),
        Some(PathMatch::Exact(_)) => (2, 0),
    };
    let (x, y) = (&a.conditions, &b.conditions);
    (b.priority.cmp(&a.priority))
        .then(host(hb).cmp(&host(ha)))
        .then(path(y).cmp(&path(x)))
        .then(y.headers.len().cmp(&x.headers.len()))
        .then(y.query.len().cmp(&x.query.len()))
        .then(x.methods.is_empty().cmp(&y.methods.is_empty()))
        .then(a.name.cmp(&b.name))
}

fn host_holds(host: Option<&HostPattern>, ask: &Ask) -> bool {
    match host {
        None => true,
        Some(HostPattern::Exact(name)) => **name == ask.host,
        Some(HostPattern::Suffix(suffix)) => {
            let label = ask.host.strip_suffix(&**suffix);
            label.is_some_and(|label| !label.is_empty())
        }
    }
}

fn path_holds(path: Option<&PathMatch>, ask: &Ask) -> bool {
    match path {
        None => true,
        Some(PathMatch::Exact(text)) => *text == ask.path,
        Some(PathMatch::Regex(text)) => Regex::new(&format!("^(?:{text})$")).unwrap().is_match(&ask.path),
        Some(PathMatch::Prefix(text)) if text == "/" => true,
        Some(PathMatch::Prefix(text)) => {
            let want: Vec<_> = text.trim_end_matches('/').split('/').collect();
            let has: Vec<_> = ask.path.split('/').collect();
            has.starts_with(&want)
        }
    }
}

fn decode(text: &str) -> Vec<u8> {
    let text = text.replace('+', " ");
    let mut parts = text.split('%');
    let mut bytes = parts.next().unwrap().as_bytes().to_vec();
    for part in parts {
        match part.get(..2).and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                bytes.extend(&part.as_bytes()[2..]);
            }
            None => {
                bytes.push(b'%');
                bytes.extend(part.as_bytes());
            }
        }
    }
    bytes
}

fn value_holds(want: &ValueMatch, values: &[Vec<u8>]) -> bool {
    let passes = |value: &Vec<u8>| {
        let text = String::from_utf8(value.clone()).ok();
        match (&want.exact, &want.prefix, &want.regex) {
            (Some(exact), _, _) => text.is_some_and(|t| t == *exact),
            (_, Some(prefix), _) => text.is_some_and(|t| t.starts_with(prefix)),
            (_, _, Some(r)) => text.is_some_and(|t| Regex::new(&format!("^(?:{r})$")).unwrap().is_match(&t)),
            _ => true,
        }
    };
    let any = values.iter().any(passes);
    let holds = if want.present == Some(false) { !any } else { any };
    holds != want.invert
}

fn rest_holds(conditions: &Match, ask: &Ask) -> bool {
    let headers = |name: &str| -> Vec<Vec<u8>> {
        ask.headers.iter().filter(|(n, _)| *n == name).map(|(_, value)| value.clone()).collect()
    };
    let query = |name: &str| -> Vec<Vec<u8>> {
        let pieces = ask.query.iter().flat_map(|q| q.split('&')).filter(|piece| !piece.is_empty());
        let pairs = pieces.map(|piece| piece.split_once('=').unwrap_or((piece, "")));
        pairs.filter(|(n, _)| decode(n) == name.as_bytes()).map(|(_, value)| decode(value)).collect()
    };
    (conditions.methods.is_empty() || conditions.methods.iter().any(|m| m == ask.method.as_str()))
        && path_holds(conditions.path.as_ref(), ask)
        && conditions.headers.iter().all(|want| value_holds(want, &headers(&want.name)))
        && conditions.query.iter().all(|want| value_holds(want, &query(&want.name)))
}

/// All (rule, host) pairs in order, and the place of the first that takes the request.
pub(super) fn naive<'a>(
    specs: &'a [Spec],
    ask: &Ask,
) -> (Vec<(usize, Option<&'a HostPattern>)>, Option<usize>) {
    let mut entries = Vec::new();
    for (i, spec) in specs.iter().enumerate() {
        match spec.conditions.hosts.as_slice() {
            [] => entries.push((i, None)),
            hosts => entries.extend(hosts.iter().map(|host| (i, Some(host)))),
        }
    }
    entries.sort_by(|a, b| nearness((&specs[a.0], a.1), (&specs[b.0], b.1)));
    let takes = |(i, host): &(usize, Option<&HostPattern>)| {
        host_holds(*host, ask) && rest_holds(&specs[*i].conditions, ask)
    };
    let winner = entries.iter().position(takes);
    (entries, winner)
}

/// The losers that an explanation owes: see `route::explain`.
fn losers(specs: &[Spec], ask: &Ask) -> Vec<usize> {
    let (entries, winner) = naive(specs, ask);
    let mut losers = Vec::new();
    for (i, host) in &entries[..winner.unwrap_or(entries.len())] {
        let hosts = &specs[*i].conditions.hosts;
        let elsewhere = !host_holds(*host, ask) && hosts.iter().any(|h| host_holds(Some(h), ask));
        if !elsewhere && !losers.contains(i) && winner.map(|w| entries[w].0) != Some(*i) {
            losers.push(*i);
        }
    }
    losers
}

pub(super) fn compile(specs: &[Spec]) -> Router {
    let rules: Vec<_> = specs
        .iter()
        .map(|Spec { name, priority, conditions }| Rule { name, priority: *priority, conditions })
        .collect();
    Router::compile(&rules).unwrap()
}

pub(super) fn view<T>(ask: &Ask, with: impl FnOnce(&RequestView<'_>) -> T) -> T {
    let mut headers = HeaderMap::new();
    for (name, value) in &ask.headers {
        headers.append(HeaderName::from_static(name), HeaderValue::from_bytes(value).unwrap());
    }
    let Ask { host, path, query, method, .. } = ask;
    with(&RequestView { host, path, query: query.as_deref(), method, headers: &headers })
}

pub(super) fn config() -> ProptestConfig {
    ProptestConfig {
        cases: 400,
        rng_seed: RngSeed::Fixed(10),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn find_and_explain_agree_with_sorting_everything(
        specs in specs(), asks in prop::collection::vec(ask(), 1..12),
    ) {
        let router = compile(&specs);
        for ask in &asks {
            let (entries, winner) = naive(&specs, ask);
            let want = winner.map(|place| entries[place].0);
            let (found, fates) = view(ask, |v| (router.find(v), router.explanation(v, usize::MAX)));
            prop_assert_eq!(found, want, "{:?}", ask);
            let won = fates.candidates.iter().find(|c| c.lost.is_none()).map(|c| c.index);
            prop_assert_eq!(won, want);
            let lost: Vec<_> = fates.candidates.iter().filter(|c| c.lost.is_some()).map(|c| c.index).collect();
            prop_assert_eq!(lost, losers(&specs, ask));
            prop_assert!(won.is_none() || fates.candidates.last().is_some_and(|c| c.lost.is_none()));
        }
    }

    #[test]
    fn a_shadowed_route_never_wins(specs in specs(), asks in prop::collection::vec(ask(), 1..30)) {
        let router = compile(&specs);
        let shadowed = router.shadowed();
        for ask in &asks {
            let found = view(ask, |v| router.find(v));
            prop_assert!(shadowed.iter().all(|(loser, _)| Some(*loser) != found), "{:?} {:?}", shadowed, ask);
        }
    }
}
