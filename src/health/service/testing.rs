//! What tests of the service share: configs compiled into snapshots with a roster that lasts.

use std::path::Path;
use std::sync::Arc;

use crate::config::load::attempt_text;
use crate::control::members::Book;
use crate::endpoint::Roster;
use crate::filter::Registry;
use crate::observe::Metrics;
use crate::observe::access::AccessLog;
use crate::snapshot::compile::{Plan, Step, Surroundings};
use crate::snapshot::{Snapshot, Table};

/// Compiles as the writer does.
pub(super) struct Compiler {
    pub(super) around: Surroundings,
    roster: Roster,
}

impl Compiler {
    pub(super) fn new() -> Self {
        let metrics = Arc::new(Metrics::new().unwrap());
        let around = Surroundings {
            metrics,
            filters: Registry::default(),
            listeners: vec![],
            tcp: vec![],
            mirrors: Arc::default(),
        };
        Self { around, roster: Roster::default() }
    }

    /// What is before the first.
    pub(super) fn empty(&self) -> Snapshot {
        Snapshot::empty(Table::empty(&self.around), Arc::new(AccessLog::default()))
    }

    /// The snapshot after `previous`, of clusters given as text.
    pub(super) fn next(&mut self, clusters: &str, previous: &Snapshot) -> Arc<Snapshot> {
        let text = format!("listeners: [ {{ name: http, address: '127.0.0.1:1' }} ]\nclusters:\n{clusters}");
        let (config, _) = attempt_text(&text, Path::new("t.yaml"), &|_| None).finish().unwrap();
        let plan = Plan::new(Arc::new(config.live), &self.around).unwrap();
        let mut book = Book::default();
        book.enter_static(&plan.live);
        let step = Step {
            previous,
            members: &|name, fingerprint| book.find(name, fingerprint).cloned(),
            standing: &|_| crate::split::Standing::default(),
            access_log: previous.access_log.clone(),
            cause: "test".into(),
            now: std::time::SystemTime::UNIX_EPOCH,
        };
        Arc::new(plan.snapshot(step, &mut self.roster, &self.around))
    }
}

/// A cluster as text: its name, the ports of its endpoints at 10.0.0.1, and the rest of its keys.
pub(super) fn cluster(name: &str, ports: &[u16], more: &str) -> String {
    let mut text = format!("  {name}:\n    static:\n      endpoints:\n");
    for port in ports {
        text += &format!("        - {{ address: '10.0.0.1:{port}' }}\n");
    }
    text + &format!("    {more}\n")
}
