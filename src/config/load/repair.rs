//! Reads a tree into a type however many mistakes it holds, and tells each of them once.
//!
//! serde stops at the first mistake. So after each one its node is set aside ([`State`]) and the
//! whole tree is read again. This keeps the rules in one place, the types, at the price of one
//! reading a mistake; a file with more than [`MOST`] of them is not read to its end.
//!
//! A mistake that only follows from what was set aside is not told: a key missing because its value
//! was wrong, a choice empty because its key was misspelt.

use std::path::Path;

use serde::Deserialize;

use super::build::Flaw;
use super::de::De;
use super::mistake::{Error, Mistake};
use super::tree::{Entry, Mark, Node, Scalar, State, Step, Value};
use super::words;
use crate::config::planned;
use crate::config::problem::{Problem, closest};

/// So many problems are told at once. Beyond, the reader is better served by mending these first.
pub(crate) const MOST: usize = 100;

/// Reads the tree, adding a flaw for each mistake. None: nothing useful is left, or there were too
/// many.
pub(crate) fn read<T: for<'a> Deserialize<'a>>(
    root: &mut Node,
    base: &Path,
    flaws: &mut Vec<Flaw>,
) -> Option<T> {
    loop {
        match T::deserialize(De { node: root, base }) {
            Ok(value) => return Some(value),
            Err(_) if flaws.len() >= MOST => {
                flaws.push((
                    END,
                    Problem::new("", format!("and more; only the first {MOST} problems are told")),
                ));
                return None;
            }
            Err(error) => set_aside(root, error, flaws)?,
        }
        if !root.present() {
            return None;
        }
    }
}

/// Sorts behind every place in a file.
const END: Mark = Mark { line: u32::MAX, column: u32::MAX };

/// Tells a mistake, unless it follows from an earlier one, and puts something readable in its
/// place. Each call moves one node one state on or adds a missing key, so that the readings come to
/// an end.
fn set_aside(root: &mut Node, error: Error, flaws: &mut Vec<Flaw>) -> Option<()> {
    let Error { mistake, mut steps, key } = error;
    let last = if key { steps.first().copied() } else { None };
    if key {
        steps.remove(0);
    }
    let mut way = Way { path: String::new(), place: String::new(), at: root.at };
    let mut node = root;
    for position in steps.into_iter().rev() {
        way.enter(node, position);
        // A step that leads nowhere would be a bug of the deserializer; then nothing of the file
        // can be trusted.
        node = node.child_mut(position)?;
    }
    match last {
        Some(position) => wrong_key(node, position, &mistake, way, flaws),
        None => wrong_value(node, &mistake, way, flaws),
    }
    Some(())
}

/// The way to a node.
struct Way {
    path: String,
    /// The same with `[]` and `*` in place of positions and names, as [`planned`] has it.
    place: String,
    at: Mark,
}

impl Way {
    fn enter(&mut self, node: &Node, position: usize) {
        match &node.value {
            Value::Scalar(_) => {}
            Value::List(items) => {
                Step::Item(position).push_to(&mut self.path);
                self.place.push_str("[]");
                if let Some(item) = items.get(position) {
                    self.at = item.at;
                }
            }
            Value::Map(entries) => {
                let Some(entry) = entries.get(position) else { return };
                Step::Key(&entry.key).push_to(&mut self.path);
                let name = if self.place == "clusters" { "*" } else { entry.name() };
                Step::Key(name).push_to(&mut self.place);
                self.at = entry.place();
            }
        }
    }
}

fn wrong_value(node: &mut Node, mistake: &Mistake, way: Way, flaws: &mut Vec<Flaw>) {
    let follows = node.state != State::Sound
        || match mistake {
            Mistake::OneOf(_) => any_aside(node),
            Mistake::Missing(key) => entry(node, key).is_some(),
            _ => false,
        };
    if !follows {
        flaws.push((way.at, words::problem(way.path, mistake, node)));
    }
    match mistake {
        Mistake::Missing(key) if node.state == State::Sound && entry(node, key).is_none() => add(node, key),
        _ => advance(node),
    }
}

fn wrong_key(node: &mut Node, position: usize, mistake: &Mistake, way: Way, flaws: &mut Vec<Flaw>) {
    let Value::Map(entries) = &mut node.value else { return advance(node) };
    let taken: Vec<String> = entries.iter().map(|e| e.name().to_owned()).collect();
    let Some(entry) = entries.get_mut(position) else { return advance(node) };
    let mut path = way.path;
    Step::Key(&entry.key).push_to(&mut path);
    let Mistake::UnknownKey(known) = mistake else {
        flaws.push((entry.at, words::problem(path, mistake, &entry.value)));
        entry.value.state = State::Gone;
        return;
    };
    if let Some(row) = planned::find(&way.place, &entry.key) {
        let what = format!("`{}` is not served by this version yet", row.key);
        flaws.push((entry.at, Problem::new(path, what).hint(row.instead)));
        entry.value.state = State::Gone;
        return;
    }
    flaws.push((entry.at, words::unknown_key(path, &entry.key, known)));
    match closest(&entry.key, known.iter().copied()) {
        Some(guess) if entry.meant.is_none() && taken.iter().all(|t| t != guess) => {
            entry.meant = Some(guess.into());
        }
        _ => entry.value.state = State::Unknown,
    }
}

/// The next thing to try in place of a node.
fn advance(node: &mut Node) {
    node.state = match node.state {
        State::Sound => State::Text,
        State::Text => State::Map,
        State::Map | State::Gone | State::Unknown => State::Gone,
    };
}

/// Adds a key that is missing, with a text that stands in for its value.
fn add(node: &mut Node, key: &str) {
    let at = node.at;
    let Value::Map(entries) = &mut node.value else { return advance(node) };
    let scalar = Scalar { text: "".into(), plain: false, expanded: false };
    let mut value = Node::new(at, Value::Scalar(scalar));
    value.state = State::Text;
    entries.push(Entry { key: key.into(), at, value, meant: None });
}

fn entry<'a>(node: &'a Node, key: &str) -> Option<&'a Entry> {
    match &node.value {
        Value::Map(entries) => entries.iter().find(|e| e.name() == key),
        _ => None,
    }
}

/// Whether a key of this mapping was set aside.
fn any_aside(node: &Node) -> bool {
    matches!(&node.value, Value::Map(entries) if entries.iter().any(|e| !e.value.present()))
}
