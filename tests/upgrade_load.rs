//! Upgrades under load: every kind of client at once, and not one request that fails.
//!
//! First the clients show without an upgrade that they are right ([`baseline`]). Then come good
//! upgrades, broken ones, killed ones; and what an heir must know, and when its elder must be gone.
//! `TIDEGATE_LONG=1 cargo test --test upgrade_load -- --nocapture --test-threads 1` has 100 upgrades
//! instead of 20, and prints what they cost.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

#[path = "upgrade_load/baseline.rs"]
mod baseline;
#[path = "upgrade_load/broken.rs"]
mod broken;
#[path = "upgrade_load/judges.rs"]
mod judges;
#[path = "upgrade_load/killed.rs"]
mod killed;
#[path = "upgrade_load/leaving.rs"]
mod leaving;
#[path = "upgrade_load/many.rs"]
mod many;
#[path = "upgrade_load/stage.rs"]
mod stage;
#[path = "upgrade_load/standing.rs"]
mod standing;
#[path = "upgrade_load/tls.rs"]
mod tls;

use std::time::Duration;

/// Longer than anything takes that works.
const SOON: Duration = Duration::from_secs(30);
