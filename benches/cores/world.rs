//! A large site: its config, its members, and the snapshot of both.

use std::cell::RefCell;
use std::fmt::Write;
use std::sync::Arc;
use std::time::SystemTime;

use serde_json::json;
use tidegate::cluster::Cluster;
use tidegate::config::Name;
use tidegate::config::live::{self, Live};
use tidegate::endpoint::{Members, Roster};
use tidegate::observe::Metrics;
use tidegate::observe::access::AccessLog;
use tidegate::snapshot::compile::{Plan, Step, Surroundings};
use tidegate::snapshot::{Snapshot, Table};
use tidegate::split::{Amendment, Origin, Standing};

use super::{conditions, members, name};

/// Clusters of the large config, each with ten endpoints.
pub const CLUSTERS: usize = 1_000;

/// A large config with its members, and the snapshot of both.
pub struct World {
    live: Arc<Live>,
    around: Surroundings,
    plan: Plan,
    members: Vec<(Name, Members)>,
    snapshot: Snapshot,
    roster: RefCell<Roster>,
    /// The route whose weights are set at run time.
    weighed: Option<Name>,
}

// === impl World ===

impl World {
    /// A config of so many routes, over 1,000 clusters with ten endpoints each.
    pub fn new(routes: usize) -> Self {
        Self::of((0..routes).map(route).collect(), CLUSTERS)
    }

    /// The same with a split of two on each route.
    pub fn with_splits(routes: usize) -> Self {
        Self::of((0..routes).map(split).collect(), CLUSTERS)
    }

    /// Any routes, over so many clusters.
    pub fn of(routes: Vec<live::Route>, clusters: usize) -> Self {
        let live = Arc::new(Live {
            access_log: live::AccessLog { path: "none".into(), ..live::AccessLog::default() },
            clusters: (0..clusters).map(|i| (name("cluster", i), live::Cluster::default())).collect(),
            routes,
            ..Live::default()
        });
        let around = Surroundings {
            metrics: Arc::new(Metrics::new().expect("a registry")),
            filters: tidegate::filter::Registry::default(),
            listeners: vec!["http".into()],
            tcp: vec![],
            mirrors: Arc::default(),
        };
        let plan = Plan::new(live.clone(), &around).expect("the config is right");
        let members = live.clusters.keys().enumerate().map(|(i, name)| (name.clone(), members(10, 10 * i)));
        let members: Vec<_> = members.collect();
        let roster = RefCell::default();
        let nothing = Snapshot::empty(Table::empty(&around), Arc::new(AccessLog::default()));
        let snapshot = next(&plan, &nothing, &members, &roster, &around, None);
        Self { live, around, plan, members, snapshot, roster, weighed: None }
    }

    /// Compiles the config anew.
    pub fn compile(&self) -> Plan {
        Plan::new(self.live.clone(), &self.around).expect("the config is right")
    }

    /// Compiles a config that differs in one route, after this one.
    pub fn compile_again(&self) -> Plan {
        Plan::after(Some(&self.snapshot), self.live.clone(), &self.around).expect("the config is right")
    }

    /// Another time-out for one route.
    pub fn edit(&mut self) {
        let mut live = Live::clone(&self.live);
        let middle = live.routes.len() / 2;
        live.routes[middle].timeout = Some("7s".parse().expect("a span"));
        self.live = Arc::new(live);
    }

    /// The weights of one route are set at run time.
    pub fn weigh(&mut self) {
        self.weighed = Some(name("route", self.live.routes.len() / 2));
    }

    /// One cluster loses an endpoint.
    pub fn change(&mut self) {
        let (_, members) = &mut self.members[CLUSTERS / 2];
        *members = Members::new(members.iter().skip(1).cloned());
    }

    /// The next snapshot, from the members as they are now.
    pub fn step(&self) -> Snapshot {
        next(&self.plan, &self.snapshot, &self.members, &self.roster, &self.around, self.weighed.as_ref())
    }

