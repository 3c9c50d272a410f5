//! Reads a document of weights: the JSON of an [`Amendment`], written by us, by a script or by hand.
//!
//! It is judged by hand where people err, so that the problem names the key, the place and the
//! remedy, and not what a deserializer expected. Fields that are not known are passed over: a newer
//! version may write more. What depends on the split (whether a variant exists, whether all weights
//! are 0) is not judged here; see [`Amendment::problems`]. Pure, and total over all bytes.

use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::config::live::MAX_WEIGHT;
use crate::config::validate::split::{bad_seed, is_seed};
use crate::config::{Name, Problem};
use crate::split::Amendment;

/// The most bytes of a document: 64 variants of 128 letters fit eight times.
pub const MAX_BYTES: usize = 64 << 10;

/// The highest epoch: what every JSON reader keeps exact.
pub const MAX_EPOCH: u64 = (1 << 53) - 1;

/// The most bytes that are kept of `author` and of `why`, as many as the admin API takes.
const LONGEST: usize = 500;

const FORM: &str = r#"a document is like {"weights": {"control": 80, "candidate": 20}, "epoch": 4}"#;

/// An [`Amendment`] whose weights are not judged yet.
#[derive(Deserialize)]
struct Raw {
    weights: Pairs,
    seed: Option<String>,
    #[serde(default)]
    epoch: u64,
    author: Option<String>,
    why: Option<String>,
    #[serde(default)]
    at: u64,
}

/// An object with all its keys, also those that come twice.
struct Pairs(Vec<(String, Value)>);

/// Reads a document. `key`: where it lies, for the problem.
///
/// # Errors
///
/// The first problem.
pub fn parse(key: &str, bytes: &[u8]) -> Result<Amendment, Problem> {
    let whole = |what: String| Problem::new(key, what).hint(FORM);
    if bytes.is_empty() {
        return Err(whole("the document is empty".to_owned()).hint("to go back to the file, delete the key"));
    }
    if bytes.len() > MAX_BYTES {
        return Err(whole(format!("the document has {} bytes, more than {MAX_BYTES}", bytes.len())));
    }
    let text = std::str::from_utf8(bytes)
        .map_err(|error| whole(format!("the document is not UTF-8 from byte {} on", error.valid_up_to())))?;
    // A struct may also be read of a list, which nobody means.
    if !text.trim_start().starts_with('{') {
        return Err(whole("the document is not a JSON object".to_owned()));
    }
    let mut json = serde_json::Deserializer::from_str(text);
    let raw: Raw = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        let at = if matches!(path.as_str(), "." | "?") { key.to_owned() } else { format!("{key}: {path}") };
        Problem::new(at, error.into_inner().to_string()).hint(FORM)
    })?;
    json.end().map_err(|error| whole(error.to_string()))?;
    raw.judge(key)
}

/// The highest epoch that can still be read of a document, however broken it is; 0 if there is none.
pub fn salvage(bytes: &[u8]) -> u64 {
    let text = String::from_utf8_lossy(bytes);
    let number = |after: &str| {
        let after = after.trim_start().strip_prefix(':')?.trim_start();
        let end = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
        after[..end].parse::<u64>().ok().filter(|epoch| *epoch <= MAX_EPOCH)
    };
    text.split("\"epoch\"").skip(1).filter_map(number).max().unwrap_or(0)
}

// === impl Raw ===

