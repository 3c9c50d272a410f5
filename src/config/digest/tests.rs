use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::*;
use crate::config::live::{Cluster, Forwarding, Route};

/// A route with every key, whether or not they go together.
fn route() -> Value {
    let conditions = json!({
        "hosts": ["a.example.com", "*.b.example.com"], "path": {"prefix": "/a"}, "methods": ["GET"],
        "headers": [{"name": "x-a", "exact": "1", "prefix": "2", "regex": "3", "present": true, "invert": false}],
        "query": [{"name": "q", "exact": "1"}],
    });
    let edits = json!({"set": {"x-a": "1"}, "add": {"x-b": "2"}, "remove": ["x-c"]});
    json!({
        "name": "shop", "match": conditions, "priority": 1, "cluster": "web",
        "split": {
            "seed": "s", "on_unhealthy": "fail", "tell_client": true,
            "key": [{"header": "x-user"}, {"cookie": {"name": "id", "mint": "30d"}}, {"query": "u"}, "source_ip"],
            "variants": [{"name": "a", "cluster": "web", "weight": 1}, {"name": "b", "cluster": "app", "weight": 2}],
            "overrides": [{"match": conditions, "variant": "a"}],
        },
        "redirect": {"to": "/b", "status": 301},
        "respond": {"status": 200, "body": "hello", "headers": {"x-a": "1"}},
        "timeout": "5s", "idle_timeout": "6s",
        "retry": {
            "attempts": 3, "on": ["reset"], "per_try_timeout": "1s",
            "backoff": {"base": "10ms", "max": "1s"}, "budget": {"percent": 10, "min": 1},
            "respect_retry_after": true, "non_idempotent": true, "other_variant": false,
        },
        "mirror": {"cluster": "shadow", "fraction": 0.5, "methods": ["GET"]},
        "rewrite": {"prefix": "/c", "regex": "a", "to": "b"},
        "host": "other", "grpc_web": true, "request_headers": edits, "response_headers": edits,
        "filters": [{"name": "f", "config": {"a": [1, true, "x"]}}],
    })
}

/// The same for a cluster.
fn cluster() -> Value {
    json!({
        "consul": {"service": "web", "tags": ["a"], "meta": {"k": "v"}, "datacenter": "dc1", "address": "lan"},
        "static": {"endpoints": [{"address": "127.0.0.1:1", "weight": 2, "meta": {"k": "v"}}]},
        "dns": {"name": "web", "port": 80, "srv": true, "resolvers": ["127.0.0.1:53"], "min_ttl": "2s"},
        "load_balancing": {
            "policy": "maglev", "hash": [{"header": "x"}, "source_ip"], "slow_start": "5s",
            "locality": {"datacenter": "dc1", "zone": "z"},
        },
        "health_check": {"tcp": {"send": "a", "expect": "b"}, "http": {"path": "/h"}, "interval": "1s", "port": 9},
        "outlier_detection": {
            "consecutive_errors": 7, "success_rate": {"deviations": 1.5}, "failure_percentage": {"threshold": 50},
        },
        "circuit_breaker": {"max_connections": 1, "max_requests": 2, "max_retries": 3},
        "failover": ["other"], "connect_timeout": "1s", "protocol": "http2",
        "tls": {"ca": "a.pem", "sni": "web", "verify": false, "cert": "b.pem", "key": "c.pem"},
        "proxy_protocol": "v1",
    })
}

/// Every place in a value: itself, and what it holds.
fn places(value: &Value, at: &str, all: &mut Vec<String>) {
    all.push(at.to_owned());
    match value {
        Value::Array(list) => {
            list.iter().enumerate().for_each(|(i, item)| places(item, &format!("{at}/{i}"), all));
        }
        Value::Object(map) => map.iter().for_each(|(key, item)| places(item, &format!("{at}/{key}"), all)),
        _ => {}
    }
}

/// What could stand in a place instead.
fn others(value: &Value) -> Vec<Value> {
    let words = "other /other 7s v2 http1 warning shift random timeout *.c.example.com 127.0.0.1:7 wan POST \
                 10.9.0.0/16 pass keep";
    let mut others: Vec<Value> = words.split(' ').map(Value::from).collect();
    others.extend([
        json!(302),
        json!(7),
        json!(0.25),
        json!(true),
        json!(false),
        Value::Null,
        json!({"header": "other"}),
    ]);
    match value {
        Value::Array(list) => {
            others.push(list.iter().skip(1).cloned().collect());
            others.push(list.iter().chain(list).cloned().collect());
        }
        Value::Object(map) => {
            others.extend(map.keys().map(|gone| {
                map.iter().filter(|(key, _)| *key != gone).map(|(k, v)| (k.clone(), v.clone())).collect()
            }));
        }
        _ => {}
    }
    others
}

/// Changes a value in every place, in every way that can still be read. Two that are equal must have
/// equal digests, two that differ must not.
fn notices_everything<T: DeserializeOwned + Hash + PartialEq>(value: &Value) {
    let read = |value: &Value| serde_json::from_value::<T>(value.clone()).ok();
    let original = read(value).unwrap();
    assert_eq!(digest(&original), digest(&read(value).unwrap()));
    let mut all = Vec::new();
    places(value, "", &mut all);
    for at in all.iter().filter(|at| !at.is_empty()) {
        let mut noticed = 0;
        for other in others(value.pointer(at).unwrap()) {
            let mut changed = value.clone();
            *changed.pointer_mut(at).unwrap() = other;
            let Some(read) = read(&changed) else { continue };
            let (same, equal) = (read == original, digest(&read) == digest(&original));
            assert_eq!(same, equal, "{at}: {changed}");
            noticed += u32::from(!same);
        }
        let holds = matches!(value.pointer(at), Some(Value::Array(_) | Value::Object(_)));
        assert!(holds || noticed > 0, "nothing else can stand at {at}");
    }
}

#[test]
fn every_key_of_a_route_is_noticed() {
    notices_everything::<Route>(&route());
}

#[test]
fn every_key_of_a_cluster_is_noticed() {
    notices_everything::<Cluster>(&cluster());
}

#[test]
fn every_key_of_forwarding_is_noticed() {
    notices_everything::<Forwarding>(&json!({
        "trusted": ["10.0.0.0/8"], "x_forwarded": false, "forwarded": true, "via": true,
        "traceparent": "make", "request_id": "replace",
    }));
}

#[test]
fn the_order_and_the_borders_of_a_list_count() {
    let all = |texts: &[&str]| digest_all(texts);
    assert_ne!(all(&["a", "b"]), all(&["b", "a"]));
    assert_ne!(all(&["ab", ""]), all(&["a", "b"]));
    assert_ne!(all(&["a"]), all(&["a", ""]));
    assert_ne!(digest(&("ab", "c")), digest(&("a", "bc")));
    assert_ne!(digest(&vec![vec![1], vec![]]), digest(&vec![vec![], vec![1]]));
}
