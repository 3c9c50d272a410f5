//! A folder of Consul's KV store: list, read, and write by compare-and-set.
//!
//! The store says "there is nothing" with 404 and an index, and that answer blocks and counts like
//! any other; a 404 without an index is somebody else's and an error. It also says it to a token
//! that may not look: a list then seems to be empty, while one key answers 403. So nothing here
//! takes an empty list for a proof; whoever must know reads the key.
//!
//! Writes and the reads before them ask the leader. A write that got no answer may have happened
//! ([`uncertain`]), and nobody here sends it twice. The bad side: such a write must be looked up.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use serde::Deserialize;

use crate::config::live::Consistency;
use crate::consul::client::Found;
use crate::consul::{Client, Error, Query};

/// Where the documents lie: segments with a slash between them, none around them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prefix(Box<str>);

/// A folder, and who asks for it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Folder {
    client: Client,
    prefix: Prefix,
}

/// A key of a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What comes after `<prefix>/`.
    pub name: String,
    pub value: Vec<u8>,
    /// For the next compare-and-set. Grows with each write, in one history of the store.
    pub modify_index: u64,
}

/// The leader's word about one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Of the whole store, where there is no entry: not below the `modify_index` of any key that it
    /// ever had.
    pub index: u64,
    pub entry: Option<Entry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Raw {
    key: String,
    /// Null where it is empty.
    #[serde(default)]
    value: Option<String>,
    modify_index: u64,
}

// === impl Prefix ===

impl Prefix {
    /// Takes a prefix as people write it: slashes at its ends do not count.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] for one that would be the whole store, or that a URL cannot carry.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let bare = text.trim_matches('/');
        let bad = |why: &str| Err(Error::Config(format!("`{text}` is no prefix of Consul keys: {why}")));
        if bare.is_empty() {
            return bad("it is empty, which would be the whole store");
        }
        if bare.split('/').any(|segment| matches!(segment, "" | "." | "..")) {
            return bad("it has an empty part or one of dots");
        }
        if bare.contains(char::is_control) || bare.len() > 512 {
            return bad("it has control characters or more than 512 bytes");
        }
        Ok(Self(bare.into()))
    }

    /// Without slashes at its ends.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The whole key of a name.
    pub fn key(&self, name: &str) -> String {
        format!("{}/{name}", self.0)
    }

    /// The path of a key, or with an empty name that of the folder.
    fn path<'a>(&'a self, name: &'a str) -> Vec<&'a str> {
        std::iter::once("kv").chain(self.0.split('/')).chain([name]).collect()
    }
}

// === impl Folder ===

impl Folder {
    /// Asks nothing yet.
    pub fn new(client: Client, prefix: Prefix) -> Self {
        Self { client, prefix }
    }

    /// Where it is.
    pub fn prefix(&self) -> &Prefix {
        &self.prefix
    }

    /// All keys, as a blocking query. [`Folder::entries`] reads the answer.
    ///
    /// # Errors
    ///
    /// Everything that is not a proper answer. 404 with an index is one.
    pub async fn list(&self, index: u64, wait: Duration, consistency: Consistency) -> Result<Found, Error> {
        let path = self.prefix.path("");
        let query = Query { path: &path, params: &[("recurse", "true")], index, wait, consistency };
        self.client.find(&query).await
    }

    /// What a list said.
    ///
    /// # Errors
    ///
    /// A body that is not such a list, whole and of this folder.
    pub fn entries(&self, found: &Found) -> Result<Vec<Entry>, Error> {
        if found.absent {
            return Ok(Vec::new());
        }
        let raw: Vec<Raw> = serde_json::from_slice(&found.answer.body).map_err(|e| Error::parsing(&e))?;
        raw.into_iter().map(|raw| self.entry(raw)).collect()
    }

    /// One key, from the leader.
    ///
    /// # Errors
    ///
    /// As for [`Folder::list`]; 403 for a token that may not read it.
    pub async fn read(&self, name: &str) -> Result<Reading, Error> {
        let path = self.path(name)?;
        let wait = Duration::ZERO;
        let query = Query { path: &path, params: &[], index: 0, wait, consistency: Consistency::Default };
        let found = self.client.find(&query).await?;
        let mut entries = self.entries(&found)?;
        if !found.absent && (entries.len() != 1 || entries[0].name != name) {
            return Err(Error::NotJson(format!("an answer that is not about `{name}`")));
        }
        Ok(Reading { index: found.answer.index, entry: entries.pop() })
    }

    /// Writes a key if its index is still `cas`; 0: if it does not exist. False: it is another.
    ///
    /// # Errors
    ///
    /// See [`uncertain`].
    pub async fn put(&self, name: &str, value: Vec<u8>, cas: u64) -> Result<bool, Error> {
        let path = self.path(name)?;
        self.client.change(Method::PUT, &path, &[("cas", &cas.to_string())], value).await
    }

    /// Deletes a key if its index is still `cas`. False: it is another. A key that does not exist
    /// counts as deleted.
    ///
    /// # Errors
    ///
    /// See [`uncertain`].
    pub async fn delete(&self, name: &str, cas: u64) -> Result<bool, Error> {
        // Consul refuses to compare with 0, and a key with that index does not exist.
        let path = self.path(name)?;
        self.client.change(Method::DELETE, &path, &[("cas", &cas.max(1).to_string())], Vec::new()).await
    }

    fn path<'a>(&'a self, name: &'a str) -> Result<Vec<&'a str>, Error> {
        // An empty name is the folder.
        if name.is_empty() {
            return Err(Error::Config("a key without a name cannot be asked for".to_owned()));
        }
        Ok(self.prefix.path(name))
    }

    fn entry(&self, raw: Raw) -> Result<Entry, Error> {
        let below = raw.key.strip_prefix(self.prefix.as_str()).and_then(|rest| rest.strip_prefix('/'));
        let Some(name) = below else {
            return Err(Error::NotJson(format!("the answer has a key of another folder, `{}`", raw.key)));
        };
        let value = STANDARD
            .decode(raw.value.unwrap_or_default())
            .map_err(|e| Error::NotJson(format!("the value of `{}` is not base64: {e}", raw.key)))?;
        Ok(Entry { name: name.to_owned(), value, modify_index: raw.modify_index })
    }
}

/// Whether a write that ended in this error may have happened all the same: it was sent, and what
/// came back, if anything, does not say.
pub fn uncertain(error: &Error) -> bool {
    match error {
        Error::Config(_) | Error::NoToken(_) | Error::Refused(_) | Error::Resolve(_) => false,
        Error::Status { code, .. } => *code >= 500,
        _ => true,
    }
}

#[cfg(test)]
mod tests;