impl Raw {
    fn judge(self, key: &str) -> Result<Amendment, Problem> {
        let mut amendment = Amendment {
            seed: self.seed,
            epoch: self.epoch,
            author: one_line(self.author),
            why: one_line(self.why),
            at: self.at,
            ..Amendment::default()
        };
        for (text, value) in self.weights.0 {
            let at = format!("{key}: weights.{}", start(&text).escape_debug());
            let name: Name = text.parse().map_err(|_| {
                Problem::new(&at, "this is not the name of a variant")
                    .hint("1 to 128 of letters, digits, `.`, `_` and `-`")
            })?;
            let weight = weight(&value).map_err(|what| {
                Problem::new(&at, what).hint(format!("a whole number from 0 to {MAX_WEIGHT}"))
            })?;
            if amendment.weights.insert(name, weight).is_some() {
                return Err(Problem::new(at, "the variant is named twice").hint("keep one of them"));
            }
        }
        if let Some(seed) = amendment.seed.as_deref().filter(|seed| !is_seed(seed)) {
            return Err(bad_seed(&format!("{key}: seed"), start(seed)));
        }
        if amendment.epoch > MAX_EPOCH {
            let what = format!("the epoch {} is above {MAX_EPOCH}", amendment.epoch);
            return Err(Problem::new(format!("{key}: epoch"), what).hint("it counts changes, from 1"));
        }
        Ok(amendment)
    }
}

/// The value as a weight, or what is wrong with it.
fn weight(value: &Value) -> Result<u64, String> {
    let Value::Number(number) = value else {
        let kind = match value {
            Value::Null => "null",
            Value::Bool(_) => "true or false",
            Value::String(_) => "text",
            Value::Array(_) => "a list",
            _ => "an object",
        };
        return Err(format!("the weight is {kind} and not a number"));
    };
    match (number.as_u64(), number.as_f64().unwrap_or(f64::NAN)) {
        (Some(weight), _) if weight <= MAX_WEIGHT => Ok(weight),
        (_, about) if about < 0.0 => Err(format!("the weight {number} is negative")),
        (None, about) if about.fract() != 0.0 => Err(format!("the weight {number} is not whole")),
        (Some(weight), _) => Err(format!("the weight {weight} is above {MAX_WEIGHT}")),
        #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
        (None, about) if about > MAX_WEIGHT as f64 => {
            Err(format!("the weight {number} is above {MAX_WEIGHT}"))
        }
        (None, _) => Err(format!("the weight {number} is written as a fraction")),
    }
}

/// What may go to logs and terminals of a text that anybody wrote.
fn one_line(text: Option<String>) -> String {
    let text = text.unwrap_or_default();
    let mut line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    line.truncate(line.floor_char_boundary(LONGEST));
    line.trim().to_owned()
}

/// What of a text fits in a message.
fn start(text: &str) -> &str {
    text.char_indices().nth(40).map_or(text, |(end, _)| &text[..end])
}

