//! What a scrape of the metrics brings from the snapshot.

use crate::endpoint::Endpoint;
use crate::observe::metrics::split::{RatioSample, SplitSample, VariantSample};
use crate::observe::metrics::{EndpointSample, EndpointState};
use crate::snapshot::{Serving, Snapshot};

pub(super) fn endpoint(endpoint: &Endpoint, state: EndpointState) -> EndpointSample {
    EndpointSample { address: endpoint.member.address, state, in_flight: endpoint.state.in_flight() }
}

pub(super) fn splits(snapshot: &Snapshot) -> Vec<SplitSample<'_>> {
    snapshot.splits.iter().map(|serving| split(serving)).collect()
}

fn split(serving: &Serving) -> SplitSample<'_> {
    let variants = serving.variants.iter().zip(serving.weights.values());
    let verdict = serving.sample.verdict(&serving.weights.shares());
    let units = |index: usize| verdict.as_ref().map(|verdict| verdict.units[index]);
    SplitSample {
        route: serving.route.as_str(),
        // Of what stands, so that a reset goes on in the same series.
        origin: serving.standing.origin.as_str(),
        epoch: serving.epoch(),
        problem: serving.problem.is_some(),
        variants: variants
            .enumerate()
            .map(|(i, (name, weight))| VariantSample {
                name: name.as_str(),
                weight: *weight,
                units: units(i),
            })
            .collect(),
        ratio: verdict.as_ref().map(|v| RatioSample { chi_square: v.chi_square, p_value: v.p_value }),
    }
}
