//! What serde says is wrong, kept apart from how it is told.
//!
//! serde's errors are texts for programmers ("invalid type: integer `5`, expected struct Match").
//! Here they are caught as values, with the way to the node, and [`words`](super::words) says them
//! in the terms of the config file.

use std::fmt;

use serde::de::{self, Expected, Unexpected};

/// A mistake and where it was made.
#[derive(Debug)]
pub(crate) struct Error {
    pub(crate) mistake: Mistake,
    /// Positions in lists and mappings, the innermost first.
    pub(crate) steps: Vec<usize>,
    /// It is the key at the end of the way that is wrong, not its value.
    pub(crate) key: bool,
}

#[derive(Debug)]
pub(crate) enum Mistake {
    /// A value of the wrong type or out of range. What was found, the node tells.
    Type { wanted: String },
    /// A key that must be there.
    Missing(&'static str),
    /// A key that no one knows, among those that are known.
    UnknownKey(&'static [&'static str]),
    /// A mapping that must hold exactly one of these keys.
    OneOf(&'static [&'static str]),
    /// A value that must be one of these words, or a mapping with one of them as its key.
    Choice { name: &'static str, variants: &'static [&'static str] },
    /// A word that needs a value: `header` in place of `{ header: x-user }`.
    Bare,
    /// A word that takes no value.
    Valueless,
    /// What a value's own parser says.
    Custom(String),
}

// === impl Error ===

impl Error {
    pub(crate) fn new(mistake: Mistake) -> Self {
        Self { mistake, steps: Vec::new(), key: false }
    }

    /// Notes that the mistake is inside the child at a position.
    pub(crate) fn within(mut self, position: usize) -> Self {
        self.steps.push(position);
        self
    }

    /// Notes that the mistake is the key at a position.
    pub(crate) fn at_key(mut self, position: usize) -> Self {
        self.steps.push(position);
        self.key = true;
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.mistake)
    }
}

impl std::error::Error for Error {}

impl de::Error for Error {
    fn custom<T: fmt::Display>(text: T) -> Self {
        Self::new(Mistake::Custom(text.to_string()))
    }

    fn invalid_type(_: Unexpected<'_>, wanted: &dyn Expected) -> Self {
        Self::new(Mistake::Type { wanted: wanted.to_string() })
    }

    fn invalid_value(_: Unexpected<'_>, wanted: &dyn Expected) -> Self {
        Self::new(Mistake::Type { wanted: wanted.to_string() })
    }

    fn unknown_field(_: &str, known: &'static [&'static str]) -> Self {
        Self::new(Mistake::UnknownKey(known))
    }

    fn unknown_variant(_: &str, known: &'static [&'static str]) -> Self {
        Self::new(Mistake::UnknownKey(known))
    }

    fn missing_field(key: &'static str) -> Self {
        Self::new(Mistake::Missing(key))
    }
}
