//! Which SRV records are used, and with what weight (RFC 2782). Pure.
//!
//! Only the lowest priority number: the groups above it are for when that one cannot be reached,
//! and whether it can is known to health checks, not to DNS (a cluster's `failover` says the same
//! where it can be watched). A weight of 0 becomes 1: the RFC's own draw gives the first record of
//! weight 0 exactly one part beside the others' sums, and equal parts where all are 0; while 0 here
//! would mean "no requests at all, not even when the others are gone".

use hickory_resolver::proto::rr::rdata::SRV;
use hickory_resolver::proto::rr::{Name, RData};

/// A record that is used.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Target {
    pub(super) host: Name,
    pub(super) port: u16,
    /// At least 1.
    pub(super) weight: u32,
}

/// The records of the lowest priority, sorted, each host and port once with its largest weight. The
/// target `.` says that the service is not offered (RFC 2782), and port 0 cannot be connected to:
/// both are left out.
pub(super) fn select(records: &[RData]) -> Vec<Target> {
    let of_srv = |data: &RData| match data {
        RData::SRV(srv) => Some(srv.clone()),
        _ => None,
    };
    let usable = |srv: &SRV| !srv.target.is_root() && srv.port != 0;
    let all: Vec<SRV> = records.iter().filter_map(of_srv).filter(usable).collect();
    let Some(lowest) = all.iter().map(|srv| srv.priority).min() else { return Vec::new() };
    let mut targets: Vec<Target> = all
        .into_iter()
        .filter(|srv| srv.priority == lowest)
        .map(|srv| Target {
            host: srv.target.to_lowercase(),
            port: srv.port,
            weight: u32::from(srv.weight).max(1),
        })
        .collect();
    targets.sort_by(|a, b| (&a.host, a.port, b.weight).cmp(&(&b.host, b.port, a.weight)));
    targets.dedup_by(|a, b| a.host == b.host && a.port == b.port);
    targets
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record(priority: u16, weight: u16, port: u16, host: &str) -> RData {
        RData::SRV(SRV::new(priority, weight, port, Name::from_ascii(host).unwrap()))
    }

    fn seen(records: &[RData]) -> Vec<(String, u16, u32)> {
        select(records).into_iter().map(|t| (t.host.to_ascii(), t.port, t.weight)).collect()
    }

    #[test]
    fn only_the_lowest_priority_is_used() {
        let records = [record(20, 5, 80, "c."), record(10, 7, 81, "b."), record(10, 3, 80, "a.")];
        assert_eq!(seen(&records), [("a.".into(), 80, 3), ("b.".into(), 81, 7)]);
    }

    #[test]
    fn a_weight_of_zero_gets_the_smallest_part() {
        assert_eq!(
            seen(&[record(1, 0, 80, "a."), record(1, 0, 80, "b.")]),
            [("a.".into(), 80, 1), ("b.".into(), 80, 1)]
        );
        assert_eq!(seen(&[record(1, 0, 80, "a."), record(1, 60, 80, "b.")])[0].2, 1);
    }

    #[test]
    fn not_offered_and_port_zero_are_left_out_before_priorities_are_compared() {
        assert!(seen(&[record(0, 0, 0, ".")]).is_empty());
        assert_eq!(seen(&[record(0, 1, 0, "a."), record(5, 1, 80, "b.")]), [("b.".into(), 80, 1)]);
    }

    #[test]
    fn one_host_and_port_twice_is_one_target_whatever_its_case() {
        assert_eq!(seen(&[record(1, 2, 80, "A."), record(1, 9, 80, "a.")]), [("a.".into(), 80, 9)]);
    }

    proptest! {
        #[test]
        fn the_order_of_the_answer_changes_nothing(
            list in prop::collection::vec((0u16..3, 0u16..4, 0u16..3, 0u8..3), 0..20), seed: u64,
        ) {
            let mut records: Vec<_> =
                list.iter().map(|(p, w, port, h)| record(*p, *w, *port, &format!("h{h}."))).collect();
            let before = select(&records);
            fastrand::Rng::with_seed(seed).shuffle(&mut records);
            prop_assert_eq!(before, select(&records));
        }
    }
}
