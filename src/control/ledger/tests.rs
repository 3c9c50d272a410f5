use proptest::prelude::*;

use super::*;
use crate::config::live;

fn live(routes: &[(&str, &[&str])]) -> Live {
    let routes: Vec<_> = routes
        .iter()
        .map(|(route, variants)| {
            let variants: Vec<_> = variants
                .iter()
                .map(|name| serde_json::json!({"name": name, "cluster": "c", "weight": 1}))
                .collect();
            serde_json::json!({"name": route, "split": {"variants": variants}})
        })
        .collect();
    let splits = live::Splits { consul_kv: Some("p".into()) };
    let routes = serde_json::from_value(serde_json::Value::Array(routes)).unwrap();
    Live { routes, splits, ..Live::default() }
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn said(variant: &str, weight: u64, epoch: u64) -> Amendment {
    Amendment { weights: [(name(variant), weight)].into(), epoch, ..Amendment::default() }
}

fn document(variant: &str, weight: u64, epoch: u64) -> Standing {
    of_fleet(&said(variant, weight, epoch))
}

fn unreadable() -> Standing {
    Standing { origin: Origin::ConsulKv, amendment: None, problem: Some("not JSON".into()), index: 0 }
}

/// The ledger after the fleet said this.
fn heard(ledger: &mut Ledger, live: &Live, documents: &[(&str, Standing)]) {
    ledger.fleet("p", documents.iter().map(|(route, said)| (name(route), said.clone())).collect());
    ledger.judge(live);
}

/// Origin, epoch and whether there is a problem.
fn counts(ledger: &Ledger, route: &str) -> (Origin, u64, bool) {
    let standing = ledger.standing(&name(route));
    let epoch = standing.amendment.map_or(0, |said| said.epoch);
    (standing.origin, epoch, standing.problem.is_some())
}

#[test]
fn the_fleet_counts_before_this_node_and_this_node_before_the_file() {
    let live = live(&[("r", &["a", "b"])]);
    let mut ledger = Ledger::restored(Stored::default(), Some("p"));
    assert_eq!(counts(&ledger, "r"), (Origin::File, 0, false));
    ledger.set(name("r"), said("a", 2, 1));
    assert_eq!(counts(&ledger, "r"), (Origin::Overlay, 1, false));
    heard(&mut ledger, &live, &[("r", document("a", 3, 7))]);
    assert_eq!(counts(&ledger, "r"), (Origin::ConsulKv, 7, false));
    heard(&mut ledger, &live, &[]);
    assert_eq!(counts(&ledger, "r"), (Origin::Overlay, 1, false), "hidden, not erased");
}

#[test]
fn a_bad_document_disables_only_itself() {
    let live = live(&[("r", &["a", "b"]), ("other", &["a"])]);
    let mut ledger = Ledger::restored(Stored::default(), Some("p"));
    heard(&mut ledger, &live, &[("r", document("a", 3, 1)), ("other", document("a", 1, 1))]);
    for bad in [unreadable(), document("gone", 1, 2), document("a", MAX_WEIGHT + 1, 2)] {
        heard(&mut ledger, &live, &[("r", bad), ("other", document("a", 2, 2))]);
        assert_eq!(counts(&ledger, "r"), (Origin::ConsulKv, 1, true));
        assert_eq!(counts(&ledger, "other"), (Origin::ConsulKv, 2, false));
    }
    heard(&mut ledger, &live, &[("r", document("b", 3, 3))]);
    assert_eq!(counts(&ledger, "r"), (Origin::ConsulKv, 3, false));
    heard(&mut ledger, &live, &[("r", unreadable())]);
    heard(&mut ledger, &live, &[]);
    assert_eq!(counts(&ledger, "r"), (Origin::File, 0, false), "a document that is deleted is gone");
    heard(&mut ledger, &live, &[("r", unreadable())]);
    assert_eq!(counts(&ledger, "r"), (Origin::File, 0, true), "and there is no last good one");
    ledger.set(name("r"), said("a", 2, 1));
    assert_eq!(counts(&ledger, "r"), (Origin::Overlay, 1, true));
}

#[test]
fn a_document_that_came_before_its_config_is_judged_again() {
    let mut ledger = Ledger::restored(Stored::default(), Some("p"));
    heard(&mut ledger, &live(&[("r", &["a"])]), &[("r", document("b", 5, 1)), ("new", document("x", 1, 1))]);
    assert_eq!(counts(&ledger, "r"), (Origin::File, 0, true));
    ledger.judge(&live(&[("r", &["a", "b"]), ("new", &["x"])]));
    assert_eq!(counts(&ledger, "r"), (Origin::ConsulKv, 1, false));
    assert_eq!(counts(&ledger, "new"), (Origin::ConsulKv, 1, false));
    ledger.judge(&live(&[("r", &["a"])]));
    assert_eq!(counts(&ledger, "r"), (Origin::ConsulKv, 1, true), "the last good one, as far as it fits");
}

#[test]
fn documents_belong_to_their_prefix() {
    let live = live(&[("r", &["a"])]);
    let mut ledger = Ledger::restored(Stored::default(), Some("p"));
    heard(&mut ledger, &live, &[("r", document("a", 3, 1))]);
    let stored = ledger.stored();
    for (prefix, origin) in [
        (Some("p"), Origin::ConsulKv),
        (Some("/p/"), Origin::ConsulKv),
        (Some("q"), Origin::File),
        (None, Origin::File),
    ] {
        let mut restored = Ledger::restored(stored.clone(), prefix);
        restored.judge(&live);
        assert_eq!(restored.standing(&name("r")).origin, origin, "{prefix:?}");
    }
    assert_eq!(ledger.known().map(|(prefix, good)| (prefix, good.len())), Some(("p", 1)));
    // The source may be a config ahead.
    ledger.fleet("q", [(name("r"), document("a", 4, 9))].into());
    ledger.judge(&live);
    assert_eq!(counts(&ledger, "r").1, 1);
    ledger.watch(Some("q"));
    ledger.judge(&live);
    assert_eq!(counts(&ledger, "r").1, 9);
    ledger.watch(None);
    ledger.judge(&live);
    assert_eq!(counts(&ledger, "r").0, Origin::File);
}

proptest! {
    /// Whatever is said in whatever order: what counts is the last good document while there is one,
    /// else the overlay, else nothing; and it is so again after a restart.
    #[test]
    fn what_counts_follows_from_what_was_said(
        steps in prop::collection::vec((0..5_u8, 0..3_usize, 1..1000_u64), 0..40),
    ) {
        let routes = ["r", "s", "t"];
        let live = live(&[("r", &["a"]), ("s", &["a"]), ("t", &["a"])]);
        let mut ledger = Ledger::restored(Stored::default(), Some("p"));
        let mut documents: BTreeMap<&str, Standing> = BTreeMap::new();
        // The model: by route, overlay and last good.
        let (mut own, mut good) = (BTreeMap::new(), BTreeMap::new());
        for (kind, route, epoch) in steps {
            let route = routes[route];
            match kind {
                0 => {
                    ledger.set(name(route), said("a", 1, epoch));
                    own.insert(route, epoch);
                }
                1 => {
                    documents.insert(route, document("a", 1, epoch));
                    good.insert(route, epoch);
                }
                2 => drop(documents.insert(route, unreadable())),
                3 => drop(documents.insert(route, document("gone", 1, epoch))),
                _ => {
                    documents.remove(route);
                    good.remove(route);
                }
            }
            if kind > 0 {
                let all: Vec<_> = documents.iter().map(|(route, said)| (*route, said.clone())).collect();
                heard(&mut ledger, &live, &all);
            }
            let bytes = serde_json::to_vec(&ledger.stored()).unwrap();
            let mut restored = Ledger::restored(serde_json::from_slice(&bytes).unwrap(), Some("p"));
            restored.judge(&live);
            for route in routes {
                let expected = match (good.get(route), own.get(route)) {
                    (Some(epoch), _) => (Origin::ConsulKv, *epoch),
                    (None, Some(epoch)) => (Origin::Overlay, *epoch),
                    (None, None) => (Origin::File, 0),
                };
                let (origin, epoch, _) = counts(&ledger, route);
                prop_assert_eq!((origin, epoch), expected);
                let (origin, epoch, _) = counts(&restored, route);
                prop_assert_eq!((origin, epoch), expected, "after a restart");
            }
        }
    }
}

#[test]
fn where_a_document_was_in_its_store_outlives_the_process() {
    let live = live(&[("r", &["a", "b"])]);
    let mut ledger = Ledger::restored(Stored::default(), Some("p"));
    heard(&mut ledger, &live, &[("r", Standing { index: 35, ..document("a", 3, 7) })]);
    let text = serde_json::to_string(&ledger.stored()).unwrap();
    let mut again = Ledger::restored(serde_json::from_str(&text).unwrap(), Some("p"));
    again.judge(&live);
    assert_eq!(again.known().unwrap().1[&name("r")], (said("a", 3, 7), 35));
    assert_eq!(again.stored(), ledger.stored());
    // As an older version wrote it.
    let old = r#"{"splits": {}, "fleet": {"prefix": "p", "splits": {"r": {"weights": {"a": 3}}}}}"#;
    let old = Ledger::restored(serde_json::from_str(old).unwrap(), Some("p"));
    assert_eq!(old.known().unwrap().1[&name("r")].1, 0);
}
