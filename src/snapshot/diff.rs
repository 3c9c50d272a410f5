//! What changed between two snapshots, in words: one log line per generation.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use crate::config::Name;
use crate::snapshot::{Serving, Snapshot};

/// How many names or splits are told one by one.
const MOST: usize = 5;

/// Says what `new` has that `old` has not, and the other way round. Empty: nothing that a request
/// could notice.
pub fn describe(old: &Snapshot, new: &Snapshot) -> Vec<String> {
    let mut changes = Vec::new();
    if old.table.digest != new.table.digest {
        let names = |s: &Snapshot| s.table.routes.iter().map(|r| r.name.to_string()).collect();
        changes.push(format!("routes {}", sets(&names(old), &names(new))));
    }
    if !old.clusters.iter().map(|c| &c.name).eq(new.clusters.iter().map(|c| &c.name)) {
        let names = |s: &Snapshot| s.clusters.iter().map(|c| c.name.to_string()).collect();
        changes.push(format!("clusters {}", sets(&names(old), &names(new))));
    }
    for (index, cluster) in new.clusters.iter().enumerate() {
        let Some(was) = old.cluster_near(index, &cluster.name) else { continue };
        if Arc::ptr_eq(was, cluster) || was.digest == cluster.digest {
            continue;
        }
        let addresses = |c: &crate::cluster::Cluster| {
            c.endpoints.iter().map(|e| e.member.address.to_string()).collect::<BTreeSet<_>>()
        };
        changes.push(format!("{}: endpoints {}", cluster.name, sets(&addresses(was), &addresses(cluster))));
    }
    let splits: Vec<_> = splits(old, new).collect();
    let more = splits.len().saturating_sub(MOST);
    changes.extend(splits.into_iter().take(MOST));
    if more > 0 {
        changes.push(format!("{more} more splits"));
    }
    changes
}

/// What changed in splits that were there before. There may be as many as routes, so each is looked for
/// where it stood; a map is made only when one is not there.
fn splits<'a>(old: &'a Snapshot, new: &'a Snapshot) -> impl Iterator<Item = String> + 'a {
    let mut by_name: Option<HashMap<&Name, &Arc<Serving>>> = None;
    let mut find = move |index: usize, serving: &Serving| {
        let here = old.splits.get(index).filter(|was| was.route == serving.route);
        here.or_else(|| {
            let all = || old.splits.iter().map(|was| (&was.route, was)).collect();
            by_name.get_or_insert_with(all).get(&serving.route).copied()
        })
    };
    new.splits.iter().enumerate().filter_map(move |(index, serving)| {
        let was = find(index, serving).filter(|was| !Arc::ptr_eq(was, serving))?;
        let (before, after) = (was.epoch(), serving.epoch());
        let epoch = if before == after { String::new() } else { format!(", epoch {before} -> {after}") };
        Some(format!("{}: {}{epoch}", serving.route, was.change(&serving.variants, &serving.weights)))
    })
}

/// At most [`MOST`] names of each side, so that a large change is still one line.
fn sets(old: &BTreeSet<String>, new: &BTreeSet<String>) -> String {
    let list = |sign: &str, names: Vec<&String>| {
        let more = names.len().saturating_sub(MOST);
        let mut text: Vec<_> = names.iter().take(MOST).map(|name| format!("{sign}{name}")).collect();
        if more > 0 {
            text.push(format!("{sign}{more} more"));
        }
        text
    };
    let mut parts = list("+", new.difference(old).collect());
    parts.extend(list("-", old.difference(new).collect()));
    if parts.is_empty() { "changed".into() } else { parts.join(" ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_told_in_short() {
        let set = |range: std::ops::Range<u8>| range.map(|n| n.to_string()).collect();
        assert_eq!(sets(&set(0..2), &set(1..3)), "+2 -0");
        assert_eq!(sets(&set(0..0), &set(0..7)), "+0 +1 +2 +3 +4 +2 more");
        assert_eq!(sets(&set(0..1), &set(0..1)), "changed");
    }
}
