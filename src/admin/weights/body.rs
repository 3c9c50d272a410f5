//! `{"weights": {"control": 80}, "why": "..."}`, key by key.

use std::collections::{BTreeMap, HashSet};
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use crate::config::live::MAX_WEIGHT;
use crate::config::problem::list;
use crate::config::{Name, Problem};
use crate::split::weights::all_zero;

/// The longest `author` and `why`, in bytes. They go into every log line and onto the disk.
const LONGEST: usize = 500;

/// What a body is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Set,
    Reset,
    Preview,
    /// Who and why, and nothing else.
    Sign,
}

/// What a body says.
#[derive(Debug, Default)]
pub(super) struct Body {
    pub(super) weights: BTreeMap<Name, u64>,
    pub(super) author: String,
    pub(super) why: String,
    pub(super) if_generation: Option<u64>,
    pub(super) if_epoch: Option<u64>,
}

/// A JSON object with all that it says, keys that come twice too.
#[derive(Debug)]
pub(super) struct Pairs(pub(super) Vec<(String, Field)>);

/// An object or something else.
#[derive(Debug)]
pub(super) enum Field {
    Object(Vec<(String, Value)>),
    Other(Value),
}

/// Reads a [`Field`].
struct AnyField;

// === impl Form ===

impl Form {
    fn keys(self) -> &'static [&'static str] {
        match self {
            Self::Set => &["weights", "author", "why", "if_generation", "if_epoch"],
            Self::Reset => &["author", "why", "if_generation", "if_epoch"],
            Self::Preview => &["weights"],
            Self::Sign => &["author", "why"],
        }
    }
}

/// Takes a body apart. `variants`: those of the split.
///
/// # Errors
///
/// Every problem.
pub(super) fn read(pairs: Vec<(String, Field)>, form: Form, variants: &[&str]) -> Result<Body, Vec<Problem>> {
    let mut problems = Vec::new();
    let mut body = Body::default();
    let mut seen = HashSet::new();
    for (key, field) in pairs {
        if !form.keys().contains(&key.as_str()) {
            let problem = Problem::new(&key, format!("there is no key `{key}` here"));
            let hint = format!("it may have {}", list(form.keys().iter().copied()));
            problems.push(problem.hint(hint).did_you_mean(&key, form.keys().iter().copied()));
            continue;
        }
        if !seen.insert(key.clone()) {
            problems.push(twice(&key, &key));
        }
        match key.as_str() {
            "weights" => body.weights = weights(field, variants, &mut problems),
            "author" => body.author = text(&key, &field, &mut problems),
            "why" => body.why = text(&key, &field, &mut problems),
            "if_generation" => body.if_generation = count(&key, &field, &mut problems),
            _ => body.if_epoch = count(&key, &field, &mut problems),
        }
    }
    if form.keys().contains(&"weights") && !seen.contains("weights") {
        let problem = Problem::new("weights", "it says no weights");
        problems.push(problem.hint(as_in(variants)));
    }
    if problems.is_empty() { Ok(body) } else { Err(problems) }
}

