use std::sync::Arc;
use std::time::SystemTime;

use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::{Value, json};

use crate::config::live::Live;
use crate::endpoint::Roster;
use crate::filter::Registry;
use crate::observe::Metrics;
use crate::observe::access::AccessLog;
use crate::snapshot::compile::{Plan, Step, Surroundings};
use crate::snapshot::{Snapshot, Table};
use crate::split::Standing;

fn around() -> Surroundings {
    Surroundings {
        metrics: Arc::new(Metrics::new().unwrap()),
        filters: Registry::default(),
        listeners: vec!["http".into()],
        tcp: Vec::new(),
        mirrors: Arc::default(),
    }
}

/// A config of these clusters and routes.
fn live(clusters: &Value, routes: &Value) -> Arc<Live> {
    let clusters = serde_json::from_value(clusters.clone()).unwrap();
    let routes = serde_json::from_value(routes.clone()).unwrap();
    Arc::new(Live { clusters, routes, ..Live::default() })
}

fn snapshot(plan: &Plan, previous: Option<&Snapshot>, around: &Surroundings) -> Snapshot {
    let nothing = Snapshot::empty(Table::empty(around), Arc::new(AccessLog::default()));
    let previous = previous.unwrap_or(&nothing);
    let step = Step {
        previous,
        members: &|_, _| None,
        standing: &|_| Standing::default(),
        access_log: previous.access_log.clone(),
        cause: String::new(),
        now: SystemTime::UNIX_EPOCH,
    };
    plan.snapshot(step, &mut Roster::default(), around)
}

fn clusters() -> Value {
    json!({"a": {}, "b": {"failover": ["a"]}, "c": {}})
}

fn routes() -> Value {
    let split = json!({"variants": [{"name": "x", "cluster": "a", "weight": 1}, {"name": "y", "cluster": "b", "weight": 1}]});
    json!([
        {"name": "one", "match": {"path": {"regex": "/one/[0-9]+"}}, "cluster": "a"},
        {"name": "two", "match": {"path": {"prefix": "/two"}}, "split": split},
        {"name": "three", "match": {"headers": [{"name": "x", "regex": "a+"}]}, "cluster": "b"},
        {"name": "four", "match": {"path": {"prefix": "/four"}}, "split": split},
    ])
}

/// Which routes of `routes`, compiled after [`routes`], are those of before.
fn shared(clusters: &Value, routes: &Value) -> Vec<bool> {
    let around = around();
    let first =
        snapshot(&Plan::new(live(&self::clusters(), &self::routes()), &around).unwrap(), None, &around);
    let plan = Plan::after(Some(&first), live(clusters, routes), &around).unwrap();
    let was = |route| first.table.routes.iter().any(|old| Arc::ptr_eq(old, route));
    plan.table.routes.iter().map(was).collect()
}

#[test]
fn what_did_not_change_is_the_same_thing() {
    assert_eq!(shared(&clusters(), &routes()), [true; 4]);
    let mut other = routes();
    other[0]["timeout"] = "1s".into();
    assert_eq!(shared(&clusters(), &other), [false, true, true, true]);
    let mut moved = routes();
    moved.as_array_mut().unwrap().rotate_left(1);
    // The splits are the first and the third now, and were the second and the fourth: in this order.
    assert_eq!(shared(&clusters(), &moved), [true; 4]);
    moved.as_array_mut().unwrap().remove(0);
    assert_eq!(shared(&clusters(), &moved), [true, false, true], "its split has another place");
}

#[test]
fn what_names_clusters_by_index_is_made_anew_when_these_move() {
    let mut more = clusters();
    more["aa"] = json!({});
    assert_eq!(shared(&more, &routes()), [false; 4]);
    let mut others = clusters();
    others["b"]["failover"] = json!(["c"]);
    assert_eq!(shared(&others, &routes()), [false; 4]);
    let mut same = clusters();
    same["c"]["connect_timeout"] = "1s".into();
    assert_eq!(shared(&same, &routes()), [true; 4]);
}

#[test]
fn conditions_that_did_not_change_keep_their_router() {
    let around = around();
    let first = snapshot(&Plan::new(live(&clusters(), &routes()), &around).unwrap(), None, &around);
    let after = |routes: &Value| Plan::after(Some(&first), live(&clusters(), routes), &around).unwrap();
    let same = |plan: &Plan| Arc::ptr_eq(&plan.table.router, &first.table.router);
    let mut other = routes();
    other[0]["timeout"] = "1s".into();
    assert!(same(&after(&other)));
    other[0]["priority"] = 1.into();
    assert!(!same(&after(&other)));
    other[0]["priority"] = 0.into();
    other[0]["match"] = json!({});
    assert!(!same(&after(&other)));
}

fn some_clusters() -> impl Strategy<Value = Value> {
    let more = subsequence(vec!["0", "bb", "d"], 0..3);
    (more, select(&["a", "c"][..]), any::<bool>()).prop_map(|(more, other, slow)| {
        let mut all = clusters();
        all["b"]["failover"] = json!([other]);
        if slow {
            all["c"]["connect_timeout"] = "1s".into();
        }
        more.into_iter().for_each(|name| all[name] = json!({}));
        all
    })
}

fn some_routes() -> impl Strategy<Value = Value> {
    let conditions = select(vec![
        json!({}),
        json!({"path": {"prefix": "/a"}}),
        json!({"path": {"regex": "/a/[0-9]+"}, "hosts": ["a.x", "*.x"]}),
        json!({"headers": [{"name": "x", "exact": "1"}]}),
    ]);
    let variants = |weight| json!([{"name": "x", "cluster": "a", "weight": weight}, {"name": "y", "cluster": "c", "weight": 1}]);
    let action = select(vec![
        ("cluster", json!("a")),
        ("cluster", json!("b")),
        ("split", json!({"variants": variants(1)})),
        ("split", json!({"variants": variants(2)})),
        ("respond", json!({"status": 200})),
        ("redirect", json!({"to": "/"})),
    ]);
    let one = (conditions, action, 0..2, any::<bool>());
    let names = Just(vec!["p", "q", "r", "s", "t", "u"]).prop_shuffle();
    (names, prop::collection::vec(one, 0..6)).prop_map(|(names, routes)| {
        let route =
            |(name, (conditions, (key, action), priority, edits)): (_, (Value, (&str, Value), i32, bool))| {
                let name: &str = name;
                let mut route = json!({"name": name, "match": conditions, "priority": priority, key: action});
                if edits {
                    route["response_headers"] = json!({"set": {"x-a": "1"}});
                }
                route
            };
        names.into_iter().zip(routes).map(route).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever served before, the same comes out as from nothing.
    #[test]
    fn what_is_taken_over_makes_no_difference(
        configs in prop::collection::vec((some_clusters(), some_routes()), 2..5),
    ) {
        let reused = around();
        let mut last = None;
        for (clusters, routes) in &configs {
            let live = live(clusters, routes);
            let fresh = around();
            let want = Plan::new(live.clone(), &fresh).unwrap();
            let got = Plan::after(last.as_ref(), live, &reused).unwrap();
            prop_assert_eq!(format!("{:#?}", got), format!("{:#?}", want));
            let next = snapshot(&got, last.as_ref(), &reused);
            let want = snapshot(&want, None, &fresh);
            prop_assert_eq!(&next.digest, &want.digest);
            last = Some(next);
        }
    }
}
