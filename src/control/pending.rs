//! A config that holds together and waits for the first answers of its sources.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::time::Instant;

use crate::config::{Boot, Name};
use crate::control::WARM;
use crate::control::ledger::Ledger;
use crate::control::reading::Reply;
use crate::observe::access::AccessLog;
use crate::snapshot::compile::Plan;

/// The questions whose answers are awaited, by cluster and fingerprint, and until when. The fleet's
/// documents are one too, see [`documents`].
pub(super) type Waiting = HashMap<(Name, u64), Instant>;

/// The config that serves next.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) plan: Plan,
    pub(super) boot: Boot,
    pub(super) access_log: Arc<AccessLog>,
    pub(super) cause: String,
    pub(super) waiting: Waiting,
    /// When it serves whatever is missing. A config that takes the place of this one inherits it.
    pub(super) latest: Instant,
    pub(super) replies: Vec<Reply>,
}

// === impl Pending ===

impl Pending {
    /// The config of a start. `inherited`: what another process has left; the fleet's documents in it
    /// need not be waited for.
    pub(super) fn first(
        plan: Plan,
        boot: Boot,
        access_log: Arc<AccessLog>,
        inherited: Option<&Ledger>,
        now: Instant,
    ) -> Self {
        let mut waiting = waiting(&plan, None, None, now);
        if let Some((prefix, _)) = inherited.and_then(Ledger::known) {
            waiting.remove(&documents(prefix));
        }
        let (cause, replies) = ("start".into(), Vec::new());
        Self { plan, boot, access_log, cause, waiting, latest: now + WARM, replies }
    }

    /// Strikes a question off.
    pub(super) fn answered(&mut self, cluster: &Name, fingerprint: u64) {
        self.waiting.remove(&(cluster.clone(), fingerprint));
    }

    /// When it is to serve: at once if nothing is awaited, else when the last question was waited
    /// for long enough.
    pub(super) fn due(&self) -> Option<Instant> {
        self.waiting.values().max().map(|until| self.latest.min(*until))
    }
}

/// The question for the fleet's documents: users are not to be assigned by the file's weights in the
/// moment before those of the fleet are heard. No cluster asks it.
pub(super) fn documents(prefix: &str) -> (Name, u64) {
    let fingerprint =
        xxhash_rust::xxh3::xxh3_64(format!("consul_kv {}", prefix.trim_matches('/')).as_bytes());
    (Name::reserved("consul_kv"), fingerprint)
}

