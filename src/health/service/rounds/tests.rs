use super::*;

fn rounds(ids: impl IntoIterator<Item = Id>) -> (Rounds, Name) {
    let web: Name = "web".parse().unwrap();
    let round = Round { waiting: ids.into_iter().collect(), ..Round::default() };
    (Rounds { seen: HashSet::from([web.clone()]), open: HashMap::from([(web.clone(), round)]) }, web)
}

fn address(port: u16) -> SocketAddr {
    ([10, 0, 0, 1], port).into()
}

#[test]
fn each_is_part_of_the_round_once() {
    let (mut rounds, web) = rounds([1, 2]);
    assert!(rounds.take((&web, 1), (address(1), Checked::Up), None));
    assert!(!rounds.take((&web, 1), (address(1), Checked::Down), Some("x")), "a transition after it");
    assert!(!rounds.take((&web, 7), (address(7), Checked::Up), None), "joined later");
    assert!(!rounds.take((&"api".parse().unwrap(), 2), (address(2), Checked::Up), None));
    assert!(rounds.take((&web, 2), (address(2), Checked::Down), Some("refused")));
    assert!(rounds.open.is_empty() && !rounds.take((&web, 2), (address(2), Checked::Up), None), "over");
}

#[test]
fn some_of_those_that_are_down_are_named() {
    let (mut rounds, web) = rounds(0..100);
    for id in 0..99 {
        let checked = if id % 2 == 0 { Checked::Up } else { Checked::Down };
        rounds.take((&web, id), (address(u16::try_from(id).unwrap()), checked), Some("refused"));
    }
    let round = &rounds.open[&web];
    assert_eq!((round.up, round.down), (50, 49));
    assert_eq!(
        round.why().unwrap(),
        "10.0.0.1:1: refused; 10.0.0.1:3: refused; 10.0.0.1:5: refused; and 46 more"
    );
    assert_eq!(Round::default().why(), None);
}
