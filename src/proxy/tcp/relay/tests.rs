use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use super::*;

#[derive(Debug, Default)]
struct Seen {
    sent: usize,
    received: usize,
    answers: usize,
}

impl Watch for Seen {
    fn sent(&mut self, bytes: usize) {
        self.sent += bytes;
    }

    fn received(&mut self, bytes: usize) {
        self.received += bytes;
    }

    fn answered(&mut self) {
        self.answers += 1;
    }
}

const LONG: Duration = Duration::from_secs(3600);

/// A relay between two far ends.
fn between(
    idle: Duration,
    room: usize,
) -> (DuplexStream, DuplexStream, tokio::task::JoinHandle<(Ending, Seen)>) {
    let (client, mut near) = duplex(room);
    let (endpoint, mut far) = duplex(room);
    let task = tokio::spawn(async move {
        let mut seen = Seen::default();
        let ending = relay(&mut near, &mut far, Vec::new(), idle, &mut seen).await;
        (ending, seen)
    });
    (client, endpoint, task)
}

#[tokio::test]
async fn half_closed_connections_go_on_in_the_other_direction() {
    let (mut client, mut endpoint, task) = between(LONG, 64);
    client.write_all(b"question").await.unwrap();
    client.shutdown().await.unwrap();
    let mut asked = Vec::new();
    endpoint.read_to_end(&mut asked).await.unwrap();
    assert_eq!(asked, b"question");
    let mut answer = Vec::new();
    let (wrote, read) = tokio::join!(
        async {
            endpoint.write_all(&[7; 1000]).await?;
            endpoint.shutdown().await
        },
        client.read_to_end(&mut answer)
    );
    wrote.unwrap();
    read.unwrap();
    let (ending, seen) = task.await.unwrap();
    assert_eq!((ending, answer), (Ending::Closed, vec![7; 1000]));
    assert_eq!((seen.sent, seen.received, seen.answers), (8, 1000, 1));
}

#[tokio::test(start_paused = true)]
async fn idle_is_counted_from_the_last_byte() {
    let begin = Instant::now();
    let (mut client, mut endpoint, task) = between(Duration::from_secs(10), 64);
    let mut byte = [0];
    for _ in 0..5 {
        tokio::time::sleep(Duration::from_secs(9)).await;
        client.write_all(b"x").await.unwrap();
        endpoint.read_exact(&mut byte).await.unwrap();
    }
    assert_eq!(task.await.unwrap().0, Ending::Idle);
    let lived = begin.elapsed().as_secs();
    assert!((55..=65).contains(&lived), "one timer looks at most one span late: {lived}");
}

#[tokio::test(start_paused = true)]
async fn one_that_takes_nothing_is_idle_too() {
    let (mut client, _endpoint, task) = between(Duration::from_secs(10), 64);
    let writer = tokio::spawn(async move { client.write_all(&[0; 100_000]).await });
    assert_eq!(task.await.unwrap().0, Ending::Idle);
    assert!(writer.await.unwrap().is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn what_goes_in_comes_out(
        up in proptest::collection::vec(any::<u8>(), 0..100_000),
        down in proptest::collection::vec(any::<u8>(), 0..100_000),
        room in 1..5000_usize,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let (got_up, got_down, ending, seen) = runtime.block_on(async {
            let (client, endpoint, task) = between(LONG, room);
            let talk = |stream: DuplexStream, say: Vec<u8>| async move {
                let (mut read, mut write) = tokio::io::split(stream);
                let writer = async { write.write_all(&say).await.unwrap(); write.shutdown().await.unwrap(); };
                let mut heard = Vec::new();
                let (_, read) = tokio::join!(writer, read.read_to_end(&mut heard));
                read.unwrap();
                heard
            };
            let (got_down, got_up) = tokio::join!(talk(client, up.clone()), talk(endpoint, down.clone()));
            let (ending, seen) = task.await.unwrap();
            (got_up, got_down, ending, seen)
        });
        prop_assert!(got_up == up && got_down == down);
        prop_assert_eq!(ending, Ending::Closed);
        prop_assert_eq!((seen.sent, seen.received), (up.len(), down.len()));
    }
}
