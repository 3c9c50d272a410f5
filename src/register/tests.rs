use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;

use super::decide::{Action, Why, decide, ours};
use super::goal::{Book, Entry};
use super::*;
use crate::config::{Config, load};
use crate::consul::agent::{Seen, SeenCheck};
use crate::consul::{Address, Settings};

fn config(register: &str, listeners: &str) -> Config {
    let text = format!(
        "listeners: [ {listeners} ]\nroutes: [ {{ name: r, respond: {{ status: 200 }} }} ]\nregister: {register}\n"
    );
    load::text_of(&text, Path::new("t.yaml")).unwrap().0
}

fn made(register: &str, listeners: &str) -> Result<(Service, Option<Duration>), String> {
    let config = config(register, listeners);
    entry(config.live.register.as_ref().unwrap(), &config.boot, Some("box"))
}

const WEB: &str = "{ name: web, address: '0.0.0.0:8080' }";

#[test]
fn the_entry_says_nothing_of_the_process() {
    let (service, ttl) = made("{ name: edge, tags: [b, a], meta: { zone: z1 } }", WEB).unwrap();
    assert_eq!(ttl, Some(Duration::from_secs(15)));
    let body = serde_json::to_value(&service).unwrap();
    let expected = serde_json::json!({
        "ID": "edge-box-8080", "Name": "edge", "Tags": ["b", "a"], "Meta": {"zone": "z1"}, "Port": 8080,
        "Check": {"CheckID": "edge-box-8080-ttl", "Name": "Tidegate says that it serves", "TTL": "15000ms",
            "Notes": "critical after 15s without a word, removed 10m later", "Status": "passing",
            "DeregisterCriticalServiceAfter": "600000ms"},
    });
    assert_eq!(body, expected);
    assert_eq!(serde_json::from_value::<Service>(body).unwrap(), service, "an heir reads it");
}

#[test]
fn a_http_check_asks_the_admin_api() {
    let (service, ttl) = made("{ name: edge, check: http, interval: 3s, id: e }", WEB).unwrap();
    let check = &service.check;
    assert_eq!((ttl, check.id.as_str(), check.ttl.as_str()), (None, "e-http", ""));
    assert_eq!((check.http.as_str(), check.interval.as_str()), ("http://127.0.0.1:9901/ready", "3000ms"));
}

#[test]
fn the_address_is_one_that_others_can_reach() {
    for (listener, own, address) in [
        ("0.0.0.0:80", "", ""),
        ("127.0.0.1:80", "", ""),
        ("'[::]:80'", "", ""),
        ("10.1.2.3:80", "", "10.1.2.3"),
        ("'[fd00::1]:80'", "", "fd00::1"),
        ("10.1.2.3:80", ", address: edge.example.com", "edge.example.com"),
    ] {
        let listener = format!("{{ name: web, address: {listener} }}");
        let (service, _) = made(&format!("{{ name: edge{own} }}"), &listener).unwrap();
        assert_eq!(service.address, address, "{listener}");
    }
}

#[test]
fn the_listener_is_the_first_with_http_or_the_one_that_is_named() {
    let both =
        "{ name: raw, address: '0.0.0.0:1', tcp: { cluster: c } }, { name: web, address: '0.0.0.0:2' }";
    let text = format!(
        "listeners: [ {both} ]\nclusters: {{ c: {{ static: {{ endpoints: [ {{ address: '127.0.0.1:9' }} ] }} }} }}\nregister: {{ name: edge }}\n"
    );
    let (config, _) = load::text_of(&text, Path::new("t.yaml")).unwrap();
    let mut register = config.live.register.unwrap();
    assert_eq!(entry(&register, &config.boot, Some("box")).unwrap().0.port, 2);
    register.listener = Some("raw".parse().unwrap());
    assert_eq!(entry(&register, &config.boot, Some("box")).unwrap().0.port, 1);
    // Of a file that was reloaded: the process does not have it yet.
    register.listener = Some("new".parse().unwrap());
    assert!(entry(&register, &config.boot, Some("box")).unwrap_err().contains("waits for an upgrade"));
    register.listener = None;
    assert!(entry(&register, &config.boot, None).unwrap_err().contains("register.id"));
}

