//! Weights that change while the process runs: they serve when the answer says so, they last, and
//! what can't be served changes nothing.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

#[path = "split_runtime/last.rs"]
mod last;
#[path = "split_runtime/moves.rs"]
mod moves;
#[path = "split_runtime/refuse.rs"]
mod refuse;
#[path = "split_runtime/set.rs"]
mod set;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde_json::{Value, json};

use self::support::{Backend, TidegateProcess, http};

/// A route `shop` with two variants, blue and green, of these weights, and a route without a split.
fn live(blue: SocketAddr, green: SocketAddr, weights: [u64; 2]) -> String {
    format!(
        r#"clusters:
  b: {{ static: {{ endpoints: [ {{ address: '{blue}' }} ] }} }}
  g: {{ static: {{ endpoints: [ {{ address: '{green}' }} ] }} }}
routes:
  - {{ name: plain, match: {{ path: {{ prefix: /plain }} }}, cluster: b }}
  - name: shop
    split:
      key: [ {{ header: x-user }}, source_ip ]
      variants:
        - {{ name: blue, cluster: b, weight: {} }}
        - {{ name: green, cluster: g, weight: {} }}
"#,
        weights[0], weights[1]
    )
}

async fn backends() -> (Backend, Backend) {
    (Backend::start("blue").await, Backend::start("green").await)
}

/// Longer than anything takes that works.
const SOON: std::time::Duration = std::time::Duration::from_secs(15);

const SHOP: &str = "/v1/splits/shop";

/// `PUT /v1/splits/shop`: status and body.
async fn put(tidegate: &TidegateProcess, body: Value) -> (u16, Value) {
    let (status, text) = tidegate.admin_put(SHOP, &body).await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}")))
}

/// Sets weights, which must be accepted.
async fn set(tidegate: &TidegateProcess, blue: u64, green: u64) -> Value {
    let (status, told) = put(tidegate, json!({"weights": {"blue": blue, "green": green}})).await;
    assert_eq!(status, 200, "{told}");
    told
}

/// Weights in force, weights of the file, origin and epoch.
async fn shown(tidegate: &TidegateProcess) -> (Vec<u64>, Vec<u64>, String, u64) {
    let split = tidegate.admin_json(SHOP).await;
    let all = |key: &str| {
        let variants = split["variants"].as_array().unwrap();
        variants.iter().map(|variant| variant[key].as_u64().unwrap()).collect()
    };
    let origin = split["origin"].as_str().unwrap().to_owned();
    (all("weight"), all("file_weight"), origin, split["epoch"].as_u64().unwrap())
}

/// How many of these users get which backend.
async fn count(tidegate: &TidegateProcess, users: usize) -> BTreeMap<String, usize> {
    let client = http::client();
    let mut counts = BTreeMap::new();
    for user in 0..users {
        let asked = client.get(tidegate.url("/")).header("x-user", user.to_string()).send().await.unwrap();
        assert_eq!(asked.status(), 200);
        *counts.entry(asked.text().await.unwrap()).or_default() += 1;
    }
    counts
}
