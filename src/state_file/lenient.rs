//! Reading what another version of this program wrote: what cannot be understood is left out, and
//! the rest counts.
//!
//! For data that is a help and not an instruction. The bad side: a typing error in such a thing is
//! not seen; nobody types them.

use std::collections::BTreeMap;

use serde::de::value::{Error, StringDeserializer};
use serde::de::{DeserializeOwned, IgnoredAny, IntoDeserializer};
use serde::{Deserialize, Deserializer};

/// What was understood or not.
#[derive(Deserialize)]
#[serde(untagged)]
enum Read<T> {
    Good(T),
    Bad(IgnoredAny),
}

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
    Ok(Read::deserialize(deserializer)?.good().unwrap_or_default())
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
    let entries: BTreeMap<String, Read<V>> = field(deserializer)?;
    let entry = |(key, value): (String, Read<V>)| {
        let key: StringDeserializer<Error> = key.into_deserializer();
        Some((K::deserialize(key).ok()?, value.good()?))
    };
    Ok(entries.into_iter().filter_map(entry).collect())
}

/// Whether a field need not be written.
pub fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

// === impl Read ===

impl<T> Read<T> {
    fn good(self) -> Option<T> {
        match self {
            Self::Good(value) => Some(value),
            Self::Bad(_) => None,
        }
    }
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
