//! The access log. (Interface; the writer thread is under construction.)

use std::net::IpAddr;
use std::net::SocketAddr;
use std::time::SystemTime;

use crate::observe::Flag;

/// One finished request, borrowed from the request's context; DESIGN 7 names the fields of the line.
#[derive(Clone, Debug)]
pub struct Record<'a> {
    pub time: SystemTime,
    pub listener: &'a str,
    pub client: Option<IpAddr>,
    pub method: &'a str,
    pub host: &'a str,
    /// With its query.
    pub path: &'a str,
    pub protocol: &'a str,
    pub status: u16,
    pub flag: Option<Flag>,
    pub route: &'a str,
    pub cluster: &'a str,
    pub variant: &'a str,
    pub endpoint: Option<SocketAddr>,
    pub attempts: u32,
    pub bytes_in: u64,
    pub bytes_out: u64,
    pub duration_ms: f64,
    pub ttfb_ms: Option<f64>,
    pub request_id: &'a str,
    pub user_agent: &'a str,
    pub generation: u64,
}

/// The log's front: formats a line and hands it to the writer thread over a bounded queue; never waits.
#[derive(Debug, Default)]
pub struct AccessLog {}

// === impl AccessLog ===

impl AccessLog {
    /// Whether a line would be written, so that the caller need not gather its fields.
    pub fn enabled(&self) -> bool {
        false
    }

    /// Queues one line. A full queue drops it and counts.
    pub fn write(&self, _record: &Record<'_>) {}
}
