//! Who stays with what: keys, cookies, two processes.

use std::collections::{BTreeMap, BTreeSet};

use super::live;
use crate::support::{Backend, RawClient, Tidegate};

const COOKIE: &str = "      key: [ { header: x-user }, { cookie: { name: tg_id, mint: 30d } } ]\n";

/// As browsers do: keeps the cookie it was given, and sends it on.
#[derive(Default)]
struct Browser(Option<String>);

impl Browser {
    /// The backend that answered.
    async fn ask(&mut self, raw: &mut RawClient) -> String {
        let cookie = self.0.as_ref().map_or_else(String::new, |pair| format!("cookie: a=b; {pair}\r\n"));
        let response = raw.ask(format!("GET / HTTP/1.1\r\nhost: h\r\n{cookie}\r\n")).await;
        assert_eq!(response.status, 200, "{response:?}");
        if let Some(set) = response.header("set-cookie") {
            assert!(self.0.is_none(), "a client with a cookie got another: {set}");
            let (pair, attributes) = set.split_once("; ").unwrap();
            assert_eq!(attributes, "Max-Age=2592000; Path=/; HttpOnly; SameSite=Lax");
            self.0 = Some(pair.to_owned());
        }
        response.header("x-backend").unwrap().to_owned()
    }
}

#[tokio::test]
async fn a_new_client_never_changes_its_variant() {
    let (a, b) = (Backend::start("control").await, Backend::start("candidate").await);
    let tidegate = Tidegate::new(&live(&[(&a, 50), (&b, 50)], COOKIE)).start().await;
    let mut raw = RawClient::connect(tidegate.addr("http")).await;
    let mut shares = BTreeMap::<String, usize>::new();
    let mut cookies = BTreeSet::new();
    for _ in 0..1_000 {
        let mut browser = Browser::default();
        let first = browser.ask(&mut raw).await;
        for _ in 0..4 {
            assert_eq!(browser.ask(&mut raw).await, first, "a visitor flipped");
        }
        *shares.entry(first).or_default() += 1;
        let value = browser.0.unwrap().split_once('=').unwrap().1.to_owned();
        assert!(value.len() == 32 && value.bytes().all(|b| b.is_ascii_hexdigit()), "{value}");
        cookies.insert(value);
    }
    assert_eq!(cookies.len(), 1_000);
    // 500 are due; 5 standard deviations are 79.
    assert!((421..=579).contains(&shares["control"]), "{shares:?}");
    let line = tidegate.logged(|line| line["route"] == "shop").await;
    assert_eq!(line["variant"], line["cluster"], "{line}");
}

#[tokio::test]
async fn the_endpoint_sees_the_cookie_on_the_first_request_already() {
    let a = Backend::start("control").await;
    let tidegate = Tidegate::new(&live(&[(&a, 1)], COOKIE)).start().await;
    let mut raw = RawClient::connect(tidegate.addr("http")).await;
    for (sent, extra) in [("", ""), ("cookie: x=1; tg_id=\r\n", "; x=1; tg_id=")] {
        let response = raw.ask(format!("GET /echo HTTP/1.1\r\nhost: h\r\n{sent}\r\n")).await;
        let pair = response.header("set-cookie").unwrap().split_once(';').unwrap().0.to_owned();
        assert_eq!(response.json()["headers"]["cookie"], serde_json::json!([format!("{pair}{extra}")]));
    }
    // A header comes first, and then no cookie is made; whatever a cookie says is just a key.
    for sent in ["x-user: ann\r\n", "cookie: tg_id=forged\r\n", "cookie: tg_id=\"%%%\u{7f}\r\n"] {
        let response = raw.ask(format!("GET / HTTP/1.1\r\nhost: h\r\n{sent}\r\n")).await;
        let expected = if sent.contains('\u{7f}') { 400 } else { 200 };
        assert_eq!((response.status, response.count("set-cookie")), (expected, 0), "{response:?}");
    }
}

/// The variant of each of 1,000 users.
async fn of_users(raw: &mut RawClient) -> Vec<String> {
    let mut variants = Vec::new();
    for n in 0..1_000 {
        let response = raw.ask(format!("GET / HTTP/1.1\r\nhost: h\r\nx-user: user-{n}\r\n\r\n")).await;
        variants.push(response.header("x-backend").unwrap().to_owned());
    }
    variants
}

#[tokio::test]
async fn a_key_has_the_same_variant_on_every_node_and_in_explain() {
    let (a, b) = (Backend::start("control").await, Backend::start("candidate").await);
    let c = Backend::start("third").await;
    let text = live(&[(&a, 50), (&b, 30), (&c, 20)], COOKIE);
    let (one, two) = tokio::join!(Tidegate::new(&text).start(), Tidegate::new(&text).start());
    let mut raw = RawClient::connect(one.addr("http")).await;
    let of_one = of_users(&mut raw).await;
    assert_eq!(of_one, of_users(&mut RawClient::connect(two.addr("http")).await).await);
    for (n, variant) in of_one.iter().enumerate().step_by(100) {
        let ask = serde_json::json!({"url": "http://h/", "headers": {"x-user": format!("user-{n}")}});
        let (status, text) = one.admin_post("/v1/explain", &ask).await.unwrap();
        let told: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!((status, &told["split"]["chosen"]), (200, &variant.as_str().into()), "{told:#}");
        let won =
            told["split"]["variants"].as_array().unwrap().iter().find(|v| v["name"] == *variant).unwrap();
        assert!(won["unit"].as_f64() > won["needs"].as_f64(), "{told:#}");
    }
}
