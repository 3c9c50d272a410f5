use std::fs::File;
use std::io::Write;
use std::os::unix::fs::MetadataExt;

use serde_json::{Value, json};

use super::*;

fn pair() -> (Channel, Channel) {
    let (a, b) = StdStream::pair().unwrap();
    (Channel::new(a, 1 << 20, false).unwrap(), Channel::new(b, 1 << 20, true).unwrap())
}

/// A channel, and a peer whose bytes the test writes itself.
fn raw() -> (Channel, StdStream) {
    let (a, b) = StdStream::pair().unwrap();
    (Channel::new(a, 1000, false).unwrap(), b)
}

#[tokio::test]
async fn messages_come_as_they_were_sent() {
    let (mut a, mut b) = pair();
    // Far more than the buffer of a socket, so that both sides see short reads and writes.
    let long = json!({ "text": "x".repeat(900_000) });
    let sender = tokio::spawn(async move {
        for n in 0..20 {
            a.send(&json!({ "n": n })).await.unwrap();
            a.send(&long).await.unwrap();
        }
        a
    });
    for n in 0..20 {
        assert_eq!(b.receive::<Value>().await.unwrap(), json!({ "n": n }));
        let text = b.receive::<Value>().await.unwrap();
        assert_eq!(text["text"].as_str().map(str::len), Some(900_000));
    }
    drop(sender.await.unwrap());
    assert!(matches!(b.receive::<Value>().await, Err(ChannelError::Closed)));
}

#[tokio::test]
async fn more_descriptors_than_one_message_holds() {
    let (mut a, mut b) = pair();
    let folder = tempfile::tempdir().unwrap();
    let files: Vec<OwnedFd> =
        (0..300).map(|n| File::create(folder.path().join(n.to_string())).unwrap().into()).collect();
    a.send(&json!("before")).await.unwrap();
    a.send_descriptors(&files).await.unwrap();
    a.send(&json!("after")).await.unwrap();
    assert_eq!(b.receive::<Value>().await.unwrap(), json!("before"));
    assert_eq!(b.receive::<Value>().await.unwrap(), json!("after"));
    let inode = |fd: OwnedFd| File::from(fd).metadata().unwrap().ino();
    let came: Vec<u64> = b.take_descriptors().into_iter().map(inode).collect();
    assert_eq!(came, files.into_iter().map(inode).collect::<Vec<_>>());
    assert!(b.take_descriptors().is_empty());
}

#[tokio::test]
async fn descriptors_where_none_are_due_are_refused() {
    let (mut a, mut b) = pair();
    let file: OwnedFd = File::open("/dev/null").unwrap().into();
    b.send_descriptors(&[file]).await.unwrap();
    assert!(matches!(a.receive::<Value>().await, Err(ChannelError::Descriptors)));
}

#[tokio::test]
async fn what_is_no_message_is_told_from_an_end() {
    let (mut channel, mut peer) = raw();
    peer.write_all(b"GET / HTTP/1.1\r\n").unwrap();
    let error = channel.receive::<Value>().await.unwrap_err().to_string();
    assert!(error.starts_with("it sent what is no message: "), "{error}");
    let (mut channel, mut peer) = raw();
    peer.write_all(&[b'x'; 1001]).unwrap();
    assert!(matches!(channel.receive::<Value>().await, Err(ChannelError::TooLong(1000))));
    let (mut channel, mut peer) = raw();
    peer.write_all(b"{\"hel").unwrap();
    drop(peer);
    assert!(matches!(channel.receive::<Value>().await, Err(ChannelError::Cut)));
    let (mut channel, peer) = raw();
    drop(peer);
    assert!(matches!(channel.receive::<Value>().await, Err(ChannelError::Closed)));
    assert!(matches!(channel.send(&json!({})).await, Err(ChannelError::Closed)));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_takes_nothing_is_not_waited_for() {
    let (mut channel, _peer) = raw();
    let much = json!("x".repeat(4 << 20));
    assert!(matches!(channel.send(&much).await, Err(ChannelError::Stuck)));
}

/// What was read before stays when the channel moves to another runtime.
#[test]
fn a_channel_changes_its_runtime() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (a, mut peer) = StdStream::pair().unwrap();
    peer.write_all(b"1\n2\n3").unwrap();
    let detached = runtime().block_on(async {
        let mut channel = Channel::new(a, 1000, false).unwrap();
        assert_eq!(channel.receive::<u32>().await.unwrap(), 1);
        channel.detach().unwrap()
    });
    peer.write_all(b"4\n").unwrap();
    runtime().block_on(async {
        let mut channel = detached.attach().unwrap();
        assert_eq!(channel.receive::<u32>().await.unwrap(), 2);
        assert_eq!(channel.receive::<u32>().await.unwrap(), 34);
    });
}

#[tokio::test]
async fn a_wait_that_is_given_up_loses_nothing() {
    let (mut channel, mut peer) = raw();
    for half in [&b"\"ab"[..], b"cd\"\n"] {
        peer.write_all(half).unwrap();
        let short = Duration::from_millis(20);
        if let Ok(message) = timeout(short, channel.receive::<String>()).await {
            assert_eq!(message.unwrap(), "abcd");
            return;
        }
    }
    panic!("no message");
}
