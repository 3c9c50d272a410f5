//! What is to be done about the difference between what the config says and what the agent has.
//!
//! Pure, and one step at a time: after each the agent is looked at anew, so a step that had another
//! effect than was thought is seen. Values that only the agent adds are not compared, nor is whatever
//! has to do with health: maintenance and the status of checks are other people's words.

use crate::consul::agent::{Seen, Service};

/// The next step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Nothing,
    Register(Why),
    /// A check of ours that the config has not any more. Registering does not remove it.
    DropCheck(String),
}

/// Why something has to be registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// There is no such ID.
    Missing,
    /// Something is not as the config says: what.
    Differs(&'static str),
}

/// The next step towards `wanted`.
pub(super) fn decide(wanted: &Service, seen: Option<&Seen>) -> Action {
    let Some(seen) = seen else { return Action::Register(Why::Missing) };
    if let Some(what) = difference(wanted, seen) {
        return Action::Register(Why::Differs(what));
    }
    let ours = |id: &str| ["ttl", "http"].iter().any(|kind| *id == format!("{}-{kind}", wanted.id));
    match seen.checks.iter().find(|check| ours(&check.id) && check.id != wanted.check.id) {
        Some(old) => Action::DropCheck(old.id.clone()),
        None => Action::Nothing,
    }
}

/// Whether the entry is what this process registered, whatever tags an operator has given it. One
/// that says otherwise is another process's and not ours to remove.
pub(super) fn ours(registered: &Service, seen: &Seen) -> bool {
    seen.name == registered.name
        && seen.address == registered.address
        && seen.port == u32::from(registered.port)
}

fn difference(wanted: &Service, seen: &Seen) -> Option<&'static str> {
    let check = seen.checks.iter().find(|check| check.id == wanted.check.id);
    [
        ("name", seen.name == wanted.name),
        ("address", seen.address == wanted.address),
        ("port", seen.port == u32::from(wanted.port)),
        ("tags", seen.tags == wanted.tags),
        ("meta", seen.meta == wanted.meta),
        ("check", check.is_some_and(|check| check.notes == wanted.check.notes)),
    ]
    .into_iter()
    .find_map(|(what, same)| (!same).then_some(what))
}
