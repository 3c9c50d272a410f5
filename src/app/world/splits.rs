//! Splits as the admin API shows them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use serde_json::{Map, Value};

use crate::admin::view;
use crate::config::live::{self, SplitKey};
use crate::config::{Name, Problem};
use crate::control::weights::{Refused, filled, find};
use crate::observe::access::line::rfc3339;
use crate::snapshot::table::VariantMetrics;
use crate::snapshot::{Route, Serving, Snapshot};
use crate::split::moves::moves;
use crate::split::{Amendment, Reason, Weights};

/// The last second that has a date with four digits of a year.
const LAST: u64 = 253_402_300_799;

/// All splits of a snapshot.
pub(super) fn all(snapshot: &Snapshot) -> Vec<view::Split> {
    let routes = snapshot.live.routes.iter().zip(&snapshot.table.routes);
    let routes = routes.filter_map(|(written, route)| Some((written.split.as_ref()?, route)));
    let each = snapshot.splits.iter().zip(routes);
    each.map(|(serving, (split, route))| show(snapshot, split, serving, Some(route))).collect()
}

/// That of a route.
pub(super) fn one(snapshot: &Snapshot, route: &str) -> Result<view::Split, Refused> {
    let compiled = snapshot.table.routes.iter().find(|known| known.name.as_str() == route);
    find(snapshot, route)
        .map(|(split, serving)| show(snapshot, split, serving, compiled.map(|found| &**found)))
}

/// What other weights would move. The same judgement as when they are set.
pub(super) fn preview(
    snapshot: &Snapshot,
    route: &str,
    weights: &BTreeMap<Name, u64>,
) -> Result<view::Preview, Refused> {
    let (split, serving) = find(snapshot, route)?;
    let seed = Some(serving.weights.seed.to_string());
    let amendment = Amendment { weights: filled(serving, weights), seed, ..Amendment::default() };
    let problems: Vec<Problem> = amendment.problems(split, "weights");
    if !problems.is_empty() {
        return Err(Refused::Invalid(problems));
    }
    let (after, _) = Weights::amended(&serving.route, split, &amendment);
    let name = |index: usize| serving.variants[index].to_string();
    let shares = |weights: &Weights| {
        let shares = weights.shares().into_iter().enumerate();
        shares.map(|(index, share)| (name(index), share)).collect()
    };
    let moves: Vec<_> = moves(&serving.weights, &after)
        .into_iter()
        .map(|step| view::Move { from: name(step.from), to: name(step.to), share: step.share })
        .collect();
    Ok(view::Preview {
        before: shares(&serving.weights),
        after: shares(&after),
        moved: moves.iter().map(|step| step.share).sum(),
        moves,
    })
}

fn show(
    snapshot: &Snapshot,
    split: &live::Split,
    serving: &Arc<Serving>,
    route: Option<&Route>,
) -> view::Split {
    let said = serving.standing.amendment.as_ref();
    let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let shares = serving.weights.shares();
    let variant = |(index, written): (usize, &live::Variant)| {
        let cluster = snapshot.cluster(written.cluster.as_str());
        let endpoints = cluster.map_or(&[][..], |cluster| &cluster.endpoints);
        view::Variant {
            name: written.name.to_string(),
            cluster: written.cluster.to_string(),
            weight: serving.weights.values()[index],
            file_weight: written.weight,
            share: shares[index],
            available: endpoints.iter().filter(|endpoint| endpoint.available()).count(),
            endpoints: endpoints.len(),
            assigned: route.map(|route| assigned(&route.variants[index])),
        }
    };
    view::Split {
        route: serving.route.to_string(),
        seed: serving.weights.seed.to_string(),
        key: split.key.iter().map(part).collect::<Vec<_>>().join(", "),
        on_unhealthy: split.on_unhealthy,
        tell_client: split.tell_client,
        origin: serving.origin(),
        epoch: serving.epoch(),
        author: said.and_then(|said| given(&said.author)),
        why: said.and_then(|said| given(&said.why)),
        at: said.and_then(|said| date(said.at)),
        problem: serving.problem.clone(),
        variants: split.variants.iter().enumerate().map(variant).collect(),
        sample_ratio: serving.sample.verdict(&shares).map(|verdict| view::SampleRatio {
            units: verdict.units.iter().sum(),
            chi_square: verdict.chi_square,
            degrees: verdict.degrees,
            p_value: verdict.p_value,
        }),
    }
}

/// Requests so far, by the reason of their assignment.
fn assigned(variant: &VariantMetrics) -> Map<String, Value> {
    let counts = Reason::ALL.iter().zip(&variant.assigned);
    counts.map(|(reason, counter)| (reason.as_str().into(), counter.get().into())).collect()
}

fn part(key: &SplitKey) -> String {
    match key {
        SplitKey::Header(name) => format!("header {name}"),
        SplitKey::Cookie(cookie) => format!("cookie {}", cookie.name),
        SplitKey::Query(name) => format!("query {name}"),
        SplitKey::SourceIp => "source_ip".into(),
    }
}

/// A time to the second. None: 0, or what no calendar has; a document may say anything.
pub(super) fn date(at: u64) -> Option<String> {
    let time = UNIX_EPOCH.checked_add(Duration::from_secs(at)).filter(|_| (1..=LAST).contains(&at))?;
    let mut text = Vec::new();
    rfc3339(&mut text, time);
    Some(String::from_utf8_lossy(&text).replace(".000000", ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_told_to_the_second_and_never_made_up() {
        assert_eq!(date(1_795_871_400).as_deref(), Some("2026-11-28T13:10:00Z"));
        assert_eq!((date(0), date(u64::MAX), date(LAST + 1)), (None, None, None));
        assert_eq!(date(LAST).as_deref(), Some("9999-12-31T23:59:59Z"));
    }
}
