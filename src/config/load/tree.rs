//! A YAML text as a tree in which every node knows where it stands.
//!
//! serde throws places away, and stops at the first mistake. So the text is read into this tree
//! first, and serde reads the tree ([`de`](super::de)); a mistake then leads back to its node,
//! which is set aside so that reading can go on ([`repair`](super::repair)). What that costs is one
//! more copy of the config in memory while it is loaded.

use std::fmt::Write as _;
use std::sync::Arc;

/// A place in the text, counted from 1. The column counts characters, not bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Mark {
    pub(crate) line: u32,
    pub(crate) column: u32,
}

/// A value and its place.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) at: Mark,
    pub(crate) value: Value,
    pub(crate) state: State,
}

#[derive(Clone, Debug)]
pub(crate) enum Value {
    Scalar(Scalar),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

#[derive(Clone, Debug)]
pub(crate) struct Scalar {
    pub(crate) text: Arc<str>,
    /// Written without quotes, so that `5` is a number and `true` a truth value.
    pub(crate) plain: bool,
    /// Holds a value from the environment, which has no quotes to say what it is: it fits text and
    /// number alike.
    pub(crate) expanded: bool,
}

/// A key of a mapping and its value.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) key: Arc<str>,
    pub(crate) at: Mark,
    pub(crate) value: Node,
    /// The key that a misspelt one was taken for.
    pub(crate) meant: Option<Arc<str>>,
}

/// What serde is shown for a node. A wrong value goes down this list one step at a time, until
/// something can be read in its place; so the rest of its surroundings is still checked, and
/// nothing is said twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// The value itself.
    Sound,
    /// A text in its place.
    Text,
    /// An empty mapping in its place.
    Map,
    /// Nothing: it is left out.
    Gone,
    /// Left out too, but its absence explains no other mistake: a key that no one knows.
    Unknown,
}

/// What a config path led to.
#[derive(Debug)]
pub(crate) struct Found {
    /// The path as the file has it: nodes that were set aside are counted again, misspelt keys are
    /// as written.
    pub(crate) path: String,
    /// The place of the node, or of the nearest one above.
    pub(crate) at: Mark,
    /// Whether a problem here may only follow from one that is already told.
    pub(crate) follows: bool,
}

// === impl Mark ===

impl Mark {
    pub(crate) const START: Self = Self { line: 1, column: 1 };
}

// === impl Node ===

impl Node {
    pub(crate) fn new(at: Mark, value: Value) -> Self {
        Self { at, value, state: State::Sound }
    }

    /// Whether serde sees anything of it.
    pub(crate) fn present(&self) -> bool {
        !matches!(self.state, State::Gone | State::Unknown)
    }

    /// The child at a position, as steps of an error count it.
    pub(crate) fn child_mut(&mut self, position: usize) -> Option<&mut Self> {
        match &mut self.value {
            Value::Scalar(_) => None,
            Value::List(items) => items.get_mut(position),
            Value::Map(entries) => entries.get_mut(position).map(|e| &mut e.value),
        }
    }

    /// Whether something that was here had to be left out, so that a lack may follow from it.
    pub(crate) fn lost_something(&self) -> bool {
        match &self.value {
            Value::Scalar(_) => false,
            Value::List(items) => items.iter().any(|n| n.state == State::Gone),
            Value::Map(entries) => entries.iter().any(|e| e.value.state == State::Gone),
        }
    }

    /// Nodes and, roughly, text: what a copy of this node costs.
    pub(crate) fn weight(&self) -> usize {
        match &self.value {
            Value::Scalar(scalar) => 1 + scalar.text.len() / 16,
            Value::List(items) => 1 + items.iter().map(Self::weight).sum::<usize>(),
            Value::Map(entries) => 1 + entries.iter().map(|e| 1 + e.value.weight()).sum::<usize>(),
        }
    }

    /// How many levels of lists and mappings it holds.
    pub(crate) fn depth(&self) -> usize {
        match &self.value {
            Value::Scalar(_) => 0,
            Value::List(items) => 1 + items.iter().map(Self::depth).max().unwrap_or(0),
            Value::Map(entries) => 1 + entries.iter().map(|e| e.value.depth()).max().unwrap_or(0),
        }
    }

    /// Follows a config path, as `routes[2].match.headers[0]`, as far as the file has it.
    pub(crate) fn find(&self, path: &str) -> Found {
        let mut found = Found { path: String::new(), at: self.at, follows: self.state != State::Sound };
        let mut node = self;
        let mut rest = path;
        while !rest.is_empty() {
            let Some((next, at, step, after)) = node.step(rest) else { break };
            found.at = at;
            step.push_to(&mut found.path);
            found.follows |= next.state != State::Sound;
            (node, rest) = (next, after);
        }
        if rest.is_empty() {
            found.follows |= node.lost_something();
        } else {
            found.follows |= node.lost(rest);
            if !found.path.is_empty() && !rest.starts_with(['.', '[']) {
                found.path.push('.');
            }
            found.path.push_str(rest);
        }
        found
    }

    /// One step down a path: the child, its place, its name in the file, and what is left of the
    /// path.
    fn step<'a, 'p>(&'a self, path: &'p str) -> Option<(&'a Self, Mark, Step<'a>, &'p str)> {
        match &self.value {
            Value::Scalar(_) => None,
            Value::List(items) => {
                let (number, after) = path.strip_prefix('[')?.split_once(']')?;
                let wanted: usize = number.parse().ok()?;
                let (position, node) = items.iter().enumerate().filter(|(_, n)| n.present()).nth(wanted)?;
                Some((node, node.at, Step::Item(position), after.strip_prefix('.').unwrap_or(after)))
            }
            Value::Map(entries) => {
                // A name may itself hold dots, so the longest key that fits is the one.
                let fits = |e: &&Entry| e.value.present() && leads(path, e.name()).is_some();
                let entry = entries.iter().filter(fits).max_by_key(|e| e.name().len())?;
                let after = leads(path, entry.name())?;
                Some((&entry.value, entry.place(), Step::Key(&entry.key), after))
            }
        }
    }

    /// Whether the first key of a path was here and had to be left out.
    fn lost(&self, path: &str) -> bool {
        let Value::Map(entries) = &self.value else { return false };
        entries.iter().any(|e| !e.value.present() && leads(path, e.name()).is_some())
    }
}

// === impl Entry ===

impl Entry {
    /// The key that serde is shown.
    pub(crate) fn name(&self) -> &str {
        self.meant.as_deref().unwrap_or(&self.key)
    }

    /// Where to point for the value: at it, or at its key if it only starts on a later line.
    pub(crate) fn place(&self) -> Mark {
        if self.value.at.line == self.at.line { self.value.at } else { self.at }
    }
}

// === paths ===

/// One step of a path as it is written.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step<'a> {
    Key(&'a str),
    Item(usize),
}

impl Step<'_> {
    pub(crate) fn push_to(self, path: &mut String) {
        match self {
            Step::Key(key) => {
                if !path.is_empty() {
                    path.push('.');
                }
                path.push_str(key);
            }
            Step::Item(index) => {
                // Writing to a String cannot fail.
                let _ = write!(path, "[{index}]");
            }
        }
    }
}

/// What follows `key` at the start of `path`, if it stands there as a whole.
fn leads<'p>(path: &'p str, key: &str) -> Option<&'p str> {
    let after = path.strip_prefix(key)?;
    match after.bytes().next() {
        None | Some(b'[') => Some(after),
        Some(b'.') => Some(&after[1..]),
        Some(_) => None,
    }
}
