//! Keys of a listener that need each other, or shut each other out.

use super::route::known_cluster;
use super::{exactly_one, within};
use crate::config::boot::{ClientAuth, Limits, Listener, Tcp, Tls};
use crate::config::live::Live;
use crate::config::value::Span;
use crate::config::{Config, Problem};

pub(super) fn check(config: &Config, problems: &mut Vec<Problem>) {
    for (index, listener) in config.boot.listeners.iter().enumerate() {
        let path = format!("listeners[{index}]");
        if let Some(tls) = &listener.tls {
            self::tls(&format!("{path}.tls"), tls, problems);
        }
        if listener.proxy_protocol.as_ref().is_some_and(|from| from.trusted.is_empty()) {
            let problem = Problem::new(format!("{path}.proxy_protocol.trusted"), "nobody is trusted");
            problems.push(problem.hint("name the balancers in front: [ 10.0.0.0/8 ]"));
        }
        if let Some(tcp) = &listener.tcp {
            apart(&path, listener, problems);
            self::tcp(&format!("{path}.tcp"), tcp, &config.live, problems);
        }
    }
}

fn tls(path: &str, tls: &Tls, problems: &mut Vec<Problem>) {
    let Tls { certificates, client_auth, min_version: _ } = tls;
    if certificates.is_empty() {
        let problem = Problem::new(format!("{path}.certificates"), "there is no certificate");
        problems.push(problem.hint("add one: [ { cert: site.pem, key: site.key } ]"));
    }
    if let Some(ClientAuth { ca, .. }) = client_auth
        && ca.as_os_str().is_empty()
    {
        problems.push(Problem::new(format!("{path}.client_auth.ca"), "the path is empty"));
    }
}

/// A listener that passes bytes on does nothing of what concerns HTTP.
fn apart(path: &str, listener: &Listener, problems: &mut Vec<Problem>) {
    let hint = "give the HTTP requests a listener of their own";
    if listener.tls.is_some() {
        let what = "a `tcp` listener passes TLS through and does not end it";
        problems.push(Problem::new(format!("{path}.tls"), what).hint(hint));
    }
    if listener.allow_trace {
        let what = "a `tcp` listener knows nothing of HTTP's methods";
        problems.push(Problem::new(format!("{path}.allow_trace"), what).hint(hint));
    }
    let Limits { max_connections, handshake_timeout, .. } = listener.limits;
    if listener.limits != (Limits { max_connections, handshake_timeout, ..Limits::default() }) {
        let what = "a `tcp` listener knows `max_connections` and `handshake_timeout` only";
        let hint = "leave the others out; how long a connection may be idle is `tcp.idle_timeout`";
        problems.push(Problem::new(format!("{path}.limits"), what).hint(hint));
    }
}

fn tcp(path: &str, tcp: &Tcp, live: &Live, problems: &mut Vec<Problem>) {
    let Tcp { cluster, sni, split, idle_timeout } = tcp;
    let keys = [("cluster", cluster.is_some() || !sni.is_empty()), ("split", split.is_some())];
    let none = ("connections go nowhere".to_owned(), "give `cluster`, `sni` or `split`");
    exactly_one(path, "the listener", &keys, none, "keep one", problems);
    if let Some(name) = cluster {
        known_cluster(&format!("{path}.cluster"), name, live, problems);
    }
    for (index, route) in sni.iter().enumerate() {
        let path = format!("{path}.sni[{index}]");
        if route.names.is_empty() {
            problems.push(Problem::new(format!("{path}.names"), "there is no name").hint("add one"));
        }
        for (at, name) in route.names.iter().enumerate() {
            if sni[..index].iter().any(|before| before.names.contains(name)) {
                let what = format!("`{name}` is already sent elsewhere");
                problems.push(Problem::new(format!("{path}.names[{at}]"), what));
            }
        }
        known_cluster(&format!("{path}.cluster"), &route.cluster, live, problems);
    }
    if let Some(split) = split {
        if let Some(seed) = split.seed.as_deref().filter(|seed| !super::split::is_seed(seed)) {
            problems.push(super::split::bad_seed(&format!("{path}.split.seed"), seed));
        }
        super::split::variants(&format!("{path}.split.variants"), &split.variants, live, problems);
    }
    if let Some(idle) = idle_timeout {
        within(&format!("{path}.idle_timeout"), *idle, Span::millis(1), Span::secs(7 * 86_400), problems);
    }
}
