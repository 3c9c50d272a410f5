//! A made-up world, a listener in front of it, and a client that writes bytes.

#![allow(clippy::disallowed_types, reason = "a lock of a test, never held over an await")]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, UNIX_EPOCH};

use async_trait::async_trait;
use pingora::apps::HttpServerApp;
use pingora::protocols::http::ServerSession;
use pingora::protocols::l4::stream::Stream;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::admin::explain::Probe;
use crate::admin::view::{Action, Cluster, Endpoint, Route, Snapshot, Source};
use crate::admin::view::{Preview, Split, Variant};
use crate::admin::world::{ReloadError, Reloaded};
use crate::admin::{Admin, World};
use crate::config::live::{Match, OnUnhealthy, PathMatch, Policy};
use crate::config::{Name, Problem, boot};
use crate::control::weights::{Done, Refused, Request};
use crate::control::{DrainError, drains};
use crate::endpoint::Registry;
use crate::observe::metrics::EndpointState;
use crate::split::Origin;

#[derive(Default)]
pub(super) struct Fake {
    pub(super) ready: AtomicBool,
    pub(super) broken: AtomicBool,
    pub(super) drained: AtomicBool,
    pub(super) asked: AtomicU64,
    pub(super) wishes: Mutex<Vec<Request>>,
}

/// An answer, taken apart.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) head: String,
    pub(super) body: String,
}

// === impl Fake ===

impl Fake {
    fn endpoint(&self, n: u8, registry: Registry) -> Endpoint {
        let draining = n == 1 && self.drained.load(Relaxed);
        let state = match registry {
            _ if draining => EndpointState::Draining,
            Registry::Maintenance => EndpointState::Draining,
            Registry::Critical => EndpointState::Unhealthy,
            _ => EndpointState::Available,
        };
        Endpoint {
            address: ([10, 0, 0, n], 8080).into(),
            weight: 1,
            registry,
            state,
            draining,
            drained: Default::default(),
            checked: None,
            checked_since_seconds: None,
            checked_why: None,
            in_flight: u32::from(n % 3),
            requests: self.asked.fetch_add(7, Relaxed),
            connect_failures: 0,
            standing: crate::endpoint::Standing::In,
            standing_since_seconds: None,
            standing_why: None,
            ejections: 0,
            labels: Arc::default(),
        }
    }
}

#[async_trait]
impl World for Fake {
    fn ready(&self) -> Result<(), Vec<String>> {
        if self.ready.load(Relaxed) { Ok(()) } else { Err(vec!["consul: web".into()]) }
    }

    fn snapshot(&self) -> Option<Snapshot> {
        Some(Snapshot {
            generation: 41,
            digest: "9f2c1d7ab04e55aa".into(),
            published_at: UNIX_EPOCH + Duration::from_micros(1_795_540_063_000_123),
            cause: "consul: web: 1 added".into(),
        })
    }