#[test]
fn what_cannot_work_as_thought_is_warned_of() {
    let told = |register: &str, listeners: &str, agent: &str| {
        let config = config(register, listeners);
        let agent = Address::parse(agent, false).unwrap();
        let told = warnings(&config.live, &config.boot, Some(&agent));
        told.into_iter().map(|problem| problem.path).collect::<Vec<_>>()
    };
    assert!(told("{ name: edge }", WEB, "10.0.0.9:8500").is_empty());
    let loopback = "{ name: web, address: '127.0.0.1:80' }";
    assert_eq!(told("{ name: edge }", loopback, "h:8500"), ["register"]);
    assert!(told("{ name: edge, address: 10.0.0.1 }", loopback, "h:8500").is_empty());
    assert_eq!(told("{ name: edge, check: http }", WEB, "10.0.0.9:8500"), ["register.check"]);
    for near in ["127.0.0.1:8500", "localhost:8500", "[::1]:8500", "unix:///s"] {
        assert!(told("{ name: edge, check: http }", WEB, near).is_empty(), "{near}");
    }
}

#[test]
fn who_leaves_or_falls_silent_does_not_come_back() {
    use Phase::{Draining, Leaving, Serving, Silent, Waiting};
    for (phase, word, next) in [
        (Waiting, Serving, Serving),
        (Waiting, Draining, Silent),
        (Waiting, Leaving, Silent),
        (Waiting, Silent, Silent),
        (Serving, Draining, Draining),
        (Serving, Leaving, Leaving),
        (Serving, Silent, Silent),
        (Draining, Leaving, Leaving),
        (Draining, Serving, Draining),
        (Leaving, Serving, Leaving),
        (Leaving, Draining, Leaving),
    ] {
        assert_eq!(phase.after(word), next, "{phase:?} {word:?}");
    }
    for word in [Waiting, Serving, Draining, Leaving] {
        assert_eq!(Silent.after(word), Silent);
    }
}

#[tokio::test]
async fn a_stop_does_not_wait_for_a_task_that_is_not_there() {
    let (register, task) = Register::new(config("{ name: edge }", WEB).boot);
    register.start(Vec::new());
    drop(task);
    timeout(Duration::from_millis(500), register.leave(Duration::from_secs(60))).await.unwrap();
}

/// An agent: what it has after being told.
fn told(action: &Action, wanted: &Service, seen: Option<Seen>) -> Option<Seen> {
    let mut checks = seen.as_ref().map(|seen| seen.checks.clone()).unwrap_or_default();
    match action {
        Action::Nothing => return seen,
        Action::DropCheck(id) => {
            checks.retain(|check| check.id != *id);
            return seen.map(|seen| Seen { checks, ..seen });
        }
        Action::Register(_) => {}
    }
    checks.retain(|check| check.id != wanted.check.id);
    checks.push(SeenCheck { id: wanted.check.id.clone(), notes: wanted.check.notes.clone() });
    Some(Seen {
        name: wanted.name.clone(),
        tags: wanted.tags.clone(),
        meta: wanted.meta.clone(),
        address: wanted.address.clone(),
        port: wanted.port.into(),
        checks,
    })
}

fn services() -> impl Strategy<Value = Service> {
    let tags = proptest::collection::vec("[ab]", 0..3);
    let meta = proptest::collection::btree_map("[kl]", "[vw]", 0..2);
    let texts = (prop_oneof!["edge", "other"], prop_oneof![Just(""), Just("10.0.0.1")]);
    (texts, tags, meta, 80_u16..82, proptest::bool::ANY, 0..2).prop_map(
        |((name, address), tags, meta, port, ttl, notes)| Service {
            id: "e".into(),
            name,
            tags,
            meta,
            address: address.to_owned(),
            port,
            check: crate::consul::agent::Check {
                id: if ttl { "e-ttl" } else { "e-http" }.into(),
                notes: format!("{notes}"),
                ..Default::default()
            },
        },
    )
}

