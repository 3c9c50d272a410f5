//! A heritage is read whatever is in it, and soon.

use std::net::SocketAddr;
use std::time::Instant;

use proptest::prelude::*;

use super::*;
use crate::config::Name;
use crate::discovery::keep::estate::Left;
use crate::endpoint::{Checked, ClusterMemory, Labels, Member, Members, Memory, Registry};
use crate::split::Amendment;

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

/// Of so many clusters with so many endpoints each.
fn heritage(clusters: usize, endpoints: usize) -> Heritage {
    let mut heritage = Heritage { generation: 7, configs: 2, ..Heritage::default() };
    let splits = [(name("shop"), Amendment { epoch: 3, ..Amendment::default() })].into();
    heritage.overlay = Some(Stored { splits, ..Stored::default() });
    for cluster in 0..clusters {
        let address = |index: usize| {
            let [high, low] = u16::try_from(index).unwrap().to_be_bytes();
            SocketAddr::from(([10, u8::try_from(cluster % 250).unwrap(), high, low], 8080))
        };
        let labels = |index: usize| Labels {
            id: format!("node-{index}.example/web-{index}"),
            node: format!("node-{index}.example"),
            datacenter: "dc1".into(),
            tags: vec!["v1".into(), "blue".into()],
            meta: [("zone".to_owned(), "a".to_owned()), ("version".to_owned(), "1.2.3".to_owned())].into(),
        };
        let member = |index| Member {
            address: address(index),
            weight: 1,
            registry: Registry::Passing,
            labels: labels(index).into(),
        };
        let left = Left {
            spec: "consul {\"service\":\"web\"}".into(),
            members: Members::new((0..endpoints).map(member)),
            heard_at: 1_700_000_000,
            held: [(address(0), 1000)].into(),
            live: true,
            degraded: false,
        };
        let up = Memory { checked: Checked::Up, ..Memory::default() };
        let endpoints = (0..endpoints).map(|index| (address(index), up.clone())).collect();
        let cluster = name(&format!("c{cluster}"));
        heritage.members.insert(cluster.clone(), left);
        heritage.clusters.insert(cluster, ClusterMemory { saved: 500, endpoints });
    }
    heritage
}

#[test]
fn what_is_told_is_what_is_heard() {
    let told = heritage(3, 5);
    let text = serde_json::to_string(&told).unwrap();
    assert_eq!(serde_json::from_str::<Heritage>(&text).unwrap(), told);
    assert_eq!(serde_json::from_str::<Heritage>("{}").unwrap(), Heritage::default());
}

/// Ten thousand endpoints with all labels. The times are of a build that is not optimized.
#[test]
fn a_large_one_is_a_few_megabytes_and_a_moment() {
    let told = heritage(100, 100);
    #[expect(clippy::disallowed_methods, reason = "it is the real time that counts")]
    let now = Instant::now;
    let begin = now();
    let text = serde_json::to_string(&told).unwrap();
    let written = begin.elapsed();
    let heard: Heritage = serde_json::from_str(&text).unwrap();
    let read = begin.elapsed() - written;
    println!("{} bytes, written in {written:?}, read in {read:?}", text.len());
    assert_eq!(heard, told);
    assert!(text.len() < 5 << 20);
    assert!(written.as_secs() < 2 && read.as_secs() < 5, "{written:?}, {read:?}");
}

#[test]
fn what_cannot_be_read_costs_only_itself() {
    let mut value = serde_json::to_value(heritage(3, 3)).unwrap();
    value["generation"] = "eight".into();
    value["overlay"]["splits"] = 1.into();
    value["members"]["c0"]["members"] = "none".into();
    value["members"]["c1"]["held"] = serde_json::json!({"nowhere": 1});
    value["clusters"]["c2"]["endpoints"]["10.2.0.0:8080"] = false.into();
    value["clusters"]["not a name!"] = serde_json::json!({});
    value["tomorrow"] = serde_json::json!([1, 2]);
    let read: Heritage = serde_json::from_value(value).unwrap();
    assert_eq!((read.generation, read.configs, &read.overlay), (0, 2, &None));
    assert_eq!(read.members.keys().map(Name::as_str).collect::<Vec<_>>(), ["c1", "c2"]);
    assert!(read.members[&name("c1")].held.is_empty());
    let endpoints: Vec<_> = read.clusters.values().map(|cluster| cluster.endpoints.len()).collect();
    assert_eq!(endpoints, [3, 3, 2]);
}

/// Any JSON, with the names that count in it now and then.
fn json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<u64>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        ".{0,8}".prop_map(Into::into),
    ];
    let names = vec![
        "generation",
        "configs",
        "overlay",
        "members",
        "clusters",
        "splits",
        "fleet",
        "drains",
        "web",
        "spec",
        "held",
        "10.0.0.1:80",
        "endpoints",
        "saved",
        "checked",
        "standing",
        "times",
        "left",
        "whole",
    ];
    leaf.prop_recursive(6, 64, 8, move |inner| {
        let name = prop_oneof![prop::sample::select(names.clone()).prop_map(str::to_owned), ".{0,5}"];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(serde_json::Value::Array),
            prop::collection::vec((name, inner), 0..8).prop_map(|all| all.into_iter().collect()),
        ]
    })
}

proptest! {
    #[test]
    fn hostile_json_never_panics(value in json(), text in ".{0,200}") {
        let _ = serde_json::from_str::<Heritage>(&text);
        if let Ok(heritage) = serde_json::from_value::<Heritage>(value) {
            prop_assert!(heritage.floor() < u64::MAX - ROOM);
            let mut roster = crate::endpoint::Roster::default();
            roster.recall(&heritage.clusters, |_| true, tokio::time::Instant::now().into_std());
        }
    }
}
