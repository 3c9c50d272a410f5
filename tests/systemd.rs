//! The package under a real systemd: a Debian in a container, booted for each test.
//!
//! What only systemd can show is here: that the unit starts, that its sandbox lets the proxy work,
//! that a reload, a crash and a removal do what an administrator expects, and that installing a
//! newer package exchanges the process without a failed request. The hand-over itself, without
//! systemd, is `upgrade.rs`.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

#[path = "systemd/debs.rs"]
mod debs;
#[path = "systemd/drains.rs"]
mod drains;
#[path = "systemd/package.rs"]
mod package;
#[path = "systemd/unit.rs"]
mod unit;
#[path = "systemd/upgrades.rs"]
mod upgrades;
