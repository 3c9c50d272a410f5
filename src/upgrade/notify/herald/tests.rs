use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn facts(status: &str) -> Facts {
    Facts { main: true, open: true, grace: 30 * SECOND, status: status.into(), ..Facts::default() }
}

fn status(text: &str) -> Word {
    Word::Status(text.into())
}

/// Everything that is told now.
fn all(herald: &mut Herald, now: Instant, facts: &Facts) -> Vec<Vec<Word>> {
    std::iter::from_fn(|| herald.next(now, facts)).take(10).collect()
}

#[tokio::test]
async fn ready_is_told_once_and_status_when_it_changes() {
    let (mut herald, begin) = (Herald::new(), Instant::now());
    let waits = Facts { open: false, ..facts("waiting") };
    assert_eq!(all(&mut herald, begin, &waits), [[status("waiting")]]);
    assert_eq!(all(&mut herald, begin + SECOND, &facts("one")), [[Word::Ready, status("one")]]);
    assert!(all(&mut herald, begin + 2 * SECOND, &facts("two")).is_empty(), "too soon");
    assert_eq!(all(&mut herald, begin + 3 * SECOND, &facts("two")), [[status("two")]]);
    assert!(all(&mut herald, begin + 60 * SECOND, &facts("two")).is_empty(), "nothing is new");
}

#[tokio::test]
async fn a_reload_begins_and_ends_however_short_it_was() {
    let (mut herald, now) = (Herald::new(), Instant::now());
    // One that came before the sockets were open is over with the start.
    all(&mut herald, now, &Facts { reloads: 1, ..facts("one") });
    let begun = Facts { reloads: 2, reloading: true, ..facts("one") };
    assert_eq!(all(&mut herald, now, &begun), [[Word::Reloading]]);
    assert!(all(&mut herald, now, &begun).is_empty());
    let ended = Facts { reloads: 2, ..facts("refused") };
    assert_eq!(all(&mut herald, now, &ended), [[Word::Ready, status("refused")]]);
    let unseen = Facts { reloads: 3, ..facts("two") };
    assert_eq!(all(&mut herald, now, &unseen), [vec![Word::Reloading], vec![Word::Ready, status("two")]]);
}

#[tokio::test]
async fn a_draining_process_asks_for_time_until_its_grace_is_over() {
    let (mut herald, begin) = (Herald::new(), Instant::now());
    all(&mut herald, begin, &facts("one"));
    let draining = Facts { draining: true, ..facts("draining: 2") };
    let first = all(&mut herald, begin, &draining);
    assert_eq!(first, [[Word::Stopping, status("draining: 2"), Word::Extend(MORE)]]);
    assert!(all(&mut herald, begin + SECOND, &draining).is_empty());
    let fewer = Facts { status: "draining: 1".into(), ..draining };
    assert_eq!(all(&mut herald, begin + 2 * SECOND, &fewer), [[status("draining: 1"), Word::Extend(MORE)]]);
    assert_eq!(all(&mut herald, begin + 30 * SECOND, &fewer), [[Word::Extend(MORE)]]);
    assert!(all(&mut herald, begin + 36 * SECOND, &fewer).is_empty(), "it hangs");
}

#[tokio::test]
async fn only_the_main_process_speaks() {
    let (mut herald, now) = (Herald::new(), Instant::now());
    let heir = Facts { main: false, ..facts("one") };
    assert!(all(&mut herald, now, &heir).is_empty());
    assert_eq!(all(&mut herald, now, &facts("one")), [[Word::Ready, status("one")]]);
    assert!(all(&mut herald, now, &Facts { draining: true, ..heir }).is_empty(), "an elder that drains");
}
