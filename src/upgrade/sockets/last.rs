//! How a listening socket is closed without a reset for anybody.
//!
//! To close it resets the connections in its queue, and those whose handshake is under way: their
//! clients hold them for open. So before it is closed no new handshake may begin, while those that
//! have begun end and are accepted. The kernel has no switch for that, but a filter of packets can
//! say it: SYN without ACK is dropped. A client that is dropped tries again after a second, and then
//! finds either nobody, and is refused as it should be, or the process that was started meanwhile.
//!
//! Since Linux 6.18, if not before, a filter on TCP takes `CAP_NET_ADMIN`, which a proxy should not have.
//! Then the socket is bound to the loopback interface, late as it is, which anybody may: what comes
//! over another one finds nobody and is refused, and what has begun goes on. The bad side: a client on
//! this very machine may still be reset, if it comes in the moment of the close.
//!
//! Only for a socket that nobody else holds: both are on the socket, not on the descriptor.

use std::io;
use std::os::fd::AsFd;

use socket2::{SockFilter, SockRef};

/// Where TCP's flags are in its header, and what they say.
const FLAGS: u32 = 13;
const SYN_AND_ACK: u32 = 0x12;
const SYN: u32 = 0x02;

const LOOPBACK: &[u8] = b"lo";

/// Lets the handshakes end that have begun, and no other begin.
///
/// # Errors
///
/// The kernel's. Nothing has changed then.
pub fn no_more_handshakes(socket: &impl AsFd) -> io::Result<()> {
    filter(socket).or_else(|_| loopback_only(socket))
}

fn filter(socket: &impl AsFd) -> io::Result<()> {
    // Classic BPF: load a byte, mask it, compare, and return how much of the packet is taken.
    SockRef::from(socket).attach_filter(&[
        SockFilter::new(0x30, 0, 0, FLAGS),
        SockFilter::new(0x54, 0, 0, SYN_AND_ACK),
        SockFilter::new(0x15, 0, 1, SYN),
        SockFilter::new(0x06, 0, 0, 0),
        SockFilter::new(0x06, 0, 0, u32::MAX),
    ])
}

/// Connections that wait, or whose handshake has begun, keep the interface that they came by.
pub(super) fn loopback_only(socket: &impl AsFd) -> io::Result<()> {
    SockRef::from(socket).bind_device(Some(LOOPBACK))
}

/// Undoes [`no_more_handshakes`], whoever said it, as far as the kernel lets us: what is bound to an
/// interface gets loose with `CAP_NET_RAW` only. So nobody may say it of a socket that others hold.
pub(super) fn handshakes_again(socket: &impl AsFd) {
    let socket = SockRef::from(socket);
    // An error: there is no filter.
    let _ = socket.detach_filter();
    if socket.device().is_ok_and(|device| device.as_deref() == Some(LOOPBACK)) {
        let _ = socket.bind_device(None);
    }
}
