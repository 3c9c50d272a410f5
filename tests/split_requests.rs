//! Splits as clients and endpoints meet them.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]

#[path = "split_requests/headers.rs"]
mod headers;
#[path = "split_requests/sticky.rs"]
mod sticky;
mod support;
#[path = "split_requests/unhealthy.rs"]
mod unhealthy;

use support::Backend;

/// A live half with one route, `shop`, over one cluster for each backend, named as the backend.
/// `split`: what stands in the split beside its variants.
fn live(backends: &[(&Backend, u64)], split: &str) -> String {
    let clusters: Vec<_> = backends
        .iter()
        .map(|(b, _)| {
            format!("{}: {{ static: {{ endpoints: [ {{ address: \"{}\" }} ] }} }}", b.name(), b.addr())
        })
        .collect();
    let variants: Vec<_> = backends
        .iter()
        .map(|(b, weight)| format!("{{ name: {0}, cluster: {0}, weight: {weight} }}", b.name()))
        .collect();
    format!(
        "clusters: {{ {} }}\nroutes:\n  - name: shop\n    split:\n      variants: [ {} ]\n{split}",
        clusters.join(", "),
        variants.join(", ")
    )
}