// === impl Pairs ===

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;

        impl<'de> Visitor<'de> for Reader {
            type Value = Pairs;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of variants with their weights")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Pairs, M::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }

        deserializer.deserialize_map(Reader)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn wrong(text: impl AsRef<[u8]>) -> String {
        let problem = parse("p/shop", text.as_ref()).unwrap_err();
        assert!(problem.path.starts_with("p/shop") && problem.hint.is_some(), "{problem}");
        problem.to_string()
    }

    #[test]
    fn what_is_written_is_read() {
        let weights = [("a", 80), ("b", 0)].map(|(name, weight)| (name.parse().unwrap(), weight)).into();
        let (author, why) = ("ann@host".to_owned(), "slow \"start\"".to_owned());
        let whole = Amendment { weights, seed: Some("s".into()), epoch: 3, author, why, at: 1_790_000_000 };
        assert_eq!(parse("k", &serde_json::to_vec(&whole).unwrap()), Ok(whole));
        let least = Amendment::default();
        assert_eq!(parse("k", br#" {"weights": {}, "later": [1], "seed": null, "why": null} "#), Ok(least));
    }

    #[test]
    fn who_and_why_are_one_short_line() {
        let long = "\u{e4}".repeat(400);
        let text =
            serde_json::json!({"weights": {}, "author": "\u{1b}[31mann\nbob", "why": long}).to_string();
        let read = parse("k", text.as_bytes()).unwrap();
        assert_eq!((read.author.as_str(), read.why.len()), ("[31mann bob", 500));
        assert!(wrong(r#"{"weights": {"\u001b[2J": 1}}"#).contains(r"weights.\u{1b}[2J: this is not"));
    }

    #[test]
    fn problems_name_the_key_the_place_and_the_remedy() {
        for (text, says) in [
            ("", "p/shop: the document is empty; to go back"),
            ("{", "p/shop: EOF"),
            ("[]", "p/shop: the document is not a JSON object"),
            (r#"[{"a": 1}, null, 0, null, null, 0]"#, "not a JSON object"),
            ("{}", "p/shop: missing field `weights`"),
            (
                r#"{"weights": 3}"#,
                "p/shop: weights: invalid type: integer `3`, expected an object of variants",
            ),
            (r#"{"weights": {"a": -1}}"#, "p/shop: weights.a: the weight -1 is negative; a whole number"),
            (r#"{"weights": {"a": 0.5}}"#, "p/shop: weights.a: the weight 0.5 is not whole"),
            (r#"{"weights": {"a": 80.0}}"#, "p/shop: weights.a: the weight 80.0 is written as a fraction"),
            (r#"{"weights": {"a": 1000000001}}"#, "the weight 1000000001 is above 1000000000"),
            (r#"{"weights": {"a": 1e30}}"#, "is above 1000000000"),
            (r#"{"weights": {"a": 99999999999999999999999}}"#, "is above 1000000000"),
            (r#"{"weights": {"a": "1"}}"#, "the weight is text and not a number"),
            (r#"{"weights": {"a": 1, "a": 2}}"#, "p/shop: weights.a: the variant is named twice"),
            (r#"{"weights": {"a b": 1}}"#, "p/shop: weights.a b: this is not the name of a variant"),
            (r#"{"weights": {}, "weights": {}}"#, "duplicate field `weights`"),
            (r#"{"weights": {}, "seed": "a\u0000b"}"#, r#"p/shop: seed: "a\0b" is not a seed"#),
            (r#"{"weights": {}, "epoch": -1}"#, "p/shop: epoch: invalid value"),
            (r#"{"weights": {}, "epoch": 9007199254740992}"#, "p/shop: epoch: the epoch"),
            (r#"{"weights": {}} x"#, "p/shop: trailing characters"),
        ] {
            let problem = wrong(text);
            assert!(problem.contains(says), "{text}: {problem}");
        }
        assert!(wrong(b"{\"why\": \"\xff\"}").contains("not UTF-8 from byte 9 on"));
        assert!(wrong(vec![b' '; MAX_BYTES + 1]).contains("has 65537 bytes"));
        wrong("[".repeat(60_000));
    }

    #[test]
    fn an_epoch_is_found_in_what_is_left() {
        assert_eq!(salvage(br#"{"weights": {"a": -1}, "epoch" : 41, "#), 41);
        assert_eq!(salvage(b"{\"epoch\":7,\"why\":\"\xff"), 7);
        assert_eq!(salvage(br#""epoch": 99999999999999999999 "epoch": 9007199254740992 "epoch": -1"#), 0);
        assert_eq!(salvage(b""), 0);
    }

    proptest! {
        #[test]
        fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = (parse("k", &bytes), salvage(&bytes));
        }

        #[test]
        fn nearly_good_documents_never_panic(
            text in r#"\{"weights": ?\{("[a-c\\u]{0,3}": ?-?[0-9.eE+-]{1,25},?){0,3}\},?("(seed|epoch|at)": ?["0-9a-c]{0,24})?\}"#
        ) {
            if let Ok(amendment) = parse("k", text.as_bytes()) {
                prop_assert!(amendment.weights.values().all(|weight| *weight <= MAX_WEIGHT));
                let again = serde_json::to_vec(&amendment).unwrap();
                prop_assert_eq!(parse("k", &again), Ok(amendment));
            }
            let _ = salvage(text.as_bytes());
        }
    }
}
