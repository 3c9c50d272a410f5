//! What Pingora's session would read of a connection, and the deadlines by a stopped clock.

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::time::{Instant, sleep, timeout};

use super::*;

const HOUR: Duration = Duration::from_secs(3600);

fn rules() -> Rules {
    Rules {
        bounds: Bounds { header_bytes: 1000, headers: 10, target: 100, trace: false },
        header: Duration::from_secs(10),
        idle: Duration::from_secs(75),
        body: Duration::from_secs(60),
        rate: 100,
        write: Duration::from_secs(30),
    }
}

fn open() -> (Conn, DuplexStream) {
    let (near, far) = duplex(1 << 16);
    (Conn::new(Box::new(near), rules()), far)
}

/// What there is to read at the moment.
async fn there(conn: &mut Conn) -> String {
    let mut out = String::new();
    let mut buffer = [0; 7];
    while let Ok(Ok(length @ 1..)) = timeout(Duration::from_millis(1), conn.read(&mut buffer)).await {
        out += std::str::from_utf8(&buffer[..length]).unwrap();
    }
    out
}

#[tokio::test(start_paused = true)]
async fn each_request_is_read_to_its_end_and_no_further() {
    let (mut conn, mut far) = open();
    let all = [
        "POST /a HTTP/1.1\r\nhost: h\r\ncontent-length: 5\r\n\r\nGET /",
        "POST /b HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        "GET http://h/c HTTP/1.1\r\nhost: h\r\n\r\n",
    ];
    far.write_all(all.concat().as_bytes()).await.unwrap();
    for request in all {
        assert_eq!(conn.next().await, Next::Request);
        assert_eq!(there(&mut conn).await, request);
        conn.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
    }
    // Byte by byte as well.
    let sender = tokio::spawn(async move {
        for byte in all.concat().bytes() {
            far.write_all(&[byte]).await.unwrap();
            sleep(Duration::from_millis(2)).await;
        }
        far
    });
    for request in all {
        assert_eq!(conn.next().await, Next::Request);
        let mut text = vec![0; request.len()];
        conn.read_exact(&mut text).await.unwrap();
        assert_eq!(text, request.as_bytes());
    }
    drop(sender.await.unwrap());
    assert_eq!(conn.next().await, Next::Closed);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_the_client_is_seen_while_bytes_are_kept_back() {
    let (mut conn, mut far) = open();
    far.write_all(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n").await.unwrap();
    assert_eq!(conn.next().await, Next::Request);
    assert_eq!(there(&mut conn).await.len(), 27);
    far.write_all(&[b'x'; 10_000]).await.unwrap();
    assert_eq!(there(&mut conn).await, "");
    assert!((HOLD..HOLD + PROBE).contains(&conn.held.len()), "{}", conn.held.len());
    let (mut conn, mut far) = open();
    far.write_all(b"GET / HTTP/1.1\r\nhost: h\r\n\r\nGET").await.unwrap();
    assert_eq!(conn.next().await, Next::Request);
    assert_eq!(there(&mut conn).await.len(), 27);
    drop(far);
    assert_eq!(conn.read(&mut [0]).await.unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_tunnel_begins_with_the_101_alone() {
    let upgrade = "GET / HTTP/1.1\r\nhost: h\r\nupgrade: x\r\n\r\n";
    for (answers, opens) in [
        (&["HTTP/1.1 101 Switching Protocols\r\n\r\n"][..], true),
        (&["HTTP/1.1 103 Early Hints\r\n\r\n", "HTTP/1.1 101 Switching Protocols\r\n\r\n"], true),
        (&["HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 101 Switching Protocols\r\n\r\n"], false),
    ] {
        let (mut conn, mut far) = open();
        far.write_all(format!("{upgrade}\0early").as_bytes()).await.unwrap();
        assert_eq!(conn.next().await, Next::Request);
        assert_eq!(there(&mut conn).await, upgrade);
        for answer in answers {
            assert_eq!(there(&mut conn).await, "");
            conn.write_all(answer.as_bytes()).await.unwrap();
        }
        assert_eq!(there(&mut conn).await, if opens { "\0early" } else { "" }, "{answers:?}");
        far.write_all(b"late").await.unwrap();
        assert_eq!(there(&mut conn).await, if opens { "late" } else { "" }, "{answers:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_not_valid_ends_the_read() {
    let (mut conn, mut far) = open();
    let head = b"POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n";
    far.write_all(head).await.unwrap();
    assert_eq!(conn.next().await, Next::Request);
    assert_eq!(there(&mut conn).await.len(), head.len());
    far.write_all(b"0x3\r\n").await.unwrap();
    assert_eq!(conn.read(&mut [0; 9]).await.unwrap_err().kind(), std::io::ErrorKind::InvalidData);
    assert_eq!(conn.note().trouble(), Some(refusal::BAD_SIZE));
    assert!(conn.read(&mut [0; 9]).await.is_err(), "for good");
    // What is there with the head is seen before anybody is asked.
    let (mut conn, mut far) = open();
    far.write_all(&[&head[..], b"0x3\r\n"].concat()).await.unwrap();
    assert_eq!(conn.next().await, Next::Refused(refusal::BAD_SIZE));
}

#[tokio::test(start_paused = true)]
async fn a_header_has_a_deadline_from_its_first_byte() {
    let (mut conn, mut far) = open();
    far.write_all(b"GET / HT").await.unwrap();
    let trickle = tokio::spawn(async move {
        while far.write_all(b"x").await.is_ok() {
            sleep(Duration::from_secs(3)).await;
        }
    });
    let start = Instant::now();
    assert_eq!(conn.next().await, Next::Refused(refusal::LATE_HEADER));
    assert_eq!(start.elapsed().as_secs(), 10);
    trickle.abort();
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_ends() {
    let (mut conn, mut far) = open();
    // A request comes a minute after the other: no idle time adds up, though the timer fires in
    // between. An empty line begins nothing.
    for _ in 0..6 {
        let sender = tokio::spawn(async move {
            sleep(Duration::from_secs(30)).await;
            far.write_all(b"\r\n").await.unwrap();
            sleep(Duration::from_secs(30)).await;
            far.write_all(b"GET / HTTP/1.0\r\n\r\n").await.unwrap();
            far
        });
        assert_eq!(conn.next().await, Next::Request);
        assert_eq!(there(&mut conn).await.len(), 18);
        far = sender.await.unwrap();
    }
    let start = Instant::now();
    assert_eq!(conn.next().await, Next::Idle);
    assert_eq!(start.elapsed().as_secs(), 75);
    assert_eq!(conn.held.bytes().len(), 0);
}

/// A request whose body begins.
async fn upload(expect: &str) -> (Conn, DuplexStream) {
    let (mut conn, mut far) = open();
    let head = format!("POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 100000\r\n{expect}\r\n");
    far.write_all(head.as_bytes()).await.unwrap();
    assert_eq!(conn.next().await, Next::Request);
    assert_eq!(there(&mut conn).await, head);
    (conn, far)
}

#[tokio::test(start_paused = true)]
async fn a_body_must_go_on() {
    let (mut conn, mut far) = upload("").await;
    // A burst buys time, but no longer than two bytes may be apart.
    far.write_all(&[b'x'; 10_000]).await.unwrap();
    there(&mut conn).await;
    let start = Instant::now();
    assert_eq!(conn.read(&mut [0; 9]).await.unwrap_err().kind(), std::io::ErrorKind::TimedOut);
    let took = start.elapsed().as_secs_f64().round();
    assert_eq!((took, conn.note().trouble()), (60.0, Some(refusal::LATE_BODY)));
}

#[tokio::test(start_paused = true)]
async fn a_body_must_come_at_a_rate() {
    for (bytes, seconds) in [(1, 10), (50, 20), (150, HOUR.as_secs())] {
        let (mut conn, mut far) = upload("").await;
        let trickle = tokio::spawn(async move {
            while far.write_all(&vec![b'x'; bytes]).await.is_ok() {
                sleep(Duration::from_secs(1)).await;
            }
        });
        let start = Instant::now();
        let mut buffer = [0; 1000];
        let read = async { while conn.read(&mut buffer).await.is_ok_and(|length| length > 0) {} };
        let over = timeout(Duration::from_secs(300), read).await;
        let took = start.elapsed().as_secs();
        if over.is_ok() {
            assert!(took.abs_diff(seconds) <= 1, "{bytes}: {took}");
            assert_eq!(conn.note().trouble(), Some(refusal::SLOW_BODY));
        } else {
            assert_eq!(bytes, 150);
        }
        trickle.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_waits_for_our_word_is_not_late() {
    let (mut conn, _far) = upload("expect: 100-continue\r\n").await;
    assert!(timeout(HOUR, conn.read(&mut [0; 9])).await.is_err());
    conn.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await.unwrap();
    let start = Instant::now();
    assert!(conn.read(&mut [0; 9]).await.is_err());
    assert_eq!(start.elapsed().as_secs(), 10);
}

#[tokio::test(start_paused = true)]
async fn an_answer_has_a_deadline_if_it_is_told() {
    let (mut conn, _far) = upload("expect: 100-continue\r\n").await;
    conn.note.cut_in(Duration::from_secs(2));
    assert!(timeout(Duration::from_secs(1), conn.read(&mut [0; 9])).await.is_err());
    // Moved while a read waits: the next poll goes by the new one.
    conn.note.cut_in(Duration::from_secs(5));
    let start = Instant::now();
    assert!(conn.read(&mut [0; 9]).await.is_err());
    assert_eq!((start.elapsed().as_secs(), conn.note().trouble()), (5, None));
}

#[tokio::test(start_paused = true)]
async fn a_client_must_take_its_answer() {
    let (mut conn, mut far) = upload("").await;
    let take = tokio::spawn(async move {
        // As long as it takes a little now and then it is served.
        for _ in 0..5 {
            sleep(Duration::from_secs(25)).await;
            far.read_exact(&mut [0; 10]).await.unwrap();
        }
        sleep(HOUR).await;
        drop(far);
    });
    let start = Instant::now();
    let error = conn.write_all(&vec![b'x'; 100_000]).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
    assert_eq!(start.elapsed().as_secs(), 125 + 30);
    assert!(conn.note().stalled());
    take.abort();
}

/// Of the budget of 8 KiB for an idle connection; most of the rest is Pingora's.
#[test]
fn a_connection_is_small() {
    assert!(size_of::<Conn>() <= 640, "{}", size_of::<Conn>());
}
