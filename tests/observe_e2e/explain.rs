//! `explain`, asked in three ways, says what traffic does.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::{Backend, RawClient, Tidegate, TidegateProcess};

/// Each cluster hashes, so that where a request goes is certain.
const LIVE: &str = r#"
clusters:
  one: { static: { endpoints: [ @ENDPOINTS ] }, load_balancing: { policy: maglev, hash: [ { header: x-user }, { query: u } ] } }
  two: { static: { endpoints: [ @ENDPOINTS ] }, load_balancing: { policy: ring_hash, hash: [ { header: x-user }, source_ip ] } }
routes:
  - { name: shop, match: { hosts: [ shop.example.com, "*.shop.example.com" ], path: { prefix: /a } }, cluster: one }
  - { name: beta, match: { path: { prefix: /a }, headers: [ { name: x-beta, exact: "1" } ] }, cluster: two }
  - { name: posts, match: { path: { prefix: /b }, methods: [ POST ] }, cluster: two }
  - { name: debug, match: { path: { exact: /b }, query: [ { name: debug, present: true } ] }, cluster: one }
  - { name: digits, match: { hosts: [ shop.example.com ], path: { regex: "/[0-9]+" } }, cluster: one }
  - { name: moved, match: { path: { prefix: /old } }, redirect: { to: /a } }
"#;

struct Ask {
    method: &'static str,
    host: &'static str,
    target: String,
    headers: BTreeMap<&'static str, String>,
}

fn asks(count: usize) -> Vec<Ask> {
    let mut rng = fastrand::Rng::with_seed(7);
    let mut choose = |of: &[&'static str]| of[rng.usize(..of.len())];
    let ask = |i| {
        let mut headers = BTreeMap::from([("x-user", format!("user-{i}"))]);
        if choose(&["", "1", "1"]) == "1" {
            headers.insert("x-beta", choose(&["1", "0"]).to_owned());
        }
        let path = choose(&["/a", "/a/x", "/ab", "/b", "/b/y", "/42", "/42x", "/old/z", "/", "/a%20b"]);
        Ask {
            method: choose(&["GET", "GET", "POST"]),
            host: choose(&[
                "shop.example.com",
                "x.shop.example.com",
                "Shop.example.com:80",
                "other",
                "other",
                "other",
            ]),
            target: format!("{path}{}", choose(&["", "?debug", "?debug=1&u=3", "?x=%26debug"])),
            headers,
        }
    };
    (0..count).map(ask).collect()
}

/// Route and endpoint of a real request, by the log.
async fn sent(tidegate: &TidegateProcess, raw: &mut RawClient, i: usize, ask: &Ask) -> (String, Value) {
    let Ask { method, host, target, headers } = ask;
    let lines: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let length = if *method == "POST" { "content-length: 0\r\n" } else { "" };
    raw.ask(format!(
        "{method} {target} HTTP/1.1\r\nhost: {host}\r\nx-request-id: id-{i}\r\n{length}{lines}\r\n"
    ))
    .await;
    let line = tidegate.logged(|line| line["request_id"] == format!("id-{i}")).await;
    (line["route"].as_str().unwrap().to_owned(), line["endpoint"].clone())
}

/// The same of an explanation.
fn told(answer: &Value) -> (String, Value) {
    let pick = answer["cluster"].get("pick").cloned().unwrap_or_default();
    if !answer["cluster"].is_null() {
        assert_eq!(answer["cluster"]["certain"], true, "{answer}");
    }
    (answer["route"].as_str().unwrap_or_default().to_owned(), pick)
}

fn by_command(tidegate: &TidegateProcess, how: &[&str], ask: &Ask) -> Value {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command.arg("explain").args(how).args(["--json", "--ip", "127.0.0.1", ask.method, &ask.target]);
    command.arg("-H").arg(format!("host: {}", ask.host));
    for (name, value) in &ask.headers {
        command.arg("-H").arg(format!("{name}: {value}"));
    }
    let output = command.current_dir(tidegate.dir()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test]
async fn it_says_what_traffic_does() {
    let backends = [Backend::start("0").await, Backend::start("1").await, Backend::start("2").await];
    let list: Vec<_> = backends.iter().map(|b| format!("{{ address: '{}' }}", b.addr())).collect();
    let tidegate = Tidegate::new(&LIVE.replace("@ENDPOINTS", &list.join(", "))).start().await;
    let mut raw = RawClient::connect(tidegate.addr("http")).await;
    let mut routes = std::collections::BTreeSet::new();
    for (i, ask) in asks(50).iter().enumerate() {
        let real = sent(&tidegate, &mut raw, i, ask).await;
        routes.insert(real.0.clone());
        let mut headers: BTreeMap<_, _> = ask.headers.clone();
        headers.insert("host", ask.host.to_owned());
        let body = json!({"method": ask.method, "url": ask.target, "headers": headers, "ip": "127.0.0.1"});
        let (status, text) = tidegate.admin_post("/v1/explain", &body).await.unwrap();
        assert_eq!(status, 200, "{text}");
        let what = format!("{} {} {} {:?}", ask.method, ask.host, ask.target, ask.headers);
        assert_eq!(told(&serde_json::from_str(&text).unwrap()), real, "{what}: {text}");
        let admin = tidegate.admin_url("");
        for how in [["-c", "tidegate.yaml"], ["--admin", &admin]] {
            assert_eq!(told(&by_command(&tidegate, &how, ask)), real, "{what}, {how:?}");
        }
    }
    assert_eq!(routes.len(), 7, "every route and none of them took part: {routes:?}");
}

#[tokio::test]
async fn it_gives_reasons_and_states() {
    let backends = [Backend::start("0").await, Backend::start("1").await];
    let list: Vec<_> = backends.iter().map(|b| format!("{{ address: '{}' }}", b.addr())).collect();
    let tidegate = Tidegate::new(&LIVE.replace("@ENDPOINTS", &list.join(", "))).start().await;
    let drain = format!("/v1/clusters/two/endpoints/{}/drain", backends[0].addr());
    assert_eq!(tidegate.admin_post(&drain, &json!({})).await.unwrap().0, 200);
    let output = Command::new(env!("CARGO_BIN_EXE_tidegate"))
        .args(["explain", "--admin", &tidegate.admin_url(""), "GET", "http://other/a", "-H", "x-beta: 1"])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.starts_with("route beta: cluster two\n"), "{text}");
    assert!(text.contains("  - shop: ") && text.contains("host"), "{text}");
    assert!(text.contains("draining") && text.contains("available"), "{text}");
    let wrong = Command::new(env!("CARGO_BIN_EXE_tidegate"))
        .args(["explain", "--admin", "http://127.0.0.1:1", "GET", "/"])
        .output()
        .unwrap();
    assert_eq!(wrong.status.code(), Some(1));
    let why = String::from_utf8_lossy(&wrong.stderr).into_owned();
    assert!(
        why.starts_with("tidegate explain: cannot ask http://127.0.0.1:1") && why.lines().count() == 1,
        "{why}"
    );
}
