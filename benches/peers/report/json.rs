//! All figures of all rounds, so that nobody has to believe the medians.

use serde_json::{Map, Value, json};

use crate::Result;
use crate::outcome::{Figure, Outcome, Row};

pub(super) fn text(about: &str, outcomes: &[Outcome]) -> Result<String> {
    let scenarios: Vec<_> = outcomes.iter().map(scenario).collect();
    Ok(serde_json::to_string_pretty(&json!({ "about": about, "scenarios": scenarios }))? + "\n")
}

fn scenario(outcome: &Outcome) -> Value {
    let rows: Vec<_> = outcome.rows.iter().map(|row| peer(outcome, row)).collect();
    json!({ "name": outcome.scenario.name(), "title": outcome.scenario.title(), "peers": rows })
}

fn peer(outcome: &Outcome, row: &Row) -> Value {
    let mut figures = Map::new();
    for figure in Figure::ALL {
        let Some(spread) = row.spread(figure) else { continue };
        let rounds: Vec<_> = row
            .rounds
            .iter()
            .flat_map(|round| round.iter().filter(|(each, _)| *each == figure).map(|(_, value)| *value))
            .collect();
        let ratio = outcome.tidegate().and_then(|tidegate| row.ratio(tidegate, figure));
        figures.insert(
            figure.name().into(),
            json!({
                "median": spread.median, "min": spread.least, "max": spread.most, "rounds": rounds,
                "ratio_to_tidegate": ratio.map(|r| json!({ "median": r.median, "min": r.least, "max": r.most })),
            }),
        );
    }
    json!({ "name": row.peer, "note": row.note, "failed": row.failed, "figures": figures })
}
