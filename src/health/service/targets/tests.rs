//! Whatever the configs do, what is probed is what they ask, once each, and all who ask are told.

use std::collections::BTreeMap;

use async_trait::async_trait;
use pingora_load_balancing::health_check::HealthCheck;
use proptest::prelude::*;

use super::*;
use crate::health::service::testing::{Compiler, cluster};

struct Never;

#[async_trait]
impl HealthCheck for Never {
    async fn check(&self, _: &Backend) -> pingora::Result<()> {
        Ok(())
    }

    fn health_threshold(&self, _: bool) -> usize {
        1
    }
}

const CHECKS: [&str; 3] = ["connect_timeout: 1s", "health_check: { tcp: {} }", "health_check: { http: {} }"];

/// A cluster of one config: its ports, and which check.
type Draft = (Vec<u16>, usize);

/// One config, and which (by its turn) of the targets pass or fail after it.
type Round = (BTreeMap<&'static str, Draft>, Vec<bool>);

fn rounds() -> impl Strategy<Value = Vec<Round>> {
    let ports = prop::sample::subsequence(vec![1_u16, 2, 3, 4], 1..4);
    let clusters = prop::collection::btree_map(
        prop::sample::select(vec!["a", "b", "c"]),
        (ports, 0..CHECKS.len()),
        1..4,
    );
    prop::collection::vec((clusters, prop::collection::vec(any::<bool>(), 0..4)), 1..8)
}

/// What holds between a config and what is followed.
fn hold(targets: &Targets, drafts: &BTreeMap<&'static str, Draft>, clusters: &[Arc<Cluster>]) {
    let mut wanted: BTreeMap<(u16, usize), Vec<String>> = BTreeMap::new();
    for (name, (ports, check)) in drafts.iter().filter(|(_, (_, check))| *check > 0) {
        for port in ports {
            wanted.entry((*port, *check)).or_default().push((*name).to_owned());
        }
    }
    let mut found: BTreeMap<(u16, usize), Vec<String>> = BTreeMap::new();
    for target in targets.targets.values() {
        let check = if target.check.tcp.is_some() { 1 } else { 2 };
        let mut names: Vec<_> = target.subscribers.iter().map(|s| s.cluster.to_string()).collect();
        names.sort();
        found.insert((target.address.port(), check), names);
        for subscriber in &target.subscribers {
            assert_eq!(subscriber.state.checked(), target.verdict.checked());
        }
    }
    assert_eq!(found, wanted);
    assert_eq!(targets.ids.len(), targets.targets.len());
    for cluster in clusters {
        for endpoint in &*cluster.endpoints {
            assert!(endpoint.probed || endpoint.state.checked() == Checked::Unknown);
        }
    }
}

proptest! {
    #[test]
    fn what_is_probed_is_what_is_asked(rounds in rounds()) {
        let mut compiler = Compiler::new();
        let (metrics, board) = (compiler.around.metrics.clone(), Arc::<Board>::default());
        let mut targets = Targets::new(metrics, board, Box::new(|_, _| Arc::new(Never)));
        let mut snapshot = Arc::new(compiler.empty());
        let now = Instant::now();
        for (drafts, verdicts) in rounds {
            let text: String = drafts.iter().map(|(name, (ports, c))| cluster(name, ports, CHECKS[*c])).collect();
            let before: HashSet<Id> = targets.targets.keys().copied().collect();
            snapshot = compiler.next(&text, &snapshot);
            let fresh: HashSet<Id> = targets.follow(&snapshot.clusters, now).into_iter().collect();
            let all: HashSet<Id> = targets.targets.keys().copied().collect();
            prop_assert_eq!(&fresh, &all.difference(&before).copied().collect());
            hold(&targets, &drafts, &snapshot.clusters);
            prop_assert!(targets.follow(&snapshot.clusters, now).is_empty(), "the same again is nothing new");
            for (target, passed) in targets.targets.values_mut().zip(verdicts) {
                target.verdict.take(passed, Thresholds { healthy: 1, unhealthy: 1 });
                for subscriber in &target.subscribers {
                    subscriber.state.set_checked(target.verdict.checked());
                }
            }
        }
    }
}
