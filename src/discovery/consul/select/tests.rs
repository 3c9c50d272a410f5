use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

/// Shortened from a real answer of Consul 1.8.7: an external node, a full instance with a warning,
/// one in maintenance, one with IPv6 that is critical, one with port 0 and a host name.
const SAMPLE: &str = r#"[
  {"Node": {"ID": "", "Node": "ext-node", "Address": "192.0.2.10", "Datacenter": "dc1",
     "TaggedAddresses": {"lan": "192.0.2.10", "wan": "198.51.100.10"}},
   "Service": {"ID": "api-ext", "Service": "api", "Tags": ["ext"], "Address": "", "Meta": null, "Port": 9090,
     "Weights": {"Passing": 1, "Warning": 1}},
   "Checks": [{"CheckID": "service:api-ext", "Status": "passing"}]},
  {"Node": {"Node": "lab1", "Address": "127.0.0.1", "Datacenter": "dc1"},
   "Service": {"ID": "api-1", "Service": "api", "Tags": ["v1", "a"], "Address": "10.1.0.5",
     "TaggedAddresses": {"lan": {"Address": "10.1.0.5", "Port": 8080}, "lan_ipv6": {"Address": "fd00::5", "Port": 8080},
       "wan": {"Address": "203.0.113.7", "Port": 80}, "wan_ipv4": {"Address": "10.1.0.5", "Port": 8080}},
     "Meta": {"version": "1.4.2"}, "Port": 8080, "Weights": {"Passing": 10, "Warning": 2}, "Proxy": {"Expose": {}}},
   "Checks": [{"CheckID": "serfHealth", "Status": "passing"}, {"CheckID": "api-1-b", "Status": "warning"}]},
  {"Node": {"Node": "lab1", "Address": "127.0.0.1", "Datacenter": "dc1"},
   "Service": {"ID": "api-2", "Tags": [], "Address": "", "Meta": null, "Port": 8081},
   "Checks": [{"CheckID": "_service_maintenance:api-2", "Status": "critical", "Type": "maintenance"}]},
  {"Node": {"Node": "lab1", "Address": "127.0.0.1", "Datacenter": "dc1"},
   "Service": {"ID": "api-3", "Tags": [], "Address": "fd00::6", "Meta": null, "Port": 8082,
     "Weights": {"Passing": 3, "Warning": 1}},
   "Checks": [{"CheckID": "service:api-3", "Status": "critical"}]},
  {"Node": {"Node": "lab1", "Address": "127.0.0.1"},
   "Service": {"ID": "api-4", "Tags": [], "Address": "backend.example.internal", "Meta": null, "Port": 0},
   "Checks": []}]"#;

fn wanted(address: &str) -> ConsulService {
    ConsulService {
        service: "api".into(),
        tags: vec![],
        meta: BTreeMap::new(),
        datacenter: None,
        address: address.into(),
    }
}

fn sample() -> Instances {
    Instances::parse(SAMPLE.as_bytes()).unwrap()
}

/// One instance on 10.0.0.1:80 with the changes of `edit`.
fn one(edit: impl FnOnce(&mut Value)) -> Selection {
    selected(&mut [instance()], edit)
}

fn beside_a_good_one(edit: impl FnOnce(&mut Value)) -> Selection {
    selected(&mut [instance(), instance()], edit)
}

fn instance() -> Value {
    json!({"Node": {"Node": "n", "Address": "10.0.0.1"},
        "Service": {"ID": "i", "Address": "", "Port": 80, "Kind": ""}, "Checks": []})
}

/// What is selected of `values` after `edit` has changed the first.
fn selected(values: &mut [Value], edit: impl FnOnce(&mut Value)) -> Selection {
    edit(&mut values[0]);
    let body = json!(values).to_string();
    select(&Instances::parse(body.as_bytes()).unwrap(), &wanted("service"))
}

#[test]
fn a_real_answer_is_read() {
    let selection = select(&sample(), &wanted("service"));
    let seen: Vec<_> =
        selection.members.iter().map(|m| (m.address.to_string(), m.weight, m.registry)).collect();
    let expected = [
        ("10.1.0.5:8080", 2, Registry::Warning),
        ("127.0.0.1:8081", 1, Registry::Maintenance),
        ("192.0.2.10:9090", 1, Registry::Passing),
        ("[fd00::6]:8082", 3, Registry::Critical),
    ];
    assert_eq!(seen, expected.map(|(a, w, r)| (a.to_owned(), w, r)));
    assert_eq!(selection.dropped.len(), 1);
    assert!(selection.dropped[0].starts_with("lab1/api-4: `backend.example.internal`"));
    let labels = &selection.members[0].labels;
    assert_eq!((labels.id.as_str(), labels.datacenter.as_str()), ("lab1/api-1", "dc1"));
    assert_eq!((&labels.tags[..], labels.meta.len()), (&["a".to_owned(), "v1".to_owned()][..], 1));
}

#[test]
fn the_address_rule_is_followed() {
    for (rule, expected) in [
        ("lan", ["10.1.0.5:8080", "192.0.2.10:9090"]),
        ("wan", ["198.51.100.10:9090", "203.0.113.7:80"]),
        ("lan_ipv6", ["192.0.2.10:9090", "[fd00::5]:8080"]),
        ("no-such-key", ["10.1.0.5:8080", "192.0.2.10:9090"]),
    ] {
        let members = select(&sample(), &wanted(rule)).members;
        let of_interest =
            members.iter().filter(|m| m.labels.id.ends_with("-1") || m.labels.id.ends_with("ext"));
        assert_eq!(of_interest.map(|m| m.address.to_string()).collect::<Vec<_>>(), expected, "{rule}");
    }
}

