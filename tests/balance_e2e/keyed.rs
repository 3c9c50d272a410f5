//! Policies that hash: a key goes to its endpoint, whoever is asked.

use std::process::Command;

use serde_json::json;

use super::{ask, ask_on, backends, endpoints};
use crate::support::{Backend, RawClient, Tidegate};

const KEYS: usize = 1_000;

fn live(backends: &[Backend], policy: &str) -> String {
    format!(
        "access_log: {{ path: none }}\nclusters: {{ web: {{ static: {{ endpoints: [ {} ] }}, load_balancing: {{ policy: {policy}, hash: [ {{ header: x-user }} ] }} }} }}\nroutes: [ {{ name: all, cluster: web }} ]\n",
        endpoints(backends, &[])
    )
}

#[tokio::test]
async fn ring_hash_sends_a_key_to_one_endpoint() {
    agrees_everywhere_and_moves_little("ring_hash").await;
}

#[tokio::test]
async fn maglev_sends_a_key_to_one_endpoint() {
    agrees_everywhere_and_moves_little("maglev").await;
}

async fn agrees_everywhere_and_moves_little(policy: &str) {
    let backends = backends(10).await;
    let live_text = live(&backends, policy);
    let (one, two) = tokio::join!(Tidegate::new(&live_text).start(), Tidegate::new(&live_text).start());
    let requests: Vec<_> = (0..KEYS).map(|i| ("/".to_owned(), format!("x-user: user-{i}"))).collect();
    let (of_one, of_two) = tokio::join!(ask(one.addr("http"), &requests), ask(two.addr("http"), &requests));
    assert_eq!(of_one, of_two);
    let mut shares = [0; 10];
    for backend in &of_one {
        shares[*backend] += 1;
    }
    assert!(shares.iter().all(|share| (40..200).contains(share)), "{shares:?}");
    for i in (0..KEYS).step_by(10) {
        let ask = json!({"url": "http://h/", "headers": {"x-user": format!("user-{i}")}});
        let (status, text) = one.admin_post("/v1/explain", &ask).await.unwrap();
        let told: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!((status, &told["cluster"]["certain"]), (200, &true.into()), "{told}");
        assert_eq!(told["cluster"]["pick"], backends[of_one[i]].addr().to_string(), "user-{i}: {told}");
    }
    for i in 0..3 {
        let header = format!("x-user: user-{i}");
        let mut explain = Command::new(env!("CARGO_BIN_EXE_tidegate"));
        explain.arg("explain").arg("-c").arg(one.config_path()).args([
            "GET",
            "http://h/",
            "--json",
            "-H",
            &header,
        ]);
        let told: serde_json::Value = serde_json::from_slice(&explain.output().unwrap().stdout).unwrap();
        assert_eq!(told["cluster"]["pick"], backends[of_one[i]].addr().to_string(), "user-{i}: {told}");
    }
    // Without the fourth: its keys move, and hardly any others.
    let fewer: Vec<_> = backends.into_iter().enumerate().filter(|(i, _)| *i != 3).map(|(_, b)| b).collect();
    one.reload(&live(&fewer, policy)).await;
    let after = ask(one.addr("http"), &requests).await;
    let moved = of_one.iter().zip(&after).filter(|(before, after)| before != after).count();
    let had_to = of_one.iter().filter(|backend| **backend == 3).count();
    assert!((had_to..KEYS * 15 / 100).contains(&moved), "{moved} of {KEYS} moved, {had_to} had to");
}

#[tokio::test]
async fn a_key_is_of_a_header_a_cookie_a_parameter_or_an_address() {
    let backends = backends(5).await;
    let list = endpoints(&backends, &[]);
    let cluster = |name: &str, hash: &str| {
        format!(
            "  {name}: {{ static: {{ endpoints: [ {list} ] }}, load_balancing: {{ policy: maglev, hash: [ {hash} ] }} }}\n"
        )
    };
    let clusters = [
        cluster("header", "{ header: x-user }"),
        cluster("cookie", "{ cookie: session }"),
        cluster("query", "{ query: user }"),
        cluster("ip", "source_ip"),
        cluster("first", "{ header: x-user }, { cookie: session }"),
    ]
    .concat();
    let routes: String = ["header", "cookie", "query", "ip", "first"]
        .map(|name| {
            format!("  - {{ name: {name}, match: {{ path: {{ prefix: /{name} }} }}, cluster: {name} }}\n")
        })
        .concat();
    let tidegate =
        Tidegate::new(&format!("access_log: {{ path: none }}\nclusters:\n{clusters}routes:\n{routes}"))
            .start()
            .await;
    let addr = tidegate.addr("http");
    // Each key of twenty five times, in turn.
    let keyed: [(&str, fn(usize) -> (String, String)); 4] = [
        ("header", |i| ("/header".into(), format!("X-User: {}", i % 20))),
        ("cookie", |i| ("/cookie".into(), format!("cookie: a=b; session={}; c=d", i % 20))),
        ("query", |i| (format!("/query?a=1&user={}&b", i % 20), "x-a: 1".into())),
        ("first", |i| ("/first".into(), format!("x-user: {}\r\ncookie: session={i}", i % 20))),
    ];
    for (name, request) in keyed {
        let answers = ask(addr, &(0..100).map(request).collect::<Vec<_>>()).await;
        for (i, answer) in answers.iter().enumerate() {
            assert_eq!(*answer, answers[i % 20], "{name}: key {}", i % 20);
        }
        assert!(answers.iter().collect::<std::collections::BTreeSet<_>>().len() > 1, "{name}: {answers:?}");
    }
    // Without a key they spread.
    let none = ask(addr, &vec![("/header".to_owned(), "x-a: 1".to_owned()); 100]).await;
    assert_eq!(none.iter().collect::<std::collections::BTreeSet<_>>().len(), 5, "{none:?}");
    let mut of_clients = std::collections::BTreeSet::new();
    for client in 1..=20 {
        let requests = vec![("/ip".to_owned(), format!("x-forwarded-for: 10.0.0.{client}")); 5];
        let mut raw = RawClient::connect_from(&format!("127.0.0.{client}"), addr).await;
        let answers = ask_on(&mut raw, &requests).await;
        assert!(answers.iter().all(|answer| *answer == answers[0]), "127.0.0.{client}: {answers:?}");
        of_clients.insert(answers[0]);
    }
    assert!(of_clients.len() > 1, "{of_clients:?}");
}