/// Which answers a config waits for, and how long.
///
/// Not those that `serving` asks for too: they are there, or the config that serves has given up on
/// them, and a reload that only touches other things should not stand still for that. Of what
/// `before`, a config that waits itself, asks for, each question goes on waiting for the rest of
/// its time; so configs that follow each other closely do not put each other off. A question that
/// nobody asked until now waits even if an earlier answer to it is known: that may be old.
pub(super) fn waiting(
    plan: &Plan,
    serving: Option<&Plan>,
    before: Option<&Pending>,
    now: Instant,
) -> Waiting {
    let wait = |(name, fingerprint): (&Name, u64)| {
        if serving.is_some_and(|plan| plan.asks(name, fingerprint)) {
            return None;
        }
        let key = (name.clone(), fingerprint);
        let until = match before.filter(|before| before.plan.asks(name, fingerprint)) {
            Some(before) => *before.waiting.get(&key)?,
            None => now + WARM,
        };
        Some((key, until))
    };
    let mut all: Waiting = plan.questions().filter_map(wait).collect();
    let prefix = |plan: &Plan| plan.live.splits.consul_kv.as_deref().map(documents);
    if let Some(question) = prefix(plan)
        && serving.and_then(prefix).as_ref() != Some(&question)
    {
        match before.filter(|before| prefix(&before.plan).as_ref() == Some(&question)) {
            Some(before) => all.extend(before.waiting.get(&question).map(|until| (question, *until))),
            None => drop(all.insert(question, now + WARM)),
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::live::{Cluster, Dns, Live};
    use crate::filter::Registry;
    use crate::observe::Metrics;
    use crate::snapshot::compile::Surroundings;

    /// A config with a DNS cluster for each name, and a static one.
    fn plan(names: &[&str]) -> Plan {
        let mut live = Live::default();
        for name in names {
            let dns: Dns = serde_json::from_value(serde_json::json!({"name": name, "port": 80})).unwrap();
            live.clusters.insert(name.parse().unwrap(), Cluster { dns: Some(dns), ..Cluster::default() });
        }
        let fixed = serde_json::from_value(serde_json::json!({"static": {"endpoints": []}})).unwrap();
        live.clusters.insert("fixed".parse().unwrap(), fixed);
        let metrics = Arc::new(Metrics::new().unwrap());
        let mirrors = Arc::default();
        let (listeners, tcp) = (Vec::new(), Vec::new());
        let around = Surroundings { metrics, filters: Registry::default(), listeners, tcp, mirrors };
        Plan::new(live.into(), &around).unwrap()
    }

    fn pending(plan: Plan, waiting: Waiting, latest: Instant) -> Pending {
        let boot = crate::config::Config::from(crate::config::File::default()).boot;
        let (access_log, cause) = (Arc::default(), String::new());
        Pending { plan, boot, access_log, cause, waiting, latest, replies: Vec::new() }
    }

    fn names(waiting: &Waiting) -> Vec<&str> {
        let mut names: Vec<_> = waiting.keys().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn only_new_questions_wait() {
        let now = Instant::now();
        let start = waiting(&plan(&["a", "b"]), None, None, now);
        assert_eq!(names(&start), ["a", "b"]);
        assert!(start.values().all(|until| *until == now + WARM));
        let serving = plan(&["a", "b"]);
        assert_eq!(names(&waiting(&plan(&["a", "c"]), Some(&serving), None, now)), ["c"]);
        assert!(waiting(&plan(&["b"]), Some(&serving), None, now).is_empty());
    }

    #[test]
    fn what_waits_already_keeps_its_time_and_what_was_answered_is_not_asked_again() {
        let start = Instant::now();
        let first = plan(&["slow", "quick"]);
        let mut before = pending(first.clone(), waiting(&first, None, None, start), start + 2 * WARM);
        let (quick, fingerprint) = first.questions().next().map(|(n, f)| (n.clone(), f)).unwrap();
        assert_eq!(quick.as_str(), "quick");
        before.answered(&quick, fingerprint);
        let later = start + WARM / 2;
        let second = plan(&["slow", "quick", "new"]);
        let then = waiting(&second, None, Some(&before), later);
        assert_eq!(names(&then), ["new", "slow"]);
        let until = |name: &str| then.iter().find(|((n, _), _)| n.as_str() == name).map(|(_, until)| *until);
        assert_eq!((until("slow"), until("new")), (Some(start + WARM), Some(later + WARM)));
        let next = pending(second, then, before.latest);
        assert_eq!(next.due(), Some(later + WARM));
        assert_eq!(pending(plan(&[]), Waiting::new(), start).due(), None);
    }

    /// However configs follow each other, each with a question of its own that nobody answers, one
    /// serves in the end.
    #[test]
    fn overtaking_has_an_end() {
        let start = Instant::now();
        let mut last: Option<Pending> = None;
        for n in 0..100 {
            let now = start + WARM / 10 * n;
            let plan = plan(&[&format!("c{n}")]);
            let waiting = waiting(&plan, None, last.as_ref(), now);
            let latest = last.map_or(now + 2 * WARM, |last| last.latest);
            let next = pending(plan, waiting, latest);
            if next.due().is_none_or(|due| due <= now) {
                assert!(now <= start + 2 * WARM);
                return;
            }
            last = Some(next);
        }
        panic!("none of them ever serves");
    }
}
