//! HTTP/2 from clients: what is refused, what ends, what is held; and that proper clients get through.
//!
//! Hostile clients write their frames by hand ([`frames`]); proper ones are curl, nghttp, h2load and
//! the `h2` crate.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

#[path = "http2/clients.rs"]
mod clients;
#[path = "http2/deadlines.rs"]
mod deadlines;
#[path = "http2/floods.rs"]
mod floods;
#[path = "http2/frames.rs"]
mod frames;
#[path = "http2/invalid.rs"]
mod invalid;
#[path = "http2/memory.rs"]
mod memory;

use std::net::SocketAddr;
use std::time::Duration;

use support::{Tidegate, TidegateProcess, eventually};

/// Longer than anything takes that works.
const SOON: Duration = Duration::from_secs(10);

/// Before one endpoint, with limits as YAML.
async fn start(endpoint: SocketAddr, limits: &str) -> TidegateProcess {
    let live = format!(
        "limits: {limits}\nclusters: {{ web: {{ static: {{ endpoints: [ {{ address: '{endpoint}' }} ] }} }} }}\nroutes: [ {{ name: all, cluster: web }} ]\n"
    );
    Tidegate::new(&live).start().await
}

/// Waits until so many streams or connections were ended for this reason.
async fn ended(tidegate: &TidegateProcess, reason: &str, count: f64) {
    let label = format!("reason=\"{reason}\"");
    eventually(SOON, async || {
        let now = tidegate.metric("tidegate_http2_ended_total", &[&label]).await;
        if now == count { Ok(()) } else { Err(format!("{reason}: {now}, not {count}")) }
    })
    .await;
}
