//! What a scrape of the metrics brings from the snapshot.

use crate::endpoint::Endpoint;
use crate::observe::metrics::split::{SplitSample, VariantSample};
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
    SplitSample {
        route: serving.route.as_str(),
        origin: serving.origin().as_str(),
        epoch: serving.epoch(),
        problem: serving.problem.is_some(),
        variants: variants
            .map(|(name, weight)| VariantSample { name: name.as_str(), weight: *weight, units: None })
            .collect(),
        ratio: None,
    }
}
