//! From Consul's instances to the members of one cluster: which instances, at which address, with
//! which weight. Pure.
//!
//! Tags and meta are compared here and not by Consul's `filter`: clusters that differ only in those
//! share one watcher, and Consul's filter language has traps (`matches` is true for a missing key,
//! a bad expression is a 500). A critical instance stays a member, marked as such: it is what panic
//! mode falls back on. An instance that cannot be used as it is registered (port 0, a host name for
//! an address) is left out alone, and said. One that is named but does not match (any more) is told
//! apart from one that is not named at all: it lost its tag on purpose.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use crate::config::live::ConsulService;
use crate::consul::health::{Instance, Instances};
use crate::endpoint::{Labels, Member, Members, Registry};

/// The members of a cluster, and what was left out of them.
#[derive(Clone, Debug, Default)]
pub(super) struct Selection {
    pub(super) members: Members,
    /// The addresses of instances that the answer names and that `wanted` does not ask for.
    pub(super) elsewhere: Vec<SocketAddr>,
    /// `node/id: why`.
    pub(super) dropped: Vec<String>,
}

/// Selects what `wanted` asks for.
pub(super) fn select(instances: &Instances, wanted: &ConsulService) -> Selection {
    let mut members = Vec::with_capacity(instances.list.len());
    let mut dropped = instances.unreadable.clone();
    let mut elsewhere = Vec::new();
    elsewhere.extend(instances.others.iter().filter_map(|other| address(other, &wanted.address).ok()));
    for instance in &instances.list {
        if !matches(instance, wanted) {
            elsewhere.extend(address(instance, &wanted.address).ok());
            continue;
        }
        match member(instance, &wanted.address) {
            Ok(member) => members.push(member),
            Err(why) => dropped.push(format!("{}: {why}", identity(instance))),
        }
    }
    Selection { members: Members::new(members), elsewhere, dropped }
}

fn matches(instance: &Instance, wanted: &ConsulService) -> bool {
    let service = &instance.service;
    wanted.tags.iter().all(|tag| service.tags.contains(tag))
        && wanted.meta.iter().all(|(key, value)| service.meta.get(key) == Some(value))
}

fn member(instance: &Instance, rule: &str) -> Result<Member, String> {
    let address = address(instance, rule)?;
    let registry = instance.registry();
    let mut tags = instance.service.tags.clone();
    tags.sort_unstable();
    let labels = Labels {
        id: identity(instance),
        node: instance.node.node.clone(),
        datacenter: instance.node.datacenter.clone(),
        tags,
        meta: instance.service.meta.clone(),
    };
    Ok(Member { address, weight: weight(instance, registry), registry, labels: Arc::new(labels) })
}

/// An instance's id is unique on its node only.
fn identity(instance: &Instance) -> String {
    format!("{}/{}", instance.node.node, instance.service.id)
}

/// As Consul translates addresses itself: the service's tagged address; where the service has no
/// address of its own, the node's tagged one; else the service's, else the node's. Of `wan` and
/// `wan_ipv4` only the key that is asked for counts: the agent derives `wan_ipv4` from the plain
/// address even where an explicit `wan` differs.
fn address(instance: &Instance, rule: &str) -> Result<SocketAddr, String> {
    let (service, node) = (&instance.service, &instance.node);
    let mut host = if service.address.is_empty() { &node.address } else { &service.address };
    let mut port = service.port;
    if rule != "service" {
        if let Some(tagged) = service.tagged_addresses.get(rule).filter(|t| !t.address.is_empty()) {
            host = &tagged.address;
            port = if tagged.port == 0 { port } else { tagged.port };
        } else if service.address.is_empty() {
            host = tagged(&node.tagged_addresses, rule).unwrap_or(host);
        }
    }
    let ip: IpAddr = host
        .trim_matches(['[', ']'])
        .parse()
        .map_err(|_| format!("`{host}` is not an IP address; use a `dns` cluster for names"))?;
    if ip.is_unspecified() {
        return Err(format!("the address {ip} is no place to connect to"));
    }
    match u16::try_from(port) {
        Ok(port) if port > 0 => Ok(SocketAddr::new(ip, port)),
        _ => Err(format!("port {port}")),
    }
}

fn tagged<'a>(addresses: &'a BTreeMap<String, String>, rule: &str) -> Option<&'a String> {
    addresses.get(rule).filter(|address| !address.is_empty())
}

/// The weight of its status. Consul's own bounds are 1 (0 for warning) to 65535; not said is 1.
fn weight(instance: &Instance, registry: Registry) -> u32 {
    let weights = instance.service.weights;
    let said = if registry == Registry::Warning { weights.warning } else { weights.passing };
    u32::try_from(said.unwrap_or(1).clamp(0, 65_535)).unwrap_or(1)
}

#[cfg(test)]
mod tests;
