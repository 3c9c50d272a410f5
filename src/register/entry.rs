//! What the config says, as Consul takes it.

use std::net::SocketAddr;
use std::time::Duration;

use crate::config::boot::Listener;
use crate::config::live::{self, Live, RegisterCheck};
use crate::config::value::Span;
use crate::config::{Boot, Problem};
use crate::consul::Address;
use crate::consul::agent::{Check, Service};

/// The default of `ttl`.
const TTL: Span = Span::secs(15);

/// The default of `interval`.
const INTERVAL: Span = Span::secs(10);

/// How long the agent waits for an answer of `/ready`.
const TIMEOUT: Span = Span::secs(5);

/// The entry, and how often a TTL check wants a word: its TTL. `boot`: what this process runs with,
/// which after a reload may not be what the file says. `host`: the name of this machine.
///
/// # Errors
///
/// What is not there, in words.
pub fn entry(
    register: &live::Register,
    boot: &Boot,
    host: Option<&str>,
) -> Result<(Service, Option<Duration>), String> {
    let listener = listener(register, boot).ok_or_else(|| match &register.listener {
        Some(name) => format!("listener `{name}` is not open; it waits for an upgrade or a restart"),
        None => "no listener takes HTTP; it waits for an upgrade or a restart".to_owned(),
    })?;
    let port = listener.address.port();
    let id = match (&register.id, host) {
        (Some(id), _) => id.to_string(),
        (None, Some(host)) => format!("{}-{host}-{port}", register.name),
        (None, None) => return Err("this machine's name cannot be read; give `register.id`".to_owned()),
    };
    let (check, ttl) = check(register, boot, &id);
    let service = Service {
        name: register.name.to_string(),
        tags: register.tags.clone(),
        meta: register.meta.clone(),
        address: register.address.clone().unwrap_or_else(|| reachable(listener.address)),
        port,
        check,
        id,
    };
    Ok((service, ttl))
}

/// What is valid and odd. `env`: the process's variables.
pub fn warnings(live: &Live, boot: &Boot, agent: Option<&Address>) -> Vec<Problem> {
    let Some(register) = &live.register else { return Vec::new() };
    let mut warnings = Vec::new();
    if let Some(listener) = listener(register, boot).filter(|l| l.address.ip().is_loopback())
        && register.address.is_none()
    {
        let what = format!(
            "listener `{}` takes connections from this machine only, and Consul sends others to it",
            listener.name
        );
        warnings.push(
            Problem::new("register", what).hint("let it listen on 0.0.0.0, or give `register.address`"),
        );
    }
    let away = |address: &Address| matches!(address, Address::Url(url) if !is_local(url.host_str()));
    if register.check == RegisterCheck::Http
        && boot.admin.address.ip().is_loopback()
        && agent.is_some_and(away)
    {
        let what = format!("the agent asks {}, so it must run on this machine", ready(boot.admin.address));
        warnings.push(Problem::new("register.check", what).hint("else use `check: ttl`"));
    }
    for (name, cluster) in &live.clusters {
        if cluster.consul.as_ref().is_some_and(|consul| consul.service == register.name.as_str()) {
            let what = format!("`{}` is what this proxy is registered as", register.name);
            let problem = Problem::new(format!("clusters.{name}.consul.service"), what);
            warnings.push(problem.hint("its requests would come back to it; register another name"));
        }
    }
    warnings
}

fn listener<'a>(register: &live::Register, boot: &'a Boot) -> Option<&'a Listener> {
    let mut listeners = boot.listeners.iter();
    match &register.listener {
        Some(name) => listeners.find(|l| l.name == *name),
        None => listeners.find(|l| l.tcp.is_none()),
    }
}

/// The address to register for a listener. A wildcard says nothing, and loopback would send each
/// client to itself; then Consul gives out the agent's address, which is that of this machine.
fn reachable(address: SocketAddr) -> String {
    match address.ip() {
        ip if ip.is_unspecified() || ip.is_loopback() => String::new(),
        ip => ip.to_canonical().to_string(),
    }
}

fn check(register: &live::Register, boot: &Boot, id: &str) -> (Check, Option<Duration>) {
    let after = register.deregister_critical_service_after;
    let shared =
        Check { status: "passing".into(), deregister_critical_service_after: go(after), ..Check::default() };
    match register.check {
        RegisterCheck::Ttl => {
            let ttl = register.ttl.unwrap_or(TTL);
            let check = Check {
                id: format!("{id}-ttl"),
                name: "Tidegate says that it serves".into(),
                notes: format!("critical after {ttl} without a word, removed {after} later"),
                ttl: go(ttl),
                ..shared
            };
            (check, Some(ttl.0))
        }
        RegisterCheck::Http => {
            let (interval, url) = (register.interval.unwrap_or(INTERVAL), ready(boot.admin.address));
            let check = Check {
                id: format!("{id}-http"),
                name: "Tidegate answers that it serves".into(),
                notes: format!("{url} every {interval}, removed {after} after it is critical"),
                http: url,
                interval: go(interval),
                timeout: go(TIMEOUT.min(interval)),
                ..shared
            };
            (check, None)
        }
    }
}

/// Where the agent asks. A socket for all addresses is asked over loopback.
fn ready(admin: SocketAddr) -> String {
    let ip = match admin.ip() {
        ip if !ip.is_unspecified() => ip,
        ip if ip.is_ipv4() => std::net::Ipv4Addr::LOCALHOST.into(),
        _ => std::net::Ipv6Addr::LOCALHOST.into(),
    };
    format!("http://{}/ready", SocketAddr::new(ip, admin.port()))
}

fn is_local(host: Option<&str>) -> bool {
    let host = host.unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// As Go reads durations, which knows no days.
fn go(span: Span) -> String {
    format!("{}ms", span.0.as_millis())
}
