//! Why a request gets its variant, with all numbers: enough to do the sum again by hand.

use std::net::IpAddr;
use std::sync::Arc;

use serde::Serialize;

use crate::cluster::Cluster;
use crate::config::live::OnUnhealthy;
use crate::route::RequestView;
use crate::snapshot::{Serving, Snapshot};
use crate::split::rendezvous::{score, unit};
use crate::split::{Assignment, Draw, Excluded, Reason, Split};

/// How a split decides about a request.
#[derive(Clone, Debug, Serialize)]
pub struct SplitExplanation {
    pub seed: String,
    /// The part of the request that is the key. None: it has none.
    pub key: Option<String>,
    /// The key itself.
    pub value: Option<String>,
    /// Whether the client would get a cookie, which then is the key.
    pub mint: bool,
    pub variants: Vec<VariantExplanation>,
    /// The override that decides before the key does.
    pub r#override: Option<OverrideExplanation>,
    /// The name of the variant. None: the dice decide, or nobody can serve.
    pub chosen: Option<String>,
    pub reason: Option<&'static str>,
    /// The whole in a sentence.
    pub why: String,
    #[serde(skip)]
    pub(super) index: Option<usize>,
}

/// One variant and how it fared.
#[derive(Clone, Debug, Serialize)]
pub struct VariantExplanation {
    pub name: String,
    pub cluster: String,
    pub weight: u64,
    pub share: f64,
    /// The part of all keys that it has, as an interval of [0, 1): the shares in the order of the
    /// config.
    pub from: f64,
    pub to: f64,
    /// Of seed, key and its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hash: Option<String>,
    /// The number in (0, 1) that the hash stands for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<f64>,
    /// Weight / -ln(unit): the highest wins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub score: Option<f64>,
    /// The key is its own for numbers from this to 1, given the others' scores.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub needs: Option<f64>,
    /// Endpoints that get requests.
    pub available: usize,
}

/// An override that matches.
#[derive(Clone, Debug, Serialize)]
pub struct OverrideExplanation {
    /// Its place in the config.
    pub index: usize,
    pub variant: String,
}

// === impl SplitExplanation ===

impl SplitExplanation {
    pub(super) fn of(
        split: &Split,
        serving: &Serving,
        snapshot: &Snapshot,
        request: &RequestView<'_>,
        ip: Option<IpAddr>,
    ) -> Self {
        let found = split.key.find(request.headers, request.query, ip);
        let mint = found.is_none() && split.key.mint(request.headers, request.query, ip).is_some();
        let variants =
            variants(split, serving, &snapshot.clusters, found.as_ref().map(|found| found.bytes()));
        let forced = split.override_of(request).zip(split.forced(request));
        let name = |index: usize| split.variants[index].name.to_string();
        let serves = |variant: usize| serves(snapshot, split.variants[variant].cluster);
        let decided = decide(split, serving, &serves, request, ip);
        let random = found.is_none() && forced.is_none();
        let (chosen, reason) = match decided {
            Assignment::Variant { index, reason, .. } => ((!random).then_some(index), Some(reason)),
            Assignment::Drained | Assignment::Exhausted => (None, None),
        };
        Self {
            seed: serving.weights.seed.to_string(),
            why: why(decided, chosen.map(name), found.as_ref().map(|found| found.part()), mint),
            key: found.as_ref().map(|found| found.part()),
            value: found.as_ref().map(|found| String::from_utf8_lossy(found.bytes()).into_owned()),
            mint,
            variants,
            r#override: forced.map(|(index, variant)| OverrideExplanation { index, variant: name(variant) }),
            chosen: chosen.map(name),
            reason: reason.map(Reason::as_str),
            index: chosen,
        }
    }
}

fn variants(
    split: &Split,
    serving: &Serving,
    clusters: &[Arc<Cluster>],
    key: Option<&[u8]>,
) -> Vec<VariantExplanation> {
    let weights = &serving.weights;
    let mut draw = key.map(|key| Draw::new(weights.seed.as_bytes(), key));
    let hashes: Vec<_> =
        split.variants.iter().map(|v| draw.as_mut().map(|d| d.hash(v.name.as_str()))).collect();
    let scores: Vec<_> =
        hashes.iter().zip(weights.rates()).map(|(hash, rate)| hash.map(|hash| score(*rate, hash))).collect();
    let mut from = 0.0;
    let explain = |(index, share): (usize, f64)| {
        let others = scores.iter().enumerate().filter(|(i, _)| *i != index).filter_map(|(_, score)| *score);
        let best = others.fold(0.0_f64, f64::max);
        let rate = weights.rates()[index];
        let cluster = &clusters[split.variants[index].cluster];
        let start = from;
        from += share;
        VariantExplanation {
            name: split.variants[index].name.to_string(),
            cluster: cluster.name.to_string(),
            weight: weights.values()[index],
            share,
            from: start,
            to: from,
            hash: hashes[index].map(|hash| format!("{hash:016x}")),
            unit: hashes[index].map(unit),
            score: scores[index],
            needs: scores[index].map(|_| if best > 0.0 { (-rate / best).exp() } else { 0.0 }),
            available: cluster.endpoints.iter().filter(|endpoint| endpoint.available()).count(),
        }
    };
    weights.shares().into_iter().enumerate().map(explain).collect()
}

/// Whether the cluster, or one that stands in for it, has an available endpoint.
fn serves(snapshot: &Snapshot, cluster: usize) -> bool {
    let fallbacks = snapshot.table.fallbacks(cluster).iter().map(|to| to.cluster);
    let mut all = std::iter::once(cluster).chain(fallbacks);
    all.any(|index| snapshot.clusters[index].endpoints.iter().any(|endpoint| endpoint.available()))
}

/// As the proxy decides: variants without an available endpoint are left out, if others may take over.
fn decide(
    split: &Split,
    serving: &Serving,
    serves: &dyn Fn(usize) -> bool,
    request: &RequestView<'_>,
    ip: Option<IpAddr>,
) -> Assignment {
    let mut rng = fastrand::Rng::with_seed(0);
    let mut ask = |excluded| split.assign(&serving.weights, request, ip, excluded, &mut rng);
    let first = ask(Excluded::default());
    let mut excluded = Excluded::default();
    let mut last = first;
    while let Assignment::Variant { index, .. } = last {
        if serves(index) || split.on_unhealthy == OnUnhealthy::Fail {
            return last;
        }
        excluded.add(index);
        last = ask(excluded);
    }
    first
}

fn why(decided: Assignment, chosen: Option<String>, part: Option<String>, mint: bool) -> String {
    let chosen = chosen.unwrap_or_default();
    match decided {
        Assignment::Drained => "503 DR: all weights are 0".into(),
        Assignment::Exhausted => "no variant has a usable endpoint".into(),
        Assignment::Variant { reason: Reason::Override, .. } => format!("an override says {chosen}"),
        Assignment::Variant { reason: Reason::Shifted, .. } if !chosen.is_empty() => {
            format!("{chosen} takes over, since the variant that was due has no available endpoint")
        }
        Assignment::Variant { .. } if mint => {
            "the client gets a cookie, and its value decides: each variant by its share".into()
        }
        Assignment::Variant { .. } => match part {
            Some(part) => format!("of the key ({part}), {chosen} has the highest score"),
            None => "no key: at random, each variant by its share".into(),
        },
    }
}
