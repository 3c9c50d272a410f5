//! Config files as large as one asks for.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use crate::registry::{Instance, Set};

/// What stands in all of them.
pub(crate) struct Head<'a> {
    pub(crate) listen: SocketAddr,
    pub(crate) admin: SocketAddr,
    /// Its log and its sockets go there.
    pub(crate) folder: &'a Path,
    pub(crate) logs: bool,
    pub(crate) tls: bool,
}

/// The address of an instance: each service has a network of its own, all end at one port.
pub(crate) fn endpoint(service: usize, instance: usize, port: u16) -> SocketAddr {
    let part = |number: usize| u8::try_from(number % 250).unwrap_or(0);
    let address = Ipv4Addr::new(127, part(service / 200) + 1, part(service % 200), part(instance) + 1);
    (address, port).into()
}

/// The name of a service, and of its cluster.
pub(crate) fn service(i: usize) -> String {
    format!("svc-{i:04}")
}

/// What so many services have in the registry.
pub(crate) fn sets(services: usize, instances: usize, port: u16) -> BTreeMap<String, Set> {
    let set = |s| (0..instances).map(|i| (endpoint(s, i, port), Instance::PLAIN)).collect();
    (0..services).map(|s| (service(s), set(s))).collect()
}

// === impl Head ===

impl Head<'_> {
    pub(crate) fn text(&self) -> String {
        let folder = self.folder.display();
        let log = if self.logs { format!("{folder}/access.log") } else { "none".into() };
        let tls =
            if self.tls { ", tls: { certificates: [ { cert: site.pem, key: site.key } ] }" } else { "" };
        format!(
            "server: {{ threads: 1, upgrade_socket: {folder}/upgrade.sock }}\n\
             admin: {{ address: \"{}\" }}\n\
             listeners: [ {{ name: http, address: \"{}\"{tls} }} ]\n\
             access_log: {{ path: {log}, format: json }}\n",
            self.admin, self.listen,
        )
    }
}

/// A cluster and a route by host for each service, all from Consul.
pub(crate) fn from_consul(services: usize, consul: SocketAddr, more: &str) -> String {
    let mut text = format!("consul: {{ address: \"http://{consul}\"{more} }}\nclusters:\n");
    for name in (0..services).map(service) {
        line(&mut text, format_args!("  {name}: {{ consul: {{ service: {name} }} }}"));
    }
    text.push_str("routes:\n");
    for name in (0..services).map(service) {
        line(
            &mut text,
            format_args!(
                "  - {{ name: {name}, cluster: {name}, match: {{ hosts: [ {name}.example.com ] }} }}"
            ),
        );
    }
    text
}

/// So many routes on a tenth as many hosts, to as many clusters; a split, and a route whose answer is
/// `mark`.
pub(crate) fn routes(routes: usize, mark: &str, port: u16) -> String {
    let clusters = (routes / 10).max(1);
    let mut text = String::from("clusters:\n");
    for i in 0..clusters {
        let address = endpoint(i, 0, port);
        line(
            &mut text,
            format_args!("  {}: {{ static: {{ endpoints: [ {{ address: \"{address}\" }} ] }} }}", service(i)),
        );
    }
    let (a, b) = (service(0), service(clusters - 1));
    line(
        &mut text,
        format_args!(
            "routes:\n  - {{ name: mark, match: {{ hosts: [ shop.example.com ], path: {{ exact: /mark }} }}, respond: {{ status: 200, body: \"{mark}\" }} }}\n  \
             - {{ name: shop, match: {{ hosts: [ shop.example.com ] }}, split: {{ variants: [ {{ name: control, \
             cluster: {a}, weight: 90 }}, {{ name: candidate, cluster: {b}, weight: 10 }} ] }} }}"
        ),
    );
    for i in 0..routes {
        let (host, cluster) = (i % clusters, service(i % clusters));
        line(
            &mut text,
            format_args!(
                "  - {{ name: route-{i}, cluster: {cluster}, match: {{ hosts: [ host-{host}.example.com ], \
                 path: {{ prefix: /api/v1/part-{i} }} }} }}"
            ),
        );
    }
    text
}

/// One cluster with so many endpoints.
pub(crate) fn endpoints(endpoints: usize, port: u16) -> String {
    let mut text = String::from("clusters:\n  web:\n    static:\n      endpoints:\n");
    for i in 0..endpoints {
        line(&mut text, format_args!("        - {{ address: \"{}\" }}", endpoint(i / 200, i % 200, port)));
    }
    text + "routes:\n  - { name: web, cluster: web }\n"
}

/// All features at once: a hundred routes with a split each, checks, outlier detection.
pub(crate) fn full(consul: SocketAddr) -> String {
    let (stable, canary) = (service(0), service(1));
    let mut text = format!("consul: {{ address: \"http://{consul}\" }}\nclusters:\n");
    for name in [&stable, &canary] {
        line(
            &mut text,
            format_args!(
                "  {name}: {{ consul: {{ service: {name} }}, outlier_detection: {{}}, health_check: \
                 {{ http: {{ path: /healthz }}, interval: 2s }} }}"
            ),
        );
    }
    text.push_str("routes:\n");
    for i in 0..100 {
        line(
            &mut text,
            format_args!(
                "  - {{ name: service-{i}, match: {{ hosts: [ shop.example.com ], path: {{ prefix: \
                 /api/v1/service-{i} }} }}, split: {{ variants: [ {{ name: stable, cluster: {stable}, weight: 90 }}, \
                 {{ name: canary, cluster: {canary}, weight: 10 }} ] }} }}"
            ),
        );
    }
    text
}

fn line(text: &mut String, line: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{line}");
}
