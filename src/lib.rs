//! Tidegate: a programmable L7 reverse proxy on Pingora.
#![forbid(unsafe_code)]

pub mod admin;
pub mod balance;
pub mod config;
pub mod consul;
pub mod discovery;
pub mod endpoint;
pub mod filter;
pub mod observe;
pub mod route;
