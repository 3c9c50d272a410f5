use super::*;
use crate::config::{Config, File};
use crate::endpoint::Roster;
use crate::filter::Registry;
use crate::observe::Metrics;
use crate::snapshot::Table;
use crate::snapshot::compile::{Plan, Step, Surroundings};
use crate::split::Standing;

/// A snapshot of generation 1 with the split `shop` (control 90, candidate 10) and a route without.
fn snapshot(standing: &Standing) -> Snapshot {
    let file: File = serde_json::from_value(serde_json::json!({
        "clusters": {"c": {"static": {"endpoints": []}}},
        "routes": [
            {"name": "plain", "cluster": "c"},
            {"name": "shop", "split": {"variants": [
                {"name": "control", "cluster": "c", "weight": 90},
                {"name": "candidate", "cluster": "c", "weight": 10},
            ]}},
        ],
    }))
    .unwrap();
    let metrics = Arc::new(Metrics::new().unwrap());
    let around = Surroundings {
        metrics,
        filters: Registry::default(),
        listeners: Vec::new(),
        tcp: Vec::new(),
        mirrors: Arc::default(),
    };
    let previous = Snapshot::empty(Table::empty(&around), Arc::default());
    let step = Step {
        previous: &previous,
        members: &|_, _| None,
        standing: &|_| standing.clone(),
        access_log: Arc::default(),
        cause: String::new(),
        now: std::time::UNIX_EPOCH,
    };
    Plan::new(Config::from(file).live.into(), &around).unwrap().snapshot(
        step,
        &mut Roster::default(),
        &around,
    )
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn set(weights: &[(&str, u64)]) -> Request {
    Request {
        route: name("shop"),
        wish: Wish::Set(weights.iter().map(|(variant, weight)| (name(variant), *weight)).collect()),
        author: "ann".into(),
        why: "why".into(),
        if_generation: None,
        if_epoch: None,
    }
}

fn standing(origin: Origin, epoch: u64) -> Standing {
    let weights = [(name("control"), 30), (name("candidate"), 70)].into();
    let seed = Some("old".to_owned());
    Standing {
        origin,
        amendment: Some(Amendment { weights, seed, epoch, ..Amendment::default() }),
        ..Standing::default()
    }
}

#[test]
fn what_is_not_named_keeps_what_it_has_now() {
    let snapshot = snapshot(&standing(Origin::Overlay, 4));
    let amendment = judge(&snapshot, &set(&[("candidate", 5)]), 77).unwrap();
    assert_eq!(amendment.weights, [(name("control"), 30), (name("candidate"), 5)].into());
    assert_eq!((amendment.epoch, amendment.at, amendment.seed.as_deref()), (5, 77, Some("old")));
    assert_eq!((amendment.author.as_str(), amendment.why.as_str()), ("ann", "why"));
    let reset = judge(&snapshot, &Request { wish: Wish::Reset, ..set(&[]) }, 77).unwrap();
    assert_eq!((reset.weights.len(), reset.epoch, reset.seed), (0, 5, None));
    // The one that is left must not be all there was.
    let zero = judge(&snapshot, &set(&[("candidate", 0), ("control", 0)]), 77);
    assert!(matches!(zero, Err(Refused::Invalid(problems)) if problems[0].path == "weights"));
}

#[test]
fn an_epoch_does_not_overflow() {
    let last = judge(&snapshot(&standing(Origin::Overlay, u64::MAX)), &set(&[]), 77).unwrap();
    assert_eq!(last.epoch, u64::MAX, "a document may say anything, and nothing overflows");
}

#[test]
fn conditions_must_hold() {
    let snapshot = snapshot(&standing(Origin::Overlay, 4));
    for (if_generation, if_epoch, good) in [
        (None, None, true),
        (Some(1), Some(4), true),
        (Some(0), None, false),
        (Some(2), Some(4), false),
        (Some(1), Some(3), false),
        (None, Some(5), false),
    ] {
        match judge(&snapshot, &Request { if_generation, if_epoch, ..set(&[("control", 1)]) }, 0) {
            Ok(_) => assert!(good),
            Err(Refused::Stale { generation, epoch, .. }) => {
                assert_eq!((good, generation, epoch), (false, 1, 4))
            }
            Err(other) => panic!("{other}"),
        }
    }
}

#[test]
fn what_is_not_there_is_told_with_a_close_name() {
    let snapshot = snapshot(&Standing::default());
    for (route, part, close) in
        [("shpo", "no route", "did you mean `shop`?"), ("plain", "no split", "`/v1/splits` lists")]
    {
        match find(&snapshot, route) {
            Err(Refused::Unknown { what, hint }) => assert!(what.contains(part) && hint.contains(close)),
            other => panic!("{other:?}"),
        }
    }
    assert!(judge(&snapshot, &set(&[("control", 1)]), 0).is_ok());
}

#[test]
fn the_fleets_split_is_not_this_nodes() {
    let route = name("shop");
    assert!(own(&snapshot(&standing(Origin::Overlay, 1)), &route).is_ok());
    assert!(own(&snapshot(&Standing::default()), &route).is_ok());
    let unread = Standing { problem: Some("not JSON".into()), ..Standing::default() };
    assert!(own(&snapshot(&unread), &route).is_ok(), "a document that never was good stands over nothing");
    let of_fleet = own(&snapshot(&standing(Origin::ConsulKv, 9)), &route);
    assert!(matches!(of_fleet, Err(Refused::OfFleet { epoch: 9, generation: 1, .. })), "{of_fleet:?}");
    assert!(own(&snapshot(&Standing::default()), &name("plain")).is_err());
}
