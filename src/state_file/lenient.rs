//! Reading what another version of this program wrote: what cannot be understood is left out, and
//! the rest counts.
//!
//! For data that is a help and not an instruction. The bad side: a typing error in such a thing is
//! not seen; nobody types them.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

/// A field; its default where it cannot be understood.
///
/// # Errors
///
/// Only if it is no JSON.
pub fn field<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned + Default,
{
    let value = Value::deserialize(deserializer)?;
    Ok(serde_json::from_value(value).unwrap_or_default())
}

/// A map, without the entries that cannot be understood.
///
/// # Errors
///
/// Only if it is no JSON.
pub fn map<'de, D, K, V>(deserializer: D) -> Result<BTreeMap<K, V>, D::Error>
where
    D: Deserializer<'de>,
    K: DeserializeOwned + Ord,
    V: DeserializeOwned,
{
    let Value::Object(entries) = Value::deserialize(deserializer)? else { return Ok(BTreeMap::new()) };
    Ok(understood(entries))
}

fn understood<K: DeserializeOwned + Ord, V: DeserializeOwned>(entries: Map<String, Value>) -> BTreeMap<K, V> {
    let entry = |(key, value): (String, Value)| {
        Some((serde_json::from_value(key.into()).ok()?, serde_json::from_value(value).ok()?))
    };
    entries.into_iter().filter_map(entry).collect()
}

/// Whether a field need not be written.
pub fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(default)]
    struct Both {
        #[serde(deserialize_with = "field")]
        one: u8,
        #[serde(deserialize_with = "map")]
        many: BTreeMap<SocketAddr, u8>,
    }

    #[test]
    fn what_is_not_understood_costs_only_itself() {
        let read = |text: &str| serde_json::from_str::<Both>(text).unwrap();
        let good = read(r#"{"one": 1, "many": {"1.2.3.4:5": 6, "nowhere": 7, "1.2.3.4:6": "x"}, "new": []}"#);
        assert_eq!((good.one, good.many), (1, [(([1, 2, 3, 4], 5).into(), 6)].into()));
        assert_eq!(read(r#"{"one": "x", "many": 1}"#), Both::default());
    }
}
