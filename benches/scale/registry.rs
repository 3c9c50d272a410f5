//! What the fake Consul knows, and who waits for a change of it.
//!
//! As in the real one there is one index for all (raft's), and each service remembers that of its last
//! change. A watcher of a service wakes for that service only; the two queries about the whole catalog
//! wake for anything: `catalog/services` for what is registered, `health/state/any` for what a check
//! says (`consul.md`, 1.3). Bodies are made and compressed once a change, so that a thousand services
//! cost the machine that is measured as little as can be.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::SocketAddr;
#[expect(clippy::disallowed_types, reason = "a bench: no request waits for it")]
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use flate2::Compression;
use flate2::write::GzEncoder;
use hyper::body::Bytes;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::Result;

/// One instance of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Instance {
    pub(crate) weight: u32,
    pub(crate) passing: bool,
}

/// The instances of a service, by their address.
pub(crate) type Set = BTreeMap<SocketAddr, Instance>;

/// A body, plain and compressed.
#[derive(Clone)]
pub(crate) struct Body {
    pub(crate) plain: Bytes,
    pub(crate) gzip: Bytes,
}

struct Service {
    set: Set,
    /// The index of its last change, for those that wait for one.
    index: watch::Sender<u64>,
    /// Until the next change.
    body: Option<Body>,
}

/// All of it.
pub(crate) struct Registry {
    services: BTreeMap<String, Service1>,
    raft: AtomicU64,
    pub(crate) catalog: watch::Sender<u64>,
    pub(crate) checks: watch::Sender<u64>,
    names: Body,
    /// How many questions there were.
    pub(crate) asked: AtomicU64,
}

#[expect(clippy::disallowed_types, reason = "as above")]
type Service1 = Mutex<Service>;

// === impl Instance ===

impl Instance {
    pub(crate) const PLAIN: Self = Self { weight: 1, passing: true };
}

// === impl Registry ===

impl Registry {
    /// So many services of so many instances, all passing.
    pub(crate) fn new(sets: BTreeMap<String, Set>) -> Result<Self> {
        let mut names: serde_json::Map<_, _> =
            sets.keys().map(|name| (name.clone(), json!(["v1"]))).collect();
        names.insert("consul".into(), json!([]));
        let names = Body::new(&Value::Object(names))?;
        let service = |set| Service1::new(Service { set, index: watch::Sender::new(20), body: None });
        Ok(Self {
            services: sets.into_iter().map(|(name, set)| (name, service(set))).collect(),
            raft: AtomicU64::new(20),
            catalog: watch::Sender::new(20),
            checks: watch::Sender::new(20),
            names,
            asked: AtomicU64::new(0),
        })
    }

    /// The names of all services.
    pub(crate) fn names(&self) -> Body {
        self.names.clone()
    }

    /// The index of all.
    pub(crate) fn index(&self) -> u64 {
        self.raft.load(Relaxed)
    }

    /// Those who ask for a service wait here. None: there is no such service.
    pub(crate) fn watch(&self, name: &str) -> Option<watch::Receiver<u64>> {
        Some(self.lock(name)?.index.subscribe())
    }

    /// A service's instances, with their index.
    pub(crate) fn body(&self, name: &str) -> Result<(u64, Body)> {
        let mut service = self.lock(name).ok_or("no such service")?;
        let index = *service.index.borrow();
        if service.body.is_none() {
            service.body = Some(Body::new(&described(name, &service.set, index))?);
        }
        Ok((index, service.body.clone().ok_or("no body")?))
    }

    /// A service's instances.
    pub(crate) fn set(&self, name: &str) -> Set {
        self.lock(name).map(|service| service.set.clone()).unwrap_or_default()
    }

    pub(crate) fn all(&self) -> BTreeMap<String, Set> {
        self.services.keys().map(|name| (name.clone(), self.set(name))).collect()
    }

    /// Changes a service and wakes who waits. `catalog`: whether more than a check changed.
    pub(crate) fn change(&self, name: &str, catalog: bool, change: impl FnOnce(&mut Set)) {
        let index = self.raft.fetch_add(1, Relaxed) + 1;
        if let Some(mut service) = self.lock(name) {
            change(&mut service.set);
            service.body = None;
            service.index.send_replace(index);
        }
        if catalog {
            self.catalog.send_replace(index);
        }
        self.checks.send_replace(index);
    }

    fn lock(&self, name: &str) -> Option<std::sync::MutexGuard<'_, Service>> {
        Some(self.services.get(name)?.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

// === impl Body ===

impl Body {
    pub(crate) fn new(value: &Value) -> Result<Self> {
        let plain = serde_json::to_vec(value)?;
        let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
        gzip.write_all(&plain)?;
        Ok(Self { plain: plain.into(), gzip: gzip.finish()?.into() })
    }
}

/// The answer of `/v1/health/service/<name>`, with all that the real one says of an instance.
fn described(name: &str, set: &Set, index: u64) -> Value {
    set.iter().map(|(address, instance)| entry(name, *address, *instance, index)).collect()
}

fn entry(name: &str, address: SocketAddr, instance: Instance, index: u64) -> Value {
    let (id, host, port) = (format!("{name}-{}", address.ip()), address.ip().to_string(), address.port());
    let node = format!("node-{}", address.ip());
    let status = if instance.passing { "passing" } else { "critical" };
    let check = |id: &str, check: &str, status: &str, service: (&str, &str)| {
        json!({
            "Node": node, "CheckID": check, "Name": check, "Status": status, "Notes": "",
            "Output": "HTTP GET: 200 OK Output: ok", "ServiceID": id, "ServiceName": service.0,
            "ServiceTags": ["v1"], "Type": service.1, "Definition": {}, "CreateIndex": 10, "ModifyIndex": index,
        })
    };
    let tagged = json!({ "Address": host, "Port": port });
    json!({
        "Node": {
            "ID": "674f650d-975c-5554-7407-a54667fea678", "Node": node, "Address": host, "Datacenter": "dc1",
            "TaggedAddresses": { "lan": host, "lan_ipv4": host, "wan": host, "wan_ipv4": host },
            "Meta": { "consul-network-segment": "" }, "CreateIndex": 10, "ModifyIndex": 12,
        },
        "Service": {
            "ID": id, "Service": name, "Tags": ["v1"], "Address": host, "Port": port,
            "TaggedAddresses": { "lan_ipv4": tagged, "wan_ipv4": tagged },
            "Meta": { "version": "1.4.2" }, "Weights": { "Passing": instance.weight, "Warning": 1 },
            "EnableTagOverride": false, "Proxy": { "MeshGateway": {}, "Expose": {} }, "Connect": {},
            "CreateIndex": 10, "ModifyIndex": index,
        },
        "Checks": [
            check("", "serfHealth", "passing", ("", "")),
            check(&id, &format!("service:{id}"), status, (name, "http")),
        ],
    })
}
