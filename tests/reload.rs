//! A running process gets another config: applied means served, a bad file changes nothing, no
//! request fails.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

#[path = "reload/apply.rs"]
mod apply;
#[path = "reload/endless.rs"]
mod endless;
#[path = "reload/log.rs"]
mod log;
#[path = "reload/refuse.rs"]
mod refuse;
#[path = "reload/warm.rs"]
mod warm;

use std::time::Duration;

use serde_json::{Value, json};

use self::support::{TidegateProcess, eventually};

/// Longer than anything takes that works.
const SOON: Duration = Duration::from_secs(15);

/// One route that answers this.
fn says(text: &str) -> String {
    format!("routes:\n  - {{ name: all, respond: {{ status: 200, body: \"{text}\" }} }}\n")
}

/// One cluster and a route to it.
fn to(cluster: &str, addr: std::net::SocketAddr) -> String {
    format!(
        "clusters:\n  {cluster}: {{ static: {{ endpoints: [ {{ address: '{addr}' }} ] }} }}\nroutes:\n  - {{ name: all, cluster: {cluster} }}\n"
    )
}

/// `POST /v1/reload`, which must be applied: its answer.
async fn reload(tidegate: &TidegateProcess) -> Value {
    let (status, body) = tidegate.admin_post("/v1/reload", &json!({})).await.unwrap();
    assert_eq!(status, 200, "{body}");
    serde_json::from_str(&body).unwrap()
}

/// The body of a GET.
async fn body(tidegate: &TidegateProcess) -> String {
    let response = support::http::client().get(tidegate.url("/")).send().await.unwrap();
    response.text().await.unwrap()
}

/// Waits until a GET has this body.
async fn until_body(tidegate: &TidegateProcess, wanted: &str) {
    eventually(SOON, async || match body(tidegate).await {
        body if body == wanted => Ok(()),
        other => Err(other),
    })
    .await;
}