    /// What a snapshot changes, as the log tells it.
    pub fn told(&self, next: &Snapshot) -> String {
        tidegate::snapshot::diff::describe(&self.snapshot, next).join(", ")
    }

    /// The clusters that a snapshot does not share with the first one.
    pub fn changed<'a>(&'a self, next: &'a Snapshot) -> impl Iterator<Item = &'a Arc<Cluster>> {
        let pairs = next.clusters.iter().zip(self.snapshot.clusters.iter());
        pairs.filter(|(new, old)| !Arc::ptr_eq(new, old)).map(|(new, _)| new)
    }
}

/// The route of the large table at a place.
pub fn route(i: usize) -> live::Route {
    let text = json!({ "name": format!("route-{i}"), "cluster": format!("cluster-{}", i % CLUSTERS) });
    let route: live::Route = serde_json::from_value(text).expect("a route");
    live::Route { r#match: conditions(i), ..route }
}

fn next(
    plan: &Plan,
    previous: &Snapshot,
    members: &[(Name, Members)],
    roster: &RefCell<Roster>,
    around: &Surroundings,
    weighed: Option<&Name>,
) -> Snapshot {
    let standing = |route: &Name| match weighed {
        Some(weighed) if weighed == route => {
            let weights = [("candidate".parse().expect("a name"), 50)].into();
            let amendment = Amendment { weights, epoch: 1, ..Amendment::default() };
            Standing { origin: Origin::Overlay, amendment: Some(amendment), ..Standing::default() }
        }
        _ => Standing::default(),
    };
    // Sorted, as the config's map is.
    let find = |name: &Name, _| {
        let found = members.binary_search_by(|(known, _)| known.cmp(name)).ok()?;
        Some(members[found].1.clone())
    };
    let step = Step {
        previous,
        members: &find,
        standing: &standing,
        access_log: previous.access_log.clone(),
        cause: "bench".into(),
        now: SystemTime::UNIX_EPOCH,
    };
    plan.snapshot(step, &mut roster.borrow_mut(), around)
}

/// The same with a split of two.
pub fn split(i: usize) -> live::Route {
    let cluster = |n: usize| format!("cluster-{}", (i + n) % CLUSTERS);
    let variants = json!([
        {"name": "control", "cluster": cluster(0), "weight": 90},
        {"name": "candidate", "cluster": cluster(1), "weight": 10},
    ]);
    let text = json!({ "name": format!("route-{i}"), "split": {"variants": variants} });
    let route: live::Route = serde_json::from_value(text).expect("a route");
    live::Route { r#match: conditions(i), ..route }
}

/// A config file of so many routes with a header condition on every third, over so many clusters with
/// ten endpoints each.
pub fn yaml(routes: usize, clusters: usize) -> String {
    let mut text = String::from(
        "listeners:\n  - { name: http, address: \"127.0.0.1:1\" }\naccess_log: { path: none }\n",
    );
    text.push_str("clusters:\n");
    let mut line = |line: std::fmt::Arguments<'_>| {
        // Writing to a String cannot fail.
        let _ = text.write_fmt(line);
        text.push('\n');
    };
    for i in 0..clusters {
        line(format_args!("  cluster-{i}:\n    static:\n      endpoints:"));
        for n in 0..10 {
            line(format_args!("        - address: 10.{}.{}.{n}:8080", i / 250, i % 250));
        }
    }
    line(format_args!("routes:"));
    for i in 0..routes {
        line(format_args!("  - name: route-{i}\n    match:\n      hosts: [ h{i}.example.com ]"));
        line(format_args!("      path: {{ prefix: /api/v1/svc{i} }}"));
        if i.is_multiple_of(3) {
            line(format_args!("      headers:\n        - {{ name: x-beta, exact: \"1\" }}"));
        }
        line(format_args!("    cluster: cluster-{}", i % clusters));
    }
    text
}
