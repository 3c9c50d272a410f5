//! Tidegate: a programmable L7 reverse proxy on Pingora.
#![forbid(unsafe_code)]

pub mod admin;
pub mod app;
pub mod balance;
pub mod cli;
pub mod cluster;
pub mod config;
pub mod consul;
pub mod control;
pub mod discovery;
pub mod endpoint;
pub mod filter;
pub mod observe;
pub mod proxy;
pub mod route;
pub mod snapshot;
