//! The deadlines by a stopped clock, and what is noted.

use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::time::sleep;

use super::*;

fn tap() -> (Tap, tokio::io::DuplexStream, Arc<Note>) {
    let (near, far) = duplex(1024);
    let note = Arc::new(Note::new());
    (Tap::new(Box::new(near), note.clone()), far, note)
}

#[tokio::test(start_paused = true)]
async fn a_header_has_a_deadline_from_its_first_byte() {
    let (mut tap, mut far, note) = tap();
    far.write_all(b"GET / HT").await.unwrap();
    let mut buffer = [0; 64];
    assert_eq!(tap.read(&mut buffer).await.unwrap(), 8);
    let trickle = tokio::spawn(async move {
        loop {
            sleep(Duration::from_secs(3)).await;
            if far.write_all(b"x").await.is_err() {
                return;
            }
        }
    });
    let start = Instant::now();
    let error = loop {
        match tap.read(&mut buffer).await {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
    assert!(start.elapsed() <= HEADER_DEADLINE + Duration::from_secs(1), "{:?}", start.elapsed());
    assert_eq!(note.ending(), Some(Ending::TimedOut));
    trickle.abort();
}

#[tokio::test(start_paused = true)]
async fn a_body_has_none() {
    let (mut tap, mut far, note) = tap();
    far.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let mut buffer = [0; 64];
    assert!(tap.read(&mut buffer).await.unwrap() > 0);
    note.accepted.store(true, Relaxed);
    let wait = tokio::time::timeout(Duration::from_secs(3600), tap.read(&mut buffer));
    assert!(wait.await.is_err(), "still waiting after an hour");
    assert_eq!(note.ending(), None);
}

#[tokio::test]
async fn an_answer_before_a_request_is_noted() {
    let (mut tap, mut far, note) = tap();
    assert_eq!(note.ending(), Some(Ending::Idle));
    far.write_all(b"nonsense\r\n\r\n").await.unwrap();
    let mut buffer = [0; 64];
    assert!(tap.read(&mut buffer).await.unwrap() > 0);
    assert_eq!(note.ending(), Some(Ending::Broken));
    tap.write_all(b"HTTP/1.1 400 Bad Request\r\n").await.unwrap();
    assert_eq!(note.ending(), Some(Ending::Refused(400)));
    note.reset();
    assert_eq!(note.ending(), Some(Ending::Idle));
}

#[tokio::test(start_paused = true)]
async fn an_answer_has_a_deadline_if_it_is_told() {
    let (mut tap, mut far, note) = tap();
    far.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let mut buffer = [0; 64];
    assert!(tap.read(&mut buffer).await.unwrap() > 0);
    note.accepted.store(true, Relaxed);
    note.cut.store(2_000_000, Relaxed);
    let start = Instant::now();
    let waiting = tokio::time::timeout(Duration::from_secs(1), tap.read(&mut buffer));
    assert!(waiting.await.is_err());
    // Moved while a read waits: the next poll goes by the new one.
    note.cut.store(5_000_000, Relaxed);
    assert_eq!(tap.read(&mut buffer).await.unwrap_err().kind(), std::io::ErrorKind::TimedOut);
    assert_eq!(start.elapsed().as_secs(), 5);
    note.reset();
    assert!(tokio::time::timeout(Duration::from_secs(60), tap.read(&mut buffer)).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_ends_as_if_the_client_had_closed() {
    let (mut tap, mut far, note) = tap();
    let mut buffer = [0; 64];
    // A request comes a minute after the other: no idle time adds up, though the timer fires in
    // between.
    for round in 0..6 {
        note.reset();
        let sender = tokio::spawn(async move {
            sleep(Duration::from_secs(60)).await;
            far.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
            far
        });
        assert!(tap.read(&mut buffer).await.unwrap() > 0);
        far = sender.await.unwrap();
        note.accepted.store(true, Relaxed);
        if round % 2 == 0 {
            let body = tokio::time::timeout(Duration::from_secs(1), tap.read(&mut buffer));
            assert!(body.await.is_err(), "waits for the answer");
        }
    }
    note.reset();
    let start = Instant::now();
    assert_eq!(tap.read(&mut buffer).await.unwrap(), 0);
    assert_eq!(start.elapsed().as_secs(), KEEPALIVE.as_secs());
    assert_eq!(note.ending(), Some(Ending::Idle));
}
