//! Tidegate: a programmable L7 reverse proxy on Pingora.
#![forbid(unsafe_code)]

pub mod balance;
pub mod cli;
pub mod config;
pub mod discovery;
pub mod endpoint;
pub mod observe;
pub mod route;
