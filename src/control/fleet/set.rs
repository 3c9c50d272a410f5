//! Weights that an operator of this node sets for the whole fleet.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::config::Name;
use crate::consul::from_environment;
use crate::control::fleet::Heard;
use crate::control::weights::{Done, Refused, Request, Wish, find, judge};
use crate::discovery::consul::splits::{Change, FleetError, Setup, Written};
use crate::snapshot::{Cell, Serving};
use crate::split::{Amendment, Origin};

/// How long a change that was written may take to come back.
const BACK: Duration = Duration::from_secs(5);

/// How often it is looked for. Each look is a load of a pointer.
const LOOK: Duration = Duration::from_millis(2);

/// Writes the document of a route, and waits until this node serves it. `now`: in seconds since
/// 1970.
///
/// # Errors
///
/// Why nothing was written, or that nobody knows.
pub async fn set(
    cell: &Cell,
    heard: &Heard,
    prefix: &str,
    request: Request,
    now: u64,
) -> Result<Done, Refused> {
    let snapshot = cell.load();
    judge(&snapshot, &request, now)?;
    let (split, serving) = find(&snapshot, request.route.as_str())?;
    // Variants that are not named keep what the document says, or where there is none what serves.
    let weights = match &request.wish {
        Wish::Set(weights) => Some(weights.clone()),
        Wish::Reset => None,
    };
    let change = Change {
        weights,
        author: request.author.clone(),
        why: request.why.clone(),
        at: now,
        if_epoch: request.if_epoch,
        known: serving.standing.amendment.clone().map(|known| fitting(known, serving)),
    };
    let unusable = |why: String| Refused::Fleet { what: why };
    let setup = Setup::new(&snapshot.live.consul, prefix, &from_environment);
    let fleet = setup.fleet().map_err(|error| unusable(error.to_string()))?;
    let check = |amendment: &Amendment| amendment.problems(split, "weights");
    let written = fleet.set(&request.route, &change, &check).await.map_err(|error| match error {
        FleetError::Conflict { epoch } => {
            Refused::Stale { what: error.to_string(), generation: snapshot.generation, epoch }
        }
        FleetError::Problems(problems) => Refused::Invalid(problems),
        FleetError::Consul(_) | FleetError::Unsure(_) => unusable(error.to_string()),
    })?;
    heard.nudge();
    Ok(served(cell, &request.route, &written).await)
}

/// Without the variants that the split has no more, which nobody could name a weight for.
fn fitting(mut known: Amendment, serving: &Serving) -> Amendment {
    known.weights.retain(|name, _| serving.variants.contains(name));
    known
}

/// Waits until the document, or a newer one, serves.
async fn served(cell: &Cell, route: &Name, written: &Written) -> Done {
    let epoch = written.epoch;
    let until = Instant::now() + BACK;
    loop {
        let snapshot = cell.load();
        let serves = snapshot
            .split(route.as_str())
            .is_some_and(|serving| serving.standing.origin == Origin::ConsulKv && serving.epoch() >= epoch);
        if serves || Instant::now() >= until {
            let late = "the document is written, but this node has not heard of it yet; see /v1/sources";
            let warnings = if serves { Vec::new() } else { vec![late.to_owned()] };
            return Done { generation: snapshot.generation, epoch, warnings };
        }
        sleep(LOOK).await;
    }
}
