use std::future::pending;
use std::io::{BufRead, BufReader, Write};
use std::thread;

use super::*;

/// Answers the first words of an heir with these lines.
fn elder(lines: &'static [&'static str]) -> Result<Heir, HeirError> {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let elder = thread::spawn(move || {
        let mut reader = BufReader::new(ours.try_clone().unwrap());
        let mut hello = String::new();
        reader.read_line(&mut hello).unwrap();
        assert!(hello.starts_with(r#"{"hello":{"protocol":1,"#), "{hello}");
        for line in lines {
            writeln!(&ours, "{line}").unwrap();
        }
    });
    let met = Heir::meet(theirs);
    elder.join().unwrap();
    met
}

#[test]
fn it_is_welcome_or_hears_why_not() {
    let met = elder(&[r#"{"welcome":{"protocol":1,"version":"0.9.0","pid":7,"new":1}}"#]).unwrap();
    assert_eq!((met.elder.pid, met.elder.version.as_str()), (7, "0.9.0"));
    for (line, why) in [
        (
            r#"{"refused":{"why":"an upgrade is under way"}}"#,
            "the old process refuses: an upgrade is under way",
        ),
        (r#"{"welcome":{"protocol":2,"version":"9","pid":7}}"#, "the old process (9) speaks version 2 "),
        (r#"{"settled":{}}"#, "the old process sent `settled` out of turn"),
        ("HTTP/1.1 400 Bad Request", "the old process is not to be understood: it sent what is no message"),
    ] {
        let error = elder(Box::leak(Box::new([line]))).unwrap_err().to_string();
        assert!(error.starts_with(why), "{error}");
    }
    let error = elder(&[]).unwrap_err().to_string();
    assert_eq!(error, "the old process is not to be understood: it closed the channel");
}

#[test]
fn nobody_to_take_over_from_is_said_with_a_hint() {
    let error = connect(Path::new("/nowhere/upgrade.sock")).unwrap_err().to_string();
    assert!(error.starts_with("nobody answers at /nowhere/upgrade.sock, "), "{error}");
    assert!(error.ends_with("start without --upgrade if none runs"), "{error}");
}

/// A channel to an heir in this runtime, and the elder's end of it.
fn taking_over() -> (TakingOver, Channel) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    (TakingOver(Channel::new(theirs, MAX_TOLD, true).unwrap()), Channel::new(ours, 1000, false).unwrap())
}

#[tokio::test]
async fn sockets_that_are_named_and_not_there_are_missed() {
    let (mut heir, mut elder) = taking_over();
    let held = vec!["127.0.0.1:80".parse().unwrap()];
    elder.send(&Told::Sockets { heritage: Box::default(), held, lent: Vec::new() }).await.unwrap();
    let error = heir.ready(&[]).await.unwrap_err().to_string();
    assert_eq!(error, "the old process sent 0 sockets and named 1");
}

#[tokio::test]
async fn an_elder_that_dies_when_we_have_all_leaves_us_main() {
    let (mut heir, mut elder) = taking_over();
    elder.send(&Told::Settled {}).await.unwrap();
    assert_eq!(heir.serving(pending()).await.unwrap(), Word::Settled);
    let (mut heir, elder) = taking_over();
    drop(elder);
    assert_eq!(heir.serving(pending()).await.unwrap(), Word::Gone);
    heir.elder_ended().await;
    let (mut heir, elder) = taking_over();
    drop(elder);
    assert!(heir.ready(&[]).await.is_err(), "before it has the sockets, it has nothing");
}

#[tokio::test(start_paused = true)]
async fn an_elder_that_hangs_is_not_waited_for_before_we_have_the_sockets() {
    let (mut heir, _elder) = taking_over();
    let error = heir.ready(&[]).await.unwrap_err().to_string();
    assert_eq!(error, "the old process said nothing for 20 s");
}

#[tokio::test(start_paused = true)]
async fn an_elder_that_hangs_when_we_serve_is_waited_for_and_told_that_we_go_on() {
    let (mut heir, mut elder) = taking_over();
    assert_eq!(heir.serving(pending()).await.unwrap(), Word::Silent);
    assert_eq!(elder.receive::<Asked>().await.unwrap(), Asked::Serving {});
    assert_eq!(elder.receive::<Asked>().await.unwrap(), Asked::Main {});
}

#[tokio::test]
async fn who_is_told_to_stop_says_so_unless_the_elder_stops_too() {
    let (mut heir, mut elder) = taking_over();
    let elder = tokio::spawn(async move {
        assert_eq!(elder.receive::<Asked>().await.unwrap(), Asked::Serving {});
        let Asked::Failed { why } = elder.receive().await.unwrap() else { panic!("it says nothing") };
        why
    });
    assert_eq!(heir.serving(async {}).await.unwrap(), Word::Gone);
    assert_eq!(elder.await.unwrap(), "it was told to stop");
    let (mut heir, elder) = taking_over();
    drop(elder);
    assert_eq!(heir.serving(async {}).await.unwrap(), Word::Gone);
}
