//! Why a request gets its variant, in words: the key that was found, and the numbers of the draw.
//!
//! The draw is told as it is computed (`split::rendezvous`): each variant draws a number from the
//! hash of seed, key and its name, and the highest `weight / -ln(number)` wins. So each line says
//! what the variant drew and what it would have needed against the others; whoever doubts a choice
//! can redo it by hand.

use std::fmt::Write as _;

use serde_json::Value;

/// The split of an explained request. Nothing where the route has none.
pub(super) fn tell(split: &Value) -> String {
    if split.is_null() {
        return String::new();
    }
    let chosen = split["chosen"].as_str();
    let mut out = match chosen {
        Some(name) => format!("split (seed {}): variant {name}, {}\n", text(&split["seed"]), reason(split)),
        None => format!("split (seed {}): no variant\n", text(&split["seed"])),
    };
    if let Some(why) = split["why"].as_str() {
        _ = writeln!(out, "  {why}");
    }
    _ = writeln!(out, "  {}", key(split));
    if let Some(variant) = split["override"]["variant"].as_str() {
        _ = writeln!(out, "  override {} names {variant}, whatever its weight", split["override"]["index"]);
    }
    let variants = split["variants"].as_array().map(Vec::as_slice).unwrap_or_default();
    if variants.iter().any(|variant| variant["unit"].is_number()) {
        out += "  each variant draws a number from the hash of seed, key and its name;\n  \
                the highest score, weight / -ln(number), wins\n";
    }
    for variant in variants {
        one(&mut out, variant, chosen);
    }
    out
}

fn reason(split: &Value) -> &'static str {
    match split["reason"].as_str() {
        Some("key") => "by its key",
        Some("random") => "by the dice",
        Some("override") => "by an override",
        Some("shifted") => "since the one that was due has no usable endpoint",
        _ => "for no reason that was told",
    }
}

/// Which part of the request was used, and what it means where there is none.
fn key(split: &Value) -> String {
    match (split["key"].as_str(), split["value"].as_str()) {
        (Some(part), Some(value)) => format!("key: {part} = `{value}`"),
        (Some(part), None) if split["mint"] != true => format!("key: {part}"),
        (part, _) if split["mint"] == true => format!(
            "key: none in the request; {} is made for the client now, and keeps it from here on",
            part.map_or_else(|| "a cookie".to_owned(), str::to_owned)
        ),
        _ => "key: none in the request, so each request is assigned at random, by weight".to_owned(),
    }
}

fn one(out: &mut String, variant: &Value, chosen: Option<&str>) {
    let number = |key: &str| variant[key].as_f64();
    let name = text(&variant["name"]);
    let wins = chosen == Some(name.as_str());
    let mark = if wins { "+" } else { "-" };
    _ = write!(out, "  {mark} {name}  cluster {}", text(&variant["cluster"]));
    _ = write!(out, "  weight {}", variant["weight"]);
    if let Some(share) = number("share") {
        _ = write!(out, "  share {:.1} %", share * 100.0);
    }
    if let (Some(from), Some(to)) = (number("from"), number("to")) {
        _ = write!(out, " ({from:.3} to {to:.3})");
    }
    if !variant["available"].is_null() {
        _ = write!(out, "  {} available", variant["available"]);
    }
    out.push('\n');
    let Some(unit) = number("unit") else { return };
    let hash = variant["hash"].as_str().map_or_else(String::new, |hash| format!("hash {hash}, "));
    _ = write!(out, "      {hash}number {unit:.6}");
    if let Some(score) = number("score") {
        _ = write!(out, ", score {score:.4}");
    }
    match number("needs") {
        Some(needs) if unit > needs => _ = write!(out, ", above the {needs:.6} that it needed"),
        Some(needs) => _ = write!(out, ", not above the {needs:.6} that it needed"),
        None => {}
    }
    out.push('\n');
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn keyed() -> Value {
        json!({
            "seed": "shop-2026", "key": "header x-user-id", "value": "ann", "mint": false,
            "variants": [
                {"name": "control", "cluster": "v1", "weight": 90, "share": 0.9, "from": 0.0, "to": 0.9,
                 "hash": "00c0ffee00c0ffee", "unit": 0.5, "score": 129.8426, "needs": 0.31, "available": 2},
                {"name": "candidate", "cluster": "v2", "weight": 10, "share": 0.1, "from": 0.9, "to": 1.0,
                 "hash": "0123456789abcdef", "unit": 0.75, "score": 34.7606, "needs": 0.925875, "available": 1},
            ],
            "override": null, "chosen": "control", "reason": "key", "why": "its score is the highest",
        })
    }

    #[test]
    fn a_keyed_choice_can_be_redone_by_hand() {
        let expected = "\
split (seed shop-2026): variant control, by its key
  its score is the highest
  key: header x-user-id = `ann`
  each variant draws a number from the hash of seed, key and its name;
  the highest score, weight / -ln(number), wins
  + control  cluster v1  weight 90  share 90.0 % (0.000 to 0.900)  2 available
      hash 00c0ffee00c0ffee, number 0.500000, score 129.8426, above the 0.310000 that it needed
  - candidate  cluster v2  weight 10  share 10.0 % (0.900 to 1.000)  1 available
      hash 0123456789abcdef, number 0.750000, score 34.7606, not above the 0.925875 that it needed
";
        assert_eq!(tell(&keyed()), expected);
    }

    #[test]
    fn without_a_key_the_dice_or_a_new_cookie_decide() {
        let mut split = keyed();
        for variant in split["variants"].as_array_mut().unwrap() {
            for key in ["hash", "unit", "score", "needs"] {
                variant[key] = Value::Null;
            }
        }
        (split["key"], split["value"], split["reason"]) = (Value::Null, Value::Null, "random".into());
        let told = tell(&split);
        assert!(told.contains("variant control, by the dice\n"), "{told}");
        assert!(told.contains("key: none in the request, so each request is assigned at random"), "{told}");
        assert!(!told.contains("hash"), "no draw, no numbers: {told}");
        (split["key"], split["mint"]) = ("cookie tg_id".into(), true.into());
        let told = tell(&split);
        assert!(told.contains("key: none in the request; cookie tg_id is made for the client now"), "{told}");
    }

    #[test]
    fn overrides_and_shifts_are_named() {
        let mut split = keyed();
        split["override"] = json!({"index": 0, "variant": "candidate"});
        (split["chosen"], split["reason"]) = ("candidate".into(), "override".into());
        let told = tell(&split);
        assert!(told.contains("variant candidate, by an override\n"), "{told}");
        assert!(told.contains("  override 0 names candidate, whatever its weight\n"), "{told}");
        assert!(told.contains("  + candidate") && told.contains("  - control"), "{told}");
        split["reason"] = "shifted".into();
        assert!(tell(&split).contains("since the one that was due has no usable endpoint"));
        (split["chosen"], split["reason"]) = (Value::Null, Value::Null);
        assert!(tell(&split).starts_with("split (seed shop-2026): no variant\n"));
    }

    #[test]
    fn a_route_without_a_split_says_nothing_and_a_poor_answer_breaks_nothing() {
        assert_eq!(tell(&Value::Null), "");
        assert!(tell(&json!({"variants": [{}]})).contains("no variant"));
    }
}
