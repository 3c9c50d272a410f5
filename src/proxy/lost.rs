//! Requests that never reach a phase of the proxy: refused by what reads their bytes, or given up
//! before they were whole. Counted and logged here, for all protocols.

use std::time::SystemTime;

use crate::observe::Flag;
use crate::observe::access::Record;
use crate::proxy::Proxy;
use crate::proxy::link::Link;

/// A request that never reached a phase of the proxy. What could not be read of it is empty.
#[derive(Debug)]
pub(super) struct Lost<'a> {
    pub(super) protocol: &'static str,
    /// 0: none was sent.
    pub(super) status: u16,
    pub(super) flag: Flag,
    pub(super) method: &'a str,
    pub(super) host: &'a [u8],
    pub(super) path: &'a [u8],
}

// === impl Lost ===

impl Lost<'_> {
    /// One of which nothing could be read.
    pub(super) fn new(protocol: &'static str, status: u16, flag: Flag) -> Self {
        Self { protocol, status, flag, method: "", host: b"", path: b"" }
    }
}

/// Counts and logs it.
pub(super) fn record(proxy: &Proxy, link: &Link, lost: &Lost<'_>) {
    let snapshot = proxy.cell.load();
    snapshot.table.unrouted.record(link.listener, lost.status, 0.0, None, Some(lost.flag));
    #[expect(clippy::disallowed_methods, reason = "log lines carry the calendar's time")]
    let time = SystemTime::now();
    snapshot.access_log.write(&Record {
        method: lost.method,
        host: lost.host,
        path: lost.path,
        protocol: lost.protocol,
        status: lost.status,
        flag: Some(lost.flag),
        client: link.ip(),
        tls: link.tls_record(),
        ..Record::new(time, &proxy.listeners[link.listener].name, snapshot.generation)
    });
}
