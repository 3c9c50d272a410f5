//! The pages that change nothing.

use http::StatusCode;
use serde_json::json;

use crate::admin::World;
use crate::admin::answer::{Answer, Refusal};
use crate::admin::path::Page;
use crate::admin::ui;
use crate::admin::weights;
use crate::config::problem::closest;

/// The answer of a GET page.
pub(super) fn answer(world: &dyn World, page: Page, names: &[String]) -> Result<Answer, Refusal> {
    let ok = StatusCode::OK;
    Ok(match page {
        Page::Dashboard => Answer::ok("text/html; charset=utf-8", ui::INDEX),
        Page::Script => Answer::ok("text/javascript; charset=utf-8", ui::SCRIPT),
        Page::Style => Answer::ok("text/css; charset=utf-8", ui::STYLE),
        Page::Live => Answer::json(ok, &json!({"live": true})),
        Page::Ready => ready(world),
        Page::Metrics => Answer::ok("text/plain; version=0.0.4; charset=utf-8", world.metrics()),
        Page::Snapshot => match world.snapshot() {
            Some(snapshot) => Answer::json(ok, &snapshot),
            None => {
                return Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "there is no snapshot yet")
                    .hint("`/ready` says what is awaited"));
            }
        },
        Page::Routes => Answer::json(ok, &world.routes()),
        Page::Clusters => Answer::json(ok, &world.clusters()),
        Page::Cluster => cluster(world, names.first().map_or("", String::as_str))?,
        Page::Splits => Answer::json(ok, &world.splits()),
        Page::Split => {
            let route = names.first().map_or("", String::as_str);
            Answer::json(ok, &world.split(route).map_err(weights::refused)?)
        }
        Page::Sources => Answer::json(ok, &world.sources()),
        Page::Register => Answer::json(ok, &world.register()),
        Page::Config => Answer::json(ok, &world.config()),
        // The caller has compared the method with the page's.
        Page::Explain
        | Page::Drain
        | Page::Undrain
        | Page::DrainCluster
        | Page::UndrainCluster
        | Page::Reload
        | Page::ResetSplit
        | Page::PreviewSplit => {
            return Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "this page takes POST"));
        }
    })
}

fn ready(world: &dyn World) -> Answer {
    match world.ready() {
        Ok(()) => Answer::json(StatusCode::OK, &json!({"ready": true})),
        Err(awaited) => {
            Answer::json(StatusCode::SERVICE_UNAVAILABLE, &json!({"ready": false, "awaiting": awaited}))
        }
    }
}

fn cluster(world: &dyn World, name: &str) -> Result<Answer, Refusal> {
    match world.cluster(name) {
        Some(cluster) => Ok(Answer::json(StatusCode::OK, &cluster)),
        None => Err(unknown_cluster(world, name)),
    }
}

/// 404 for a cluster, with a name that was perhaps meant.
pub(super) fn unknown_cluster(world: &dyn World, name: &str) -> Refusal {
    let clusters = world.clusters();
    let refusal = Refusal::new(StatusCode::NOT_FOUND, format!("there is no cluster `{name}`"));
    match closest(name, clusters.iter().map(|c| c.name.as_str())) {
        Some(close) => refusal.hint(format!("did you mean `{close}`?")),
        None => refusal.hint("`/v1/clusters` lists them"),
    }
}
