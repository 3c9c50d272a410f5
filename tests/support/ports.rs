//! Ports that nobody else takes between now and the moment a server binds them.
//!
//! Binding port 0 and letting go is a race: tests run as many processes at once, and the kernel
//! also hands such ports to outgoing connections. So ports are claimed outside the kernel's own
//! range, by a file lock that this process holds until it ends; a server outside the tests is seen
//! by binding once.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::ops::Range;
use std::sync::Mutex;

/// The locks, held until the process ends.
static CLAIMED: Mutex<Vec<File>> = Mutex::new(Vec::new());

const LOWEST: u16 = 10_000;

/// A port of 127.0.0.1, free for TCP and UDP, that no other test gets while this process lives.
pub fn free_port() -> u16 {
    let dir = std::env::temp_dir().join("tidegate-test-ports");
    fs::create_dir_all(&dir).expect("a directory for port locks");
    let range = range();
    // Spread, so that processes that start together do not all try the same ports.
    let start = fastrand::u16(range.clone());
    for port in (start..range.end).chain(range.start..start) {
        let lock = File::options().create(true).append(true).open(dir.join(port.to_string()));
        let Ok(lock) = lock else { continue };
        if lock.try_lock().is_ok() && bindable(port) {
            CLAIMED.lock().unwrap().push(lock);
            return port;
        }
    }
    panic!("no free port in {range:?}");
}

/// [`free_port`] with its address.
pub fn free_addr() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, free_port()).into()
}

/// Below what the kernel hands out by itself.
fn range() -> Range<u16> {
    let kernels = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").ok();
    let first =
        kernels.and_then(|text| text.split_whitespace().next()?.parse::<u16>().ok()).unwrap_or(32_768);
    LOWEST..first.max(LOWEST + 5_000)
}

fn bindable(port: u16) -> bool {
    let addr = (Ipv4Addr::LOCALHOST, port);
    TcpListener::bind(addr).is_ok() && UdpSocket::bind(addr).is_ok()
}
