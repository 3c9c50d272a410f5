//! What the pure cores are measured on. Shared by the instruction counts (`cores.rs`) and the clock
//! (`times.rs`).
//!
//! The route table is laid out as a large site's: every other route has a host of its own, the
//! others share one wildcard host; of each ten, one is a regex (on its own host), two are exact
//! paths, the rest prefixes; every third asks for a header too. The route that is asked for stands
//! in the middle of the table.

#[path = "assign.rs"]
mod assign;
#[path = "crowd.rs"]
mod crowd;
#[path = "world.rs"]
mod world;

use std::cell::RefCell;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderValue, Method, header};
use tidegate::balance::hash::HashPolicy;
use tidegate::balance::{Balancer, Choice};
use tidegate::config::Name;
use tidegate::config::live::{HashKey, Match, PathMatch, Policy, ValueMatch};
use tidegate::endpoint::{Endpoint, Member, Members, Registry, State};
use tidegate::observe::Metrics;
use tidegate::observe::access::{Record, line};
use tidegate::observe::metrics::RouteMetrics;
use tidegate::route::{RequestView, Router, Rule};

pub use self::assign::Assign;
pub use self::crowd::Crowd;
pub use self::world::{CLUSTERS, World, route, split, yaml};

/// Which route of a table is asked for.
#[derive(Clone, Copy, Debug)]
pub enum Ask {
    Exact,
    Prefix,
    /// By a wildcard host, which all other routes under it share.
    Wildcard,
    Regex,
    /// No route.
    Miss,
}

/// A router and a request to it.
pub struct Lookup {
    router: Router,
    host: String,
    path: String,
    query: &'static str,
    headers: HeaderMap,
}

/// A balancer with what a pick is given.
pub struct Pick {
    balancer: Balancer,
    rng: RefCell<fastrand::Rng>,
}

/// A hash policy and a request's headers.
pub struct Key {
    policy: HashPolicy,
    headers: HeaderMap,
}

// === impl Lookup ===

impl Lookup {
    /// A table of `routes` routes, at least ten.
    pub fn new(routes: usize, ask: Ask) -> Self {
        let table: Vec<_> = (0..routes).map(|i| (name("route", i), conditions(i))).collect();
        let router = router(&table);
        let middle = routes / 20 * 10;
        let (host, path) = match ask {
            Ask::Exact => {
                (format!("h{}.example.com", middle + 4), format!("/api/v1/svc{}/status", middle + 4))
            }
            Ask::Prefix => (format!("h{}.example.com", middle + 2), long(middle + 2)),
            Ask::Wildcard => ("shop.eu.example.org".into(), long(middle + 5)),
            Ask::Regex => (format!("h{middle}.example.com"), format!("/svc{middle}/12345")),
            Ask::Miss => ("nobody.example.net".into(), long(middle)),
        };
        let lookup = Self { router, host, path, query: "page=2", headers: headers() };
        assert_eq!(lookup.find().is_none(), matches!(ask, Ask::Miss), "{ask:?} asks for what it says");
        lookup
    }

    pub fn find(&self) -> Option<usize> {
        self.router.find(&RequestView {
            host: &self.host,
            path: &self.path,
            query: Some(self.query),
            method: &Method::GET,
            headers: &self.headers,
        })
    }
}

fn router(table: &[(Name, Match)]) -> Router {
    let rules: Vec<_> =
        table.iter().map(|(name, conditions)| Rule { name, priority: 0, conditions }).collect();
    Router::compile(&rules).expect("the rules are right")
}

fn long(service: usize) -> String {
    format!("/api/v1/svc{service}/users/12345/orders/67890")
}

fn conditions(i: usize) -> Match {
    let host = if i.is_multiple_of(2) { format!("h{i}.example.com") } else { "*.example.org".into() };
    let path = match i % 10 {
        0 => PathMatch::Regex(format!("/svc{i}/[0-9]+")),
        1 | 4 => PathMatch::Exact(format!("/api/v1/svc{i}/status")),
        _ => PathMatch::Prefix(format!("/api/v1/svc{i}")),
    };
    Match {
        hosts: vec![host.parse().expect("a host")],
        path: Some(path),
        headers: if i.is_multiple_of(3) { vec![exact("x-beta", "1")] } else { Vec::new() },
        ..Match::default()
    }
}

fn exact(name: &str, value: &str) -> ValueMatch {
    let exact = Some(value.into());
    ValueMatch { name: name.into(), exact, prefix: None, regex: None, present: None, invert: false }
}

