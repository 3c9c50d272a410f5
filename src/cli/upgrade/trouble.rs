//! What goes wrong, as a person reads it: what, who serves now, and what to do.

use std::fmt;

/// Why there is no new process in charge, or none that is known of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Trouble {
    pub(super) what: String,
    /// Who serves, as far as that is known.
    pub(super) now: Option<String>,
    pub(super) hint: Option<String>,
}

// === impl Trouble ===

impl Trouble {
    pub(super) fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), now: None, hint: None }
    }

    pub(super) fn now(mut self, now: impl Into<String>) -> Self {
        self.now = Some(now.into());
        self
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        if let Some(now) = &self.now {
            write!(f, "\n  {now}")?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "\n  hint: {hint}")?;
        }
        Ok(())
    }
}
