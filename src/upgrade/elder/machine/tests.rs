use super::*;

const PATIENCE: Duration = Duration::from_secs(60);

fn claims() -> Vec<Claim> {
    vec![Claim { name: "listener `http`".into(), address: "127.0.0.1:80".parse().unwrap() }]
}

fn hello(pid: u32) -> Event {
    Event::Said(Asked::Hello(Peer { pid, ..Peer::ours() }))
}

fn ready() -> Event {
    Event::Said(Asked::Ready { claims: claims() })
}

fn serving() -> Event {
    Event::Said(Asked::Serving {})
}

/// The events of a hand-over that goes well.
fn well() -> Vec<Event> {
    vec![hello(7), ready(), Event::Frozen, serving(), Event::Late, Event::Sent]
}

/// A machine after so many events of those.
fn after(count: usize) -> Machine {
    let mut machine = Machine::new(7, PATIENCE);
    for event in well().into_iter().take(count) {
        machine.step(event);
    }
    machine
}

#[test]
fn a_hand_over_that_goes_well() {
    let mut machine = Machine::new(7, PATIENCE);
    let mut actions = Vec::new();
    for event in well() {
        assert!(!machine.over());
        actions.extend(machine.step(event));
    }
    assert_eq!(machine.state, State::Settled);
    let expected = [
        Action::Await(PATIENCE),
        Action::Welcome(Peer { pid: 7, ..Peer::ours() }),
        Action::Await(FREEZE),
        Action::Freeze,
        Action::Await(SERVING),
        Action::Hand(claims()),
        Action::Await(PROBATION),
        Action::Shut,
        Action::Await(SERVING),
        Action::Main,
        Action::Settle,
        Action::Release,
    ];
    assert_eq!(actions, expected);
}

/// What is undone, by how far it was, whatever went wrong.
#[test]
fn a_failure_undoes_what_was_done_and_no_more() {
    let undone: [&[Action]; 6] = [
        &[Action::Kill],
        &[Action::Kill],
        &[Action::Kill, Action::Thaw],
        &[Action::Kill, Action::Thaw],
        &[Action::Kill, Action::Open, Action::Thaw],
        &[Action::Kill, Action::OwnMain, Action::Open, Action::Thaw],
    ];
    let failures: [fn() -> Event; 4] = [
        || Event::Broken("it closed the channel".into()),
        || Event::Ended("it exited with status 1".into()),
        || Event::Said(Asked::Failed { why: "bad config".into() }),
        || Event::Said(Asked::Upgrade {}),
    ];
    for (count, expected) in undone.iter().enumerate() {
        for failure in failures {
            let mut machine = after(count);
            let actions = machine.step(failure());
            let (last, mut rest) = actions.split_last().unwrap();
            if let [Action::Refuse(_), more @ ..] = rest {
                assert!(count < 3, "one that has the sockets is killed at once");
                rest = more;
            }
            assert_eq!(rest, *expected, "after {count} steps");
            assert!(matches!(last, Action::Fail(_)));
            assert_eq!(machine.state, State::Failed);
            assert!(machine.step(Event::Late).is_empty() && machine.step(serving()).is_empty());
        }
    }
}

#[test]
fn each_step_has_its_time() {
    for (count, why) in [
        (0, "it said nothing for 10 s; is it a Tidegate?"),
        (1, "it was not ready after 60 s, which is `server.upgrade_timeout`"),
        (2, "the state of this process was not on disk after 10 s"),
        (3, "it did not serve 10 s after it had the sockets"),
    ] {
        let actions = after(count).step(Event::Late);
        assert_eq!(actions.last(), Some(&Action::Fail(why.into())));
    }
}

#[test]
fn a_word_out_of_turn_ends_it() {
    let turn = [hello, |_| ready(), |_| serving()];
    // How many events make it due.
    let due = [0, 1, 3];
    for (word, due) in turn.iter().zip(due) {
        for count in 0..6 {
            let mut machine = after(count);
            machine.step(word(7));
            let failed = machine.state == State::Failed;
            assert_eq!(failed, count != due, "{due} at {count}");
        }
    }
}

#[test]
fn another_process_than_the_one_that_was_started_is_refused() {
    let actions = after(0).step(hello(8));
    let Some(Action::Fail(why)) = actions.last() else { panic!("{actions:?}") };
    assert!(why.starts_with("process 7 was started, and 8 spoke"), "{why}");
    let other = Peer { protocol: 99, version: "9.0.0".into(), pid: 7 };
    let actions = after(0).step(Event::Said(Asked::Hello(other)));
    let Some(Action::Fail(why)) = actions.last() else { panic!("{actions:?}") };
    assert!(why.contains("(9.0.0) speaks version 99"), "{why}");
}

#[test]
fn a_stop_ends_the_heir_too() {
    for count in 0..6 {
        let mut machine = after(count);
        assert_eq!(machine.step(Event::Stop { now: false }), [Action::Terminate]);
        assert!(machine.over());
        assert_eq!(after(count).step(Event::Stop { now: true }), [Action::Kill]);
    }
    assert!(after(6).step(Event::Stop { now: false }).is_empty(), "an heir that is main is none of ours");
}

/// It was stopped (SIGSTOP), say, until the heir would wait no longer.
#[test]
fn an_elder_that_wakes_believes_an_heir_that_went_on() {
    let mut machine = after(4);
    assert_eq!(machine.state, State::Probation);
    assert_eq!(machine.step(Event::Said(Asked::Main {})), [Action::Main, Action::Release]);
    assert_eq!(machine.state, State::Settled);
    for count in 0..4 {
        let mut machine = after(count);
        machine.step(Event::Said(Asked::Main {}));
        assert_eq!(machine.state, State::Failed, "{count}");
    }
}
