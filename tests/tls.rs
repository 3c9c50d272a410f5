//! TLS listeners, seen by `openssl s_client` and `curl`: which certificate, which version, who the
//! client is, and files that change under load.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

#[path = "tls/clients.rs"]
mod clients;
#[path = "tls/files.rs"]
mod files;
#[path = "tls/kit.rs"]
mod kit;
#[path = "tls/names.rs"]
mod names;
#[path = "tls/plain.rs"]
mod plain;
#[path = "tls/resumption.rs"]
mod resumption;
#[path = "tls/stapling.rs"]
mod stapling;
#[path = "tls/versions.rs"]
mod versions;
