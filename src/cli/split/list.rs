//! `tidegate split list`: what serves, where it comes from, and whether traffic fits it.

use std::fmt::Write as _;
use std::time::SystemTime;

use crate::cli::admin::Failure;
use crate::cli::split::args::List;
use crate::cli::split::client::Client;
use crate::cli::split::shift::wall_clock;
use crate::cli::split::wire::{Split, Variant};
use crate::cli::split::{say, words};

/// Counts that are so unlikely under the weights do not come from them.
const BROKEN: f64 = 0.001;

/// Runs the command.
pub(super) async fn run(client: &Client, args: &List) -> Result<(), Failure> {
    if args.json {
        say(&format!("{:#}\n", client.raw(args.route.as_ref()).await?));
        return Ok(());
    }
    let splits = match &args.route {
        Some(route) => vec![client.one(route).await?],
        None => client.all().await?,
    };
    say(&told(&splits, wall_clock()));
    Ok(())
}

fn told(splits: &[Split], now: SystemTime) -> String {
    if splits.is_empty() {
        return "no route has a split\n".to_owned();
    }
    splits.iter().map(|split| one(split, now)).collect::<Vec<_>>().join("\n")
}

fn one(split: &Split, now: SystemTime) -> String {
    let key = split.key().unwrap_or("none, at random");
    let mut out = format!("{}  seed {}, key: {key}\n", split.route, split.seed);
    _ = writeln!(out, "  weights from {}", standing(split, now));
    if let Some(problem) = &split.problem {
        _ = writeln!(out, "  PROBLEM: {problem}");
    }
    let head = ["VARIANT", "CLUSTER", "WEIGHT", "", "SHARE", "AVAILABLE", "ASSIGNED"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    let shares = words::shares(&split.weights());
    rows.extend(split.variants.iter().zip(shares).map(|(variant, share)| row(variant, share)));
    out += &words::columns(&rows, &[false, false, true, false, true, true, true], "  ");
    _ = writeln!(out, "  sample ratio: {}", ratio(split));
    out
}

fn row(variant: &Variant, share: f64) -> Vec<String> {
    let file = variant.file_weight.filter(|weight| *weight != variant.weight);
    let available = match (variant.available, variant.endpoints) {
        (Some(0), Some(all)) => format!("NONE of {all}"),
        (Some(some), Some(all)) => format!("{some} of {all}"),
        _ => "?".to_owned(),
    };
    let assigned = words::thousands(variant.assigned.values().sum());
    let shifted = variant.assigned.get("shifted").filter(|count| **count > 0);
    vec![
        variant.name.to_string(),
        variant.cluster.clone(),
        variant.weight.to_string(),
        file.map_or_else(String::new, |weight| format!("(file: {weight})")),
        words::percent(share),
        available,
        shifted
            .map_or_else(|| assigned.clone(), |n| format!("{assigned} ({} shifted)", words::thousands(*n))),
    ]
}

/// `overlay, epoch 3, by ann@laptop, 3 min ago: why`.
pub(super) fn standing(split: &Split, now: SystemTime) -> String {
    let some = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let mut out = format!("{}, epoch {}", split.origin, split.epoch);
    if let Some(author) = some(&split.author) {
        _ = write!(out, ", by {author}");
    }
    if let Some(at) = some(&split.at) {
        _ = write!(out, ", {}", words::ago(&at, now));
    }
    if let Some(why) = some(&split.why) {
        _ = write!(out, ": {why}");
    }
    out
}

/// Whether the keys that came spread as the weights say.
fn ratio(split: &Split) -> String {
    // Without a key each request counts for itself.
    let counted = if split.key().is_some() { "keys" } else { "requests" };
    let Some(ratio) = &split.sample_ratio else { return format!("too few {counted} so far to say") };
    let (p, units) = (ratio.p_value, ratio.units);
    if p < BROKEN {
        return format!(
            "BROKEN: {units} {counted} do not spread as the weights say (chi square {:.1}, {} degrees of freedom), \
             p {p:.4} < {BROKEN}",
            ratio.chi_square, ratio.degrees
        );
    }
    format!("fine (p {p:.2}, {units} {counted})")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::time::Duration;

    fn splits() -> Vec<Split> {
        serde_json::from_value(json!([{
            "route": "shop", "seed": "shop-2026", "key": "header x-user-id, cookie tg_id",
            "on_unhealthy": "shift", "tell_client": false,
            "origin": "overlay", "epoch": 3, "author": "ann@laptop", "why": "canary, step 2",
            "at": "1970-01-12T13:43:40Z", "problem": null,
            "variants": [
                {"name": "control", "cluster": "v1", "weight": 80, "file_weight": 90, "share": 0.8,
                 "available": 3, "endpoints": 3,
                 "assigned": {"key": 12000, "random": 300, "override": 0, "shifted": 45}},
                {"name": "candidate", "cluster": "v2", "weight": 20, "file_weight": 20, "share": 0.2,
                 "available": 0, "endpoints": 2,
                 "assigned": {"key": 3000, "random": 0, "override": 0, "shifted": 0}},
            ],
            "sample_ratio": {"units": 4096, "chi_square": 0.6, "degrees": 1, "p_value": 0.43},
        }]))
        .unwrap()
    }

    fn now() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000)
    }

    #[test]
    fn it_reads_at_a_glance() {
        let expected = "\
shop  seed shop-2026, key: header x-user-id, cookie tg_id
  weights from overlay, epoch 3, by ann@laptop, 3 min ago: canary, step 2
  VARIANT    CLUSTER  WEIGHT               SHARE  AVAILABLE             ASSIGNED
  control    v1           80  (file: 90)  80.0 %     3 of 3  12,345 (45 shifted)
  candidate  v2           20              20.0 %  NONE of 2                3,000
  sample ratio: fine (p 0.43, 4096 keys)
";
        assert_eq!(told(&splits(), now()), expected);
        assert_eq!(told(&[], now()), "no route has a split\n");
    }

    #[test]
    fn what_is_wrong_stands_out() {
        let mut split = splits().remove(0);
        split.problem = Some("the document in Consul is not JSON; the last good one serves".into());
        split.sample_ratio.as_mut().unwrap().p_value = 0.000_004;
        let told = told(&[split.clone()], now());
        assert!(told.contains("  PROBLEM: the document in Consul is not JSON; the last good"), "{told}");
        assert!(told.contains("sample ratio: BROKEN: 4096 keys"), "{told}");
        assert!(told.contains("p 0.0000 < 0.001"), "{told}");
        let keyless = Split { key: Some(String::new()), ..split.clone() };
        assert!(ratio(&keyless).starts_with("BROKEN: 4096 requests do"), "{}", ratio(&keyless));
        split.sample_ratio = None;
        assert_eq!(ratio(&split), "too few keys so far to say");
        split.key = Some(String::new());
        assert_eq!(ratio(&split), "too few requests so far to say");
    }

    #[test]
    fn a_split_of_the_file_has_no_story() {
        let split = serde_json::from_value(json!({"route": "shop", "variants": [], "origin": "file"}));
        assert_eq!(standing(&split.unwrap(), now()), "file, epoch 0");
    }
}
