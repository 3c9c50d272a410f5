use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use super::*;

fn claim(address: &str) -> Claim {
    Claim::listener("web", address.parse().unwrap())
}

/// A port that was free a moment ago.
fn free() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn one(address: SocketAddr) -> Sockets {
    Sockets::bind(&[Claim::listener("web", address)], Had::default()).unwrap()
}

#[test]
fn it_has_the_port_and_does_not_listen_before_somebody_accepts() {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free()));
    let sockets = one(address);
    assert!(TcpStream::connect(address).is_err());
    let error = Sockets::bind(&[claim(&address.to_string())], Had::default()).unwrap_err().to_string();
    assert!(error.starts_with(&format!("listener `web` cannot listen on {address}: ")), "{error}");
    assert!(error.ends_with("another process has it, see `ss -ltnp`"), "{error}");
    assert!(TcpListener::bind(address).is_err(), "nor can one that listens at once");
    let dup = sockets.dup(address).unwrap();
    let _client = TcpStream::connect(address).unwrap();
    assert!(dup.accept().is_ok());
    assert!(SockRef::from(&dup).nonblocking().unwrap());
}

#[test]
fn every_claim_that_fails_is_named_and_nothing_is_held() {
    let taken = [TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap()];
    let [a, b] = taken.each_ref().map(|t| t.local_addr().unwrap());
    let free = SocketAddr::from((Ipv4Addr::LOCALHOST, free()));
    let claims = [Claim::listener("a", a), Claim::listener("free", free), Claim::admin(b)];
    let error = Sockets::bind(&claims, Had::default()).unwrap_err().to_string();
    let lines: Vec<_> = error.lines().collect();
    assert_eq!(lines.len(), 3, "{error}");
    assert_eq!(lines[0], "2 sockets cannot be had");
    assert!(lines[1].starts_with(&format!("listener `a` cannot listen on {a}")), "{error}");
    assert!(lines[2].starts_with(&format!("the admin API cannot listen on {b}")), "{error}");
    assert!(TcpListener::bind(free).is_ok());
    let error = Sockets::bind(&[claim("192.0.2.1:1")], Had::default()).unwrap_err().to_string();
    assert!(error.ends_with("; no interface of this machine has that address"), "{error}");
}

#[test]
fn two_claims_on_one_address_are_an_error() {
    let error = Sockets::bind(&[claim("127.0.0.1:0"), claim("127.0.0.1:0")], Had::default()).unwrap_err();
    assert!(error.to_string().ends_with("another listener has it"), "{error}");
}

#[test]
fn the_unspecified_ipv6_address_takes_ipv4_too() {
    let only_v6 = std::fs::read_to_string("/proc/sys/net/ipv6/bindv6only").unwrap_or_default();
    if only_v6.trim() != "0" || TcpListener::bind("[::1]:0").is_err() {
        return;
    }
    let address: SocketAddr = "[::]:0".parse().unwrap();
    let sockets = one(address);
    let _dup = sockets.dup(address).unwrap();
    let port = sockets.local(address).unwrap().port();
    assert!(TcpStream::connect(("127.0.0.1", port)).is_ok() && TcpStream::connect(("::1", port)).is_ok());
}

#[test]
fn what_is_had_is_taken_and_the_rest_closed() {
    let sockets = [TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap()];
    let [a, b] = sockets.each_ref().map(|s| s.local_addr().unwrap());
    let had = Had::from_elder([a, b].into_iter().zip(sockets).collect(), vec![a]);
    let sockets = Sockets::bind(&[Claim::listener("a", a)], had).unwrap();
    assert!(TcpStream::connect(a).is_ok());
    assert!(TcpStream::connect(b).is_err());
    assert_eq!(sockets.lent(), [a]);
    let fds = sockets.all();
    assert_eq!(fds.len(), 1);
    drop(sockets);
    assert!(TcpStream::connect(a).is_ok(), "the duplicate that was handed on keeps it");
}

/// The elder has all addresses, the heir wants one of them, and the other way round.
#[test]
fn an_heir_binds_what_overlaps_while_it_is_shared() {
    for (elder, heir) in [("0.0.0.0", "127.0.0.1"), ("127.0.0.1", "0.0.0.0"), ("[::]", "127.0.0.1")] {
        let port = free();
        let at = |ip: &str| format!("{ip}:{port}").parse::<SocketAddr>().unwrap();
        let (elder, heir) = (at(elder), at(heir));
        let old = one(elder);
        let accepts = old.dup(elder).unwrap();
        // Connections that are open have the port too.
        let open = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let _open = (accepts.accept().unwrap(), open);
        let beside = || Had::from_elder(Vec::new(), Vec::new());
        let claims = [Claim::listener("new", heir)];
        assert!(Sockets::bind(&claims, beside()).is_err(), "{heir}: it is not shared yet");
        old.share(&[elder]);
        assert!(Sockets::bind(&claims, Had::default()).is_err(), "{heir}: only for an heir");
        let new = Sockets::bind(&claims, beside()).unwrap();
        let takes = new.dup(heir).unwrap();
        old.unshare();
        assert!(Sockets::bind(&claims, Had::default()).is_err(), "{heir}: no third");
        drop((accepts, old));
        let mut client = TcpStream::connect(("127.0.0.1", port)).unwrap();
        client.write_all(b"x").unwrap();
        takes.set_nonblocking(false).unwrap();
        takes.accept().unwrap().0.read_exact(&mut [0]).unwrap();
    }
}

#[test]
fn the_queue_that_nobody_takes_is_counted() {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free()));
    let sockets = one(address);
    assert_eq!(sockets.waiting(), [], "it does not listen yet");
    let dup = sockets.dup(address).unwrap();
    assert_eq!(sockets.waiting(), [(address, 0)]);
    let _clients: Vec<_> = (0..3).map(|_| TcpStream::connect(address).unwrap()).collect();
    assert_eq!(sockets.waiting(), [(address, 3)]);
    dup.accept().unwrap();
    assert_eq!(sockets.waiting(), [(address, 2)]);
}

#[test]
fn no_handshake_begins_before_the_end_and_no_connection_is_reset() {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free()));
    let sockets = one(address);
    let dup = sockets.dup(address).unwrap();
    let mut waits = TcpStream::connect(address).unwrap();
    no_more_handshakes(&dup).unwrap();
    let late = TcpStream::connect_timeout(&address, Duration::from_millis(100));
    assert_eq!(late.unwrap_err().kind(), io::ErrorKind::TimedOut, "neither taken nor refused");
    waits.write_all(b"x").unwrap();
    let (mut taken, _) = dup.accept().unwrap();
    drop((dup, sockets.take(address)));
    taken.set_nonblocking(false).unwrap();
    taken.read_exact(&mut [0]).unwrap();
    taken.write_all(b"y").unwrap();
    waits.read_exact(&mut [0]).unwrap();
    assert_eq!(TcpStream::connect(address).unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
}

#[test]
fn who_waits_outlasts_the_way_without_a_filter() {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free()));
    let sockets = one(address);
    let dup = sockets.dup(address).unwrap();
    let mut waits = TcpStream::connect(address).unwrap();
    last::loopback_only(&dup).unwrap();
    assert_eq!(SockRef::from(&dup).device().unwrap().as_deref(), Some(&b"lo"[..]));
    let (mut taken, _) = dup.accept().unwrap();
    drop((dup, sockets.take(address)));
    assert_eq!(SockRef::from(&taken).device().unwrap(), None, "it came before");
    taken.write_all(b"y").unwrap();
    waits.read_exact(&mut [0]).unwrap();
}
