//! How the Consul agent is reached.

use super::{ZERO, within};
use crate::config::Problem;
use crate::config::live::Consul;
use crate::config::value::Span;

/// Consul caps `wait` at ten minutes itself.
const MAX_WAIT: Span = Span::secs(600);

pub(super) fn check(consul: &Consul, problems: &mut Vec<Problem>) {
    within("consul.wait", consul.wait, Span::secs(1), MAX_WAIT, problems);
    within("consul.max_stale", consul.max_stale, ZERO, Span::secs(3600), problems);
    within("consul.empty_hold", consul.empty_hold, ZERO, Span::secs(3600), problems);
    within("consul.shrink_hold", consul.shrink_hold, ZERO, Span::secs(3600), problems);
    if !(1..=100).contains(&consul.max_removal_percent) {
        let what = format!("`{}` is out of range", consul.max_removal_percent);
        problems.push(
            Problem::new("consul.max_removal_percent", what)
                .hint("give 1 to 100; 100 turns `shrink_hold` off"),
        );
    }
    if consul.token.is_some() && consul.token_file.is_some() {
        let problem = Problem::new("consul.token", "there are both `token` and `token_file`");
        problems.push(problem.hint("keep one of them"));
    }
    for (one, has_one, other, has_other) in [("cert", consul.cert.is_some(), "key", consul.key.is_some())] {
        if has_one != has_other {
            let (there, lacking) = if has_one { (one, other) } else { (other, one) };
            let what = format!("`{there}` without `{lacking}`");
            let problem = Problem::new(format!("consul.{there}"), what);
            problems.push(problem.hint("a client certificate needs both files"));
        }
    }
    if let Some(address) = &consul.address {
        at(address, consul, problems);
    }
}

/// The address, and the TLS keys that only an `https` one uses.
fn at(address: &str, consul: &Consul, problems: &mut Vec<Problem>) {
    let (scheme, rest) = address.split_once("://").unwrap_or(("", address));
    if rest.split('/').next().is_some_and(|host| host.contains('@')) {
        // Without the text: it may hold the password.
        let problem = Problem::new("consul.address", "there is a user or password in the address");
        problems.push(problem.hint("put `user:password` into CONSUL_HTTP_AUTH"));
        return;
    }
    let known = matches!(scheme, "" | "http" | "https" | "unix");
    if !known || rest.is_empty() || rest.contains(char::is_whitespace) {
        let problem = Problem::new("consul.address", format!("`{address}` is not the address of an agent"));
        problems
            .push(problem.hint("write it as http://host:8500, https://host:8501, host:8500 or unix:///path"));
        return;
    }
    if scheme == "unix" && !rest.starts_with('/') {
        let problem = Problem::new("consul.address", format!("`{address}` is not an absolute path"));
        problems.push(problem.hint("write three slashes: unix:///run/consul.sock"));
    }
    if !matches!(scheme, "http" | "unix") {
        return;
    }
    let tls = [
        ("ca", consul.ca.is_some()),
        ("cert", consul.cert.is_some()),
        ("key", consul.key.is_some()),
        ("server_name", consul.server_name.is_some()),
        ("verify", consul.verify.is_some()),
    ];
    for (key, _) in tls.into_iter().filter(|(_, given)| *given) {
        let what = format!("`{key}` has no effect: the agent at `{address}` is spoken to in clear");
        problems.push(
            Problem::new(format!("consul.{key}"), what)
                .hint("give an https:// address, or leave the key out"),
        );
    }
}
