//! How a listening socket is closed without a reset for anybody.
//!
//! To close it resets the connections in its queue, and those whose handshake is under way: their
//! clients hold them for open. So before it is closed no new handshake may begin, while those that
//! have begun end and are accepted. The kernel has no switch for that, but a filter of packets can
//! say it: SYN without ACK is dropped. A client that is dropped tries again after a second, and then
//! finds either nobody, and is refused as it should be, or the process that was started meanwhile.
//!
//! Only for a socket that nobody else holds: the filter is on the socket, not on the descriptor.

use std::io;
use std::os::fd::AsFd;

use socket2::{SockFilter, SockRef};

/// Where TCP's flags are in its header, and what they say.
const FLAGS: u32 = 13;
const SYN_AND_ACK: u32 = 0x12;
const SYN: u32 = 0x02;

/// Lets the handshakes end that have begun, and no other begin.
///
/// # Errors
///
/// The kernel's. Nothing has changed then.
pub fn no_more_handshakes(socket: &impl AsFd) -> io::Result<()> {
    // Classic BPF: load a byte, mask it, compare, and return how much of the packet is taken.
    SockRef::from(socket).attach_filter(&[
        SockFilter::new(0x30, 0, 0, FLAGS),
        SockFilter::new(0x54, 0, 0, SYN_AND_ACK),
        SockFilter::new(0x15, 0, 1, SYN),
        SockFilter::new(0x06, 0, 0, 0),
        SockFilter::new(0x06, 0, 0, u32::MAX),
    ])
}

/// Undoes [`no_more_handshakes`], whoever said it.
pub(super) fn handshakes_again(socket: &impl AsFd) {
    // An error: there is no filter.
    let _ = SockRef::from(socket).detach_filter();
}
