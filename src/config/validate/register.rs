//! What Consul would refuse of a registration, and keys that would have no effect.

use crate::config::live::{Register, RegisterCheck};
use crate::config::problem::list;
use crate::config::validate::within;
use crate::config::value::Span;
use crate::config::{Boot, Config, Problem};

/// Consul's own bounds of meta.
const META_PAIRS: usize = 64;
const META_KEY: usize = 128;
const META_VALUE: usize = 512;

/// Consul takes less for a minute.
const SHORTEST_CRITICAL: Span = Span::secs(60);

pub(super) fn check(config: &Config, problems: &mut Vec<Problem>) {
    let Some(register) = &config.live.register else { return };
    listener(register, &config.boot, problems);
    texts(register, problems);
    if let Some(address) = &register.address {
        reachable(address, problems);
    }
    checked(register, &config.boot, problems);
}

fn listener(register: &Register, boot: &Boot, problems: &mut Vec<Problem>) {
    let known = || boot.listeners.iter().map(|l| l.name.as_str());
    let chosen = match &register.listener {
        Some(name) => {
            let chosen = boot.listeners.iter().find(|l| l.name == *name);
            if chosen.is_none() {
                let problem = Problem::new("register.listener", format!("unknown listener `{name}`"));
                let hint = format!("known are {}", list(known()));
                problems.push(problem.hint(hint).did_you_mean(name.as_str(), known()));
            }
            chosen
        }
        None => {
            let http = boot.listeners.iter().find(|l| l.tcp.is_none());
            if http.is_none() && !boot.listeners.is_empty() {
                let problem = Problem::new("register", "no listener takes HTTP, so none is registered");
                problems.push(problem.hint("name the one whose port is to be registered: `listener`"));
            }
            http
        }
    };
    if let Some(chosen) = chosen.filter(|l| l.address.port() == 0) {
        let what = format!("listener `{}` has no fixed port to register", chosen.name);
        let path = if register.listener.is_some() { "register.listener" } else { "register" };
        problems.push(Problem::new(path, what).hint("give it a port other than 0"));
    }
}

fn texts(register: &Register, problems: &mut Vec<Problem>) {
    for (index, tag) in register.tags.iter().enumerate() {
        if tag.trim().is_empty() || tag.contains(char::is_control) {
            let problem = Problem::new(format!("register.tags[{index}]"), format!("{tag:?} is not a tag"));
            problems.push(problem.hint("give a word, as `edge`"));
        }
    }
    if register.meta.len() > META_PAIRS {
        let what = format!("{} keys are too many", register.meta.len());
        problems.push(Problem::new("register.meta", what).hint(format!("Consul takes {META_PAIRS}")));
    }
    for (key, value) in &register.meta {
        let path = format!("register.meta.{key}");
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        if key.is_empty() || key.len() > META_KEY || !key.chars().all(fits) {
            let problem = Problem::new(path, format!("`{key}` is not a key that Consul takes"));
            problems.push(problem.hint(format!("use 1 to {META_KEY} letters, digits, `_` or `-`")));
        } else if key.starts_with("consul-") {
            let problem = Problem::new(path, "keys that begin with `consul-` are Consul's own");
            problems.push(problem.hint("choose another key"));
        } else if value.len() > META_VALUE {
            let what = format!("the value has {} bytes", value.len());
            problems.push(Problem::new(path, what).hint(format!("Consul takes {META_VALUE}")));
        }
    }
}

fn reachable(address: &str, problems: &mut Vec<Problem>) {
    let ip: Option<std::net::IpAddr> = address.parse().ok();
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if ip.is_some_and(|ip| ip.is_unspecified()) {
        let problem = Problem::new("register.address", format!("nobody can connect to `{address}`"));
        problems.push(problem.hint("give the address that clients use, or leave the key out"));
    } else if ip.is_none() && (address.is_empty() || !address.chars().all(fits)) {
        let what = format!("`{address}` is neither an IP address nor a host name");
        problems.push(
            Problem::new("register.address", what).hint("leave out the port: it is that of the listener"),
        );
    }
}

fn checked(register: &Register, boot: &Boot, problems: &mut Vec<Problem>) {
    let hour = Span::secs(3600);
    let after = register.deregister_critical_service_after;
    let path = "register.deregister_critical_service_after";
    within(path, after, SHORTEST_CRITICAL, Span::secs(30 * 86_400), problems);
    let unused = |key: &str, check: &str| {
        let what = format!("`{key}` has no effect with `check: {check}`");
        Problem::new(format!("register.{key}"), what).hint("leave it out")
    };
    match register.check {
        RegisterCheck::Ttl => {
            within("register.ttl", register.ttl.unwrap_or(hour), Span::secs(3), hour, problems);
            problems.extend(register.interval.map(|_| unused("interval", "ttl")));
        }
        RegisterCheck::Http => {
            within("register.interval", register.interval.unwrap_or(hour), Span::secs(1), hour, problems);
            problems.extend(register.ttl.map(|_| unused("ttl", "http")));
            if boot.admin.address.port() == 0 {
                let what = "the agent cannot ask an admin API without a fixed port";
                problems.push(Problem::new("register.check", what).hint("give `admin.address` a port"));
            }
        }
    }
}
