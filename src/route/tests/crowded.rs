//! Long lists on one path against the naive router: what the usual tables of `reference` are too short
//! for.

use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::reference::{Spec, VALUES, ask, compile, config, naive, value_match, view};
use crate::config::live::{Match, PathMatch, ValueMatch};
use crate::route::RequestView;
use crate::route::list::FEW;

fn exact(name: &'static str, value: &'static str) -> ValueMatch {
    let exact = Some(value.into());
    ValueMatch { name: name.into(), exact, prefix: None, regex: None, present: None, invert: false }
}

/// Routes that mostly differ in a header or two.
fn crowd() -> impl Strategy<Value = Vec<Spec>> {
    let one_header =
        (select(&["x-a", "x-b"][..]), select(&VALUES[..])).prop_map(|(name, value)| exact(name, value));
    let header = prop_oneof![4 => one_header, 1 => value_match(&["x-a", "x-b"])];
    let one_query =
        (select(&["q", "r s"][..]), select(&VALUES[..])).prop_map(|(name, value)| exact(name, value));
    let headers = prop::collection::vec(header, 0..4);
    let query = prop::collection::vec(one_query, 0..2);
    let path = prop_oneof![
        4 => Just(None),
        1 => Just(Some(PathMatch::Prefix("/a".into()))),
        1 => Just(Some(PathMatch::Exact("/a".into()))),
    ];
    let methods = subsequence(vec!["GET", "POST"], 0..2);
    let one = (path, methods, headers, query);
    prop::collection::vec(one, FEW..4 * FEW).prop_map(|routes| {
        let named = |(i, (path, methods, headers, query)): (usize, (_, Vec<&str>, _, _))| Spec {
            name: format!("r{:03}", (i * 37) % 101).parse().unwrap(),
            priority: 0,
            conditions: Match {
                path,
                methods: methods.into_iter().map(str::to_owned).collect(),
                headers,
                query,
                ..Match::default()
            },
        };
        routes.into_iter().enumerate().map(named).collect()
    })
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn what_is_sorted_out_is_found(specs in crowd(), asks in prop::collection::vec(ask(), 1..30)) {
        let router = compile(&specs);
        let shadowed = router.shadowed();
        for ask in &asks {
            let (entries, winner) = naive(&specs, ask);
            let found = view(ask, |request: &RequestView<'_>| router.find(request));
            prop_assert_eq!(found, winner.map(|place| entries[place].0), "{:?}", ask);
            prop_assert!(shadowed.iter().all(|(loser, _)| Some(*loser) != found), "{:?} {:?}", shadowed, ask);
        }
    }
}
