//! Sockets that systemd bound for us (`tidegate.socket`), so that ports below 1024 need no
//! privilege and clients wait, not fail, while the service restarts.
//!
//! systemd passes descriptors from 3 on and says in the environment how many (`LISTEN_FDS`), for whom
//! (`LISTEN_PID`) and how it names them (`LISTEN_FDNAMES`). A socket is meant for the listener whose
//! name it has (`admin`: the admin API), else for the one with its address. The name comes first: it
//! was written for that. Then the socket serves even if its address is not what the config says,
//! since who writes socket units decides that there; the log says so.
//!
//! One that fits nothing, or takes no TCP connections, is closed, with a warning: a start that failed
//! for it would take the other listeners away. The bad side: systemd still holds it, and its clients
//! wait for nobody.
//!
//! The three variables are for us and not for our children. `LISTEN_FDS` and `LISTEN_PID` are taken
//! out of our environment here; whoever starts a child removes `LISTEN_FDNAMES` as well.

use std::net::{SocketAddr, TcpListener};

use listenfd::ListenFd;
use tracing::{info, warn};

use super::sockets::{Claim, Had, listens};

/// A socket as systemd passed it.
#[derive(Debug)]
struct Passed {
    name: Option<String>,
    address: SocketAddr,
    socket: TcpListener,
}

/// Whether a socket is for a claim.
type Rule<'a> = &'a dyn Fn(&Claim, &Passed) -> bool;

/// Takes what systemd passed, if anything, and finds out what is for whom.
///
/// To be called once, before there are threads: it changes the environment.
pub fn take(claims: &[Claim]) -> Had {
    let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
    let mut names = names.split(':').map(|name| Some(name.to_owned()).filter(|name| !name.is_empty()));
    let mut given = ListenFd::from_env();
    let mut passed = Vec::new();
    for index in 0..given.len() {
        let name = names.next().flatten();
        match tcp(&mut given, index) {
            Ok((address, socket)) => passed.push(Passed { name, address, socket }),
            Err(why) => {
                let name = name.unwrap_or_default();
                warn!(name, why, "systemd passed what is no listening TCP socket; it is not used");
            }
        }
    }
    Had::from_systemd(matched(claims, passed))
}

/// The TCP socket at an index. What is not one is closed, if it is a socket at all.
fn tcp(given: &mut ListenFd, index: usize) -> Result<(SocketAddr, TcpListener), &'static str> {
    let Ok(Some(socket)) = given.take_tcp_listener(index) else {
        // Each of these takes, and so closes, one kind, and leaves the others.
        let _ = given.take_udp_socket(index);
        let _ = given.take_unix_listener(index);
        let _ = given.take_unix_datagram(index);
        return Err("it is of another kind");
    };
    if !listens(&socket) {
        return Err("it does not listen");
    }
    socket.local_addr().map(|address| (address, socket)).map_err(|_| "it has no address")
}

/// What is for whom: by name and address, then by name, then by address.
fn matched(claims: &[Claim], mut passed: Vec<Passed>) -> Vec<(SocketAddr, TcpListener)> {
    let named = |claim: &Claim, passed: &Passed| {
        passed.name.as_ref().is_some_and(|name| claim.is_named(name, claims))
    };
    let at = |claim: &Claim, passed: &Passed| passed.address == claim.address;
    let rules: [Rule<'_>; 3] = [&|claim, passed| named(claim, passed) && at(claim, passed), &named, &at];
    let mut found: Vec<(SocketAddr, TcpListener)> = Vec::new();
    for rule in rules {
        for claim in claims {
            if found.iter().any(|(address, _)| *address == claim.address) {
                continue;
            }
            let Some(index) = passed.iter().position(|passed| rule(claim, passed)) else { continue };
            let Passed { address, socket, .. } = passed.remove(index);
            if address == claim.address {
                info!(who = claim.name, %address, "systemd has bound the socket");
            } else {
                let config = claim.address;
                warn!(who = claim.name, %address, %config, "listens where systemd says, not the config");
            }
            found.push((claim.address, socket));
        }
    }
    for Passed { name, address, .. } in passed {
        let name = name.unwrap_or_default();
        warn!(
            name, %address,
            "a socket of systemd fits no listener and is closed; name it as the listener \
             (FileDescriptorName=), or give both the same address"
        );
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn socket(name: &str) -> Passed {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let name = Some(name.to_owned()).filter(|name| !name.is_empty());
        Passed { name, address: socket.local_addr().unwrap(), socket }
    }

    /// What each claim got, by the address that was really bound.
    fn got(claims: &[Claim], passed: Vec<Passed>) -> Vec<Option<SocketAddr>> {
        let found = matched(claims, passed);
        let of = |claim: &Claim| found.iter().find(|(address, _)| *address == claim.address);
        claims.iter().map(|claim| Some(of(claim)?.1.local_addr().unwrap())).collect()
    }

    #[test]
    fn the_name_comes_before_the_address() {
        let (one, two, three) = (socket("web"), socket("admin"), socket("tidegate.socket"));
        let [a, b, c] = [&one, &two, &three].map(|passed| passed.address);
        let elsewhere = "127.0.0.9:1".parse().unwrap();
        let claims = [Claim::listener("web", b), Claim::admin(elsewhere), Claim::listener("other", c)];
        assert_eq!(got(&claims, vec![three, one, two]), [Some(a), Some(b), Some(c)]);
    }

    /// A unit with two addresses gives both the same name.
    #[test]
    fn of_two_with_one_name_the_address_says_which() {
        let (one, two) = (socket("web"), socket("web"));
        let (a, b) = (one.address, two.address);
        let claims = [Claim::listener("inner", a), Claim::listener("web", b)];
        assert_eq!(got(&claims, vec![one, two]), [Some(a), Some(b)]);
    }

    #[test]
    fn what_fits_nothing_is_closed() {
        let stray = socket("");
        let address = stray.address;
        let claims = [Claim::listener("web", "127.0.0.9:1".parse().unwrap())];
        assert_eq!(got(&claims, vec![stray]), [None]);
        assert!(std::net::TcpStream::connect(address).is_err());
    }

    #[test]
    fn a_listener_named_admin_is_meant_before_the_admin_api() {
        let at = "127.0.0.9:1".parse().unwrap();
        let claims = [Claim::admin(at), Claim::listener("admin", at)];
        assert_eq!(claims.each_ref().map(|c| c.is_named("admin", &claims)), [false, true]);
        assert!(claims[0].is_named("admin", &claims[..1]) && !claims[0].is_named("web", &claims[..1]));
    }
}