fn weights(field: Field, variants: &[&str], problems: &mut Vec<Problem>) -> BTreeMap<Name, u64> {
    let mut weights = BTreeMap::new();
    let Field::Object(pairs) = field else {
        problems.push(Problem::new("weights", "it is not an object").hint(as_in(variants)));
        return weights;
    };
    if pairs.is_empty() {
        problems.push(Problem::new("weights", "it names no variant").hint(as_in(variants)));
    }
    for (variant, value) in pairs {
        let at = format!("weights.{variant}");
        let Some(name) = variant.parse::<Name>().ok().filter(|name| variants.contains(&name.as_str())) else {
            let problem = Problem::new(at, format!("the split has no variant `{variant}`"));
            let hint = format!("its variants are {}", list(variants.iter().copied()));
            problems.push(problem.hint(hint).did_you_mean(&variant, variants.iter().copied()));
            continue;
        };
        match weight(&at, &value) {
            Ok(weight) => {
                if weights.insert(name, weight).is_some() {
                    problems.push(twice(&at, &variant));
                }
            }
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() && weights.len() == variants.len() && weights.values().all(|weight| *weight == 0) {
        problems.push(all_zero("weights"));
    }
    weights
}

fn weight(at: &str, value: &Value) -> Result<u64, Problem> {
    let wrong = |what: &str| Problem::new(at, format!("{value} {what}"));
    let whole = "write a whole number of 0 or more, as 80; only the ratio counts";
    let Value::Number(number) = value else { return Err(wrong("is not a number").hint(whole)) };
    let Some(float) = number.as_f64() else { return Err(wrong("is not a number").hint(whole)) };
    if float < 0.0 {
        return Err(wrong("is negative").hint("0 takes a variant out"));
    }
    #[expect(clippy::cast_precision_loss, reason = "10^9 is exact")]
    if float > MAX_WEIGHT as f64 {
        return Err(
            wrong(&format!("is above {MAX_WEIGHT}")).hint("only the ratio counts: divide all of them")
        );
    }
    if float.fract() != 0.0 {
        return Err(wrong("is not a whole number").hint("only the ratio counts: multiply all of them"));
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole, 0 to 10^9")]
    Ok(float as u64)
}

fn text(at: &str, field: &Field, problems: &mut Vec<Problem>) -> String {
    match field {
        Field::Other(Value::Null) => String::new(),
        Field::Other(Value::String(text)) if text.len() > LONGEST => {
            problems
                .push(Problem::new(at, format!("it is longer than {LONGEST} bytes")).hint("say it in short"));
            String::new()
        }
        Field::Other(Value::String(text)) if text.contains(char::is_control) => {
            let problem = Problem::new(at, "it has control characters");
            problems.push(problem.hint("write it in one line: it goes into the log"));
            String::new()
        }
        Field::Other(Value::String(text)) => text.trim().to_owned(),
        _ => {
            problems.push(Problem::new(at, "it is not a text").hint("put it in double quotes"));
            String::new()
        }
    }
}

fn count(at: &str, field: &Field, problems: &mut Vec<Problem>) -> Option<u64> {
    match field {
        Field::Other(Value::Null) => None,
        Field::Other(Value::Number(number)) if number.is_u64() => number.as_u64(),
        _ => {
            let problem = Problem::new(at, "it is not a whole number of 0 or more");
            problems
                .push(problem.hint("take it from the answer of `GET /v1/splits/{route}` or `/v1/snapshot`"));
            None
        }
    }
}

fn twice(at: &str, name: &str) -> Problem {
    Problem::new(at, format!("`{name}` comes twice")).hint("say it once")
}

fn as_in(variants: &[&str]) -> String {
    let named: Vec<_> = variants.iter().take(2).map(|name| format!("\"{name}\": 1")).collect();
    format!("as {{\"weights\": {{{}}}}}", named.join(", "))
}

// === parsing ===

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Pairs;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
                let mut pairs = Vec::new();
                while let Some(key) = map.next_key::<String>()? {
                    let field =
                        if key == "weights" { map.next_value()? } else { Field::Other(map.next_value()?) };
                    pairs.push((key, field));
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

impl<'de> Deserialize<'de> for Field {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyField)
    }
}

/// What is not an object is told in words of ours; which of the others it is does not matter.
impl<'de> Visitor<'de> for AnyField {
    type Value = Field;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("weights by variant")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Field, A::Error> {
        let mut pairs = Vec::new();
        while let Some(pair) = map.next_entry()? {
            pairs.push(pair);
        }
        Ok(Field::Object(pairs))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Field, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Field::Other(Value::Null))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Field, E> {
        Ok(Field::Other(Value::Null))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Field, E> {
        Ok(Field::Other(Value::Null))
    }

    fn visit_u64<E>(self, _: u64) -> Result<Field, E> {
        Ok(Field::Other(Value::Null))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Field, E> {
        Ok(Field::Other(Value::Null))
    }

    fn visit_str<E>(self, _: &str) -> Result<Field, E> {
        Ok(Field::Other(Value::Null))
    }

    fn visit_unit<E>(self) -> Result<Field, E> {
        Ok(Field::Other(Value::Null))
    }
}

#[cfg(test)]
mod tests;