/// What a browser sends, and two more.
fn headers() -> HeaderMap {
    let pairs = [
        (header::HOST, "shop.example.com"),
        (header::USER_AGENT, "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
        (header::ACCEPT, "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
        (header::ACCEPT_LANGUAGE, "en-US,en;q=0.5"),
        (header::ACCEPT_ENCODING, "gzip, deflate, br, zstd"),
        (header::COOKIE, "theme=dark; consent=yes; session=7d1f6a3c5b9e4f2a8c0d; lang=en"),
        (header::HeaderName::from_static("x-beta"), "1"),
        (header::HeaderName::from_static("x-user"), "user-12345"),
    ];
    pairs.into_iter().map(|(name, value)| (name, HeaderValue::from_static(value))).collect()
}

fn name(kind: &str, i: usize) -> Name {
    format!("{kind}-{i}").parse().expect("a name")
}

// === impl Pick ===

impl Pick {
    /// A policy over so many endpoints with weights from 1 to 3.
    pub fn new(policy: Policy, endpoints: usize) -> Self {
        let members = members(endpoints, 0);
        let endpoints = members.iter().map(|m| Endpoint {
            member: m.clone(),
            state: Arc::new(State::default()),
            probed: false,
        });
        let balancer = Balancer::new(policy, endpoints.collect());
        let pick = Self { balancer, rng: RefCell::new(fastrand::Rng::with_seed(7)) };
        pick.pick(); // the first one counts the endpoints
        pick
    }

    pub fn pick(&self) -> Option<Choice> {
        self.balancer.pick(Some(0x9e37_79b9_7f4a_7c15), &[], &mut self.rng.borrow_mut())
    }
}

/// Members 10.x.y.z:8080 with weights from 1 to 3.
fn members(count: usize, first: usize) -> Members {
    Members::new((first..first + count).map(|i| {
        let ip = Ipv4Addr::from(0x0a00_0000 + u32::try_from(i).expect("small"));
        Member {
            address: SocketAddr::from((ip, 8080)),
            weight: u32::try_from(1 + i % 3).expect("small"),
            registry: Registry::Passing,
            labels: Arc::default(),
        }
    }))
}

// === impl Key ===

impl Key {
    /// A policy that finds its key in a header, in a cookie, or in the address.
    pub fn new(key: HashKey) -> Self {
        let policy = HashPolicy::new(&[HashKey::Query("absent".into()), key]).expect("the policy is right");
        let key = Self { policy, headers: headers() };
        key.key(); // the first search of a process finds out what the CPU can do
        key
    }

    pub fn key(&self) -> Option<u64> {
        self.policy.key(&self.headers, Some("page=2"), Some(IpAddr::V4(Ipv4Addr::LOCALHOST)))
    }
}

// === what a request leaves behind ===

/// Appends one line of the access log.
pub fn log_line(out: &mut Vec<u8>) {
    line::write(
        out,
        &Record {
            time: SystemTime::UNIX_EPOCH + Duration::from_micros(1_795_539_600_000_123),
            listener: "http",
            client: Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7))),
            method: "GET",
            host: b"shop.example.com",
            path: b"/api/v1/service-42/users/12345?page=2",
            protocol: "HTTP/1.1",
            status: 200,
            flag: None,
            route: "service-42",
            cluster: "web-v1",
            variant: "control",
            endpoint: Some(SocketAddr::from(([10, 0, 0, 7], 8080))),
            attempts: 1,
            bytes_in: 0,
            bytes_out: 5_120,
            duration_ms: 12.345,
            ttfb_ms: Some(11.5),
            request_id: b"6f9619ff-8b86-4d01-b42d-00cf4fc964ff",
            user_agent: b"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
            generation: 41,
            tls: None,
            grpc_status: None,
        },
    );
}

/// The head of a browser's request, as the scanner of HTTP/1 gets it.
pub const HEAD: &[u8] = b"GET /api/v1/service-42/users/12345?page=2 HTTP/1.1\r\n\
    Host: shop.example.com\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n\
    Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n\
    Accept-Language: en-US,en;q=0.5\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\n\
    Cookie: theme=dark; consent=yes; session=7d1f6a3c5b9e4f2a8c0d; lang=en\r\n\
    X-User: user-12345\r\n\
    \r\n";

/// The metrics of one route, and the registry that they live in.
pub fn route_metrics() -> (Metrics, RouteMetrics) {
    let metrics = Metrics::new().expect("a registry");
    let route = metrics.route(&["http"], "shop", "web-v1", "control");
    route.record(0, 200, 0.0, None, None); // the first request makes the series
    (metrics, route)
}