#[test]
fn tags_and_meta_select_and_all_must_hold() {
    let ids = |tags: &[&str], meta: &[(&str, &str)]| {
        let wanted = ConsulService {
            tags: tags.iter().map(|t| (*t).to_owned()).collect(),
            meta: meta.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
            ..wanted("service")
        };
        select(&sample(), &wanted).members.iter().map(|m| m.labels.id.clone()).collect::<Vec<_>>()
    };
    assert_eq!(ids(&["v1"], &[]), ["lab1/api-1"]);
    assert_eq!(ids(&["v1", "a"], &[("version", "1.4.2")]), ["lab1/api-1"]);
    assert!(ids(&["v1", "ext"], &[]).is_empty());
    assert!(ids(&[], &[("version", "1.4")]).is_empty());
    assert!(ids(&[], &[("missing", "")]).is_empty());
}

#[test]
fn the_worst_check_counts_and_maintenance_beats_all() {
    let status = |checks: Value| one(|i| i["Checks"] = checks).members[0].registry;
    let check = |id: &str, status: &str| json!({"CheckID": id, "Status": status});
    assert_eq!(status(json!(null)), Registry::Passing);
    assert_eq!(status(json!([check("a", "passing"), check("serfHealth", "critical")])), Registry::Critical);
    assert_eq!(status(json!([check("a", "warning"), check("b", "passing")])), Registry::Warning);
    assert_eq!(status(json!([check("_node_maintenance", "critical")])), Registry::Maintenance);
    assert_eq!(status(json!([check("a", "who knows")])), Registry::Critical);
}

#[test]
fn bad_instances_drop_alone() {
    for (field, value) in [
        ("Port", json!(0)),
        ("Port", json!(70_000)),
        ("Port", json!(-1)),
        ("Port", json!("80")),
        ("Port", json!(1e300)),
        ("Address", json!("0.0.0.0")),
        ("Address", json!("::")),
        ("Address", json!("host.example")),
        ("Meta", json!({"a": 5})),
    ] {
        let selection = beside_a_good_one(|i| i["Service"][field] = value.clone());
        assert_eq!((selection.members.len(), selection.dropped.len()), (1, 1), "{field} {value}");
        assert!(selection.dropped[0].starts_with("n/i: "), "{:?}", selection.dropped);
    }
}

#[test]
fn nulls_are_defaults_and_sidecars_are_not_the_service() {
    let nulls = one(|i| {
        for field in ["Tags", "Meta", "Weights", "TaggedAddresses", "Kind"] {
            i["Service"][field] = Value::Null;
        }
        i["Service"]["New"] = json!({"unknown": 1});
    });
    assert_eq!((nulls.members.len(), nulls.members[0].weight), (1, 1));
    let sidecar = one(|i| i["Service"]["Kind"] = json!("connect-proxy"));
    assert_eq!((sidecar.members.len(), sidecar.dropped.len()), (0, 0));
    assert_eq!(sidecar.elsewhere.len(), 1);
    let checks = one(|i| i["Checks"] = json!([null, {"CheckID": "c", "Status": "warning"}, null]));
    assert_eq!((checks.members[0].registry, checks.dropped.len()), (Registry::Warning, 0));
    let heavy = one(|i| i["Service"]["Weights"] = json!({"Passing": 1_000_000, "Warning": -3}));
    assert_eq!(heavy.members[0].weight, 65_535);
}

#[test]
fn a_body_that_is_no_array_is_refused_whole() {
    for (body, kind) in [
        ("", "truncated"),
        (r#"[{"Node": {"#, "truncated"),
        ("<html>", "not_json"),
        ("null", "not_json"),
        ("{}", "not_json"),
        ("[] []", "not_json"),
    ] {
        assert_eq!(Instances::parse(body.as_bytes()).unwrap_err().kind(), kind, "{body}");
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[a-z0-9.:]{0,12}".prop_map(Value::from),
    ];
    let keys = prop::sample::select(vec![
        "Node",
        "Service",
        "Checks",
        "Address",
        "Port",
        "Meta",
        "Tags",
        "ID",
        "Weights",
        "Passing",
        "TaggedAddresses",
        "CheckID",
        "Status",
        "lan",
        "Kind",
    ]);
    leaf.prop_recursive(5, 60, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((keys.clone(), inner), 0..6).prop_map(|pairs| {
                Value::Object(pairs.into_iter().map(|(k, v)| (k.to_owned(), v)).collect())
            }),
        ]
    })
}

proptest! {
    #[test]
    fn arbitrary_json_never_panics(values in prop::collection::vec(any_json(), 0..5), bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Instances::parse(&bytes);
        let body = Value::from(values).to_string();
        let instances = match Instances::parse(body.as_bytes()) {
            Ok(instances) => instances,
            Err(error) => {
                prop_assert_eq!(error.kind(), "unreadable");
                return Ok(());
            }
        };
        for rule in ["service", "lan"] {
            let selection = select(&instances, &wanted(rule));
            prop_assert!(selection.members.iter().all(|m| m.address.port() > 0));
        }
    }
}
