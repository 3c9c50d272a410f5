//! How many connections wait in the queues of listening sockets, by the kernel's own list.
//!
//! `TCP_INFO` would say it of one socket, but to ask for it takes unsafe code. The list names those
//! that listen first, so its reading ends where they do: with a hundred thousand connections it
//! costs what it costs with none.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;

/// LISTEN, as the list has it.
const LISTEN: &str = "0A";

/// Inode and queue of each socket that listens.
pub(super) fn queues() -> Vec<(u64, usize)> {
    let mut found = Vec::new();
    for list in ["/proc/net/tcp", "/proc/net/tcp6"] {
        let Ok(file) = File::open(list) else { continue };
        let lines = BufReader::new(file).lines().skip(1).map_while(Result::ok);
        found.extend(lines.map_while(|line| queue(&line)));
    }
    found
}

/// The inode of a socket, by which the list names it.
pub(super) fn inode(socket: &impl AsFd) -> Option<u64> {
    let file = File::from(socket.as_fd().try_clone_to_owned().ok()?);
    Some(file.metadata().ok()?.ino())
}

/// Of a line `sl local remote st tx:rx tr:when retrnsmt uid timeout inode ...`. None: it does not
/// listen.
fn queue(line: &str) -> Option<(u64, usize)> {
    let mut fields = line.split_whitespace().skip(3);
    let listens = fields.next()? == LISTEN;
    let (_, waiting) = fields.next()?.split_once(':')?;
    let inode = fields.nth(4)?.parse().ok()?;
    listens.then_some((inode, usize::from_str_radix(waiting, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_list() {
        let line = "   0: 0100007F:1F90 00000000:0000 0A 00000000:0000001C 00:00000000 00000000  1000        0 22718 1 0";
        assert_eq!(queue(line), Some((22718, 28)));
        assert_eq!(queue(&line.replace(" 0A ", " 01 ")), None);
        assert_eq!(queue("what"), None);
    }
}
