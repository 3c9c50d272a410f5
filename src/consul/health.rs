//! Reads `/v1/health/service/<name>`: the instances with their checks, as Consul says them.
//!
//! The whole answer is JSON or it is refused. Within it one instance that does not fit the shape (a
//! port that is text, a missing service) is dropped alone: a neighbour's mistake must not freeze a
//! whole service. But where every one is like that, the answer as a whole was not understood (a
//! proxy or a version that speaks otherwise), and that is a failure and not an empty service.
//! Consul writes `null` where it means empty (`Meta` here), and newer versions add fields: every
//! field may be null or missing, unknown ones are ignored.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::consul::Error;
use crate::endpoint::Registry;

/// One instance of a service.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Instance {
    #[serde(default, deserialize_with = "nullable")]
    pub node: Node,
    pub service: Service,
    #[serde(default, deserialize_with = "without_nulls")]
    pub checks: Vec<Check>,
}

/// The machine an instance is registered on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Node {
    #[serde(deserialize_with = "nullable")]
    pub node: String,
    #[serde(deserialize_with = "nullable")]
    pub address: String,
    #[serde(deserialize_with = "nullable")]
    pub datacenter: String,
    #[serde(deserialize_with = "nullable")]
    pub tagged_addresses: BTreeMap<String, String>,
}

/// The registration itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Service {
    #[serde(rename = "ID", deserialize_with = "nullable")]
    pub id: String,
    /// Not empty for sidecars and gateways.
    #[serde(deserialize_with = "nullable")]
    pub kind: String,
    #[serde(deserialize_with = "nullable")]
    pub address: String,
    /// Wide enough for what people register; 70000 must cost one instance, not the answer.
    #[serde(deserialize_with = "nullable")]
    pub port: i64,
    #[serde(deserialize_with = "nullable")]
    pub tags: Vec<String>,
    #[serde(deserialize_with = "nullable")]
    pub meta: BTreeMap<String, String>,
    #[serde(deserialize_with = "nullable")]
    pub tagged_addresses: BTreeMap<String, Tagged>,
    #[serde(deserialize_with = "nullable")]
    pub weights: Weights,
}

/// An address for a purpose: `lan`, `wan`, ...
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Tagged {
    #[serde(deserialize_with = "nullable")]
    pub address: String,
    #[serde(deserialize_with = "nullable")]
    pub port: i64,
}

/// Shares by status. None: not said, which is 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Weights {
    pub passing: Option<i64>,
    pub warning: Option<i64>,
}

/// A check of the instance or of its node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Check {
    #[serde(rename = "CheckID", deserialize_with = "nullable")]
    pub id: String,
    #[serde(deserialize_with = "nullable")]
    pub status: String,
}

/// The instances of an answer, and what was wrong with those that were left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Instances {
    pub list: Vec<Instance>,
    /// Sidecars and gateways (anything with a kind): named, but not the service.
    pub others: Vec<Instance>,
    /// `node/id: why`.
    pub unreadable: Vec<String>,
}

// === impl Instances ===

impl Instances {
    /// Reads a body.
    ///
    /// # Errors
    ///
    /// [`Error::Truncated`] or [`Error::NotJson`]: the body is not a JSON array.
    /// [`Error::Unreadable`]: nothing of the service is left but what cannot be read, which is no
    /// empty service.
    pub fn parse(body: &[u8]) -> Result<Self, Error> {
        let values: Vec<Value> = serde_json::from_slice(body).map_err(|e| Error::parsing(&e))?;
        let mut all = Self { list: Vec::with_capacity(values.len()), ..Self::default() };
        for value in values {
            let text = |at: &str| value.pointer(at).and_then(Value::as_str).unwrap_or("?").to_owned();
            let (node, id) = (text("/Node/Node"), text("/Service/ID"));
            match serde_json::from_value::<Instance>(value) {
                Ok(instance) if instance.service.kind.is_empty() => all.list.push(instance),
                Ok(other) => all.others.push(other),
                Err(e) => all.unreadable.push(format!("{node}/{id}: {e}")),
            }
        }
        match all.unreadable.first() {
            Some(first) if all.list.is_empty() => {
                Err(Error::Unreadable { count: all.unreadable.len(), first: first.clone() })
            }
            _ => Ok(all),
        }
    }
}

// === impl Instance ===

impl Instance {
    /// The worst of all checks, those of the node included: a dead machine leaves its own checks
    /// passing and only `serfHealth` turns critical. Maintenance is an operator's word and beats
    /// all. No checks: passing.
    pub fn registry(&self) -> Registry {
        let of = |check: &Check| match check.status.as_str() {
            _ if check.id == "_node_maintenance" || check.id.starts_with("_service_maintenance:") => {
                Registry::Maintenance
            }
            "passing" => Registry::Passing,
            "warning" => Registry::Warning,
            "maintenance" => Registry::Maintenance,
            _ => Registry::Critical,
        };
        self.checks.iter().map(of).max().unwrap_or_default()
    }
}

/// `null` is the default value.
fn nullable<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: Default + Deserialize<'de>,
    D: Deserializer<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// As [`nullable`], for a list; a `null` in it is skipped.
fn without_nulls<'de, D>(deserializer: D) -> Result<Vec<Check>, D::Error>
where
    D: Deserializer<'de>,
{
    let checks: Option<Vec<Option<Check>>> = Option::deserialize(deserializer)?;
    Ok(checks.into_iter().flatten().flatten().collect())
}
