//! The pages that change a split, and what their bodies must say.
//!
//! Bodies are taken apart by hand: weights are what operators type, late and in a hurry, and each
//! one that is wrong is named with its place. Nothing is guessed: a name that comes twice is refused
//! and not the first one ignored.

mod body;

use http::StatusCode;

use crate::admin::World;
use crate::admin::answer::{Answer, Refusal};
use crate::admin::path::Page;
use crate::admin::view;
use crate::admin::write::{handing_over, invalid, parsed, stopping};
use crate::config::{Name, Problem};
use crate::control::weights::{Refused, Request, Wish};

use self::body::{Body, Form};

/// The answer of a PUT or POST on a split.
pub(super) async fn answer(
    world: &dyn World,
    page: Page,
    route: &str,
    body: &[u8],
) -> Result<Answer, Refusal> {
    // First: of a split that is not there nothing else can be said.
    let split = world.split(route).map_err(refused)?;
    let form = match page {
        Page::Split => Form::Set,
        Page::PreviewSplit => Form::Preview,
        _ => Form::Reset,
    };
    let variants: Vec<_> = split.variants.iter().map(|variant| variant.name.as_str()).collect();
    let pairs =
        if body.is_empty() && form == Form::Reset { Vec::new() } else { parsed::<body::Pairs>(body)?.0 };
    let Body { weights, author, why, if_generation, if_epoch } =
        body::read(pairs, form, &variants).map_err(invalid)?;
    if form == Form::Preview {
        let preview = world.preview(route, &weights).map_err(refused)?;
        return Ok(Answer::json(StatusCode::OK, &preview));
    }
    let wish = if form == Form::Reset { Wish::Reset } else { Wish::Set(weights) };
    let route = name(&split)?;
    let request = Request { route, wish, author, why, if_generation, if_epoch };
    let done = world.set_weights(request).await.map_err(refused)?;
    Ok(Answer::json(StatusCode::OK, &done))
}

/// Author and reason, of a body that says nothing else or is not there.
pub(super) fn signature(body: &[u8]) -> Result<(String, String), Refusal> {
    let pairs = if body.is_empty() { Vec::new() } else { parsed::<body::Pairs>(body)?.0 };
    let Body { author, why, .. } = body::read(pairs, Form::Sign, &[]).map_err(invalid)?;
    Ok((author, why))
}

/// The route's name, which was one before it was shown.
fn name(split: &view::Split) -> Result<Name, Refusal> {
    split.route.parse().map_err(|why: crate::config::value::ValueError| {
        invalid(vec![Problem::new("route", why.to_string())])
    })
}

/// How a refusal looks.
pub(super) fn refused(refused: Refused) -> Refusal {
    let error = refused.to_string();
    match refused {
        Refused::Unknown { hint, .. } => Refusal::new(StatusCode::NOT_FOUND, error).hint(hint),
        Refused::Stale { generation, epoch, .. } => Refusal::new(StatusCode::CONFLICT, error)
            .hint("look at it again: somebody was faster")
            .with("generation", &generation)
            .with("epoch", &epoch),
        Refused::OfFleet { generation, epoch, .. } => Refusal::new(StatusCode::CONFLICT, error)
            .hint("change the document there; what is set here would not serve")
            .with("generation", &generation)
            .with("epoch", &epoch),
        Refused::Invalid(problems) => invalid(problems),
        Refused::Fleet { .. } => Refusal::new(StatusCode::BAD_GATEWAY, error)
            .hint("weights are kept in Consul (`splits.consul_kv`); the last ones serve on"),
        Refused::Unsaved { .. } => Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, error)
            .hint("nothing was changed, since it would be gone after a restart; see `server.state_dir`"),
        Refused::HandingOver => handing_over(),
        Refused::Stopping => stopping(),
    }
}