fn agents() -> impl Strategy<Value = Option<Seen>> {
    let maintenance = SeenCheck { id: "_service_maintenance:e".into(), notes: "op".into() };
    let with =
        (services(), proptest::bool::ANY, proptest::bool::ANY).prop_map(move |(service, check, more)| {
            let mut seen = told(&Action::Register(Why::Missing), &service, None).unwrap();
            if !check {
                seen.checks.clear();
            }
            seen.checks.extend(more.then(|| maintenance.clone()));
            seen
        });
    proptest::option::of(with)
}

proptest! {
    #[test]
    fn every_state_becomes_the_wanted_one_in_few_steps(wanted in services(), mut seen in agents()) {
        let maintained = |seen: &Option<Seen>| {
            seen.iter().flat_map(|seen| &seen.checks).any(|check| check.id.starts_with("_service"))
        };
        let before = maintained(&seen);
        let mut steps = 0;
        loop {
            let action = decide(&wanted, seen.as_ref());
            if action == Action::Nothing {
                break;
            }
            seen = told(&action, &wanted, seen);
            steps += 1;
            prop_assert!(steps <= 2, "{action:?}");
        }
        let seen = seen.unwrap();
        prop_assert!(ours(&wanted, &seen));
        prop_assert_eq!(before, maintained(&Some(seen.clone())), "maintenance is not ours");
        prop_assert_eq!(seen.checks.len(), 1 + usize::from(before));
    }

    #[test]
    fn an_equal_entry_is_left_alone_and_another_is_not(a in services(), b in services()) {
        let seen = told(&Action::Register(Why::Missing), &b, None);
        prop_assert_eq!(decide(&a, seen.as_ref()) == Action::Nothing, a == b);
    }
}

fn wish(address: &str, id: &str, tag: &str) -> Entry {
    let consul = crate::config::live::Consul { address: Some(address.into()), ..Default::default() };
    let (mut service, ttl) = made("{ name: edge }", WEB).unwrap();
    (service.id, service.tags) = (id.into(), vec![tag.into()]);
    Book::default().entry(Settings::resolve(&consul, &|_| None).unwrap(), service, ttl).unwrap()
}

#[test]
fn an_entry_that_moves_is_removed_once_the_new_one_is_in() {
    let mut book = Book::default();
    assert!(book.want(Some(wish("h:1", "a", "x"))));
    assert!(!book.want(Some(wish("h:1", "a", "x"))), "the same wish");
    book.goal.as_mut().unwrap().sent = true;
    assert!(book.want(Some(wish("h:1", "a", "y"))));
    assert!(book.goal.as_ref().unwrap().sent && book.old.is_empty(), "changed in its place");
    assert!(book.want(Some(wish("h:1", "b", "y"))));
    assert_eq!((book.registered().len(), book.may_drop()), (1, false));
    book.goal.as_mut().unwrap().settled = true;
    assert!(book.may_drop());
    assert!(book.want(Some(wish("h:1", "a", "y"))), "and back again");
    assert!(book.goal.as_ref().unwrap().sent && book.old.is_empty(), "b was never sent");
    assert!(book.want(Some(wish("h:2", "a", "y"))), "another agent");
    assert_eq!(book.old.len(), 1);
    assert!(book.want(None) && book.may_drop());
}

#[test]
fn what_an_elder_left_is_taken_on_or_goes() {
    let mut book = Book::default();
    book.inherit(wish("h:1", "a", "x"));
    book.inherit(wish("h:1", "b", "x"));
    book.want(Some(wish("h:1", "a", "x")));
    assert!(book.goal.as_ref().unwrap().sent);
    assert_eq!(book.old.iter().map(|old| old.service.id.as_str()).collect::<Vec<_>>(), ["b"]);
}
