//! The pages that change something, and `explain`, which is a POST for its body only.
//!
//! Each answers when the change serves. Bodies are judged in two steps: not JSON is 400; JSON that
//! does not say what it should is 422, with the place.

use std::net::SocketAddr;

use http::StatusCode;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::admin::World;
use crate::admin::answer::{Answer, Refusal};
use crate::admin::explain::Ask;
use crate::admin::path::Page;
use crate::admin::read::unknown_cluster;
use crate::admin::weights::{self, signature};
use crate::admin::world::ReloadError;
use crate::config::{Name, Problem};
use crate::control::DrainError;
use crate::control::drains::Request;
use crate::control::heritage::HANDING_OVER;

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
    match (page, names) {
        (Page::Reload, _) => {
            if !body.is_empty() {
                parsed::<Nothing>(body)?;
            }
            reload(world).await
        }
        (Page::Drain | Page::Undrain | Page::DrainCluster | Page::UndrainCluster, [cluster, rest @ ..]) => {
            let on = matches!(page, Page::Drain | Page::DrainCluster);
            drain(world, cluster, rest.first(), on, body).await
        }
        // The caller has compared the method with the page's, and the table gives these two names.
        _ => Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "this page takes GET")),
    }
}

async fn reload(world: &dyn World) -> Result<Answer, Refusal> {
    match world.reload().await {
        Ok(reloaded) => Ok(Answer::json(StatusCode::OK, &reloaded)),
        Err(ReloadError::Invalid(problems)) => Err(invalid(problems)),
        Err(ReloadError::HandingOver) => Err(handing_over()),
        Err(ReloadError::Stopping) => Err(stopping()),
    }
}

/// Drains or undrains; answers with the cluster or endpoint as it now is.
async fn drain(
    world: &dyn World,
    cluster: &str,
    address: Option<&String>,
    on: bool,
    body: &[u8],
) -> Result<Answer, Refusal> {
    let address = match address.map(|text| text.parse::<SocketAddr>().map_err(|_| text)) {
        None => None,
        Some(Ok(address)) => Some(address),
        Some(Err(text)) => {
            let error = format!("`{text}` is not an address and port");
            return Err(Refusal::new(StatusCode::BAD_REQUEST, error)
                .hint("write it as 10.0.0.7:80 or [2001:db8::7]:80"));
        }
    };
    let Ok(name) = cluster.parse::<Name>() else { return Err(unknown_cluster(world, cluster)) };
    let (author, why) = signature(body)?;
    let request = Request { cluster: name, address, on, author, why };
    let warnings = match world.drain(request).await {
        Ok(warnings) => warnings,
        Err(DrainError::Cluster(_)) => return Err(unknown_cluster(world, cluster)),
        Err(error @ DrainError::Endpoint(..)) => {
            return Err(Refusal::new(StatusCode::NOT_FOUND, error.to_string())
                .hint(format!("`/v1/clusters/{cluster}` lists its endpoints")));
        }
        Err(error @ DrainError::Unsaved { .. }) => {
            return Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).hint(
                "nothing was changed, since it would be gone after a restart; see `server.state_dir`",
            ));
        }
        Err(DrainError::HandingOver) => return Err(handing_over()),
        Err(DrainError::Stopping) => return Err(stopping()),
    };
    let found = world.cluster(cluster);
    let shown = match address {
        None => found.map(|found| json!(found)),
        Some(address) => found
            .and_then(|found| found.endpoints.into_iter().find(|e| e.address == address))
            .map(|endpoint| json!(endpoint)),
    };
    // What is not there can be undrained, and has nothing else to show.
    let mut shown = shown.unwrap_or_else(|| json!({"cluster": cluster, "address": address, "draining": on}));
    if !warnings.is_empty() {
        shown["warnings"] = json!(warnings);
    }
    Ok(Answer::json(StatusCode::OK, &shown))
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

pub(super) fn handing_over() -> Refusal {
    Refusal::new(StatusCode::SERVICE_UNAVAILABLE, HANDING_OVER).hint("nothing was changed")
}
