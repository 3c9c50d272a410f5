//! As much of JSON Schema as the config's schema uses. A keyword that is not known here fails the
//! test, so that nothing is taken for checked which is not.

use regex::Regex;
use serde_json::Value;

/// Whether a value fits a schema, or the first place where it does not.
pub(crate) fn check(schema: &Value, value: &Value) -> Result<(), String> {
    at(schema, schema, value, "")
}

fn at(root: &Value, schema: &Value, value: &Value, path: &str) -> Result<(), String> {
    let Value::Object(keywords) = schema else {
        return if schema == &Value::Bool(false) {
            Err(format!("{path}: nothing may be here"))
        } else {
            Ok(())
        };
    };
    for (keyword, argument) in keywords {
        let fits = match keyword.as_str() {
            "$schema" | "$defs" | "title" | "description" | "default" | "format" => true,
            "$ref" => at(root, named(root, argument), value, path).map(|()| true)?,
            "type" => match argument {
                Value::Array(types) => types.iter().any(|t| is(value, t.as_str().unwrap())),
                one => is(value, one.as_str().unwrap()),
            },
            "properties" | "patternProperties" | "additionalProperties" => {
                object(root, keywords, keyword, value, path)?
            }
            "required" => value
                .as_object()
                .is_none_or(|o| list(argument).iter().all(|k| o.contains_key(k.as_str().unwrap()))),
            "items" => {
                for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                    at(root, argument, item, &format!("{path}[{index}]"))?;
                }
                true
            }
            "enum" => list(argument).contains(value),
            "const" => argument == value,
            "oneOf" => fitting(root, argument, value, path) == 1,
            "anyOf" => fitting(root, argument, value, path) >= 1,
            "pattern" => {
                value.as_str().is_none_or(|v| Regex::new(argument.as_str().unwrap()).unwrap().is_match(v))
            }
            "minimum" => value.as_f64().is_none_or(|v| v >= argument.as_f64().unwrap()),
            "maximum" => value.as_f64().is_none_or(|v| v <= argument.as_f64().unwrap()),
            "minItems" => value.as_array().is_none_or(|v| v.len() as u64 >= argument.as_u64().unwrap()),
            "maxItems" => value.as_array().is_none_or(|v| v.len() as u64 <= argument.as_u64().unwrap()),
            other => panic!("{path}: the schema uses `{other}`, which this check does not know"),
        };
        if !fits {
            return Err(format!("{path}: {value} does not fit {keyword} {argument}"));
        }
    }
    Ok(())
}

fn named<'a>(root: &'a Value, reference: &Value) -> &'a Value {
    &root["$defs"][reference.as_str().unwrap().strip_prefix("#/$defs/").unwrap()]
}

fn object(
    root: &Value,
    keywords: &serde_json::Map<String, Value>,
    keyword: &str,
    value: &Value,
    path: &str,
) -> Result<bool, String> {
    let named = |key: &str| keywords.get("properties").and_then(|k| k.get(key));
    let patterns = keywords.get("patternProperties").and_then(Value::as_object);
    let patterned = |key: &str| {
        patterns
            .into_iter()
            .flatten()
            .find(|(p, _)| Regex::new(p).unwrap().is_match(key))
            .map(|(_, schema)| schema)
    };
    for (key, value) in value.as_object().into_iter().flatten() {
        let schema = match keyword {
            "properties" => named(key),
            "patternProperties" => patterned(key),
            _ if named(key).or_else(|| patterned(key)).is_none() => keywords.get("additionalProperties"),
            _ => None,
        };
        if let Some(schema) = schema {
            at(root, schema, value, &format!("{path}.{key}"))?;
        }
    }
    Ok(true)
}

fn fitting(root: &Value, schemas: &Value, value: &Value, path: &str) -> usize {
    list(schemas).iter().filter(|s| at(root, s, value, path).is_ok()).count()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap()
}

fn is(value: &Value, kind: &str) -> bool {
    match kind {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("unknown type {other}"),
    }
}
