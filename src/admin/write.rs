//! The pages that change something, and `explain`, which is a POST for its body only.
//!
//! Each answers when the change serves. Bodies are judged in two steps: not JSON is 400; JSON that
//! does not say what it should is 422, with the place.

use std::net::SocketAddr;

use http::StatusCode;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::admin::World;
use crate::admin::answer::{Answer, Refusal};
use crate::admin::explain::Ask;
use crate::admin::path::Page;
use crate::admin::read::unknown_cluster;
use crate::admin::weights;
use crate::admin::world::{DrainError, ReloadError};
use crate::config::Problem;

/// The body of a page that needs none.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

/// The answer of a POST or PUT.
pub(super) async fn answer(
    world: &dyn World,
    page: Page,
    names: &[String],
    body: &[u8],
) -> Result<Answer, Refusal> {
    if page == Page::Explain {
        let probe = parsed::<Ask>(body)?.parse().map_err(invalid)?;
        return Ok(Answer::json(StatusCode::OK, &world.explain(&probe)));
    }
    if let (Page::Split | Page::ResetSplit | Page::PreviewSplit, [route]) = (page, names) {
        return weights::answer(world, page, route, body).await;
    }
    if !body.is_empty() {
        parsed::<Nothing>(body)?;
    }
    match (page, names) {
        (Page::Reload, _) => reload(world).await,
        (Page::Drain | Page::Undrain, [cluster, address]) => {
            drain(world, cluster, address, page == Page::Drain).await
        }
        // The caller has compared the method with the page's, and the table gives these two names.
        _ => Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "this page takes GET")),
    }
}

async fn reload(world: &dyn World) -> Result<Answer, Refusal> {
    match world.reload().await {
        Ok(reloaded) => Ok(Answer::json(StatusCode::OK, &reloaded)),
        Err(ReloadError::Invalid(problems)) => Err(invalid(problems)),
        Err(ReloadError::Stopping) => Err(stopping()),
    }
}

async fn drain(world: &dyn World, cluster: &str, address: &str, on: bool) -> Result<Answer, Refusal> {
    let Ok(address) = address.parse::<SocketAddr>() else {
        return Err(Refusal::new(StatusCode::BAD_REQUEST, format!("`{address}` is not an address and port"))
            .hint("write it as 10.0.0.7:80 or [2001:db8::7]:80"));
    };
    match world.drain(cluster, address, on).await {
        Ok(endpoint) => Ok(Answer::json(StatusCode::OK, &endpoint)),
        Err(DrainError::UnknownCluster) => Err(unknown_cluster(world, cluster)),
        Err(DrainError::UnknownEndpoint) => {
            let error = format!("cluster `{cluster}` has no endpoint `{address}`");
            Err(Refusal::new(StatusCode::NOT_FOUND, error)
                .hint(format!("`/v1/clusters/{cluster}` lists its endpoints")))
        }
        Err(DrainError::Stopping) => Err(stopping()),
    }
}

pub(super) fn parsed<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    let mut json = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|e| {
        let path = e.path().to_string();
        let inner = e.into_inner();
        if inner.is_data() { invalid(vec![Problem::new(path, inner.to_string())]) } else { not_json(&inner) }
    })?;
    json.end().map_err(|e| not_json(&e))?;
    Ok(value)
}

fn not_json(error: &serde_json::Error) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, format!("the body is not JSON: {error}"))
}

pub(super) fn invalid(problems: Vec<Problem>) -> Refusal {
    let error = match problems.as_slice() {
        [one] => one.to_string(),
        several => format!("{} problems; nothing was changed", several.len()),
    };
    Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, error).with("problems", &problems)
}

pub(super) fn stopping() -> Refusal {
    Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "the process is stopping")
}
