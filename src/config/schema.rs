//! The JSON Schema of the config file, made from the very types that read it.
//!
//! It is for editors: completion, descriptions, and most mistakes marked while typing. It cannot
//! say what [`validate`](super::validate) says about keys that refer to each other, so a file that
//! fits it may still have problems; a file without problems fits it, unless a number comes from
//! `${ENV}`.

use schemars::Schema;
use schemars::transform::{Transform, transform_subschemas};
use serde_json::Value;

use crate::config::File;

/// The schema, in draft 2020-12.
pub fn schema() -> Value {
    let mut schema = schemars::schema_for!(File);
    FromEnvironment.transform(&mut schema);
    schema.insert("required".into(), serde_json::json!(["listeners"]));
    schema.to_value()
}

/// Lets a text with `${NAME}` stand wherever a pattern is asked for.
#[derive(Debug)]
struct FromEnvironment;

impl Transform for FromEnvironment {
    fn transform(&mut self, schema: &mut Schema) {
        if let Some(Value::String(pattern)) = schema.get_mut("pattern") {
            *pattern = format!("{pattern}|\\$\\{{");
        }
        transform_subschemas(self, schema);
    }
}
