//! What the machine itself says: `/etc/hosts`, and the resolvers and search list of
//! `/etc/resolv.conf`.
//!
//! Used for clusters that name no resolver, so that a name means in the file what it means in a
//! shell. The files are small and may change under us (DHCP, a VPN), so they are read again every
//! ten seconds at most, off the runtime's threads. Of the options only `ndots` is followed: how
//! long to wait and how often to try is ours to say.

use std::net::SocketAddr;
use std::time::Duration;

use hickory_resolver::Hosts;
use hickory_resolver::proto::op::Query;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use hickory_resolver::system_conf::read_system_conf;

use super::reply::{Failure, Reply};

/// How long what was read is used, and how long an answer from the hosts file holds.
pub(super) const FRESH: Duration = Duration::from_secs(10);

const DNS_PORT: u16 = 53;

/// The files, parsed.
#[derive(Debug, Default)]
pub(super) struct System {
    hosts: Hosts,
    pub(super) servers: Vec<SocketAddr>,
    search: Vec<Name>,
    ndots: usize,
}

// === impl System ===

impl System {
    /// Reads both files.
    ///
    /// # Errors
    ///
    /// `resolv.conf` cannot be read or names no resolver. A missing hosts file is none.
    pub(super) async fn read() -> Result<Self, Failure> {
        let read = || {
            let (config, options) =
                read_system_conf().map_err(|e| Failure::new("system", format!("/etc/resolv.conf: {e}")))?;
            let servers =
                config.name_servers().iter().map(|server| SocketAddr::new(server.ip, DNS_PORT)).collect();
            let hosts = Hosts::from_system().unwrap_or_default();
            Ok(Self { hosts, servers, search: config.search().to_vec(), ndots: options.ndots })
        };
        tokio::task::spawn_blocking(read)
            .await
            .unwrap_or_else(|e| Err(Failure::new("system", format!("reading /etc/resolv.conf: {e}"))))
    }

    /// What the hosts file says. A name that it has in one family has no addresses in the other, as
    /// in libc.
    pub(super) fn hosts(&self, name: &Name, kind: RecordType) -> Option<Reply> {
        let find = |kind| self.hosts.lookup_static_host(&Query::query(name.clone(), kind));
        let (v4, v6) = (find(RecordType::A), find(RecordType::AAAA));
        let other = v4.is_some() || v6.is_some();
        let mine = match kind {
            RecordType::A => v4,
            RecordType::AAAA => v6,
            _ => None,
        };
        let of_kind = |data: &RData| data.record_type() == kind;
        let records = mine
            .map(|found| found.answers().iter().map(|r| r.data.clone()).filter(of_kind).collect::<Vec<_>>());
        match records {
            None if !other || kind == RecordType::SRV => None,
            records => Some(Reply { records: records.unwrap_or_default(), ttl: FRESH, ..Reply::default() }),
        }
    }

    /// The full names to ask for, in order: with at least `ndots` dots the name itself comes before
    /// the search list, else after it. A name that ends in a dot is asked for as it is.
    pub(super) fn candidates(&self, name: &Name) -> Vec<Name> {
        let mut itself = name.clone();
        itself.set_fqdn(true);
        if name.is_fqdn() {
            return vec![itself];
        }
        let mut names: Vec<Name> = self
            .search
            .iter()
            .filter_map(|domain| {
                let mut full = name.clone().append_domain(domain).ok()?;
                full.set_fqdn(true);
                Some(full)
            })
            .collect();
        let dots = usize::from(name.num_labels()).saturating_sub(1);
        if dots >= self.ndots {
            names.insert(0, itself);
        } else {
            names.push(itself);
        }
        names
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::from_str_relaxed(text).unwrap()
    }

    fn system(hosts: &str) -> System {
        let mut parsed = Hosts::default();
        parsed.read_hosts_conf(hosts.as_bytes()).unwrap();
        System {
            hosts: parsed,
            search: vec![name("corp.example."), name("example.")],
            ndots: 1,
            ..System::default()
        }
    }

    #[test]
    fn the_search_list_comes_first_for_short_names_only() {
        let texts =
            |text| -> Vec<String> { system("").candidates(&name(text)).iter().map(Name::to_ascii).collect() };
        assert_eq!(texts("web"), ["web.corp.example.", "web.example.", "web."]);
        assert_eq!(texts("web.dc1"), ["web.dc1.", "web.dc1.corp.example.", "web.dc1.example."]);
        assert_eq!(texts("web."), ["web."]);
    }

    #[test]
    fn the_hosts_file_answers_for_both_families_of_a_name_it_has() {
        let system = system("127.0.0.9 web\n127.0.0.8 web # again\n");
        let found = system.hosts(&name("web"), RecordType::A).unwrap();
        assert_eq!(found.addresses().len(), 2);
        assert!(system.hosts(&name("web"), RecordType::AAAA).unwrap().records.is_empty());
        assert!(system.hosts(&name("other"), RecordType::A).is_none());
        assert!(system.hosts(&name("web"), RecordType::SRV).is_none());
    }
}
