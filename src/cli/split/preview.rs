//! `tidegate split preview`: what new weights would move, from where to where. Nothing is applied.

use std::fmt::Write as _;

use crate::cli::admin::Failure;
use crate::cli::split::args::Preview;
use crate::cli::split::client::{Client, filled};
use crate::cli::split::wire::{self, Split};
use crate::cli::split::{change, say, words};

/// Runs the command.
pub(super) async fn run(client: &Client, args: &Preview) -> Result<(), Failure> {
    let split = client.one(&args.route).await?;
    // As `set` would: what is not named keeps what serves.
    let (weights, kept) = filled(&split, &args.targets)?;
    let preview = client.preview(&args.route, &split.named(&weights)).await?;
    say(&told(&split, &weights, &preview));
    if !kept.is_empty() {
        say(&format!("{}\n", words::kept(&kept)));
    }
    Ok(())
}

fn told(split: &Split, weights: &[u64], preview: &wire::Preview) -> String {
    let moved = words::percent(preview.moved);
    let mut out = format!("{}: {moved} would move; nothing was applied\n", split.route);
    out += &change::difference(split, weights);
    let rows: Vec<Vec<String>> = preview
        .moves
        .iter()
        .map(|step| vec![step.from.clone(), "to".into(), step.to.clone(), words::percent(step.share)])
        .collect();
    if !rows.is_empty() {
        out += "moves\n";
        out += &words::columns(&rows, &[false, false, false, true], "  ");
    }
    // Where the node sees other shares than we do, somebody changed the split in between.
    let same = |(variant, share): (&wire::Variant, f64)| {
        preview.after.get(variant.name.as_str()).is_none_or(|said| (said - share).abs() < 1e-6)
    };
    if !split.variants.iter().zip(words::shares(weights)).all(same) {
        _ = writeln!(out, "the node counts otherwise: {:?} becomes {:?}", preview.before, preview.after);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn it_says_what_moves_from_where_to_where() {
        let split: Split = serde_json::from_value(json!({"route": "shop", "variants": [
            {"name": "control", "weight": 90}, {"name": "candidate", "weight": 10},
        ]}))
        .unwrap();
        let preview: wire::Preview = serde_json::from_value(json!({
            "before": {"control": 0.9, "candidate": 0.1}, "after": {"control": 0.8, "candidate": 0.2},
            "moved": 0.1, "moves": [{"from": "control", "to": "candidate", "share": 0.1}],
        }))
        .unwrap();
        let expected = "\
shop: 10.0 % would move; nothing was applied
  control    90  ->  80  90.0 %  ->  80.0 %
  candidate  10  ->  20  10.0 %  ->  20.0 %
moves
  control  to  candidate  10.0 %
";
        assert_eq!(told(&split, &[80, 20], &preview), expected);
        assert!(told(&split, &[50, 50], &preview).contains("the node counts otherwise"));
    }
}
