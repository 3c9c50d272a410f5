//! What makes a config's Consul section unusable whatever the agent answers, told before it is
//! used.
//!
//! A source that cannot even ask fails for as long as the config stays, so `check`, a start and a
//! reload refuse it: an address that is none, a certificate that is not there. The files are read
//! here for that. A file that goes missing *later* is another matter: it may come back (a secret
//! that is mounted anew), and the last good members serve on. The bad side: a process that starts
//! before its token is mounted ends instead of waiting; whoever supervises it starts it again.

use crate::config::Problem;
use crate::config::live::{self, Live};
use crate::consul::{Client, Error, Settings, tls};

/// An environment variable of this process.
pub fn from_environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Everything about Consul that cannot work. None where nothing uses Consul. Reads files, and so
/// may block.
pub fn problems(live: &Live, env: &dyn Fn(&str) -> Option<String>) -> Vec<Problem> {
    let services: Vec<_> =
        live.clusters.iter().filter_map(|(name, cluster)| Some((name, cluster.consul.as_ref()?))).collect();
    if services.is_empty() && live.splits.consul_kv.is_none() && live.register.is_none() {
        return Vec::new();
    }
    let mut problems = of_agent(&live.consul, env);
    for (name, spec) in services {
        // The URL rules drop such a segment, and the question would be another one.
        if matches!(spec.service.as_str(), "." | "..") {
            let what = format!("`{}` cannot be asked for", spec.service);
            let problem = Problem::new(format!("clusters.{name}.consul.service"), what);
            problems.push(problem.hint("write the name as `consul catalog services` shows it"));
        }
    }
    problems
}

fn of_agent(consul: &live::Consul, env: &dyn Fn(&str) -> Option<String>) -> Vec<Problem> {
    let told = |key: &'static str, error: &Error| {
        let (path, hint) = advice(key);
        Problem::new(path, error.to_string()).hint(hint)
    };
    let settings = match Settings::of_keys(consul, env) {
        Ok(settings) => settings,
        Err((key, error)) => return vec![told(key, &error)],
    };
    let mut wrong: Vec<(&str, Error)> = Vec::new();
    if settings.address.tls() {
        wrong.extend(tls::wrong(&settings.tls));
    }
    // What the parts do not show by themselves.
    if wrong.is_empty()
        && let Err(error) = Client::new(&settings)
    {
        wrong.push((if settings.tls.server_name.is_some() { "server_name" } else { "" }, error));
    }
    if let Err(error) = settings.token.check() {
        wrong.push((if consul.token.is_some() { "token" } else { "token_file" }, error));
    }
    wrong.iter().map(|(key, error)| told(key, error)).collect()
}

/// The config path of a key, and what to do about it. The variables are named since they may be
/// what is wrong.
fn advice(key: &str) -> (String, &'static str) {
    let hint = match key {
        "address" => {
            "write it as http://host:8500, https://host:8501, host:8500 or unix:///path; without the key, CONSUL_HTTP_ADDR says it"
        }
        "ca" => {
            "give a PEM file that this user can read; without the key, CONSUL_CACERT or CONSUL_CAPATH name it"
        }
        "cert" => "give a PEM file that this user can read; without the key, CONSUL_CLIENT_CERT names it",
        "key" => "give the PEM file of the certificate's key; without the key, CONSUL_CLIENT_KEY names it",
        "server_name" => "give the host name that the agent's certificate carries, as server.dc1.consul",
        "token" => "give the ACL token, or leave the key out",
        "token_file" => {
            "give a file with the token that this user can read; without the key, CONSUL_HTTP_TOKEN_FILE names it"
        }
        _ => "look at the CONSUL_* variables too",
    };
    (if key.is_empty() { "consul".to_owned() } else { format!("consul.{key}") }, hint)
}

#[cfg(test)]
mod tests;