    fn routes(&self) -> Vec<Route> {
        let route = |name: &str, path, action| Route {
            name: name.into(),
            priority: 0,
            r#match: Match {
                hosts: vec!["shop.example.com".parse().unwrap()],
                path: Some(path),
                ..Match::default()
            },
            action,
            timeout_seconds: Some(15.0),
            attempts: 2,
            mirror: None,
        };
        let redirect = Action::Redirect { to: "//new.example.com{path}".into(), status: 308 };
        vec![
            route("shop", PathMatch::Prefix("/checkout".into()), Action::Cluster("web".into())),
            route("moved", PathMatch::Prefix("/old".into()), redirect),
            route("down", PathMatch::Regex("/a+<b>".into()), Action::Respond { status: 503 }),
        ]
    }

    fn clusters(&self) -> Vec<Cluster> {
        let endpoints = vec![
            self.endpoint(1, Registry::Passing),
            self.endpoint(2, Registry::Warning),
            self.endpoint(3, Registry::Critical),
            self.endpoint(4, Registry::Maintenance),
        ];
        let available = endpoints.iter().filter(|e| e.state == EndpointState::Available).count();
        let source = |s: &str| s.to_owned();
        let web = Cluster {
            name: "web".into(),
            source: source("consul"),
            policy: Policy::LeastRequest,
            available,
            score: 0.7,
            failover: vec!["none".into()],
            panic: available < 2,
            draining: false,
            drained: Default::default(),
            endpoints,
        };
        let none = Cluster {
            name: "none".into(),
            source: source("dns"),
            policy: Policy::RoundRobin,
            available: 0,
            score: 0.0,
            failover: vec![],
            panic: false,
            draining: false,
            drained: Default::default(),
            endpoints: vec![],
        };
        vec![none, web]
    }

    fn cluster(&self, name: &str) -> Option<Cluster> {
        self.clusters().into_iter().find(|c| c.name == name)
    }

    fn splits(&self) -> Vec<Split> {
        vec![self.split("shop").unwrap()]
    }

    fn split(&self, route: &str) -> Result<Split, Refused> {
        if route != "shop" {
            let what = format!("there is no route `{route}`");
            return Err(Refused::Unknown { what, hint: "did you mean `shop`?".into() });
        }
        let variant = |name: &str, weight| Variant {
            name: name.into(),
            cluster: "web".into(),
            weight,
            file_weight: 50,
            share: 0.01 * f64::from(u32::try_from(weight).unwrap()),
            available: 2,
            endpoints: 3,
            assigned: None,
        };
        Ok(Split {
            route: "shop".into(),
            seed: "shop".into(),
            key: "header x-user-id, cookie tg_id".into(),
            on_unhealthy: OnUnhealthy::Shift,
            tell_client: false,
            origin: Origin::Overlay,
            epoch: 3,
            author: Some("ann@host".into()),
            why: None,
            at: Some("2026-11-28T13:00:00Z".into()),
            problem: None,
            variants: vec![variant("control", 90), variant("candidate", 10)],
            sample_ratio: None,
        })
    }

    fn preview(&self, route: &str, weights: &BTreeMap<Name, u64>) -> Result<Preview, Refused> {
        self.split(route)?;
        let after = weights.iter().map(|(name, weight)| (name.to_string(), *weight as f64)).collect();
        Ok(Preview { before: vec![("control".into(), 0.9)], after, moved: 0.0, moves: Vec::new() })
    }

    async fn set_weights(&self, request: Request) -> Result<Done, Refused> {
        let epoch = 3;
        if request.if_epoch.is_some_and(|wanted| wanted != epoch) {
            return Err(Refused::Stale { what: "late".into(), generation: 41, epoch });
        }
        if request.why == "full" {
            return Err(Refused::Unsaved { path: "/state/overlay.json".into(), why: "no space".into() });
        }
        if request.why == "upgrade" {
            return Err(Refused::HandingOver);
        }
        self.wishes.lock().unwrap().push(request);
        Ok(Done { generation: 42, epoch: 4, warnings: Vec::new() })
    }

    fn register(&self) -> Option<crate::register::Status> {
        None
    }

    fn sources(&self) -> Vec<Source> {
        let web = Source {
            source: "consul".into(),
            cluster: "web".into(),
            age_seconds: Some(0.25),
            updates: 12,
            errors: 1,
            last_error: None,
            held: Some("4 to 0 endpoints, for 21 s more".into()),
            from_disk: false,
            members: 4,
            degraded: false,
            index: 42,
            dropped: 1,
            dropped_examples: vec!["n1/web-7: port 70000".into()],
        };
        let last_error = Some("127.0.0.1:8600 timed out".into());
        vec![
            web.clone(),
            Source {
                source: "dns".into(),
                cluster: "none".into(),
                age_seconds: None,
                last_error,
                held: None,
                ..web
            },
        ]
    }

    fn config(&self) -> Value {
        json!({"consul": {"token": "<secret>"}})
    }

    fn explain(&self, probe: &Probe) -> Value {
        json!({"route": "shop", "host": probe.host, "path": probe.uri.path()})
    }

    fn metrics(&self) -> Vec<u8> {
        b"up 1\n".to_vec()
    }

    async fn reload(&self) -> Result<Reloaded, ReloadError> {
        if self.broken.load(Relaxed) {
            let problem = Problem::new("routes[0].cluster", "unknown cluster `web-v3`");
            return Err(ReloadError::Invalid(vec![problem.clone(), problem]));
        }
        Ok(Reloaded { generation: 42, needs_upgrade: vec!["listeners".into()], warnings: Vec::new() })
    }

    async fn drain(&self, request: drains::Request) -> Result<Vec<String>, DrainError> {
        if request.cluster.as_str() != "web" {
            return Err(DrainError::Cluster(request.cluster));
        }
        if let Some(address) = request.address
            && address != SocketAddr::from(([10, 0, 0, 1], 8080))
        {
            return Err(DrainError::Endpoint(request.cluster, address));
        }
        self.drained.store(request.on, Relaxed);
        Ok(Vec::new())
    }
}

/// Serves the application on `address` (port 0: any) while the runtime lives.
pub(super) async fn serve(world: Arc<Fake>, config: boot::Admin) -> SocketAddr {
    let listener = TcpListener::bind(config.address).await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = Arc::new(Admin::new(world, &config));
    tokio::spawn(async move {
        let (_stop, shutdown) = watch::channel(false);
        while let Ok((stream, _)) = listener.accept().await {
            let (app, shutdown) = (app.clone(), shutdown.clone());
            tokio::spawn(async move {
                let mut stream: Option<pingora::protocols::Stream> = Some(Box::new(Stream::from(stream)));
                while let Some(current) = stream {
                    let reused = app.process_new_http(ServerSession::new_http1(current), &shutdown).await;
                    stream = reused.map(|r| r.consume().0);
                }
            });
        }
    });
    address
}

/// Sends these bytes and reads the answer until the connection ends or the announced length is
/// there.
pub(super) async fn send(address: SocketAddr, request: impl AsRef<[u8]>) -> Reply {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await.unwrap();
        // A refusal may come, and the connection end, before all of a large body was taken.
        let _ = stream.write_all(request.as_ref()).await;
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes).await;
        bytes
    };
    let bytes = tokio::time::timeout(Duration::from_secs(10), exchange).await.unwrap();
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text:?}"));
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Reply { status, head: head.to_ascii_lowercase(), body: body.to_owned() }
}

/// A request with these extra header lines and this body, on a connection that ends after it.
pub(super) async fn request(address: SocketAddr, line: &str, headers: &[&str], body: &str) -> Reply {
    let mut text = format!("{line} HTTP/1.1\r\nConnection: close\r\n");
    if !headers.iter().any(|h| h.starts_with("Host:")) {
        text += &format!("Host: {address}\r\n");
    }
    for header in headers {
        text += &format!("{header}\r\n");
    }
    if !body.is_empty() {
        text += &format!("Content-Length: {}\r\n", body.len());
    }
    send(address, text + "\r\n" + body).await
}

// === impl Reply ===

impl Reply {
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(": "))
    }
}

/// For looking at the dashboard:
/// `TIDEGATE_DEMO=127.0.0.1:9955 cargo test --lib admin::tests::fake::demo -- --ignored`
#[tokio::test]
#[ignore = "serves for a minute, to be looked at"]
async fn demo() {
    let world = Arc::new(Fake::default());
    world.ready.store(true, Relaxed);
    let address = std::env::var("TIDEGATE_DEMO").unwrap().parse().unwrap();
    serve(world, boot::Admin { address, token_file: None }).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
}
