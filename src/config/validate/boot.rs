//! Listeners and the admin address must each be a socket of their own.

use std::net::SocketAddr;

use super::{ZERO, limits, within};
use crate::config::boot::{Boot, Listener};
use crate::config::value::Span;
use crate::config::{Name, Problem};

/// More worker threads than any machine has cores is a slip of the finger.
const MAX_THREADS: usize = 1024;

pub(super) fn check(boot: &Boot, problems: &mut Vec<Problem>) {
    if boot.server.threads > MAX_THREADS {
        let what = format!("{} threads are too many", boot.server.threads);
        problems.push(Problem::new("server.threads", what).hint("0 means one per core"));
    }
    within("server.grace_period", boot.server.grace_period, ZERO, Span::secs(3600), problems);
    let timeout = boot.server.upgrade_timeout;
    within("server.upgrade_timeout", timeout, Span::secs(1), Span::secs(600), problems);
    if !boot.admin.address.ip().is_loopback() && boot.admin.token_file.is_none() {
        let what = format!("the admin API on `{}` would be open to all who reach it", boot.admin.address);
        problems.push(
            Problem::new("admin.address", what).hint("add `admin.token_file`, or use a loopback address"),
        );
    }
    if boot.listeners.is_empty() {
        let hint = "add one: listeners: [ { name: http, address: \"0.0.0.0:8080\" } ]";
        problems.push(Problem::new("listeners", "there is no listener").hint(hint));
    }
    limits::check("limits", boot.limits, problems);
    listeners(&boot.listeners, boot.admin.address, problems);
}

fn listeners(listeners: &[Listener], admin: SocketAddr, problems: &mut Vec<Problem>) {
    for (index, listener) in listeners.iter().enumerate() {
        let before = &listeners[..index];
        limits::check(&format!("listeners[{index}].limits"), listener.limits, problems);
        if before.iter().any(|l| l.name == listener.name) {
            let what = format!("two listeners are named `{}`", listener.name);
            problems.push(Problem::new(format!("listeners[{index}].name"), what));
        }
        let clash = before.iter().find(|l| overlap(l.address, listener.address)).map(|l| of(&l.name));
        let clash = clash.or_else(|| overlap(admin, listener.address).then(|| "the admin API".into()));
        if let Some(other) = clash {
            let what = format!("`{}` is also taken by {other}", listener.address);
            let problem = Problem::new(format!("listeners[{index}].address"), what);
            problems.push(problem.hint("give each an address or port of its own"));
        }
    }
}

fn of(name: &Name) -> String {
    format!("listener `{name}`")
}

/// Whether the kernel would refuse the second of two sockets. Port 0 is a free port each time.
fn overlap(a: SocketAddr, b: SocketAddr) -> bool {
    let covers = a.ip() == b.ip()
        || a.is_ipv4() == b.is_ipv4() && (a.ip().is_unspecified() || b.ip().is_unspecified());
    a.port() == b.port() && a.port() != 0 && covers
}
