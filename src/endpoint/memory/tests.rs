//! A state, told and recalled.

use std::collections::HashSet;

use proptest::prelude::*;

use super::*;
use crate::config::Name;
use crate::endpoint::{Endpoint, Member, Registry, Roster};

fn now() -> std::time::Instant {
    tokio::time::Instant::now().into_std()
}

fn states() -> impl Strategy<Value = Memory> {
    let checked = prop::sample::select(vec![Checked::Unknown, Checked::Up, Checked::Down]);
    let standing =
        prop::sample::select(vec![Standing::In, Standing::Ejected, Standing::Returning, Standing::Trying]);
    let left = 0..400_000u64;
    (checked, standing, 0..9u32, 0..9u32, left, 10..=100u8).prop_map(
        |(checked, standing, streak, times, left, share)| Memory {
            checked,
            standing,
            streak,
            // Whoever is not in has been ejected at least once.
            times: times.max(u32::from(standing != Standing::In)),
            left: if standing == Standing::Ejected { left } else { 0 },
            held_back: 100 - share,
            ejections: times,
            since: left,
            reason: Reason::SuccessRate,
            failure: Failure::Late,
        },
    )
}

fn available(state: &std::sync::Arc<State>) -> Vec<bool> {
    let registry = [Registry::Passing, Registry::Warning, Registry::Critical, Registry::Maintenance];
    let all = registry.into_iter().flat_map(|registry| [true, false].map(|probed| (registry, probed)));
    let endpoint = |(registry, probed)| {
        let (address, labels) = (([127, 0, 0, 1], 1).into(), Default::default());
        let member = Member { address, weight: 1, registry, labels };
        Endpoint { member, state: state.clone(), probed }.available()
    };
    all.map(endpoint).collect()
}

proptest! {
    /// Told over two processes, every endpoint is available or not as it was, and what is told of it
    /// is the same but for a trial, which is to be made anew.
    #[test]
    fn every_endpoint_is_as_available_as_it_was(memories in prop::collection::vec(states(), 1..20)) {
        let web: Name = "web".parse().unwrap();
        let address = |index: usize| SocketAddr::from(([127, 0, 0, 1], u16::try_from(index).unwrap()));
        let mut elder = Roster::default();
        for (index, memory) in memories.iter().enumerate() {
            memory.recall(&elder.state(&web, address(index)), true);
        }
        elder.pool(&web).set_saved(77);
        let told = serde_json::to_string(&elder.remember()).unwrap();
        let told: Memories = serde_json::from_str(&told).unwrap();
        let mut heir = Roster::default();
        heir.recall(&told, |_| true, now());
        for index in 0..memories.len() {
            let (old, new) = (elder.state(&web, address(index)), heir.state(&web, address(index)));
            prop_assert_eq!(available(&old), available(&new));
            prop_assert_eq!(Memory::of(&old), Memory::of(&new));
            prop_assert!(!heir.joins(&web, address(index)));
        }
        let out = memories.iter().filter(|memory| memory.standing != Standing::In).count();
        prop_assert_eq!(heir.pool(&web).ejected() as usize, out);
        prop_assert_eq!(heir.pool(&web).saved(), 77);
        heir.recall(&told, |_| true, now());
        prop_assert_eq!(heir.pool(&web).ejected() as usize, out, "told twice is counted once");
    }

    #[test]
    fn hostile_figures_do_no_harm(
        times: u32, left: u64, held_back: u8, streak: u32, since: u64, word in "[a-z]{0,9}",
    ) {
        let text = serde_json::json!({
            "standing": "ejected", "times": times, "left": left, "held_back": held_back,
            "streak": streak, "since": since, "checked": word, "reason": {}, "new": null,
        });
        let memory: Memory = serde_json::from_value(text).unwrap();
        let state = State::default();
        memory.recall(&state, true);
        prop_assert!(state.share() >= slow_start::LEAST);
        prop_assert_eq!(state.standing(), Standing::Ejected);
        prop_assert!(state.sentence.take().is_some_and(|(_, times, _)| times <= MOST_TIMES));
    }
}

#[test]
fn where_nobody_follows_ejections_none_is_recalled() {
    let memory =
        Memory { standing: Standing::Ejected, checked: Checked::Down, times: 2, ..Memory::default() };
    let state = State::default();
    memory.recall(&state, false);
    assert_eq!((state.standing(), state.checked()), (Standing::In, Checked::Down));
    state.set_checked(Checked::Up);
    memory.recall(&state, false);
    assert_eq!(state.checked(), Checked::Up, "its own probe has said so");
}

#[test]
fn what_no_snapshot_names_is_forgotten_by_and_by() {
    let web: Name = "web".parse().unwrap();
    let endpoints = [(([127, 0, 0, 1], 1).into(), Memory::default())].into();
    let told = [(web, ClusterMemory { saved: 1, endpoints })].into();
    let (mut heir, begin) = (Roster::default(), now());
    heir.recall(&told, |_| true, begin);
    heir.sweep(&HashSet::new(), begin + crate::endpoint::roster::KEEP / 2);
    assert_eq!(heir.len(), 1);
    heir.sweep(&HashSet::new(), begin + crate::endpoint::roster::KEEP);
    assert!(heir.is_empty());
}
